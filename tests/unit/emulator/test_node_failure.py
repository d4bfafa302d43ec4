"""Commands whose node fails under them are run again, and nobody pays for it with a try (docs/azure-batch.md#tasks)."""

from __future__ import annotations

from azure_batch_emulator.schema.jobs import JOB
from azure_batch_emulator.schema.tasks import TASK
from support.hand_executor import DONE, LOST, Bench


def test_a_lost_task_is_requeued_without_using_up_a_try() -> None:
    bench = Bench()
    task = bench.task()
    assert bench.end_all(LOST) == ["work"]
    assert (task.state, task.retry_count, task.requeue_count) == ("running", 0, 0)
    bench.end_all(DONE)
    assert (task.state, task.result, task.retry_count) == ("completed", "success", 0)
    assert not any(node.busy for node in bench.pool.nodes.values())


def test_a_lost_multi_instance_task_begins_with_its_coordination() -> None:
    bench = Bench()
    settings = {"numberOfInstances": 2, "coordinationCommandLine": "meet"}
    task = bench.task(multiInstanceSettings=settings)
    assert bench.end_all(LOST) == ["meet", "meet"]
    assert bench.end_all(DONE) == ["meet", "meet"]
    assert bench.end_all(LOST) == ["work"]
    assert bench.end_all(DONE) == ["meet", "meet"]
    assert bench.end_all(DONE) == ["work"]
    assert (task.result, task.retry_count, task.requeue_count) == ("success", 0, 0)
    assert not any(node.busy for node in bench.pool.nodes.values())


def test_a_lost_start_task_starts_again() -> None:
    start = {"commandLine": "prepare", "maxTaskRetryCount": 0, "waitForSuccess": True}
    bench = Bench(startTask=start)
    assert bench.end_all(LOST) == ["prepare", "prepare"]
    assert {node.state for node in bench.pool.nodes.values()} == {"waitingforstarttask"}
    assert bench.end_all(DONE) == ["prepare", "prepare"]
    assert {node.state for node in bench.pool.nodes.values()} == {"idle"}


def test_a_lost_preparation_task_starts_again() -> None:
    bench = Bench()
    preparation = {"commandLine": "fetch", "constraints": {"maxTaskRetryCount": 0}}
    task = bench.task({"jobPreparationTask": preparation})
    assert bench.end_all(LOST) == ["fetch"]
    assert bench.end_all(DONE) == ["fetch"]
    assert bench.end_all(DONE) == ["work"]
    assert task.result == "success"


def test_a_node_tells_tasks_of_two_jobs_apart_that_have_the_same_id() -> None:
    bench = Bench(targetDedicatedNodes=1, taskSlotsPerNode=2)
    first = bench.task()
    body = JOB.accept("", {"id": "other", "poolInfo": {"poolId": "pool"}})
    bench.service.tasks.add(
        bench.service.jobs.create("other", body), TASK.accept("", {"id": "t", "commandLine": "work"})
    )
    bench.clock.advance(1.0)
    bench.executor.open[0].finish(DONE)
    bench.clock.advance(1.0)
    assert first.state == "completed"
    (node,) = bench.pool.nodes.values()
    assert {(entry["job"], entry["state"]) for entry in node.recent_tasks} == {
        ("job", "completed"),
        ("other", "running"),
    }
