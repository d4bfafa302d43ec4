"""Callers that read slowly cost no more memory than one block of what they read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

from azure_batch_emulator.schema.tasks import TASK
from azure_batch_emulator.schema.versions import DEFAULT
from azure_batch_emulator.web.server import _Blocks
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
    sending = asyncio.create_task(_Blocks(blocks()).write(cast("Any", writer)))
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
