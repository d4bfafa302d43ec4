"""What is to stand still never starts, and what is to stop stops, whatever cannot be read meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from support.stage import Stage, job, pool, schedule, sleeping, task

MANAGER: dict[str, Any] = {
    "poolRef": {"name": "cpu"},
    "jobManagerTask": {"id": "m", "commandLine": "sleep 5"},
}


def nightly(**spec: Any) -> dict[str, Any]:
    return schedule("nightly", schedule={"recurrenceInterval": "PT1H"}, jobSpecification=MANAGER, **spec)


async def test_a_schedule_that_is_created_suspended_makes_no_job_before_it_is_resumed(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(nightly(suspend=True))
    await stage.until(lambda: stage.phase("bjs", "nightly") == "Suspended")
    await stage.always(lambda: not stage.azure.ids("/jobs"), 3700)
    assert stage.azure.calls("JobSchedules_CreateJobSchedule") == 0
    stage.patch("bjs", "nightly", {"spec": {"suspend": False}})
    await stage.until(lambda: stage.azure.ids("/jobs"), 60)


async def test_a_schedule_that_was_ended_while_it_waited_for_its_pool_is_not_created(stage: Stage) -> None:
    stage.apply(*stage.account_objects(), nightly())
    await stage.until(lambda: stage.reason("bjs", "nightly"))
    stage.annotate("bjs", "nightly", terminate="1")
    await stage.ready_pool()
    await stage.until(lambda: stage.phase("bjs", "nightly") == "Completed")
    await stage.always(lambda: not stage.azure.ids("/jobs"), 600)


async def test_a_job_whose_counts_cannot_be_read_is_suspended_and_ended(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.fault("Jobs_GetJobTaskCounts", status=500)
    stage.apply(job("own", tasks=sleeping(1, 5)))
    await stage.until(lambda: stage.azure.get("/jobs/own"))
    stage.patch("bj", "own", {"spec": {"suspend": True}})
    await stage.until(lambda: (stage.azure.get("/jobs/own") or {})["state"] == "disabled", 120)
    await stage.until(lambda: stage.phase("bj", "own") == "Suspended", 60)
    stage.annotate("bj", "own", terminate="1")
    await stage.until(lambda: (stage.azure.get("/jobs/own") or {})["state"] == "completed", 120)
    await stage.run_for(600)
    assert (stage.azure.calls("Jobs_DisableJob"), stage.azure.calls("Jobs_TerminateJob")) == (1, 1)


@pytest.mark.parametrize("verb", ["suspend", "terminate"])
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_job_whose_spec_cannot_be_used_is_suspended_and_ended(
    stage: Stage, verb: str, *, restarted: bool
) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1, 86_400)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 900)
    stage.server.validates = False
    stage.patch("bj", "own", {"spec": {"priority": "high"}})
    await stage.until(lambda: stage.reason("bj", "own") == "InvalidSpec", 60)
    if restarted:
        await stage.restart()
    if verb == "suspend":
        stage.patch("bj", "own", {"spec": {"suspend": True}})
    else:
        stage.annotate("bj", "own", terminate="1")
    state = "disabled" if verb == "suspend" else "completed"
    await stage.until(lambda: (stage.azure.get("/jobs/own") or {})["state"] == state, 120)
    await stage.run_for(300)
    assert stage.reason("bj", "own") == "InvalidSpec"
    assert stage.azure.calls("Jobs_DisableJob") + stage.azure.calls("Jobs_TerminateJob") == 1
    # A spec that is right again is followed from there on.
    stage.patch("bj", "own", {"spec": {"priority": 7, "suspend": False}})
    phase = "Running" if verb == "suspend" else "Failed"
    await stage.until(lambda: stage.phase("bj", "own") == phase, 600)


@pytest.mark.parametrize("verb", ["suspend", "terminate"])
async def test_a_schedule_whose_spec_cannot_be_used_stops(stage: Stage, verb: str) -> None:
    await stage.ready_pool()
    stage.apply(nightly())
    await stage.until(lambda: stage.azure.get("/jobschedules/nightly"), 60)
    stage.server.validates = False
    stage.patch("bjs", "nightly", {"spec": {"metadata": "wrong"}})
    await stage.until(lambda: stage.reason("bjs", "nightly") == "InvalidSpec", 60)
    if verb == "suspend":
        stage.patch("bjs", "nightly", {"spec": {"suspend": True}})
    else:
        stage.annotate("bjs", "nightly", terminate="1")
    state = "disabled" if verb == "suspend" else "completed"
    await stage.until(lambda: (stage.azure.get("/jobschedules/nightly") or {})["state"] == state, 120)
    await stage.run_for(900)
    stops = stage.azure.calls("JobSchedules_DisableJobSchedule"), stage.azure.calls("JobSchedules_TerminateJobSchedule")
    assert sum(stops) == 1, "what is stopped is not stopped again"


@pytest.mark.parametrize("wrong", [{"tailLines": "many"}, {"jobRef": {"name": 5}}])
async def test_a_task_whose_spec_cannot_be_used_is_ended(stage: Stage, wrong: dict[str, Any]) -> None:
    await stage.ready_pool()
    stage.apply(job("own"), task("a", "own", "sleep 86400"))
    await stage.until(lambda: stage.phase("bt", "a") == "Running", 900)
    stage.server.validates = False
    stage.patch("bt", "a", {"spec": wrong})
    await stage.until(lambda: stage.reason("bt", "a") == "InvalidSpec", 60)
    stage.annotate("bt", "a", terminate="1")
    await stage.until(lambda: (stage.azure.get("/jobs/own/tasks/a") or {})["state"] == "completed", 120)
    stage.delete("bt", "a")
    await stage.until(lambda: stage.gone("bt", "a"), 300)
    assert stage.azure.get("/jobs/own/tasks/a") is None


async def test_a_job_that_is_resumed_or_moved_is_not_said_to_be_disabled_by_others(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1, 3600)), pool("other"))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 300)
    stage.patch("bj", "own", {"spec": {"suspend": True}})
    await stage.until(lambda: stage.phase("bj", "own") == "Suspended", 120)
    stage.patch("bj", "own", {"spec": {"suspend": False}})
    await stage.until(lambda: stage.phase("bj", "own") in {"Running", "Waiting"}, 120)
    stage.patch("bj", "own", {"spec": {"poolRef": {"name": "other"}}})
    await stage.until(lambda: stage.azure.get("/jobs/own")["poolInfo"]["poolId"] == "other", 300)
    await stage.until(lambda: stage.azure.get("/jobs/own")["state"] == "active", 120)
    await stage.run_for(60)
    assert not stage.events("bj", "own", "Disabled")


async def test_a_running_job_with_duplicate_ids_in_its_new_tasks_is_suspended(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(2, seconds=3600)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 300)
    twice = [{"id": "a", "commandLine": "true"}, {"id": "A", "commandLine": "true"}]
    stage.patch("bj", "own", {"spec": {"tasks": twice}})
    await stage.run_for(30)
    stage.patch("bj", "own", {"spec": {"suspend": True}})
    await stage.until(lambda: (stage.azure.get("/jobs/own") or {}).get("state") == "disabled", 120)
