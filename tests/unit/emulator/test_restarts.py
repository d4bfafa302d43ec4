"""What an emulator was ordered to do before it stopped, it does after it has gone on with its state file."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_emulator.engine import packages
from azure_batch_emulator.engine.applications import set_application
from azure_batch_emulator.executors.base import RunResult
from azure_batch_emulator.schema.pools import POOL_UPDATE, RESIZE
from support.hand_executor import DONE, Bench
from unit.emulator.restarting import restarted


@pytest.mark.parametrize(("action", "state"), [("terminate", "completed"), ("disable", "disabled"), ("none", "active")])
def test_job_actions_of_exit_conditions_are_executed(action: str, state: str) -> None:
    bench = Bench()
    conditions = {"default": {"jobAction": action}}
    task = bench.task({"onTaskFailure": "performexitoptionsjobaction"}, exitConditions=conditions)
    for run in bench.executor.open:
        run.finish(RunResult(1))
    assert (task.state, task.job.state) == ("completed", "active")
    again = restarted(bench)
    job = again.service.job("job")
    assert job.state == state
    assert job.terminate_reason == ("TaskFailed" if action == "terminate" else None)
    if state == "disabled":
        # It was ordered once.
        again.service.jobs.enable(job)
        again = restarted(again)
        assert again.service.job("job").state == "active"


def test_a_resize_that_was_being_stopped_is_stopped() -> None:
    bench = Bench()
    bench.service.pools.resize(bench.pool, RESIZE.accept("", {"targetDedicatedNodes": 4}))
    bench.service.pools.stop_resize(bench.pool)
    pool = restarted(bench).pool
    assert (pool.allocation_state, len(pool.nodes)) == ("steady", 2)
    assert [error["code"] for error in pool.resize_errors] == ["ResizeStopped"]


@pytest.mark.parametrize("target", [4, 1])
def test_a_resize_continues(target: int) -> None:
    bench = Bench()
    bench.service.pools.resize(bench.pool, RESIZE.accept("", {"targetDedicatedNodes": target}))
    pool = restarted(bench).pool
    assert (pool.allocation_state, len(pool.nodes)) == ("steady", target)


@pytest.mark.parametrize("action", ["reboot", "reimage", "deallocate"])
def test_a_node_that_waited_for_its_tasks_does_what_it_was_to_do(action: str) -> None:
    bench = Bench(targetDedicatedNodes=1)
    bench.task()
    (node,) = bench.pool.nodes.values()
    bench.service.nodes.act(node, action, "taskcompletion")
    booted = node.boot_time
    again = restarted(bench)
    again.clock.advance(600.0)
    (node,) = again.pool.nodes.values()
    if action == "deallocate":
        assert (node.state, again.executor.open) == ("deallocated", [])
    else:
        assert node.boot_time != booted
        # Its task was requeued, and has begun again.
        assert again.end_all(DONE) == ["work"]


def test_a_node_that_waited_for_data_continues_to_wait() -> None:
    bench = Bench(targetDedicatedNodes=1)
    constraints = {"retentionTime": "PT1H"}
    bench.task(constraints=constraints)
    bench.end_all(DONE)
    (node,) = bench.pool.nodes.values()
    bench.service.nodes.act(node, "reboot", "retaineddata")
    booted = node.boot_time
    again = restarted(bench)
    (node,) = again.pool.nodes.values()
    assert (node.boot_time, node.after_drain) == (booted, "reboot")
    again.clock.advance(3600.0)
    assert (node.state, node.after_drain) == ("idle", None)
    assert node.boot_time != booted


@pytest.mark.parametrize(
    ("verb", "args", "state"),
    [("disable", ("requeue",), "disabled"), ("disable", ("wait",), "disabled"), ("terminate", ("r",), "completed")],
)
def test_a_job_reaches_its_target_state(verb: str, args: Any, state: str) -> None:
    bench = Bench()
    task = bench.task()
    getattr(bench.service.jobs, verb)(task.job, *args)
    assert task.job.state != state
    before = task.job.state_time
    job = restarted(bench).service.job("job")
    assert job.state == state
    assert job.state_time > before


def test_resources_that_were_being_deleted_are_gone() -> None:
    bench = Bench()
    task = bench.task()
    bench.service.jobs.delete(task.job)
    bench.service.pools.create("other", bench.pool.spec | {"enableAutoScale": False, "resizeTimeout": "PT15M"})
    bench.service.pools.delete(bench.service.pool("other"))
    again = restarted(bench)
    assert (list(again.service.job_table), list(again.service.pool_table)) == ([], ["pool"])


def test_nodes_have_the_packages_of_their_last_boot() -> None:
    # Documented: nodes that are in the pool already must be rebooted to get the packages of an update.
    bench = Bench(applicationPackageReferences=[])
    set_application(bench.service, "tool", {"versions": ["1"]})
    references = {"applicationPackageReferences": [{"applicationId": "tool", "version": "1"}]}
    bench.service.pools.patch(bench.pool, POOL_UPDATE.accept("", references, partial=True))
    first, second = bench.pool.nodes.values()
    bench.service.nodes.act(first, "reboot", "requeue")
    bench.clock.advance(600.0)
    assert [list(packages.variables(bench.service.applications, node, "")) for node in (first, second)] == [
        ["AZ_BATCH_APP_PACKAGE_tool_1"],
        [],
    ]
    again = restarted(bench)
    found = [list(packages.variables(again.service.applications, node, "")) for node in again.pool.nodes.values()]
    assert found == [["AZ_BATCH_APP_PACKAGE_tool_1"], []]
