"""Equal tasks share what is equal, and nobody notices but the memory."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

from azure_batch_emulator.clock import ManualClock
from azure_batch_emulator.engine.entities import Job
from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.engine.shared_bodies import SharedBodies, folded
from azure_batch_emulator.engine.timeline import Timeline
from azure_batch_emulator.executors.simulated import SimulatedExecutor
from azure_batch_emulator.schema.jobs import JOB
from azure_batch_emulator.schema.pools import POOL
from azure_batch_emulator.schema.tasks import TASK

MACHINE = {"imageReference": {"publisher": "p", "offer": "o", "sku": "s"}, "nodeAgentSKUId": "a"}


def account() -> tuple[ManualClock, BatchService, Job]:
    clock = ManualClock()
    service = BatchService("account", clock, SimulatedExecutor(clock, 1), seed=1)
    body = {"id": "pool", "vmSize": "standard_d64s_v3", "virtualMachineConfiguration": MACHINE}
    service.pools.create("pool", POOL.accept("", body | {"targetDedicatedNodes": 4, "taskSlotsPerNode": 256}))
    spec = {"id": "job", "poolInfo": {"poolId": "pool"}, "constraints": {"maxTaskRetryCount": 2}}
    return clock, service, service.jobs.create("job", JOB.accept("", spec))


def body(number: int, **properties: Any) -> dict[str, Any]:
    return {"id": f"Task-{number}", "commandLine": "work".ljust(100, "!")} | properties


def test_a_change_of_one_task_is_no_change_of_its_equals() -> None:
    _, service, job = account()
    first, second = (service.tasks.add(job, TASK.accept("", body(number))) for number in range(2))
    other = service.tasks.add(job, TASK.accept("", body(2, requiredSlots=2)))
    assert first.spec is second.spec is not other.spec
    assert first.command_line is second.command_line
    assert first.spec["constraints"] is other.spec["constraints"]
    assert list(first.body["constraints"])[-1] == "maxTaskRetryCount"
    before = second.body
    service.tasks.replace(first, TASK.accept("", body(0, constraints={"maxTaskRetryCount": 5}))["constraints"])
    assert first.body["constraints"]["maxTaskRetryCount"] == 5
    assert second.body == before
    assert (second.body["id"], second.body["constraints"]["maxTaskRetryCount"]) == ("Task-1", 2)


def test_the_book_stays_small_and_right() -> None:
    shared = SharedBodies()
    bodies = [shared.body({"number": number}) for number in range(5000)]
    assert [item["number"] for item in bodies] == list(range(5000))
    assert shared.body({"number": 4999}) is bodies[-1]
    long = {"text": "x" * 10_000}
    assert shared.body(long) is long
    assert len(shared._bodies) <= 1024


def test_folded_ids() -> None:
    id = "task-1"
    assert folded(id) is id
    assert folded("TASK-1") == id


def test_memory_of_a_completed_task() -> None:
    clock, service, job = account()
    clock.advance(120.0)
    count = 5000
    tracemalloc.start()
    try:
        for number in range(count):
            service.tasks.add(job, TASK.accept("", body(number)))
        clock.run_until(lambda: job.counts.completed == count)
        # The ring of the latest commands has a bound of its own and is no part of a task.
        service.timeline = Timeline()
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / count < 700, "bytes per task"
