"""What the runner of operations knows belongs to one incarnation of an object, and it hurries polls only after calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import NotFoundError, Receipt
from azure_batch_operator.reconcile.adoption import NO_OTHERS
from azure_batch_operator.reconcile.operation_order import NOTHING, Operate, Place, Reach, Request
from azure_batch_operator.sync.landing import LANDING_SECONDS
from azure_batch_operator.sync.operations import Operations
from support.jumping_loop import run_jumping

KEY = Key(Kind.OPERATION, "default", "op")


class Client:
    """A Batch account with one pool, or none."""

    pools = property(lambda self: self)

    def __init__(self) -> None:
        self.exists = True
        self.stopped = 0
        self.reads = 0
        self.fault: Exception | None = None
        self.answers = asyncio.Event()
        self.answers.set()

    async def get(self, id: str, **_: Any) -> dict[str, Any]:
        self.reads += 1
        await self.answers.wait()
        if not self.exists:
            raise NotFoundError("no such pool", status=404, code="PoolNotFound")
        return {"id": id, "creationTime": "2026-01-01T00:00:00Z", "allocationState": "resizing", "eTag": "0x1"}

    async def stop_resize(self, id: str, **_: Any) -> Receipt:
        self.stopped += 1
        if self.fault is not None:
            raise self.fault
        return Receipt("0x1", None, "request-1", None)


@asynccontextmanager
async def operating(client: Client) -> AsyncIterator[tuple[Operations, list[Key], list[Key]]]:
    acted, waited = list[Key](), list[Key]()

    def told(keys: Sequence[Key], into: list[Key]) -> None:
        into.extend(keys)

    operations = Operations(client, None, lambda keys: told(keys, acted), lambda keys: told(keys, waited))  # type: ignore[arg-type]
    running = asyncio.create_task(operations.run())
    await asyncio.sleep(0)
    try:
        yield operations, acted, waited
    finally:
        running.cancel()
        await asyncio.wait([running])


def request() -> Request:
    return Request("stopResize", {}, Place(pool="p"), Reach(None, "default", "cluster-1", NO_OTHERS), 10)


async def until_told(*lists: list[Key]) -> None:
    async with asyncio.timeout(30):
        while not any(lists):
            await asyncio.sleep(0)


async def test_the_state_of_an_operation_is_not_that_of_its_namesake() -> None:
    async with operating(Client()) as (operations, acted, waited):
        operations.obey(KEY, "one", Operate(request(), choose=True))
        await until_told(acted, waited)
        assert operations.progress(KEY, "one").chosen is not None
        assert operations.progress(KEY, "two") == NOTHING


async def test_a_namesake_begins_while_the_former_one_is_in_progress() -> None:
    client = Client()
    async with operating(client) as (operations, acted, waited):
        client.answers.clear()
        operations.obey(KEY, "one", Operate(request(), attempt={"p": ""}))
        await asyncio.sleep(0)
        assert operations.progress(KEY, "one").busy
        operations.obey(KEY, "two", Operate(request(), choose=True))
        assert operations.progress(KEY, "two").busy
        assert operations.progress(KEY, "one") == NOTHING
        client.answers.set()
        await until_told(acted, waited)
        assert operations.progress(KEY, "two").chosen is not None
        assert client.stopped == 0, "the former one was cancelled before its call"


async def test_only_calls_are_worth_a_poll() -> None:
    client = Client()
    client.exists = False
    async with operating(client) as (operations, acted, waited):
        operations.obey(KEY, "one", Operate(request(), choose=True))
        await until_told(acted, waited)
        assert (acted, waited) == ([], [KEY])
        client.exists = True
        operations.hurry(KEY)
        operations.obey(KEY, "one", Operate(request(), attempt={"p": ""}))
        await until_told(acted)
        assert (acted, client.stopped) == ([KEY], 1)
        assert operations.progress(KEY, "one").results["p"].outcome == "Succeeded"


async def test_nothing_is_kept_of_an_operation_that_is_gone() -> None:
    async with operating(Client()) as (operations, acted, waited):
        operations.obey(KEY, "one", Operate(request(), choose=True))
        await until_told(acted, waited)
        operations.forget(KEY)
        assert operations.progress(KEY, "one") == NOTHING
        assert not operations._runs


def test_a_fault_of_the_operator_after_a_call_does_not_repeat_it() -> None:
    """Nobody knows how far the call got: the pool is read, and the call repeated only when the first one cannot take effect."""

    async def run() -> None:
        client = Client()
        client.fault = RuntimeError("a fault of the operator")
        async with operating(client) as (operations, _, _):
            operations.obey(KEY, "one", Operate(request(), attempt={"p": "resizing "}))
            await asyncio.sleep(LANDING_SECONDS - 1)
            assert (client.stopped, operations.progress(KEY, "one").busy) == (1, True)
            assert client.reads > 2
            assert operations._runs[KEY].untried == frozenset()
            client.fault = None
            await asyncio.sleep(2 * LANDING_SECONDS)
            assert client.stopped == 2
            assert operations.progress(KEY, "one").results["p"].outcome == "Succeeded"

    run_jumping(run())
