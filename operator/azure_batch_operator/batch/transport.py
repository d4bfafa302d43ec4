"""Sends requests. Only this module and `network_errors` use the HTTP library.

One aiohttp session per client. A call is a loop of attempts. Each attempt waits for the limiter, is signed again, and has
its own time limit; the whole call has another one. All failures are raised as `BatchError`. Cancelling a call closes its
connection and releases its slot.
"""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TypeVar

import aiohttp
from yarl import URL

from azure_batch_operator.batch.auth import Credential
from azure_batch_operator.batch.errors import (
    AuthenticationError,
    BatchError,
    DeadlineError,
    MalformedResponseError,
    NotSentError,
    ServerBusyError,
    ThrottledError,
    UsageError,
    unanswered,
)
from azure_batch_operator.batch.limiter import Limiter
from azure_batch_operator.batch.network_errors import translated
from azure_batch_operator.batch.redaction import safe_text
from azure_batch_operator.batch.requests import Priority, Request, http_date
from azure_batch_operator.batch.responses import FileProperties, Response, error_of, file_properties
from azure_batch_operator.batch.retry import RetryPolicy

USER_AGENT = f"azure-batch-operator/{version('azure-batch-operator')}"
_CONNECT_SECONDS = 10.0
_IDLE_CONNECTION_SECONDS = 30.0
_CHUNK_BYTES = 1 << 16
# Maximum size of an error body in response to a request for a file, which has no limit.
_ERROR_BYTES = 1 << 20
# A 503 about one pool, not about the account.
_NOT_ABOUT_THE_ACCOUNT = frozenset({"toomanyenableautoscalerequests"})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt, for metrics.

    `status` is None where there was no response, `error` the class of the failure or None; `seconds` begin after the
    limiter's queue; `throttled` is whether the service throttled the whole account.
    """

    operation: str
    status: int | None
    code: str | None
    error: str | None
    seconds: float
    attempt: int
    request_id: str | None
    throttled: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one call: its priority in the queue, and its deadline in seconds (None: that of the policy).

    `on_unanswered` is called for each attempt without a response.
    """

    priority: Priority
    deadline: float | None
    on_unanswered: Callable[[], None] | None = None


@dataclass(slots=True)
class _Seen:
    """What is known of the response to an attempt, even if reading it fails later."""

    status: int | None = None
    request_id: str | None = None
    signed: Mapping[str, str] = field(default_factory=dict, repr=False)
    signer: Credential | None = None
    """What the attempt waits for before anything is sent."""


