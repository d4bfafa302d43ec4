"""The tasks of jobs that BatchTasks belong to: all of them once a minute, in between only those whose state has changed."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from azure_batch_operator.batch import BatchClient, NotFoundError
from azure_batch_operator.reconcile.ownership import task_owner_of
from azure_batch_operator.sync.mirror import Interest, Mirror, RemoteTable
from azure_batch_operator.sync.polls.base import News, Poll, Since, clock, options

_TASK_MEMBERS = ("id", "state", "stateTransitionTime", "executionInfo", "nodeInfo")
_TASK_SHOWN = ("state", "executionInfo", "nodeInfo", "owner", "stderrTail")
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
        return [self._tasks(id, news) for id in list(self._interest.tasks) if self._mirror.jobs.alive(id)]

    async def _tasks(self, job_id: str, news: News) -> None:
        listing = self._lists.setdefault(job_id, _TaskList())
        table, wanted = self._mirror.tasks[job_id], self._interest.tasks.get(job_id, {})
        began = clock()
        full = listing.full_at is None or began - listing.full_at > _FULL_TASK_LIST_EVERY or listing.recount
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
            info = entry.get("executionInfo") or {}
            if (
                info.get("result") != "failure"
                or entry["id"].lower() not in wanted
                or entry.get("stderrTail") is not None
            ):
                continue
            tails += 1
            entry["stderrTail"] = (await self._stderr(job_id, entry["id"]))[0] if tails <= _MOST_TAILS else ""
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
        self._lists.setdefault(job_id.lower(), _TaskList()).owners[task_id.lower()] = owner


class _TaskList:
    """How far the tasks of one job have been read."""

    def __init__(self) -> None:
        self.full_at: float | None = None
        self.recount = False
        self.owners: dict[str, str] = {}
        self.since = Since()

    def entry(self, task: Mapping[str, Any], table: RemoteTable) -> dict[str, Any]:
        """What the mirror keeps of a task."""
        id = str(task["id"]).lower()
        self.since.saw(task)
        known = table.latest(id) or {}
        entry = {"id": task["id"]} | {name: task[name] for name in _TASK_SHOWN if name in task}
        owner = task_owner_of(task) or self.owners.pop(id, None) or known.get("owner")
        if owner:
            entry["owner"] = owner
        if "stderrTail" in known and known.get("executionInfo") == task.get("executionInfo"):
            entry["stderrTail"] = known["stderrTail"]
        return entry
