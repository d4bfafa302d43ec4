"""Jobs as typed values, beside the tasks and nodes in `batch.wire` and the pools in `batch.pool_wire`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from azure_batch_operator.batch.pool_wire import MetadataItem
from azure_batch_operator.batch.wire import Duration, Failure, Moment, Prose, Whole, Wire


class JobPool(Wire, frozen=True, gc=False):
    """Where a job is to run; without an ID on a pool that the service creates for it."""

    pool_id: str | None = None


class SchedulingError(Failure, frozen=True, gc=False):
    """Why a job could not start."""


class JobExecution(Wire, frozen=True, gc=False):
    """When and where a job ran, and why it ended."""

    start_time: Moment | None = None
    end_time: Moment | None = None
    pool_id: str | None = None
    terminate_reason: Prose | None = None
    scheduling_error: SchedulingError | None = None

    @property
    def error(self) -> SchedulingError | None:
        """Why it could not start, if the service says anything of that."""
        return None if self.scheduling_error == _NO_ERROR else self.scheduling_error


class JobConstraints(Wire, frozen=True, gc=False):
    """Limits of a job."""

    max_wall_clock_time: Duration | None = None
    max_task_retry_count: Whole | None = None


class Job(Wire, frozen=True, gc=False):
    """What is decided from of a job; what is compared with the spec is read from the whole body (`reconcile.job.changes`)."""

    id: Annotated[str, Meta(min_length=1)]
    etag: str | None = field(default=None, name="eTag")
    creation_time: Moment | None = None
    state: str | None = None
    previous_state: str | None = None
    state_transition_time: Moment | None = None
    on_all_tasks_complete: str = "noaction"
    on_task_failure: str | None = None
    uses_task_dependencies: bool = False
    pool_info: JobPool | None = None
    metadata: tuple[MetadataItem, ...] = ()
    constraints: JobConstraints | None = None
    execution_info: JobExecution | None = None

    @property
    def execution(self) -> JobExecution:
        """How it went; empty if unknown."""
        return self.execution_info or _NO_EXECUTION

    @property
    def pool(self) -> str | None:
        """Id of the pool that it names; None for one with a pool of its own."""
        return None if self.pool_info is None else self.pool_info.pool_id

    @property
    def ends_with_its_tasks(self) -> bool:
        """Whether the service ends the job when its tasks have ended, which it does not let anybody take back."""
        return self.on_all_tasks_complete.lower() == "terminatejob"

    @property
    def stays_open(self) -> bool:
        """Whether it may still be told to end when its tasks have ended."""
        return self.on_all_tasks_complete.lower() == "noaction"

    @property
    def lets_tasks_act(self) -> bool:
        """Whether exit conditions of its tasks may have a jobAction."""
        return (self.on_task_failure or "").lower() == "performexitoptionsjobaction"

    def note(self, name: str) -> str | None:
        """The value of an item of its metadata; None if there is no such item."""
        return next((item.value for item in self.metadata if item.name == name), None)


_NO_ERROR = SchedulingError()
_NO_EXECUTION = JobExecution()
