"""Objects move to another BatchAccount or namespace as docs/ownership.md, Move objects, says; what is in Azure Batch stays."""

from __future__ import annotations

from typing import Any

import pytest

from support.stage import Refusal, Stage, job, pool, schedule, sleeping

ADOPT, POLICY = "azurebatch.io/adopt", "azurebatch.io/reconcile-policy"


def adopting(body: dict[str, Any], namespace: str = "default") -> dict[str, Any]:
    body["metadata"] |= {"namespace": namespace, "annotations": {ADOPT: "true", POLICY: "manage"}}
    return body


def changed(stage: Stage, since: float) -> set[str]:
    """What was called to change something."""
    return {each.operation for each in stage.azure.changes(since)}


async def test_a_pool_and_its_running_job_move_to_another_account(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(2, 7200)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 900)
    for kind, name in (("bj", "own"), ("bp", "cpu")):
        with pytest.raises(Refusal, match=r"accountRef cannot be changed: .* \(docs/ownership\.md, Move objects\)"):
            stage.patch(kind, name, {"spec": {"accountRef": {"name": "other"}}})
    since = stage.clock.time()
    for kind, name in (("bj", "own"), ("bp", "cpu")):
        stage.annotate(kind, name, reconcile_policy="detach-on-delete")
        stage.delete(kind, name)
    await stage.until(lambda: stage.gone("bj", "own") and stage.gone("bp", "cpu"), 600)
    stage.apply(*stage.account_objects("other"))
    stage.apply(adopting(pool("cpu", accountRef={"name": "other"})), adopting(job("own", tasks=sleeping(2, 7200))))
    await stage.until(lambda: stage.ready("bp", "cpu") and stage.phase("bj", "own") == "Running", 900)
    stage.delete("bacc", "main")
    await stage.until(lambda: stage.gone("bacc", "main"), 60)
    assert not {each for each in changed(stage, since) if "Delete" in each or "Create" in each or "Terminate" in each}
    assert stage.status("bp", "cpu")["adopted"] is stage.status("bj", "own")["adopted"] is True
    # With the policy `manage`, what was adopted goes with its objects.
    stage.delete("bj", "own")
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.gone("bj", "own") and stage.gone("bp", "cpu"), 900)
    assert stage.azure.ids("/pools") == stage.azure.ids("/jobs") == []


async def test_a_pool_moves_to_another_namespace_when_its_marker_is_removed(stage: Stage) -> None:
    stage.apply({"kind": "Namespace", "metadata": {"name": "team"}})
    await stage.ready_pool(metadata=[{"name": "a", "value": "b"}])
    stage.annotate("bp", "cpu", reconcile_policy="detach-on-delete")
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.gone("bp", "cpu"), 600)
    stage.apply(*stage.account_objects(namespace="team"), adopting(pool("cpu"), "team"))
    await stage.until(lambda: stage.reason("bp", "cpu", "team") == "OwnershipConflict", 600)
    # `az batch pool set --metadata` replaces all items.
    stage.azure.patch("/pools/cpu", {"metadata": [{"name": "a", "value": "b"}]})
    await stage.until(lambda: stage.ready("bp", "cpu", "team"), 900)
    assert stage.azure.ids("/pools") == ["cpu"]


HOURLY = {"expression": "0 * * * *"}


async def running_by_cron(stage: Stage) -> str:
    """The BatchJob of an hourly schedule that runs."""
    await stage.ready_pool()
    jobs = {"poolRef": {"name": "cpu"}, "tasks": sleeping(2, 36_000)}
    stage.apply(schedule("nightly", accountRef={"name": "main"}, cron=HOURLY, jobSpecification=jobs))
    await stage.until(lambda: stage.names("bj") and stage.phase("bj", stage.names("bj")[0]) == "Running", 7200)
    return stage.names("bj")[0]


@pytest.mark.parametrize("policy", ["detach-on-delete", "skip"])
@pytest.mark.parametrize("order", ["the schedule first", "the run first", "while the operator is down"])
async def test_the_runs_of_a_cron_schedule_are_kept_like_the_schedule(stage: Stage, policy: str, order: str) -> None:
    """Kubernetes deletes them with it, or before it if that is asked for (--cascade=foreground)."""
    run = await running_by_cron(stage)
    since = stage.clock.time()
    if order == "while the operator is down":
        await stage.kill()
    stage.watch.delay(10, "batchjobschedules")
    stage.annotate("bjs", "nightly", reconcile_policy=policy)
    stage.delete("bjs", "nightly")
    if order == "the run first":
        stage.delete("bj", run)
    if order == "while the operator is down":
        await stage.run_for(60)
        stage.start()
    await stage.until(lambda: stage.gone("bj", run) and stage.gone("bjs", "nightly"), 600)
    await stage.run_for(120)
    assert changed(stage, since) == set()
    assert stage.azure.ids("/jobs") == [run]


async def test_a_run_of_a_detached_schedule_that_stays_is_deleted_as_usual(stage: Stage) -> None:
    """Or `concurrencyPolicy: Replace` and the history limits would leave jobs behind."""
    run = await running_by_cron(stage)
    stage.annotate("bjs", "nightly", reconcile_policy="detach-on-delete")
    stage.delete("bj", run)
    await stage.until(lambda: stage.gone("bj", run), 600)
    assert stage.azure.ids("/jobs") == []


async def test_a_run_that_states_a_policy_keeps_it_when_its_schedule_is_detached(stage: Stage) -> None:
    run = await running_by_cron(stage)
    stage.annotate("bj", run, reconcile_policy="manage")
    stage.annotate("bjs", "nightly", reconcile_policy="detach-on-delete")
    stage.delete("bjs", "nightly")
    await stage.until(lambda: stage.gone("bj", run), 600)
    assert stage.azure.ids("/jobs") == []


async def test_the_runs_of_a_schedule_that_is_deleted_are_deleted(stage: Stage) -> None:
    run = await running_by_cron(stage)
    stage.delete("bjs", "nightly")
    await stage.until(lambda: stage.gone("bj", run) and stage.gone("bjs", "nightly"), 600)
    assert stage.azure.ids("/jobs") == []
