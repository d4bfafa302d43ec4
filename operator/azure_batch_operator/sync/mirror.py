"""What the last polls observed in one Azure Batch account, and which objects of the cluster need it.

The rule that keeps a level-triggered operator from acting on old news: after a write of our own the entry is unknown until a poll
that began later has seen it (controller-runtime's "expectations", with the poll as the only source of truth).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch.account_wire import Application, SupportedImage
from azure_batch_operator.batch.pool_wire import AutoScaleRun, NodeCounts, Pool
from azure_batch_operator.batch.wire import Node, TaskCounts, build
from azure_batch_operator.reconcile.observed import FailedNode, FailedTask, ObservedNode, ObservedTask
from azure_batch_operator.reconcile.ownership import Owned
from azure_batch_operator.reconcile.plan import Absent, Accepted, Call, Table
from azure_batch_operator.reconcile.pool import history as pool_history
from azure_batch_operator.reconcile.pool.history import NO_HISTORY, History
from azure_batch_operator.sync.outputs import Outputs

R = TypeVar("R", bound=Mapping[str, Any] | ObservedTask)


class RemoteTable(Generic[R]):
    """Resources of one kind by id; ids are not case-sensitive.

    Only what somebody wants to know is kept whole, so the table does not grow with what others have in the account. Absence is
    claimed only with evidence: an id is GONE if a complete list lacks it, or if it was asked for and not found.
    """

    def __init__(self) -> None:
        self._entries: dict[str, R] = {}
        self._asked: set[str] | None = None
        self._briefs: Mapping[str, R] = {}
        self._rest: Container[str] = frozenset()
        self._touched: dict[str, float] = {}
        self._leaving: set[str] = set()
        self.seen_at: float | None = None
        """When the last full poll began; None before the first."""

    def get(self, id: str) -> R | Absent:
        """The resource, or in which way there is none."""
        id = id.lower()
        if self.seen_at is None or id in self._touched:
            return Absent.UNKNOWN
        if (entry := self._entries.get(id)) is not None:
            return entry
        known = self._asked is None or id in self._asked
        return Absent.NOT_FOUND if known and id not in self._briefs and id not in self._rest else Absent.UNKNOWN

    def brief(self, id: str) -> R | Absent:
        """Like `get`, but also of what nobody has asked for: then with a few members only."""
        found = self.get(id)
        known = self._briefs.get(id.lower()) if found is Absent.UNKNOWN and id.lower() not in self._touched else None
        return found if known is None else known

    def last_seen(self, id: str) -> R | Absent:
        """Like `get`, but a write of ours that no poll has seen yet hides nothing: for what is shown, not for what is decided."""
        found = self.get(id)
        return self._entries.get(id.lower(), found) if found is Absent.UNKNOWN else found

    def pending(self, prefix: str) -> bool:
        """Whether something whose id begins so waits for the next poll."""
        return any(id.startswith(prefix.lower()) for id in self._touched)

    def entries(self) -> Iterable[R]:
        """All that was there when last looked at, some of it with a few members only."""
        return (*self._entries.values(), *self._briefs.values())

    def latest(self, id: str) -> R | None:
        """The last that was seen, even if a write of ours has made it old, and even if it has a few members only."""
        return self._entries.get(id.lower()) or self._briefs.get(id.lower())

    def alive(self, id: str) -> bool:
        """Whether it was there when last looked at, and not being deleted, also not by a call of ours since."""
        entry = self.latest(id)
        return entry is not None and _state(entry) != "deleting" and id.lower() not in self._leaving

    def leaves(self, id: str) -> None:
        """The service has accepted a deletion; `touch` follows."""
        self._leaving.add(id.lower())

    def touch(self, id: str, now: float) -> None:
        """We have changed it, or may have: what was seen no longer counts."""
        self._touched[id.lower()] = now

    @property
    def touched(self) -> bool:
        """Whether something waits for the next poll."""
        return bool(self._touched)

    @property
    def first(self) -> bool:
        """Whether the next full poll is the first, for whose end everybody waits: also those whose resource is not there."""
        return self.seen_at is None

    def replace(
        self,
        began: float,
        entries: Iterable[R],
        *,
        asked: Collection[str] | None = None,
        briefs: Mapping[str, R] | None = None,
        rest: Container[str] = frozenset(),
    ) -> set[str]:
        """Take in a full poll that began at `began`; ids (lower case) of what looks different now.

        Args:
            entries: what is kept.
            asked: ids (lower case) whose absence is proven if they are not there; all ids if None, as after a complete list.
            briefs: a few members of what else was there, by id (lower case).
            rest: ids (lower case) that were there, too, and of which nothing is kept.
        """
        fresh = {_id(entry).lower(): entry for entry in entries}
        changed = {id for id, entry in fresh.items() if self._entries.get(id) != entry}
        changed |= self._entries.keys() - fresh.keys()
        if asked is not None:
            changed |= set(asked) - (self._asked or set())
        self._entries, self._briefs, self._rest = fresh, briefs or {}, rest
        self._asked = None if asked is None else set(asked)
        self.seen_at = began
        return changed | self._settle(began)

    def merge(self, began: float, entries: Iterable[R], *, asked: Collection[str] = ()) -> set[str]:
        """Take in a poll of what has changed lately; absence says nothing, so only what was seen is settled.

        Args:
            entries: what is kept.
            asked: ids (lower case) that were asked for one by one, so that those that are not among `entries` are gone.
        """
        fresh = {_id(entry).lower(): entry for entry in entries}
        changed = set()
        for id, entry in fresh.items():
            if self._entries.get(id) != entry:
                self._entries[id] = entry
                changed.add(id)
        for id in asked:
            if id not in fresh and self._entries.pop(id, None) is not None:
                changed.add(id)
        if asked:
            if self.seen_at is None:
                self._asked, self.seen_at = set(), began
            if self._asked is not None:
                changed |= set(asked) - self._asked
                self._asked |= set(asked)
        for id in {*fresh, *asked}:
            if self._touched.get(id, began) < began:
                del self._touched[id]
                changed.add(id)
        return changed

    def settle(self, began: float, seen: Container[int]) -> None:
        """What a list that began then has shown by these hashes of ids (lower case) no longer waits for a poll."""
        for id in [id for id, at in self._touched.items() if at < began and hash(id) in seen]:
            del self._touched[id]

    def _settle(self, began: float) -> set[str]:
        settled = {id for id, at in self._touched.items() if at < began}
        for id in settled:
            del self._touched[id]
        # What was deleted is gone or shows it now; or it was made again.
        self._leaving -= settled
        return settled


def _id(entry: Mapping[str, Any] | ObservedTask) -> str:
    return str(entry["id"]) if isinstance(entry, Mapping) else entry.id


def _state(entry: Mapping[str, Any] | ObservedTask) -> object:
    return entry.get("state") if isinstance(entry, Mapping) else entry.state


@dataclass
class JobResults:
    """How the tasks of one job stand, from counts and from lists of failed and of unfinished tasks; see `TasksView`."""

    counts: TaskCounts | None = None
    slots: TaskCounts | None = None
    failed: list[FailedTask] = field(default_factory=list)
    failed_count: int = 0
    unfinished: int | None = None
    lost: int = 0
    """Tasks of a job that has ended which were in it and are found no more, by lists or counts."""
    found: int | None = None
    """How many tasks a job that has ended has by its lists; None if those that have succeeded were not all listed."""
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
        """Whether tasks could run and none does."""
        return self.counts is not None and self.counts.active > 0 and self.counts.running == 0

    @property
    def running(self) -> bool:
        """Whether tasks run."""
        return self.counts is not None and self.counts.running > 0


@dataclass(frozen=True)
class JobSubscription:
    """What an object wants to know of its job beyond counts and failed tasks.

    Attributes:
        tries: retries and requeues with every poll, not just now and then.
        tries_shown: whether its status shows retries and requeues.
        retries, requeues: how many.
        preparation: nodes on which its preparation or release task fails.
        total: tasks that it will have.
        tail_lines: lines of stderr.txt of a failed task.
        dependencies: whether tasks of its own depend on others, so that each failed one counts.
        counts: the task counts that its status shows.
        adds_tasks: whether a task of its own or a BatchTask may add others from now on.
        has_added: whether one may have done so, also if it has ended.
        has_manager: whether it has a job manager task.
        has_verdict: whether its result is known, so that nothing more is read of it.
        ran: IDs (lower case) of the BatchTasks that have run in the job of this creationTime; asked only once it has ended.
        pool: ID of the pool that its status shows.
    """

    tries: bool = False
    tries_shown: bool = False
    retries: int = 0
    requeues: int = 0
    preparation: bool = False
    total: int = 0
    tail_lines: int = 20
    dependencies: bool = False
    counts: TaskCounts | None = None
    adds_tasks: bool = False
    has_added: bool = False
    has_manager: bool = False
    has_verdict: bool = False
    ran: Callable[[str | None], Set[str]] = lambda _: frozenset()
    pool: str = ""


@dataclass
class PoolNotes:
    """What is known of one incarnation of a pool beside the lists of pools and of node counts.

    Attributes:
        created: `creationTime` of the pool; empty before a list has shown it.
        accepted: what it took from us by PATCH.
        evaluated: the formula that was tried last, and what it came to.
        digests: of the values from Secrets and ConfigMaps that it was given, by property, as far as this process knows.
        enabled: when a formula was enabled last, in seconds since the epoch.
        start_task: the start task that all nodes should have run, if somebody wants to know which have not; else None.
        looked: whether `troubled` is known.
        troubled: nodes that do not work.
        outdated: nodes that have run another start task than `outdated_for`.
        history: what was asked of the pool lately, and how the service answered.
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
        """A few members of pools, by the object that their marker names; whether they are its own, `owns` decides."""
        self.node_counts: Mapping[str, NodeCounts] = {}
        self.images: Sequence[SupportedImage] | None = None
        self.applications: Sequence[Application] | None = None
        """What the account supports; None until it was asked for."""
        self.notes: defaultdict[str, PoolNotes] = defaultdict(PoolNotes)
        """More about pools, by id (lower case)."""
        self.schedule_digests: defaultdict[str, dict[str, str]] = defaultdict(dict)
        """Digests of the values from Secrets and ConfigMaps that schedules were given, by id (lower case) and property."""
        self.results: defaultdict[str, JobResults] = defaultdict(JobResults)
        self.ends: dict[str, tuple[Mapping[str, Any], JobResults]] = {}
        """Completed jobs and their lists, by id, while the counts do not agree: the result of a job that is deleted meanwhile."""
        self.tasks: defaultdict[str, RemoteTable[ObservedTask]] = defaultdict(RemoteTable)
        self.outputs = Outputs()
        self.problems: Mapping[Key, str] = {}
        """What has not been readable for a while, by the objects that it concerns (`ObservationFailed`)."""
        self.is_read: Callable[[Key], bool] = lambda _: True
        """Whether what concerns an object was read by this process, and is readable."""

    def learn(self, call: Call, answer: Any, now: float) -> None:
        """Keep what the response to a call of ours tells and no list does; `now` in seconds since the epoch."""
        listed = {"delete_pool": self.pools, "delete_job": self.jobs, "delete_schedule": self.schedules}
        if (table := listed.get(call.verb)) is not None:
            # What a list lacks then is not asked for: the object lets go only after a GET anyway.
            table.leaves(call.id)
        if call.verb == "create_pool":
            self._forget_former(call.id.lower())
        if call.verb == "create_job":
            # How a former job of this ID has ended is no result of this one, also if no poll ever shows this one.
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
            # A write of ours upon the last one of ours: nobody else has written in between.
            kept = before.members if before is not None and before.etag == call.if_match else {}
            notes.accepted = Accepted({**kept, **(call.marks or {})}, etag)

    def learn_refusal(self, call: Call, why: str, now: float) -> None:
        """Keep that the service has refused a call for a node, so that it is neither taken for done nor repeated at once."""
        notes = self._notes_of(call)
        notes.history = pool_history.after_refusal(notes.history, call, why, now)

    def forget_nodes(self, pool_id: str, nodes: Collection[str]) -> None:
        """These nodes are not in the state any more that was listed: nothing is done about them before the next list."""
        notes = self.notes[pool_id.lower()]
        notes.troubled = tuple(trouble for trouble in notes.troubled if trouble.node.id not in nodes)
        notes.outdated = tuple(node for node in notes.outdated if node.id not in nodes)

    def learn_busy(self, call: Call, why: str, now: float) -> None:
        """Keep that a pool was not deleted, since lists showed that it is in use; `why` follows "since"."""
        notes = self._notes_of(call)
        notes.history = replace(notes.history, busy=(now, why))

    def is_busy(self, call: Call, since: float) -> bool:
        """Whether lists have shown since then (seconds since the epoch) that the pool of a call is in use."""
        busy = self._notes_of(call).history.busy
        return busy is not None and busy[0] >= since

    def _notes_of(self, call: Call) -> PoolNotes:
        if call.table is Table.POOLS:
            return self.notes[call.id.lower()]
        return self.notes[(call.parent or "").lower()] if call.table is Table.NODES else PoolNotes()

    def meet_pool(self, pool_id: str, created: str) -> None:
        """A list shows a pool (id in lower case): what is noted of a former one under its id ends.

        Args:
            created: its `creationTime`.
        """
        known = self.notes[pool_id].created
        if known and created and known != created:
            self._forget_former(pool_id)
        self.notes[pool_id].created = created or known

    def _forget_former(self, pool_id: str) -> None:
        # Which start task is looked for is a wish of the object, which outlives the pool.
        self.notes[pool_id] = PoolNotes(start_task=self.notes[pool_id].start_task)

    def forget_pool(self, pool_id: str) -> None:
        """Nobody is interested in this pool any longer."""
        self.notes.pop(pool_id.lower(), None)

    def forget_schedule(self, schedule_id: str) -> None:
        """Nobody is interested in this schedule any longer."""
        self.schedule_digests.pop(schedule_id.lower(), None)

    def reads_on(self, job_id: str) -> bool:
        """Whether retries of a job that has ended are still being read, after its result is known."""
        results = self.results.get(job_id.lower())
        return results is not None and results.tries_left

    def forget_job(self, job_id: str) -> None:
        """Nobody is interested in the tasks of this job any longer."""
        self.results.pop(job_id.lower(), None)
        self.ends.pop(job_id.lower(), None)
        self.tasks.pop(job_id.lower(), None)


