"""BatchTasks that the API server creates with the finalizer have one write less. They go as others do, and leave nothing behind."""

from __future__ import annotations

import pytest

from support.stage import Options, Stage, job, pool, secret, task

BORN = pytest.mark.parametrize("stage", [Options(finalizer_at_creation=True)], indirect=True)
WRONG_KEY = secret("main-key", key="bm90aGluZw==")


async def open_job(stage: Stage) -> None:
    """A job that takes tasks, on a pool without nodes, so that tasks wait and have no status."""
    stage.apply(*stage.account_objects(), pool("cpu", targetDedicatedNodes=0))
    await stage.until(lambda: stage.ready("bp", "cpu"), 600)
    stage.apply(job("steps"))
    await stage.until(lambda: stage.ready("bj", "steps"), 120)


async def shut_out(stage: Stage) -> None:
    """From now on, the account refuses all calls."""
    stage.apply(WRONG_KEY)
    stage.annotate("bacc", "main", reconcile_now="shut out")
    await stage.until(lambda: stage.condition("bacc", "main").get("status") == "False", 300)


async def let_in(stage: Stage) -> None:
    """The account takes calls again."""
    stage.apply(*stage.account_objects())
    stage.annotate("bacc", "main", reconcile_now="let in")
    await stage.until(lambda: stage.ready("bacc", "main"), 300)


def tasks(stage: Stage) -> list[str]:
    return sorted(each["id"] for each in stage.azure.all("/jobs/steps/tasks"))


@BORN
async def test_a_task_has_no_write_but_its_statuses(stage: Stage) -> None:
    await open_job(stage)
    stage.apply(task("one", "steps"))
    await stage.until(lambda: tasks(stage) == ["one"], 60)
    assert stage.writes("bt") == 0
    stage.patch("bp", "cpu", {"spec": {"targetDedicatedNodes": 1}})
    await stage.until(lambda: stage.phase("bt", "one") == "Succeeded", 1200)
    assert stage.writes("bt") == 0
    assert 1 <= stage.writes("bt", subresource="status") <= 2
    stage.delete("bt", "one")
    await stage.until(lambda: stage.gone("bt", "one"), 120)
    assert tasks(stage) == []


@BORN
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_task_that_was_sent_is_deleted_before_its_object(stage: Stage, restarted: bool) -> None:
    await open_job(stage)
    stage.apply(task("one", "steps"))
    await stage.until(lambda: tasks(stage) == ["one"], 60)
    await shut_out(stage)
    if restarted:
        await stage.restart()
    stage.delete("bt", "one")
    await stage.always(lambda: not stage.gone("bt", "one"), 300)
    await let_in(stage)
    await stage.until(lambda: stage.gone("bt", "one"), 300)
    assert tasks(stage) == []


@BORN
async def test_an_object_without_any_create_is_released_immediately(stage: Stage) -> None:
    await open_job(stage)
    await shut_out(stage)
    stage.apply(task("one", "steps"), task("two", "nowhere"))
    await stage.run_for(30)
    for name in ("one", "two"):
        stage.delete("bt", name)
        await stage.until(lambda name=name: stage.gone("bt", name), 5)
    assert not stage.events("bt", reason="TaskMayRemain")


@BORN
async def test_after_a_restart_it_goes_if_its_job_was_never_created(stage: Stage) -> None:
    stage.apply(*stage.account_objects(), WRONG_KEY, pool("cpu"), job("steps"), task("one", "steps"))
    await stage.until(lambda: stage.reason("bt", "one"), 120)
    await stage.restart()
    stage.delete("bt", "one")
    await stage.until(lambda: stage.gone("bt", "one"), 30)


@BORN
async def test_after_a_restart_it_waits_for_the_account_if_its_job_was(stage: Stage) -> None:
    """It may have been sent: nothing but its finalizer tells."""
    await open_job(stage)
    await shut_out(stage)
    stage.apply(task("one", "steps"))
    await stage.run_for(30)
    await stage.restart()
    stage.delete("bt", "one")
    await stage.always(lambda: not stage.gone("bt", "one"), 300)
    await let_in(stage)
    await stage.until(lambda: stage.gone("bt", "one"), 120)


@BORN
async def test_objects_created_and_deleted_without_an_operator_are_finalized_by_the_next_one(stage: Stage) -> None:
    await open_job(stage)
    await stage.kill()
    stage.apply(task("one", "steps"))
    stage.delete("bt", "one")
    assert not stage.gone("bt", "one")
    stage.start()
    await stage.until(lambda: stage.gone("bt", "one"), 180)
    assert tasks(stage) == []


@BORN
async def test_an_account_that_never_answered_does_not_wait_for_them(stage: Stage) -> None:
    stage.apply(*stage.account_objects(), WRONG_KEY, pool("cpu"), job("steps"), task("one", "steps"))
    await stage.until(lambda: stage.reason("bt", "one"), 120)
    stage.delete("bacc", "main")
    await stage.until(lambda: stage.gone("bacc", "main"), 60)


@BORN
async def test_tasks_of_a_foreign_job_are_not_listed(stage: Stage) -> None:
    await open_job(stage)
    stage.azure.post("/jobs", {"id": "theirs", "poolInfo": {"poolId": "cpu"}})
    stage.apply(job("theirs"), task("one", "theirs"))
    await stage.until(lambda: stage.reason("bt", "one"), 120)
    await stage.run_for(300)
    assert not [each for each in stage.azure.log if "/jobs/theirs/tasks" in each.path]


@BORN
async def test_without_the_policy_the_operator_adds_it(stage: Stage) -> None:
    await open_job(stage)
    stage.apply(task("with", "steps"))
    stage.server.finalizer_at_creation = False
    stage.apply(task("without", "steps"))
    await stage.until(lambda: tasks(stage) == ["with", "without"], 60)
    assert [stage.get("bt", each)["metadata"]["finalizers"] for each in ("with", "without")] == [
        ["azurebatch.io/finalizer"]
    ] * 2
    assert (stage.writes("bt", "with"), stage.writes("bt", "without")) == (0, 1)


@pytest.mark.parametrize("stage", [Options(), Options(finalizer_at_creation=True)], indirect=True)
async def test_a_task_in_the_job_of_a_former_batchjob_is_deleted_before_its_object(stage: Stage) -> None:
    """The BatchJob that has its name now was never created in Azure Batch, but the task is in the job of the one before."""
    await open_job(stage)
    stage.apply(task("one", "steps"))
    await stage.until(lambda: tasks(stage) == ["one"], 60)
    stage.annotate("bj", "steps", reconcile_policy="detach-on-delete")
    await shut_out(stage)
    stage.delete("bj", "steps")
    await stage.until(lambda: stage.gone("bj", "steps"), 120)
    stage.apply(job("steps"))
    await stage.run_for(5)
    await stage.restart()
    stage.delete("bt", "one")
    await stage.always(lambda: not stage.gone("bt", "one"), 300)
    await let_in(stage)
    await stage.until(lambda: stage.gone("bt", "one"), 300)
    assert tasks(stage) == []
