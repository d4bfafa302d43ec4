"""What is remembered of something in Azure Batch belongs to that incarnation, not to its name."""

from __future__ import annotations

from support.stage import Stage, job, secret, sleeping


async def test_a_deleted_running_job_does_not_count_as_complete(stage: Stage) -> None:
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


async def test_a_job_that_is_gone_shows_nothing_as_running(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=[*sleeping(1, 5), {"id": "long", "commandLine": "sleep 3000"}]))
    await stage.until(lambda: stage.status("bj", "own").get("taskCounts", {}).get("completed") == 1, 600)
    stage.azure.delete("/jobs/own")
    await stage.until(lambda: stage.reason("bj", "own") == "JobGone", 600)
    shown = stage.status("bj", "own")
    assert "state" not in shown
    assert {name: shown["taskCounts"][name] for name in ("active", "running", "completed", "total")} == {
        "active": 0,
        "running": 0,
        "completed": 1,
        "total": 2,
    }


async def test_an_ended_job_shows_nothing_of_another_job_of_its_id(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("first", id="same", tasks=sleeping(1, 5)))
    await stage.until(lambda: stage.phase("bj", "first") == "Succeeded", 600)
    before = stage.status("bj", "first")
    assert before["retries"] == 0
    stage.azure.delete("/jobs/same")
    await stage.until(lambda: stage.azure.get("/jobs/same") is None, 300)
    stage.azure.simulate(".*bad.*", exitCode=1)
    failing = [{"id": "x", "commandLine": "bad"}]
    stage.apply(
        job("second", id="same", tasks=failing, backoff={"taskRetries": 2}, failurePolicy={"action": "Hold"}),
    )
    await stage.until(lambda: stage.status("bj", "second").get("retries") == 2, 900)
    stage.annotate("bj", "first", reconcile_now="1")
    await stage.until(lambda: stage.status("bj", "first").get("handled"), 60)
    shown = stage.status("bj", "first")
    assert {name: shown[name] for name in shown if name != "handled"} == before


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


async def test_a_recreated_pool_is_not_confused_with_the_former_one(stage: Stage) -> None:
    """The new one has the rotated password; that the response to its creation was lost must not count as the former one's."""
    users = [{"name": "render", "passwordSecretRef": {"name": "login", "key": "word"}}]
    stage.apply(secret("login", word="one"))
    await stage.ready_pool(targetDedicatedNodes=1, userAccounts=users, updateStrategy="Recreate")
    stage.freeze()
    stage.azure.delete("/pools/cpu")
    await stage.until(lambda: stage.azure.get("/pools/cpu") is None, 600)
    stage.apply(secret("login", word="two"))
    stage.azure.fault("Pools_CreatePool", lostAnswer=True, count=1)
    stage.thaw()
    await stage.until(lambda: stage.azure.get("/pools/cpu"), 900)
    await stage.run_for(1800)
    assert stage.ready("bp", "cpu")
    assert stage.azure.ids("/pools") == ["cpu"], "no second pool for a password that the first one has"
