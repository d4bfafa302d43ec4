"""The client over a real socket: what goes out, paging, retries, streams, observation, cancellation."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from azure_batch_operator.batch import (
    AuthenticationError,
    BatchClient,
    Call,
    ConflictError,
    Limiter,
    MalformedResponseError,
    NotFoundError,
    Priority,
    RetryPolicy,
    ServerError,
    SharedKey,
    ThrottledError,
    UsageError,
)
from azure_batch_operator.batch.errors import BatchError
from azure_batch_operator.batch.requests import Request
from support.scripted_server import Connection, Received, Server, scripted_server

KEY = SharedKey("acc", "a2V5")
QUICK = RetryPolicy(attempts=4, base=0.001, deadline=5.0, attempt_deadline=5.0)


async def answer_201(request: Received, connection: Connection) -> None:
    await connection.answer(201, headers={"ETag": "0x8D1", "Last-Modified": "Thu, 22 Jan 2026 20:18:47 GMT"})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with scripted_server(answer_201) as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[BatchClient]:
    async with BatchClient(server.url, KEY, limiter=Limiter(math.inf), retry=QUICK) as running:
        yield running


def in_turn(*scripts: Callable[[Received, Connection], Awaitable[None]]):
    """A script that answers each request by the next of these, the last one forever."""
    left = list(scripts)

    async def script(request: Received, connection: Connection) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(request, connection)

    return script


def error(status: int, code: str, **headers: str):
    async def script(request: Received, connection: Connection) -> None:
        await connection.error(status, code, headers=headers)

    return script


def ok(body: dict):
    async def script(request: Received, connection: Connection) -> None:
        await connection.answer(200, body)

    return script


async def test_the_request_is_sent_exactly_as_signed(server: Server, client: BatchClient) -> None:
    server.script = ok({"id": "x", "state": "active"})
    await client.jobs.get("nightly:job-1(a),b;c=d&e@f!g$h*i'j k/ü", select=("id", "state"), if_match="0x1")
    (request,) = server.received
    assert request.target.startswith("/jobs/nightly%3Ajob-1%28a%29%2Cb%3Bc%3Dd%26e%40f%21g%24h%2Ai%27j%20k%2F%C3%BC?")
    path, _, query = request.target.partition("?")
    unsigned = Request(None, "GET", path, query, request.headers)  # type: ignore[arg-type]
    again = await KEY.sign(unsigned, request.headers)
    assert request.headers["authorization"] == again["Authorization"]
    assert request.headers["if-match"] == '"0x1"'


@pytest.mark.parametrize("act", ["stop_resize", "disable_autoscale", "delete"])
async def test_a_write_without_a_body_goes_out_as_it_was_signed(server: Server, client: BatchClient, act: str) -> None:
    async def script(request: Received, connection: Connection) -> None:
        await connection.answer(200 if act == "disable_autoscale" else 202)

    server.script = script
    await getattr(client.pools, act)("p")
    (request,) = server.received
    assert request.headers["content-length"] == "0"
    assert "content-type" not in request.headers
    path, _, query = request.target.partition("?")
    again = await KEY.sign(Request(None, request.method, path, query, {}), request.headers)  # type: ignore[arg-type]
    assert request.headers["authorization"] == again["Authorization"]


async def test_a_create_returns_a_receipt(server: Server, client: BatchClient) -> None:
    receipt = await client.pools.create({"id": "p"}, client_request_id="mine", priority=Priority.SUBMIT)
    assert (receipt.etag, receipt.request_id, receipt.client_request_id) == ("0x8D1", "rid-1", "mine")
    assert receipt.last_modified is not None
    (request,) = server.received
    assert (request.method, request.body) == ("POST", b'{"id":"p"}')
    assert request.headers["content-type"] == "application/json; odata=minimalmetadata"
    assert request.headers["user-agent"].startswith("azure-batch-operator/")


async def test_lists_follow_links_through_empty_pages(server: Server, client: BatchClient) -> None:
    def script_page(body: dict, token: str | None):
        async def script(request: Received, connection: Connection) -> None:
            link = {"odata.nextLink": f"{server.url}{request.target}&$skiptoken={token}"} if token else {}
            await connection.answer(200, {**body, **link})

        return script

    server.script = in_turn(
        script_page({"value": [{"id": "a", "state": "active"}]}, "WATV2:1/x^y:1$1"),
        script_page({"value": []}, "2"),
        script_page({"value": [{"id": "b", "state": "active"}, {"id": "c", "state": "active"}]}, None),
    )
    pages = [page async for page in client.pools.list_pages(filter="state eq 'active'", max_results=2)]
    assert pages == [
        [{"id": "a", "state": "active"}],
        [],
        [{"id": "b", "state": "active"}, {"id": "c", "state": "active"}],
    ]
    assert server.received[1].target == f"{server.received[0].target}&$skiptoken=WATV2:1/x^y:1$1"
    assert server.connections == 1


async def test_a_list_asks_only_for_the_pages_that_are_wanted(server: Server, client: BatchClient) -> None:
    async def script(request: Received, connection: Connection) -> None:
        link = f"{server.url}/pools?n={len(server.received)}"
        await connection.answer(200, {"value": [{"id": "a", "state": "active"}], "odata.nextLink": link})

    server.script = script
    listing = client.pools.list()
    assert server.received == []
    async for _ in listing:
        break
    assert len(server.received) == 1


async def test_links_in_a_circle_end(server: Server, client: BatchClient) -> None:
    server.script = ok({"value": [], "odata.nextLink": f"{server.url}/pools?x=1"})
    with pytest.raises(MalformedResponseError, match="form a loop"):
        await client.pools.list().all()


async def test_a_link_to_another_host_gets_no_credentials(server: Server, client: BatchClient) -> None:
    async with scripted_server(ok({"value": []})) as thief:
        server.script = ok({"value": [{"id": "a", "state": "active"}], "odata.nextLink": f"{thief.url}/pools?x=1"})
        with pytest.raises(MalformedResponseError, match="does not lead to"):
            await client.pools.list().all()
        assert thief.received == []


async def test_redirects_get_no_credentials(server: Server, client: BatchClient) -> None:
    async with scripted_server(ok({"id": "p", "state": "active"})) as thief:

        async def script(request: Received, connection: Connection) -> None:
            await connection.answer(307, headers={"Location": thief.url})

        server.script = script
        with pytest.raises(MalformedResponseError):
            await client.pools.get("p")
        assert thief.received == []


async def test_exists_is_true_or_false(server: Server, client: BatchClient) -> None:
    async def script(request: Received, connection: Connection) -> None:
        await connection.answer(200 if "there" in request.target else 404)

    server.script = script
    assert await client.pools.exists("there") is True
    assert await client.job_schedules.exists("gone") is False
    with pytest.raises(NotFoundError):
        await client.pools.get("gone")


async def test_passing_failures_are_retried_with_a_fresh_signature(server: Server, client: BatchClient) -> None:
    busy, failed, many = error(503, "ServerBusy"), error(500, "InternalError"), error(429, "TooManyRequests")
    server.script = in_turn(busy, failed, many, ok({"id": "p", "state": "active"}))
    client.limiter.throttled = lambda retry_after: None  # type: ignore[method-assign]
    assert await client.pools.get("p") == {"id": "p", "state": "active"}
    assert len(server.received) == 4
    assert len({request.headers["client-request-id"] for request in server.received}) == 1
    assert all(request.headers["ocp-date"] for request in server.received)


async def test_a_response_that_cannot_be_read_is_requested_again(server: Server, client: BatchClient) -> None:
    async def damaged(request: Received, connection: Connection) -> None:
        await connection.answer(200, b'{"value": [', {"Content-Type": "application/json"})

    server.script = in_turn(damaged, ok({"value": [{"id": "a", "state": "active"}]}))
    assert await client.pools.list().all() == [{"id": "a", "state": "active"}]
    server.script = in_turn(damaged, ok({"id": "p", "state": "active"}))
    assert await client.pools.get("p") == {"id": "p", "state": "active"}
    server.script = in_turn(damaged, ok({"virtualDirectoryName": "x"}))
    with pytest.raises(MalformedResponseError):
        await client.nodes.upload_logs("p", "n", {"containerUrl": "u"})


async def test_retries_end_with_the_last_error(server: Server, client: BatchClient) -> None:
    server.script = error(500, "InternalError")
    with pytest.raises(ServerError) as caught:
        await client.pools.create({"id": "p"}, client_request_id="mine")
    assert len(server.received) == 4
    assert (caught.value.client_request_id, caught.value.request_id) == ("mine", "rid-1")


async def test_calls_that_are_not_idempotent_are_not_repeated_after_a_500(server: Server, client: BatchClient) -> None:
    server.script = error(500, "InternalError")
    with pytest.raises(ServerError):
        await client.nodes.reboot("p", "n")
    assert len(server.received) == 1


async def test_a_long_retry_after_is_for_the_caller_and_pauses_the_account(server: Server, client: BatchClient) -> None:
    server.script = error(429, "TooManyRequests", **{"Retry-After": "600"})
    with pytest.raises(ThrottledError) as caught:
        await client.pools.get("p")
    assert caught.value.retry_after == 300, "never longer than five minutes"
    assert client.limiter.paused_until is not None
    assert client.limiter.throttled_total == 1


async def test_too_many_autoscale_changes_of_one_pool_do_not_pause_the_account(
    server: Server, client: BatchClient
) -> None:
    server.script = error(503, "TooManyEnableAutoScaleRequests")
    with pytest.raises(BatchError):
        await client.pools.enable_autoscale("p", {"autoScaleFormula": "x"})
    assert client.limiter.throttled_total == 0


async def test_conflicts_are_not_retried(server: Server, client: BatchClient) -> None:
    server.script = error(409, "PoolBeingResized")
    with pytest.raises(ConflictError):
        await client.pools.resize("p", {"targetDedicatedNodes": 3})
    assert len(server.received) == 1


async def test_every_attempt_is_observed(server: Server) -> None:
    async def missing(request: Received, connection: Connection) -> None:
        await connection.answer(404)

    calls: list[Call] = []
    server.script = in_turn(error(500, "InternalError"), ok({"id": "p", "state": "active"}))
    async with BatchClient(server.url, KEY, retry=QUICK, observe=calls.append) as client:
        await client.pools.get("p")
        server.script = missing
        assert await client.pools.exists("p") is False
    assert [(call.operation, call.status, call.code, call.error, call.attempt) for call in calls] == [
        ("Pools_GetPool", 500, "InternalError", "ServerError", 1),
        ("Pools_GetPool", 200, None, None, 2),
        ("Pools_PoolExists", 404, None, None, 1),
    ]
    assert all(call.request_id == "rid-1" and call.seconds >= 0 for call in calls)


async def test_files_are_streamed_described_and_cut(server: Server, client: BatchClient) -> None:
    content = bytes(range(256)) * 1000

    async def script(request: Received, connection: Connection) -> None:
        part = content
        if wanted := request.headers.get("ocp-range"):
            first, last = wanted.removeprefix("bytes=").split("-")
            part = content[int(first) : int(last) + 1]
        headers = {"ocp-batch-file-mode": "0o100644", "Content-Type": "text/plain"}
        if request.method == "HEAD":
            await connection.answer(200, headers={**headers, "Content-Length": str(len(content))})
        else:
            await connection.answer(200, part, headers)

    server.script = script
    async with client.task_files.get("j", "t", "wd/out.bin") as file:
        assert file.properties.mode == "0o100644"
        assert b"".join([chunk async for chunk in file]) == content
    assert await client.task_files.read("j", "t", "x", limit=10) == content[:10]
    assert await client.node_files.read("p", "n", "x", range=(5, 7)) == content[5:8]
    assert await client.task_files.tail("j", "t", "x", limit=100) == content[-100:]
    assert await client.node_files.tail("p", "n", "x", limit=1 << 20) == content
    described = await client.task_files.properties("j", "t", "x")
    assert (described.content_length, described.content_type) == (len(content), "text/plain")


async def test_a_missing_file_is_an_error_before_the_block(server: Server, client: BatchClient) -> None:
    server.script = error(404, "FileNotFound")
    with pytest.raises(NotFoundError, match="FileNotFound"):
        async with client.task_files.get("j", "t", "x"):
            raise AssertionError("must not be entered")


@pytest.mark.parametrize("group", ["task_files", "node_files"])
async def test_the_end_of_a_file_is_missing_only_if_a_get_says_so(
    server: Server, client: BatchClient, group: str
) -> None:
    """The response to a HEAD has no code, and may come from a proxy."""

    def script_get(status: int, body: dict | bytes):
        async def script(request: Received, connection: Connection) -> None:
            if request.method == "HEAD":
                await connection.answer(404)
            else:
                await connection.answer(status, body)

        return script

    tail = getattr(client, group).tail
    server.script = script_get(404, {"code": "FileNotFound", "message": {"value": "no such file"}})
    with pytest.raises(NotFoundError) as missing:
        await tail("one", "two", "x")
    assert missing.value.code == "FileNotFound"
    server.script = script_get(200, b"there")
    with pytest.raises(NotFoundError) as unknown:
        await tail("one", "two", "x")
    assert not unknown.value.code


async def test_errors_of_the_block_pass_through_a_stream(server: Server, client: BatchClient) -> None:
    async def script(request: Received, connection: Connection) -> None:
        await connection.answer(200, b"abc")

    server.script = script
    with pytest.raises(TimeoutError, match="mine"):
        async with client.task_files.get("j", "t", "x", deadline=5.0):
            raise TimeoutError("mine")


async def test_task_results_come_with_their_errors(server: Server, client: BatchClient) -> None:
    server.script = ok({"value": [{"status": "Success", "taskId": "a"}, {"status": "ClientError", "taskId": "b"}]})
    results = await client.tasks.create_collection("j", [{"id": "a"}, {"id": "b"}])
    assert [result.added for result in results] == [True, False]
    assert server.received[0].body == b'{"value":[{"id":"a"},{"id":"b"}]}'


class Token:
    """A credential whose first token is stale."""

    def __init__(self) -> None:
        self.token = "stale"
        self.closed = False

    async def sign(self, request: Request, headers: object) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def refused(self, error: AuthenticationError, signed: object) -> bool:
        assert signed == {"Authorization": f"Bearer {self.token}"}
        self.token = "fresh"
        return True

    def overdue(self) -> None:
        """It is there at once."""

    async def aclose(self) -> None:
        self.closed = True


async def test_a_refused_token_is_renewed_once(server: Server) -> None:
    async def script(request: Received, connection: Connection) -> None:
        if request.headers["authorization"] == "Bearer fresh" and "/pools/" in request.target:
            await connection.answer(200, {"id": "p", "state": "active"})
        else:
            await connection.error(401, "AuthenticationFailed")

    server.script = script
    credential = Token()
    async with BatchClient(server.url, credential, retry=QUICK) as client:
        assert await client.pools.get("p") == {"id": "p", "state": "active"}
        with pytest.raises(AuthenticationError):
            await client.jobs.get("j")
    assert len(server.received) == 4
    assert credential.closed


async def test_a_cancelled_call_frees_its_place_and_closes_its_connection(server: Server, client: BatchClient) -> None:
    hung_up = asyncio.Event()
    came = asyncio.Event()

    async def script(request: Received, connection: Connection) -> None:
        came.set()
        await connection.gone()
        hung_up.set()
        raise ConnectionResetError

    server.script = script
    call = asyncio.create_task(client.pools.get("p"))
    await came.wait()
    assert client.limiter.in_flight == 1
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert client.limiter.in_flight == 0
    await asyncio.wait_for(hung_up.wait(), 10)


async def test_a_closed_client_sends_nothing(server: Server) -> None:
    client = BatchClient(server.url, KEY)
    await client.pools.create({"id": "p"})
    await client.aclose()
    await client.aclose()
    with pytest.raises(UsageError, match="closed"):
        await client.pools.get("p")
    assert len(server.received) == 1


async def test_connections_are_reused(server: Server, client: BatchClient) -> None:
    for _ in range(10):
        await client.pools.create({"id": "p"})
    assert server.connections == 1


@pytest.mark.parametrize("act", ["get", "delete", "replace", "create"])
async def test_each_request_on_a_connection_that_ends_is_an_attempt(server: Server, act: str) -> None:
    """Nothing below the client repeats a request on its own: aiohttp would repeat GET, PUT and DELETE without a word."""

    async def end(request: Received, connection: Connection) -> None:
        raise ConnectionResetError

    lost: list[int] = []
    calls: list[Call] = []
    user = {"name": "eve", "sshPublicKey": "ssh-ed25519 AAAA eve"}
    async with BatchClient(server.url, KEY, limiter=Limiter(math.inf), retry=QUICK, observe=calls.append) as client:
        await client.pools.create({"id": "p"})
        server.script = end
        users, note = client.node_users, lambda: lost.append(len(server.received))
        acts: dict[str, Callable[[], Awaitable[object]]] = {
            "get": lambda: client.pools.get("p", on_unanswered=note),
            "delete": lambda: users.delete("p", "n", "eve", on_unanswered=note),
            "replace": lambda: users.replace("p", "n", "eve", user, on_unanswered=note),
            "create": lambda: users.create("p", "n", user, on_unanswered=note),
        }
        with pytest.raises(BatchError):
            await acts[act]()
    requests = len(server.received) - 1
    assert requests == len(lost) == len(calls) - 1
    assert lost == list(range(2, requests + 2))
