"""An item of a list cannot be read: the others count, nothing is made of what the list lacks, and nobody else is held up."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest

from quick.test_operations import pool_body
from support.stage import Stage, job, pool, sleeping


def spoiled(id: str, without: str = "id") -> Callable[[bytes], bytes]:
    """A list one item of which has no id, or no state, or is null."""

    def change(answer: bytes) -> bytes:
        page = orjson.loads(answer)
        for place, item in enumerate(page["value"]):
            if item.get("id") == id and without == "all":
                page["value"][place] = None
            elif item.get("id") == id:
                item.pop(without, None)
        return orjson.dumps(page)

    return change


@pytest.mark.parametrize("without", ["id", "state", "all"])
async def test_a_foreign_pool_that_cannot_be_read_holds_up_nobody(stage: Stage, without: str) -> None:
    await stage.ready_pool()
    stage.azure.post("/pools", pool_body("theirs", 0))
    change = stage.azure.change("/pools", spoiled("theirs", without))
    await stage.run_for(120)
    since = stage.now
    stage.apply(job("new", tasks=sleeping(1, 10)), pool("other"))
    await stage.until(lambda: stage.phase("bj", "new") == "Succeeded" and stage.ready("bp", "other"), 900)
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.gone("bp", "cpu"), 900)
    assert change.hits
    assert stage.ready("bacc", "main")
    assert {call.path for call in stage.azure.changes(since) if "theirs" in call.path} == set()
    polls = stage.azure.calls("Pools_ListPools", since)
    # Only what the list lacks is asked for: the pools that are created, deleted, or named by a job and not there.
    assert stage.azure.calls("Pools_GetPool", since) <= polls


async def test_the_pool_of_an_object_that_its_list_cannot_show_stays_as_it_is(stage: Stage) -> None:
    await stage.ready_pool()
    await stage.run_for(120)
    since = stage.now
    change = stage.azure.change("/pools", spoiled("cpu"))
    await stage.run_for(600)
    assert change.hits
    assert stage.azure.changes(since) == []
    assert stage.ready("bp", "cpu")
    assert stage.ready("bacc", "main")


async def test_a_foreign_job_that_cannot_be_read_holds_up_nobody_and_keeps_its_pool(stage: Stage) -> None:
    """A pool that is to go when it is idle has every open job listed, and this one may be on it."""
    await stage.ready_pool(targetDedicatedNodes=0, deletionPolicy="DeleteWhenIdle")
    stage.azure.post("/jobs", {"id": "theirs", "poolInfo": {"poolId": "cpu"}})
    change = stage.azure.change("/jobs", spoiled("theirs"))
    stage.delete("bp", "cpu")
    stage.apply(pool("other"))
    await stage.run_for(900)
    assert change.hits
    assert stage.azure.get("/pools/cpu")["state"] == "active"
    assert stage.ready("bacc", "main")
    assert stage.ready("bp", "other")
    change.end()
    stage.azure.delete("/jobs/theirs")
    await stage.until(lambda: stage.gone("bp", "cpu"), 1800)


async def test_a_job_with_a_task_that_cannot_be_read_says_so_and_no_other_waits(stage: Stage) -> None:
    await stage.ready_pool()
    change = stage.azure.change("/jobs/own/tasks", spoiled("t0"))
    stage.apply(job("own", tasks=[{"id": "t0", "commandLine": "exit 1"}]), job("other", tasks=sleeping(1, 10)))
    await stage.until(lambda: stage.phase("bj", "other") == "Succeeded", 900)

    def reconciling(member: str) -> str:
        return str(stage.condition("bj", "own", "Reconciling").get(member, ""))

    await stage.until(lambda: reconciling("reason") == "ObservationFailed", 900)
    assert "of job 'own' cannot be read: IncompleteList: " in reconciling("message")
    assert stage.ready("bacc", "main")
    change.end()
    await stage.until(lambda: stage.phase("bj", "own") == "Failed", 900)
    await stage.until(lambda: reconciling("reason") != "ObservationFailed", 900)
