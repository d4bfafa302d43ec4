"""BatchTasks of a job that is detached: nothing is deleted in Azure Batch, so none says that it was."""

from __future__ import annotations

import pytest

from support.stage import Stage, job, task

ORDERS = {"job-first": ("bj", "bt"), "task-first": ("bt", "bj")}


async def a_job_with_a_task(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own"), task("one", "own", "sleep 36000"))
    await stage.until(lambda: stage.phase("bt", "one") == "Running", 900)


def never_said_to_be_gone(stage: Stage) -> None:
    assert "JobGone" not in str([call.body for call in stage.api.log if call.verb == "patch"])
    assert not stage.events("bt", "one", "JobGone")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("between", [0, 1, 40])
@pytest.mark.parametrize("lag", [0, 30])
async def test_no_task_says_that_its_job_was_deleted_when_both_are_detached(
    stage: Stage, order: str, between: float, lag: float
) -> None:
    await a_job_with_a_task(stage)
    stage.azure.service.lag.seconds = lag
    stage.watch.delay(lag, "batchtasks")
    names = {"bj": "own", "bt": "one"}
    for kind in ORDERS[order]:
        stage.annotate(kind, names[kind], reconcile_policy="detach-on-delete")
    for kind in ORDERS[order]:
        stage.delete(kind, names[kind])
        await stage.run_for(between)
    await stage.until(lambda: stage.gone("bj", "own") and stage.gone("bt", "one"), 300)
    never_said_to_be_gone(stage)
    assert stage.azure.ids("/jobs/own/tasks") == ["one"]


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_task_of_a_detached_job_is_followed_though_another_job_object_has_the_name(
    stage: Stage, restarts: bool
) -> None:
    """As if the manifest was applied again: the new BatchJob does not own the job, and the task in it is still the BatchTask's."""
    await a_job_with_a_task(stage)
    stage.annotate("bj", "own", reconcile_policy="detach-on-delete")
    stage.delete("bj", "own")
    await stage.until(lambda: stage.gone("bj", "own"), 60)
    stage.apply(job("own"))
    await stage.until(lambda: stage.reason("bj", "own") == "OwnershipConflict", 120)
    if restarts:
        await stage.restart()
    await stage.run_for(700)
    assert stage.phase("bt", "one") == "Running"
    never_said_to_be_gone(stage)
    stage.azure.post("/jobs/own/tasks/one/terminate", {})
    await stage.until(lambda: stage.phase("bt", "one") == "Failed", 120)
    stage.delete("bt", "one")
    await stage.until(lambda: stage.gone("bt", "one"), 120)
    assert stage.azure.ids("/jobs/own/tasks") == []