class FileStream:
    """An open file of a node: iterate over it once, or read its beginning."""

    def __init__(self, response: aiohttp.ClientResponse, request: Request, idle_seconds: float) -> None:
        self._response = response
        self._request = request
        self._idle_seconds = idle_seconds
        self.properties: FileProperties = file_properties(_headers(response))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Chunks of bytes as they arrive.

        Raises:
            DeadlineError: no data arrived for too long.
            ConnectionFailedError: the connection broke before the end.
        """
        operation = self._request.operation.id
        source = aiter(self._response.content.iter_chunked(_CHUNK_BYTES))
        while True:
            async with _time_limit(self._idle_seconds, operation, "no more bytes of the file arrived"):
                chunk = await translated(anext(source, b""), operation)
            if not chunk:
                return
            yield chunk

    async def read(self, limit: int) -> bytes:
        """The first `limit` bytes, or the whole file if it is shorter."""
        parts = bytearray()
        async for chunk in self:
            parts += chunk
            if len(parts) >= limit:
                break
        return bytes(parts[:limit])


def _asking(permit: Callable[[], None]) -> aiohttp.TraceConfig:
    """Checks permission when a request has its connection, immediately before its first byte is sent."""

    async def ask(*_: object) -> None:
        permit()

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(ask)
    trace.on_connection_reuseconn.append(ask)
    return trace


def new_connector(tls: ssl.SSLContext | None) -> aiohttp.BaseConnector:
    """The connector of a session; tests of the whole operator replace it with a network in the process."""
    # The limiter limits the number of connections; another limit here could only reorder calls.
    return aiohttp.TCPConnector(limit=0, ssl=tls or True, keepalive_timeout=_IDLE_CONNECTION_SECONDS, ttl_dns_cache=60)


class Transport:
    """Sends requests to one endpoint with one credential."""

    def __init__(
        self,
        origin: URL,
        credential: Credential,
        *,
        limiter: Limiter,
        retry: RetryPolicy,
        observe: Callable[[Call], None] | None,
        tls: ssl.SSLContext | None,
        max_response_bytes: int,
        permit: Callable[[], None] | None,
    ) -> None:
        self.origin = origin
        self._permit = permit
        self._credential = credential
        self._limiter = limiter
        self._retry = retry
        self._observe = observe
        self._tls = tls
        self._max_response_bytes = max_response_bytes
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def aclose(self) -> None:
        """Close all connections; a closed transport sends nothing more."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await self._credential.aclose()

    def use(self, credential: Credential) -> Credential:
        """Use another credential from now on; calls in progress are retried with it if they are refused.

        Returns:
            The former credential, which the caller must close.
        """
        before, self._credential = self._credential, credential
        return before

    async def send(self, request: Request, limits: Limits, read: Callable[[Response], T]) -> T:
        """Send until there is a success, a final error, or no time left; return the result of `read`.

        Reading is part of an attempt: a response that cannot be read is a transient failure like others.

        Raises:
            BatchError: any of the tree.
        """

        async def exchange(seen: _Seen) -> T:
            opened = await self._open(request, seen)
            response = await self._read(opened, request, self._max_response_bytes)
            if response.status not in request.operation.success:
                raise error_of(response, request.operation.id)
            return read(response)

        return await self._repeat(request, limits, exchange)

    @asynccontextmanager
    async def stream(self, request: Request, limits: Limits) -> AsyncIterator[FileStream]:
        """Open a file. Attempts are repeated only until it is open; the deadline includes reading."""

        async def exchange(seen: _Seen) -> aiohttp.ClientResponse:
            response = await self._open(request, seen)
            if response.status in request.operation.success:
                return response
            raise error_of(await self._read(response, request, _ERROR_BYTES), request.operation.id)

        async with _time_limit(limits.deadline, request.operation.id, "the file was not read"):
            response = await self._repeat(request, limits, exchange)
            try:
                yield FileStream(response, request, self._retry.attempt_deadline)
            finally:
                response.close()

    async def _repeat(self, request: Request, limits: Limits, exchange: Callable[[_Seen], Awaitable[T]]) -> T:
        """Make attempts according to the retry policy."""
        now = asyncio.get_running_loop().time
        until = now() + (self._retry.deadline if limits.deadline is None else limits.deadline)
        signed_in_anew = False
        attempt = 0
        while True:
            attempt += 1
            credential, seen = self._credential, _Seen()
            try:
                return await self._attempt(request, limits, until, attempt, exchange, seen)
            except BatchError as error:
                error.client_request_id = request.headers.get("client-request-id")
                if isinstance(error, AuthenticationError) and not signed_in_anew:
                    signed_in_anew = True
                    if credential is not self._credential or await credential.refused(error, seen.signed):
                        continue
                wait = self._retry.delay(
                    error,
                    request.operation,
                    attempt=attempt,
                    remaining=until - now(),
                    chance=random.random(),  # noqa: S311
                )
                if wait is None:
                    raise
            await asyncio.sleep(wait)

    async def _attempt(
        self,
        request: Request,
        limits: Limits,
        until: float,
        attempt: int,
        exchange: Callable[[_Seen], Awaitable[T]],
        seen: _Seen,
    ) -> T:
        now = asyncio.get_running_loop().time
        operation = request.operation.id
        if not self._limiter.acquire_now():
            what = "the rate limit of the account did not admit the call"
            async with _time_limit(until - now(), operation, what, NotSentError):
                await self._limiter.acquire(limits.priority)
        started = now()
        failure: BatchError | None = None
        answered = False
        try:
            seconds = min(self._retry.attempt_deadline, until - started)
            result = await _within(seconds, operation, exchange, seen)
        except BatchError as error:
            failure, answered = error, not unanswered(error)
            if _throttles(error):
                self._limiter.throttled(error.retry_after)
            raise
        else:
            answered = True
            return result
        finally:
            self._limiter.release()
            # A cancelled attempt may take effect, too.
            if not answered and limits.on_unanswered is not None:
                limits.on_unanswered()
            self._report(request, seen, failure, now() - started, attempt)

    async def _open(self, request: Request, seen: _Seen) -> aiohttp.ClientResponse:
        """Sign and send; return when the headers of the response have arrived."""
        headers = {**request.headers, "ocp-date": http_date(datetime.now(UTC)), "User-Agent": USER_AGENT}
        seen.signer = self._credential
        seen.signed = await seen.signer.sign(request, headers)
        seen.signer = None
        headers.update(seen.signed)
        response = await self._open_session().request(
            request.method,
            URL(f"{self.origin}{request.target}", encoded=True),
            headers=headers,
            data=request.body,
            allow_redirects=False,
            # aiohttp would add a content type to a POST without a body, after the signature.
            skip_auto_headers=("Content-Type",),
        )
        seen.status, seen.request_id = response.status, _request_id(response)
        return response

    async def _read(self, response: aiohttp.ClientResponse, request: Request, limit: int) -> Response:
        """Read a response of at most `limit` bytes, counted after decompression, and release its connection."""
        body = bytearray()
        try:
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                body += chunk
                if len(body) > limit:
                    raise MalformedResponseError(
                        f"the response is larger than {limit} bytes: request less with select, filter or max_results",
                        operation=request.operation.id,
                        status=response.status,
                        request_id=_request_id(response),
                        retryable=False,
                    )
        finally:
            # Returned to the pool if the response was read completely, otherwise closed.
            response.release()
        return Response(response.status, _headers(response), bytes(body))

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise UsageError("the client is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=new_connector(self._tls),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
                raise_for_status=False,
                trust_env=False,
                trace_configs=[_asking(self._permit)] if self._permit else [],
            )
            # aiohttp repeats GET, PUT and DELETE on its own when a connection ends, without the limiter or a new signature, and
            # without telling the caller, who must know of each attempt without a response. There is no public setting for this;
            # guarded by test_each_request_on_a_connection_that_ends_is_an_attempt.
            self._session._retry_connection = False
        return self._session

    def _report(self, request: Request, seen: _Seen, failure: BatchError | None, seconds: float, attempt: int) -> None:
        if self._observe is None:
            return
        self._observe(
            Call(
                operation=request.operation.id,
                status=seen.status,
                code=failure.code if failure else None,
                error=type(failure).__name__ if failure else None,
                seconds=seconds,
                attempt=attempt,
                request_id=seen.request_id,
                throttled=failure is not None and _throttles(failure),
            )
        )


