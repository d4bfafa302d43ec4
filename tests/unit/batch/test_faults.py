"""The fault matrix: whatever a network or a server does, the right error comes, in time, and nothing is left behind."""

import asyncio
import gzip
import math
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from azure_batch_operator.batch import (
    BatchClient,
    BatchError,
    ConnectionFailedError,
    ConnectionKind,
    DeadlineError,
    HostPolicy,
    Limiter,
    MalformedResponseError,
    NotSentError,
    RetryPolicy,
    ServerBusyError,
    ServerError,
    SharedKey,
    TransientError,
)
from support.authorities import self_signed
from support.scripted_server import JSON_TYPE, Connection, Received, scripted_server

KEY = SharedKey("acc", "a2V5")
ONCE = RetryPolicy(attempts=1, deadline=30.0, attempt_deadline=30.0)
HEAD = f"HTTP/1.1 200 OK\r\nContent-Type: {JSON_TYPE}\r\nrequest-id: rid-1\r\n".encode()
JSON = b'{"id": "p", "state": "active"}'
Script = Callable[[Received, Connection], Awaitable[None]]


def raw(data: bytes, then: str = "close") -> Script:
    """Send bytes, then close, reset, or hang."""

    async def script(request: Received, connection: Connection) -> None:
        await connection.send(data)
        if then == "reset":
            # Let the bytes out first: a reset throws away what was not yet sent.
            await asyncio.sleep(0.05)
            connection.reset()
        elif then == "hang":
            await connection.gone()
        connection.writer.close()

    return script


async def drip(request: Received, connection: Connection) -> None:
    """An answer that always makes progress and never ends."""
    await connection.send(HEAD + b"Content-Length: 100000\r\n\r\n")
    while not connection.writer.transport.is_closing():
        await connection.send(b" ")
        await asyncio.sleep(0.01)


async def fifty_megabytes(request: Received, connection: Connection) -> None:
    await connection.send(HEAD + b"Content-Length: 52428800\r\n\r\n")
    for _ in range(800):
        await connection.send(b" " * 65536)


async def gzip_bomb(request: Received, connection: Connection) -> None:
    packed = gzip.compress(b" " * (50 << 20))
    head = HEAD + f"Content-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    await connection.send(head + packed)


def _whole(body: bytes, extra: bytes = b"") -> bytes:
    return HEAD + extra + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


