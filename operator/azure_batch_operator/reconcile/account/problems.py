"""Why an account is not usable: one reason for each remedy."""

from __future__ import annotations

import re

from azure_batch_operator.api.account import Auth
from azure_batch_operator.batch.errors import (
    NEVER_SENT,
    AuthenticationError,
    BatchError,
    ConnectionFailedError,
    DeadlineError,
    EndpointRefusedError,
    ForbiddenError,
    NotSentError,
    ServerBusyError,
    ThrottledError,
    UsageError,
)

_CONNECTIONS = {
    "dns": (
        "NameNotResolved",
        "the host name of {endpoint} cannot be resolved: delete this BatchAccount and create it with the correct spec.endpoint",
    ),
    "refused": (
        "ConnectionRefused",
        "nothing listens at {endpoint}: wait for it, or delete this BatchAccount and create it with the correct spec.endpoint",
    ),
    "tls": (
        "TLSFailed",
        "the TLS handshake with {endpoint} failed, or its certificate is not trusted: correct spec.endpoint or the proxy",
    ),
}
_TOKEN = "TokenRefused"  # noqa: S105  (a reason, not a token)
_SIGN_INS = {
    "bad-key": (
        "KeyRefused",
        "the value of {secret} is not a key of this account: correct it",
    ),
    "unknown-account": (
        "UnknownAccount",
        "the account does not exist at {endpoint}: create the BatchAccount again with the correct spec.accountName or endpoint",
    ),
    "clock-skew": ("ClockSkew", "the clock of the operator's node is off by more than 15 minutes: correct it"),
    "method-not-allowed": (
        "SignInMethodNotAllowed",
        "the account does not allow this sign-in method: choose another one in spec.auth",
    ),
    "wrong-audience": (
        _TOKEN,
        "the token was issued for another service: check that spec.endpoint is in the correct cloud",
    ),
    "wrong-issuer": (_TOKEN, "the federated credential has another issuer: set it to the issuer of this cluster"),
    "wrong-subject": (
        _TOKEN,
        "the federated credential has another subject: set it to the ServiceAccount that signs in",
    ),
    "unknown-application": (_TOKEN, "the application does not exist in the tenant: correct clientId in spec.auth"),
    "unknown-tenant": (_TOKEN, "the tenant does not exist: correct tenantId in spec.auth"),
    "bad-secret": (
        _TOKEN,
        "the value of {secret} does not belong to the application: correct it",
    ),
    "expired": (_TOKEN, "the credential has expired: renew {secret}"),
    "malformed": (_TOKEN, "the credential cannot be read: correct {secret}"),
    "sign-in-failed": (_TOKEN, "Microsoft Entra ID did not issue a token: check spec.auth"),
}
_TOKEN_REQUESTS = {
    "token-request-forbidden": "TokenRequestForbidden",
    "token-request-failed": "TokenRequestFailed",
    "no-service-account": "ServiceAccountNotFound",
    "namespace-terminating": "NamespaceTerminating",
}
"""Kubernetes issued no token; the error says which ServiceAccount it is, and what to do."""
_CODES = {
    "AccountIsDisabled": "the account is disabled, for example because its subscription is suspended: enable it in Azure",
    "InsufficientAccountPermissions": "the identity has no sufficient role on the account: assign Azure Batch Data Contributor",
}

PASSING = frozenset(
    {
        "AuthorityUnreachable",
        "ConnectionFailed",
        "NameNotResolved",
        "ConnectionRefused",
        "Throttled",
        "NoAnswer",
        "ServiceFailed",
        "InternalError",
    }
)
"""Reasons that may pass by themselves."""
_STRING_TO_SIGN = " Server used following string to sign"


def needs_a_person(reason: str) -> bool:
    """Whether an account with this reason waits for somebody to correct its spec, its Secret or its rights."""
    return bool(reason) and reason not in PASSING


def in_short(message: str) -> str:
    """Of the message of an account what is to be done, without the service's own words."""
    return message.partition(" (")[0]


_ONE_POOL_ONLY = frozenset({"toomanyenableautoscalerequests", "autoscaletoomanyrequeststoenable"})


def judges_account(error: BatchError) -> bool:
    """Whether an error of a call about one job, pool or schedule is evidence about the whole account.

    No connection, no sign-in, a disabled account, and a request for patience are; all else, a 5xx and an answer that does not
    come included, is the trouble of what was asked for. What fails for the account as a whole fails in account-wide calls, too.
    """
    match error:
        case ConnectionFailedError(kind=kind):
            return kind in NEVER_SENT
        case AuthenticationError() | EndpointRefusedError() | ThrottledError():
            return True
        case ServerBusyError():
            return (error.code or "").lower() not in _ONE_POOL_ONLY
        case ForbiddenError():
            return error.code == "AccountIsDisabled"
        case _:
            return False


def secret_name(auth: Auth) -> str:
    """What a message calls the Secret of `spec.auth`, with its key."""
    for method in (auth.shared_key, auth.client_secret, auth.client_certificate):
        if method is not None:
            return f"key {method.secret_ref.key!r} of Secret {method.secret_ref.name!r}"
    return "the Secret of spec.auth"


def account_problem(error: BatchError, auth: Auth, endpoint: str) -> tuple[str, str]:
    """Reason and message of a BatchAccount's `Ready` condition for an error, each with its remedy.

    Args:
        auth: `spec.auth`, whose Secret a message names.
        endpoint: `spec.endpoint`, which a message names.
    """
    # Pages of what was signed, which helps nobody and would crowd out what does.
    text = re.sub(rf"{_STRING_TO_SIGN}: '.*?'\.?", "", str(error), flags=re.DOTALL)
    match error:
        case ConnectionFailedError(kind="authority"):
            return "AuthorityUnreachable", text
        case AuthenticationError(kind=kind) if str(kind) in _TOKEN_REQUESTS:
            return _TOKEN_REQUESTS[str(kind)], text
        case ConnectionFailedError(kind=kind):
            reason, remedy = _CONNECTIONS.get(
                str(kind), ("ConnectionFailed", "cannot connect to {endpoint}: check spec.endpoint and the network")
            )
        case AuthenticationError(kind=kind):
            fallback = ("AuthenticationFailed", "Azure Batch rejected the sign-in: check spec.auth")
            reason, remedy = _SIGN_INS.get(str(kind), fallback)
        case EndpointRefusedError():
            reason = "EndpointRefused"
            remedy = "the operator may not send credentials to {endpoint}: start it with --allowed-host, or use another endpoint"
        case UsageError():
            reason = "KeyInvalid"
            remedy = "the value of {secret} is not an access key: set it to the key of the account, in base64 as Azure shows it"
        case ForbiddenError():
            reason = error.code or "Forbidden"
            remedy = _CODES.get(
                reason, "the identity has no sufficient role on the account, or the account is disabled"
            )
        case ThrottledError() | ServerBusyError() | NotSentError():
            reason, remedy = "Throttled", "Azure Batch is throttling the account; calls are retried automatically"
        case DeadlineError():
            reason, remedy = "NoAnswer", "Azure Batch did not respond in time"
        case _ if error.status is not None and error.status >= 500:
            reason, remedy = "ServiceFailed", "Azure Batch returns errors; calls are retried automatically"
        case _:
            return error.code or "RequestFailed", text
    remedy = remedy.replace("{secret}", secret_name(auth)).replace("{endpoint}", endpoint)
    return reason, f"{remedy} ({text})"
