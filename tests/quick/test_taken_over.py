"""What an object shows from the start, and of what it did not make: its pool, and that it was taken over."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_operator.api.kinds import KINDS, Kind
from support.stage import Stage, job, pool, schedule, sleeping, task

ADOPT = {"azurebatch.io/adopt": "true"}
OWN_POOL = {"vmSize": "Standard_D4ads_v6", "targetDedicatedNodes": 1}
JOBS = {"poolRef": {"name": "cpu"}, "jobManagerTask": {"id": "m", "commandLine": "true"}}


def adopting(body: Any) -> Any:
    return {**body, "metadata": {**body["metadata"], "annotations": ADOPT}}


async def test_only_adopted_resources_are_shown_as_adopted(stage: Stage) -> None:
    await stage.ready_pool()
    machine = stage.get("bp", "cpu")["spec"]["virtualMachineConfiguration"]
    later = {"schedule": {"doNotRunUntil": "2099-01-01T00:00:00Z"}, "jobSpecification": {"poolInfo": {"poolId": "cpu"}}}
    stage.azure.post("/pools", {"id": "old", "virtualMachineConfiguration": machine, **OWN_POOL})
    stage.azure.post("/jobs", {"id": "old", "poolInfo": {"poolId": "cpu"}})
    stage.azure.post("/jobschedules", {"id": "nightly", **later})
    stage.azure.post("/jobs", {"id": "done", "poolInfo": {"poolId": "cpu"}})
    stage.azure.post("/jobs/done/terminate", {})
    await stage.until(lambda: stage.azure.get("/jobs/done")["state"] == "completed", 600)
    stage.apply(
        adopting(pool("old", targetDedicatedNodes=1)), adopting(job("old")), adopting(job("done")), job("new"),
        adopting(schedule("nightly", schedule={"doNotRunUntil": "2099-01-01T00:00:00Z"}, jobSpecification=JOBS)),
    )  # fmt: skip
    for kind, name in (("bp", "old"), ("bj", "old"), ("bjs", "nightly"), ("bj", "done")):
        await stage.until(lambda kind=kind, name=name: stage.status(kind, name).get("adopted"), 600)  # type: ignore[misc]
        assert stage.status(kind, name)["adopted"] is True
    await stage.until(lambda: stage.phase("bj", "new") == "Running", 600)
    assert "adopted" not in stage.status("bj", "new")
    assert "adopted" not in stage.status("bp", "cpu")


async def test_a_foreign_resource_was_not_adopted(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.post("/jobs", {"id": "old", "poolInfo": {"poolId": "cpu"}})
    stage.apply(job("old"))
    await stage.until(lambda: stage.reason("bj", "old") == "OwnershipConflict", 600)
    assert "adopted" not in stage.status("bj", "old")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"suspend": True}, "Suspended"),
        ({"poolRef": {"name": "missing"}}, "PoolNotFound"),
        ({"tasks": [{"id": "a", "commandLine": "x", "dependsOn": {"taskIds": ["b"]}}]}, "InvalidTasks"),
        ({"tasksFrom": [{"configMapKeyRef": {"name": "missing", "key": "k"}}]}, "ConfigMapNotFound"),
    ],
    ids=["suspended", "no-pool", "wrong-tasks", "no-tasks"],
)
async def test_a_job_names_its_pool_before_it_exists(stage: Stage, spec: dict[str, Any], reason: str) -> None:
    await stage.ready_pool()
    stage.apply(job("own", **({"tasks": sleeping(1)} | spec)))
    await stage.until(lambda: stage.reason("bj", "own") == reason, 60)
    name = spec.get("poolRef", {"name": "cpu"})["name"]
    assert stage.status("bj", "own")["poolId"] == name
    writes = stage.writes("bj", "own", "status")
    await stage.run_for(600)
    assert stage.writes("bj", "own", "status") == writes


async def test_a_job_shows_the_id_of_the_pool_and_not_the_name_of_its_object(stage: Stage) -> None:
    stage.apply(*stage.account_objects(), pool("cpu", id="cpu-of-a"), job("own", suspend=True))
    await stage.until(lambda: stage.ready("bp", "cpu"), 600)
    stage.patch("bj", "own", {"spec": {"suspend": False}})
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 600)
    assert stage.status("bj", "own")["poolId"] == "cpu-of-a"


def test_the_kinds_that_can_take_over_have_a_column_for_it() -> None:
    assert {kind for kind, info in KINDS.items() if any(each.name == "Adopted" for each in info.columns)} == {
        Kind.POOL,
        Kind.JOB,
        Kind.SCHEDULE,
    }
    assert {kind for kind, info in KINDS.items() if "adopted" in info.status.wire_names()} == {
        Kind.POOL,
        Kind.JOB,
        Kind.SCHEDULE,
    }


FEW, MANY = 1001, 8000
OTHERS = {"metadata": [{"name": "azurebatch.io/owner", "value": "other/default/BatchJob/own/uid-9/own"}]}


async def test_a_job_that_another_client_takes_over_gets_no_more_tasks(stage: Stage) -> None:
    """Such as another cluster that adopts it while its tasks are still being added: they used to come from both."""
    factory = {"repeat": {"count": FEW}, "repeatTask": {"commandLine": "/bin/sh -c 'sleep 36000'"}}
    await stage.ready_pool()
    stage.apply(job("own", taskFactory=factory))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 300)
    stage.azure.fault("Tasks_CreateTaskCollection", delay=5.0)
    stage.patch("bj", "own", {"spec": {"taskFactory": {"repeat": {"count": FEW + MANY}}}})
    await stage.until(lambda: len(stage.azure.all("/jobs/own/tasks")) > FEW, 100)
    before = stage.azure.get("/jobs/own")
    assert before
    stage.azure.patch("/jobs/own", OTHERS)
    await stage.until(lambda: stage.reason("bj", "own") == "OwnershipConflict", 100)
    added = len(stage.azure.all("/jobs/own/tasks"))
    assert added < FEW + MANY - 400
    await stage.run_for(300)
    assert len(stage.azure.all("/jobs/own/tasks")) <= added + 400, "what was on its way lands: four calls of a hundred"
    stage.azure.heal()
    stage.azure.patch("/jobs/own", {"metadata": before["metadata"]})
    await stage.until(lambda: len(stage.azure.all("/jobs/own/tasks")) == FEW + MANY, 300)


@pytest.mark.parametrize("named", ["jobRef", "jobId"])
async def test_a_job_that_another_client_takes_over_gets_no_more_batch_tasks(stage: Stage, named: str) -> None:
    await stage.ready_pool()
    stage.apply(job("own", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.ready("bj", "own"), 120)
    hold = stage.azure.hold("Tasks_CreateTaskCollection")
    names = [f"t{number:03}" for number in range(350)]
    by_id = {"jobRef": None, "jobId": "own", "accountRef": {"name": "main"}} if named == "jobId" else {}
    stage.apply(*(task(name, "own", **by_id) for name in names))
    await stage.until(lambda: hold.arrived, 60)
    before = stage.azure.get("/jobs/own")
    assert before
    stage.azure.patch("/jobs/own", OTHERS)
    stage.annotate("bj", "own", reconcile_now="1")
    await stage.until(lambda: stage.reason("bj", "own") == "OwnershipConflict", 5)
    await stage.run_for(1)
    hold.release()
    await stage.run_for(300)
    assert len(stage.azure.all("/jobs/own/tasks")) <= 100, "one call was on its way"
    stage.azure.patch("/jobs/own", {"metadata": before["metadata"]})
    await stage.until(lambda: all(stage.phase("bt", name) == "Succeeded" for name in names), 1800)
