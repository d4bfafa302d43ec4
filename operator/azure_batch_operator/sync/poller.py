"""One poller per account: bulk lists, never a GET per object (design §5; batch-semantics §8).

Asks for pools, node counts and jobs with one list each, for counts per open job, and for the tasks of jobs that open BatchTasks
belong to: all of them once a minute, in between only those whose state has changed. Polls follow each other quickly while
something moves and slow down while nothing does.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import BatchClient, BatchError, NotFoundError, Priority
from azure_batch_operator.reconcile.failures import cause
from azure_batch_operator.reconcile.ownership import task_owner_of
from azure_batch_operator.sync.mirror import Interest, JobResults, Mirror, RemoteTable

logger = logging.getLogger(__name__)


class Changed(Protocol):
    """Is told objects whose remote side looks different; `moved` if it has come, gone or changed its state."""

    def __call__(self, keys: Iterable[Key], *, moved: bool = False) -> None: ...


@dataclass
class _News:
    """What one poll has found."""

    changed: set[Key] = field(default_factory=set)
    moved: set[Key] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.changed or self.moved)


_POOL_MEMBERS = (
    "id", "state", "allocationState", "allocationStateTransitionTime", "vmSize", "metadata", "resizeErrors",
    "targetDedicatedNodes", "targetLowPriorityNodes", "currentDedicatedNodes", "currentLowPriorityNodes",
)  # fmt: skip
_JOB_MEMBERS = (
    "id", "state", "executionInfo", "metadata", "poolInfo", "priority", "maxParallelTasks", "allowTaskPreemption",
    "constraints", "onAllTasksComplete",
)  # fmt: skip
_TASK_MEMBERS = ("id", "state", "stateTransitionTime", "executionInfo", "nodeInfo")
_TASK_SHOWN = ("state", "executionInfo", "nodeInfo", "owner", "stderrTail")
_FAILED = "executionInfo/result eq 'failure'"
_DEADLINE = 20.0
_FULL_TASK_LIST_EVERY = 60.0
_CLOCK_SLACK = timedelta(seconds=10)
_MOST_FAILED_KEPT = 200
_MOST_TAILS = 20
TAIL_BYTES = 2000
_TAIL_LINES = 20
_CONCURRENCY = 8


def tail_of(data: bytes) -> str:
    """The last lines of a file, as text that a status can hold."""
    text = data.decode(errors="replace").replace("\x00", "")
    return "\n".join(text.rstrip().splitlines()[-_TAIL_LINES:])


class Pace:
    """Seconds between polls: the least while something moves, then longer and longer."""

    def __init__(self, least: float, most: float) -> None:
        self._least, self._most = least, most
        self.seconds = least

    def moved(self) -> None:
        """Something has changed."""
        self.seconds = self._least

    def still(self, *, expecting: bool) -> None:
        """Nothing has changed; while something is expected to, patience ends earlier."""
        most = min(self._most, self._least * 5) if expecting else self._most
        self.seconds = min(most, self.seconds * 1.5)


class Poller:
    """Keeps the mirror of one account up to date.

    Args:
        changed: is told what each poll has found.
        healthy: is told how each poll ended: None, or the error.
        least, most: bounds of the seconds between two polls.
        share: calls per second that polling may take; a poll of many jobs is followed by a longer rest.
    """

    def __init__(
        self,
        client: BatchClient,
        mirror: Mirror,
        interest: Interest,
        changed: Changed,
        healthy: Callable[[BatchError | None], None],
        *,
        least: float = 1.0,
        most: float = 60.0,
        share: float = math.inf,
    ) -> None:
        self._client = client
        self._mirror = mirror
        self._interest = interest
        self._changed = changed
        self._healthy = healthy
        self._pace = Pace(least, most)
        self._spacing = min(0.25, least)
        self._share = share
        self._calls = 0
        self._poked = asyncio.Event()
        self._task_lists: dict[str, _TaskList] = {}
        self.last_success: float | None = None

    def poke(self) -> None:
        """Poll soon: something was written, or somebody is new."""
        self._pace.moved()
        self._poked.set()

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            self._poked.clear()
            await self.poll()
            await asyncio.sleep(max(self._spacing, self._calls / self._share))
            try:
                async with asyncio.timeout(self._pace.seconds * random.uniform(0.8, 1.2)):  # noqa: S311
                    await self._poked.wait()
            except TimeoutError:
                continue

    async def poll(self) -> None:
        """One pass over everything that somebody is interested in."""
        news = _News()
        try:
            await self._poll(news)
        except BatchError as error:
            self._healthy(error)
            self._pace.still(expecting=True)
        else:
            self.last_success = asyncio.get_running_loop().time()
            self._healthy(None)
            if news:
                self._pace.moved()
            else:
                self._pace.still(expecting=self._expecting())
        # What was seen before the error counts all the same.
        self._changed(news.moved, moved=True)
        self._changed(news.changed - news.moved)

    def _expecting(self) -> bool:
        mirror = self._mirror
        return bool(self._interest.tasks or mirror.results or mirror.pools.touched or mirror.jobs.touched)

    async def _poll(self, news: _News) -> None:
        interest = self._interest
        if not interest:
            # An account that nobody uses is still checked: is it there, are we let in?
            await self._first(self._client.pools.list_pages(select=("id",), max_results=1, **_options()))
            return
        if interest.pools:
            await self._poll_pools(news)
        if interest.jobs or interest.tasks:
            began = _now()
            jobs = [job async for job in self._client.jobs.list(select=_JOB_MEMBERS, **_options())]
            told = interest.jobs.keys() if self._mirror.jobs.first else ()
            if self._mirror.jobs.first:
                news.changed |= {key for tasks in interest.tasks.values() for keys in tasks.values() for key in keys}
            for id in {*self._mirror.jobs.replace(began, jobs), *told}:
                news.moved |= interest.jobs.get(id, set())
        await self._poll_jobs(news)

    @staticmethod
    async def _first(pages: Any) -> None:
        async for _ in pages:
            break

    async def _poll_pools(self, news: _News) -> None:
        began = _now()
        pools = [pool async for pool in self._client.pools.list(select=_POOL_MEMBERS, **_options())]
        counts = {str(each["poolId"]).lower(): each async for each in self._client.pools.list_node_counts(**_options())}
        before, self._mirror.node_counts = self._mirror.node_counts, counts
        different = {id for id, each in counts.items() if before.get(id) != each}
        told = self._interest.pools.keys() if self._mirror.pools.first else ()
        for id in {*self._mirror.pools.replace(began, pools), *told}:
            news.moved |= self._interest.pools.get(id, set())
        for id in different:
            news.changed |= self._interest.pools.get(id, set())

    async def _poll_jobs(self, news: _News) -> None:
        gate = asyncio.Semaphore(_CONCURRENCY)

        async def guarded(step: Any) -> None:
            async with gate:
                await step

        steps = []
        for id in list(self._interest.jobs):
            if self._open(id):
                steps.append(self._poll_results(id, news))
            else:
                self._mirror.results.pop(id, None)
        steps += [self._poll_tasks(id, news) for id in list(self._interest.tasks) if self._open(id)]
        for id in self._task_lists.keys() - self._interest.tasks.keys():
            del self._task_lists[id]
            self._mirror.tasks.pop(id, None)
        self._calls = len(steps)
        try:
            async with asyncio.TaskGroup() as group:
                for step in steps:
                    group.create_task(guarded(step))
        except* BatchError as errors:
            raise _first_of(errors) from None

    def _open(self, job_id: str) -> bool:
        job = self._mirror.jobs.latest(job_id)
        return job is not None and job.get("state") != "deleting"

    async def _poll_results(self, id: str, news: _News) -> None:
        """Counts of a job, and its failed tasks if their number has grown; at the end also what has not ended."""
        job, known = self._mirror.jobs.latest(id) or {}, self._mirror.results[id]
        ended = job.get("state") == "completed"
        if ended and known.unfinished is not None:
            return
        try:
            counts = (await self._client.jobs.get_task_counts(id, **_options()))["taskCounts"]
            results = JobResults(counts, known.failed, known.failed_count)
            if ended or counts.get("failed", 0) != known.failed_count:
                results.failed, results.failed_count = await self._failed_tasks(id, known.failed)
            if ended:
                pending = self._client.tasks.list(id, filter="state ne 'completed'", select=("id",), **_options())
                results.unfinished = len([task async for task in pending])
        except NotFoundError:
            return
        if results != known:
            self._mirror.results[id] = results
            news.changed |= self._interest.jobs.get(id, set())

    async def _failed_tasks(self, job_id: str, known: list[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], int]:
        tails = {task["id"]: task["stderrTail"] for task in known if "stderrTail" in task}
        causes: set[tuple[Any, ...]] = set()
        failed: list[Mapping[str, Any]] = []
        number = 0
        async for task in self._client.tasks.list(job_id, filter=_FAILED, select=("id", "executionInfo"), **_options()):
            number += 1
            if len(failed) >= _MOST_FAILED_KEPT:
                continue
            entry = {"id": task["id"], "executionInfo": task.get("executionInfo") or {}}
            if cause(entry) not in causes and len(causes) < _MOST_TAILS:
                causes.add(cause(entry))
                tail = tails.get(task["id"])
                entry["stderrTail"] = await self._stderr(job_id, task["id"]) if tail is None else tail
            failed.append(entry)
        return failed, number

    async def _stderr(self, job_id: str, task_id: str) -> str:
        """Last lines of stderr.txt; empty if there are none or the node is gone."""
        try:
            data = await self._client.task_files.tail(job_id, task_id, "stderr.txt", limit=TAIL_BYTES, **_options())
        except BatchError as error:
            if error.status in {404, 409}:
                return ""
            raise
        return tail_of(data)

    async def _poll_tasks(self, job_id: str, news: _News) -> None:
        listing = self._task_lists.setdefault(job_id, _TaskList())
        table, wanted = self._mirror.tasks[job_id], self._interest.tasks.get(job_id, {})
        began = _now()
        full = listing.full_at is None or began - listing.full_at > _FULL_TASK_LIST_EVERY or listing.recount
        # Owners are asked for once; later tasks are our own, or are asked for when the service says that they exist.
        members = (*_TASK_MEMBERS, "environmentSettings") if full else _TASK_MEMBERS
        try:
            found = self._client.tasks.list(
                job_id, filter=None if full else listing.filter, select=members, **_options()
            )
            tasks = [task async for task in found]
        except NotFoundError:
            return
        entries = [listing.entry(task, table) for task in tasks]
        tails = 0
        for entry in entries:
            info = entry.get("executionInfo") or {}
            if (
                info.get("result") != "failure"
                or entry["id"].lower() not in wanted
                or entry.get("stderrTail") is not None
            ):
                continue
            tails += 1
            entry["stderrTail"] = await self._stderr(job_id, entry["id"]) if tails <= _MOST_TAILS else ""
        if full:
            listing.full_at, listing.recount = began, False
        told = set(wanted) if table.first else set()
        different = told | (table.replace(began, entries) if full else table.merge(began, entries))
        # A touched task that no incremental list shows was deleted or never added: look at all of them.
        listing.recount = listing.recount or (not full and table.touched)
        for id in different:
            news.changed |= wanted.get(id, set())

    def claim(self, job_id: str, task_id: str, owner: str) -> None:
        """The service has just taken this task from us."""
        self._task_lists.setdefault(job_id.lower(), _TaskList()).owners[task_id.lower()] = owner


class _TaskList:
    """How far the tasks of one job have been read."""

    def __init__(self) -> None:
        self.full_at: float | None = None
        self.recount = False
        self.owners: dict[str, str] = {}
        self._latest = datetime(2000, 1, 1, tzinfo=UTC)

    @property
    def filter(self) -> str:
        """Tasks whose state has changed since what was seen last, by the service's clock and with some slack."""
        since = (self._latest - _CLOCK_SLACK).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"stateTransitionTime ge DateTime'{since}'"

    def entry(self, task: Mapping[str, Any], table: RemoteTable) -> dict[str, Any]:
        """What the mirror keeps of a task."""
        id = str(task["id"]).lower()
        if stamp := task.get("stateTransitionTime"):
            self._latest = max(self._latest, datetime.fromisoformat(stamp[:19]).replace(tzinfo=UTC))
        known = table.latest(id) or {}
        entry = {"id": task["id"]} | {name: task[name] for name in _TASK_SHOWN if name in task}
        owner = task_owner_of(task) or self.owners.pop(id, None) or known.get("owner")
        if owner:
            entry["owner"] = owner
        if "stderrTail" in known and known.get("executionInfo") == task.get("executionInfo"):
            entry["stderrTail"] = known["stderrTail"]
        return entry


def _options() -> dict[str, Any]:
    return {"priority": Priority.REFRESH, "deadline": _DEADLINE}


def _now() -> float:
    return asyncio.get_running_loop().time()


def _first_of(errors: BaseExceptionGroup[BatchError]) -> BatchError:
    first = errors.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first
