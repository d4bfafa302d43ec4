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
        "must be the ARM ID of an image: "
        "/subscriptions/…/resourceGroups/…/providers/Microsoft.Compute/galleries/…/images/…",
        2048,
    ),
]
Label = Annotated[str, StringConstraints(max_length=256)]

MAX_VARIABLES = 200
MAX_FILES = 200


class MetadataItem(ApiModel):
    """A name-value pair that Azure Batch stores and does not interpret."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(description="Name of the item.")
    value: Annotated[str, StringConstraints(max_length=8192)] = Field(description="Value of the item.")


class ValueSource(ApiModel):
    """Source of a value."""

    secret_key_ref: SecretKeyRef | None = optional("Selects a key of a Secret in the same namespace.")
    config_map_key_ref: ConfigMapKeyRef | None = optional("Selects a key of a ConfigMap in the same namespace.")
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(("secretKeyRef", "configMapKeyRef"), "give either secretKeyRef or configMapKeyRef"),
    )


class EnvironmentSetting(ApiModel):
    """An environment variable."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(description="Name of the variable.")
    value: Annotated[str, StringConstraints(max_length=65536)] | None = optional(
        "Value of the variable. Visible to everyone who can read this object or the task in Azure Batch."
    )
    value_from: Annotated[ValueSource | None, StandsFor("value", secret=False)] = optional(
        "Source of the value, read when the operator adds the task. Azure Batch stores and shows the value as "
        "plain text."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel("!has(self.value) || !has(self.valueFrom)", "give value or valueFrom, not both"),
    )


class IdentityReference(ApiModel):
    """A user-assigned managed identity of the pool."""

    resource_id: ArmId | None = optional("ARM resource ID of the identity. The identity must be assigned to the pool.")


class ApplicationPackageReference(ApiModel):
    """An application package to install on nodes."""

    application_id: Annotated[str, StringConstraints(max_length=1024)] = Field(
        description="ID of the application in the Azure Batch account."
    )
    version: Label | None = optional("Version of the package. Defaults to the default version of the application.")


class ResourceFile(ApiModel):
    """One file, or all blobs of a container, to download to the node before the task starts."""

    auto_storage_container_name: Path | None = optional(
        "Name of a container in the account's auto-storage. All its blobs are downloaded."
    )
    storage_container_url: Url | None = optional(
        "URL of a blob container. Requires read and list permissions, by SAS or identityReference."
    )
    http_url: Url | None = optional("URL of a single file.")
    blob_prefix: Path | None = optional(
        "Downloads only blobs whose names begin with this prefix. Not allowed with httpUrl."
    )
    file_path: Path | None = optional(
        "Destination, relative to the working directory of the task. A file name, required, with httpUrl; a "
        "directory otherwise."
    )
    file_mode: Annotated[str, StringConstraints(pattern=r"^(0?[0-7]{3,4})?$")] | None = optional(
        "File mode on Linux, in octal. Defaults to 0770."
    )
    identity_reference: IdentityReference | None = optional("Identity that reads the storage.")
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(
            ("autoStorageContainerName", "storageContainerUrl", "httpUrl"),
            "give exactly one of autoStorageContainerName, storageContainerUrl and httpUrl",
        ),
        cel("!has(self.httpUrl) || has(self.filePath)", "filePath is required with httpUrl", ".filePath"),
        cel("!has(self.httpUrl) || !has(self.blobPrefix)", "blobPrefix cannot be combined with httpUrl", ".blobPrefix"),
    )


class UploadHeader(ApiModel):
    """An HTTP header of an upload request."""

    name: Label = Field(description="Name of the header.")
    value: Annotated[str, StringConstraints(max_length=8192)] | None = optional("Value of the header.")


class OutputFileContainer(ApiModel):
    """The blob container that receives output files."""

    container_url: Url = Field(
        description="URL of the container. Requires write permission, by SAS or identityReference."
    )
    path: Path | None = optional(
        "Name of the blob, or of the virtual directory if filePattern has a wildcard. Defaults to the root of "
        "the container."
    )
    identity_reference: IdentityReference | None = optional("Identity that writes to the storage.")
    upload_headers: list[UploadHeader] | None = many("HTTP headers of the upload, such as x-ms-blob-content-type.", 32)


