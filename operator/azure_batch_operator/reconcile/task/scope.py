"""The input of decisions about a BatchTask: its job, the last list of the job's tasks, and whether it is being submitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from azure_batch_operator.api.base import RETRY_FAILED, TERMINATE
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.errors import BatchError
from azure_batch_operator.batch.job_wire import Job
from azure_batch_operator.batch.wire import build, convert
from azure_batch_operator.reconcile.adoption import NO_OTHERS, Others
from azure_batch_operator.reconcile.annotations import pending_request
from azure_batch_operator.reconcile.before import Before, status_before
from azure_batch_operator.reconcile.observed import NO_OUTPUT, ObservedTask, TaskOutput
from azure_batch_operator.reconcile.plan import Absent, AccountView, Remote
from azure_batch_operator.reconcile.status import ENDED_PHASES, has_ended
from azure_batch_operator.reconcile.target_pool import NOT_ALLOWED
from azure_batch_operator.reconcile.task.spec import TaskTerms

BLOCKED = "DependencyFailed"
"""Reason of a task that never starts, because it depends on a failed one."""


@dataclass(frozen=True)
class JobView:
    """The job of a task.

    Attributes:
        exists: whether the BatchJob does; always, where the job exists only in Azure Batch.
        id: of the job in Azure Batch; empty if it is not known. Without its BatchJob, the one that the task was added to.
        remote: the job as the last poll saw it.
        ours: whether it has the marker of that BatchJob, or needs none.
        finished: whether the BatchJob has ended.
        upload: its `spec.logs.upload`, if it has any.
        goes_on: whether its tasks run even if tasks that they depend on have failed.
        used: whether something was, or may have been, created for its BatchJob, or for a former one of that name; if not, no task
            was ever added to it.
        former: whether its BatchJob is gone, or now stands for another job; then only the status of the task names this one.
        foreign: why tasks of this namespace may not be added to the job that `jobId` names; None if they may.
        foreign_pool: why they may not run on the pool of the job; None if they may.
    """

    exists: bool
    id: str = ""
    remote: Remote = Absent.UNKNOWN
    ours: bool = False
    finished: bool = False
    upload: Mapping[str, object] | None = None
    goes_on: bool = False
    used: bool = True
    former: bool = False
    foreign: str | None = None
    foreign_pool: str | None = None

    @cached_property
    def job(self) -> Job | None:
        """The job as decisions read it; None if it is not known or does not exist."""
        return None if isinstance(self.remote, Absent) else build(Job, self.remote)

    @property
    def state(self) -> str | None:
        """State of the job; None if it is not known or does not exist."""
        return None if self.job is None else self.job.state

    @property
    def refusal(self) -> tuple[str, str] | None:
        """Reason and message why tasks of this namespace may not be added; None if they may."""
        if self.foreign is not None:
            text = f"spec.jobId names a job that this namespace may not use: {self.foreign}. "
            text += "Name a job that an object of this namespace owns, or one that was created outside Kubernetes"
            return "JobNotAllowed", text
        if self.foreign_pool is not None:
            return NOT_ALLOWED, f"job {self.id!r} is on a pool that this namespace may not use: {self.foreign_pool}"
        return None


@dataclass(frozen=True)
class TaskView:
    """What is known about the task itself.

    Attributes:
        remote: the task as the last list saw it.
        pending: whether the submitter is adding it.
        refused: why the submitter could not add it.
        retry_in: seconds until the submitter may try again.
        depends_on: ids of the tasks that `dependsOnRefs` names.
        problem: reason and message if one of these does not exist or is in another job.
        blocked_by: name of a BatchTask that it depends on and that has failed, or will never start.
        late: output that was read after the end of the task was observed.
        unclaimed: whether its finalizer says nothing, as it was created with it, and nothing was done for it.
        never_sent: whether no process can have sent it, so that a task of its ID can only be somebody else's.
    """

    remote: ObservedTask | Absent = Absent.UNKNOWN
    pending: bool = False
    refused: BatchError | None = None
    retry_in: float | None = None
    depends_on: Sequence[str] = ()
    problem: tuple[str, str] | None = None
    blocked_by: str | None = None
    late: TaskOutput = NO_OUTPUT
    unclaimed: bool = False
    never_sent: bool = False


@dataclass(frozen=True)
class TaskScope:
    """The input of the decision about a BatchTask.

    Attributes:
        cluster: id of this cluster, part of the ownership marker.
        now: seconds since the epoch.
        others: what is known about other owners.
        late: seconds for which an addition without a response may still take effect, zero or less if it may have since the last
            list; None if there was no such addition.
    """

    resource: Resource
    account: AccountView
    job: JobView
    view: TaskView
    cluster: str
    now: float
    others: Others = NO_OTHERS
    late: float | None = None

    @cached_property
    def spec(self) -> TaskTerms:
        """The spec as decisions read it."""
        return convert(TaskTerms, self.resource.spec)

    @property
    def before(self) -> Before:
        """What the current status says."""
        return status_before(self.resource)

    @property
    def remote(self) -> ObservedTask | Absent:
        """The task as the last list saw it."""
        return self.view.remote


@dataclass(frozen=True)
class LiveTask:
    """An existing task of the object: the input of the steps in its lifecycle.

    Attributes:
        scope: everything else that is known.
        remote: the task in Azure Batch; after its end, with the output that was read later.
    """

    scope: TaskScope
    remote: ObservedTask

    @property
    def resource(self) -> Resource:
        """The BatchTask."""
        return self.scope.resource

    @property
    def job(self) -> JobView:
        """The job that the task is in."""
        return self.scope.job

    @property
    def state(self) -> str:
        """State in Azure Batch: `active`, `preparing`, `running`, `completed`."""
        return str(self.remote.state)

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.state == "completed"

    @property
    def spec(self) -> TaskTerms:
        """The spec of the BatchTask as decisions read it."""
        return self.scope.spec

    @property
    def job_state(self) -> str | None:
        """State of its job; None if that is not known."""
        return self.job.state


def is_open(resource: Resource) -> bool:
    """Whether the poller still requests the task."""
    if resource.deleting or not has_ended(resource):
        return True
    return bool(pending_request(resource, RETRY_FAILED) or pending_request(resource, TERMINATE))


def is_blocked(resource: Resource) -> bool:
    """Whether the status says that the task never starts, because it depends on a failed one."""
    before = status_before(resource)
    return before.reason == BLOCKED and before.phase not in ENDED_PHASES
