"""Models that pools, jobs and tasks share: identities, files, environment, containers."""

from pydantic import Field

from azure_batch_operator.batch.models.base import Model, Open, Prose
from azure_batch_operator.batch.models.enums import (
    AutoUserScope,
    CertificateStoreLocation,
    CertificateVisibility,
    ContainerHostDataPath,
    ContainerWorkingDirectory,
    ElevationLevel,
    ErrorCategory,
    OutputFileUploadCondition,
)


class MetadataItem(Model):
    """A name and a value that the service keeps and does not look at."""

    name: str
    value: str


class NameValuePair(Model):
    """A detail of an error inside a resource."""

    name: Prose | None = None
    value: Prose | None = None


class NodeIdentityReference(Model):
    """A managed identity of the pool, by its resource id."""

    resource_id: str | None = None


class ApplicationPackageReference(Model):
    """An application package of the account; without a version, its default one."""

    application_id: str
    version: str | None = None


class CertificateReference(Model):
    """A certificate to install on nodes (retired)."""

    thumbprint: str
    thumbprint_algorithm: str
    store_location: Open[CertificateStoreLocation] | None = None
    store_name: str | None = None
    visibility: list[Open[CertificateVisibility]] | None = None


class EnvironmentSetting(Model):
    """An environment variable."""

    name: str
    value: str | None = Field(None, repr=False)


class HttpHeader(Model):
    """A header to send with an upload."""

    name: str
    value: str | None = None


class ResourceFile(Model):
    """A file, or all files of a container, to download to a node: exactly one of the three sources."""

    auto_storage_container_name: str | None = None
    storage_container_url: str | None = Field(None, repr=False)
    http_url: str | None = Field(None, repr=False)
    blob_prefix: str | None = None
    file_path: str | None = None
    file_mode: str | None = None
    identity_reference: NodeIdentityReference | None = None


class OutputFileBlobContainerDestination(Model):
    """A blob container that files are uploaded to."""

    path: str | None = None
    container_url: str = Field(repr=False)
    identity_reference: NodeIdentityReference | None = None
    upload_headers: list[HttpHeader] | None = None


class OutputFileDestination(Model):
    """Where files are uploaded to."""

    container: OutputFileBlobContainerDestination | None = None


class OutputFileUploadConfig(Model):
    """When files are uploaded."""

    upload_condition: Open[OutputFileUploadCondition]


class OutputFile(Model):
    """Files to upload from a node after a task."""

    file_pattern: str
    destination: OutputFileDestination
    upload_options: OutputFileUploadConfig


class AutoUserSpecification(Model):
    """A user account that the service makes."""

    scope: Open[AutoUserScope] | None = None
    elevation_level: Open[ElevationLevel] | None = None


class UserIdentity(Model):
    """The user that a task runs as: one of the two."""

    username: str | None = None
    auto_user: AutoUserSpecification | None = None


class ContainerRegistryReference(Model):
    """A container registry and how to sign in to it."""

    username: str | None = None
    password: str | None = Field(None, repr=False)
    registry_server: str | None = None
    identity_reference: NodeIdentityReference | None = None


class ContainerHostBatchBindMountEntry(Model):
    """A directory of the node that a container sees."""

    source: Open[ContainerHostDataPath] | None = None
    is_read_only: bool | None = None


class TaskContainerSettings(Model):
    """The container that a task runs in."""

    container_run_options: str | None = None
    image_name: str
    registry: ContainerRegistryReference | None = None
    working_directory: Open[ContainerWorkingDirectory] | None = None
    container_host_batch_bind_mounts: list[ContainerHostBatchBindMountEntry] | None = None


class TaskContainerExecutionInfo(Model):
    """The container that a task ran in."""

    container_id: str | None = None
    state: Prose | None = None
    error: Prose | None = None


class TaskFailureInfo(Model):
    """Why a task failed."""

    category: Open[ErrorCategory] | None = None
    code: str | None = None
    message: Prose | None = None
    details: list[NameValuePair] | None = None
