"""The HTTP server: signature, version, route, handler, headers — in that order, for every call."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import HttpVersion11, web

from azure_batch_emulator.clock import Clock
from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.schema.versions import CURRENT, DEFAULT, VERSIONS, Version
from azure_batch_emulator.web import sharedkey
from azure_batch_emulator.web.counters import Counters
from azure_batch_emulator.web.door import Bodies, base_url, check_head, header_text
from azure_batch_emulator.web.entra import Entra
from azure_batch_emulator.web.faults import Effect, Faults
from azure_batch_emulator.web.handlers import HANDLERS
from azure_batch_emulator.web.messages import HeldError, Reply, Request
from azure_batch_emulator.web.protocol import DoorServer, Middleware
from azure_batch_emulator.web.query import Query
from azure_batch_emulator.web.response_bodies import JSON_TYPE, Blocks, content
from azure_batch_emulator.web.routes import Match, match
from azure_batch_emulator.web.storage import PREFIX, Storage
from azure_batch_emulator.wire.errors import BatchError
from azure_batch_emulator.wire.ticks import etag, format_http_date, to_datetime

_LOG = logging.getLogger(__name__)
_JSON_TYPES = frozenset({"application/json", "text/json", "application/octet-stream"})


Admin = Callable[["Server", web.BaseRequest, str, Bodies], Awaitable[web.Response]]


class Server:
    """Handles calls for all accounts.

    Args:
        services: by account name.
        keys: decoded shared keys by account name.
        admin: handles calls below ``/emulator``, which are about the server itself.
    """

    def __init__(
        self,
        services: Mapping[str, BatchService],
        keys: Mapping[str, bytes],
        clock: Clock,
        storage: Storage,
        admin: Admin,
        seed: int | None = None,
    ) -> None:
        self.services = services
        self.storage = storage
        self.counters = Counters()
        self.faults = Faults(seed)
        self.entra = Entra(lambda: to_datetime(clock.now()).timestamp())
        self.save: Callable[[], None] | None = None
        self._keys = dict(keys)
        self._usual_keys = dict(keys)
        self._clock = clock
        self._admin = admin
        self._closing = asyncio.Event()
        self._held: set[asyncio.Event] = set()
        self._late: set[asyncio.Future[bool]] = set()
        self._bodies = Bodies()
        # While all speak one version, responses need not be looked through.
        self._versions_mixed = False

    def set_key(self, account: str, key: bytes) -> None:
        """Give an account another key; from now on the old one is refused."""
        self._keys[account] = key

    def reset_keys(self) -> None:
        """Give all accounts the keys back that they began with."""
        self._keys = dict(self._usual_keys)

    @property
    def held_calls(self) -> int:
        """How many callers are kept waiting."""
        return len(self._held) + len(self._late)

    def land(self, *, lost: bool = False) -> int:
        """Let all calls take effect now that were to do so later, or never; how many there were."""
        waiting = [landing for landing in self._late if not landing.done()]
        for landing in waiting:
            landing.set_result(not lost)
        return len(waiting)

    def web_server(self, around: Middleware | None = None) -> DoorServer:
        """The HTTP server; to be called on the emulator's loop.

        Args:
            around: sees each request first and calls the handler that it is given.
        """
        handle = self._handle if around is None else functools.partial(around, handler=self._handle)
        return DoorServer(handle, lambda request, error: self._failure(request, error, str(uuid.uuid4())))

    def close(self) -> None:
        """Release calls that hang on purpose or are held."""
        self._closing.set()
        for go_on in self._held:
            go_on.set()
        self.land(lost=True)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            check_head(request)
        except BatchError as error:
            return self._failure(request, error, str(uuid.uuid4()))
        raw_path, _, raw_query = request.raw_path.partition("?")
        if raw_path == PREFIX or raw_path.startswith(f"{PREFIX}/"):
            return await self.storage.handle(request, raw_path, raw_query)
        if raw_path == "/emulator" or raw_path.startswith("/emulator/"):
            return await self._admin(self, request, raw_path, self._bodies)
        if (answer := await self.entra.handle(request)) is not None:
            return answer
        return await self._batch(request, raw_path, raw_query)

    async def _batch(self, request: web.BaseRequest, raw_path: str, raw_query: str) -> web.StreamResponse:
        request_id = str(uuid.uuid4())
        account = ""
        effect: Effect | None = None
        operation = "Unknown"
        try:
            found, problem = _route(request.method, raw_path)
            operation = found.route.operation if found else operation
            effect = self.faults.effect_on(operation, request.method, request.raw_path)
            if effect is not None and (answer := await self._before(request, effect)) is not None:
                self._count(operation, 0, request, raw_path, account)
                return answer
            account = self._authenticate(request, raw_path, raw_query)
            query = Query(raw_query)
            version = self._version(query)
            if found is None or operation in version.without:
                raise problem or BatchError("ResourceNotFound")
            body = await self._bodies.read(request)
            _check_content(request, body)
            _check_parameters(query, found)
            if effect is not None and effect.land_after is not None:
                await self._hold(request, effect, effect.land_after)
            reply = await self._reply(
                found.route.operation,
                Request(
                    service=self.services[account],
                    route=found.route,
                    parameters=found.parameters,
                    query=query,
                    headers={name.lower(): value for name, value in request.headers.items()},
                    body=body,
                    base_url=base_url(request),
                    path=raw_path,
                    request_id=request_id,
                    partial=effect.partial if effect else None,
                    version=version,
                ),
            )
            if self._versions_mixed and reply.body is not None:
                reply.body = version.show(reply.body)
            response = await self._success(request, reply, found, raw_path, request_id, whole=effect is not None)
        except BatchError as error:
            response = self._failure(request, error, request_id)
        except asyncio.CancelledError:
            raise
        except Exception:
            _LOG.exception("%s %s broke the emulator", request.method, raw_path)
            response = self._failure(request, BatchError("InternalError"), request_id)
        self._count(operation, response.status, request, raw_path, account)
        if effect is not None:
            return await _after(request, response, effect)
        return response

    async def _reply(self, operation: str, request: Request) -> Reply:
        """The response of the handler, possibly after a delay."""
        while True:
            try:
                reply = HANDLERS[operation](request)
                return reply if reply.later is None else await asyncio.to_thread(reply.later)
            except HeldError as held:
                go_on = asyncio.Event()
                held.subscribe(go_on.set)
            self._held.add(go_on)
            try:
                await go_on.wait()
            finally:
                self._held.discard(go_on)
            if self._closing.is_set():
                raise BatchError("ServerBusy")

    def _version(self, query: Query) -> Version:
        """The version that a call speaks; from here on the schemas go by it."""
        name = query.get("api-version")
        if name is None:
            raise BatchError("MissingRequiredQueryParameter", {"QueryParameterName": "api-version"})
        version = VERSIONS.get(name)
        if version is None:
            values = {"QueryParameterName": "api-version", "QueryParameterValue": name[:64]}
            raise BatchError(
                "UnsupportedRequestVersion", values | {"Reason": f"The emulator speaks {', '.join(VERSIONS)}."}
            )
        CURRENT.set(version)
        self._versions_mixed = self._versions_mixed or version is not DEFAULT
        return version

    def _authenticate(self, request: web.BaseRequest, raw_path: str, raw_query: str) -> str:
        """The account that a call is for, by its signature or its token."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.entra.account(token.strip(), request.method)
        return sharedkey.verify(request.method, raw_path, raw_query, request.headers, self._keys, self._clock.now())

    def _count(self, operation: str, status: int, request: web.BaseRequest, raw_path: str, account: str) -> None:
        self.counters.note(operation, status, request.method, raw_path, account, self._clock.now())

    async def _before(self, request: web.BaseRequest, effect: Effect) -> web.StreamResponse | None:
        """What a fault does instead of the call; None if the call continues."""
        if effect.delay:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), effect.delay)
        if effect.hang:
            await self._closing.wait()
            return _cut(request)
        if effect.reset and effect.land_after is None:
            return _cut(request)
        if effect.status is not None:
            headers = {"Retry-After": str(effect.retry_after)} if effect.retry_after is not None else {}
            code = effect.code or _DEFAULT_CODES.get(effect.status, "InternalError")
            raise BatchError(code, status=effect.status, message=effect.message, headers=headers)
        return None

    async def _hold(self, request: web.BaseRequest, effect: Effect, seconds: float) -> None:
        """Keep a call that has been taken in until it is to land; its caller may be gone by then."""
        if effect.reset:
            _cut(request)
        landing: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._late.add(landing)
        try:
            await asyncio.wait({landing}, timeout=seconds)
        finally:
            self._late.discard(landing)
        if landing.done() and not landing.result():
            raise BatchError("ServerBusy")

    def _common_headers(self, request: web.BaseRequest, request_id: str) -> dict[str, str]:
        headers = {
            "DataServiceVersion": "3.0",
            "Server": "Microsoft-HTTPAPI/2.0",
            "request-id": request_id,
            "Date": format_http_date(self._clock.now()),
            "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
            "X-Content-Type-Options": "nosniff",
        }
        client_id = request.headers.get("client-request-id")
        if client_id and request.headers.get("return-client-request-id", "").lower() == "true":
            headers["client-request-id"] = client_id
        return headers

    async def _success(
        self, request: web.BaseRequest, reply: Reply, found: Match, raw_path: str, request_id: str, *, whole: bool
    ) -> web.StreamResponse:
        headers = self._common_headers(request, request_id) | reply.headers
        if reply.modified is not None:
            headers["Last-Modified"] = format_http_date(reply.modified)
            if reply.entity_tag:
                headers["ETag"] = etag(reply.modified)
        if reply.data_service_id:
            own = f"{base_url(request)}{raw_path}"
            headers["DataServiceId"] = own if reply.data_service_id is True else reply.data_service_id
        if reply.location is not None:
            headers["Location"] = reply.location
        headers = {name: header_text(value) for name, value in headers.items()}
        status = reply.status or found.route.status
        if reply.stream is not None:
            file = await content(reply.stream, whole=whole)
            response = web.Response(status=status, headers=headers, body=file)
        elif reply.body is not None or reply.blocks is not None:
            blocks = [_dump(reply.body)] if reply.body is not None else reply.blocks or []
            # Blocks that are there already go in one write with the headers.
            body = b"".join(blocks) if whole or isinstance(blocks, list) else Blocks(blocks)
            response = web.Response(status=status, headers=headers | {"Content-Type": JSON_TYPE}, body=body)
        else:
            response = web.Response(status=status, headers=headers)
        # HTTP/1.0, which some proxies speak, knows no chunks.
        if status != 204 and request.method != "HEAD" and request.version >= HttpVersion11:
            response.enable_chunked_encoding()
        return response

    def _failure(self, request: web.BaseRequest, error: BatchError, request_id: str) -> web.Response:
        headers = self._common_headers(request, request_id) | error.headers
        reason = _reason(error)
        if error.status == 304 or request.method == "HEAD":
            return web.Response(status=error.status, reason=reason, headers=headers)
        body = _dump(error.body(base_url(request), request_id, self._clock.now()))
        return web.Response(
            status=error.status, reason=reason, headers=headers | {"Content-Type": JSON_TYPE}, body=body
        )


