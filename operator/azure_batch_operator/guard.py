"""Limits an unexpected exception to one object: it never stops a loop, a TaskGroup or the process.

What data can cause must not spread: a fault while one item is handled is logged with its traceback, counted in
`azurebatch_internal_errors_total`, shown as reason `InternalError`, and retried with backoff. The other
items continue. `keep` is the loop of every long-running service. `refusal` turns a fault into an error of the call that it
happened in, for those who handle errors of calls anyway. The end of a loop is no fault: it passes through. That something which the
loop waits for was cancelled is one (`is_ending`): a TaskGroup lets such a worker end without a word.

Stands above `batch`, beside `logs`; used by `kube` and `sync`.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client import Counter

from azure_batch_operator.batch import BatchError

logger = logging.getLogger(__name__)

REASON = "InternalError"
FAULTS = Counter("azurebatch_internal_errors", "Unexpected exceptions while a single object was reconciled", ["where"])
MIN_WAIT, MAX_WAIT = 1.0, 60.0
"""Seconds between two tries."""


_Answer = TypeVar("_Answer")


class InternalError(BatchError):
    """The operator has failed, not the service and not the user; the text names the place and holds no data."""

    default_retryable = True


def message(error: BaseException) -> str:
    """What a user reads: kind and place of the exception, never its text, which may quote a secret.

    It does not say whether anything is retried: it is also quoted in results that are final.
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return (
        f"the operator failed on this object ({type(error).__name__}{place}); other objects are not affected. This is a fault in "
        "the operator: report it with the operator's log of this object, which contains the traceback"
    )


def shared(work: Coroutine[Any, Any, _Answer]) -> asyncio.Task[_Answer]:
    """Start what several may wait for, each behind `asyncio.shield`; whoever waits gets the result or the exception.

    If all have stopped waiting by the time it fails, nobody needs the exception, and asyncio does not log it.
    """
    task = asyncio.create_task(work)
    task.add_done_callback(_retrieve)
    return task


def _retrieve(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


def is_ending() -> bool:
    """Whether a CancelledError is the end of this task itself, and not that of something that it waits for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def refusal(where: str, subject: object, error: BaseException) -> BatchError:
    """An exception as an error of a call: one of the client stays as it is, any other is logged, counted and named.

    Args:
        where: the worker, for the metric, such as `feeder`.
        subject: what it was about, for the log.
    """
    if isinstance(error, BatchError):
        return error
    report(where, subject, error)
    return InternalError(message(error), code=REASON)


def report(where: str, subject: object, error: BaseException) -> None:
    """Log a fault with its traceback, and count it."""
    FAULTS.labels(where).inc()
    logger.error("%s failed on %s: %s", where, subject, type(error).__name__, exc_info=error)


class Backoff:
    """Seconds to wait after each failure in a row: doubled from the least to the most."""

    def __init__(self, least: float = MIN_WAIT, most: float = MAX_WAIT) -> None:
        self._least, self._most, self._next = least, most, least

    def failed(self) -> float:
        """One more failure; returns how long to wait."""
        wait, self._next = self._next, min(self._most, self._next * 2)
        return wait

    def worked(self) -> None:
        """The row of failures has ended."""
        self._next = self._least


async def keep(where: str, turn: Callable[[], Awaitable[None]], *, expected: tuple[type[Exception], ...] = ()) -> None:
    """Take one turn after the other until cancelled; a turn waits for its own work.

    Args:
        where: name of the service, for log and metric.
        expected: exceptions that are no fault, such as an unreachable API server: logged without a traceback and not counted.
    """
    backoff = Backoff()
    while True:
        try:
            await turn()
        except expected as error:
            logger.warning("%s: %s", where, error)
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and is_ending():
                raise
            report(where, "a turn", error)
        else:
            backoff.worked()
            continue
        await asyncio.sleep(backoff.failed())