async def _within(seconds: float, operation: str, exchange: Callable[[_Seen], Awaitable[T]], seen: _Seen) -> T:
    """Make an attempt within its time limit. One that ends during the sign-in was not sent, so it is no fault of the service."""
    overdue: BatchError | None = None
    try:
        async with _time_limit(seconds, operation, "there was no complete response"):
            return await translated(exchange(seen), operation)
    except DeadlineError:
        overdue = seen.signer.overdue() if seen.signer is not None else None
        if overdue is None:
            raise
    # Without the operation, as from the sign-in itself: a condition shows the same words, whichever call was waiting.
    raise overdue


def _throttles(error: BatchError) -> bool:
    """Whether the service throttles the whole account."""
    busy = isinstance(error, ThrottledError | ServerBusyError)
    return busy and (error.code or "").lower() not in _NOT_ABOUT_THE_ACCOUNT


def _request_id(response: aiohttp.ClientResponse) -> str | None:
    """The request ID, made safe to show: anybody may have written it."""
    id = response.headers.get("request-id")
    return None if id is None else safe_text(id)


def _headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


@asynccontextmanager
async def _time_limit(
    seconds: float | None, operation: str, what: str, error: type[DeadlineError] = DeadlineError
) -> AsyncIterator[None]:
    """Convert only our own timeout into an error."""
    scope: asyncio.Timeout | None = None
    try:
        async with asyncio.timeout(seconds) as scope:
            yield
    except TimeoutError:
        if scope is None or not scope.expired():
            raise
        raise error(f"{what} within {max(0.0, seconds or 0.0):.3g} seconds", operation=operation) from None
