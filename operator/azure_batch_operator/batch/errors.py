"""All errors of calls to Azure Batch, as one class hierarchy.

    BatchError                          every error of this package; its fields describe the cause, and whether to retry
    ├── UsageError                      the call is wrong before anything is sent (also a ValueError)
    │   └── EndpointRefusedError        credentials may not be sent to the endpoint
    ├── AuthenticationError             the credential was not accepted; `.kind` says why
    ├── ForbiddenError                  403: known, but not allowed; or the account is disabled
    ├── NotFoundError                   404
    ├── InvalidRequestError             400, 405, 411, 416: this request can never succeed
    │   └── RetiredError                the service has removed the feature (certificates)
    ├── TooLargeError                   413
    ├── PreconditionFailedError         412: the object was changed in between
    ├── NotModifiedError                304: a conditional read found nothing new
    ├── ConflictError                   409: the object's state does not allow this now
    │   ├── AlreadyExistsError
    │   ├── BeingDeletedError           wait until a GET returns 404
    │   ├── BeingResizedError           wait until the allocation is steady
    │   ├── CompletedError              it has ended, so the call has no effect
    │   └── QuotaError                  a quota of the account is exhausted
    └── TransientError                  the same call may succeed later
        ├── ThrottledError              429
        ├── ServerBusyError             503
        ├── ServerError                 500 and other 5xx
        ├── DeadlineError               our deadline, or the service's (OperationTimedOut)
        │   └── NotSentError            our deadline passed while the call waited in our own queue: it was not sent
        ├── ConnectionFailedError       no response; `.kind` distinguishes dns, refused, reset, tls …
        └── MalformedResponseError      a response that the service cannot have sent: truncated, not JSON, too big …
            └── IncompleteListError     items of a list cannot be read; those that can were handed out

`error_codes` says which code of the service becomes which class. No text of an error contains a key, a signature, a token
or the query of a URL: see `redaction`.
"""

from collections.abc import Collection, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar

from azure_batch_operator.batch.redaction import without

_NO_VALUES: Mapping[str, str] = MappingProxyType({})


class BatchError(Exception):
    """A call to Batch failed.

    Fields:
        operation: id of the operation, such as `Pools_CreatePool`; empty outside of an operation.
        status: HTTP status, or None without a response.
        code: the service's error code, such as `PoolNotFound`, or None.
        message: the service's text without its RequestId and Time lines, or ours.
        values: the service's further details by name (`PropertyName`, `Reason`, …).
        request_id, client_request_id: for a support request and for our own log.
        retryable: whether the same call may succeed later without any change.
        retry_after: seconds to wait first, as the service requested; None if it did not.
    """

    default_retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        operation: str = "",
        status: int | None = None,
        code: str | None = None,
        values: Mapping[str, str] = _NO_VALUES,
        request_id: str | None = None,
        client_request_id: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.operation = operation
        self.status = status
        self.code = code
        self.message = message
        self.values = dict(values)
        self.request_id = request_id
        self.client_request_id = client_request_id
        self.retryable = self.default_retryable if retryable is None else retryable
        self.retry_after = retry_after

    def __str__(self) -> str:
        what = self.code or (f"HTTP {self.status}" if self.status else "")
        text = f"{what}: {self.message}" if what else self.message
        details = "; ".join(f"{name}={value}" for name, value in self.values.items())
        if details:
            text = f"{text} ({details})"
        tail = ", ".join(
            part for part in (self.operation, f"request-id {self.request_id}" if self.request_id else "") if part
        )
        return f"{text} [{tail}]" if tail else text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def hide(self, *secrets: Collection[str]) -> None:
        """Remove values from all texts of the error: the service may quote values that it refuses.

        Args:
            secrets: the values. `SecretValues` spare what many errors would otherwise compute of the same values.
        """
        self.message = without(self.message, *secrets)
        self.values = {name: without(value, *secrets) for name, value in self.values.items()}
        self.args = (self.message,)


class UsageError(BatchError, ValueError):
    """The call is invalid; nothing was sent."""


class EndpointRefusedError(UsageError):
    """Credentials may not be sent to this endpoint."""


