"""What an object refers to is gone: its own deletion is carried out all the same, or says why it cannot be."""

from __future__ import annotations

import pytest

from support.stage import Stage, job, sleeping, task, thing


async def two_tasks(stage: Stage) -> None:
    """One that runs, and one that waits for it and has said nothing yet."""
    await stage.ready_pool()
    stage.apply(job("own", onAllTasksComplete="noaction", usesTaskDependencies=True))
    stage.apply(task("runs", "own", "sleep 36000"), task("waits", "own", dependsOnRefs=[{"name": "runs"}]))
    await stage.until(lambda: stage.phase("bt", "runs") == "Running" and stage.azure.get("/jobs/own/tasks/waits"), 120)


async def without_its_job(stage: Stage) -> None:
    """The BatchJob goes, the job stays."""
    stage.annotate("bj", "own", reconcile_policy="detach-on-delete")
    stage.delete("bj", "own")
    await stage.until(lambda: stage.gone("bj", "own"))
    await stage.run_for(10)
    assert stage.azure.ids("/jobs/own/tasks") == ["runs", "waits"]


@pytest.mark.parametrize("how", ["detached", "force-finalized", "finalizer taken off"])
async def test_tasks_are_deleted_after_their_job_was_released(stage: Stage, how: str) -> None:
    await two_tasks(stage)
    match how:
        case "detached":
            stage.annotate("bj", "own", reconcile_policy="detach-on-delete")
        case "force-finalized":
            stage.annotate("bj", "own", force_finalize="true")
        case _:
            await stage.kill()
    stage.delete("bj", "own")
    if how == "finalizer taken off":
        stage.take_finalizers_off("bj", "own")
        stage.start()
    await stage.until(lambda: stage.gone("bj", "own"))
    stage.delete("bt", "runs")
    await stage.until(lambda: stage.gone("bt", "runs"), 120)
    assert stage.azure.ids("/jobs/own/tasks") == ["waits"]


async def test_a_task_that_never_ran_is_deleted_after_its_job_was_detached(stage: Stage) -> None:
    await two_tasks(stage)
    await without_its_job(stage)
    stage.delete("bt", "waits")
    await stage.until(lambda: stage.gone("bt", "waits"), 120)
    assert stage.azure.ids("/jobs/own/tasks") == ["runs"]
    assert stage.events("bt", "waits", "TaskMayRemain") == []


