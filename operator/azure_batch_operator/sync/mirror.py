"""What the last polls observed in one Azure Batch account, by kind (`remote_table`), and what is noted of it besides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch.account_wire import Application, SupportedImage
from azure_batch_operator.batch.pool_wire import AutoScaleRun, NodeCounts, Pool
from azure_batch_operator.batch.wire import Node, TaskCounts, build
from azure_batch_operator.reconcile.observed import FailedNode, FailedTask, ObservedNode, ObservedTask
from azure_batch_operator.reconcile.ownership import Owned
from azure_batch_operator.reconcile.plan import Accepted, Call, Table
from azure_batch_operator.reconcile.pool import history as pool_history
from azure_batch_operator.reconcile.pool.history import NO_HISTORY, History
from azure_batch_operator.sync.outputs import Outputs
from azure_batch_operator.sync.remote_table import RemoteTable


@dataclass
class JobResults:
    """The state of the tasks of one job, from counts and from lists of failed and unfinished tasks; see `TasksView`."""

    counts: TaskCounts | None = None
    slots: TaskCounts | None = None
    failed: list[FailedTask] = field(default_factory=list)
    failed_count: int = 0
    unfinished: int | None = None
    lost: int = 0
    """Tasks that an ended job had and that lists or counts no longer show."""
    found: int | None = None
    """Number of tasks of an ended job, from lists; None if not all succeeded tasks were listed."""
    awaits_counts: bool = False
    """Whether the job has ended and its lists and counts do not agree yet."""
    retries: int | None = None
    requeues: int | None = None
    most_requeues: int = 0
    tries_left: bool = False
    """Whether the job has ended and retries and requeues of its last tasks are still to be read."""
    per_minute: float | None = None
    estimated_end: float | None = None
    node_failures: list[FailedNode] = field(default_factory=list)

    @property
    def waiting(self) -> bool:
        """Whether tasks wait and none runs."""
        return self.counts is not None and self.counts.active > 0 and self.counts.running == 0

    @property
    def running(self) -> bool:
        """Whether tasks run."""
        return self.counts is not None and self.counts.running > 0


@dataclass
class PoolNotes:
    """What is known about one incarnation of a pool in addition to the lists of pools and node counts.

    Attributes:
        created: `creationTime` of the pool; empty before a list has shown it.
        accepted: what the service accepted in PATCH calls of ours.
        evaluated: the formula that was evaluated last, and its result.
        digests: of the values from Secrets and ConfigMaps that it was given, by property, as far as this process knows.
        enabled: when a formula was enabled last, in seconds since the epoch.
        start_task: the start task that all nodes should have run, if the object needs those that have not; else None.
        looked: whether `troubled` is known.
        troubled: nodes that do not work.
        outdated: nodes that have run another start task than `outdated_for`.
        history: recent calls to the pool, and the responses of the service.
    """

    created: str = ""
    accepted: Accepted | None = None
    evaluated: tuple[str, AutoScaleRun] | None = None
    enabled: float | None = None
    digests: dict[str, str] = field(default_factory=dict)
    start_task: Mapping[str, Any] | None = None
    looked: bool = False
    troubled: Sequence[ObservedNode] = ()
    outdated: Sequence[Node] = ()
    outdated_for: Mapping[str, Any] | None = None
    history: History = NO_HISTORY


class Mirror:
    """All tables of one account."""

    def __init__(self) -> None:
        self.pools = RemoteTable[Mapping[str, Any]]()
        self.jobs = RemoteTable[Mapping[str, Any]]()
        self.schedules = RemoteTable[Mapping[str, Any]]()
        self.schedule_jobs: dict[str, Sequence[Mapping[str, Any]]] = {}
        """Last jobs by schedule id, newest first."""
        self.recounted = set[str]()
        """Schedules, by id (lower case), the tasks of whose ended jobs are counted again."""
        self.pools_of: Mapping[Owned, Sequence[Pool]] = {}
        """A few members of pools, by the object that their marker names; `owns` decides whether it owns them."""
        self.node_counts: Mapping[str, NodeCounts] = {}
        self.images: Sequence[SupportedImage] | None = None
        self.applications: Sequence[Application] | None = None
        """What the account supports; None until it was requested."""
        self.notes: defaultdict[str, PoolNotes] = defaultdict(PoolNotes)
        """More about pools, by id (lower case)."""
        self.schedule_digests: defaultdict[str, dict[str, str]] = defaultdict(dict)
        """Digests of the values from Secrets and ConfigMaps that schedules were given, by id (lower case) and property."""
        self.results: defaultdict[str, JobResults] = defaultdict(JobResults)
        self.ends: dict[str, tuple[Mapping[str, Any], JobResults]] = {}
        """Completed jobs and their lists, by id, while the counts do not agree: the result of a job that is deleted meanwhile."""
        self.unfinished_at: dict[str, float] = {}
        """When lists showed that a job must not be told to end yet although its counts said so, by id (lower case)."""
        self.tasks: defaultdict[str, RemoteTable[ObservedTask]] = defaultdict(RemoteTable)
        self.outputs = Outputs()
        self.problems: Mapping[Key, str] = {}
        """What has not been readable for a while, by the objects that it concerns (`ObservationFailed`)."""
        self.is_read: Callable[[Key], bool] = lambda _: True
        """Whether what concerns an object was read by this process, and is readable."""

    def learn(self, call: Call, answer: Any, now: float) -> None:
        """Store what the response to a call of ours contains and lists do not; `now` in seconds since the epoch."""
        listed = {"delete_pool": self.pools, "delete_job": self.jobs, "delete_schedule": self.schedules}
        if (table := listed.get(call.verb)) is not None:
            # If a list then lacks it, no request follows: the object is released only after a GET.
            table.leaves(call.id)
        if call.verb == "create_pool":
            self._forget_former(call.id.lower())
        if call.verb == "create_job":
            # The end of a former job with this ID is no result of this one, even if no poll ever shows this one.
            self.ends.pop(call.id.lower(), None)
        notes = self._notes_of(call)
        notes.history = pool_history.after(notes.history, call, now)
        if call.verb == "evaluate_pool_auto_scale" and call.body is not None:
            notes.evaluated = (str(call.body["autoScaleFormula"]), build(AutoScaleRun, answer))
        if call.verb == "enable_pool_auto_scale":
            notes.enabled = now
        notes.digests |= call.digests or {}
        if call.table is Table.SCHEDULES and call.digests:
            self.schedule_digests[call.id.lower()] |= call.digests
        etag = getattr(answer, "etag", None)
        before = notes.accepted
        if etag and (call.marks is not None or (before is not None and before.etag == call.if_match)):
            # Two consecutive writes of ours: nobody else has written in between.
            kept = before.members if before is not None and before.etag == call.if_match else {}
            notes.accepted = Accepted({**kept, **(call.marks or {})}, etag)

    def learn_refusal(self, call: Call, why: str, now: float) -> None:
        """Store that the service has refused a call for a node, so that it is neither considered done nor repeated at once."""
        notes = self._notes_of(call)
        notes.history = pool_history.after_refusal(notes.history, call, why, now)

    def forget_nodes(self, pool_id: str, nodes: Collection[str]) -> None:
        """These nodes are no longer in the listed state: nothing is done about them before the next list."""
        notes = self.notes[pool_id.lower()]
        notes.troubled = tuple(trouble for trouble in notes.troubled if trouble.node.id not in nodes)
        notes.outdated = tuple(node for node in notes.outdated if node.id not in nodes)

    def learn_unfinished(self, call: Call, now: float) -> None:
        """Keep that a job was not told to end with its tasks, since lists showed that they have not ended."""
        self.unfinished_at[call.id.lower()] = now

    def learn_busy(self, call: Call, why: str, now: float) -> None:
        """Store that a pool was not deleted, because lists showed that it is in use; `why` follows "since"."""
        notes = self._notes_of(call)
        notes.history = replace(notes.history, busy=(now, why))

    def is_busy(self, call: Call, since: float) -> bool:
        """Whether lists have shown since then (seconds since the epoch) that the pool of a call is in use, or its job not over."""
        if call.table is Table.JOBS:
            return self.unfinished_at.get(call.id.lower(), float("-inf")) >= since
        busy = self._notes_of(call).history.busy
        return busy is not None and busy[0] >= since

    def _notes_of(self, call: Call) -> PoolNotes:
        if call.table is Table.POOLS:
            return self.notes[call.id.lower()]
        return self.notes[(call.parent or "").lower()] if call.table is Table.NODES else PoolNotes()

    def meet_pool(self, pool_id: str, created: str) -> None:
        """A list shows a pool (ID in lower case): notes about a former pool with this ID are dropped.

        Args:
            created: its `creationTime`.
        """
        known = self.notes[pool_id].created
        if known and created and known != created:
            self._forget_former(pool_id)
        self.notes[pool_id].created = created or known

    def _forget_former(self, pool_id: str) -> None:
        # The start task to look for is set by the object, which outlives the pool.
        self.notes[pool_id] = PoolNotes(start_task=self.notes[pool_id].start_task)

    def forget_pool(self, pool_id: str) -> None:
        """No object needs this pool any longer."""
        self.notes.pop(pool_id.lower(), None)

    def forget_schedule(self, schedule_id: str) -> None:
        """No object needs this schedule any longer."""
        self.schedule_digests.pop(schedule_id.lower(), None)

    def reads_on(self, job_id: str) -> bool:
        """Whether retries of a job that has ended are still being read, after its result is known."""
        results = self.results.get(job_id.lower())
        return results is not None and results.tries_left

    def forget_job(self, job_id: str) -> None:
        """No object needs the tasks of this job any longer."""
        self.results.pop(job_id.lower(), None)
        self.ends.pop(job_id.lower(), None)
        self.unfinished_at.pop(job_id.lower(), None)
        self.tasks.pop(job_id.lower(), None)
