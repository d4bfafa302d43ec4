"""When a job that waits for the end of its tasks (`Replace`, `Hold`) is told to end: lists decide, not numbers that lag."""

from __future__ import annotations

from typing import Any

import pytest

from support.stage import Stage, job, sleeping

REPLACE: dict[str, Any] = {"taskUpdatePolicy": "Replace"}
HOLD: dict[str, Any] = {"failurePolicy": {"action": "Hold"}}


def states(stage: Stage) -> list[str]:
    return [task["state"] for task in stage.azure.all("/jobs/own/tasks")] if stage.azure.get("/jobs/own") else []


@pytest.mark.parametrize(
    ("policy", "deleted"),
    [({}, ["t1"]), (REPLACE, ["t1"]), (HOLD, ["t1"]), (REPLACE, ["t0", "t1"]), (HOLD, ["t0", "t1"])],
    ids=["none-one", "Replace-one", "Hold-one", "Replace-all", "Hold-all"],
)
async def test_a_job_whose_tasks_another_client_has_deleted_ends(
    stage: Stage, policy: dict[str, Any], deleted: list[str]
) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(2, 100), **policy))
    await stage.until(lambda: states(stage) == ["running", "running"], 300)
    await stage.run_for(30)
    for id in deleted:
        stage.azure.delete(f"/jobs/own/tasks/{id}")
    await stage.until(lambda: stage.phase("bj", "own") in {"Failed", "Succeeded"}, 1500)
    assert stage.condition("bj", "own")["reason"] == "TasksMissing"


async def test_a_job_whose_tasks_are_replaced_while_counts_lag_stays_open(stage: Stage) -> None:
    """The counts still say that all tasks have ended, which those before them had."""

    def tasks(seconds: int) -> list[dict[str, Any]]:
        return [{"id": "a", "commandLine": "sleep 20"}, {"id": "b", "commandLine": f"sleep {seconds}"}]

    await stage.ready_pool()
    stage.azure.service.lag.seconds = 120
    stage.apply(job("own", tasks=tasks(20), **REPLACE))
    await stage.until(lambda: states(stage) == ["completed", "completed"], 300)
    await stage.run_for(30)
    stage.apply(job("own", tasks=tasks(6000), **REPLACE))
    await stage.until(lambda: "running" in states(stage), 120)
    since, ready = stage.now, stage.writes("bj", "own", "status")
    await stage.always(lambda: stage.azure.get("/jobs/own")["onAllTasksComplete"] == "noaction", 300)
    assert stage.ready("bj", "own")
    assert stage.writes("bj", "own", "status") <= ready + 5, "counts are news, that a list was asked is none"
    # Lists of unfinished tasks, while the counts lag: one for each half minute.
    assert stage.azure.calls("Tasks_ListTasks", since) <= 120 / 30 + 2
    stage.apply(job("own", tasks=tasks(6001), **REPLACE))
    await stage.until(lambda: any("6001" in each["commandLine"] for each in stage.azure.all("/jobs/own/tasks")), 300)


async def test_a_held_job_whose_last_failure_is_not_counted_yet_stays_open(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.service.lag.seconds = 120
    stage.azure.simulate(".*bad.*", exitCode=1, seconds=(20.0, 20.0))
    stage.apply(job("own", tasks=[{"id": "a", "commandLine": "sleep 20"}], **HOLD))
    await stage.until(lambda: states(stage) == ["completed"], 300)
    stage.apply(job("own", tasks=[{"id": "a", "commandLine": "sleep 20"}, {"id": "b", "commandLine": "bad"}], **HOLD))
    await stage.until(lambda: states(stage) == ["completed", "completed"], 120)
    await stage.until(lambda: stage.phase("bj", "own") == "Held", 300)
    assert stage.azure.get("/jobs/own")["onAllTasksComplete"] == "noaction"
    await stage.run_for(300)
    assert stage.phase("bj", "own") == "Held"


async def test_a_job_ends_although_another_change_of_it_is_due(stage: Stage) -> None:
    """The PATCH that ends it waits for a list, and nothing else that the spec asks for waits with it."""
    await stage.ready_pool()
    stage.azure.service.lag.seconds = 120
    stage.apply(job("own", tasks=sleeping(2, 20), **REPLACE))
    await stage.until(lambda: states(stage) == ["completed", "completed"], 300)
    stage.apply(job("own", tasks=sleeping(3, 900), priority=7, **REPLACE))
    await stage.until(lambda: (stage.azure.get("/jobs/own") or {}).get("priority") == 7, 60)
    assert "running" in states(stage)
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 3000)