class AuthenticationKind(StrEnum):
    """Why a credential was not accepted."""

    BAD_KEY = "bad-key"
    BAD_SECRET = "bad-secret"  # noqa: S105  (a kind of refusal)
    UNKNOWN_ACCOUNT = "unknown-account"
    CLOCK_SKEW = "clock-skew"
    NOT_ALLOWED = "method-not-allowed"
    WRONG_AUDIENCE = "wrong-audience"
    WRONG_ISSUER = "wrong-issuer"
    WRONG_SUBJECT = "wrong-subject"
    UNKNOWN_APPLICATION = "unknown-application"
    UNKNOWN_TENANT = "unknown-tenant"
    EXPIRED = "expired"
    MALFORMED = "malformed"
    SIGN_IN = "sign-in-failed"
    # Kubernetes issued no token, so neither Entra nor the service was asked; the message says what to do.
    TOKEN_REQUEST_FORBIDDEN = "token-request-forbidden"  # noqa: S105
    TOKEN_REQUEST_FAILED = "token-request-failed"  # noqa: S105
    NAMESPACE_TERMINATING = "namespace-terminating"
    NO_SERVICE_ACCOUNT = "no-service-account"
    UNKNOWN = "unknown"


class AuthenticationError(BatchError):
    """The service does not accept the credential, or no token is available."""

    kind: AuthenticationKind = AuthenticationKind.UNKNOWN


class ForbiddenError(BatchError):
    """The caller lacks the permission, or the account is disabled."""


class NotFoundError(BatchError):
    """The thing named by the path, or its parent, does not exist."""


class InvalidRequestError(BatchError):
    """The request is permanently invalid; `values` names the property or parameter."""


class RetiredError(InvalidRequestError):
    """The service has retired the feature."""


class TooLargeError(BatchError):
    """The body of the request is larger than the service accepts."""


class PreconditionFailedError(BatchError):
    """The object does not, or no longer, meet the condition in the header."""


class NotModifiedError(BatchError):
    """A conditional read found nothing new."""


class ConflictError(BatchError):
    """The state of the object does not allow the operation now."""


class AlreadyExistsError(ConflictError):
    """An object with this id exists: compare it with what was wanted."""


class BeingDeletedError(ConflictError):
    """The object is being deleted; its id is free again when a GET returns 404."""

    default_retryable = True


class BeingResizedError(ConflictError):
    """The pool's allocation is not steady."""

    default_retryable = True


class CompletedError(ConflictError):
    """The job, task or schedule has ended."""


class QuotaError(ConflictError):
    """A quota of the account is exhausted; it may be available later."""

    default_retryable = True


class TransientError(BatchError):
    """Nothing is wrong with the request."""

    default_retryable = True


class ThrottledError(TransientError):
    """Too many requests."""


class ServerBusyError(TransientError):
    """The service is overloaded."""


class ServerError(TransientError):
    """The service failed; what it did before that is unknown."""


class DeadlineError(TransientError):
    """Time ran out, here or in the service; what the service did is unknown."""


class NotSentError(DeadlineError):
    """The rate limit of the account did not admit the call in time. It was not sent, so it says nothing about the service."""


class ConnectionKind(StrEnum):
    """Where a connection failed."""

    DNS = "dns"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    CONNECT_TIMEOUT = "connect-timeout"
    TLS = "tls"
    AUTHORITY = "authority"
    """Of the host that issues tokens; the message names it and says what to do."""
    RESET = "reset"
    CLOSED = "closed"
    OTHER = "other"


# The request cannot have reached the service.
NEVER_SENT = frozenset(
    {
        ConnectionKind.DNS,
        ConnectionKind.REFUSED,
        ConnectionKind.UNREACHABLE,
        ConnectionKind.CONNECT_TIMEOUT,
        ConnectionKind.TLS,
        ConnectionKind.AUTHORITY,
    }
)


class ConnectionFailedError(TransientError):
    """There was no response."""

    kind: ConnectionKind = ConnectionKind.OTHER


class MalformedResponseError(TransientError):
    """The response is not one of the service; what the service did is unknown."""


class IncompleteListError(MalformedResponseError):
    """A list was read to its end, but some of its items could not be read: the others count, and what it lacks may be there."""


def unanswered(error: BatchError) -> bool:
    """Whether the attempt may have had an effect, or may still have one, although it failed."""
    match error:
        case NotSentError() | ThrottledError():
            return False
        case ServerBusyError():
            # With a code, the service refused; without one, an intermediary gave up waiting.
            return error.code is None
        case ConnectionFailedError():
            return error.kind not in NEVER_SENT
        case _:
            return isinstance(error, TransientError)


_GONE = frozenset({"poolnotfound", "jobnotfound", "jobschedulenotfound", "tasknotfound", "nodenotfound"})


def is_gone(error: BatchError, codes: Collection[str] = _GONE) -> bool:
    """Whether a response says that a resource, or what it is in, does not exist.

    A 404 without such a code proves nothing: it may come from a proxy, or be about something else. So whoever handles a
    `NotFoundError` calls this (tests/unit/test_not_found.py).

    Args:
        codes: of the resources that count, in lower case.
    """
    return isinstance(error, NotFoundError) and (error.code or "").lower() in codes
