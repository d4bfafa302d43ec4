"""The HTTP library's server with the service's own answers to what the library cannot parse."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import http_exceptions, web

from azure_batch_emulator.web.door import MAX_LINE_BYTES
from azure_batch_emulator.wire.errors import BatchError

_LOG = logging.getLogger(__name__)
Answering = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Failure = Callable[[web.BaseRequest, BatchError], web.Response]


class Middleware(Protocol):
    """Something between the connection and the handler."""

    def __call__(self, request: web.BaseRequest, handler: Answering) -> Awaitable[web.StreamResponse]: ...


class DoorServer(web.Server):
    """Makes a `DoorHandler` for each connection.

    Args:
        handler: answers a request that could be parsed.
        failure: makes the response for an error.
    """

    def __init__(self, handler: Answering, failure: Failure, **options: Any) -> None:
        options |= {"max_line_size": MAX_LINE_BYTES, "max_field_size": MAX_LINE_BYTES, "auto_decompress": False}
        super().__init__(handler, request_factory=self._request, access_log=None, **options)
        self._failure = failure

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return DoorRequest(message, payload, protocol, writer, task, asyncio.get_running_loop())

    def __call__(self) -> web.RequestHandler:
        return DoorHandler(self, self._failure, loop=self._loop, **self._kwargs)


class DoorRequest(web.BaseRequest):
    """A request whose response is tidied before it goes."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        """The library's only place between its own headers and the wire (tests/conformance/test_wire.py looks)."""
        # It adds a content type to answers without a body; the service does not.
        if isinstance(response, web.Response) and not response.body and "ocp-batch-file-url" not in response.headers:
            response.headers.pop("Content-Type", None)


class DoorHandler(web.RequestHandler):
    """One connection."""

    __slots__ = ("_failure",)

    def __init__(
        self, manager: DoorServer, failure: Failure, *, loop: asyncio.AbstractEventLoop, **options: Any
    ) -> None:
        super().__init__(manager, loop=loop, **options)
        self._failure = failure

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is answered to a request that could not be parsed, and if the handler breaks; the connection ends."""
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
