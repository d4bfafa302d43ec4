"""A network inside the process: aiohttp's client and aiohttp's server, byte for byte, without a socket.

Only the socket is left out, so headers, bodies, chunks, signatures, and connections that are cut are what they are on a real
network, and virtual time can pass while an answer is on its way.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
from collections import deque
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import HIGH_LEVEL_SCHEMA_SET

Latency = Callable[[], float]


class _End(asyncio.Transport):
    """One end of a connection. What is written reaches the other end's protocol after the latency, in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop, latency: Latency, context: contextvars.Context) -> None:
        super().__init__({"peername": ("127.0.0.1", 40000), "sockname": ("127.0.0.1", 80)})
        self._loop, self._latency, self._context = loop, latency, context
        self._protocol: asyncio.Protocol
        self._peer: _End
        self._arriving: deque[bytes | Exception | None] = deque()
        self._due = 0.0
        self._closing = self._lost = False

    def join(self, protocol: asyncio.Protocol, peer: _End) -> None:
        self._protocol, self._peer = protocol, peer

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closing:
            self._peer._arrive(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self._end(None)

    def abort(self) -> None:
        self._end(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))

    def _end(self, error: Exception | None) -> None:
        if not self._closing:
            self._closing = True
            self._peer._arrive(error)
            self._loop.call_soon(self._lose, None, context=self._context)

    def _arrive(self, item: bytes | Exception | None) -> None:
        self._arriving.append(item)
        self._due = max(self._due, self._loop.time() + self._latency())
        # Equal times may be served in any order, so a callback takes what is first, not what it was made for.
        self._loop.call_at(self._due, self._take, context=self._context)

    def _take(self) -> None:
        item = self._arriving.popleft()
        if isinstance(item, bytes):
            if not self._lost:
                self._protocol.data_received(item)
            return
        self._closing = True
        # aiohttp's server fails with a TypeError if a request and the end of its connection come in one round of the loop.
        self._loop.call_soon(self._lose, item, context=self._context)

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self._protocol.connection_lost(error)

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol


class Network:
    """Which servers listen where.

    Args:
        latency: seconds that what is sent takes, one way.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, latency: Latency) -> None:
        self._loop = loop
        self.latency = latency
        self._listeners: dict[tuple[str, int], Callable[[], asyncio.Protocol]] = {}
        self._context = contextvars.copy_context()
        self._open: list[tuple[contextvars.Context, _End]] = []

    def listen(self, host: str, port: int, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Have a server's protocol answer at an address."""
        self._listeners[host, port] = protocol

    def close(self, host: str, port: int) -> None:
        """Refuse connections to an address from now on."""
        self._listeners.pop((host, port), None)

    async def connect(self, host: str, port: int, client: asyncio.Protocol) -> None:
        """Connect a client's protocol.

        Raises:
            ConnectionRefusedError: nobody listens there.
        """
        await asyncio.sleep(self.latency())
        listener = self._listeners.get((host, port))
        if listener is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        server, own = listener(), contextvars.copy_context()
        here = _End(self._loop, self.latency, own)
        there = _End(self._loop, self.latency, self._context)
        here.join(client, there)
        there.join(server, here)
        # The server's work belongs to the server, whoever connects.
        self._context.copy().run(server.connection_made, there)
        client.connection_made(here)
        self._open = [each for each in self._open if not each[1].is_closing()]
        self._open.append((own, here))

    def cut(self, belongs: Callable[[contextvars.Context], bool]) -> None:
        """Abort the connections that were opened in contexts that `belongs` picks."""
        for context, end in self._open:
            if belongs(context):
                end.abort()


class MemoryConnector(aiohttp.BaseConnector):
    """Has an aiohttp session connect within the process."""

    allowed_protocol_schema_set = HIGH_LEVEL_SCHEMA_SET

    def __init__(self, network: Network, alive: Callable[[], bool], **options: Any) -> None:
        super().__init__(**options)
        self._network, self._alive = network, alive

    async def _create_connection(self, req: Any, traces: Any, timeout: aiohttp.ClientTimeout) -> ResponseHandler:
        if not self._alive():
            raise asyncio.CancelledError
        protocol: ResponseHandler = self._factory()
        try:
            async with asyncio.timeout(timeout.sock_connect):
                await self._network.connect(req.url.host or "", req.url.port or 80, protocol)
        except TimeoutError:
            raise
        except OSError as error:
            raise aiohttp.ClientConnectorError(req.connection_key, error) from error
        return protocol
