"""Callers that read slowly cost no more memory than one block of what they read."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tracemalloc
from collections.abc import Iterator
from typing import Any, cast

import pytest
from aiohttp import ClientConnectionResetError, web

from azure_batch_emulator.executors.base import RunResult
from azure_batch_emulator.schema.tasks import TASK
from azure_batch_emulator.schema.versions import DEFAULT
from azure_batch_emulator.web.protocol import DoorHandler, DoorServer
from azure_batch_emulator.web.response_bodies import Blocks
from azure_batch_emulator.web.task_pages import TaskPage
from support.hand_executor import DONE, Bench
from support.jumping_loop import run_jumping


class SlowWriter:
    """Takes the next block when the reader has read."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.read = asyncio.Semaphore(0)

    async def write(self, block: bytes, *, drain: bool = True) -> None:
        self.taken.append(block)
        if drain:
            await self.read.acquire()


async def test_a_block_is_made_when_the_one_before_has_been_read() -> None:
    made = 0

    def blocks() -> Iterator[bytes]:
        nonlocal made
        for number in range(5):
            made += 1
            yield b"%d" % number

    writer = SlowWriter()
    sending = asyncio.create_task(Blocks(blocks()).write(cast("Any", writer)))
    for number in range(1, 6):
        await asyncio.sleep(0)
        assert (made, len(writer.taken)) == (number, number)
        writer.read.release()
        await asyncio.sleep(0)
    await sending
    assert b"".join(writer.taken) == b"01234"


def test_a_page_shows_one_moment_however_slowly_it_is_read() -> None:
    bench = Bench(taskSlotsPerNode=4, enableInterNodeCommunication=False)
    job = bench.task().job
    for number in range(300):
        bench.service.tasks.add(job, TASK.accept("", {"id": f"t{number}", "commandLine": f"work {number}"}))
    bench.clock.advance(1.0)
    tasks = list(job.tasks.values())
    expected = b"".join(TaskPage("http://b", DEFAULT, "m").blocks(tasks, None))
    slowly = iter(TaskPage("http://b", DEFAULT, "m").blocks(tasks, None))
    read = [next(slowly)]
    while any(task.state != "completed" for task in tasks):
        bench.end_all(DONE)
    for task in tasks[::2]:
        bench.service.tasks.delete(task)
    read += slowly
    assert len(read) > 5
    assert b"".join(read) == expected
    assert b"".join(TaskPage("http://b", DEFAULT, "m").blocks(tasks, None)) != expected


def test_callers_that_do_not_read_hold_no_copies_of_what_each_task_has_of_its_own() -> None:
    bench = Bench(targetDedicatedNodes=0)
    job = bench.task().job
    for number in range(200):
        variables = [{"name": "OWN", "value": f"{number} {'x' * 20_000}"}]
        body = {"id": f"t{number}", "commandLine": "work", "environmentSettings": variables}
        bench.service.tasks.add(job, TASK.accept("", body))
    tasks = list(job.tasks.values())
    tracemalloc.start()
    try:
        pages = [iter(TaskPage("http://b", DEFAULT, "m").blocks(tasks, None)) for _ in range(10)]
        for page in pages:
            assert len(next(page)) > 800_000
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A page has 4 MB.
    assert held < 5_000_000


def test_a_page_shows_one_moment_also_of_tasks_that_have_been_retried() -> None:
    bench = Bench(taskSlotsPerNode=4, enableInterNodeCommunication=False)
    job = bench.task(constraints={"maxTaskRetryCount": 9}).job
    for number in range(90):
        body = {"id": f"t{number}", "commandLine": "work", "constraints": {"maxTaskRetryCount": 9}}
        bench.service.tasks.add(job, TASK.accept("", body | {"displayName": f"own {number}"}))
    bench.clock.advance(1.0)
    bench.end_all(RunResult(1))
    tasks = list(job.tasks.values())
    expected = b"".join(TaskPage("http://b", DEFAULT, "m").blocks(tasks, None))
    slowly = iter(TaskPage("http://b", DEFAULT, "m").blocks(tasks, None))
    read = [next(slowly)]
    for _ in range(30):
        bench.end_all(RunResult(1))
    assert b"".join([*read, *slowly]) == expected
    assert b"".join(TaskPage("http://b", DEFAULT, "m").blocks(tasks, None)) != expected


def small_window() -> socket.socket:
    """A socket that takes in little of what nobody reads."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return connection


@pytest.mark.parametrize(
    ("size", "close", "reads"),
    [
        pytest.param(8_000_000, "keep-alive", 0, id="more than the buffers of the connection hold"),
        pytest.param(8_000_000, "keep-alive", 100, id="a little is read now and then"),
        pytest.param(40_000, "close", 0, id="all of it in the buffers, and the connection closed"),
    ],
)
async def test_a_connection_ends_whose_caller_does_not_read(size: int, close: str, reads: int) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return web.Response(body=Blocks(b"x" * 40_000 for _ in range(size // 40_000)))

    server = DoorServer(answer, lambda request, error: web.Response(status=500), send_seconds=0.3)
    lost = asyncio.Event()
    listening = await asyncio.get_running_loop().create_server(lambda: Noticed(server(), lost), "127.0.0.1", 0)
    with small_window() as caller:
        caller.setblocking(False)
        await asyncio.get_running_loop().sock_connect(caller, listening.sockets[0].getsockname())
        request = f"GET / HTTP/1.1\r\nHost: here\r\nConnection: {close}\r\n\r\n"
        await asyncio.get_running_loop().sock_sendall(caller, request.encode())
        async with asyncio.timeout(60):
            while not lost.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(lost.wait(), 0.05)
                if reads and not lost.is_set():
                    await asyncio.get_running_loop().sock_recv(caller, reads)
    listening.close()
    await server.shutdown(1.0)


class Pipe(asyncio.Transport):
    """Of a connection without a socket."""

    ended = False

    def abort(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.ended = True


@pytest.mark.parametrize(("seconds", "ended"), [(50.0, False), (70.0, True)])
def test_a_caller_that_reads_has_as_long_as_it_likes(seconds: float, ended: bool) -> None:
    async def read() -> None:
        server = DoorServer(lambda request: asyncio.sleep(0, web.Response()), lambda request, error: web.Response())
        connection, transport = cast("DoorHandler", server()), Pipe()
        connection.connection_made(transport)
        for _ in range(20):
            connection.pause_writing()
            waiting = asyncio.create_task(connection._drain_helper())
            await asyncio.sleep(seconds)
            connection.resume_writing()
            with contextlib.suppress(ClientConnectionResetError):
                await waiting
        assert transport.ended is ended
        connection.connection_lost(None)

    run_jumping(read())


class Noticed(asyncio.Protocol):
    """Hands everything on to a connection of the server, and says when it has ended."""

    def __init__(self, inner: Any, lost: asyncio.Event) -> None:
        self._inner, self._lost = inner, lost
        for name in ("connection_made", "data_received", "eof_received", "pause_writing", "resume_writing"):
            setattr(self, name, getattr(inner, name))

    def connection_lost(self, error: Exception | None) -> None:
        self._inner.connection_lost(error)
        self._lost.set()
