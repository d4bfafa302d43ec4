"""Which objects of the cluster need to know of which resources of an account: the poller requests nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch.wire import TaskCounts


@dataclass(frozen=True)
class JobSubscription:
    """What an object needs about its job in addition to counts and failed tasks.

    Attributes:
        tries: retries and requeues with every poll, not only occasionally.
        tries_shown: whether its status shows retries and requeues.
        retries, requeues: how many.
        preparation: nodes on which its preparation or release task fails.
        total: tasks that it will have.
        tail_lines: lines of stderr.txt of a failed task.
        dependencies: whether its own tasks depend on others, so that every failed task matters.
        counts: the task counts that its status shows.
        adds_tasks: whether one of its own tasks or a BatchTask may still add others.
        has_added: whether one may have done so, also if it has ended.
        has_manager: whether it has a job manager task.
        has_verdict: whether its result is known, so that nothing more is read.
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


class Interest:
    """Which objects of the cluster need which resources of the account; the poller requests only these."""

    def __init__(self) -> None:
        self._pools: defaultdict[str, set[Key]] = defaultdict(set)
        self._jobs: defaultdict[str, set[Key]] = defaultdict(set)
        self._schedules: defaultdict[str, set[Key]] = defaultdict(set)
        self._tasks: defaultdict[str, defaultdict[str, set[Key]]] = defaultdict(lambda: defaultdict(set))
        self._jobs_of_tasks: defaultdict[str, set[Key]] = defaultdict(set)
        self._of: dict[Key, tuple[str, ...]] = {}
        self.jobs_of_pools: set[Key] = set()
        """BatchPools that need the jobs on their pools."""
        self.wishes: dict[str, JobSubscription] = {}
        """Job ID → what else must be requested."""
        self._wished_by: dict[str, Key] = {}
        self._tails: dict[Key, int] = {}
        self.on_its_way: Callable[[Key], bool] = lambda _: False
        """Whether the task of a BatchTask is being added: a list that shows the task is then no change, because the next list is
        read for the result. A change of its job is one (tests/quick/test_taken_over.py)."""

    def add(self, key: Key, *path: str) -> bool:
        """Register the resources that an object needs.

        Args:
            path: the ids of pools, the id of a job or schedule, or job id and task id; the job id alone for a BatchTask whose task
                is not in the job.

        Returns:
            Whether one of them is new.
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
        """The object needs nothing more."""
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
        """Set whether a BatchPool needs the jobs on its pool; returns whether that is new."""
        new = wanted and pool not in self.jobs_of_pools
        (self.jobs_of_pools.add if wanted else self.jobs_of_pools.discard)(pool)
        return new

    def subscribe(self, key: Key, id: str, wish: JobSubscription, *, ours: bool) -> None:
        """Set what an object needs about its job; if several objects name the job, its owner decides.

        Args:
            ours: whether the object is known to own the job.
        """
        id = id.lower()
        if ours or self._wished_by.setdefault(id, key) == key:
            self._wished_by[id], self.wishes[id] = key, wish

    def wish_tail(self, key: Key, lines: int | None) -> None:
        """Set how many last lines of both outputs of the task of `key` are read, whatever its result; None for the default."""
        if lines is None:
            self._tails.pop(key, None)
        else:
            self._tails[key] = lines

    def tail(self, keys: Iterable[Key]) -> int | None:
        """Maximum number of lines that one of these objects needs; None if no object sets it."""
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
        """Job ID → BatchTasks that need the job, and whose tasks are not in it."""
        return self._jobs_of_tasks

    def of_job(self, id: str) -> Iterable[Key]:
        """The BatchTasks that need a job (ID in lower case)."""
        for keys in self._tasks.get(id, {}).values():
            yield from keys
        yield from self._jobs_of_tasks.get(id, ())

    def path(self, key: Key) -> tuple[str, ...]:
        """The path that `add` registered for the object; empty without one."""
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
