"""What is remembered of something in Azure Batch belongs to that incarnation, not to its name."""

from __future__ import annotations

from support.stage import Stage, job, sleeping


async def test_a_running_job_that_was_deleted_is_not_taken_for_done(stage: Stage) -> None:
    """Its tasks are added again, or the object says that its job is gone: never a success that did not happen."""
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(5, 300)))
    await stage.until(lambda: stage.status("bj", "own").get("taskCounts", {}).get("running") == 4)
    stage.azure.delete("/jobs/own")

    def settled() -> bool:
        tasks = stage.azure.get("/jobs/own") and len(stage.azure.all("/jobs/own/tasks"))
        return tasks == 5 or stage.reason("bj", "own") == "JobGone" or stage.phase("bj", "own") == "Succeeded"

    await stage.until(settled, 600)
    assert stage.phase("bj", "own") != "Succeeded", stage.picture()


async def test_a_finished_job_that_was_deleted_while_the_operator_was_away_is_not_run_again(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(2, 10)))
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 300)
    await stage.kill()
    stage.azure.delete("/jobs/own")
    await stage.until(lambda: stage.azure.get("/jobs/own") is None)
    stage.start()
    await stage.run_for(120)
    assert stage.azure.calls("Jobs_CreateJob") == 1
    assert stage.phase("bj", "own") == "Succeeded"
