"""Models of requests and responses about jobs."""

from typing import Annotated

from pydantic import Field

from azure_batch_operator.batch.models.base import READ_ONLY, Duration, Int64, Model, Moment, Open, Prose
from azure_batch_operator.batch.models.common import (
    ApplicationPackageReference,
    EnvironmentSetting,
    MetadataItem,
    NameValuePair,
    OutputFile,
    ResourceFile,
    TaskContainerExecutionInfo,
    TaskContainerSettings,
    TaskFailureInfo,
    UserIdentity,
)
from azure_batch_operator.batch.models.enums import (
    DisableJobOption,
    ErrorCategory,
    JobPreparationTaskState,
    JobReleaseTaskState,
    JobState,
    OnAllTasksComplete,
    OnTaskFailure,
    PoolLifetimeOption,
    TaskExecutionResult,
)
from azure_batch_operator.batch.models.pools import PoolSpecification
from azure_batch_operator.batch.models.tasks import AuthenticationTokenSettings, TaskConstraints


class JobConstraints(Model):
    """Limits of a job: time to run, retries of each task (-1: without end)."""

    max_wall_clock_time: Duration | None = None
    max_task_retry_count: int | None = None


class JobNetworkConfiguration(Model):
    """Virtual network that nodes join for a job."""

    subnet_id: str
    skip_withdraw_from_vnet: bool | None = Field(None, alias="skipWithdrawFromVNet")


class JobManagerTask(Model):
    """A task that steers its job."""

    id: str
    display_name: str | None = None
    command_line: str
    container_settings: TaskContainerSettings | None = None
    resource_files: list[ResourceFile] | None = None
    output_files: list[OutputFile] | None = None
    environment_settings: list[EnvironmentSetting] | None = None
    constraints: TaskConstraints | None = None
    required_slots: int | None = None
    kill_job_on_completion: bool | None = None
    user_identity: UserIdentity | None = None
    run_exclusive: bool | None = None
    application_package_references: list[ApplicationPackageReference] | None = None
    authentication_token_settings: AuthenticationTokenSettings | None = None
    allow_low_priority_node: bool | None = None


class JobPreparationTask(Model):
    """What runs on each node before the first task of a job."""

    id: str | None = None
    command_line: str
    container_settings: TaskContainerSettings | None = None
    resource_files: list[ResourceFile] | None = None
    environment_settings: list[EnvironmentSetting] | None = None
    constraints: TaskConstraints | None = None
    wait_for_success: bool | None = None
    user_identity: UserIdentity | None = None
    rerun_on_node_reboot_after_success: bool | None = None


class JobReleaseTask(Model):
    """What runs on each node after a job."""

    id: str | None = None
    command_line: str
    container_settings: TaskContainerSettings | None = None
    resource_files: list[ResourceFile] | None = None
    environment_settings: list[EnvironmentSetting] | None = None
    max_wall_clock_time: Duration | None = None
    retention_time: Duration | None = None
    user_identity: UserIdentity | None = None


class AutoPoolSpecification(Model):
    """A pool that the service makes for a job or a schedule, and removes."""

    auto_pool_id_prefix: str | None = None
    pool_lifetime_option: Open[PoolLifetimeOption]
    keep_alive: bool | None = None
    pool: PoolSpecification | None = None


class PoolInfo(Model):
    """Where a job runs: exactly one of the two."""

    pool_id: str | None = None
    auto_pool_specification: AutoPoolSpecification | None = None


class JobSchedulingError(Model):
    """Why a job could not start."""

    category: Open[ErrorCategory] | None = None
    code: str | None = None
    message: Prose | None = None
    details: list[NameValuePair] | None = None


class JobExecutionInfo(Model):
    """How a job went."""

    start_time: Moment | None = None
    end_time: Moment | None = None
    pool_id: str | None = None
    scheduling_error: JobSchedulingError | None = None
    terminate_reason: Prose | None = None


class JobStatistics(Model):
    """Statistics of all tasks of a job."""

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
    num_succeeded_tasks: Int64 | None = None
    num_failed_tasks: Int64 | None = None
    num_task_retries: Int64 | None = None
    wait_time: Duration | None = None


