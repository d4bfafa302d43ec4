"""The task that keeps a job open while others of its tasks are deleted to be added again.

The service ends a job with `onAllTasksComplete: terminatejob` once no task of it is unfinished, and lets nobody take that back. A
task that is deleted then cannot be added again: it would be lost. So a task of such a job is replaced only while a GET shows that
another one is unfinished, which is not replaced in the same round. Lists lag, so they only say which task to ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure_batch_operator.batch import BatchClient, NotFoundError, Priority, is_gone

_LOOKED_AT = 1000
"""Unfinished tasks that are looked through for one that waits, which stays unfinished for longer than one that runs."""
_ASKED = 20
"""Tasks of one list that are asked for: of those that it shows as unfinished, so many have not all ended since."""

Body = Mapping[str, Any]


class Keeper:
    """Finds a task that keeps the job open, and asks for it again before each deletion.

    Args:
        but: id of a task that is to be replaced in this round.
    """

    def __init__(self, client: BatchClient, job_id: str, *, but: str | None = None) -> None:
        self._client, self._job_id, self._but = client, job_id, but
        self._id: str | None = None
        self._is_none = False
        self.spared: str | None = None
        """The task that keeps the job open, if it was to be replaced itself."""

    async def spares(self, task: Body) -> bool:
        """Whether a task must stay, since no other one is known to keep the job open without it.

        Raises:
            BatchError: if that cannot be asked.
        """
        id = str(task["id"])
        if id != self._id and not await self._is_open(self._id):
            self._id = None if self._is_none else await self._find()
            self._is_none = self._id is None
        if id == self._id:
            self.spared = id
        return self._id in (None, id)

    async def _is_open(self, id: str | None) -> bool:
        """Whether a GET shows this task as unfinished."""
        if id is None:
            return False
        try:
            found = await self._client.tasks.get(self._job_id, id, select=("id", "state"), priority=Priority.SUBMIT)
        except NotFoundError as error:
            if not is_gone(error):
                raise
            return False
        return found.get("state") not in (None, "completed")

    async def _find(self) -> str | None:
        """An unfinished task, rather one that waits than one that runs."""
        waiting, running, seen = list[str](), list[str](), 0
        listed = self._client.tasks.list(
            self._job_id, filter="state ne 'completed'", select=("id", "state"), priority=Priority.SUBMIT
        )
        async for task in listed:
            id, state, seen = str(task["id"]), task.get("state"), seen + 1
            if id != self._but and state == "active":
                if await self._is_open(id):
                    return id
                waiting.append(id)
            elif id != self._but and state not in (None, "completed"):
                running.append(id)
            if seen >= _LOOKED_AT or len(waiting) >= _ASKED:
                break
        for id in running[: _ASKED - len(waiting)]:
            if await self._is_open(id):
                return id
        return None