class OutputFileDestination(ApiModel):
    """Destination of output files."""

    container: OutputFileContainer | None = optional("Blob container that receives the files.")


class OutputFileUploadOptions(ApiModel):
    """Condition for uploading output files."""

    upload_condition: Annotated[str, one_of("tasksuccess", "taskfailure", "taskcompletion")] = Field(
        description="When to upload: after success, after failure, or always. Azure Batch uses taskcompletion by default."
    )


class OutputFile(ApiModel):
    """Files to upload when the task ends."""

    file_pattern: Path = Field(
        description="Files to upload, relative to the working directory. Supports the wildcards *, ? and **."
    )
    destination: OutputFileDestination = Field(description="Destination of the files.")
    upload_options: OutputFileUploadOptions = Field(description="When to upload the files.")


class AutoUser(ApiModel):
    """A user account that Azure Batch creates for tasks."""

    scope: Annotated[str, one_of("task", "pool")] | None = optional(
        "Scope of the account: one user per task, or one shared user per node. Defaults to pool."
    )
    elevation_level: Annotated[str, one_of("nonadmin", "admin")] | None = optional(
        "Privileges of the user. Defaults to nonadmin."
    )


class UserIdentity(ApiModel):
    """The user that a task runs as: a named user of the pool, or an auto-user."""

    username: Label | None = optional("Name of a user account of the pool.")
    auto_user: AutoUser | None = optional(
        "Settings of the auto-user. Defaults to scope pool and elevation level nonadmin."
    )
    refused: ClassVar[tuple[Refused, ...]] = (misnamed("userName", "username"),)
    rules: ClassVar[tuple[Rule, ...]] = (
        cel("!(has(self.username) && has(self.autoUser))", "give username or autoUser, not both"),
    )


class ContainerRegistry(ApiModel):
    """A container registry and its credentials: a user name and password, or a managed identity."""

    username: Label | None = optional("User name for the registry.")
    password_secret_ref: Annotated[SecretKeyRef | None, StandsFor("password")] = secret_for(
        "password", "Password for the registry."
    )
    registry_server: Path | None = optional("Host name of the registry. Defaults to docker.io.")
    identity_reference: IdentityReference | None = optional(
        "Identity that signs in to the registry instead of a user name and password."
    )
    refused: ClassVar[tuple[Refused, ...]] = (misnamed("userName", "username"),)
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "has(self.username) == has(self.passwordSecretRef) || (has(self.username) && self.username == '')",
            "username and passwordSecretRef must be given together",
        ),
    )


class ContainerBindMount(ApiModel):
    """A directory of the node to mount into the container."""

    source: Annotated[str, one_of("Shared", "Startup", "VfsMounts", "Task", "JobPrep", "Applications")] | None = (
        optional("Directory of the node.")
    )
    is_read_only: bool | None = optional("Whether the mount is read-only. Defaults to false.")


class ContainerSettings(ApiModel):
    """The container that a task runs in. The pool must have a containerConfiguration."""

    container_run_options: Path | None = optional("Additional options for docker create, such as --rm or --gpus all.")
    image_name: Path = Field(description="Image reference, such as ubuntu:24.04. The tag defaults to latest.")
    registry: ContainerRegistry | None = optional(
        "Private registry of the image. Not needed if the pool already lists the registry."
    )
    working_directory: Annotated[str, one_of("taskWorkingDirectory", "containerImageDefault")] | None = optional(
        "Working directory of the command. Defaults to taskWorkingDirectory."
    )
    container_host_batch_bind_mounts: list[ContainerBindMount] | None = many(
        "Directories of the node to mount into the container. By default, all of them are mounted.", 6
    )


class AuthenticationTokenSettings(ApiModel):
    """A token that lets the task call the Batch service."""

    access: list[Annotated[str, one_of("job")]] | None = optional(
        "Scope of the token. The only value is job, which allows all operations on the job of the task.", maxItems=1
    )


def environment(description: str = "Environment variables.") -> list[EnvironmentSetting] | None:
    """The field of a list of environment settings."""
    settings: list[EnvironmentSetting] | None = many(description, MAX_VARIABLES, key="name")
    return settings


def resource_files(
    description: str = "Files to download to the node before the command starts.",
) -> list[ResourceFile] | None:
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
