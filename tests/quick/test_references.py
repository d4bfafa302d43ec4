"""A reference that leads nowhere is said loudly, at an object that the user looks at, whenever it breaks."""

from __future__ import annotations

from support.stage import Stage, job, pool, sleeping, task


async def test_a_running_job_whose_batch_pool_is_gone_says_so(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1, 600)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 900)
    stage.annotate("bp", "cpu", reconcile_policy="detach-on-delete")
    await stage.run_for(5)
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.gone("bp", "cpu"), 300)
    await stage.until(lambda: stage.reason("bj", "own") == "PoolNotFound", 60)
    await stage.until(lambda: stage.events("bj", "own", "PoolNotFound"), 30)
    assert [each["type"] for each in stage.events("bj", "own", "PoolNotFound")] == ["Warning"]
    await stage.until(lambda: stage.status("bj", "own")["taskCounts"]["running"] == 1, 300)
    # It goes on, and ends as its tasks do.
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 900)


async def test_wrong_references_are_warnings(stage: Stage) -> None:
    stage.apply(*stage.account_objects())
    stage.apply(job("own", poolRef={"name": "cpuu"}, tasks=sleeping(1, 5)), pool("p", accountRef={"name": "mainn"}))
    await stage.until(lambda: stage.events("bj", "own", "PoolNotFound"), 60)
    await stage.until(lambda: stage.events("bp", "p", "AccountNotFound"), 60)
    assert {each["type"] for each in (*stage.events("bj", "own"), *stage.events("bp", "p"))} == {"Warning"}


async def test_a_task_whose_job_has_no_pool_says_which_of_the_two_is_missing(stage: Stage) -> None:
    """It used to say that the BatchJob does not exist."""
    stage.apply(job("own"), task("one", "own"))
    await stage.until(lambda: stage.reason("bt", "one") == "PoolNotFound", 60)
    message = stage.condition("bt", "one", "Ready")["message"]
    assert message.startswith("BatchJob 'own': spec.poolRef names BatchPool 'cpu', which does not exist")
    stage.delete("bj", "own")
    await stage.until(lambda: stage.reason("bt", "one") == "JobNotFound", 60)
    await stage.ready_pool()
    stage.apply(job("own"))
    await stage.until(lambda: stage.phase("bt", "one") == "Succeeded", 600)
