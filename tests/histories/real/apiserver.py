"""The real API server: as users reach it, as the test watches it, and as operators reach it, through a proxy with faults."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from yarl import URL

from histories.lives import KINDS
from histories.record import Body, Version, Write
from support.stage.apiserver import Refusal, Route, route
from support.stage.faults import Fault

GROUP = "/apis/azurebatch.io/v1alpha1"
_CORE = {"Namespace": "namespaces", "Secret": "secrets", "ConfigMap": "configmaps"}
_PLURALS = {kind: plural for plural, kind in KINDS.items()} | _CORE
_SHORT = {"bjs": "batchjobschedules", "secret": "secrets", "namespace": "namespaces"}
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_OPERATOR = "azure-batch-operator/"
EARLIER = 1.0
"""Seconds by which our own watch may hear of a version later than the operator: so much earlier it counts from."""


def path_of(kind: str, namespace: str, name: str = "") -> str:
    """Path of an object, or of its collection."""
    plural = _PLURALS.get(kind) or _SHORT[kind]
    place = GROUP if plural in KINDS else "/api/v1"
    within = f"/namespaces/{namespace}" if plural != "namespaces" else ""
    return f"{place}{within}/{plural}" + (f"/{name}" if name else "")


class Users:
    """An administrator of the cluster."""

    def __init__(self, url: str, ca_file: Path, token: str) -> None:
        self._url = url
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(ca_file)), limit=0)
        headers = {"Authorization": f"Bearer {token}"}
        self._session = aiohttp.ClientSession(connector=connector, headers=headers, trust_env=False)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Body:
        """One request.

        Raises:
            Refusal: the API server does not do it.
        """
        data = None if body is None else orjson.dumps(body)
        async with self._session.request(
            method, self._url + path, data=data, headers={"Content-Type": content_type}
        ) as answer:
            document: Body = orjson.loads(await answer.read())
            if answer.status >= 300:
                raise Refusal(answer.status, document.get("reason", ""), document.get("message", ""))
            return document

    async def apply(self, given: Mapping[str, Any]) -> None:
        """Create an object, or give the one that exists this spec (this data); labels and annotations are added.

        Raises:
            Refusal: the API server does not take it.
        """
        kind, metadata = given["kind"], {"namespace": "default", **given["metadata"]}
        version = "v1" if kind in _CORE else "azurebatch.io/v1alpha1"
        body = {**given, "apiVersion": version, "metadata": metadata}
        if kind == "Namespace":
            del metadata["namespace"]
        path = path_of(kind, metadata.get("namespace", ""), metadata["name"])
        try:
            await self._replace(path, body)
        except Refusal as refusal:
            if refusal.status != 404:
                raise
            await self.request("POST", path.rpartition("/")[0], body)

    async def _replace(self, path: str, body: Body) -> None:
        while True:
            before = await self.request("GET", path)
            for name in ("labels", "annotations"):
                both = {**before["metadata"].get(name, {}), **body["metadata"].get(name, {})}
                if both:
                    before["metadata"][name] = both
            parts = {name: value for name, value in body.items() if name != "metadata"}
            try:
                await self.request("PUT", path, {**before, **parts})
            except Refusal as refusal:
                # The operator has written its status in between.
                if refusal.status != 409 or refusal.reason != "Conflict":
                    raise
            else:
                return

    async def follow(self, plural: str, note: Callable[[Version], None], now: Callable[[], float]) -> None:
        """Note all versions of all objects of a kind, from now on and without end."""
        path = f"{GROUP if plural in KINDS else '/api/v1'}/{plural}"
        since = (await self.request("GET", f"{path}?limit=1"))["metadata"]["resourceVersion"]
        while True:
            url = f"{self._url}{path}?watch=true&resourceVersion={since}&timeoutSeconds=600"
            rest = b""
            async with self._session.get(url, timeout=aiohttp.ClientTimeout(total=None)) as answer:
                if answer.status == 429:
                    # What was defined just now is being initialized.
                    await asyncio.sleep(0.2)
                    continue
                answer.raise_for_status()
                async for chunk in answer.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for event in map(orjson.loads, lines):
                        body, metadata = event["object"], event["object"]["metadata"]
                        since = metadata["resourceVersion"]
                        place = metadata.get("namespace", "")
                        note(Version(now() - EARLIER, event["type"], plural, place, metadata["name"], body))


@dataclass(frozen=True)
class _Stream:
    plural: str
    response: web.StreamResponse


class Proxy:
    """Between operators and the API server.

    Faults hit the operator's own requests, as those of the quick stage do; an outage cuts all connections, those of Kopf as well.

    Args:
        kill: ends the operators at once; for `kill_at_write`.
    """

    def __init__(self, upstream: str, ca_file: Path, now: Callable[[], float], kill: Callable[[], None]) -> None:
        self._upstream, self._ca_file = upstream, ca_file
        self._now, self._kill = now, kill
        self.url = ""
        self.faults: list[Fault] = []
        self.writes: list[Write] = []
        self.down = False
        self.held: list[str] = []
        """Kinds of whose changes nothing is told; an empty text stands for all."""
        self.delay = 0.0
        self.kill_at_write: tuple[int, bool] | None = None
        """At the how manieth write from now, and whether after it, operators are killed."""
        self.cuts = self.kills = self.late = 0
        self._told: dict[tuple[str, str], list[bytes]] = {}
        self._streams: list[_Stream] = []
        self._server = web.Server(self._handle, access_log=None)
        self._runner = web.ServerRunner(self._server, shutdown_timeout=5.0)

    async def start(self) -> None:
        """Listen on a free port."""
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(self._ca_file)), limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        self._session = aiohttp.ClientSession(
            connector=connector, auto_decompress=False, trust_env=False, timeout=timeout
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        """Close all connections, those to the API server first: then no handler waits for anything."""
        self.held.clear()
        for fault in self.faults:
            fault.end()
        await self._session.close()
        await self.go_down()
        await self._runner.cleanup()

    async def go_down(self) -> None:
        """Cut all connections, and each new one, until `down` is False again."""
        self.down = True
        for each in list(self._server.connections):
            if each.transport is not None:
                self.cuts += 1
                each.transport.abort()

    async def replay(self, plural: str, name: str) -> int:
        """Tell again all that was told of an object; how much that was."""
        told = 0
        for stream in [each for each in self._streams if each.plural == plural]:
            # One whose operator is dead is closed with the next event.
            with contextlib.suppress(ConnectionError):
                for line in self._told.get((plural, name), []):
                    await stream.response.write(line)
                    told += 1
        return told

    # --- one request ---

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.down:
            self.cuts += 1
            return _cut(request)
        try:
            if "watch" in request.query:
                return await self._watch(request)
            body = await request.read()
            if not request.headers.get("User-Agent", "").startswith(_OPERATOR):
                return await self._passed_on(request, body)
            return await self._own(request, body)
        except (ConnectionError, aiohttp.ClientError):
            return _cut(request)

    async def _own(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        """A request of the operator itself, with all that may go wrong."""
        began = self._now()
        try:
            asked = route(request.path)
        except Refusal:
            return await self._passed_on(request, body)
        verb = _VERBS[request.method]
        if verb == "get" and not asked.id.name:
            verb = "list"
        writes = verb not in {"get", "list"}
        fault = next((each for each in self.faults if each.takes(verb, asked)), None)
        status = 0
        try:
            if fault is not None and (answer := await _before(fault, request)) is not None:
                status = answer.status
                return answer
            if writes and self._killed(asked, after=False):
                return _cut(request)
            answer = await self._passed_on(request, body)
            if (writes and self._killed(asked, after=True)) or (fault is not None and fault.lost == "after"):
                return _cut(request)
            status = answer.status
            return answer
        finally:
            if writes:
                id = asked.id
                text = orjson.loads(body) if body else None
                self.writes.append(Write(began, verb, asked.resource, id.namespace, id.name, status, text))

    def _killed(self, asked: Route, *, after: bool) -> bool:
        """Whether operators are killed here."""
        if self.kill_at_write is None or asked.id.plural == "leases":
            return False
        number, wanted = self.kill_at_write
        if not after:
            number -= 1
            self.kill_at_write = number, wanted
        if number > 0 or wanted is not after:
            return False
        self.kill_at_write = None
        self.kills += 1
        self._kill()
        return True

    async def _passed_on(self, request: web.BaseRequest, body: bytes) -> web.Response:
        async with self._session.request(
            request.method, self._target(request), data=body or None, headers=_passed(request.headers)
        ) as answer:
            content = await answer.read()
            headers = {name: answer.headers[name] for name in ("Content-Type", "Retry-After") if name in answer.headers}
            return web.Response(status=answer.status, body=content, headers=headers)

    async def _watch(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            plural = route(request.path).id.plural
        except Refusal:
            plural = ""
        async with self._session.get(self._target(request), headers=_passed(request.headers)) as answer:
            headers = {"Content-Type": answer.headers.get("Content-Type", "application/json")}
            response = web.StreamResponse(status=answer.status, headers=headers)
            await response.prepare(request)
            stream, rest = _Stream(plural, response), b""
            self._streams.append(stream)
            try:
                async for chunk in answer.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        await self._held_up(plural)
                        await response.write(line + b"\n")
                        self._remember(plural, line + b"\n")
            finally:
                self._streams.remove(stream)
            return response

    async def _held_up(self, plural: str) -> None:
        if self.delay or plural in self.held or "" in self.held:
            self.late += 1
        await asyncio.sleep(self.delay)
        while plural in self.held or "" in self.held:
            await asyncio.sleep(0.05)

    def _remember(self, plural: str, line: bytes) -> None:
        event = orjson.loads(line)
        if plural in KINDS and event["type"] in {"ADDED", "MODIFIED", "DELETED"}:
            self._told.setdefault((plural, event["object"]["metadata"]["name"]), []).append(line)

    def _target(self, request: web.BaseRequest) -> URL:
        return URL(self._upstream + request.raw_path, encoded=True)


async def _before(fault: Fault, request: web.BaseRequest) -> web.StreamResponse | None:
    """What a fault does in place of a request; None if the request goes on."""
    await asyncio.sleep(fault.delay)
    while fault.hang and request.transport is not None and not fault.over:
        await asyncio.sleep(0.1)
    if fault.hang or fault.lost == "before":
        return _cut(request)
    if fault.status is None:
        return None
    headers = {"Retry-After": f"{fault.retry_after:g}"} if fault.retry_after is not None else {}
    document = {
        "kind": "Status",
        "status": "Failure",
        "reason": "Fault",
        "message": "wrong on order",
        "code": fault.status,
    }
    return web.json_response(document, status=fault.status, headers=headers)


_OF_A_HOP = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "keep-alive"})


def _passed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _OF_A_HOP} | {
        "Accept-Encoding": "identity"
    }


def _cut(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
