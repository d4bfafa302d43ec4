"""Models of requests and responses about tasks."""

from typing import Annotated

from pydantic import Field

from azure_batch_operator.batch.models.base import READ_ONLY, Duration, Int64, Model, Moment, Open
from azure_batch_operator.batch.models.common import (
    ApplicationPackageReference,
    EnvironmentSetting,
    OutputFile,
    ResourceFile,
    TaskContainerExecutionInfo,
    TaskContainerSettings,
    TaskFailureInfo,
    UserIdentity,
)
from azure_batch_operator.batch.models.enums import (
    AccessScope,
    DependencyAction,
    JobAction,
    SubtaskState,
    TaskAddStatus,
    TaskExecutionResult,
    TaskState,
)


class TaskConstraints(Model):
    """Limits of a task: time to run, time to keep its files, retries (-1: without end)."""

    max_wall_clock_time: Duration | None = None
    retention_time: Duration | None = None
    max_task_retry_count: int | None = None


class ExitOptions(Model):
    """What the end of a task does to its job and to those that depend on it."""

    job_action: Open[JobAction] | None = None
    dependency_action: Open[DependencyAction] | None = None


class ExitCodeMapping(Model):
    """What one exit code does."""

    code: int
    exit_options: ExitOptions


class ExitCodeRangeMapping(Model):
    """What exit codes of a range do, both ends included."""

    start: int
    end: int
    exit_options: ExitOptions


class ExitConditions(Model):
    """What each way of ending does."""

    exit_codes: list[ExitCodeMapping] | None = None
    exit_code_ranges: list[ExitCodeRangeMapping] | None = None
    pre_processing_error: ExitOptions | None = None
    file_upload_error: ExitOptions | None = None
    default: ExitOptions | None = None


class AffinityInfo(Model):
    """A node that a task should run on, if it can."""

    affinity_id: str


class MultiInstanceSettings(Model):
    """A task that runs on several nodes at once."""

    number_of_instances: int | None = None
    coordination_command_line: str
    common_resource_files: list[ResourceFile] | None = None


class TaskIdRange(Model):
    """Ids of tasks, as numbers, both ends included."""

    start: int
    end: int


class TaskDependencies(Model):
    """Tasks that must end first."""

    task_ids: list[str] | None = None
    task_id_ranges: list[TaskIdRange] | None = None


class AuthenticationTokenSettings(Model):
    """What a task may do to its job."""

    access: list[Open[AccessScope]] | None = None


class TaskExecutionInfo(Model):
    """How the last run of a task went; retries and requeues are counted apart."""

    start_time: Moment | None = None
    end_time: Moment | None = None
    exit_code: int | None = None
    container_info: TaskContainerExecutionInfo | None = None
    failure_info: TaskFailureInfo | None = None
    retry_count: int | None = None
    last_retry_time: Moment | None = None
    requeue_count: int | None = None
    last_requeue_time: Moment | None = None
    result: Open[TaskExecutionResult] | None = None


class NodeInfo(Model):
    """Where a task ran."""

    affinity_id: str | None = None
    node_url: str | None = None
    pool_id: str | None = None
    node_id: str | None = None
    task_root_directory: str | None = None
    task_root_directory_url: str | None = None


class TaskStatistics(Model):
    """Resources that a task used."""

    url: str | None = None
    start_time: Moment | None = None
    last_update_time: Moment | None = None
    user_cpu_time: Duration | None = Field(None, alias="userCPUTime")
    kernel_cpu_time: Duration | None = Field(None, alias="kernelCPUTime")
    wall_clock_time: Duration | None = None
    read_iops: Int64 | None = Field(None, alias="readIOps")
    write_iops: Int64 | None = Field(None, alias="writeIOps")
    read_io_gib: float | None = Field(None, alias="readIOGiB")
    write_io_gib: float | None = Field(None, alias="writeIOGiB")
    wait_time: Duration | None = None


