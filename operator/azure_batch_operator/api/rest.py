"""Parts of the Batch REST bodies that several kinds share, under their REST names.

Source: seed, Tasks_CreateTask, Pools_CreatePool, Jobs_CreateJob.

Descriptions say unit and default; the service fills defaults, the CRD does not, so that the spec stays the user's.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from azure_batch_operator.api.base import (
    ApiModel,
    BatchId,
    CommandLine,
    DisplayName,
    Duration,
    Rule,
    cel,
    exactly_one_of,
    one_of,
    schema,
)

Url = Annotated[str, StringConstraints(max_length=8192)]
Path = Annotated[str, StringConstraints(max_length=4096)]
ArmId = Annotated[str, StringConstraints(max_length=2048)]


class MetadataItem(ApiModel):
    """A name-value pair that the service stores and does not interpret."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(description="Name of the item.")
    value: Annotated[str, StringConstraints(max_length=8192)] = Field(description="Value of the item.")


class EnvironmentSetting(ApiModel):
    """An environment variable."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(description="Name of the variable.")
    value: Annotated[str, StringConstraints(max_length=65536)] | None = Field(
        default=None, description="Its value; anybody who may read this object or the task in Azure Batch can see it."
    )


class IdentityReference(ApiModel):
    """A user-assigned managed identity of the pool."""

    resource_id: ArmId = Field(description="ARM resource id of the identity.")


class ResourceFile(ApiModel):
    """A file, or all blobs of a container, to put on the node before a task starts."""

    auto_storage_container_name: Path | None = Field(
        default=None, description="A container of the account's auto-storage; its blobs are downloaded."
    )
    storage_container_url: Url | None = Field(
        default=None, description="URL of a blob container; needs read and list rights (SAS or identity)."
    )
    http_url: Url | None = Field(default=None, description="URL of one file to download.")
    blob_prefix: Path | None = Field(
        default=None, description="Only blobs whose names begin so; with the two container sources only."
    )
    file_path: Path | None = Field(
        default=None,
        description="Where the file goes, relative to the working directory; required with httpUrl, otherwise a directory.",
    )
    file_mode: Annotated[str, StringConstraints(pattern=r"^[0-7]{3,4}$")] | None = Field(
        default=None, description="Octal mode on Linux; 0770 if left out."
    )
    identity_reference: IdentityReference | None = Field(
        default=None, description="Identity with which the storage is read."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(
            ("autoStorageContainerName", "storageContainerUrl", "httpUrl"),
            "give exactly one of autoStorageContainerName, storageContainerUrl and httpUrl",
        ),
        cel("!has(self.httpUrl) || has(self.filePath)", "filePath is required with httpUrl", ".filePath"),
    )


class OutputFileContainer(ApiModel):
    """The container that output files go to."""

    container_url: Url = Field(description="URL of the container; needs write rights (SAS or identity).")
    path: Path | None = Field(
        default=None, description="Blob name, or the virtual directory if filePattern has a wildcard; default: root."
    )
    identity_reference: IdentityReference | None = Field(
        default=None, description="Identity with which the storage is written."
    )


class OutputFileDestination(ApiModel):
    """Where output files go."""

    container: OutputFileContainer | None = Field(default=None, description="A blob container.")


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

    scope: Annotated[str, one_of("task", "pool")] | None = Field(
        default=None, description="A user of its own per task, or one per node; pool if left out."
    )
    elevation_level: Annotated[str, one_of("nonadmin", "admin")] | None = Field(
        default=None, description="nonadmin if left out."
    )


class UserIdentity(ApiModel):
    """As whom a task runs: a named user of the pool, or an auto user."""

    username: Annotated[str, StringConstraints(max_length=256)] | None = Field(
        default=None, description="Name of a user account of the pool."
    )
    auto_user: AutoUser | None = Field(default=None, description="Auto user; scope pool, nonadmin if left out.")
    rules: ClassVar[tuple[Rule, ...]] = (
        cel("!(has(self.username) && has(self.autoUser))", "give username or autoUser, not both"),
    )


class TaskConstraints(ApiModel):
    """Limits of one task."""

    max_wall_clock_time: Duration | None = Field(
        default=None, description="From start to end of one try; the task is ended beyond it. Unlimited if left out."
    )
    retention_time: Duration | None = Field(
        default=None, description="How long its directory stays on the node after the end; P7D if left out."
    )
    max_task_retry_count: Annotated[int, Field(ge=-1)] | None = Field(
        default=None,
        description="Further tries after a non-zero exit code; -1 without limit; the job's value if left out.",
    )


class JobConstraints(ApiModel):
    """Limits of a job."""

    max_wall_clock_time: Duration | None = Field(
        default=None, description="How long the job may live; it is terminated beyond. Unlimited if left out."
    )
    max_task_retry_count: Annotated[int, Field(ge=-1)] | None = Field(
        default=None, description="Default of its tasks' maxTaskRetryCount; 0 if left out."
    )


class TaskIdRange(ApiModel):
    """Tasks with integer ids from start to end, both included."""

    start: int = Field(description="First id.")
    end: int = Field(description="Last id.")


class TaskDependencies(ApiModel):
    """Tasks that must have ended well before this one starts."""

    task_ids: list[BatchId] | None = Field(
        default=None, description="Their ids, at most 64000 characters in all.", json_schema_extra=schema(maxItems=1000)
    )
    task_id_ranges: list[TaskIdRange] | None = Field(
        default=None, description="Ranges of integer ids.", json_schema_extra=schema(maxItems=100)
    )


class ExitOptions(ApiModel):
    """What follows from an exit."""

    job_action: Annotated[str, one_of("none", "disable", "terminate")] | None = Field(
        default=None, description="What happens to the job; only with onTaskFailure performexitoptionsjobaction."
    )
    dependency_action: Annotated[str, one_of("satisfy", "block")] | None = Field(
        default=None, description="Whether tasks that depend on this one may run; block after a failure if left out."
    )


class ExitCodeMapping(ApiModel):
    """What follows from one exit code."""

    code: int = Field(description="The exit code.")
    exit_options: ExitOptions = Field(description="What follows.")


class ExitCodeRangeMapping(ApiModel):
    """What follows from a range of exit codes."""

    start: int = Field(description="First exit code.")
    end: int = Field(description="Last exit code.")
    exit_options: ExitOptions = Field(description="What follows.")


class ExitConditions(ApiModel):
    """How the service reacts to the task's end."""

    exit_codes: list[ExitCodeMapping] | None = Field(
        default=None, description="By exit code.", json_schema_extra=schema(maxItems=100)
    )
    exit_code_ranges: list[ExitCodeRangeMapping] | None = Field(
        default=None, description="By range of exit codes.", json_schema_extra=schema(maxItems=100)
    )
    pre_processing_error: ExitOptions | None = Field(default=None, description="If the task could not start.")
    file_upload_error: ExitOptions | None = Field(default=None, description="If an output file was not uploaded.")
    default: ExitOptions | None = Field(default=None, description="In all other cases of failure.")


