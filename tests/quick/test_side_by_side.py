"""An account that is dead, or that may be called rarely, keeps no other account waiting."""

from __future__ import annotations

from support.stage import Stage, job, pool, task

OBJECTS = 60
"""More than are reconciled at once."""


async def _ready_job(stage: Stage) -> None:
    """An open job `own` in the account `main`."""
    await stage.ready_pool(targetDedicatedNodes=0)
    stage.apply(job("own", priority=0))
    await stage.until(lambda: stage.phase("bj", "own"), 300)


async def _reacts_at_once(stage: Stage, priority: int) -> None:
    updates, changed = stage.azure.calls("Jobs_UpdateJob"), stage.now
    stage.patch("bj", "own", {"spec": {"priority": priority}})
    await stage.until(lambda: stage.azure.calls("Jobs_UpdateJob") > updates, 300)
    assert stage.now - changed < 1


async def _pools_of_a_dead_account(stage: Stage) -> None:
    """Many objects that want a call each, of an account whose connections have begun to hang."""
    other = await stage.another_azure(10300)
    stage.apply(*stage.account_objects("dead", endpoint=other.endpoint))
    await _ready_job(stage)
    names = [f"p{number}" for number in range(OBJECTS)]
    stage.apply(*(pool(name, accountRef={"name": "dead"}, targetDedicatedNodes=0) for name in names))
    await stage.until(lambda: all(stage.ready("bp", name) for name in names), 300)
    other.fault(hang=True)
    for name in names:
        stage.patch("bp", name, {"spec": {"targetDedicatedNodes": 1}})
    await stage.run_for(2)


async def test_an_account_whose_connections_hang_keeps_no_other_waiting(stage: Stage) -> None:
    await _pools_of_a_dead_account(stage)
    for priority in (1, 2, 3):
        await _reacts_at_once(stage, priority)
        await stage.run_for(7)


async def test_tasks_do_not_wait_until_the_objects_of_another_account_have_been_reconciled(stage: Stage) -> None:
    """More BatchTasks may come while objects wait to be reconciled, so a collection waits for them."""
    await _pools_of_a_dead_account(stage)
    created = stage.now
    stage.apply(task("t", "own"))
    await stage.until(lambda: stage.azure.calls("Tasks_CreateTaskCollection"), 60)
    assert stage.now - created < 3, "a call waits a second for more of the same job"


async def test_an_account_with_a_low_limit_keeps_no_other_waiting(stage: Stage) -> None:
    other = await stage.another_azure(10200)
    limit = {"callsPerSecond": 0.5}
    stage.apply(*stage.account_objects("other", endpoint=other.endpoint, rateLimit=limit))
    await _ready_job(stage)
    names = [f"p{number}" for number in range(OBJECTS)]
    stage.apply(*(pool(name, accountRef={"name": "other"}, targetDedicatedNodes=0) for name in names))
    await stage.run_for(3)
    for priority in (1, 2, 3):
        await _reacts_at_once(stage, priority)
        await stage.run_for(7)
    # The others are not forgotten.
    await stage.until(lambda: all(stage.ready("bp", name) for name in names), 1200)