class TaskCreate(Model):
    """A task to add."""

    id: str
    display_name: str | None = None
    exit_conditions: ExitConditions | None = None
    command_line: str
    container_settings: TaskContainerSettings | None = None
    resource_files: list[ResourceFile] | None = None
    output_files: list[OutputFile] | None = None
    environment_settings: list[EnvironmentSetting] | None = None
    affinity_info: AffinityInfo | None = None
    constraints: TaskConstraints | None = None
    required_slots: int | None = None
    user_identity: UserIdentity | None = None
    multi_instance_settings: MultiInstanceSettings | None = None
    depends_on: TaskDependencies | None = None
    application_package_references: list[ApplicationPackageReference] | None = None
    authentication_token_settings: AuthenticationTokenSettings | None = None


class TaskGroup(Model):
    """Tasks to add together, at most 100 and 1 MiB."""

    value: list[TaskCreate]


class Task(Model):
    """A task, as the service describes it."""

    id: Annotated[str | None, READ_ONLY] = None
    display_name: Annotated[str | None, READ_ONLY] = None
    url: Annotated[str | None, READ_ONLY] = None
    etag: Annotated[str | None, READ_ONLY] = Field(None, alias="eTag")
    last_modified: Annotated[Moment | None, READ_ONLY] = None
    creation_time: Annotated[Moment | None, READ_ONLY] = None
    exit_conditions: Annotated[ExitConditions | None, READ_ONLY] = None
    state: Annotated[Open[TaskState] | None, READ_ONLY] = None
    state_transition_time: Annotated[Moment | None, READ_ONLY] = None
    previous_state: Annotated[Open[TaskState] | None, READ_ONLY] = None
    previous_state_transition_time: Annotated[Moment | None, READ_ONLY] = None
    command_line: Annotated[str | None, READ_ONLY] = None
    container_settings: Annotated[TaskContainerSettings | None, READ_ONLY] = None
    resource_files: Annotated[list[ResourceFile] | None, READ_ONLY] = None
    output_files: Annotated[list[OutputFile] | None, READ_ONLY] = None
    environment_settings: Annotated[list[EnvironmentSetting] | None, READ_ONLY] = None
    affinity_info: Annotated[AffinityInfo | None, READ_ONLY] = None
    constraints: TaskConstraints | None = None
    required_slots: Annotated[int | None, READ_ONLY] = None
    user_identity: Annotated[UserIdentity | None, READ_ONLY] = None
    execution_info: Annotated[TaskExecutionInfo | None, READ_ONLY] = None
    node_info: Annotated[NodeInfo | None, READ_ONLY] = None
    multi_instance_settings: Annotated[MultiInstanceSettings | None, READ_ONLY] = None
    stats: Annotated[TaskStatistics | None, READ_ONLY] = None
    depends_on: Annotated[TaskDependencies | None, READ_ONLY] = None
    application_package_references: Annotated[list[ApplicationPackageReference] | None, READ_ONLY] = None
    authentication_token_settings: Annotated[AuthenticationTokenSettings | None, READ_ONLY] = None


class Subtask(Model):
    """One of the further instances of a multi-instance task."""

    id: int | None = None
    node_info: NodeInfo | None = None
    start_time: Moment | None = None
    end_time: Moment | None = None
    exit_code: int | None = None
    container_info: TaskContainerExecutionInfo | None = None
    failure_info: TaskFailureInfo | None = None
    state: Open[SubtaskState] | None = None
    state_transition_time: Moment | None = None
    previous_state: Open[SubtaskState] | None = None
    previous_state_transition_time: Moment | None = None
    result: Open[TaskExecutionResult] | None = None


class ErrorMessage(Model):
    """Text of an error, and its language."""

    lang: str | None = None
    value: str | None = None


class ErrorDetail(Model):
    """A detail of an error."""

    key: str | None = None
    value: str | None = None


class Error(Model):
    """An error of the service."""

    code: str | None = None
    message: ErrorMessage | None = None
    values: list[ErrorDetail] | None = None


class TaskAddResult(Model):
    """What happened to one task of a collection."""

    status: Open[TaskAddStatus] | None = None
    task_id: str | None = None
    etag: str | None = Field(None, alias="eTag")
    last_modified: Moment | None = None
    location: str | None = None
    error: Error | None = None


class TaskAddCollectionResult(Model):
    """What happened to each task of a collection."""

    value: list[TaskAddResult] | None = None
