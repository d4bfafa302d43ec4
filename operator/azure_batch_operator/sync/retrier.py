"""Runs the failed tasks of a job again (`azurebatch.io/retry-failed`): one list, and a call per failed task.

The service has no call for many at once (batch-semantics §4.4). What was begun before a restart is begun again, with what is left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import BatchClient, BatchError, ConflictError, NotFoundError
from azure_batch_operator.guard import refusal
from azure_batch_operator.reconcile.trouble import trouble
from azure_batch_operator.sync.backoff import Backoff
from azure_batch_operator.sync.feeder import Incarnation

logger = logging.getLogger(__name__)

_FAILED = "executionInfo/result eq 'failure'"
_RETRY = "reactivate"
_MAX_CONFLICTS_AGAIN = 5
"""Refused tasks that end a repeated round: a job of 1,000 failed tasks that takes none back must not cost 1,000 calls each time."""


class Retrier:
    """Reactivates failed tasks.

    Args:
        settled: is told the jobs whose tasks were reactivated, or could not be.
    """

    def __init__(self, client: BatchClient, settled: Callable[[Sequence[Key]], None]) -> None:
        self._client, self._settled = client, settled
        self._done: dict[Key, tuple[Incarnation, str]] = {}
        self._refused: dict[Key, tuple[Incarnation, str, BatchError]] = {}
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._backoff = Backoff(lambda: asyncio.get_running_loop().time())
        self._group: asyncio.TaskGroup | None = None

    def done(self, job: Incarnation) -> str | None:
        """Value of the annotation that was carried out last for this incarnation, by this process."""
        incarnation, value = self._done.get(job.key, (None, None))
        return value if incarnation == job else None

    def refused(self, job: Incarnation, value: str | None) -> BatchError | None:
        """Why the last try for this value of the annotation did not reactivate all failed tasks; None if nothing was refused."""
        incarnation, tried, error = self._refused.get(job.key, (None, None, None))
        return error if (incarnation, tried) == (job, value) else None

    def retry(self, job: Incarnation, job_id: str, value: str) -> float | None:
        """Reactivate the failed tasks of a job, unless that is in progress; seconds to wait if it was refused lately."""
        held = self._backoff.held(job.key, _RETRY, (job, value))
        if held is not None:
            return held[0]
        if job.key not in self._running and self._group is not None:
            self._running[job.key] = self._group.create_task(self._retry(job, job_id, value))
        return None

    def forget(self, key: Key) -> None:
        """The job is gone or done."""
        self._done.pop(key, None)
        self._refused.pop(key, None)
        self._backoff.forget(key)
        if running := self._running.get(key):
            running.cancel()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await asyncio.Event().wait()

    async def _retry(self, job: Incarnation, job_id: str, value: str) -> None:
        number, left = 0, []
        repeated = self._backoff.refusals(job.key, _RETRY, (job, value)) > 0
        try:
            # A reactivated task is no longer in the list, so it is read to its end before any is.
            failed = [str(task["id"]) async for task in self._client.tasks.list(job_id, filter=_FAILED, select=("id",))]
            for task_id in failed:
                try:
                    await self._client.tasks.reactivate(job_id, task_id)
                    number += 1
                except NotFoundError:
                    logger.info("Task %s of job %s is gone, so it is not reactivated", task_id, job_id)
                except ConflictError as error:
                    # The next list tells whether somebody else has reactivated it meanwhile.
                    logger.info("Task %s of job %s is not reactivated: %s", task_id, job_id, error)
                    left.append(error)
                    if repeated and not number and len(left) >= _MAX_CONFLICTS_AGAIN:
                        break
            if left:
                raise left[0]
            self._done[job.key] = (job, value)
            self._refused.pop(job.key, None)
            self._backoff.succeeded(job.key, _RETRY)
            logger.info("Reactivated failed tasks of %s: %d", job.key, number)
        except BatchError as error:
            logger.warning("Reactivating the failed tasks of %s stopped after %d: %s", job.key, number, error)
            self._not_done(job, value, error)
        except Exception as error:
            self._not_done(job, value, refusal("retrier", job.key, error))
        finally:
            del self._running[job.key]
            self._settled([job.key])

    def _not_done(self, job: Incarnation, value: str, error: BatchError) -> None:
        self._refused[job.key] = (job, value, error)
        self._backoff.refused(job.key, _RETRY, (job, value), error, trouble(error))
