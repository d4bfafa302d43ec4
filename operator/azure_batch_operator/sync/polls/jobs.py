"""The jobs that objects need, and whose tasks are counted; open jobs of other clients only where they matter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import BatchClient, IncompleteListError, InvalidRequestError
from azure_batch_operator.batch.wire import NO_COUNTS
from azure_batch_operator.reconcile.ownership import marker_of
from azure_batch_operator.reconcile.plan import Absent
from azure_batch_operator.sync.interest import Interest, JobSubscription
from azure_batch_operator.sync.mirror import JobResults, Mirror
from azure_batch_operator.sync.polls.absences import Absences
from azure_batch_operator.sync.polls.base import News, Poll, clock, options
from azure_batch_operator.sync.polls.job_results import JobReader
from azure_batch_operator.sync.polls.motion import Load, Motion, is_alone, motion
from azure_batch_operator.sync.polls.roll import OPEN, Roll, chunks
from azure_batch_operator.sync.polls.steps import Scope, Step, keys_of
from azure_batch_operator.sync.polls.watch import Watch, incarnation

_JOB_MEMBERS = (
    "id", "eTag", "creationTime", "state", "previousState", "stateTransitionTime", "executionInfo", "metadata", "poolInfo",
    "priority", "maxParallelTasks", "allowTaskPreemption", "constraints", "onAllTasksComplete", "networkConfiguration",
    "usesTaskDependencies",
    "onTaskFailure",
)  # fmt: skip
COUNTS = "the task counts of job"
JOB = "job"
_ENDED, _OPEN, _REST = range(3)
"""In this order: results, counts of open jobs, and what no result depends on."""
MAX_COUNTED = 100
"""Jobs whose tasks one poll counts; the others are counted by the next ones, so that no poll takes long."""
_FOR_REST = 10
"""Of them, those that are kept for `_REST`: an account may always have as many open jobs to count as there are places."""


class JobPoll(Poll):
    """Jobs, and the results of those that somebody watches."""

    def __init__(self, client: BatchClient, mirror: Mirror, interest: Interest) -> None:
        super().__init__(client, mirror, interest)
        self._watches: dict[str, Watch] = {}
        self._pools: dict[str, Any] = {}
        self._states: dict[str, Any] = {}
        self._reader = JobReader(client, mirror, interest)
        self._absences = Absences(mirror.jobs, "jobnotfound")
        self._alone: frozenset[str] = frozenset()
        """Pools on which only a job that nobody watches could hide the end of a task."""
        self._searched: frozenset[str] | None = frozenset()
        """Pools whose open jobs the last poll has listed; None if it has listed all that are open."""
        self._elsewhere: frozenset[str] = frozenset()
        """Those of them with open jobs that nobody watches."""
        self._roll = Roll(mirror.jobs, self._listed, self._got)

    async def _listed(self, filter: str) -> AsyncIterator[Mapping[str, Any]]:
        pools = set[str]()
        async for job in self._client.jobs.list(filter=filter, select=_JOB_MEMBERS, **options()):
            if str(job["id"]).lower() not in self._interest.jobs:
                pools.add(pool_of(job).lower())
            yield job
        if filter == OPEN:
            self._searched, self._elsewhere = None, frozenset(pools)

    async def _search(self, pools: Collection[str]) -> None:
        """Look for open jobs that nobody watches on these pools."""
        found = set[str]()
        for chunk in chunks(sorted(pools)):
            named = " or ".join("executionInfo/poolId eq '" + id.replace("'", "''") + "'" for id in chunk)
            listed = self._client.jobs.list(filter=f"{OPEN} and ({named})", select=("id", "executionInfo"), **options())
            try:
                async for job in listed:
                    if str(job["id"]).lower() not in self._interest.jobs:
                        found |= {pool_of(job).lower()} - {""} or set(chunk)
                    if found.issuperset(chunk):
                        # One of them is enough, however many there are.
                        break
            except IncompleteListError:
                # A job that cannot be read may be on each of them.
                found |= set(chunk)
        self._searched, self._elsewhere = frozenset(pools), frozenset(found)

    async def _got(self, id: str) -> Mapping[str, Any]:
        return await self._client.jobs.get(id, select=_JOB_MEMBERS, **options())

    async def poll(self, news: News) -> None:
        """Find the jobs."""
        interest, mirror = self._interest, self._mirror
        wanted = frozenset({*interest.jobs, *interest.tasks, *interest.jobs_of_tasks})
        # Pools that are to go ask what is on them, schedules which of their jobs are open.
        others = self._brief if interest.jobs_of_pools or interest.schedules else None
        self._searched = self._elsewhere = frozenset()
        first = mirror.jobs.first
        for id in await self._roll.call(wanted, others):
            news.moved |= interest.jobs.get(id, set())
        if first:
            news.changed |= {key for id in (*interest.tasks, *interest.jobs_of_tasks) for key in interest.of_job(id)}
        self._tell_tasks(news)
        self._tell_waiting(news)
        if self._alone and self._searched is not None:
            # A service that does not take such a filter shows nothing of them.
            with suppress(InvalidRequestError):
                await self._search(self._alone)

    def _brief(self, job: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What is kept of an open job that is not wanted itself."""
        schedule = str(job["id"]).lower().rpartition(":")[0]
        if not self._interest.jobs_of_pools and schedule not in self._interest.schedules:
            return None
        return {"id": job["id"], "state": job.get("state"), "poolInfo": {"poolId": pool_of(job)}}

    def _tell_tasks(self, news: News) -> None:
        """Queue the tasks of a job that appears, disappears, or changes its state or owner: without a BatchJob nothing else would.

        A job that the first response shows to be missing counts as well, or its tasks would never report it.
        """
        shown = {id: self._shown(id) for id in (*self._interest.tasks, *self._interest.jobs_of_tasks)}
        for id, state in shown.items():
            if self._states.get(id, Absent.UNKNOWN) != state:
                news.changed.update(self._interest.of_job(id))
        self._states = shown

    def _shown(self, id: str) -> Any:
        """What tasks that go into a job need to know of it: its state, its pool, and whose it, its pool and its schedule are."""
        job = self._mirror.jobs.get(id)
        if isinstance(job, Absent):
            return job
        schedule, _, run = id.partition(":")
        made_by = self._mirror.schedules.latest(schedule) if run else None
        named = named_pool(job)
        pool = self._mirror.pools.latest(named) if named else None
        return job.get("state"), marker_of(job), made_by and marker_of(made_by), named, pool and marker_of(pool)

    def _tell_waiting(self, news: News) -> None:
        """Jobs none of whose tasks runs say why, so they are told when their pool looks different."""
        mirror, now = self._mirror, {}
        for id, keys in self._interest.jobs.items():
            results, job = mirror.results.get(id), mirror.jobs.latest(id)
            if results is None or job is None or not results.waiting:
                continue
            pool = pool_of(job).lower()
            if pool not in now:
                notes = mirror.notes.get(pool)
                troubled = notes.troubled if notes is not None else ()
                now[pool] = (mirror.pools.latest(pool), mirror.node_counts.get(pool), troubled)
            if self._pools.get(pool) != now[pool]:
                news.changed |= keys
        self._pools = now

    def stir(self, keys: Iterable[Key]) -> None:
        """Something was done to the tasks of these objects, or was seen to have become of them."""
        for key in keys:
            path = self._interest.path(key) if key.kind in {Kind.JOB, Kind.TASK} else ()
            if path:
                self.stir_job(path[0])

    def stir_job(self, id: str) -> None:
        """The same of the tasks of a job."""
        if (watch := self._watches.get(id.lower())) is not None:
            watch.stir()

    @property
    def expecting(self) -> bool:
        """Whether tasks of a watched job are not over."""
        return any(results.unfinished is None or results.tries_left for results in self._mirror.results.values())

    @property
    def running(self) -> bool:
        """Whether tasks of a watched job run."""
        return any(results.running for results in self._mirror.results.values())

    def steps(self, ready: Callable[[Scope], bool] = lambda _: True) -> list[Step]:
        """Jobs whose tasks are to be counted, the most urgent ones first.

        Args:
            ready: whether a step can be taken now, so that those that fail do not stand in the way of the others.
        """
        mirror, interest, now = self._mirror, self._interest, clock()
        for id in self._watches.keys() - interest.jobs.keys():
            del self._watches[id]
        for id in mirror.results.keys() - interest.jobs.keys():
            del mirror.results[id]
        for id in mirror.ends.keys() - interest.jobs.keys():
            del mirror.ends[id]
        self._absences.keep(interest.jobs)
        due, loads = list[tuple[int, float, str]](), self._loads()
        self._alone = frozenset(
            pool
            for pool, load in loads.items()
            if pool and is_alone(mirror.pools.get(pool), mirror.node_counts.get(pool), load)
        )
        for id in list(interest.jobs):
            job = mirror.jobs.latest(id)
            if job is None or not mirror.jobs.alive(id):
                mirror.results.pop(id, None)
                self._watches.pop(id, None)
                continue
            # Nothing stands there before a count, lest somebody take it for a job without tasks.
            watch, results = self._watch(id, job), mirror.results.get(id) or JobResults()
            ended = job.get("state") == "completed"
            decided = interest.wishes.get(id, JobSubscription()).has_verdict
            if ended and (decided or results.unfinished is not None):
                if results.tries_left and ready(Scope(COUNTS, id)):
                    due.append((_REST, watch.counted_at, id))
                continue
            motion = self._motion(job, results, loads)
            is_due = now >= watch.wait.again_at if ended else watch.due(self._seen(id, job), now, motion)
            if is_due and ready(Scope(COUNTS, id)):
                due.append((_ENDED if ended else _OPEN, watch.counted_at, id))
        counts = [Step(Scope(COUNTS, id), self._counting(id, loads), keys_of(interest.jobs, id)) for id in _first(due)]
        return [*self._roll.steps(JOB, self._told), *counts]

    def _told(self, id: str) -> frozenset[Key]:
        """The objects that a job is about; thousands of BatchTasks do not repeat what their BatchJob says."""
        return keys_of(self._interest.jobs, id) or frozenset(self._interest.of_job(id))

    def _watch(self, id: str, job: Mapping[str, Any]) -> Watch:
        """What is remembered of a job; nothing, if it is not the one that it was."""
        known = self._watches.get(id)
        if known is None or known.created != incarnation(job):
            if known is not None:
                self._mirror.results.pop(id, None)
            self._mirror.ends.pop(id, None)
            known = self._watches[id] = Watch(incarnation(job))
        return known

    def _loads(self) -> Mapping[str, Load]:
        """The tasks of all watched jobs that are open, by pool."""
        loads = defaultdict[str, Load](Load)
        for id in self._interest.jobs:
            job, results = self._mirror.jobs.latest(id), self._mirror.results.get(id)
            if job is not None and job.get("state") != "completed":
                load = loads[pool_of(job).lower()]
                load.add(None if results is None else results.counts)
                load.others |= self._interest.wishes.get(id, JobSubscription()).adds_tasks
        for pool, load in loads.items():
            load.others |= pool in self._elsewhere or not (self._searched is None or pool in self._searched)
        return loads

    def _motion(self, job: Mapping[str, Any], results: JobResults, loads: Mapping[str, Load]) -> Motion:
        id = pool_of(job).lower()
        pool = self._mirror.pools.get(id) if id else Absent.UNKNOWN
        return motion(results.counts or NO_COUNTS, job, pool, self._mirror.node_counts.get(id), loads.get(id, Load()))

    def _seen(self, id: str, job: Mapping[str, Any]) -> Any:
        """All that shows that a job's counts may have changed."""
        return (
            job,
            self._mirror.node_counts.get(pool_of(job).lower()),
            self._interest.wishes.get(id, JobSubscription()).tries,
        )

    def _keep_end(self, id: str, watch: Watch) -> None:
        """The last lists of a completed job, which are its result if it is gone before they agree with its counts."""
        if watch.end is None:
            self._mirror.ends.pop(id, None)
        else:
            self._mirror.ends[id] = watch.end

    def _counting(self, id: str, loads: Mapping[str, Load]) -> Callable[[News], Awaitable[None]]:
        async def run(news: News) -> None:
            job, watch = self._mirror.jobs.latest(id), self._watches.get(id)
            if job is None or watch is None:
                return
            known, seen, began = self._mirror.results.get(id) or JobResults(), self._seen(id, job), clock()
            results, shown = replace(known), self._interest.wishes.get(id, JobSubscription()).counts
            try:
                with self._absences.noted(Scope(COUNTS, id)):
                    if known.unfinished is not None and job.get("state") == "completed":
                        await self._reader.read_rest(id, results, watch)
                        return
                    await self._reader.read(id, job, results, watch)
                    changed = results.counts != shown if known.counts is None else _differ(results, known)
                    watch.counted(seen, began, self._motion(job, results, loads), changed=changed)
            finally:
                # What was read before a failure counts; what is about an earlier job of this id does not.
                is_current = self._watches.get(id) is watch
                if is_current:
                    self._keep_end(id, watch)
                if results != known and is_current:
                    self._mirror.results[id] = results
                    if results.unfinished != known.unfinished or not (known.tries_left and results.tries_left):
                        news.changed |= self._interest.jobs.get(id, set())
                    if results.slots != known.slots:
                        news.changed |= self._interest.pools.get(pool_of(job).lower(), set())

        return run


def _first(due: Iterable[tuple[int, float, str]]) -> list[str]:
    """The jobs whose turn it is: by their class, those that were not counted for longest first."""
    urgent, rest = list[str](), list[str]()
    for kind, _, id in sorted(due):
        (rest if kind == _REST else urgent).append(id)
    first = urgent[: MAX_COUNTED - min(len(rest), _FOR_REST)]
    return first + rest[: MAX_COUNTED - len(first)]


def _differ(results: JobResults, known: JobResults) -> bool:
    return (results.counts, results.slots, results.failed_count) != (known.counts, known.slots, known.failed_count)


def named_pool(job: Mapping[str, Any]) -> str | None:
    """Id of the pool that a job names; None for one with a pool of its own."""
    return (job.get("poolInfo") or {}).get("poolId")


def pool_of(job: Mapping[str, Any]) -> str:
    """Id of the pool that a job runs on; empty if it is not known."""
    return str(named_pool(job) or (job.get("executionInfo") or {}).get("poolId") or "")
