"""A verb of a user is carried out in the end, whatever was refused before it or beside it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from support.stage import Stage, job, pool, schedule, sleeping, task

DAY = 86_400
RIGHT = {"status": 403, "code": "InsufficientAccountPermissions"}
BROKEN = {"status": 500, "code": "InternalError"}
CHANGED = {"status": 412, "code": "ConditionNotMet", "count": 1}
WRONG = {"status": 400, "code": "InvalidPropertyValue"}


@pytest.mark.parametrize("effect", [BROKEN, RIGHT], ids=["500", "403"])
async def test_a_refused_end_of_a_job_is_not_noted_as_done(stage: Stage, effect: dict[str, Any]) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1, DAY)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 900)
    stage.azure.fault("Jobs_TerminateJob", **effect)
    stage.annotate("bj", "own", terminate="1")
    await stage.run_for(60)
    assert "terminate" not in stage.status("bj", "own").get("handled", {})
    stage.azure.heal()
    await stage.until(lambda: (stage.azure.get("/jobs/own") or {})["state"] == "completed", 600)
    await stage.until(lambda: stage.status("bj", "own").get("handled", {}).get("terminate") == "1", 60)


@pytest.mark.parametrize("effect", [BROKEN, CHANGED], ids=["500", "412"])
async def test_a_refused_end_of_a_task_is_not_noted_as_done(stage: Stage, effect: dict[str, Any]) -> None:
    await stage.ready_pool()
    stage.apply(job("own"), task("a", "own", f"sleep {DAY}"))
    await stage.until(lambda: stage.phase("bt", "a") == "Running", 900)
    stage.azure.fault("Tasks_TerminateTask", **effect)
    stage.annotate("bt", "a", terminate="1")
    await stage.run_for(60)
    stage.azure.heal()
    await stage.until(lambda: stage.phase("bt", "a") == "Failed", 600)


async def test_nodes_go_although_a_change_of_the_pool_is_refused(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.fault("Pools_(Patch|Update)Pool", **WRONG)
    stage.patch("bp", "cpu", {"spec": {"startTask": {"commandLine": "x", "waitForSuccess": True}}})
    await stage.until(lambda: stage.reason("bp", "cpu") == "InvalidPropertyValue", 60)
    stage.patch("bp", "cpu", {"spec": {"targetDedicatedNodes": 0}})
    await stage.until(lambda: (stage.azure.get("/pools/cpu") or {})["currentDedicatedNodes"] == 0, 3600)


@pytest.mark.parametrize("verb", ["suspend", "terminate"])
async def test_a_schedule_stops_although_a_change_of_it_is_refused(stage: Stage, verb: str) -> None:
    await stage.ready_pool()
    specification = {"poolRef": {"name": "cpu"}, "jobManagerTask": {"id": "m", "commandLine": "true"}}
    every = {"recurrenceInterval": "PT1H"}
    stage.apply(schedule("s", accountRef={"name": "main"}, schedule=every, jobSpecification=specification))
    await stage.until(lambda: stage.azure.get("/jobschedules/s"))
    stage.azure.fault("JobSchedules_(Patch|Update).*", **WRONG)
    stage.patch("bjs", "s", {"spec": {"schedule": {"recurrenceInterval": "PT2H"}}})
    await stage.until(lambda: stage.reason("bjs", "s") == "InvalidPropertyValue", 60)
    if verb == "suspend":
        stage.patch("bjs", "s", {"spec": {"suspend": True}})
    else:
        stage.annotate("bjs", "s", terminate="1")
    await stage.until(lambda: (stage.azure.get("/jobschedules/s") or {})["state"] in {"disabled", "completed"}, 300)


async def test_a_corrected_task_is_sent_at_once(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own"))
    await stage.until(lambda: stage.azure.get("/jobs/own"))
    stage.azure.fault("Tasks_(Create|Add)TaskCollection", **WRONG)
    stage.apply(task("a", "own", constraints={"maxTaskRetryCount": 3}))
    await stage.until(lambda: stage.reason("bt", "a") == "InvalidPropertyValue", 60)
    await stage.run_for(90)
    stage.azure.heal()
    stage.patch("bt", "a", {"spec": {"constraints": {"maxTaskRetryCount": 1}}})
    await stage.until(lambda: stage.azure.all("/jobs/own/tasks"), 60)


async def test_tasks_that_a_dead_process_has_sent_go_with_their_objects(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own"))
    await stage.until(lambda: stage.azure.get("/jobs/own"))
    hold = stage.azure.hold("Tasks_CreateTaskCollection")
    stage.apply(*(task(f"t{number}", "own", f"sleep {DAY}") for number in range(5)))
    await stage.until(lambda: hold.arrived)
    await stage.kill()
    for number in range(5):
        stage.delete("bt", f"t{number}")
    stage.start()
    await stage.run_for(15)
    hold.release()
    await stage.until(lambda: not stage.names("bt"), 300)
    await stage.run_for(60)
    assert not stage.azure.all("/jobs/own/tasks")


async def test_a_job_made_from_a_copy_of_ours_gets_its_tasks(stage: Stage) -> None:
    """The note that all tasks are in belongs to the job that it was written for."""
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(3, DAY)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 900)
    saved = stage.azure.get("/jobs/own") or {}
    stage.freeze()
    stage.azure.delete("/jobs/own")
    await stage.until(lambda: stage.azure.get("/jobs/own") is None)
    stage.azure.post("/jobs", {name: saved[name] for name in ("id", "poolInfo", "metadata", "usesTaskDependencies")})
    stage.thaw()
    await stage.until(lambda: len(stage.azure.all("/jobs/own/tasks")) == 3, 900)


async def test_a_namesake_that_goes_does_not_make_the_live_job_forgotten(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1, DAY)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 900)
    stage.apply(job("twin", id="own", tasks=sleeping(1, 60)))
    await stage.until(lambda: stage.reason("bj", "twin") == "OwnershipConflict", 120)
    await stage.run_for(300)
    stage.delete("bj", "twin")
    await stage.until(lambda: stage.gone("bj", "twin"))
    stage.patch("bj", "own", {"spec": {"suspend": True}})
    await stage.until(lambda: (stage.azure.get("/jobs/own") or {})["state"] == "disabled", 30)


async def test_failed_tasks_run_again_although_a_change_of_the_job_is_refused(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": "a", "commandLine": "exit 1"}], failurePolicy={"action": "Hold"}))
    await stage.until(lambda: stage.phase("bj", "own") == "Held", 1200)
    stage.azure.fault("Jobs_UpdateJob", **WRONG)
    stage.patch("bj", "own", {"spec": {"priority": 7}})
    await stage.until(lambda: stage.reason("bj", "own") == "InvalidPropertyValue", 60)
    stage.annotate("bj", "own", retry_failed="1")
    await stage.until(lambda: stage.azure.calls("Tasks_ReactivateTask"), 120)


async def test_a_list_of_tasks_that_shrinks_during_its_submission_leaves_none_behind(stage: Stage) -> None:
    """A call of the former list lands after the latter one was read."""
    await stage.ready_pool()
    hold = stage.azure.hold("Tasks_CreateTaskCollection", count=2)
    stage.apply(job("own", taskPrunePolicy="Delete", tasks=sleeping(300, 3600)))
    await stage.until(lambda: hold.arrived)
    stage.patch("bj", "own", {"spec": {"tasks": sleeping(3, 3600)}})
    await stage.until(lambda: stage.status("bj", "own").get("observedGeneration") == 2)
    await stage.run_for(8)
    hold.release()
    await stage.run_for(1800)
    assert len(stage.azure.all("/jobs/own/tasks")) == 3


async def test_a_superfluous_task_is_pruned_although_one_404_names_nothing(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", taskPrunePolicy="Delete", tasks=sleeping(2, DAY)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 900)
    refusal = stage.azure.fault("Tasks_DeleteTask", status=404, code="ResourceNotFound", count=1)
    stage.patch("bj", "own", {"spec": {"tasks": sleeping(1, DAY)}})
    await stage.until(lambda: len(stage.azure.all("/jobs/own/tasks")) == 1, 600)
    assert refusal.hits == 1


@pytest.mark.parametrize(
    ("effect", "reason"),
    [
        ({"status": 409, "code": "OperationInvalidForCurrentState"}, "OperationInvalidForCurrentState"),
        (RIGHT, "InsufficientAccountPermissions"),
    ],
    ids=["409", "403"],
)
async def test_a_job_says_that_its_failed_tasks_do_not_run_again(
    stage: Stage, effect: dict[str, Any], reason: str
) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": "a", "commandLine": "exit 1"}], failurePolicy={"action": "Hold"}))
    await stage.until(lambda: stage.phase("bj", "own") == "Held", 1200)
    stage.azure.fault("Tasks_ReactivateTask", **effect)
    stage.annotate("bj", "own", retry_failed="1")
    await stage.until(lambda: stage.condition("bj", "own", "RetryRefused").get("reason") == reason, 120)
    assert "retryFailed" not in stage.status("bj", "own").get("handled", {})
    await stage.until(lambda: len(stage.events("bj", "own", "RetryRefused")) == 1, 10)
    writes = stage.writes("bj", "own", "status")
    await stage.run_for(600)
    assert stage.writes("bj", "own", "status") <= writes + 1, "the same refusal again is not news"
    stage.azure.heal()
    await stage.until(lambda: stage.status("bj", "own").get("handled", {}).get("retryFailed") == "1", 900)
    assert not stage.condition("bj", "own", "RetryRefused")


async def test_a_call_that_stalls_an_object_is_one_warning_in_the_log(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """It was at INFO only, as if it were tried again soon; whoever alerts on warnings saw nothing."""
    caplog.set_level(logging.INFO)
    stage.azure.fault("Pools_CreatePool", status=400, code="InvalidPropertyValue")
    stage.apply(*stage.account_objects(), pool("cpu"))
    await stage.until(lambda: stage.azure.calls("Pools_CreatePool") == 3, 4 * 3600)
    lines = [each for each in caplog.records if "InvalidPropertyValue" in each.getMessage()]
    warnings = [each for each in lines if each.levelno == logging.WARNING]
    assert [(each.__dict__["phase"], each.__dict__["reason"]) for each in warnings] == [
        ("Stalled", "InvalidPropertyValue")
    ]
    assert warnings[0].__dict__["request_id"]
    assert sum("create_pool is retried" in each.getMessage() for each in lines) >= 2


async def test_a_job_is_ended_when_the_policy_that_holds_it_goes(stage: Stage) -> None:
    """Under `skip` the annotation was noted as carried out, so the job ran on, and was paid for, for good."""
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1, DAY)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 900)
    stage.annotate("bj", "own", reconcile_policy="skip", terminate="1")
    await stage.until(lambda: "terminate_job" in stage.condition("bj", "own", "Skipped").get("message", ""), 60)
    await stage.run_for(60)
    assert "terminate" not in stage.status("bj", "own").get("handled", {})
    assert stage.azure.calls("Jobs_TerminateJob") == 0
    stage.annotate("bj", "own", reconcile_policy=None)
    await stage.until(lambda: stage.phase("bj", "own") == "Failed", 600)


async def test_failed_tasks_run_again_when_the_policy_that_holds_them_goes(stage: Stage) -> None:
    await stage.ready_pool()
    tasks = [{"id": "a", "commandLine": "false"}]
    stage.apply(job("own", failurePolicy={"action": "Hold"}, tasks=tasks), job("open"), task("b", "open", "false"))
    await stage.until(lambda: stage.phase("bj", "own") == "Held" and stage.phase("bt", "b") == "Failed", 900)
    for kind, name in (("bj", "own"), ("bt", "b")):
        stage.annotate(kind, name, reconcile_policy="skip", retry_failed="1")
    await stage.until(lambda: "reactivate_task" in stage.condition("bj", "own", "Skipped").get("message", ""), 60)
    await stage.run_for(60)
    assert stage.azure.calls("Tasks_ReactivateTask") == 0
    assert stage.phase("bt", "b") == "Failed"
    assert stage.events("bt", "b", "Retrying") == []
    for kind, name in (("bj", "own"), ("bt", "b")):
        assert "retryFailed" not in stage.status(kind, name).get("handled", {})
        stage.annotate(kind, name, reconcile_policy=None)
    await stage.until(lambda: stage.azure.calls("Tasks_ReactivateTask") == 2, 600)
