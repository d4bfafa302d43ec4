"""What a status remembers and nobody finds out again outlives a verdict about something else."""

from __future__ import annotations

from support.stage import Stage, job, sleeping


async def test_a_job_that_was_created_suspended_has_its_whole_pending_deadline_when_it_is_resumed(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1, 30), suspend=True, pendingDeadlineSeconds=600))
    await stage.until(lambda: stage.phase("bj", "own") == "Suspended", 60)
    await stage.run_for(3600)
    stage.patch("bj", "own", {"spec": {"suspend": False}})
    await stage.until(lambda: stage.phase("bj", "own") in {"Succeeded", "Failed"}, 900)
    assert stage.phase("bj", "own") == "Succeeded"


async def test_a_resumed_job_that_waits_for_its_pool_fails_at_its_pending_deadline(
    stage: Stage,
) -> None:
    stage.apply(*stage.account_objects(), job("own", tasks=sleeping(1, 30), suspend=True, pendingDeadlineSeconds=600))
    await stage.until(lambda: stage.phase("bj", "own") == "Suspended", 60)
    await stage.run_for(3600)
    stage.patch("bj", "own", {"spec": {"suspend": False}})
    await stage.run_for(540)
    assert stage.reason("bj", "own") == "PoolNotFound"
    await stage.until(lambda: stage.reason("bj", "own") == "PendingDeadlineExceeded", 120)


async def test_a_job_whose_tasks_wait_for_nodes_ends_at_its_pending_deadline_after_a_restart(stage: Stage) -> None:
    """Nothing else happens in the account: only the deadline can wake the job, and what was due in the former process is lost."""
    await stage.ready_pool(targetDedicatedNodes=0)
    stage.apply(job("own", tasks=sleeping(1, 30), pendingDeadlineSeconds=1000))
    await stage.until(lambda: stage.status("bj", "own").get("waitingFor"), 300)
    await stage.restart()
    await stage.until(lambda: stage.reason("bj", "own") == "PendingDeadlineExceeded", 1020)


async def test_a_refused_call_does_not_set_the_pending_deadline_back_to_the_creation(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("first", tasks=sleeping(8, 900)))
    await stage.until(lambda: stage.phase("bj", "first") == "Running", 900)
    stage.apply(job("own", tasks=sleeping(1, 30), pendingDeadlineSeconds=2500))
    await stage.until(lambda: stage.azure.get("/jobs/own") and stage.azure.all("/jobs/own/tasks"), 60)
    stage.patch("bj", "own", {"spec": {"suspend": True}})
    await stage.until(lambda: stage.phase("bj", "own") == "Suspended", 60)
    await stage.run_for(3600)
    stage.apply(job("second", tasks=sleeping(8, 900), priority=100))
    await stage.run_for(30)
    stage.azure.fault("Jobs_EnableJob", status=400, code="InvalidPropertyValue", count=1)
    stage.patch("bj", "own", {"spec": {"suspend": False}})
    await stage.until(lambda: stage.phase("bj", "own") in {"Succeeded", "Failed"}, 9000)
    assert stage.phase("bj", "own") == "Succeeded"


async def test_tasks_that_differ_are_still_said_to_after_a_restart_and_a_refused_call(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(2, 86_400)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 900)
    stage.patch("bj", "own", {"spec": {"tasks": sleeping(2, 90_000)}})
    await stage.until(lambda: stage.condition("bj", "own", "TasksInSync").get("reason") == "TasksDiffer", 120)
    await stage.restart()
    await stage.run_for(60)
    stage.azure.fault("Jobs_UpdateJob", status=400, code="InvalidPropertyValue", count=1)
    stage.azure.patch("/jobs/own", {"priority": 7})
    await stage.until(lambda: stage.reason("bj", "own") == "InvalidPropertyValue", 120)
    await stage.until(lambda: stage.reason("bj", "own") == "Running", 900)
    assert (stage.azure.get("/jobs/own") or {})["priority"] == 0
    assert stage.condition("bj", "own", "TasksInSync").get("reason") == "TasksDiffer"