class Interest:
    """Which objects of the cluster stand for what in the account; the poller asks only for what somebody wants to know."""

    def __init__(self) -> None:
        self._pools: defaultdict[str, set[Key]] = defaultdict(set)
        self._jobs: defaultdict[str, set[Key]] = defaultdict(set)
        self._schedules: defaultdict[str, set[Key]] = defaultdict(set)
        self._tasks: defaultdict[str, defaultdict[str, set[Key]]] = defaultdict(lambda: defaultdict(set))
        self._jobs_of_tasks: defaultdict[str, set[Key]] = defaultdict(set)
        self._of: dict[Key, tuple[str, ...]] = {}
        self.jobs_of_pools: set[Key] = set()
        """Pools that must know which jobs are on them."""
        self.wishes: dict[str, JobSubscription] = {}
        """Job id → what is to be asked besides."""
        self._wished_by: dict[str, Key] = {}
        self._tails: dict[Key, int] = {}
        self.on_its_way: Callable[[Key], bool] = lambda _: False
        """Whether the task of a BatchTask is being added: what a list of tasks shows of it is no news, since the next one is read
        for what comes of that. What is shown of its job is news (tests/quick/test_taken_over.py)."""

    def add(self, key: Key, *path: str) -> bool:
        """Note what an object needs to know of.

        Args:
            path: the ids of pools, the id of a job or schedule, or job id and task id; the job id alone for a BatchTask whose task
                is not in the job.

        Returns:
            Whether something of it is new.
        """
        ids = tuple(id.lower() for id in path)
        before = self._of.get(key, ())
        if before == ids:
            return False
        self.drop(key)
        self._of[key] = ids
        if key.kind is not Kind.TASK:
            for id in ids:
                self._by_id(key.kind)[id].add(key)
        elif len(ids) > 1:
            self._tasks[ids[0]][ids[1]].add(key)
        else:
            self._jobs_of_tasks[ids[0]].add(key)
        return not set(ids) <= set(before)

    def drop(self, key: Key) -> None:
        """The object needs no more news."""
        ids = self._of.pop(key, None)
        if ids is None:
            return
        self._tails.pop(key, None)
        if key.kind is Kind.JOB and self._wished_by.get(ids[0], key) == key:
            self.wishes.pop(ids[0], None)
            self._wished_by.pop(ids[0], None)
        if key.kind is not Kind.TASK:
            for id in ids:
                _discard(self._by_id(key.kind), id, key)
        elif len(ids) > 1:
            _discard(self._tasks[ids[0]], ids[1], key)
            if not self._tasks[ids[0]]:
                del self._tasks[ids[0]]
        else:
            _discard(self._jobs_of_tasks, ids[0], key)
        self.jobs_of_pools.discard(key)

    def watch_jobs(self, pool: Key, *, wanted: bool) -> bool:
        """Whether a pool must know which jobs are on it; returns whether that is new."""
        new = wanted and pool not in self.jobs_of_pools
        (self.jobs_of_pools.add if wanted else self.jobs_of_pools.discard)(pool)
        return new

    def subscribe(self, key: Key, id: str, wish: JobSubscription, *, ours: bool) -> None:
        """What an object wants to know of its job besides; of several that name one job, its owner decides.

        Args:
            ours: whether the job is known to be the object's.
        """
        id = id.lower()
        if ours or self._wished_by.setdefault(id, key) == key:
            self._wished_by[id], self.wishes[id] = key, wish

    def wish_tail(self, key: Key, lines: int | None) -> None:
        """So many last lines of both outputs of the task of `key`, whatever its result; None for the usual."""
        if lines is None:
            self._tails.pop(key, None)
        else:
            self._tails[key] = lines

    def tail(self, keys: Iterable[Key]) -> int | None:
        """The most lines that one of these objects wants; None if none of them says."""
        return max((self._tails[key] for key in keys if key in self._tails), default=None)

    @property
    def pools(self) -> Mapping[str, set[Key]]:
        """Pool id → objects."""
        return self._pools

    @property
    def jobs(self) -> Mapping[str, set[Key]]:
        """Job id → objects."""
        return self._jobs

    @property
    def schedules(self) -> Mapping[str, set[Key]]:
        """Schedule id → objects."""
        return self._schedules

    @property
    def tasks(self) -> Mapping[str, Mapping[str, set[Key]]]:
        """Job id → task id → objects."""
        return self._tasks

    @property
    def jobs_of_tasks(self) -> Mapping[str, set[Key]]:
        """Job id → BatchTasks that need to know of the job, and whose tasks are not in it."""
        return self._jobs_of_tasks

    def of_job(self, id: str) -> Iterable[Key]:
        """The BatchTasks that a job (id in lower case) matters to."""
        for keys in self._tasks.get(id, {}).values():
            yield from keys
        yield from self._jobs_of_tasks.get(id, ())

    def path(self, key: Key) -> tuple[str, ...]:
        """What the object wants to know of, as `add` was told it; empty if nothing."""
        return self._of.get(key, ())

    def __bool__(self) -> bool:
        return bool(self._of)

    def __contains__(self, key: Key) -> bool:
        return key in self._of

    def _by_id(self, kind: Kind) -> defaultdict[str, set[Key]]:
        return {Kind.POOL: self._pools, Kind.JOB: self._jobs, Kind.SCHEDULE: self._schedules}[kind]


def _discard(table: defaultdict[str, set[Key]], id: str, key: Key) -> None:
    table[id].discard(key)
    if not table[id]:
        del table[id]