_DEFAULT_CODES = {429: "TooManyRequests", 500: "InternalError", 503: "ServerBusy", 403: "AuthenticationFailed"}


def _reason(error: BatchError) -> str | None:
    """The reason phrase: for mistakes of the caller the message (recorded), else the usual one."""
    text = error.message
    return text if 400 <= error.status < 500 and text.isascii() and text.isprintable() else None


def _dump(body: dict[str, Any]) -> bytes:
    """JSON as the service prints it: indented, with CRLF."""
    return orjson.dumps(body, option=orjson.OPT_INDENT_2).replace(b"\n", b"\r\n")


def _route(method: str, raw_path: str) -> tuple[Match | None, BatchError | None]:
    """The operation, or why there is none; signatures are checked before that is told."""
    try:
        return match(method, raw_path), None
    except BatchError as error:
        return None, error


def _check_parameters(query: Query, found: Match) -> None:
    """Only lists can be filtered and paged."""
    if "_List" in found.route.operation:
        return
    for name in ("$filter", "maxresults", "$skiptoken"):
        if query.get(name) is not None:
            raise BatchError("UnsupportedQueryParameter", {"QueryParameterName": name})


def _check_content(request: web.BaseRequest, body: bytes) -> None:
    """Lenient with parameters of a content type, strict with a type that is not JSON (docs/azure-batch.md#requests)."""
    if body and request.content_type.lower() not in _JSON_TYPES:
        values = {"HeaderName": "Content-Type", "HeaderValue": request.headers.get("Content-Type", "")[:64]}
        raise BatchError("InvalidHeaderValue", values)


def _cut(request: web.BaseRequest) -> web.StreamResponse:
    """Drop the connection; the response goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def _after(request: web.BaseRequest, response: web.StreamResponse, effect: Effect) -> web.StreamResponse:
    """Apply a fault to a response."""
    if effect.lost_answer or effect.land_after is not None:
        return _cut(request)
    if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
        return response
    body = response.body
    if effect.corrupt:
        # Still the right length, no longer JSON.
        damaged = bytes(byte ^ 0x5A if index % 7 == 3 else byte for index, byte in enumerate(body))
        response.body = damaged
    if effect.truncate is not None:
        stream = web.StreamResponse(status=response.status, headers=response.headers)
        stream.headers.pop("Transfer-Encoding", None)
        stream.content_length = len(body)
        await stream.prepare(request)
        await stream.write(body[: int(len(body) * effect.truncate)])
        return _cut_after(request, stream)
    return response


def _cut_after(request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
    """Close the connection when what has been written is out."""
    if request.transport is not None:
        request.transport.close()
    return response
