"""What was asked for once is done once: an object that is being deleted does not take `reconcile-now` for new at each pass."""

from __future__ import annotations

from support.stage import Stage, pool


async def test_a_pool_that_waits_to_be_deleted_does_not_hurry_the_polls(stage: Stage) -> None:
    stage.apply(*stage.account_objects(), pool("cpu", deletionPolicy="DeleteWhenIdle"))
    await stage.until(lambda: stage.ready("bp", "cpu"), 300)
    stage.azure.post("/jobs", {"id": "theirs", "poolInfo": {"poolId": "cpu"}})
    stage.azure.post("/jobs/theirs/tasks", {"id": "t", "commandLine": "sleep 86400"})
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.reason("bp", "cpu") == "WaitingForTasks", 300)
    stage.annotate("bp", "cpu", reconcile_now="1")
    await stage.run_for(600)
    before = stage.azure.calls("Jobs_ListJobs")
    await stage.run_for(600)
    assert stage.azure.calls("Jobs_ListJobs") - before <= 60
    assert stage.status("bp", "cpu")["handled"] == {"reconcileNow": "1"}


async def test_a_refused_deletion_backs_off_whatever_was_asked_for_before(stage: Stage) -> None:
    stage.apply(*stage.account_objects(), pool("cpu"))
    await stage.until(lambda: stage.ready("bp", "cpu"), 300)
    stage.azure.fault("Pools_DeletePool", status=400, code="InvalidPropertyValue")
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.azure.calls("Pools_DeletePool") == 1, 60)
    stage.annotate("bp", "cpu", reconcile_now="1")
    await stage.run_for(3600)
    # A wrong request is repeated after one minute, growing to an hour.
    assert stage.azure.calls("Pools_DeletePool") <= 8
