"""Models of requests and responses about job schedules."""

from typing import Annotated

from pydantic import Field

from azure_batch_operator.batch.models.base import READ_ONLY, Duration, Int64, Model, Moment, Open
from azure_batch_operator.batch.models.common import EnvironmentSetting, MetadataItem
from azure_batch_operator.batch.models.enums import JobScheduleState, OnAllTasksComplete, OnTaskFailure
from azure_batch_operator.batch.models.jobs import (
    JobConstraints,
    JobManagerTask,
    JobNetworkConfiguration,
    JobPreparationTask,
    JobReleaseTask,
    PoolInfo,
)


class JobScheduleConfiguration(Model):
    """When a schedule makes jobs."""

    do_not_run_until: Moment | None = None
    do_not_run_after: Moment | None = None
    start_window: Duration | None = None
    recurrence_interval: Duration | None = None


class JobSpecification(Model):
    """The jobs that a schedule makes."""

    priority: int | None = None
    allow_task_preemption: bool | None = None
    max_parallel_tasks: int | None = None
    display_name: str | None = None
    uses_task_dependencies: bool | None = None
    on_all_tasks_complete: Open[OnAllTasksComplete] | None = None
    on_task_failure: Open[OnTaskFailure] | None = None
    network_configuration: JobNetworkConfiguration | None = None
    constraints: JobConstraints | None = None
    job_manager_task: JobManagerTask | None = None
    job_preparation_task: JobPreparationTask | None = None
    job_release_task: JobReleaseTask | None = None
    common_environment_settings: list[EnvironmentSetting] | None = None
    pool_info: PoolInfo
    metadata: list[MetadataItem] | None = None


class RecentJob(Model):
    """The last job that a schedule made."""

    id: str | None = None
    url: str | None = None


class JobScheduleExecutionInfo(Model):
    """What a schedule did and will do."""

    next_run_time: Moment | None = None
    recent_job: RecentJob | None = None
    end_time: Moment | None = None


class JobScheduleStatistics(Model):
    """Statistics of all jobs of a schedule."""

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


class JobSchedule(Model):
    """A job schedule, as the service describes it; also the body with which it is replaced (PUT)."""

    id: Annotated[str | None, READ_ONLY] = None
    display_name: Annotated[str | None, READ_ONLY] = None
    url: Annotated[str | None, READ_ONLY] = None
    etag: Annotated[str | None, READ_ONLY] = Field(None, alias="eTag")
    last_modified: Annotated[Moment | None, READ_ONLY] = None
    creation_time: Annotated[Moment | None, READ_ONLY] = None
    state: Annotated[Open[JobScheduleState] | None, READ_ONLY] = None
    state_transition_time: Annotated[Moment | None, READ_ONLY] = None
    previous_state: Annotated[Open[JobScheduleState] | None, READ_ONLY] = None
    previous_state_transition_time: Annotated[Moment | None, READ_ONLY] = None
    schedule: JobScheduleConfiguration | None = None
    job_specification: JobSpecification | None = None
    execution_info: Annotated[JobScheduleExecutionInfo | None, READ_ONLY] = None
    metadata: list[MetadataItem] | None = None
    stats: Annotated[JobScheduleStatistics | None, READ_ONLY] = None


class JobScheduleCreate(Model):
    """A job schedule to create."""

    id: str
    display_name: str | None = None
    schedule: JobScheduleConfiguration
    job_specification: JobSpecification
    metadata: list[MetadataItem] | None = None


class JobScheduleUpdate(Model):
    """What to change in a schedule (PATCH): each member that is given replaces the whole of the old one."""

    schedule: JobScheduleConfiguration | None = None
    job_specification: JobSpecification | None = None
    metadata: list[MetadataItem] | None = None
