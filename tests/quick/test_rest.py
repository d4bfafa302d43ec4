"""What was asked for once is done once: an object that is being deleted does not take `reconcile-now` for new at each pass."""

from __future__ import annotations

from typing import Any

import pytest

from support.stage import Stage, operation, pool, schedule, sleeping

_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


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


async def test_a_refused_deletion_backs_off_regardless_of_earlier_calls(stage: Stage) -> None:
    stage.apply(*stage.account_objects(), pool("cpu"))
    await stage.until(lambda: stage.ready("bp", "cpu"), 300)
    stage.azure.fault("Pools_DeletePool", status=400, code="InvalidPropertyValue")
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.azure.calls("Pools_DeletePool") == 1, 60)
    stage.annotate("bp", "cpu", reconcile_now="1")
    await stage.run_for(3600)
    # A wrong request is repeated after one minute, growing to an hour.
    assert stage.azure.calls("Pools_DeletePool") <= 8


async def _pool_gone_but_not_proven(stage: Stage, **fault: Any) -> None:
    """A deleted BatchPool whose pool is gone, as a list has shown, while the service does not let anybody look at it."""
    stage.apply(*stage.account_objects(), pool("cpu", targetDedicatedNodes=0))
    await stage.until(lambda: stage.ready("bp", "cpu"), 300)
    stage.azure.delete("/pools/cpu")
    stage.azure.fault("Pools_GetPool", skip=1, **fault)
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.azure.get("/pools/cpu") is None, 300)
    await stage.until(lambda: stage.azure.calls("Pools_GetPool") > 2, 600)


@pytest.mark.parametrize(
    ("fault", "most"),
    [
        ({"status": 400, "code": "InvalidPropertyValue"}, 8),
        ({"status": 403, "code": "InsufficientAccountPermissions"}, 20),
    ],
)
async def test_a_refused_look_before_the_finalizer_goes_backs_off_and_is_shown(
    stage: Stage, fault: dict[str, Any], most: int
) -> None:
    await _pool_gone_but_not_proven(stage, **fault)
    stage.annotate("bp", "cpu", reconcile_now="1")
    before = stage.azure.calls("Pools_GetPool")
    await stage.run_for(3600)
    assert stage.azure.calls("Pools_GetPool") - before <= most
    assert stage.reason("bp", "cpu") == fault["code"]
    stage.azure.heal()
    stage.annotate("bp", "cpu", reconcile_now="2")
    await stage.until(lambda: stage.gone("bp", "cpu"), 60)


async def test_a_pool_whose_formula_names_the_time_of_day_rests(stage: Stage) -> None:
    profile = {"maximum": 2, "workHours": {"start": 0, "end": 24, "days": _DAYS}}
    stage.apply(*stage.account_objects(), pool("cpu", targetDedicatedNodes=None, autoScaleProfile=profile))
    await stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "2/2", 900)
    await stage.run_for(900)
    writes = stage.writes("bp", "cpu", "status")
    await stage.run_for(3600)
    assert stage.writes("bp", "cpu", "status") == writes


async def test_reconcile_now_is_handled_once_although_its_record_cannot_be_written(
    stage: Stage,
) -> None:
    """What is the account's to show writes no status, so the record of the annotation is not written either."""
    stage.apply(*stage.account_objects())
    await stage.until(lambda: stage.ready("bacc", "main"), 60)
    stage.azure.fault("Pools_CreatePool", status=503, code="ServerBusy")
    stage.apply(pool("cpu"))
    await stage.run_for(900)
    stage.annotate("bp", "cpu", reconcile_now="1")
    await stage.run_for(60)
    before = stage.azure.calls("Pools_CreatePool")
    await stage.run_for(3600)
    # A try a minute, each with the client's own repetitions.
    assert stage.azure.calls("Pools_CreatePool") - before <= 60 * 5


async def test_a_refused_run_of_a_schedule_backs_off(stage: Stage) -> None:
    await stage.ready_pool()
    stage.fail("create", "batchjobs", status=403)
    jobs = {"poolRef": {"name": "cpu"}, "tasks": sleeping(1, 5)}
    stage.apply(schedule("hourly", cron={"expression": "0 * * * *"}, jobSpecification=jobs))
    await stage.run_for(7200)

    def creates() -> int:
        return sum((each.verb, each.resource) == ("create", "batchjobs") for each in stage.api.log)

    before = creates()
    assert before > 0
    await stage.run_for(3600)
    # Somebody must act: half a minute growing to five, and a new run each hour.
    assert creates() - before <= 24


async def test_the_secret_of_an_account_is_read_once_a_minute(stage: Stage) -> None:
    """A second read, of its metadata alone, told whether it is kept; the first one tells the same."""

    def reads() -> int:
        return stage.api.by_resource()["get", "secrets"]

    await stage.ready_pool()
    await stage.run_for(300)
    before = reads()
    await stage.run_for(1800)
    assert reads() - before <= 36  # now and then a change of the account is a further pass
    assert "azurebatch.io/finalizer" in str(stage.get("secret", "main-key")["metadata"].get("finalizers"))
    # One that somebody else changes is looked at, and kept again.
    stage.patch("secret", "main-key", {"metadata": {"finalizers": None}})
    await stage.until(lambda: stage.get("secret", "main-key")["metadata"].get("finalizers"), 120)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"poolRef": None, "accountRef": {"name": "main"}, "poolId": "nobody"}, "PoolNotFound"),
        ({"poolRef": {"name": "theirs"}}, "TargetNotOwned"),
    ],
)
async def test_an_operation_that_waits_for_its_target_does_not_hurry_the_polls(
    stage: Stage, spec: dict[str, Any], reason: str
) -> None:
    await stage.ready_pool()
    body = pool("x")["spec"]
    del body["accountRef"]
    stage.azure.post("/pools", {"id": "theirs", **body})
    await stage.run_for(60)
    stage.apply(pool("theirs"), operation("op", **spec, rebootNode={"nodes": {"selector": "all"}}))
    await stage.until(lambda: stage.reason("bop", "op") == reason, 300)
    await stage.run_for(900)
    before = stage.azure.calls("Pools_ListPools")
    await stage.run_for(600)
    # The account is idle: one poll a minute.
    assert stage.azure.calls("Pools_ListPools") - before <= 15
