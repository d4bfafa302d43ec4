"""Retries the failed tasks of a job (`azurebatch.io/retry-failed`): two lists, and a call per failed task.

The service has no call for many at once, so this takes rounds when calls are refused. Each round is about the failures that the
first list has shown. The time of the last of them is stored in the status of the job before the first call: a task that was
reactivated and has failed again is not run a third time, also after a restart. Tasks of BatchTasks are left to these objects, which
would not learn of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import (
    BatchClient,
    BatchError,
    ConflictError,
    NotFoundError,
    PreconditionFailedError,
    is_gone,
)
from azure_batch_operator.batch.wire import Task
from azure_batch_operator.guard import refusal
from azure_batch_operator.reconcile.annotations import is_later
from azure_batch_operator.reconcile.error_classes import classify_error
from azure_batch_operator.reconcile.ownership import claimed
from azure_batch_operator.sync.backoff import Backoff
from azure_batch_operator.sync.feeder import Incarnation
from azure_batch_operator.sync.open_group import OpenGroup

logger = logging.getLogger(__name__)

_FAILED = "executionInfo/result eq 'failure'"
_RETRY = "reactivate"
_MAX_CONFLICTS_AGAIN = 5
"""Refused tasks that end a repeated round: a job of 1,000 failed tasks that takes none back must not cost 1,000 calls each time."""
_MEMBERS = ("id", "eTag", "stateTransitionTime", "environmentSettings")


@dataclass(slots=True)
class _Request:
    """What one value of the annotation asks for.

    Attributes:
        until: when the last of the failed tasks had failed, as the first list showed it; None before that list.
        conflicts: the round in which each task was refused last, by id.
        rounds: how many there were.
        number: tasks that were reactivated.
        others: failed tasks of BatchTasks.
        stopped: whether no more of them are to be reactivated for now.
    """

    job: Incarnation
    value: str
    until: str | None = None
    conflicts: dict[str, int] = field(default_factory=dict)
    rounds: int = 0
    number: int = 0
    others: int = 0
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class _Failed:
    """A failed task as it was listed."""

    etag: str | None
    since: str


class Retrier:
    """Reactivates failed tasks.

    Args:
        settled: is told the jobs whose tasks were reactivated, or could not be.
        waiting: is told them instead if nothing was done and nothing is new, since the same was refused before.
    """

    def __init__(
        self,
        client: BatchClient,
        settled: Callable[[Sequence[Key]], None],
        waiting: Callable[[Sequence[Key]], None] | None = None,
    ) -> None:
        self._client, self._settled, self._waiting = client, settled, waiting or settled
        self._done: dict[Key, _Request] = {}
        self._requests: dict[Key, _Request] = {}
        self._refused: dict[Key, tuple[Incarnation, str, BatchError]] = {}
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._backoff = Backoff(lambda: asyncio.get_running_loop().time())
        self._group = OpenGroup()

    def done(self, job: Incarnation) -> str | None:
        """Value of the annotation that was carried out last for this incarnation, by this process."""
        return done.value if (done := self._done.get(job.key)) is not None and done.job == job else None

    def number(self, job: Incarnation) -> int:
        """How many tasks were reactivated for it."""
        return done.number if (done := self._done.get(job.key)) is not None and done.job == job else 0

    def others(self, job: Incarnation) -> int:
        """How many failed tasks were left alone, since they belong to BatchTasks."""
        return done.others if (done := self._done.get(job.key)) is not None and done.job == job else 0

    def until(self, job: Incarnation, value: str | None) -> str | None:
        """Time of the last failure that this value of the annotation is about; None before the first list."""
        request = self._requests.get(job.key)
        return request.until if request is not None and (request.job, request.value) == (job, value) else None

    def refused(self, job: Incarnation, value: str | None) -> BatchError | None:
        """Why the last try for this value of the annotation did not reactivate all failed tasks; None if nothing was refused."""
        incarnation, tried, error = self._refused.get(job.key, (None, None, None))
        return error if (incarnation, tried) == (job, value) else None

    def retry(self, job: Incarnation, job_id: str, value: str, until: str | None) -> float | None:
        """Reactivate the failed tasks of a job, unless that is in progress; seconds to wait if it was refused lately.

        Args:
            until: time of the last failure that this is about, as it is stored; None to find out.
        """
        held = self._backoff.held(job.key, _RETRY, (job, value))
        if held is not None:
            return held[0]
        if job.key not in self._running and self._group.is_open:
            self._running[job.key] = self._group.start(self._retry(job, job_id, value, until))
        return None

    def hurry(self, key: Key) -> None:
        """Somebody wants another try now."""
        self._backoff.forget(key)

    def stop(self, key: Key) -> None:
        """Reactivate no more for now: `retry` continues with what is left."""
        if (request := self._requests.get(key)) is not None:
            request.stopped = True

    def forget(self, key: Key) -> None:
        """The job is gone or done."""
        self._done.pop(key, None)
        self._requests.pop(key, None)
        self._refused.pop(key, None)
        self._backoff.forget(key)
        if running := self._running.get(key):
            running.cancel()

    async def run(self) -> None:
        """Work until cancelled."""
        await self._group.run()

    async def _retry(self, job: Incarnation, job_id: str, value: str, until: str | None) -> None:
        request = self._requests.get(job.key)
        if request is None or (request.job, request.value) != (job, value):
            request = self._requests[job.key] = _Request(job, value)
        request.stopped = False
        before, refusal_of = request.number, self._refused.get(job.key)
        try:
            failed, others = await self._failed(job_id)
            if until is None and failed:
                # Nothing runs again before this is stored.
                request.until = max((failure.since for failure in failed.values()), key=_sortable)
                return
            request.others = others
            refused = await self._reactivate(job_id, request, failed, until or "")
            if refused is not None:
                raise refused
            if request.stopped:
                return
            self._done[job.key] = request
            self._requests.pop(job.key, None)
            self._refused.pop(job.key, None)
            self._backoff.succeeded(job.key, _RETRY)
            logger.info("Reactivated failed tasks of %s: %d", job.key, request.number)
        except BatchError as error:
            logger.warning("Reactivating the failed tasks of %s stopped after %d: %s", job.key, request.number, error)
            self._not_done(job, value, error)
        except Exception as error:
            self._not_done(job, value, refusal("retrier", job.key, error))
        finally:
            del self._running[job.key]
            nothing = self._refused.get(job.key) is not refusal_of and request.number == before
            again = nothing and self._backoff.is_repeated(job.key, _RETRY, (job, value))
            (self._waiting if again else self._settled)([job.key])

    async def _failed(self, job_id: str) -> tuple[Mapping[str, _Failed], int]:
        """Failed tasks by id, without those of BatchTasks, and how many these are.

        A reactivated task is no longer in the list, so it is read to its end before any is.
        """
        failed, others = {}, 0
        async for task in self._client.tasks.list(job_id, filter=_FAILED, select=_MEMBERS).of(Task):
            if claimed(task):
                others += 1
            else:
                failed[task.id] = _Failed(task.etag, task.state_transition_time or "")
        return failed, others

    async def _reactivate(
        self, job_id: str, request: _Request, failed: Mapping[str, _Failed], until: str
    ) -> BatchError | None:
        """Reactivate what is asked for and has not run again yet; the first refusal, if any.

        Raises:
            BatchError: if a call was refused for another reason than the state of its task.
        """
        same = [id for id, task in failed.items() if not is_later(task.since, until)]
        refused: list[BatchError] = []
        number, repeated = 0, bool(request.conflicts)
        request.rounds += 1
        # Those that were refused come last, the latest at the end, so that none keeps others from running forever.
        for task_id in sorted(same, key=lambda id: request.conflicts.get(id, 0)):
            if request.stopped:
                break
            try:
                await self._client.tasks.reactivate(job_id, task_id, if_match=failed[task_id].etag)
                number += 1
                request.number += 1
            except (NotFoundError, ConflictError, PreconditionFailedError) as error:
                if is_gone(error):
                    logger.info("Task %s of job %s is gone, so it is not reactivated", task_id, job_id)
                    continue
                # The next list tells whether somebody else has reactivated it meanwhile.
                logger.info("Task %s of job %s is not reactivated: %s", task_id, job_id, error)
                request.conflicts[task_id] = request.rounds
                refused.append(error)
                if repeated and not number and len(refused) >= _MAX_CONFLICTS_AGAIN:
                    break
        return refused[0] if refused else None

    def _not_done(self, job: Incarnation, value: str, error: BatchError) -> None:
        self._refused[job.key] = (job, value, error)
        self._backoff.refused(job.key, _RETRY, (job, value), error, classify_error(error))


def _sortable(stamp: str) -> str:
    return stamp.removesuffix("Z")
