"""The HTTP library's server with the service's own responses to requests that the library cannot parse."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import ClientConnectionResetError, http_exceptions, web

from azure_batch_emulator.web.door import MAX_LINE_BYTES
from azure_batch_emulator.wire.errors import BatchError

_LOG = logging.getLogger(__name__)
Answering = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
# Callers get at least 64 KiB of a response in this time, or lose the connection: the service does not wait for them either.
_SEND_SECONDS = 60.0
Failure = Callable[[web.BaseRequest, BatchError], web.Response]


class Middleware(Protocol):
    """Something between the connection and the handler."""

    def __call__(self, request: web.BaseRequest, handler: Answering) -> Awaitable[web.StreamResponse]: ...


class DoorServer(web.Server):
    """Makes a `DoorHandler` for each connection.

    Args:
        handler: handles a request that was parsed.
        failure: makes the response for an error.
        send_seconds: how long a caller may take nothing of what is sent to it.
    """

    def __init__(
        self, handler: Answering, failure: Failure, *, send_seconds: float = _SEND_SECONDS, **options: Any
    ) -> None:
        options |= {"max_line_size": MAX_LINE_BYTES, "max_field_size": MAX_LINE_BYTES, "auto_decompress": False}
        super().__init__(handler, request_factory=self._request, access_log=None, **options)
        self._failure = failure
        self._send_seconds = send_seconds

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return DoorRequest(message, payload, protocol, writer, task, asyncio.get_running_loop())

    def __call__(self) -> web.RequestHandler:
        return DoorHandler(self, self._failure, self._send_seconds, loop=self._loop, **self._kwargs)


class DoorRequest(web.BaseRequest):
    """A request whose response is tidied before it goes."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        """The library's only place between its own headers and the wire (tests/conformance/test_wire.py looks)."""
        # It adds a content type to responses without a body; the service does not.
        if isinstance(response, web.Response) and not response.body and "ocp-batch-file-url" not in response.headers:
            response.headers.pop("Content-Type", None)


class DoorHandler(web.RequestHandler):
    """One connection."""

    __slots__ = ("_failure", "_send_seconds")

    def __init__(
        self,
        manager: DoorServer,
        failure: Failure,
        send_seconds: float,
        *,
        loop: asyncio.AbstractEventLoop,
        **options: Any,
    ) -> None:
        super().__init__(manager, loop=loop, **options)
        self._failure = failure
        self._send_seconds = send_seconds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The operating system ends connections whose caller takes nothing, also while they are being closed."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._send_seconds * 1000))

    async def _drain_helper(self) -> None:
        """Wait until the caller has taken most of what is there; not for one that reads a byte now and then."""
        try:
            async with asyncio.timeout(self._send_seconds if self._paused else None):
                await super()._drain_helper()
        except TimeoutError:
            if self.transport is not None:
                self.transport.abort()
            raise ClientConnectionResetError("The caller does not read.") from None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The response to a request that cannot be parsed, and if the handler fails; the connection is closed."""
        if isinstance(exc, http_exceptions.HttpProcessingError):
            error = _refusal(exc)
        else:
            _LOG.error("a request broke the emulator", exc_info=exc)
            error = BatchError("InternalError")
        response = self._failure(request, error)
        response.force_close()
        return response


def _refusal(problem: http_exceptions.HttpProcessingError) -> BatchError:
    """The service's code for what is wrong with a request's head."""
    reason = {"Reason": " ".join(str(problem.message).split())[:200]}
    match problem:
        case http_exceptions.BadHttpMethod():
            return BatchError("InvalidHttpVerb")
        case http_exceptions.InvalidURLError() | http_exceptions.BadStatusLine():
            return BatchError("RequestUrlFailedToParse", reason)
        case http_exceptions.LineTooLong() if "tatus line" in problem.message or "/" in problem.message:
            return BatchError("RequestUrlFailedToParse", {"Reason": "The request line is too long."})
        case _:
            return BatchError("InvalidHeaderValue", reason)
