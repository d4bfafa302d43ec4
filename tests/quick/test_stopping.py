"""What is to stand still never starts, and what is to stop stops, whatever cannot be read meanwhile."""

from __future__ import annotations

from typing import Any

from support.stage import Stage, job, schedule, sleeping

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
