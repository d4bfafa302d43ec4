"""What concerns a thousand objects is told of a few, and then in one line: neither log nor Events grow with their number."""

from __future__ import annotations

import logging

import pytest

from support.stage import Stage, job, pool, task

_MANY = 60


def lines(caplog: pytest.LogCaptureFixture, *parts: str) -> list[str]:
    """Lines at INFO or above that have all of these parts."""
    found = [each.getMessage() for each in caplog.records if each.levelno >= logging.INFO]
    return [each for each in found if all(part in each for part in parts)]


async def test_tasks_that_fail_alike_are_a_few_lines_and_a_number(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "azure_batch_operator")
    await stage.ready_pool(taskSlotsPerNode=16)
    names = [f"t{number}" for number in range(_MANY)]
    stage.apply(job("own", onAllTasksComplete="noaction"), *(task(name, "own", "exit 3") for name in names))
    stage.apply(job("two", onAllTasksComplete="noaction"), task("other", "two", "exit 3"))
    await stage.until(lambda: all(stage.phase("bt", name) == "Failed" for name in [*names, "other"]), 900)
    assert len(lines(caplog, "BatchTask default/t", "is Failed")) == 10
    assert len(lines(caplog, "BatchTask default/other", "is Failed")) == 1, "each job counts for itself"
    await stage.run_for(601)
    [told] = lines(caplog, "more like this", "BatchTasks of job default/own")
    assert told.startswith("50 more like this within 600 s")
    assert not lines(caplog, "more like this", "BatchTasks of job default/two")


async def test_an_api_server_that_is_down_is_a_few_lines(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "azure_batch_operator")
    await stage.ready_pool()
    names = [f"p{number}" for number in range(_MANY)]
    fault = stage.fail("patch", "batchpools", status=503)
    statuses = stage.fail("patch", "batchpools/status", status=503)
    stage.apply(*(pool(name, targetDedicatedNodes=0) for name in names))
    await stage.run_for(30)
    fault.end()
    statuses.end()
    waits = lines(caplog, "BatchPool default/p", "waits")
    assert 0 < len(waits) <= 10
    await stage.until(lambda: all(stage.ready("bp", name) for name in names), 900)


async def test_a_refused_call_of_many_is_a_few_lines(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "azure_batch_operator")
    await stage.ready_pool(taskSlotsPerNode=16)
    names = [f"t{number}" for number in range(_MANY)]
    stage.apply(job("own", onAllTasksComplete="noaction"), *(task(name, "own", "sleep 36000") for name in names))
    await stage.until(lambda: stage.azure.get("/jobs/own") and len(stage.azure.all("/jobs/own/tasks")) == _MANY, 300)
    stage.azure.fault("Tasks_DeleteTask", status=403, code="InsufficientAccountPermissions")
    for name in names:
        stage.delete("bt", name)
    await stage.run_for(120)
    refused = lines(caplog, "delete_task is retried")
    assert 0 < len(refused) <= 10
