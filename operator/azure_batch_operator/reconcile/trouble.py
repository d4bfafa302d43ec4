"""From an error of the Batch client to what the user sees and when to try again, in one place for all kinds.

Trouble with the account as a whole (no connection, bad key, throttled) is the BatchAccount's to show: the objects keep their last
state (design §4, Lifecycle; users.md §4). Nearly everything is retried; the interval depends on who must act (peers.md §2.5).
"""

from __future__ import annotations

from dataclasses import dataclass

from azure_batch_operator.batch import (
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
)

FAST, SLOW, HOURLY = 1.0, 30.0, 3600.0
_ONE_POOL_ONLY = frozenset({"TooManyEnableAutoScaleRequests", "AutoScaleTooManyRequestsToEnable"})
"""Codes of a 503 that say nothing of the account: one pool was given formulas too often."""


_NEEDS_A_PERSON = frozenset({"InvalidApplicationPackageReferences", "InvalidCertificateReferences"})
"""Conflicts that no waiting ends: something must be put into the account, or the spec must change."""


@dataclass(frozen=True)
class Trouble:
    """What an error means for the object whose call it was.

    Attributes:
        reason: reason of the condition: the service's own code where it sent one.
        message: the service's text with values and request id.
        wait: seconds before the next try, at least.
        of_account: whether the account as a whole is out of order, so that the object says nothing.
        stalled: whether a person must act.
        phase: phase to show instead of the usual one.
    """

    reason: str
    message: str
    wait: float
    of_account: bool = False
    stalled: bool = False
    phase: str | None = None


def overtaken(error: BatchError, *, twice: bool) -> bool:
    """Whether a refusal says that what was decided came from an old look, so that it is decided anew from a newer one.

    A pool moves between two looks: a resize ends before it is stopped, or a formula begins one. That is nobody's fault and
    nothing to show. Yet the same codes may mean a rule of the service that no newer look changes, so a pool that is refused
    the same call twice is in trouble.

    Args:
        twice: whether the same call was refused after the look before.
    """
    match error:
        case AlreadyExistsError() | CompletedError() | NotFoundError() | PreconditionFailedError():
            return True
        case BeingResizedError() | BeingDeletedError():
            return not twice
        case ConflictError():
            return error.code == "OperationNotValidOnPool" and not twice
        case _:
            return False


def trouble(error: BatchError) -> Trouble:
    """Judge an error of a call that was made for one object."""
    reason = error.code or type(error).__name__.removesuffix("Error")
    message = str(error)
    wait = error.retry_after or 0.0
    if error.code in _ONE_POOL_ONLY:
        return Trouble(reason, message, max(wait, SLOW))
    match error:
        case ThrottledError() | ConnectionFailedError() | ServerBusyError() | DeadlineError():
            return Trouble(reason, message, max(wait, FAST), of_account=True)
        case AuthenticationError() | EndpointRefusedError():
            return Trouble(reason, message, SLOW, of_account=True)
        case TransientError():
            return Trouble(reason, message, max(wait, FAST))
        case QuotaError():
            return Trouble(reason, message, max(wait, SLOW), phase="Queued")
        case BeingDeletedError() | BeingResizedError():
            return Trouble(reason, message, FAST)
        case ForbiddenError():
            return Trouble(reason, message, SLOW, stalled=True)
        case InvalidRequestError() | TooLargeError():
            return Trouble(reason, message, HOURLY, stalled=True)
        case ConflictError() if error.code in _NEEDS_A_PERSON:
            return Trouble(reason, message, SLOW, stalled=True)
        case NotFoundError() | ConflictError():
            return Trouble(reason, message, SLOW / 6)
        case _:
            return Trouble(reason, message, SLOW)
