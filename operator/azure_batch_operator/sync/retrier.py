"""Runs the failed tasks of a job again (`azurebatch.io/retry-failed`): one list, and a call per failed task.

The service has no call for many at once (batch-semantics §4.4). What was begun before a restart is begun again, with what is left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import BatchClient, BatchError, CompletedError, ConflictError, NotFoundError

logger = logging.getLogger(__name__)

_FAILED = "executionInfo/result eq 'failure'"


class Retrier:
    """Reactivates failed tasks.

    Args:
        settled: is told the jobs whose tasks were reactivated, or could not be.
    """

    def __init__(self, client: BatchClient, settled: Callable[[Sequence[Key]], None]) -> None:
        self._client, self._settled = client, settled
        self._done: dict[tuple[Key, str], str] = {}
        self._running: dict[tuple[Key, str], asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def done(self, key: Key, uid: str) -> str | None:
        """Value of the annotation that was carried out last, by this process."""
        return self._done.get((key, uid))

    def retry(self, key: Key, uid: str, job_id: str, value: str) -> None:
        """Reactivate the failed tasks of a job, unless that is under way."""
        identity = (key, uid)
        if identity not in self._running and self._group is not None:
            self._running[identity] = self._group.create_task(self._retry(identity, job_id, value))

    def forget(self, key: Key, uid: str) -> None:
        """The job is gone or done."""
        self._done.pop((key, uid), None)
        if running := self._running.get((key, uid)):
            running.cancel()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await asyncio.Event().wait()

    async def _retry(self, identity: tuple[Key, str], job_id: str, value: str) -> None:
        number = 0
        try:
            # A reactivated task is no longer in the list, so it is read to its end before any is.
            failed = [str(task["id"]) async for task in self._client.tasks.list(job_id, filter=_FAILED, select=("id",))]
            for task_id in failed:
                try:
                    await self._client.tasks.reactivate(job_id, task_id)
                    number += 1
                except (ConflictError, CompletedError, NotFoundError) as error:
                    logger.info("Task %s of job %s is not reactivated: %s", task_id, job_id, error)
            self._done[identity] = value
            logger.info("%d failed tasks of %s run again", number, identity[0])
        except BatchError as error:
            logger.warning("Reactivating the failed tasks of %s stopped after %d: %s", identity[0], number, error)
        finally:
            del self._running[identity]
            self._settled([identity[0]])
