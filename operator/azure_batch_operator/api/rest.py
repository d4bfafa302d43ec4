"""Parts of the Batch REST bodies that pools, jobs and tasks share: files, environment, identities, containers.

Source: the REST reference on Create Task, Create Pool and Create Job.

Descriptions say unit and default; the service fills defaults, the CRD does not, so that the spec stays the user's.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from azure_batch_operator.api.base import (
    ApiModel,
    ConfigMapKeyRef,
    Refused,
    Rule,
    SecretKeyRef,
    StandsFor,
    cel,
    exactly_one_of,
    many,
    misnamed,
    one_of,
    optional,
    says,
    schema,
    secret_for,
)

Url = Annotated[str, StringConstraints(max_length=8192)]
Path = Annotated[str, StringConstraints(max_length=4096)]
ArmId = Annotated[str, StringConstraints(max_length=2048)]
_IMAGE = "^/(?i:subscriptions)/[^/]+/.+$"
ImageId = Annotated[
    str,
    StringConstraints(pattern=_IMAGE, max_length=2048),
    says(
        _IMAGE,
        "must be the ARM id of an image: /subscriptions/…/resourceGroups/…/providers/Microsoft.Compute/galleries/…/images/…",
        2048,
    ),
]
Label = Annotated[str, StringConstraints(max_length=256)]

MAX_VARIABLES = 200
MAX_FILES = 200


class MetadataItem(ApiModel):
    """A name-value pair that the service stores and does not interpret."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(description="Name of the item.")
    value: Annotated[str, StringConstraints(max_length=8192)] = Field(description="Value of the item.")


class ValueSource(ApiModel):
    """Where the value of an environment variable is taken from."""

    secret_key_ref: SecretKeyRef | None = optional("A key of a Secret in this namespace.")
    config_map_key_ref: ConfigMapKeyRef | None = optional("A key of a ConfigMap in this namespace.")
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(("secretKeyRef", "configMapKeyRef"), "give secretKeyRef or configMapKeyRef"),
    )


