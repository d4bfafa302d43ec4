"""Converts exceptions of the HTTP library to our errors.

aiohttp reports a closed connection by four different exceptions, depending on the time. A caller must know whether the
request can have reached the service, and what to check: DNS, the port, the certificate, or the network.
"""

import errno
import ssl
from collections.abc import Awaitable
from typing import TypeVar

import aiohttp
from aiohttp import http_exceptions

from azure_batch_operator.batch.errors import BatchError, ConnectionFailedError, ConnectionKind, MalformedResponseError

T = TypeVar("T")

_BY_ERRNO = {
    errno.ECONNREFUSED: ConnectionKind.REFUSED,
    errno.EHOSTUNREACH: ConnectionKind.UNREACHABLE,
    errno.ENETUNREACH: ConnectionKind.UNREACHABLE,
    errno.ETIMEDOUT: ConnectionKind.CONNECT_TIMEOUT,
    errno.ECONNRESET: ConnectionKind.RESET,
    errno.EPIPE: ConnectionKind.RESET,
}

_EXPLANATIONS = {
    ConnectionKind.DNS: "the name of the host cannot be resolved",
    ConnectionKind.REFUSED: "nothing listens there (connection refused)",
    ConnectionKind.UNREACHABLE: "the host or its network cannot be reached",
    ConnectionKind.CONNECT_TIMEOUT: "the host does not respond (no connection in time)",
    ConnectionKind.TLS: "TLS failed",
    ConnectionKind.RESET: "the connection was reset",
    ConnectionKind.CLOSED: "the connection was closed before the response was complete",
    ConnectionKind.OTHER: "the connection failed",
}


async def translated(awaitable: Awaitable[T], operation: str) -> T:
    """Await something; raise only BatchErrors, cancellation and our own timeout.

    The original exception must not be the cause or context, because aiohttp's exceptions contain the headers of the request
    with the signature. So the new one is raised after its handling.
    """
    try:
        return await awaitable
    except (aiohttp.ClientError, ssl.SSLError, OSError) as error:
        # A plain TimeoutError comes from the surrounding time limit.
        if type(error) is TimeoutError:
            raise
        failure = translate(error, operation)
    raise failure


def translate(error: Exception, operation: str) -> BatchError:
    """The error of this package for an exception of the HTTP library."""
    if _is_malformed(error):
        return MalformedResponseError(f"the response is not valid HTTP ({_brief(error)})", operation=operation)
    kind = connection_kind(error)
    detail = _certificate(error) if kind is ConnectionKind.TLS else ""
    if kind is ConnectionKind.OTHER:
        detail = f" ({_brief(error)})"
    failure = ConnectionFailedError(_EXPLANATIONS[kind] + detail, operation=operation)
    failure.kind = kind
    # A wrong certificate is permanent.
    failure.retryable = not isinstance(error, aiohttp.ClientConnectorCertificateError)
    return failure


def connection_kind(error: Exception) -> ConnectionKind:
    """Where the connection failed."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return ConnectionKind.DNS
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return ConnectionKind.TLS
        case aiohttp.ServerTimeoutError():
            return ConnectionKind.CONNECT_TIMEOUT
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError():
            return _of_payload(error)
        case aiohttp.ClientConnectorError():
            # A reset while connecting: the request was not sent yet.
            kind = _BY_ERRNO.get(error.errno or 0, ConnectionKind.UNREACHABLE)
            return ConnectionKind.UNREACHABLE if kind is ConnectionKind.RESET else kind
        case OSError():
            return _BY_ERRNO.get(error.errno or 0, ConnectionKind.OTHER)
        case _:
            return ConnectionKind.OTHER


def _of_payload(error: Exception) -> ConnectionKind:
    # Within a body, aiohttp distinguishes a reset from an early end only by the text.
    causes = (error, error.__cause__, error.__context__)
    reset = any(isinstance(cause, ConnectionResetError | BrokenPipeError) for cause in causes)
    return ConnectionKind.RESET if reset or "ConnectionResetError" in str(error) else ConnectionKind.CLOSED


def _is_malformed(error: Exception) -> bool:
    """Whether invalid bytes arrived, in contrast to too few."""
    if isinstance(error, aiohttp.ClientPayloadError):
        cause = error.__cause__ or error.__context__
        incomplete = (http_exceptions.ContentLengthError, http_exceptions.TransferEncodingError)
        return isinstance(cause, http_exceptions.PayloadEncodingError) and not isinstance(cause, incomplete)
    return isinstance(error, aiohttp.ClientResponseError | aiohttp.InvalidURL)


def _certificate(error: Exception) -> str:
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
    reason = getattr(inner, "verify_message", None) or getattr(inner, "reason", None)
    return f": {reason}" if reason else ""


def _brief(error: Exception) -> str:
    return type(error.__cause__ or error).__name__
