"""`add_tasks`: packing, halving, repeating, comparing, and an end without remains."""

import asyncio
import itertools
import json
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import pytest

from azure_batch_operator.batch import (
    AlreadyExistsError,
    BatchClient,
    CompletedError,
    Limiter,
    RetryPolicy,
    ServerError,
    SharedKey,
    TaskAddResult,
    TooLargeError,
    UsageError,
)
from azure_batch_operator.batch.models import TaskCreate
from support.scripted_server import Connection, Received, Server, scripted_server

QUICK = RetryPolicy(attempts=3, base=0.001, cap=0.01, deadline=20.0)


class Service:
    """Takes tasks as the service does; what is special about some of them is up to the test."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.tasks: Counter[str] = Counter()
        self.max_bytes = 1 << 20
        self.under_way = 0
        self.most_under_way = 0
        self.crowded = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.item: Callable[[str, int], dict | None] = lambda id, times: {"status": "Success", "taskId": id}

    async def __call__(self, request: Received, connection: Connection) -> None:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        if self.under_way == 3:
            self.crowded.set()
        await self.gate.wait()
        try:
            if len(request.body) > self.max_bytes:
                await connection.error(413, "RequestBodyTooLarge", values={"MaxLimit": str(self.max_bytes)})
                return
            ids = [task["id"] for task in json.loads(request.body)["value"]]
            assert len(ids) <= 100
            self.calls.append(ids)
            self.tasks.update(ids)
            results = [self.item(id, self.tasks[id]) for id in reversed(ids)]
            await connection.answer(200, {"value": [result for result in results if result]})
        finally:
            self.under_way -= 1


def failed(status: str, code: str) -> Callable[[str], dict]:
    def item(id: str) -> dict:
        error = {"code": code, "message": {"lang": "en-US", "value": "No.\nRequestId:x\nTime:y"}}
        return {"status": status, "taskId": id, "error": error}

    return item


exists = failed("ClientError", "TaskExists")
wrong = failed("ClientError", "InvalidPropertyValue")
broken = failed("ServerError", "InternalError")


@pytest.fixture
async def service() -> Service:
    return Service()


@pytest.fixture
async def server(service: Service) -> AsyncIterator[Server]:
    async with scripted_server(service) as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[BatchClient]:
    key = SharedKey("acc", "a2V5")
    async with BatchClient(server.url, key, limiter=Limiter(math.inf), retry=QUICK) as running:
        yield running


def tasks(count: int, size: int = 0):
    return ({"id": f"t{number}", "commandLine": "x" * size} for number in range(count))


async def collect(results: AsyncIterator[TaskAddResult]) -> dict[str, TaskAddResult]:
    got = [result async for result in results]
    by_id = {result.task_id: result for result in got}
    assert len(by_id) == len(got)
    return by_id


async def test_a_hundred_go_in_each_call_and_each_task_has_one_result(service: Service, client: BatchClient) -> None:
    results = await collect(client.add_tasks("j", tasks(250)))
    assert sorted(map(len, service.calls)) == [50, 100, 100]
    assert len(results) == 250
    assert all(result.added and not result.existed for result in results.values())


async def test_nothing_is_sent_for_nothing(service: Service, client: BatchClient) -> None:
    assert await collect(client.add_tasks("j", [])) == {}
    assert service.calls == []


async def test_models_and_asynchronous_iterables_are_taken_too(service: Service, client: BatchClient) -> None:
    async def source() -> AsyncIterator[TaskCreate]:
        for number in range(3):
            await asyncio.sleep(0)
            yield TaskCreate(id=f"t{number}", command_line="x")

    assert set(await collect(client.add_tasks("j", source()))) == {"t0", "t1", "t2"}


async def test_bodies_stay_under_a_mebibyte(service: Service, client: BatchClient, server: Server) -> None:
    results = await collect(client.add_tasks("j", tasks(40, size=100_000)))
    assert all(result.added for result in results.values())
    assert max(len(request.body) for request in server.received) <= 1 << 20
    assert len(service.calls) == 4


async def test_a_body_of_exactly_the_limit_goes_out(service: Service, client: BatchClient, server: Server) -> None:
    room = (1 << 20) - len('{"value":[{"id":"t0","commandLine":""}]}')
    assert (await collect(client.add_tasks("j", tasks(1, size=room))))["t0"].added
    assert len(server.received[0].body) == 1 << 20
    (result,) = (await collect(client.add_tasks("j", tasks(1, size=room + 1)))).values()
    assert isinstance(result.error, TooLargeError)
    assert len(server.received) == 1


async def test_a_collection_that_the_service_finds_too_large_is_halved(service: Service, client: BatchClient) -> None:
    service.max_bytes = 3000
    source = itertools.chain(tasks(100, size=50), [{"id": "big", "commandLine": "x" * 5000}], tasks(0))
    results = await collect(client.add_tasks("j", source, concurrency=1))
    assert isinstance(results.pop("big").error, TooLargeError)
    assert all(result.added for result in results.values())
    assert len(results) == 100
    assert max(map(len, service.calls)) == 25


async def test_later_collections_are_made_smaller(service: Service, client: BatchClient, server: Server) -> None:
    service.max_bytes = 4000
    await collect(client.add_tasks("j", tasks(1000, size=50), concurrency=1))
    # The first hundred are too large, and so are both its halves; nothing after them is.
    assert len(server.received) - len(service.calls) == 3


async def test_server_errors_are_sent_again_and_only_they(service: Service, client: BatchClient) -> None:
    service.item = lambda id, times: broken(id) if id == "t3" and times < 3 else {"status": "Success", "taskId": id}
    results = await collect(client.add_tasks("j", tasks(5)))
    assert all(result.added for result in results.values())
    assert [len(call) for call in service.calls] == [5, 1, 1]


async def test_a_task_that_the_service_never_takes_fails_in_the_end(service: Service, client: BatchClient) -> None:
    service.item = lambda id, times: broken(id) if id == "t3" else {"status": "Success", "taskId": id}
    results = await collect(client.add_tasks("j", tasks(5)))
    assert isinstance(results["t3"].error, ServerError)
    assert results["t3"].error.code == "InternalError"
    assert service.tasks["t3"] == 3


async def test_a_task_without_a_result_is_sent_again(service: Service, client: BatchClient) -> None:
    service.item = lambda id, times: None if id == "t3" and times < 2 else {"status": "Success", "taskId": id}
    assert (await collect(client.add_tasks("j", tasks(5))))["t3"].added
    service.item = lambda id, times: None
    (result,) = (await collect(client.add_tasks("j", [{"id": "lost"}]))).values()
    assert isinstance(result.error, ServerError)


async def test_a_wrong_task_fails_alone(service: Service, client: BatchClient) -> None:
    service.item = lambda id, times: wrong(id) if id == "t3" else {"status": "Success", "taskId": id}
    results = await collect(client.add_tasks("j", tasks(5)))
    assert [id for id, result in results.items() if result.error] == ["t3"]
    assert results["t3"].error is not None
    assert results["t3"].error.code == "InvalidPropertyValue"


async def test_existing_tasks_are_reported_unless_they_are_the_same(service: Service, client: BatchClient) -> None:
    service.item = lambda id, times: exists(id)
    asked = []

    async def compare(task) -> bool:
        asked.append(task)
        return task["id"] == "t0"

    results = await collect(client.add_tasks("j", tasks(2), compare=compare))
    assert (results["t0"].added, results["t0"].existed) == (True, True)
    assert isinstance(results["t1"].error, AlreadyExistsError)
    assert asked == [{"id": "t1", "commandLine": ""}, {"id": "t0", "commandLine": ""}]
    assert isinstance((await collect(client.add_tasks("j", tasks(1))))["t0"].error, AlreadyExistsError)


async def test_an_id_given_twice_has_two_results(service: Service, client: BatchClient) -> None:
    service.item = lambda id, times: exists(id) if times > 2 else {"status": "Success", "taskId": id}
    got = [result async for result in client.add_tasks("j", [{"id": "a"}, {"id": "a"}])]
    assert [result.task_id for result in got] == ["a", "a"]


async def test_one_object_for_all_tasks_is_refused(client: BatchClient, server: Server) -> None:
    def source():
        task = {}
        for number in range(3):
            task["id"] = f"t{number}"
            yield task

    with pytest.raises(UsageError, match="object was passed twice"):
        await collect(client.add_tasks("j", source()))
    assert server.received == []


async def test_calls_go_out_together_and_no_more_than_allowed(service: Service, client: BatchClient) -> None:
    service.gate.clear()
    submission = asyncio.create_task(collect(client.add_tasks("j", tasks(2000), concurrency=3)))
    async with asyncio.timeout(20):
        await service.crowded.wait()
    service.gate.set()
    assert len(await submission) == 2000
    assert service.most_under_way == 3


async def test_tasks_are_taken_only_as_they_are_needed(client: BatchClient) -> None:
    taken = itertools.count()
    last = 0

    def endless():
        nonlocal last
        for number in taken:
            last = number
            yield {"id": f"t{number}"}

    async with aclosing(client.add_tasks("j", endless(), concurrency=2)) as results:
        seen = 0
        async for _ in results:
            seen += 1
            assert last - seen < 500
            if seen == 1000:
                break


async def test_a_failed_call_ends_the_submission_and_leaves_nothing_behind(server: Server, client: BatchClient) -> None:
    started = asyncio.Event()

    async def script(request: Received, connection: Connection) -> None:
        if b'"t250"' in request.body:
            await started.wait()
            await connection.error(409, "JobCompleted")
        else:
            started.set()
            await connection.gone()

    server.script = script
    before = asyncio.all_tasks()
    with pytest.raises(CompletedError):
        await collect(client.add_tasks("j", tasks(300)))
    assert client.limiter.in_flight == 0
    assert {task for task in asyncio.all_tasks() - before if "_submit" in repr(task.get_coro())} == set()


@pytest.mark.parametrize("task", [{}, {"id": ""}, {"id": 7}, {"id": []}, {"id": "t", "x": object()}])
async def test_a_task_that_cannot_be_sent_is_refused(client: BatchClient, server: Server, task: dict) -> None:
    with pytest.raises(UsageError):
        await collect(client.add_tasks("j", [task]))
    assert server.received == []


async def test_an_error_of_the_source_passes_through(client: BatchClient) -> None:
    def source():
        yield {"id": "a"}
        raise RuntimeError("no more tasks")

    with pytest.raises(RuntimeError, match="no more tasks"):
        await collect(client.add_tasks("j", source()))


async def test_no_calls_at_a_time_is_refused(client: BatchClient) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        client.add_tasks("j", [], concurrency=0)
