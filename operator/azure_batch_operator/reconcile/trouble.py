"""From an error of the Batch client to what the user sees and when to try again, in one place for all kinds.

Trouble with the account as a whole (no connection, bad key, throttled) is the BatchAccount's to show: the objects keep their last
state (design §4, Lifecycle; users.md §4). Nearly everything is retried; the interval depends on who must act (peers.md §2.5).
"""

from __future__ import annotations

from dataclasses import dataclass

from azure_batch_operator.batch import (
    AuthenticationError,
    BatchError,
    BeingDeletedError,
    BeingResizedError,
    ConflictError,
    ConnectionFailedError,
    DeadlineError,
    EndpointRefusedError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    QuotaError,
    ServerBusyError,
    ThrottledError,
    TooLargeError,
    TransientError,
)

FAST, SLOW, HOURLY = 1.0, 30.0, 3600.0


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


def trouble(error: BatchError) -> Trouble:
    """Judge an error of a call that was made for one object."""
    reason = error.code or type(error).__name__.removesuffix("Error")
    message = str(error)
    wait = error.retry_after or 0.0
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
        case NotFoundError() | ConflictError():
            return Trouble(reason, message, SLOW / 6)
        case _:
            return Trouble(reason, message, SLOW)


def account_problem(error: BatchError) -> tuple[str, str]:
    """Reason and message of a BatchAccount's `Ready` condition for an error, each with its remedy."""
    text = str(error)
    match error:
        case ConnectionFailedError(kind=kind):
            remedies = {
                "dns": "the host of spec.endpoint has no address: correct spec.endpoint",
                "refused": "nothing listens at spec.endpoint: correct it, or wait for the service",
                "tls": "the certificate of spec.endpoint was not accepted: correct spec.endpoint or the proxy between",
            }
            return "ConnectionFailed", f"{remedies.get(str(kind), 'no connection to spec.endpoint')} ({text})"
        case AuthenticationError(kind=kind):
            remedies = {
                "bad-key": "the key in the Secret is not a key of this account: correct the Secret of spec.auth.sharedKey",
                "unknown-account": "there is no such account at spec.endpoint: correct spec.accountName or spec.endpoint",
                "clock-skew": "the clock of the operator's node is more than 15 minutes off: correct it",
                "method-not-allowed": "the account does not allow this way to sign in: choose another one in spec.auth",
            }
            return (
                "AuthenticationFailed",
                f"{remedies.get(str(kind), 'the service does not accept the sign-in')} ({text})",
            )
        case EndpointRefusedError():
            return "EndpointRefused", text
        case ForbiddenError():
            return (
                error.code or "Forbidden",
                f"the identity lacks a role on the account, or the account is disabled ({text})",
            )
        case ThrottledError() | ServerBusyError():
            return "Throttled", f"the service asks for patience; calls go on by themselves ({text})"
        case DeadlineError():
            return "NoAnswer", f"the service does not answer in time ({text})"
        case _:
            return error.code or "RequestFailed", text
