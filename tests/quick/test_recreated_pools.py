"""`updateStrategy: Recreate`: the pool in use has another id than the object, and it is found although a marker or a list fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.stage import Stage, job, pool, sleeping


class LacksOne(dict[str, Any]):
    """A table that can be listed without one entry, which a GET finds all the same: as when pages move while they are read."""

    hidden = ""

    def values(self) -> Iterator[Any]:  # type: ignore[override]
        return (value for key, value in self.items() if key != self.hidden)


async def a_second_pool(stage: Stage) -> LacksOne:
    """`cpu-g2` has replaced `cpu`, and a job runs on it."""
    await stage.ready_pool(updateStrategy="Recreate")
    stage.apply(job("own", tasks=sleeping(2, 7200)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 600)
    stage.patch("bp", "cpu", {"spec": {"taskSlotsPerNode": 4}})
    await stage.until(lambda: stage.azure.ids("/pools") == ["cpu-g2"], 3600)
    await stage.until(lambda: stage.ready("bp", "cpu") and stage.phase("bj", "own") == "Running", 600)
    table = stage.azure.service.pool_table = LacksOne(stage.azure.service.pool_table)
    return table


async def a_list_lacks(stage: Stage, table: LacksOne, id: str) -> None:
    table.hidden, before = id, stage.azure.calls("Pools_ListPools")
    await stage.until(lambda: stage.azure.calls("Pools_ListPools") > before + 1, 180)


async def test_a_pool_whose_marker_was_overwritten_is_not_made_a_second_time(stage: Stage) -> None:
    """`az batch pool set --metadata` replaces all metadata, the marker with it."""
    await a_second_pool(stage)
    stage.azure.patch("/pools/cpu-g2", {"metadata": [{"name": "cost-center", "value": "7"}]})
    await stage.until(lambda: stage.reason("bp", "cpu") == "OwnershipConflict", 120)
    assert "'cpu-g2'" in stage.condition("bp", "cpu")["message"]
    await stage.run_for(900)
    assert stage.azure.ids("/pools") == ["cpu-g2"]
    assert stage.azure.get("/jobs/own")["poolInfo"] == {"poolId": "cpu-g2"}  # type: ignore[index]
    stage.annotate("bp", "cpu", adopt="true")
    await stage.until(lambda: stage.ready("bp", "cpu"), 300)
    assert stage.status("bp", "cpu")["id"] == "cpu-g2"


async def test_a_pool_that_a_list_lacks_is_not_made_a_second_time(stage: Stage) -> None:
    table = await a_second_pool(stage)
    await a_list_lacks(stage, table, "cpu-g2")
    table.hidden = ""
    await stage.run_for(900)
    assert stage.azure.ids("/pools") == ["cpu-g2"]
    assert stage.azure.calls("Jobs_DisableJob") == 1, "the job has moved once, to the new pool"
    assert stage.ready("bp", "cpu")


async def test_a_pool_that_a_list_lacks_is_deleted_with_its_object(stage: Stage) -> None:
    table = await a_second_pool(stage)
    stage.delete("bj", "own")
    await stage.until(lambda: stage.gone("bj", "own"), 600)
    await a_list_lacks(stage, table, "cpu-g2")
    stage.delete("bp", "cpu")
    await stage.run_for(600)
    table.hidden = ""
    await stage.until(lambda: stage.gone("bp", "cpu"), 1800)
    assert stage.azure.ids("/pools") == []


async def test_a_pool_that_somebody_deleted_is_made_again_under_its_id(stage: Stage) -> None:
    await a_second_pool(stage)
    stage.azure.delete("/pools/cpu-g2")
    await stage.until(lambda: stage.azure.ids("/pools") == [], 900)
    await stage.until(lambda: stage.ready("bp", "cpu") and stage.phase("bj", "own") == "Running", 1800)
    assert stage.azure.ids("/pools") == ["cpu-g2"]
    stage.delete("bj", "own")
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.gone("bp", "cpu"), 1800)
    assert stage.azure.ids("/pools") == []


SCHEDULE: dict[str, Any] = {
    "id": "theirs",
    "schedule": {"recurrenceInterval": "PT4H"},
    "jobSpecification": {
        "poolInfo": {"poolId": "cpu"},
        "onAllTasksComplete": "terminatejob",
        "jobManagerTask": {"id": "m", "commandLine": "true"},
    },
}


async def test_an_old_pool_stays_as_long_as_a_job_schedule_of_another_client_names_it(stage: Stage) -> None:
    await stage.ready_pool(updateStrategy="Recreate")
    stage.azure.post("/jobschedules", SCHEDULE)
    await stage.run_for(600)
    stage.patch("bp", "cpu", {"spec": {"taskSlotsPerNode": 4}})
    await stage.until(lambda: stage.reason("bp", "cpu") == "WaitingForJobs", 3600)
    assert "job schedule 'theirs'" in stage.condition("bp", "cpu")["message"]
    await stage.until(lambda: stage.status("bp", "cpu").get("allocationState") == "steady", 600)
    await stage.run_for(120)
    writes = stage.writes("bp", "cpu", "status")
    await stage.run_for(3600)
    assert stage.azure.ids("/pools") == ["cpu", "cpu-g2"]
    assert stage.writes("bp", "cpu", "status") <= writes + 1, "it says the same all the time"
    stage.azure.delete("/jobschedules/theirs")
    await stage.until(lambda: stage.azure.ids("/pools") == ["cpu-g2"], 3600)
    await stage.until(lambda: stage.ready("bp", "cpu"), 600)


async def test_a_pool_that_is_deleted_when_idle_stays_as_long_as_a_job_schedule_names_it(stage: Stage) -> None:
    await stage.ready_pool(deletionPolicy="DeleteWhenIdle")
    stage.azure.post("/jobschedules", SCHEDULE)
    await stage.run_for(600)
    stage.delete("bp", "cpu")
    await stage.until(lambda: "job schedule 'theirs'" in stage.condition("bp", "cpu").get("message", ""), 600)
    await stage.run_for(60)
    writes = stage.writes("bp", "cpu", "status")
    await stage.run_for(600)
    assert stage.azure.ids("/pools") == ["cpu"]
    assert stage.writes("bp", "cpu", "status") <= writes + 4, "not with each of forty looks"
    stage.azure.delete("/jobschedules/theirs")
    await stage.until(lambda: stage.gone("bp", "cpu"), 3600)
    assert stage.azure.ids("/pools") == []


@pytest.mark.parametrize("manage", [False, True])
async def test_an_adopted_pool_that_is_replaced_stays_unless_the_object_says_manage(
    stage: Stage, *, manage: bool
) -> None:
    await stage.ready_pool()
    stage.annotate("bp", "cpu", reconcile_policy="detach-on-delete")
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.gone("bp", "cpu"), 60)
    again = pool("cpu", updateStrategy="Recreate")
    again["metadata"]["annotations"] = {"azurebatch.io/adopt": "true"}
    if manage:
        again["metadata"]["annotations"]["azurebatch.io/reconcile-policy"] = "manage"
    stage.apply(again)
    await stage.until(lambda: stage.ready("bp", "cpu"), 600)
    stage.patch("bp", "cpu", {"spec": {"taskSlotsPerNode": 4}})
    await stage.until(lambda: "cpu-g2" in stage.azure.ids("/pools"), 3600)
    await stage.until(lambda: stage.ready("bp", "cpu"), 3600)
    await stage.run_for(1800)
    assert stage.azure.ids("/pools") == (["cpu-g2"] if manage else ["cpu", "cpu-g2"])
    assert stage.status("bp", "cpu").get("replaces") == (None if manage else ["cpu"])
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.gone("bp", "cpu"), 3600)
    assert stage.azure.ids("/pools") == ([] if manage else ["cpu"])


async def test_jobs_do_not_go_back_when_a_list_lacks_the_new_pool(stage: Stage) -> None:
    await stage.ready_pool(updateStrategy="Recreate")
    stage.apply(job("own", tasks=sleeping(2, 7200)))
    stage.azure.post("/jobs", {"id": "theirs", "poolInfo": {"poolId": "cpu"}})
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 600)
    stage.patch("bp", "cpu", {"spec": {"taskSlotsPerNode": 4}})

    def on() -> str:
        return str((stage.azure.get("/jobs/own") or {})["poolInfo"]["poolId"])

    await stage.until(lambda: on() == "cpu-g2" and stage.phase("bj", "own") == "Running", 3600)
    table = stage.azure.service.pool_table = LacksOne(stage.azure.service.pool_table)
    await a_list_lacks(stage, table, "cpu-g2")
    await stage.run_for(300)
    table.hidden = ""
    await stage.run_for(900)
    assert stage.azure.calls("Jobs_DisableJob") == 1, "it has moved once, to the new pool"
    assert on() == "cpu-g2"
