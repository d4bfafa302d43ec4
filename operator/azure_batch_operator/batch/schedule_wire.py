"""Job schedules and their jobs as typed values, beside tasks and nodes in `batch.wire`."""

from __future__ import annotations

from msgspec import field

from azure_batch_operator.batch.job_wire import JobExecution
from azure_batch_operator.batch.pool_wire import MetadataItem
from azure_batch_operator.batch.wire import Duration, Moment, Whole, Wire


class Recurrence(Wire, frozen=True, gc=False):
    """When a schedule creates jobs."""

    recurrence_interval: Duration | None = None


class JobLimits(Wire, frozen=True, gc=False):
    """Limits of the jobs."""

    max_wall_clock_time: Duration | None = None


class JobManager(Wire, frozen=True, gc=False):
    """The job manager task of the jobs."""

    id: str | None = None
    kill_job_on_completion: bool | None = None


class JobTemplate(Wire, frozen=True, gc=False):
    """What the jobs are made from."""

    on_all_tasks_complete: str = "noaction"
    constraints: JobLimits | None = None
    job_manager_task: JobManager | None = None

    @property
    def wall_clock_limit(self) -> str | None:
        """How long a job may run; None if that is not limited."""
        return None if self.constraints is None else self.constraints.max_wall_clock_time

    @property
    def ends_with_manager(self) -> bool:
        """Whether a job ends with its job manager task, if the service says anything of one."""
        manager = self.job_manager_task
        return manager not in (None, _NO_MANAGER) and manager.kill_job_on_completion is not False


class RecentJob(Wire, frozen=True, gc=False):
    """The last job that a schedule created."""

    id: str | None = None


class ScheduleExecution(Wire, frozen=True, gc=False):
    """What a schedule has done and will do."""

    next_run_time: Moment | None = None
    end_time: Moment | None = None
    recent_job: RecentJob | None = None


class ScheduleStatistics(Wire, frozen=True, gc=False):
    """Totals over all jobs; the service writes these numbers as texts."""

    num_succeeded_tasks: str | int | None = None
    num_failed_tasks: str | int | None = None
    num_task_retries: str | int | None = None


class JobSchedule(Wire, frozen=True, gc=False):
    """What is decided from of a schedule; its whole body is compared with the spec (`reconcile.schedule.changes`)."""

    id: str = ""
    etag: str | None = field(default=None, name="eTag")
    creation_time: Moment | None = None
    state: str | None = None
    schedule: Recurrence | None = None
    job_specification: JobTemplate | None = None
    execution_info: ScheduleExecution | None = None
    metadata: tuple[MetadataItem, ...] = ()
    stats: ScheduleStatistics | None = None

    @property
    def execution(self) -> ScheduleExecution:
        """What it has done and will do; empty if unknown."""
        return self.execution_info or _NO_EXECUTION

    @property
    def recent_job(self) -> str | None:
        """Id of the last job that it created."""
        recent = self.execution.recent_job
        return (recent.id or None) if recent else None

    @property
    def template(self) -> JobTemplate:
        """What its jobs are made from; empty if unknown."""
        return self.job_specification or _NO_TEMPLATE

    @property
    def recurs(self) -> bool:
        """Whether it creates more than one job."""
        return self.schedule is not None and bool(self.schedule.recurrence_interval)


class JobResults(Wire, frozen=True, gc=False):
    """Numbers of the tasks of a job that have ended."""

    succeeded: Whole | None = None
    failed: Whole | None = None


class ScheduledJob(Wire, frozen=True, gc=False):
    """A job that a schedule created, with the results of its tasks once they are known."""

    id: str = ""
    state: str | None = None
    execution_info: JobExecution | None = None
    task_counts: JobResults | None = None

    @property
    def execution(self) -> JobExecution:
        """How it went; empty if unknown."""
        return self.execution_info or _NO_RUN

    @property
    def results(self) -> JobResults:
        """Numbers of its tasks; empty if unknown."""
        return self.task_counts or _NO_RESULTS


_NO_MANAGER = JobManager()
_NO_EXECUTION = ScheduleExecution()
_NO_TEMPLATE = JobTemplate()
_NO_RUN = JobExecution()
_NO_RESULTS = JobResults()
