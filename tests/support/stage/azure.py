"""Azure Batch on the stage: the emulator's engine and its whole web layer, on the stage's network and clock.

The operator reaches it over the wire. A test reaches the account outside the operator: calls without signature and without a
trace in the counters, as somebody else would make them.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
from aiohttp import web

from azure_batch_emulator.clock import LoopClock
from azure_batch_emulator.config import DEFAULT_ACCOUNT, DEFAULT_KEY, Quotas
from azure_batch_emulator.engine.commands import command_in
from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.executors.simulated import SimulatedExecutor, SimulationRule
from azure_batch_emulator.web import admin
from azure_batch_emulator.web.faults import Rule
from azure_batch_emulator.web.handlers import HANDLERS
from azure_batch_emulator.web.messages import Request
from azure_batch_emulator.web.query import Query
from azure_batch_emulator.web.routes import match
from azure_batch_emulator.web.server import Server
from azure_batch_emulator.web.storage import Storage
from azure_batch_emulator.wire.errors import BatchError
from support.stage.faults import Change, Hold, Omission
from support.stage.wire import Network

Body = dict[str, Any]
HOST, PORT = "127.0.0.1", 10100


@dataclass(frozen=True)
class BatchCall:
    """One call of the operator that reached the service; `status` is 0 if it got no response."""

    time: float
    operation: str
    method: str
    path: str
    status: int
    body: bytes
    query: str = ""

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.method in {"GET", "HEAD"}


class Azure:
    """One emulator within the process.

    Args:
        folder: for what tasks leave as blobs; nothing is written before somebody does.
        port: by which the network tells several of them apart.
        accounts: names of Batch accounts, each with `key`.
    """

    def __init__(
        self,
        network: Network,
        folder: Path,
        seed: int,
        port: int = PORT,
        accounts: tuple[str, ...] = (DEFAULT_ACCOUNT,),
    ) -> None:
        self._network, self._port = network, port
        self.endpoint = f"http://{HOST}:{port}"
        self.key = DEFAULT_KEY
        self.account = accounts[0]
        self.clock = LoopClock()
        self.executor = SimulatedExecutor(self.clock, seed)
        self.services = {
            name: BatchService(name, self.clock, self.executor, quotas=Quotas(), seed=seed + number)
            for number, name in enumerate(accounts)
        }
        for name, service in self.services.items():
            self.executor.commands[name] = partial(command_in, service)
        keys = dict.fromkeys(accounts, base64.b64decode(DEFAULT_KEY))
        self.server = Server(self.services, keys, self.clock, Storage(folder, self.clock), admin.handle, seed)
        self.log: list[BatchCall] = []
        self.effects: list[Callable[[str, str, bool], bool]] = []
        """Told each call that changes something before it is handled (False) and after (True); True drops it, or its answer."""
        self._holds: list[Hold] = []
        self._omissions: list[Omission | Change] = []
        self._runner: web.BaseRunner | None = None

    async def start(self) -> None:
        """Listen."""
        self._runner = web.ServerRunner(self.server.web_server(self._witness), shutdown_timeout=0.0)
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        self._network.listen(HOST, self._port, server)
        for service in self.services.values():
            service.endpoint = self.endpoint

    async def stop(self) -> None:
        """End, as the emulator does."""
        self._network.close(HOST, self._port)
        self.server.close()
        self.clock.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def service(self) -> BatchService:
        """The engine of the first account."""
        return self.services[self.account]

    # --- outside the operator ---

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: str = "",
        account: str = "",
        **headers: str,
    ) -> Body:
        """A call as somebody else makes it, at once; the answer's body, empty without one.

        Args:
            path: such as `/jobs/nightly/terminate`.
            headers: such as `if_match="…"`.

        Raises:
            BatchError: of the emulator, with status and code.
        """
        raw = "/".join(quote(part, safe="-_.~:()") for part in path.split("/"))
        found = match(method, raw)
        request = Request(
            service=self.services[account or self.account],
            route=found.route,
            parameters=found.parameters,
            query=Query(query),
            headers={name.replace("_", "-").lower(): value for name, value in headers.items()},
            body=b"" if body is None else orjson.dumps(body),
            base_url=self.endpoint,
            path=raw,
            request_id="somebody-else",
        )
        reply = HANDLERS[found.route.operation](request)
        if (written := reply.join_blocks()) is not None:
            page: Body = orjson.loads(written)
            return page
        return {} if reply.body is None else orjson.loads(orjson.dumps(reply.body))

    def get(self, path: str, **options: Any) -> Body | None:
        """What is there; None if it is not."""
        try:
            return self.call("GET", path, **options)
        except BatchError as error:
            if error.status == 404:
                return None
            raise

    def post(self, path: str, body: Mapping[str, Any] | None = None, **options: Any) -> Body:
        """Create or do something."""
        return self.call("POST", path, {} if body is None else body, **options)

    def delete(self, path: str, **options: Any) -> Body:
        """Delete something."""
        return self.call("DELETE", path, **options)

    def patch(self, path: str, body: Mapping[str, Any], **options: Any) -> Body:
        """Change something."""
        return self.call("PATCH", path, body, **options)

    def all(self, path: str, **options: Any) -> list[Body]:
        """All of a collection."""
        items: list[Body] = []
        query = ""
        while True:
            page = self.call("GET", path, query=query, **options)
            items += page["value"]
            following = page.get("odata.nextLink")
            if not following:
                return items
            query = following.partition("?")[2]

    def ids(self, path: str) -> list[str]:
        """Ids of all of a collection, sorted."""
        return sorted(str(each["id"]) for each in self.all(path))

    # --- faults ---

    def fault(
        self, operation: str = ".*", *, count: int | None = None, skip: int = 0, path: str = "", **effect: Any
    ) -> Rule:
        """Make chosen calls fail as the emulator's own fault rules do.

        Args:
            operation: regular expression for the whole operation id.
            effect: such as `status=409, code="JobDisabling"`, `retryAfter=30`, `hang=True`, `reset=True`, `lostAnswer=True`.
        """
        body: Body = {"operation": operation, "effect": effect, "skip": skip}
        body |= {name: value for name, value in (("count", count), ("path", path)) if value}
        return self.server.faults.add(body)

    def heal(self) -> None:
        """No faults any more."""
        self.server.faults.clear()

    def hold(self, operation: str, path: str = "", count: int | None = None, *, cut: bool = False) -> Hold:
        """Keep calls on their way: they reach the service on `release`, whether or not the caller still waits.

        Args:
            cut: whether the caller's connection breaks at once.
        """
        hold = Hold(lambda its_operation, its_path: operation in {"", its_operation} and path in its_path, count, cut)
        self._holds.append(hold)
        return hold

    def omit(self, path: str, count: int | None = None) -> Omission:
        """Let lists lack what is there, as one does that lags or whose pages move: `/pools/cpu`, `/jobs/own/tasks/t0`.

        A GET of the thing itself shows it.
        """
        collection, _, id = path.rpartition("/")
        omission = Omission(collection, id, count)
        self._omissions.append(omission)
        return omission

    def change(
        self,
        path: str,
        change: Callable[[bytes], bytes],
        *,
        when: Callable[[], bool] = lambda: True,
        count: int | None = None,
    ) -> Change:
        """Change responses to GETs of a path on their way, as a faulty proxy does, or a service with a fault."""
        changed = Change(path, change, when, count)
        self._omissions.append(changed)
        return changed

    def blank(self, path: str, *, when: Callable[[], bool] = lambda: True, count: int | None = None) -> Change:
        """Answer GETs of a path with 200 and an empty JSON object."""
        return self.change(path, lambda _: b"{}", when=when, count=count)

    def simulate(self, pattern: str, **rule: Any) -> None:
        """How tasks behave whose `job/task` or command line matches: `seconds`, `exitCode`, `attempts`, `stdout`, `stderr` …"""
        self.executor.rules.append(SimulationRule.from_json({"pattern": pattern, **_SIMULATED, **rule}))

    # --- counting ---

    def calls(self, operation: str = "", since: float = 0.0) -> int:
        """Calls of the operator that reached the service, by the id of the operation; all if none is given."""
        return sum((not operation or each.operation == operation) and each.time >= since for each in self.log)

    def by_operation(self) -> Counter[str]:
        """The same for each operation."""
        return Counter(each.operation for each in self.log)

    def changes(self, since: float = 0.0) -> list[BatchCall]:
        """Calls that change something."""
        return [each for each in self.log if not each.reads and each.time >= since]

    async def _witness(
        self, request: web.BaseRequest, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        try:
            operation = match(request.method, path).route.operation
        except BatchError:
            operation = "Unknown"
        loop = asyncio.get_running_loop()
        reads = request.method in {"GET", "HEAD"}
        # All of it is here before it is held: its caller may be gone when it goes on.
        body = b"" if reads else await request.read()
        for hold in self._holds:
            if hold.takes(operation, path):
                if hold.cut:
                    _cut(request)
                await hold.wait()
        if not reads and self._tell(operation, path, after=False):
            return _cut(request)
        # Noted as soon as it is here: what hangs is a call as well.
        place = len(self.log)
        self.log.append(BatchCall(loop.time(), operation, request.method, path, 0, body, query))
        response = await handler(request)
        if reads and isinstance(response, web.Response) and isinstance(response.body, bytes):
            for omission in self._omissions:
                response.body = omission.taken_out(path, response.body)
        if request.transport is not None and not request.transport.is_closing():
            self.log[place] = replace(self.log[place], status=response.status)
        if not reads and self._tell(operation, path, after=True):
            return _cut(request)
        return response

    def _tell(self, operation: str, path: str, *, after: bool) -> bool:
        dropped = [each(operation, path, after) for each in self.effects]
        return any(dropped)


_SIMULATED: Body = {"seconds": (0.0, 0.0), "exitCode": 0, "probability": 1.0, "stdout": "", "stderr": ""}


def _cut(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
