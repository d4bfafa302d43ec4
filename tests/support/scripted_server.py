"""A server that answers by script, byte for byte: for answers that no well-behaved server gives.

Each connection's requests are read properly; what comes back is up to the script, a coroutine that gets the request
and the connection. Listens on a free port of this machine.
"""

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

JSON_TYPE = "application/json;odata=minimalmetadata"


@dataclass(frozen=True)
class Received:
    """A request as it came in; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Connection:
    """The other end of a client's connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(
        self, status: int, body: bytes | Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a proper answer."""
        payload = json.dumps(body).encode() if isinstance(body, Mapping) else body or b""
        fields = {"DataServiceVersion": "3.0", "request-id": "rid-1", **(headers or {})}
        if isinstance(body, Mapping):
            fields.setdefault("Content-Type", JSON_TYPE)
        if status not in (204, 304):
            fields.setdefault("Content-Length", str(len(payload)))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        await self.send(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + payload)

    async def error(
        self,
        status: int,
        code: str,
        message: str = "Something is wrong.",
        values: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send an error as the service does (docs/azure-batch.md#error-bodies)."""
        body: dict[str, Any] = {
            "odata.metadata": "https://x/$metadata#y",
            "code": code,
            "message": {"lang": "en-US", "value": f"{message}\nRequestId:rid-1\nTime:2026-01-22T20:18:17.6076943Z"},
        }
        if values:
            body["values"] = [{"key": name, "value": value} for name, value in values.items()]
        await self.answer(status, body, headers)

    def reset(self) -> None:
        """Cut the connection so that the client sees a reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the client has hung up."""
        with suppress(ConnectionError):
            await self.reader.read(1)


Script = Callable[[Received, Connection], Awaitable[None]]


@dataclass
class Server:
    """A running server: its address, what it received, and its script, which may be exchanged."""

    script: Script
    url: str = ""
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side closes it."""
        self.connections += 1
        self.open_connections += 1
        try:
            while not writer.transport.is_closing():
                request = await _read_request(reader)
                if request is None:
                    return
                self.received.append(request)
                await self.script(request, Connection(reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open_connections -= 1
            writer.close()


async def _read_request(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    start, *lines = head.strip().split("\r\n")
    method, target, _ = start.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Received(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))


@asynccontextmanager
async def scripted_server(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Run a server inside the block, by https if it gets a context; at the end no connection and no task is left."""
    server = Server(script)
    connections: dict[asyncio.Task[Any], asyncio.Task[None]] = {}

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own inside of asyncio's, because asyncio complains when the one that it made is cancelled.
        outer = asyncio.current_task()
        assert outer is not None
        connections[outer] = asyncio.create_task(server.serve(reader, writer))
        try:
            await asyncio.gather(connections[outer], return_exceptions=True)
        finally:
            # One that is cancelled before it has begun closes nothing.
            writer.close()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 22, ssl=tls)
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
        # A connection that was just accepted has a task that has not run yet.
        await asyncio.sleep(0)
        for inner in connections.values():
            inner.cancel()
        await asyncio.gather(*connections)
        # What was closed is gone when the loop has come around.
        await asyncio.sleep(0)
