"""The operator's way to the API server in memory: `KubeApi` with all but the socket: errors and pages are its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from azure_batch_operator.kube import api as kube_api
from azure_batch_operator.kube.api import JSON_PATCH, MERGE_PATCH, METADATA_ONLY, Busy, KubeApi, KubeError
from support.stage.apiserver import ApiServer, Body, Id, Refusal, Route, copied, route
from support.stage.faults import Fault

_PATIENCE = 60.0
"""Seconds after which the operator gives a request up, as `kube.api` does."""


@dataclass(frozen=True)
class ApiCall:
    """One request of the operator, as an audit log has it; `status` is 0 if there was no response."""

    time: float
    verb: str
    resource: str
    namespace: str
    name: str
    status: int
    body: Any


class Gate:
    """All that happens between operators and the API server: latency, faults, outages, the audit log."""

    def __init__(self, server: ApiServer, latency: Callable[[], float]) -> None:
        self.server = server
        self.latency = latency
        self.faults: list[Fault] = []
        self.log: list[ApiCall] = []
        self.down = False
        """Whether connections to it are refused."""
        self.effects: list[Callable[[str, str, bool], bool]] = []
        """Told each write before it has its effect (False) and after (True); True drops it, or its answer."""
        self._snapshots: dict[str, list[Body]] = {}

    def expire_pages(self) -> None:
        """Make lists that are in progress begin again: their tokens are too old (410)."""
        self._snapshots.clear()

    def writes(self, resource: str = "", namespace: str = "", name: str = "", *, ok: bool = True) -> int:
        """How many writes there were: those that succeeded, or with `ok=False` all."""
        return sum(
            each.verb not in {"get", "list"}
            and (not ok or 200 <= each.status < 300)
            and (not resource or each.resource == resource)
            and (not namespace or each.namespace == namespace)
            and (not name or each.name == name)
            for each in self.log
        )

    def by_resource(self) -> Counter[tuple[str, str]]:
        """Requests by verb and resource."""
        return Counter((each.verb, each.resource) for each in self.log)

    async def pass_on(
        self, verb: str, path: str, params: Mapping[str, str], body: Any, content_type: str, accept: str
    ) -> Body:
        """One request with all that may go wrong.

        Raises:
            Refusal: the API server's answer is an error.
            Busy: there is none.
        """
        await asyncio.sleep(self.latency())
        asked = route(path)
        loop = asyncio.get_running_loop()
        status = 0
        try:
            if self.down:
                raise Busy("API server unreachable: ClientConnectorError: Connection refused")
            fault = next((each for each in self.faults if each.takes(verb, asked)), None)
            if fault is not None:
                await _before(fault, verb, asked)
            writes = verb not in {"get", "list"}
            if writes:
                self._tell(f"{verb} {asked.resource}", asked.id.name, after=False)
            answer = self._serve(verb, asked, params, body, content_type, accept)
            if writes:
                self._tell(f"{verb} {asked.resource}", asked.id.name, after=True)
            if fault is not None and fault.lost == "after":
                raise Busy("API server unreachable: ServerDisconnectedError: Server disconnected")
            status = 201 if verb == "create" else 200
        except Refusal as refusal:
            status = refusal.status
            raise
        finally:
            id = asked.id
            self.log.append(ApiCall(loop.time(), verb, asked.resource, id.namespace, id.name, status, body))
        await asyncio.sleep(self.latency())
        return answer

    def _tell(self, what: str, name: str, *, after: bool) -> None:
        dropped = [each(what, name, after) for each in self.effects]
        if any(dropped):
            raise asyncio.CancelledError

    def _serve(
        self, verb: str, asked: Route, params: Mapping[str, str], body: Any, content_type: str, accept: str
    ) -> Body:
        id, status = asked.id, asked.subresource == "status"
        match verb:
            case "get" if not id.plural:
                return {"kind": "APIResourceList"}
            case "get":
                found = self.server.get(id)
                return {"metadata": found["metadata"]} if accept == METADATA_ONLY else found
            case "list":
                return self._page(id, params)
            case "create" if asked.subresource == "token":
                return {"status": {"token": f"token-of-{id.namespace}-{id.name}"}}
            case "create":
                return self.server.create(id.plural, id.namespace, body)
            case "update":
                return self.server.replace(id, body, status)
            case "patch" if content_type == MERGE_PATCH:
                return self.server.merge(id, body, status)
            case "patch" if content_type == JSON_PATCH:
                return self.server.patch(id, body, status)
            case "delete":
                return self.server.delete(id, body)
        raise Refusal(415, "UnsupportedMediaType", f"{verb} with {content_type}")

    def _page(self, id: Id, params: Mapping[str, str]) -> Body:
        """A page of a list; the further ones are of the same moment as the first."""
        token, size = params.get("continue", ""), int(params.get("limit", 0)) or 10**9
        if token and token not in self._snapshots:
            raise Refusal(
                410, "Expired", "The provided continue parameter is too old to display a consistent list result"
            )
        items = self._snapshots.pop(token) if token else self.server.all(id.plural, id.namespace)
        metadata: Body = {"resourceVersion": str(self.server.version)}
        if len(items) > size:
            metadata["continue"] = following = f"after-{self.server.version}-{len(self.log)}"
            self._snapshots[following] = items[size:]
        # Items of a list bear no kind on the wire.
        shown = [{name: value for name, value in each.items() if name not in {"kind", "apiVersion"}} for each in items]
        return {"metadata": metadata, "items": shown[:size]}


async def _before(fault: Fault, verb: str, asked: Route) -> None:
    if fault.delay:
        await asyncio.sleep(fault.delay)
    if fault.hang:
        await asyncio.Event().wait()
    if fault.lost == "before":
        raise Busy("API server unreachable: ServerDisconnectedError: Server disconnected")
    if fault.status is not None:
        text = fault.message or _USUAL.get(fault.status, "the server does not do that now").format(verb, asked.resource)
        refusal = Refusal(fault.status, "Fault", text, [(each, "wrong on order") for each in fault.causes])
        refusal.retry_after = fault.retry_after
        raise refusal


_USUAL = {
    403: '{1} is forbidden: User "operator" cannot {0} resource "{1}"',
    404: "{1} not found",
    409: "Operation cannot be fulfilled on {1}: the object has been modified",
    422: "{1} is invalid",
    429: "too many requests, please try again later",
    500: "Internal error occurred: etcdserver: request timed out",
}


class StageApi(KubeApi):
    """What an operator of the stage has in place of a connection."""

    def __init__(self, gate: Gate, alive: Callable[[], bool], permit: Callable[[], None] | None = None) -> None:
        self._gate, self._alive = gate, alive
        self.permit = permit

    async def aclose(self) -> None:
        """Nothing is open."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        fenced: bool = True,
    ) -> dict[str, Any]:
        """As `KubeApi.request`."""
        self._check()
        if self.permit and fenced and method != "GET":
            self.permit()
        verb = _verb(method, path)
        try:
            async with asyncio.timeout(_PATIENCE):
                answer = await self._gate.pass_on(verb, path, params or {}, copied(body), content_type, accept)
        except Refusal as refusal:
            self._check()
            raise self._error(refusal) from None
        except TimeoutError as error:
            raise Busy("API server unreachable: TimeoutError: ") from error
        self._check()
        return answer

    @staticmethod
    def _error(refusal: Refusal) -> KubeError:
        delay = refusal.retry_after
        headers = {} if delay is None else {"Retry-After": f"{delay:g}"}
        return kube_api._error(refusal.status, headers, orjson.dumps(refusal.body()))

    def _check(self) -> None:
        if not self._alive():
            raise asyncio.CancelledError


def _verb(method: str, path: str) -> str:
    if method == "GET":
        return "get" if route(path).id.name or not route(path).id.plural else "list"
    return {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[method]
