"""The tasks of jobs that BatchTasks belong to: all of them once a minute, in between only those whose state has changed."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import BatchClient, BatchError, NotFoundError, TransientError
from azure_batch_operator.reconcile.ownership import marker_of
from azure_batch_operator.sync.mirror import Interest, Mirror, RemoteTable
from azure_batch_operator.sync.outputs import Owed
from azure_batch_operator.sync.polls.base import TAIL_LINES, News, Poll, Since, clock, options

_TASK_MEMBERS = ("id", "state", "stateTransitionTime", "executionInfo", "nodeInfo", "constraints")
_TASK_SHOWN = ("state", "executionInfo", "nodeInfo", "owner", "stderrTail")
_OUTPUT = ("stdoutTail", "stderrTail", "outputProblem")
_FULL_TASK_LIST_EVERY = 60.0
_MOST_TAILS = 20


class TaskPoll(Poll):
    """Tasks by job."""

    def __init__(self, client: BatchClient, mirror: Mirror, interest: Interest) -> None:
        super().__init__(client, mirror, interest)
        self._lists: dict[str, _TaskList] = {}

    def steps(self, news: News) -> list[Awaitable[None]]:
        """What has to be asked for each job by itself."""
        for id in self._lists.keys() - self._interest.tasks.keys():
            del self._lists[id]
            self._mirror.tasks.pop(id, None)
        owed = [self._late(key, owed, news) for key, owed in self._mirror.outputs.owed(_MOST_TAILS)]
        return [*(self._tasks(id, news) for id in list(self._interest.tasks) if self._mirror.jobs.alive(id)), *owed]

    async def _tasks(self, job_id: str, news: News) -> None:
        listing = self._lists.setdefault(job_id, _TaskList())
        table, wanted = self._mirror.tasks[job_id], self._interest.tasks.get(job_id, {})
        began = clock()
        # A new table, such as after the job's BatchJob has gone, knows nothing before a full list.
        due = listing.full_at is None or began - listing.full_at > _FULL_TASK_LIST_EVERY
        full = due or table.first or listing.recount
        # Owners are asked for once; later tasks are our own, or are asked for when the service says that they exist.
        members = (*_TASK_MEMBERS, "environmentSettings") if full else _TASK_MEMBERS
        try:
            found = self._client.tasks.list(
                job_id, filter=None if full else listing.since.filter, select=members, **options()
            )
            tasks = [task async for task in found]
        except NotFoundError:
            return
        entries = [listing.entry(task, table) for task in tasks]
        tails = 0
        for entry in entries:
            keys = wanted.get(entry["id"].lower(), ())
            lines = self._interest.tail(keys)
            result = (entry.get("executionInfo") or {}).get("result")
            if not keys or result is None or lines == 0 or "stderrTail" in entry or (result == "success" and not lines):
                continue
            tails += 1
            if tails <= _MOST_TAILS:
                entry |= await self._output(job_id, entry["id"], lines)
                continue
            entry["stderrTail"] = ""
            self._mirror.outputs.owe(keys, Owed(job_id, entry["id"], lines))
        if full:
            listing.full_at, listing.recount = began, False
        told = set(wanted) if table.first else set()
        different = told | (table.replace(began, entries) if full else table.merge(began, entries))
        # A touched task that no incremental list shows was deleted or never added: look at all of them.
        listing.recount = listing.recount or (not full and table.touched)
        for id in different:
            news.changed |= wanted.get(id, set())

    async def _late(self, key: Key, owed: Owed, news: News) -> None:
        """Read output that earlier polls have left out."""
        try:
            output = await self._output(owed.job_id, owed.task_id, owed.lines)
        except TransientError:
            raise
        except BatchError:
            self._mirror.outputs.forget(key)
            raise
        self._mirror.outputs.bring(key, output)
        news.changed.add(key)

    async def _output(self, job_id: str, task_id: str, lines: int | None) -> dict[str, str]:
        """The last lines of a task's output, and why there are none."""
        stderr, problem = await self._tail(job_id, task_id, "stderr.txt", lines or TAIL_LINES)
        output = {"stderrTail": stderr}
        if lines is not None:
            output["stdoutTail"], problem = await self._tail(job_id, task_id, "stdout.txt", lines)
        return output | ({"outputProblem": problem} if problem else {})

    def claim(self, job_id: str, task_id: str, owner: str) -> None:
        """The service has just taken this task from us."""
        self._lists.setdefault(job_id.lower(), _TaskList()).owners[task_id.lower()] = owner


class _TaskList:
    """How far the tasks of one job have been read."""

    def __init__(self) -> None:
        self.full_at: float | None = None
        self.recount = False
        self.owners: dict[str, str] = {}
        self.since = Since()
        self._constraints: dict[tuple[Any, ...], Mapping[str, Any]] = {}

    def entry(self, task: Mapping[str, Any], table: RemoteTable) -> dict[str, Any]:
        """What the mirror keeps of a task."""
        id = str(task["id"]).lower()
        self.since.saw(task)
        known = table.latest(id) or {}
        entry = {"id": task["id"]} | {name: task[name] for name in _TASK_SHOWN if name in task}
        owner = marker_of(task) or self.owners.pop(id, None) or known.get("owner")
        if owner:
            entry["owner"] = owner
        if known.get("executionInfo") == task.get("executionInfo"):
            entry |= {name: known[name] for name in _OUTPUT if name in known}
        if constraints := task.get("constraints"):
            entry["constraints"] = self._shared(constraints)
        return entry

    def _shared(self, constraints: Mapping[str, Any]) -> Mapping[str, Any]:
        """One copy of what most tasks of a job have alike."""
        names = ("maxWallClockTime", "retentionTime", "maxTaskRetryCount")
        return self._constraints.setdefault(tuple(constraints.get(name) for name in names), constraints)
