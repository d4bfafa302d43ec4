"""A finished job whose object is kept, as one in Git is: its job in Azure Batch goes, and it never runs again."""

from __future__ import annotations

import pytest

from support.stage import Stage, job, schedule, sleeping


async def test_the_job_goes_and_the_object_stays_as_it_ended(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(2, 5), ttlSecondsAfterFinished=600, ttlPolicy="KeepObject"))
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 300)
    await stage.run_for(300)
    assert stage.azure.get("/jobs/own") is not None
    await stage.until(lambda: stage.azure.get("/jobs/own") is None, 900)
    await stage.until(lambda: stage.status("bj", "own").get("cleanedUp") is True, 300)
    assert stage.phase("bj", "own") == "Succeeded"
    assert stage.condition("bj", "own", "Complete")["status"] == "True"
    assert stage.status("bj", "own")["taskCounts"]["succeeded"] == 2

    await stage.restart()
    await stage.run_for(3600)
    assert stage.azure.calls("Jobs_CreateJob") == 1
    assert stage.azure.calls("Jobs_DeleteJob") == 1
    stage.delete("bj", "own")
    await stage.until(lambda: stage.gone("bj", "own"), 120)


async def test_a_job_that_another_client_made_under_its_id_stays(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1, 5), ttlSecondsAfterFinished=600, ttlPolicy="KeepObject"))
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 300)
    stage.azure.delete("/jobs/own")
    await stage.until(lambda: stage.azure.get("/jobs/own") is None, 60)
    stage.azure.post("/jobs", {"id": "own", "poolInfo": {"poolId": "cpu"}})
    await stage.until(lambda: stage.status("bj", "own").get("cleanedUp") is True, 1200)
    assert stage.azure.get("/jobs/own") is not None
    assert stage.azure.calls("Jobs_DeleteJob") == 0


@pytest.mark.parametrize("end", ["ttl", "deletion"])
async def test_a_finished_job_shows_how_it_has_ended_until_it_is_gone(stage: Stage, end: str) -> None:
    """A tool that looks every few seconds finds the condition, whatever happens to the object after its end."""
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(2, 5), ttlSecondsAfterFinished=600))
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 300)
    seen: list[str] = []

    def complete() -> bool:
        if not stage.gone("bj", "own"):
            seen.append(stage.condition("bj", "own", "Complete").get("status", "missing"))
        return set(seen) <= {"True"}

    if end == "ttl":
        stage.annotate("bj", "own", reconcile_policy="skip")
        await stage.always(complete, 1200)
        assert stage.status("bj", "own")["observedGeneration"] == 1
        return
    hold = stage.azure.hold("Jobs_DeleteJob")
    stage.delete("bj", "own")
    await stage.always(complete, 30)
    hold.release()
    await stage.until(lambda: stage.gone("bj", "own") or not complete(), 300)
    assert complete()
    assert seen


async def test_the_job_goes_when_its_time_is_over_and_not_with_the_next_resync(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1, 5), ttlSecondsAfterFinished=30, ttlPolicy="KeepObject"))
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 120)
    await stage.until(lambda: stage.azure.get("/jobs/own") is None, 90)
    await stage.until(lambda: stage.status("bj", "own").get("cleanedUp") is True, 90)


async def test_a_run_that_has_ended_and_is_cleaned_up_later_holds_up_no_other(stage: Stage) -> None:
    await stage.ready_pool()
    jobs = {
        "poolRef": {"name": "cpu"},
        "tasks": sleeping(1, 5),
        "ttlSecondsAfterFinished": 86_400,
        "ttlPolicy": "KeepObject",
    }
    cron = {"expression": "0 * * * *", "concurrencyPolicy": "Forbid"}
    stage.apply(schedule("hourly", cron=cron, jobSpecification=jobs))
    await stage.until(lambda: len(stage.names("bj")) == 2, 7300)
    await stage.until(lambda: stage.status("bjs", "hourly").get("active") == 0, 300)


async def test_a_job_that_has_ended_and_is_cleaned_up_later_keeps_no_idle_pool(stage: Stage) -> None:
    await stage.ready_pool(deletionPolicy="DeleteWhenIdle")
    stage.apply(job("own", tasks=sleeping(1, 5), ttlSecondsAfterFinished=86_400, ttlPolicy="KeepObject"))
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 600)
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.gone("bp", "cpu"), 900)