class Job(Model):
    """A job, as the service describes it; also the body with which it is replaced (PUT)."""

    id: Annotated[str | None, READ_ONLY] = None
    display_name: Annotated[str | None, READ_ONLY] = None
    uses_task_dependencies: Annotated[bool | None, READ_ONLY] = None
    url: Annotated[str | None, READ_ONLY] = None
    etag: Annotated[str | None, READ_ONLY] = Field(None, alias="eTag")
    last_modified: Annotated[Moment | None, READ_ONLY] = None
    creation_time: Annotated[Moment | None, READ_ONLY] = None
    state: Annotated[Open[JobState] | None, READ_ONLY] = None
    state_transition_time: Annotated[Moment | None, READ_ONLY] = None
    previous_state: Annotated[Open[JobState] | None, READ_ONLY] = None
    previous_state_transition_time: Annotated[Moment | None, READ_ONLY] = None
    priority: int | None = None
    allow_task_preemption: bool | None = None
    max_parallel_tasks: int | None = None
    constraints: JobConstraints | None = None
    job_manager_task: Annotated[JobManagerTask | None, READ_ONLY] = None
    job_preparation_task: Annotated[JobPreparationTask | None, READ_ONLY] = None
    job_release_task: Annotated[JobReleaseTask | None, READ_ONLY] = None
    common_environment_settings: Annotated[list[EnvironmentSetting] | None, READ_ONLY] = None
    pool_info: PoolInfo | None = None
    on_all_tasks_complete: Open[OnAllTasksComplete] | None = None
    on_task_failure: Annotated[Open[OnTaskFailure] | None, READ_ONLY] = None
    network_configuration: Annotated[JobNetworkConfiguration | None, READ_ONLY] = None
    metadata: list[MetadataItem] | None = None
    execution_info: Annotated[JobExecutionInfo | None, READ_ONLY] = None
    stats: Annotated[JobStatistics | None, READ_ONLY] = None


class JobCreate(Model):
    """A job to create."""

    id: str
    display_name: str | None = None
    uses_task_dependencies: bool | None = None
    priority: int | None = None
    allow_task_preemption: bool | None = None
    max_parallel_tasks: int | None = None
    constraints: JobConstraints | None = None
    job_manager_task: JobManagerTask | None = None
    job_preparation_task: JobPreparationTask | None = None
    job_release_task: JobReleaseTask | None = None
    common_environment_settings: list[EnvironmentSetting] | None = None
    pool_info: PoolInfo
    on_all_tasks_complete: Open[OnAllTasksComplete] | None = None
    on_task_failure: Open[OnTaskFailure] | None = None
    network_configuration: JobNetworkConfiguration | None = None
    metadata: list[MetadataItem] | None = None


class JobUpdate(Model):
    """What to change in a job (PATCH): each member that is given replaces the whole of the old one."""

    priority: int | None = None
    allow_task_preemption: bool | None = None
    max_parallel_tasks: int | None = None
    constraints: JobConstraints | None = None
    pool_info: PoolInfo | None = None
    on_all_tasks_complete: Open[OnAllTasksComplete] | None = None
    metadata: list[MetadataItem] | None = None
    network_configuration: JobNetworkConfiguration | None = None


class JobDisable(Model):
    """What happens to running tasks."""

    disable_tasks: Open[DisableJobOption]


class JobTerminate(Model):
    """Why a job is ended."""

    terminate_reason: str | None = None


class TaskCounts(Model):
    """Numbers of tasks by state, and the completed ones by result."""

    active: int | None = None
    running: int | None = None
    completed: int | None = None
    succeeded: int | None = None
    failed: int | None = None


class TaskSlotCounts(Model):
    """Numbers of task slots by the state of their task."""

    active: int | None = None
    running: int | None = None
    completed: int | None = None
    succeeded: int | None = None
    failed: int | None = None


class TaskCountsResult(Model):
    """Numbers of tasks and of slots."""

    task_counts: TaskCounts | None = None
    task_slot_counts: TaskSlotCounts | None = None


class JobPreparationTaskExecutionInfo(Model):
    """How job preparation went on a node."""

    start_time: Moment | None = None
    end_time: Moment | None = None
    state: Open[JobPreparationTaskState] | None = None
    task_root_directory: str | None = None
    task_root_directory_url: str | None = None
    exit_code: int | None = None
    container_info: TaskContainerExecutionInfo | None = None
    failure_info: TaskFailureInfo | None = None
    retry_count: int | None = None
    last_retry_time: Moment | None = None
    result: Open[TaskExecutionResult] | None = None


class JobReleaseTaskExecutionInfo(Model):
    """How job release went on a node."""

    start_time: Moment | None = None
    end_time: Moment | None = None
    state: Open[JobReleaseTaskState] | None = None
    task_root_directory: str | None = None
    task_root_directory_url: str | None = None
    exit_code: int | None = None
    container_info: TaskContainerExecutionInfo | None = None
    failure_info: TaskFailureInfo | None = None
    result: Open[TaskExecutionResult] | None = None


class JobPreparationAndReleaseTaskStatus(Model):
    """Job preparation and release on one node."""

    pool_id: str | None = None
    node_id: str | None = None
    node_url: str | None = None
    job_preparation_task_execution_info: JobPreparationTaskExecutionInfo | None = None
    job_release_task_execution_info: JobReleaseTaskExecutionInfo | None = None
