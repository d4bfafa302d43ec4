"""The budget of docs/architecture.md#budget, by the API server's and the emulator's own counters."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from e2e.conftest import Stage, job, task

TASKS = 500


def phases(stage: Stage) -> list[str]:
    items = json.loads(stage.kubectl("get", "bt", "-o", "json"))["items"]
    return [item["status"].get("phase", "") for item in items]


def test_500_tasks_at_once(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage("--executor=simulated")
    # Long enough to be seen running, so that every status of an ordinary life is written.
    stage.emulator.admin("POST", "simulation", {"rules": [{"seconds": [300, 700]}]})
    stage.ready_pool(targetDedicatedNodes=4, taskSlotsPerNode=16)
    stage.apply(job("many"))
    stage.wait("bj", "many", "Ready")
    before, calls_before = stage.writes("batchtasks"), stage.calls()
    # On a busy machine kubectl takes a while for so many objects; here they are to be there together.
    stage.operator.stop()
    stage.apply(*(task(f"t{number:03}", "many") for number in range(TASKS)))
    stage.restart_operator()
    stage.until(lambda: phases(stage).count("Succeeded") == TASKS, "all tasks have ended", 180)
    written = stage.writes("batchtasks") - before
    added = stage.calls()["Tasks_CreateTaskCollection"] - calls_before.get("Tasks_CreateTaskCollection", 0)
    assert 2 * TASKS < written <= 3 * TASKS
    assert added <= 6
    assert stage.calls().get("Tasks_GetTask", 0) == 0
    assert stage.emulator.admin("GET", "state")["tasks"] == TASKS


@pytest.mark.parametrize("grace", [30.0, 0.0], ids=["stopped", "killed"])
def test_an_idle_fleet_writes_nothing_and_a_restart_neither(make_stage: Callable[..., Stage], grace: float) -> None:
    stage = make_stage("--executor=simulated")
    stage.ready_pool()
    stage.apply(
        job("own", tasks=[{"id": f"t{number}", "commandLine": "true"} for number in range(5)]),
        job("steps"),
        *(task(f"t{number}", "steps") for number in range(20)),
    )
    stage.wait("bj", "own", "Complete")
    stage.until(lambda: phases(stage).count("Succeeded") == 20, "all tasks have ended")
    stage.until(lambda: quiet(stage), "the last status is written")
    before, calls = stage.writes(), changes(stage)
    polls = stage.calls()["Pools_ListPools"]
    stage.until(lambda: stage.calls()["Pools_ListPools"] >= polls + 3, "three polls have passed")
    assert stage.writes() == before
    stage.operator.stop(grace)
    stage.restart_operator()
    polls = stage.calls()["Pools_ListPools"]
    stage.until(lambda: stage.calls()["Pools_ListPools"] >= polls + 3, "three polls have passed")
    assert stage.writes() == before
    assert changes(stage) == calls


def quiet(stage: Stage) -> bool:
    """Whether nothing was written between two looks, a second apart (the API server's counters are exact)."""
    before = stage.writes()
    time.sleep(1)
    return stage.writes() == before


def changes(stage: Stage) -> dict[str, int]:
    """Batch calls that change something."""
    verbs = ("Create", "Update", "Delete", "Resize", "Terminate")
    return {name: number for name, number in stage.calls().items() if name.split("_")[1].startswith(verbs)}
