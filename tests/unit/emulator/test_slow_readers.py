"""Callers that read slowly cost no more memory than one block of what they read."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator
from typing import Any, cast

from azure_batch_emulator.executors.base import RunResult
from azure_batch_emulator.schema.tasks import TASK
from azure_batch_emulator.schema.versions import DEFAULT
from azure_batch_emulator.web.response_bodies import Blocks
from azure_batch_emulator.web.task_pages import TaskPage
from support.hand_executor import DONE, Bench


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


def test_a_page_shows_one_moment_also_of_tasks_that_have_been_tried_again() -> None:
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
