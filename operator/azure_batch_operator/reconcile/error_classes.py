"""Maps errors of calls to what the user sees and when the call is retried: one table for all kinds and verbs.

Trouble with the account as a whole (no connection, bad key, throttled) is the BatchAccount's to show: the objects keep their last
state. Nearly everything is retried; the interval depends on who must act. `docs/reasons.md` shows the table to users.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from azure_batch_operator.batch.errors import (
    AlreadyExistsError,
    AuthenticationError,
    BatchError,
    BeingDeletedError,
    BeingResizedError,
    CompletedError,
    ConflictError,
    ConnectionFailedError,
    DeadlineError,
    EndpointRefusedError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    QuotaError,
    ServerBusyError,
    ThrottledError,
    TooLargeError,
    TransientError,
    UsageError,
)


class RetryClass(Enum):
    """How long a refused call waits before it is retried: first wait, growth per refusal, longest wait (seconds)."""

    BUSY = (1.0, 2.0, 60.0)
    """Passes by itself: the service is busy, or the state of the resource does not allow the call yet."""
    WAITING = (30.0, 2.0, 300.0)
    """Somebody else must act: quota, a missing right, a missing application package, credentials, a taken id."""
    WRONG = (60.0, 4.0, 3600.0)
    """The request is wrong and stays wrong until the spec changes; the service may change its mind, too."""

    def seconds(self, refusals: int) -> float:
        """The wait after so many refusals in a row, at least one."""
        first, factor, longest = self.value
        return min(longest, first * factor ** min(refusals - 1, 30))


LONGEST_RETRY_AFTER = 300.0
"""Seconds. A service, or something between, that asks for more is asked again all the same."""
_ONE_POOL_ONLY = frozenset({"TooManyEnableAutoScaleRequests", "AutoScaleTooManyRequestsToEnable"})
"""Codes of a 503 that say nothing of the account: one pool was given formulas too often."""


_NEEDS_A_PERSON = frozenset(
    {
        "InvalidApplicationPackageReferences",
        "InvalidCertificateReferences",
        "JobScheduleWithSameIdExists",
        "JobWithSameIdExists",
    }
)
"""Conflicts that no waiting ends: something must change in the account or in the spec."""


@dataclass(frozen=True)
class ClassifiedError:
    """What an error means for the object whose call it was.

    Attributes:
        reason: reason of the condition: the service's own code where it sent one.
        message: the service's text with values and request id.
        patience: how long to wait before the next try.
        retry_after: seconds that the service asked to wait, capped.
        of_account: whether the account as a whole is out of order, so that the object says nothing.
        stalled: whether a person must act.
        phase: phase to show instead of the usual one.
    """

    reason: str
    message: str
    retry_class: RetryClass
    retry_after: float = 0.0
    of_account: bool = False
    stalled: bool = False
    phase: str | None = None


def overtaken(error: BatchError, *, twice: bool) -> bool:
    """Whether a refusal says that the decision came from an old observation, so that it is made again from a newer one.

    A resize ends before it is stopped, a job completes before it is terminated: nobody's fault and nothing to show. The same codes
    may also mean a rule of the service that no newer observation changes, so the second refusal of the same call is trouble.

    Args:
        twice: whether the same call was refused before and has not succeeded since.
    """
    match error:
        case (
            AlreadyExistsError()
            | CompletedError()
            | NotFoundError()
            | PreconditionFailedError()
            | BeingResizedError()
            | BeingDeletedError()
        ):
            return not twice
        case ConflictError():
            return error.code == "OperationNotValidOnPool" and not twice
        case _:
            return False


def classify_error(error: BatchError) -> ClassifiedError:
    """Judge an error of a call that was made for one object."""
    reason = error.code or type(error).__name__.removesuffix("Error")
    message = str(error)
    after = min(error.retry_after or 0.0, LONGEST_RETRY_AFTER)
    if error.code in _ONE_POOL_ONLY:
        return ClassifiedError(reason, message, RetryClass.WAITING, after)
    match error:
        case ThrottledError() | ConnectionFailedError() | ServerBusyError() | DeadlineError():
            return ClassifiedError(reason, message, RetryClass.BUSY, after, of_account=True)
        case AuthenticationError() | EndpointRefusedError():
            return ClassifiedError(reason, message, RetryClass.WAITING, after, of_account=True)
        case TransientError():
            return ClassifiedError(reason, message, RetryClass.BUSY, after)
        case QuotaError():
            return ClassifiedError(reason, message, RetryClass.WAITING, after, phase="Queued")
        case ForbiddenError():
            return ClassifiedError(reason, message, RetryClass.WAITING, after, stalled=True)
        case InvalidRequestError() | TooLargeError() | UsageError():
            return ClassifiedError(reason, message, RetryClass.WRONG, after, stalled=True)
        case ConflictError() if error.code in _NEEDS_A_PERSON:
            return ClassifiedError(reason, message, RetryClass.WAITING, after, stalled=True)
        case ConflictError() | NotFoundError() | PreconditionFailedError():
            return ClassifiedError(reason, message, RetryClass.BUSY, after)
        case _:
            return ClassifiedError(reason, message, RetryClass.WAITING, after)
