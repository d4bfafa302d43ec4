"""Decides whether and when a failed attempt is retried. Pure: the caller passes the time and the random number.

Full jitter (a random part of an exponentially growing span) spreads the retries of many clients. Retry-After of the service
is a lower bound. Retries stop at the deadline: a wait beyond it is not begun, so the caller gets the error early, with
`retry_after`.
"""

from dataclasses import dataclass

from azure_batch_operator.batch.errors import (
    NEVER_SENT,
    BatchError,
    ConnectionFailedError,
    NotSentError,
    ServerBusyError,
    ThrottledError,
    TransientError,
)
from azure_batch_operator.batch.operations import Operation


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The retry policy of a client; all times in seconds.

    attempts: total number of attempts. base, cap: the span of the n-th wait is `min(cap, base * 2**(n-1))`.
    deadline: for the whole call, including the wait for the limiter, unless the call sets another.
    attempt_deadline: for one attempt, from sending to the last byte of the response (streams of files excepted).
    """

    attempts: int = 6
    base: float = 0.5
    cap: float = 30.0
    deadline: float = 120.0
    attempt_deadline: float = 60.0

    def delay(
        self, error: BatchError, operation: Operation, *, attempt: int, remaining: float, chance: float
    ) -> float | None:
        """Seconds to wait before the next attempt, or None if there is none.

        Args:
            error: how the attempt ended.
            attempt: its number, from 1.
            remaining: seconds left until the deadline.
            chance: a random number in [0, 1).
        """
        if attempt >= self.attempts or not may_repeat(error, operation):
            return None
        span = min(self.cap, self.base * 2.0 ** min(attempt - 1, 60))
        wait = chance * span if error.retry_after is None else error.retry_after + chance * self.base
        return wait if wait < remaining else None


def may_repeat(error: BatchError, operation: Operation) -> bool:
    """Whether a retry is safe and can succeed.

    A call that was refused (429, 503) or never sent had no effect. After any other error the service may have acted: then
    a call is only repeated if a second delivery is harmless. That is so for a create: the second one is refused with Exists,
    and the caller compares the resource.
    """
    if not isinstance(error, TransientError) or not error.retryable:
        return False
    if isinstance(error, ThrottledError | ServerBusyError | NotSentError):
        return True
    if isinstance(error, ConnectionFailedError) and error.kind in NEVER_SENT:
        return True
    return operation.idempotent
