"""What decisions read of the spec of a BatchJob, and of its former status, as typed values.

A `JobTerms` is built once per decision from a spec whose members are known to have their types (`api.resource`). Tasks, their
templates and what is only sent stay as they are written, since they are bodies for Azure Batch. The whole spec is compared with the
job (`reconcile.job.changes`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import field
from msgspec.structs import replace

from azure_batch_operator.api.factory import Scalar
from azure_batch_operator.api.job import OPERATOR
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.job_wire import JobPool
from azure_batch_operator.batch.task_wire import NO_CONDITIONS, DependsOn, ExitConditions
from azure_batch_operator.batch.wire import Body, Wire, build, convert
from azure_batch_operator.reconcile.references import Fallback, KeyRef, NameRef


class Depends(DependsOn, frozen=True, gc=False):
    """`dependsOn` of a task or template of a manifest; without `all_of` as Azure Batch takes it."""

    all_of: tuple[str, ...] | None = None

    def __bool__(self) -> bool:
        return self != NO_DEPENDS

    @property
    def lists(self) -> tuple[str, ...]:
        """The lists of the job that it names."""
        return self.all_of or ()

    @property
    def body(self) -> dict[str, Any]:
        """As it is sent, when `all_of` is resolved; empty if it waits for nothing."""
        found: dict[str, Any] = {}
        if self.ids:
            found["taskIds"] = [*self.ids]
        if self.ranges:
            found["taskIdRanges"] = [{"start": each.start, "end": each.end} for each in self.ranges]
        return found


NO_DEPENDS = Depends()


class TaskLinks(Wire, frozen=True, gc=False):
    """What a task has to do with others: which it waits for, and what its end does to those that wait for it."""

    id: str = ""
    depends_on: Depends = NO_DEPENDS
    exit_conditions: ExitConditions = NO_CONDITIONS

    @classmethod
    def of(cls, task: Body) -> TaskLinks:
        """From the body of a task or template; most have no links, which costs no conversion."""
        if _LINKS & task.keys():
            return convert(cls, task)
        return cls(id=str(task["id"])) if "id" in task else NO_LINKS


_LINKS = frozenset({"dependsOn", "exitConditions"})
NO_LINKS = TaskLinks()


def waits_for_others(task: Body) -> bool:
    """Whether the body of a task has a `dependsOn`. Each pass looks at all tasks of a job, so no struct is built for it."""
    return bool(task.get("dependsOn"))


class FailurePolicy(Wire, frozen=True, gc=False):
    """How many failed tasks a job tolerates, and what happens if there are more."""

    max_failed_tasks: int | None = None
    max_failed_ratio: float = 0.0
    action: str = "Continue"


class Backoff(Fallback, frozen=True, gc=False):
    """How often tasks are retried and requeued."""

    task_retries: int | None = None
    max_requeues: int | None = None

    @property
    def has_fallback(self) -> bool:
        """Whether it names a pool that a job may move to."""
        return self.fallback_pool_ref is not None or self.fallback_pool_id is not None


class Logs(Wire, frozen=True, gc=False):
    """How the output of tasks is shown and stored."""

    tail_lines: int | None = None
    upload: Body | None = None


class Sweep(Wire, frozen=True, gc=False):
    """A factory with a task per combination of values."""

    parameter_sets: Sequence[Body] | None = None


class TasksFrom(Wire, frozen=True, gc=False):
    """An entry of `tasksFrom`: a ConfigMap that lists tasks, or rows for a template."""

    config_map_key_ref: KeyRef = KeyRef()
    template: Body | None = None


class ItemsFrom(Wire, frozen=True, gc=False):
    """A ConfigMap with the items of a factory."""

    config_map_key_ref: KeyRef = KeyRef()
    format: str | None = None


class TaskPerItem(Wire, frozen=True, gc=False):
    """A factory with a task per item; `rows`, `columns` and `longest` are those of a ConfigMap (`task_sources.inlined`)."""

    items: Sequence[Scalar] | None = None
    items_from: ItemsFrom | None = None
    rows: Sequence[Sequence[str]] | None = None
    columns: Sequence[str] = ()
    longest: int | None = None


class Repeat(Wire, frozen=True, gc=False):
    """A factory with a number of tasks."""

    count: int = 0


class TaskFactory(Wire, frozen=True, gc=False):
    """Tasks that are made from a template."""

    parametric_sweep: Sweep | None = None
    task_per_item: TaskPerItem | None = None
    repeat: Repeat | None = None
    repeat_task: Body | None = None
    merge_task: Body | None = None
    id_width: int | None = None


class JobTerms(Wire, frozen=True, gc=False):
    """The spec of a BatchJob, or the part of one that describes a job.

    Attributes:
        tasks_from_starts: at which of the tasks each entry of `tasksFrom` begins (`task_sources.place`).
        whole: the spec as it is written.
    """

    pool_ref: NameRef | None = None
    pool_info: JobPool | None = None
    retry_of: NameRef | None = None
    suspend: bool = False
    suspend_policy: str = "requeue"
    tasks: Sequence[Body] | None = None
    tasks_from: tuple[TasksFrom, ...] | None = None
    tasks_from_starts: Sequence[int] = ()
    task_factory: TaskFactory | None = None
    task_prune_policy: str = "Keep"
    task_update_policy: str = "Refuse"
    job_manager_task: Body | None = None
    job_preparation_task: Body | None = None
    uses_task_dependencies: bool | None = None
    on_all_tasks_complete: str | None = None
    on_task_failure: str = "noaction"
    on_dependency_failure: str = "Fail"
    failure_policy: FailurePolicy = FailurePolicy()
    backoff: Backoff = Backoff()
    logs: Logs = Logs()
    constraints: Body | None = None
    active_deadline_seconds: int | None = None
    pending_deadline_seconds: int | None = None
    ttl_seconds_after_finished: int | None = None
    whole: Body = field(default_factory=dict)

    @classmethod
    def of(cls, spec: Body) -> JobTerms:
        """From a spec."""
        return replace(build(cls, spec), whole=spec)

    @property
    def listed(self) -> Sequence[Body]:
        """The tasks that are written out."""
        return self.tasks or ()

    @property
    def factory(self) -> TaskFactory:
        """The factory; an empty one if there is none."""
        return self.task_factory or NO_FACTORY

    @property
    def stays_open(self) -> bool:
        """Whether the spec says that the job stays open when its tasks have ended."""
        return (self.on_all_tasks_complete or "").lower() == "noaction"

    @property
    def goes_on(self) -> bool:
        """Whether tasks run although tasks that they depend on have failed."""
        return self.on_dependency_failure == "Ignore"

    @property
    def lets_tasks_act(self) -> bool:
        """Whether exit conditions of tasks may have a jobAction."""
        return self.on_task_failure.lower() == "performexitoptionsjobaction"


class JobOutline(Wire, frozen=True, gc=False):
    """The members of a spec that are read of many jobs, and before anything else of it is."""

    retry_of: NameRef | None = None
    suspend: bool = False
    managed_by: str = OPERATOR
    ttl_seconds_after_finished: int | None = None
    ttl_policy: str | None = None

    @property
    def managed_elsewhere(self) -> bool:
        """Whether another controller looks after the job."""
        return self.managed_by != OPERATOR

    @property
    def keeps_object(self) -> bool:
        """Whether the object outlives its job when its time is over."""
        return self.ttl_policy == "KeepObject"


def outline(job: Resource) -> JobOutline:
    """These members of the spec of a BatchJob."""
    return convert(JobOutline, job.spec)


class CountsBefore(Wire, frozen=True, gc=False):
    """`status.taskCounts`."""

    total: int | None = None
    submitted: int | None = None
    active: int | None = None
    running: int | None = None
    completed: int | None = None
    succeeded: int | None = None
    failed: int | None = None


NO_COUNTS_BEFORE = CountsBefore()


class RetryBefore(Wire, frozen=True, gc=False):
    """`status.retryOf`."""

    uid: str | None = None
    tasks: int = 0
    settings: Body = field(default_factory=dict)


class JobBefore(Wire, frozen=True, gc=False):
    """What the status of a BatchJob says, besides what all kinds say (`reconcile.before`)."""

    state: str | None = None
    pool_id: str | None = None
    tasks_start_time: str | None = None
    cleaned_up: bool = False
    tasks_fingerprint: str | None = None
    retry_of: RetryBefore | None = None
    task_counts: CountsBefore = NO_COUNTS_BEFORE
    retries: int | None = None
    requeues: int | None = None
    tasks_per_minute: float | None = None
    estimated_end_time: str | None = None


def job_before(job: Resource) -> JobBefore:
    """What the status of a BatchJob says already."""
    return convert(JobBefore, job.status)


def retry_noted(job: Resource) -> Body | None:
    """`status.retryOf` as it is, to be repeated; None if the status has none."""
    found = job.status.get("retryOf")
    return found if isinstance(found, Mapping) else None


NO_FACTORY = TaskFactory()
