"""The directory of a task stays for its retention time, over restarts from a state file too."""

from __future__ import annotations

import json

import pytest

from azure_batch_emulator.clock import ManualClock
from azure_batch_emulator.engine import snapshot
from azure_batch_emulator.engine.entities import Task
from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.executors.base import NodePlace
from azure_batch_emulator.executors.simulated import SimulatedExecutor
from azure_batch_emulator.schema.jobs import JOB
from azure_batch_emulator.schema.pools import POOL
from azure_batch_emulator.schema.tasks import TASK
from azure_batch_emulator.wire.durations import INFINITE
from support.hand_executor import MACHINE

HOUR = 3600.0


class KeepingExecutor(SimulatedExecutor):
    """As if there were directories."""

    keeps_files = True
    removed: list[str]
    pools: list[str]

    def remove_directory(self, place: NodePlace, directory: str) -> None:
        self.removed.append(directory)
        self.pools.append(place.pool_id)


def account() -> tuple[ManualClock, KeepingExecutor, BatchService]:
    clock = ManualClock()
    executor = KeepingExecutor(clock, 1)
    executor.removed, executor.pools = [], []
    return clock, executor, BatchService("account", clock, executor, seed=1)


def restarted(service: BatchService) -> tuple[ManualClock, KeepingExecutor, BatchService]:
    picture = json.loads(json.dumps(snapshot.dump(service)))
    clock, executor, again = account()
    # Whatever time has passed meanwhile.
    clock.advance(1000 * HOUR)
    snapshot.load(again, picture)
    return clock, executor, again


@pytest.mark.parametrize("restarts", [0, 1, 2])
def test_a_directory_goes_when_its_time_is_over(restarts: int) -> None:
    clock, executor, service = account()
    body = {
        "id": "pool",
        "vmSize": "standard_d2s_v3",
        "virtualMachineConfiguration": MACHINE,
        "targetDedicatedNodes": 1,
    }
    service.pools.create("pool", POOL.accept("", body))
    job = service.jobs.create("job", JOB.accept("", {"id": "job", "poolInfo": {"poolId": "pool"}}))
    clock.advance(120.0)
    for name, retention in (("short", "PT10H"), ("long", "P100D"), ("gone", "PT1H")):
        task = {"id": name, "commandLine": "work", "constraints": {"retentionTime": retention}}
        service.tasks.add(job, TASK.accept("", task))
    clock.advance(2 * HOUR)
    assert executor.removed == ["workitems/job/job-1/gone"]
    executor.removed = []
    for _ in range(restarts):
        clock, executor, service = restarted(service)
    clock.advance(7.9 * HOUR)
    assert executor.removed == []
    clock.advance(0.2 * HOUR)
    assert executor.removed == ["workitems/job/job-1/short"]
    assert [task.files_gone for task in service.job("job").tasks.values()] == [True, False, True]


def test_a_task_that_is_deleted_after_a_restart_is_cleaned_up_once() -> None:
    clock, executor, service = account()
    body = {
        "id": "pool",
        "vmSize": "standard_d2s_v3",
        "virtualMachineConfiguration": MACHINE,
        "targetDedicatedNodes": 1,
    }
    service.pools.create("pool", POOL.accept("", body))
    job = service.jobs.create("job", JOB.accept("", {"id": "job", "poolInfo": {"poolId": "pool"}}))
    clock.advance(120.0)
    service.tasks.add(job, TASK.accept("", {"id": "t", "commandLine": "work"}))
    clock.advance(HOUR)
    clock, executor, service = restarted(service)
    task = service.task("job", "t")
    service.tasks.delete(task)
    assert service.files.left(task) is None
    clock.advance(1000 * HOUR)
    assert executor.removed == ["workitems/job/job-1/t"]


def two_pools() -> tuple[ManualClock, KeepingExecutor, BatchService]:
    clock, executor, service = account()
    body = {"vmSize": "standard_d2s_v3", "virtualMachineConfiguration": MACHINE, "targetDedicatedNodes": 1}
    for name in ("pool", "other"):
        service.pools.create(name, POOL.accept("", body | {"id": name}))
    clock.advance(120.0)
    return clock, executor, service


def done(clock: ManualClock, service: BatchService, retention: str, command: str = "work") -> Task:
    """A task "t" of a new job "job", which has ended."""
    job = service.jobs.create("job", JOB.accept("", {"id": "job", "poolInfo": {"poolId": "pool"}}))
    body = {"id": "t", "commandLine": command, "constraints": {"retentionTime": retention, "maxTaskRetryCount": 0}}
    task = service.tasks.add(job, TASK.accept("", body))
    clock.advance(10.0)
    assert task.state == "completed"
    return task


def test_the_retention_of_a_deleted_jobs_task_does_not_take_what_a_new_job_has_there() -> None:
    clock, executor, service = two_pools()
    service.jobs.delete(done(clock, service, "PT2H").job)
    clock.advance(60.0)
    assert executor.removed == ["workitems/job/job-1"]
    done(clock, service, "PT10H")
    clock.advance(3 * HOUR)
    assert executor.removed == ["workitems/job/job-1"]
    clock.advance(8 * HOUR)
    assert executor.removed == ["workitems/job/job-1", "workitems/job/job-1/t"]


@pytest.mark.parametrize(("retention", "after"), [("PT10H", ["workitems/job/job-1/t"]), ("P10675199D", [])])
def test_the_retention_of_an_earlier_end_does_not_take_what_a_reactivated_task_leaves(
    retention: str, after: list[str]
) -> None:
    clock, executor, service = two_pools()
    task = done(clock, service, "PT2H", "exit 1")
    assert task.result == "failure"
    service.tasks.reactivate(task)
    service.tasks.replace(task, {"retentionTime": retention, "maxWallClockTime": INFINITE, "maxTaskRetryCount": 0})
    clock.advance(10.0)
    assert task.state == "completed"
    assert (service.files.left(task) is None) is (not after)
    clock.advance(3 * HOUR)
    assert executor.removed == []
    clock.advance(8 * HOUR)
    assert executor.removed == after


def test_the_files_of_a_job_that_has_moved_go_from_both_of_its_pools() -> None:
    clock, executor, service = two_pools()
    job = done(clock, service, "PT2H").job
    service.jobs.disable(job, "wait")
    clock.advance(10.0)
    service.jobs.update(job, {"poolInfo": {"poolId": "other"}})
    service.jobs.delete(job)
    clock.advance(60.0)
    assert executor.removed == ["workitems/job/job-1"] * 2
    assert sorted(executor.pools) == ["other", "pool"]
    clock.advance(3 * HOUR)
    assert len(executor.removed) == 2