@pytest.mark.parametrize("how", ["detached", "force-finalized"])
async def test_a_waiting_task_stays_in_its_former_job_after_a_restart(stage: Stage, how: str) -> None:
    await two_tasks(stage)
    if how == "detached":
        await without_its_job(stage)
    else:
        stage.annotate("bj", "own", force_finalize="true")
        stage.delete("bj", "own")
        await stage.until(lambda: stage.gone("bj", "own"))
        await stage.run_for(10)
    await stage.restart()
    stage.apply(job("own", id="another", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.azure.get("/jobs/another"), 120)
    await stage.run_for(120)
    assert stage.azure.ids("/jobs/another/tasks") == [], "they are in the former job, and would run twice"
    assert stage.status("bt", "waits")["jobId"] == "own"
    stage.delete("bt", "waits")
    await stage.until(lambda: stage.gone("bt", "waits"), 120)
    assert stage.azure.ids("/jobs/own/tasks") == ["runs"]


async def test_tasks_that_wait_are_written_once_when_their_job_goes(stage: Stage) -> None:
    await two_tasks(stage)
    before = stage.writes("bt", "waits", "status")
    assert before == 0
    await without_its_job(stage)
    await stage.run_for(120)
    assert stage.writes("bt", "waits", "status") == 1


async def test_a_task_whose_job_is_unknown_reports_it(stage: Stage) -> None:
    await two_tasks(stage)
    await stage.kill()
    stage.delete("bj", "own")
    stage.take_finalizers_off("bj", "own")
    stage.start()
    await stage.run_for(10)
    stage.delete("bt", "waits")
    await stage.until(lambda: stage.gone("bt", "waits"), 120)
    await stage.until(lambda: stage.events("bt", "waits", "TaskMayRemain"))
    assert "'own'" in stage.events("bt", "waits", "TaskMayRemain")[0]["message"]


async def test_a_foreign_task_in_a_detached_job_stays(stage: Stage) -> None:
    await two_tasks(stage)
    await without_its_job(stage)
    stage.azure.delete("/jobs/own/tasks/runs")
    stage.azure.post("/jobs/own/tasks", {"id": "runs", "commandLine": "sleep 7200"})
    stage.delete("bt", "runs")
    await stage.until(lambda: stage.gone("bt", "runs"), 120)
    assert stage.azure.get("/jobs/own/tasks/runs") is not None


async def test_tasks_of_a_deleted_job_are_released_without_a_status(stage: Stage) -> None:
    await two_tasks(stage)
    stage.delete("bj", "own")
    await stage.until(lambda: stage.gone("bj", "own"), 120)
    since = stage.now
    for name in ("runs", "waits"):
        stage.delete("bt", name)
    await stage.until(lambda: not stage.names("bt"), 120)
    assert stage.events("bt", reason="TaskMayRemain") == []
    assert stage.azure.changes(since) == []


async def test_a_job_that_is_recreated_elsewhere_does_not_hide_a_task(stage: Stage) -> None:
    """The next BatchJob of the same name stands for another job."""
    await two_tasks(stage)
    await without_its_job(stage)
    stage.apply(job("own", id="other", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.azure.get("/jobs/other"))
    stage.delete("bt", "runs")
    await stage.until(lambda: stage.gone("bt", "runs"), 120)
    assert stage.azure.ids("/jobs/own/tasks") == ["waits"]


async def test_a_task_is_added_to_the_planned_job_although_its_object_is_deleted(stage: Stage) -> None:
    """The BatchJob goes while the finalizer is put on the BatchTask."""
    await stage.ready_pool()
    stage.apply(job("own", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.azure.get("/jobs/own"))
    slow = stage.fail("patch", "batchtasks", delay=5, count=1)
    stage.apply(task("t", "own", "sleep 3600"))
    await stage.until(lambda: slow.hits)
    stage.annotate("bj", "own", force_finalize="true")
    stage.delete("bj", "own")
    await stage.until(lambda: stage.gone("bj", "own"), 3)
    await stage.until(lambda: stage.azure.get("/jobs/own/tasks/t"), 30)
    stage.delete("bt", "t")
    await stage.until(lambda: stage.gone("bt", "t"), 120)
    assert stage.azure.all("/jobs/own/tasks") == []


async def test_a_job_id_that_names_no_job_is_reported(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("open"))
    await stage.until(lambda: stage.phase("bj", "open") == "Running", 300)
    lost = thing("BatchTask", "lost", accountRef={"name": "main"}, jobId="nothing", commandLine="true")
    stage.apply(lost)
    await stage.until(lambda: (stage.condition("bt", "lost", "Ready") or {}).get("reason") == "JobNotFound", 120)
    stage.azure.post("/jobs", {"id": "nothing", "poolInfo": {"poolId": "cpu"}})
    await stage.until(lambda: stage.phase("bt", "lost") == "Succeeded", 300)


@pytest.mark.parametrize("seen", ["running", "queued"])
async def test_a_task_of_a_detached_job_is_followed_there_and_not_run_in_the_next_one(stage: Stage, seen: str) -> None:
    await stage.ready_pool(targetDedicatedNodes=1, taskSlotsPerNode=1)
    stage.apply(job("own", onAllTasksComplete="noaction"))
    if seen == "queued":
        stage.apply(job("first", tasks=sleeping(1, 300)))
        await stage.until(lambda: stage.phase("bj", "first") == "Running", 900)
    stage.apply(task("t", "own", "sleep 600"))
    await stage.until(lambda: stage.azure.get("/jobs/own/tasks/t"), 900)
    if seen == "running":
        await stage.until(lambda: stage.phase("bt", "t") == "Running", 900)
    await stage.run_for(10)
    stage.annotate("bj", "own", reconcile_policy="detach-on-delete")
    stage.delete("bj", "own")
    await stage.until(lambda: stage.gone("bj", "own"), 60)
    await stage.run_for(30)
    stage.apply(job("own", id="other", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.azure.get("/jobs/other"), 60)
    await stage.until(lambda: stage.phase("bt", "t") == "Succeeded", 1200)
    assert stage.azure.ids("/jobs/own/tasks") == ["t"]
    assert stage.azure.ids("/jobs/other/tasks") == []
    assert stage.status("bt", "t")["jobId"] == "own"