class AffinityInfo(ApiModel):
    """Where a task would like to run."""

    affinity_id: Annotated[str, StringConstraints(max_length=1024)] = Field(
        description="affinityId of a node or of a task; a hint, not a demand."
    )


class TaskTemplate(ApiModel):
    """The properties of a task other than its id (seed: Tasks_CreateTask)."""

    display_name: DisplayName | None = Field(default=None, description="Name for people; need not be unique.")
    command_line: CommandLine = Field(
        description="The command, not run in a shell: wrap it in /bin/sh -c '…' for variables, pipes and redirection."
    )
    resource_files: list[ResourceFile] | None = Field(
        default=None, description="Files to put on the node first.", json_schema_extra=schema(maxItems=200)
    )
    output_files: list[OutputFile] | None = Field(
        default=None, description="Files to upload afterwards.", json_schema_extra=schema(maxItems=100)
    )
    environment_settings: list[EnvironmentSetting] | None = Field(
        default=None,
        description="Environment variables.",
        json_schema_extra=schema(x_kubernetes_list_type="map", x_kubernetes_list_map_keys=["name"], maxItems=200),
    )
    affinity_info: AffinityInfo | None = Field(default=None, description="Where the task would like to run.")
    constraints: TaskConstraints | None = Field(default=None, description="Time, retention and retries.")
    required_slots: Annotated[int, Field(ge=1, le=256)] | None = Field(
        default=None, description="Task slots that it occupies on a node; 1 if left out."
    )
    user_identity: UserIdentity | None = Field(default=None, description="As whom it runs.")
    exit_conditions: ExitConditions | None = Field(default=None, description="How the service reacts to its end.")


class Task(TaskTemplate):
    """One task with its id."""

    id: BatchId = Field(description="Id of the task within its job; not case-sensitive.")
    depends_on: TaskDependencies | None = Field(
        default=None, description="Tasks that must have ended well before this one starts."
    )
