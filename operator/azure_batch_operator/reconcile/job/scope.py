"""The input of decisions about a BatchJob: one frozen value that every step of its lifecycle receives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.errors import BatchError
from azure_batch_operator.batch.job_wire import Job
from azure_batch_operator.batch.wire import Body, TaskCounts, build
from azure_batch_operator.reconcile.adoption import NO_OTHERS, Others, is_foreign
from azure_batch_operator.reconcile.job import changes
from azure_batch_operator.reconcile.job.failures import blocked
from azure_batch_operator.reconcile.job.spec import JobBefore, JobTerms, job_before
from azure_batch_operator.reconcile.observed import FailedNode, FailedTask
from azure_batch_operator.reconcile.plan import Absent, AccountView, Remote
from azure_batch_operator.reconcile.target_pool import TargetPoolView


@dataclass(frozen=True)
class TasksView:
    """What is known about the tasks of a job.

    Attributes:
        counts, slots: `taskCounts` and `taskSlotCounts` of the service; they lag (docs/azure-batch.md#jobs).
        failed: failed tasks, a bounded number of them, some with `stderr_tail`.
        failed_count: how many failed tasks the service has, counted by listing.
        unfinished: how many tasks have not ended, counted by listing after the job was completed; None before.
        unfinished_at: when lists last showed unfinished tasks, or failed ones, of a job whose counts showed none (seconds since the
            epoch), so that it was not told to end; None if they never did.
        lost: how many tasks were in the job and no longer exist, for example because another client has deleted them.
        found: number of tasks of an ended job, from complete lists; None if the lists are not complete.
        awaits_counts: whether the job was completed and its lists and counts do not agree yet.
        submitted: how many of the job's own tasks are known to be in Azure Batch.
        complete: whether this process has added all of them.
        refused: why adding them does not continue.
        retry_in: seconds until that is retried.
        others_pending: whether BatchTasks of this job wait to be added, or more of them may come from the same `apply`.
        others_in: how many BatchTasks have run in this incarnation of the job; counted after its end.
        others_blocked: how many BatchTasks of this job wait forever, because they depend on failed ones.
        fingerprint: of the sources of the tasks as the user wrote them.
        unread: reason and message why the ConfigMaps of the tasks can no longer be read; None if they can.
        different: at most five tasks that differ from the spec and were not changed: ID and members that differ.
        different_count: how many of them there are.
        kept: whether one of them was to be replaced, but the job ends with its tasks.
        retries, requeues: sums over the tasks; None before they were counted.
        most_requeues: of one task.
        retried: value of the annotation by which failed tasks were reactivated last, by this process.
        retried_number: how many tasks that were.
        retried_others: how many failed tasks were not retried, because they belong to BatchTasks.
        retry_until: time of the last failure that the annotation is about, as far as this process knows.
        retry_refused: why not all failed tasks were reactivated, as the annotation requests.
        per_minute, estimated_end: speed and expected end (seconds since the epoch), None while too little is known.
        node_failures: nodes on which a preparation or release task has failed.
    """

    counts: TaskCounts | None = None
    slots: TaskCounts | None = None
    failed: Sequence[FailedTask] = ()
    failed_count: int = 0
    unfinished: int | None = None
    unfinished_at: float | None = None
    lost: int = 0
    found: int | None = None
    awaits_counts: bool = False
    submitted: int | None = None
    complete: bool = False
    refused: BatchError | None = None
    retry_in: float | None = None
    others_pending: bool = False
    others_in: int = 0
    others_blocked: int = 0
    fingerprint: str = ""
    unread: tuple[str, str] | None = None
    different: Sequence[str] = ()
    different_count: int = 0
    kept: bool = False
    retries: int | None = None
    requeues: int | None = None
    most_requeues: int = 0
    retried: str | None = None
    retried_number: int = 0
    retried_others: int = 0
    retry_until: str | None = None
    retry_refused: BatchError | None = None
    per_minute: float | None = None
    estimated_end: float | None = None
    node_failures: Sequence[FailedNode] = ()

    @property
    def active(self) -> int:
        """Waiting tasks, according to the counts of the service."""
        return self.counts.active if self.counts else 0

    @property
    def running(self) -> int:
        """Tasks that run."""
        return self.counts.running if self.counts else 0

    @property
    def completed(self) -> int:
        """Tasks that have ended."""
        return self.counts.completed if self.counts else 0

    @property
    def present(self) -> int:
        """Tasks of the job, whatever their state."""
        return self.active + self.running + self.completed


@dataclass(frozen=True)
class JobScope:
    """The input of the decision about a BatchJob.

    Attributes:
        remote: the job as the last poll saw it.
        tasks: its tasks; None before they were listed.
        cluster: id of this cluster, part of the ownership marker.
        now: seconds since the epoch.
        origin: fingerprint of what fixed tasks would be made from; empty if it is not known.
        manifest: the spec that it is made of, where that of `resource` has more.
        others: what is known about other owners.
        named: whether BatchTasks that have not ended name it as their job.
        fingerprint: of the sources of its tasks, for the note of a job that is created.
        retry: what the status must store about the job in `retryOf`; None if that is not known, or there is none.
        held_by: name of the BatchJob that still takes tasks from this one (`reconcile.job.retry`).
        end: a deleted job as it was when completed, and its tasks; None if the job exists or was not observed as completed.
        late: seconds for which a create without a response may still take effect, zero or less if it may have since the last poll;
            None if there was no such create.
    """

    resource: Resource
    account: AccountView
    pool: TargetPoolView
    remote: Remote
    tasks: TasksView | None
    cluster: str
    now: float
    origin: str = ""
    others: Others = NO_OTHERS
    named: bool = False
    fingerprint: str = ""
    retry: Body | None = None
    held_by: str | None = None
    end: tuple[Body, TasksView] | None = None
    late: float | None = None
    manifest: Body | None = None

    @cached_property
    def is_foreign(self) -> bool:
        """Whether the job is somebody else's, so that this one is not there yet."""
        return not isinstance(self.remote, Absent) and is_foreign(self.remote, self.resource, self.cluster, self.others)

    @cached_property
    def is_taken(self) -> bool:
        """Whether the ID is somebody else's and the object never had a job: one that has only lost its marker still runs."""
        return self.is_foreign and not self.before.state

    @cached_property
    def spec(self) -> JobTerms:
        """The spec of the BatchJob."""
        return JobTerms.of(self.resource.spec)

    @cached_property
    def before(self) -> JobBefore:
        """What the current status says."""
        return job_before(self.resource)

    @cached_property
    def job(self) -> Job | None:
        """The job as decisions read it; None if it is not known or does not exist."""
        return None if isinstance(self.remote, Absent) else build(Job, self.remote)


@dataclass(frozen=True)
class LiveJob:
    """An existing job of the object whose tasks were listed: the input of the steps in its lifecycle.

    Attributes:
        scope: everything else that is known.
        job: the job in Azure Batch.
        remote: its whole body, to compare it with the spec.
    """

    scope: JobScope
    job: Job
    remote: Body
    tasks: TasksView

    @property
    def resource(self) -> Resource:
        """The BatchJob."""
        return self.scope.resource

    @property
    def spec(self) -> JobTerms:
        """Its spec."""
        return self.scope.spec

    @property
    def state(self) -> str:
        """State in Azure Batch: `active`, `disabling`, `disabled`, `enabling`, `terminating`, `completed`."""
        return str(self.job.state)

    @cached_property
    def is_complete(self) -> bool:
        """Whether all of its own tasks are in Azure Batch: the note in its metadata says so, or this process has added them."""
        return changes.noted_tasks(self.job)[0] == self.tasks.fingerprint or self.tasks.complete

    @cached_property
    def is_stuck(self) -> bool:
        """Whether its remaining tasks can never run, because they depend on failed ones."""
        tasks = self.tasks
        return self.is_complete and blocked(
            self.spec, tasks.counts, tasks.failed, tasks.failed_count, tasks.others_blocked
        )
