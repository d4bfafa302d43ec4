"""How many passes a BatchTask costs: one that submits it, and one for each change of its status. Time is virtual here."""

from __future__ import annotations

import pytest

from azure_batch_operator.sync.controller import RECONCILES
from support.stage import Options, Stage, job, task

BORN = pytest.mark.parametrize(
    "stage", [Options(), Options(finalizer_at_creation=True)], indirect=True, ids=["by patch", "at creation"]
)
NUMBER = 40


def passes() -> float:
    """Passes over BatchTasks so far, whatever came of them."""
    counted = (sample for metric in RECONCILES.collect() for sample in metric.samples)
    return sum(each.value for each in counted if each.name.endswith("_total") and each.labels["kind"] == "BatchTask")


async def open_job(stage: Stage) -> None:
    """A job with a task that goes on, so that the tasks of the job are known."""
    await stage.ready_pool(targetDedicatedNodes=8, taskSlotsPerNode=16)
    stage.apply(job("steps"), task("first", "steps", "sleep 900000"))
    await stage.until(lambda: stage.phase("bt", "first") == "Running", 600)
    await stage.run_for(60)


def ended(stage: Stage, names: list[str]) -> bool:
    return all(stage.phase("bt", name) == "Succeeded" for name in names)


@BORN
async def test_a_task_that_ends_before_a_poll_sees_it_run_has_two_passes(stage: Stage) -> None:
    await open_job(stage)
    names = [f"t{number:02}" for number in range(NUMBER)]
    before, writes = passes(), stage.writes("bt", subresource="status")
    stage.apply(*(task(name, "steps", "true") for name in names))
    await stage.until(lambda: ended(stage, names), 300)
    await stage.run_for(120)
    statuses = stage.writes("bt", subresource="status") - writes
    assert passes() - before <= NUMBER + statuses
    assert statuses == NUMBER


WATCH_FIRST = Options(api_latency=(0.2, 0.3), watch_latency=(0.001, 0.002))


@pytest.mark.parametrize("stage", [WATCH_FIRST], indirect=True)
async def test_a_status_wakes_those_whom_it_concerns_although_its_event_comes_before_the_response(stage: Stage) -> None:
    await open_job(stage)
    stage.apply(job("graph", usesTaskDependencies=True, onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.ready("bj", "graph"), 300)
    stage.apply(task("a", "graph", "exit 3"), task("b", "graph", "true", dependsOnRefs=[{"name": "a"}]))
    await stage.until(lambda: stage.phase("bt", "a") == "Failed", 300)
    await stage.until(lambda: stage.reason("bt", "b") == "DependencyFailed", 120)