class EnvironmentSetting(ApiModel):
    """An environment variable."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(description="Name of the variable.")
    value: Annotated[str, StringConstraints(max_length=65536)] | None = optional(
        "Its value; anybody who may read this object or the task in Azure Batch can see it."
    )
    value_from: Annotated[ValueSource | None, StandsFor("value", secret=False)] = optional(
        "Takes the value from a Secret or ConfigMap when the task is added; in Azure Batch it stands in clear."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel("!has(self.value) || !has(self.valueFrom)", "give value or valueFrom, not both"),
    )


class IdentityReference(ApiModel):
    """A user-assigned managed identity of the pool."""

    resource_id: ArmId | None = optional("ARM resource id of the identity; it must be assigned to the pool.")


class ApplicationPackageReference(ApiModel):
    """An application package of the account that is put on the nodes."""

    application_id: Annotated[str, StringConstraints(max_length=1024)] = Field(
        description="Id of the application within the account."
    )
    version: Label | None = optional("Version of the package; the application's default version if left out.")


class ResourceFile(ApiModel):
    """A file, or all blobs of a container, to put on the node before a task starts."""

    auto_storage_container_name: Path | None = optional(
        "A container of the account's auto-storage; its blobs are downloaded."
    )
    storage_container_url: Url | None = optional(
        "URL of a blob container; needs read and list rights (SAS or identity)."
    )
    http_url: Url | None = optional("URL of one file to download.")
    blob_prefix: Path | None = optional("Only blobs whose names begin so; with the two container sources only.")
    file_path: Path | None = optional(
        "Where the file goes, relative to the working directory; required with httpUrl, otherwise a directory."
    )
    file_mode: Annotated[str, StringConstraints(pattern=r"^(0?[0-7]{3,4})?$")] | None = optional(
        "Octal mode on Linux; 0770 if left out."
    )
    identity_reference: IdentityReference | None = optional("Identity with which the storage is read.")
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(
            ("autoStorageContainerName", "storageContainerUrl", "httpUrl"),
            "give exactly one of autoStorageContainerName, storageContainerUrl and httpUrl",
        ),
        cel("!has(self.httpUrl) || has(self.filePath)", "filePath is required with httpUrl", ".filePath"),
        cel("!has(self.httpUrl) || !has(self.blobPrefix)", "blobPrefix does not go with httpUrl", ".blobPrefix"),
    )


class UploadHeader(ApiModel):
    """An HTTP header to send with an upload."""

    name: Label = Field(description="Name of the header.")
    value: Annotated[str, StringConstraints(max_length=8192)] | None = optional("Its value.")


class OutputFileContainer(ApiModel):
    """The container that output files go to."""

    container_url: Url = Field(description="URL of the container; needs write rights (SAS or identity).")
    path: Path | None = optional("Blob name, or the virtual directory if filePattern has a wildcard; default: root.")
    identity_reference: IdentityReference | None = optional("Identity with which the storage is written.")
    upload_headers: list[UploadHeader] | None = many("HTTP headers of the upload, such as x-ms-blob-content-type.", 32)


class OutputFileDestination(ApiModel):
    """Where output files go."""

    container: OutputFileContainer | None = optional("A blob container.")


class OutputFileUploadOptions(ApiModel):
    """When output files are uploaded."""

    upload_condition: Annotated[str, one_of("tasksuccess", "taskfailure", "taskcompletion")] = Field(
        description="Upload after success, after failure, or always; taskcompletion is the service's default."
    )


class OutputFile(ApiModel):
    """Files to upload when the task has ended."""

    file_pattern: Path = Field(description="Which files, with * ? ** wildcards, relative to the working directory.")
    destination: OutputFileDestination = Field(description="Where they go.")
    upload_options: OutputFileUploadOptions = Field(description="When they are uploaded.")


class AutoUser(ApiModel):
    """The user account that the service makes for tasks."""

    scope: Annotated[str, one_of("task", "pool")] | None = optional(
        "A user of its own per task, or one per node; pool if left out."
    )
    elevation_level: Annotated[str, one_of("nonadmin", "admin")] | None = optional("nonadmin if left out.")


class UserIdentity(ApiModel):
    """As whom a task runs: a named user of the pool, or an auto user."""

    username: Label | None = optional("Name of a user account of the pool.")
    auto_user: AutoUser | None = optional("Auto user; scope pool, nonadmin if left out.")
    refused: ClassVar[tuple[Refused, ...]] = (misnamed("userName", "username"),)
    rules: ClassVar[tuple[Rule, ...]] = (
        cel("!(has(self.username) && has(self.autoUser))", "give username or autoUser, not both"),
    )


class ContainerRegistry(ApiModel):
    """A container registry and how to sign in: with a user name and password, or with an identity."""

    username: Label | None = optional("User name.")
    password_secret_ref: Annotated[SecretKeyRef | None, StandsFor("password")] = secret_for("password", "Password.")
    registry_server: Path | None = optional("Host of the registry; docker.io if left out.")
    identity_reference: IdentityReference | None = optional("Identity that signs in instead of a user name.")
    refused: ClassVar[tuple[Refused, ...]] = (misnamed("userName", "username"),)
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "has(self.username) == has(self.passwordSecretRef) || (has(self.username) && self.username == '')",
            "username and passwordSecretRef belong together",
        ),
    )


class ContainerBindMount(ApiModel):
    """A directory of the node that the container sees."""

    source: Annotated[str, one_of("Shared", "Startup", "VfsMounts", "Task", "JobPrep", "Applications")] | None = (
        optional("Which directory of the node.")
    )
    is_read_only: bool | None = optional("Whether the container may only read it; false if left out.")


class ContainerSettings(ApiModel):
    """The container that a task runs in; the pool needs a containerConfiguration."""

    container_run_options: Path | None = optional("Further options of docker create, such as --rm or --gpus all.")
    image_name: Path = Field(description="Full reference of the image; tag latest if it has none.")
    registry: ContainerRegistry | None = optional("A private registry, if the pool does not know it already.")
    working_directory: Annotated[str, one_of("taskWorkingDirectory", "containerImageDefault")] | None = optional(
        "Where the command starts; taskWorkingDirectory if left out."
    )
    container_host_batch_bind_mounts: list[ContainerBindMount] | None = many(
        "Directories of the node in the container; all of them if left out.", 6
    )


class AuthenticationTokenSettings(ApiModel):
    """A token with which the task may call the Batch service."""

    access: list[Annotated[str, one_of("job")]] | None = optional(
        "What the token allows: job is everything about the task's own job.", maxItems=1
    )


def environment(description: str = "Environment variables.") -> list[EnvironmentSetting] | None:
    """The field of a list of environment settings."""
    settings: list[EnvironmentSetting] | None = many(description, MAX_VARIABLES, key="name")
    return settings


def resource_files(description: str = "Files to put on the node first.") -> list[ResourceFile] | None:
    """The field of a list of resource files."""
    files: list[ResourceFile] | None = many(description, MAX_FILES)
    return files


def metadata(description: str) -> list[MetadataItem] | None:
    """The field of a list of metadata."""
    items: list[MetadataItem] | None = many(description, 100, key="name")
    return items


def tags(description: str) -> dict[str, str] | None:
    """The field of a map of texts."""
    found: dict[str, str] | None = Field(
        default=None,
        description=description,
        json_schema_extra=schema(maxProperties=50, additionalProperties={"type": "string", "maxLength": 256}),
    )
    return found