MATRIX: dict[str, tuple[Script, type[BatchError], str | None]] = {
    "closed without a word": (raw(b""), ConnectionFailedError, "closed"),
    "reset without a word": (raw(b"", "reset"), ConnectionFailedError, "reset"),
    "reset in the headers": (raw(HEAD, "reset"), ConnectionFailedError, "reset"),
    "closed in the headers": (raw(HEAD), ConnectionFailedError, "closed"),
    "reset in the body": (raw(HEAD + b"Content-Length: 99\r\n\r\n{", "reset"), ConnectionFailedError, "reset"),
    "closed in the body": (raw(HEAD + b"Content-Length: 99\r\n\r\n{"), ConnectionFailedError, "closed"),
    "closed in a chunk": (
        raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"),
        ConnectionFailedError,
        "closed",
    ),
    "bad chunk size": (raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{"), MalformedResponseError, None),
    "not http": (raw(b"SSH-2.0-OpenSSH_9.6\r\n"), MalformedResponseError, None),
    "endless header": (raw(HEAD + b"X: " + b"x" * 100_000 + b"\r\n\r\n"), MalformedResponseError, None),
    "truncated json": (raw(_whole(b'{"id": "p"')), MalformedResponseError, None),
    "json of another kind": (raw(_whole(b"[]")), MalformedResponseError, None),
    "wrong content type": (
        raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"),
        MalformedResponseError,
        None,
    ),
    "gzip garbage": (
        raw(_whole(b"this is not gzip at all", b"Content-Encoding: gzip\r\n")),
        MalformedResponseError,
        None,
    ),
    "gzip cut short": (
        raw(_whole(gzip.compress(JSON * 100)[:-20], b"Content-Encoding: gzip\r\n")),
        MalformedResponseError,
        None,
    ),
    "50 MB": (fifty_megabytes, MalformedResponseError, None),
    "50 MB in 50 KB of gzip": (gzip_bomb, MalformedResponseError, None),
    "bad gateway": (
        raw(b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"),
        ServerError,
        None,
    ),
    "busy without a body": (raw(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"), ServerBusyError, None),
    "gateway timeout": (raw(b"HTTP/1.1 504 X\r\nContent-Length: 0\r\n\r\n"), DeadlineError, None),
}


@pytest.fixture(autouse=True)
async def nothing_left():
    """No task outlives a test, save for the moment that a closed connection needs."""
    yield
    for _ in range(200):
        if len(asyncio.all_tasks()) == 1:
            break
        await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("name", MATRIX)
async def test_faults_become_the_right_error(name: str) -> None:
    script, kind, detail = MATRIX[name]
    async with (
        scripted_server(script) as server,
        BatchClient(server.url, KEY, limiter=Limiter(math.inf), retry=ONCE) as client,
    ):
        with pytest.raises(BatchError) as caught:
            await client.pools.get("p")
        assert type(caught.value) is kind, repr(caught.value)
        assert isinstance(caught.value, TransientError)
        assert caught.value.operation == "Pools_GetPool"
        if isinstance(caught.value, ConnectionFailedError):
            assert caught.value.kind == detail
        assert client.limiter.in_flight == 0


HANGS: dict[str, Script] = {
    "never answers": raw(b"", "hang"),
    "stops in the headers": raw(HEAD, "hang"),
    "stops in the body": raw(HEAD + b"Content-Length: 99\r\n\r\n{", "hang"),
    "drips": drip,
}


@pytest.mark.parametrize("name", HANGS)
async def test_hangs_and_drips_end_at_the_deadline(name: str) -> None:
    async with scripted_server(HANGS[name]) as server, BatchClient(server.url, KEY, retry=ONCE) as client:
        async with asyncio.timeout(20):
            with pytest.raises(DeadlineError, match=r"within 0\.\d+ seconds"):
                await client.pools.get("p", deadline=0.2)
        assert client.limiter.in_flight == 0


@pytest.mark.parametrize("name", HANGS)
async def test_one_hanging_attempt_does_not_use_up_the_whole_call(name: str) -> None:
    async def second_time_lucky(request: Received, connection: Connection) -> None:
        await (HANGS[name] if server.connections == 1 else raw(_whole(JSON)))(request, connection)

    # On a busy machine an attempt that nothing holds up may take longer too, so there are more than two.
    retry = RetryPolicy(attempts=50, base=0.001, cap=0.01, deadline=30.0, attempt_deadline=0.2)
    async with scripted_server(second_time_lucky) as server, BatchClient(server.url, KEY, retry=retry) as client:
        assert await client.pools.get("p") == {"id": "p", "state": "active"}


async def test_the_deadline_covers_waiting_for_ones_turn() -> None:
    limiter = Limiter(math.inf)
    async with scripted_server(raw(b"")) as server, BatchClient(server.url, KEY, limiter=limiter) as client:
        limiter.throttled(3600.0)
        with pytest.raises(NotSentError, match="rate limit"):
            await client.pools.get("p", deadline=0.05)
        assert (limiter.waiting, server.received) == (0, [])


async def test_the_deadline_covers_retries() -> None:
    retry = RetryPolicy(attempts=1_000_000, base=0.001, cap=0.01)
    limiter = Limiter(math.inf)
    script = raw(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    async with scripted_server(script) as server, BatchClient(server.url, KEY, limiter=limiter, retry=retry) as client:
        async with asyncio.timeout(20):
            with pytest.raises((ServerError, DeadlineError)):
                await client.pools.get("p", deadline=0.2)
        assert len(server.received) > 1


async def test_a_file_that_stops_coming_ends_in_time() -> None:
    retry = RetryPolicy(attempts=1, attempt_deadline=0.2)
    script = raw(HEAD + b"Content-Length: 99\r\n\r\nabc", "hang")
    async with scripted_server(script) as server, BatchClient(server.url, KEY, retry=retry) as client:
        with pytest.raises(DeadlineError, match="no more bytes"):
            await client.task_files.read("j", "t", "stdout.txt")


async def test_a_dripping_file_ends_at_the_callers_deadline() -> None:
    async with scripted_server(drip) as server, BatchClient(server.url, KEY, retry=ONCE) as client:
        with pytest.raises(DeadlineError, match="not read"):
            await client.task_files.read("j", "t", "stdout.txt", deadline=0.3)


@pytest.mark.parametrize(("then", "kind"), [("close", ConnectionKind.CLOSED), ("reset", ConnectionKind.RESET)])
async def test_a_file_that_is_cut_is_an_error(then: str, kind: ConnectionKind) -> None:
    script = raw(HEAD + b"Content-Length: 99\r\n\r\nabc", then)
    async with scripted_server(script) as server, BatchClient(server.url, KEY, retry=ONCE) as client:
        with pytest.raises(ConnectionFailedError) as caught:
            await client.task_files.read("j", "t", "stdout.txt")
        assert caught.value.kind is kind


@pytest.mark.parametrize("packed", [False, True])
async def test_a_response_that_is_too_large_is_not_read(packed: bool) -> None:
    body = b'{"id": "' + b"x" * 2000 + b'"}'
    answer = _whole(gzip.compress(body), b"Content-Encoding: gzip\r\n") if packed else _whole(body)
    async with (
        scripted_server(raw(answer)) as server,
        BatchClient(server.url, KEY, retry=ONCE, max_response_bytes=1000) as client,
    ):
        with pytest.raises(MalformedResponseError, match="larger than 1000 bytes"):
            await client.pools.get("p")


async def test_a_file_may_be_larger_than_a_response() -> None:
    async with (
        scripted_server(fifty_megabytes) as server,
        BatchClient(server.url, KEY, retry=ONCE, max_response_bytes=1000) as client,
    ):
        size = 0
        async with client.task_files.get("j", "t", "big.bin") as file:
            async for chunk in file:
                size += len(chunk)
        assert size == 50 << 20


async def test_a_port_where_nobody_listens() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        async with BatchClient(f"http://127.0.0.1:{held.getsockname()[1]}", KEY, retry=ONCE) as client:
            with pytest.raises(ConnectionFailedError, match="nothing listens") as caught:
                await client.pools.get("p")
    assert caught.value.kind is ConnectionKind.REFUSED
    assert caught.value.retryable


async def test_a_name_that_does_not_exist() -> None:
    hosts = HostPolicy(allowed=("no-such-host.invalid",))
    async with BatchClient("https://no-such-host.invalid", KEY, retry=ONCE, hosts=hosts) as client:
        with pytest.raises(ConnectionFailedError, match="resolved") as caught:
            await client.pools.get("p")
    assert caught.value.kind is ConnectionKind.DNS


async def test_a_server_without_tls() -> None:
    async with scripted_server(raw(b"")) as server:
        # Waiting for a request line that never comes: the handshake's bytes hold none.
        async with BatchClient(server.url.replace("http:", "https:"), KEY, retry=ONCE) as client:
            with pytest.raises((ConnectionFailedError, DeadlineError)) as caught:
                await client.pools.get("p", deadline=0.5)
        assert isinstance(caught.value, DeadlineError) or caught.value.kind is ConnectionKind.TLS
        assert server.received == []


async def test_an_untrusted_certificate_is_a_permanent_error(tmp_path: Path) -> None:
    ca_file, tls = self_signed(tmp_path)
    async with scripted_server(raw(_whole(JSON)), tls) as server:
        async with BatchClient(server.url, KEY) as client:
            with pytest.raises(ConnectionFailedError, match="TLS failed") as caught:
                await client.pools.get("p")
        assert caught.value.kind is ConnectionKind.TLS
        assert not caught.value.retryable
        assert server.received == []
        trusting = ssl.create_default_context(cafile=ca_file)
        async with BatchClient(server.url, KEY, tls=trusting) as client:
            assert await client.pools.get("p") == {"id": "p", "state": "active"}


async def test_no_error_shows_the_credential() -> None:
    async with scripted_server(raw(b"nonsense\r\n\r\n")) as server, BatchClient(server.url, KEY, retry=ONCE) as client:
        with pytest.raises(BatchError) as caught:
            await client.pools.create({"id": "p", "password": "hunter2"})
        link: BaseException | None = caught.value
        while link is not None:
            assert "SharedKey acc" not in repr(link) + str(link)
            assert "hunter2" not in repr(link) + str(link)
            link = link.__cause__ or link.__context__
