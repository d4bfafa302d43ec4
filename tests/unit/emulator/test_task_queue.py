"""Tasks that wait for a node: in their order, among those that fit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from azure_batch_emulator.clock import ManualClock
from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.engine.task_queue import TaskQueue
from azure_batch_emulator.executors.simulated import SimulatedExecutor
from azure_batch_emulator.schema.jobs import JOB
from azure_batch_emulator.schema.pools import POOL
from azure_batch_emulator.schema.tasks import TASK


def waiting(slots: int) -> Any:
    return SimpleNamespace(spec={"requiredSlots": slots}, place=0)


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans())), st.lists(st.integers(0, 4)))
def test_the_first_that_fits_is_taken_and_what_is_given_back_keeps_its_place(
    entries: list[tuple[int, bool]], offers: list[int]
) -> None:
    queue, expected = TaskQueue(), []
    for slots, first in entries:
        task = waiting(slots)
        if first:
            queue.append_first(task)
            expected.insert(0, task)
        else:
            queue.append(task)
            expected.append(task)
    assert list(queue) == expected
    taken = []
    left = list(expected)
    for offer in offers:
        fits = next((task for task in left if task.spec["requiredSlots"] <= offer), None)
        assert queue.take(offer) is fits
        if fits is not None:
            taken.append(fits)
            left = [task for task in left if task is not fits]
    assert list(queue) == left
    assert (len(queue), bool(queue)) == (len(left), bool(left))
    back = [task for task in expected if any(task is each for each in taken)]
    if back == taken:
        queue.give_back(taken)
        assert list(queue) == expected


def test_several_that_are_given_back_keep_their_order() -> None:
    queue: TaskQueue[Any] = TaskQueue()
    tasks = [waiting(1) for _ in range(3)]
    for task in tasks:
        queue.append(task)
    queue.give_back([queue.take(1), queue.take(1)])
    assert list(queue) == tasks


def test_many_tasks_that_fit_nowhere_do_not_hold_up_one_that_does() -> None:
    clock = ManualClock()
    service = BatchService("account", clock, SimulatedExecutor(clock, 1), seed=1)
    machine = {
        "imageReference": {"publisher": "a", "offer": "b", "sku": "c"},
        "nodeAgentSKUId": "batch.node.ubuntu 22.04",
    }
    pool = {
        "id": "pool",
        "vmSize": "Standard_D2s_v3",
        "virtualMachineConfiguration": machine,
        "targetDedicatedNodes": 1,
    }
    service.pools.create("pool", POOL.accept("", pool))
    service.jobs.create("job", JOB.accept("", {"id": "job", "poolInfo": {"poolId": "pool"}}))
    job = service.job("job")
    for number in range(60):
        body = {"id": f"large-{number}", "commandLine": "true", "requiredSlots": 2}
        service.tasks.add(job, TASK.accept("", body))
    small = service.tasks.add(job, TASK.accept("", {"id": "small", "commandLine": "true"}))
    clock.advance(3600.0)
    assert small.state == "completed"
    assert job.counts.active == 60
