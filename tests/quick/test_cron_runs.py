"""A run of a cron schedule that does not get on is told by the schedule, which is what the user looks at."""

from __future__ import annotations

from typing import Any

import pytest

from support.stage import Stage, schedule, sleeping

_ACCOUNT = {"name": "main", "namespace": "default"}


def hourly(name: str, namespace: str = "default", tasks: int = 1, pool: Any = None, **spec: Any) -> dict[str, Any]:
    jobs = (pool or {"poolInfo": {"poolId": "cpu"}}) | {"tasks": sleeping(tasks, 36_000)}
    given = {"id": "nightly", "accountRef": _ACCOUNT, "cron": {"expression": "0 * * * *"}, "jobSpecification": jobs}
    return schedule(name, namespace=namespace, **(given | spec))


@pytest.mark.parametrize("namespace", ["default", "team"])
async def test_two_schedules_of_one_id_tell_of_their_collision(stage: Stage, namespace: str) -> None:
    await stage.ready_pool()
    if namespace != "default":
        stage.apply({"kind": "Namespace", "metadata": {"name": namespace}})
        stage.patch("bacc", "main", {"spec": {"allowedNamespaces": {"all": True}}})
    stage.apply(hourly("first"), hourly("second", namespace, tasks=2))
    where = {"first": "default", "second": namespace}

    def reasons() -> list[str]:
        return sorted(stage.reason("bjs", name, space) for name, space in where.items())

    await stage.until(lambda: reasons() == ["JobStalled", "Scheduled"], 7200)
    loser, winner = sorted(where, key=lambda name: stage.reason("bjs", name, where[name]))
    said = stage.condition("bjs", loser, "Stalled", where[loser])
    assert said["status"] == "True"
    assert stage.condition("bjs", loser, namespace=where[loser])["status"] == "False"
    minute = stage.names("bj", where[winner])[0].rpartition("-")[2]
    assert f"BatchJob '{loser}-{minute}' is stalled (OwnershipConflict)" in said["message"]
    assert f"BatchJob {where[winner]}/{winner}-{minute}" in said["message"], "who has the id"
    assert f"create BatchJobSchedule {loser!r} again with another spec.id" in said["message"]
    [event] = await stage.until(lambda: stage.events("bjs", loser, "JobStalled", where[loser]))
    assert event["type"] == "Warning"
    # The run of the other one is what it was, whatever becomes of the one that collides with it.
    await stage.until(lambda: stage.phase("bj", f"{winner}-{minute}", where[winner]) == "Running", 60)
    await stage.run_for(60)
    writes = stage.azure.changes()
    assert len(stage.azure.all(f"/jobs/nightly-{minute}/tasks")) == {"first": 1, "second": 2}[winner]
    stage.delete("bj", f"{loser}-{minute}", where[loser])
    await stage.until(lambda: stage.ready("bjs", loser, where[loser]), 60)
    assert stage.azure.changes() == writes
    assert stage.ready("bjs", winner, where[winner])


async def test_a_run_that_waits_for_what_is_missing_is_told_and_forgotten(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(hourly("own", pool={"poolRef": {"name": "typo"}}, id=None))
    await stage.until(lambda: stage.reason("bjs", "own") == "JobWaiting", 7200)
    [name] = stage.names("bj")
    message = stage.condition("bjs", "own")["message"]
    assert f"BatchJob {name!r} is waiting (PoolNotFound): " in message
    assert "'typo'" in message
    stage.delete("bj", name)
    await stage.until(lambda: stage.reason("bjs", "own") == "Scheduled", 60)


async def test_a_run_that_was_deleted_in_azure_stalls_its_suspended_schedule(stage: Stage) -> None:
    """Suspended schedules have runs, too."""
    await stage.ready_pool()
    stage.apply(hourly("own"))
    await stage.until(lambda: stage.names("bj") and stage.phase("bj", stage.names("bj")[0]) == "Running", 7200)
    stage.patch("bjs", "own", {"spec": {"suspend": True}})
    [name] = stage.names("bj")
    await stage.until(lambda: stage.phase("bjs", "own") == "Suspended", 60)
    await stage.until(lambda: stage.status("bj", name).get("tasksStartTime"), 300)
    stage.azure.delete(f"/jobs/{stage.status('bj', name)['id']}")
    await stage.until(lambda: stage.reason("bjs", "own") == "JobStalled", 600)
    assert f"BatchJob {name!r} is stalled (JobGone)" in stage.condition("bjs", "own")["message"]
    assert stage.phase("bjs", "own") == "Suspended"
    assert stage.condition("bjs", "own", "Suspended")["status"] == "True"


async def test_a_run_that_begins_at_once_costs_no_further_writes(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(hourly("own", cron={"expression": "0 */6 * * *"}))
    await stage.until(lambda: stage.reason("bjs", "own") == "Scheduled", 60)
    writes = stage.writes("bjs", "own", "status")
    await stage.until(lambda: stage.names("bj"), 6 * 3600 + 60)
    await stage.run_for(300)
    assert stage.reason("bjs", "own") == "Scheduled"
    # The run is due, is being created, has no task yet, and runs.
    assert stage.writes("bjs", "own", "status") - writes <= 4


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("policy", ["Forbid", "Replace"])
async def test_runs_that_no_watch_has_shown_yet_count(stage: Stage, policy: str, lost: bool) -> None:
    """A watch may be silent for longer than the time between two runs, and the response to a creation may be lost."""
    await stage.ready_pool()
    stage.watch.hold("batchjobs")
    if lost:
        stage.fail("create", "batchjobs", lost="after", count=1)
    cron = {"expression": "*/2 * * * *", "concurrencyPolicy": policy}
    stage.apply(hourly("own", cron=cron, id=None))
    for _ in range(50):
        await stage.run_for(10)
        runs = [body for body in stage.server.all("batchjobs") if "deletionTimestamp" not in body["metadata"]]
        assert len(runs) <= 1
    assert policy == "Replace" or stage.status("bjs", "own")["active"] == 1
    [run] = runs
    assert stage.azure.get(f"/jobs/{run['metadata']['name']}"), "nobody waits for the watch"
