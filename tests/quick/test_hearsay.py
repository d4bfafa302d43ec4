"""What cannot be undone is decided on first-hand, fresh evidence of the resource itself."""

from __future__ import annotations

from typing import Any

import pytest

from support.stage import Stage, job, pool, sleeping, task, thing

JOB = {"id": "own", "poolInfo": {"poolId": "cpu"}}


def fresh_pool(stage: Stage) -> dict[str, Any]:
    """A pool as somebody else makes it, on the image of the usual one."""
    image = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"}
    machine = {"imageReference": image, "nodeAgentSKUId": "batch.node.ubuntu 22.04"}
    return {
        "id": "cpu",
        "vmSize": "Standard_D4ads_v6",
        "virtualMachineConfiguration": machine,
        "targetDedicatedNodes": 0,
    }


async def lists_held(stage: Stage, *operations: str) -> None:
    """Go on with the operator, whose view stays as old as it is for ten seconds more."""
    holds = [stage.azure.hold(operation) for operation in operations]
    stage.thaw()
    await stage.run_for(10)
    for hold in holds:
        hold.release()


async def test_a_foreign_job_under_our_id_stays(stage: Stage) -> None:
    """Ours was deleted outside the operator, theirs was made, and the object is deleted before the next poll."""
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running")
    stage.freeze()
    stage.azure.delete("/jobs/own")
    await stage.until(lambda: stage.azure.get("/jobs/own") is None)
    stage.azure.post("/jobs", JOB)
    stage.delete("bj", "own")
    await lists_held(stage, "Jobs_ListJobs")
    await stage.until(lambda: stage.gone("bj", "own"), 300)
    await stage.run_for(60)
    found = stage.azure.get("/jobs/own")
    assert found is not None
    assert found["state"] == "active"


async def test_a_foreign_pool_under_our_id_stays(stage: Stage) -> None:
    await stage.ready_pool()
    stage.freeze()
    stage.azure.delete("/pools/cpu")
    await stage.until(lambda: stage.azure.get("/pools/cpu") is None, 600)
    stage.azure.post("/pools", fresh_pool(stage))
    stage.delete("bp", "cpu")
    await lists_held(stage, "Pools_ListPools")
    await stage.until(lambda: stage.gone("bp", "cpu"), 300)
    await stage.run_for(60)
    found = stage.azure.get("/pools/cpu")
    assert found is not None
    assert found["state"] == "active"


async def test_a_foreign_task_under_our_id_stays(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", onAllTasksComplete="noaction"), task("t", "own", "sleep 3600"))
    await stage.until(lambda: stage.phase("bt", "t") == "Running", 120)
    stage.freeze()
    stage.azure.delete("/jobs/own/tasks/t")
    await stage.until(lambda: stage.azure.get("/jobs/own/tasks/t") is None)
    stage.azure.post("/jobs/own/tasks", {"id": "t", "commandLine": "sleep 7200"})
    stage.delete("bt", "t")
    await lists_held(stage, "Jobs_ListJobs", "Tasks_ListTasks")
    await stage.until(lambda: stage.gone("bt", "t"), 300)
    await stage.run_for(60)
    assert stage.azure.get("/jobs/own/tasks/t") is not None


@pytest.mark.parametrize("landing", [10, 45])
async def test_a_job_whose_creation_lands_late_is_cleaned_up(stage: Stage, landing: int) -> None:
    """The object is deleted while the call is held up on its way, for less and for more than the caller waits."""
    await stage.ready_pool()
    hold = stage.azure.hold("Jobs_CreateJob")
    stage.apply(job("own", tasks=sleeping(1)))
    await stage.until(lambda: hold.arrived)
    stage.delete("bj", "own")
    await stage.run_for(landing)
    hold.release()
    await stage.until(lambda: stage.gone("bj", "own"), 900)
    await stage.run_for(300)
    assert stage.azure.get("/jobs/own") is None


async def test_a_job_whose_creation_lands_after_its_operator_died_is_cleaned_up(stage: Stage) -> None:
    await stage.ready_pool()
    hold = stage.azure.hold("Jobs_CreateJob")
    stage.apply(job("own", tasks=sleeping(1)))
    await stage.until(lambda: hold.arrived)
    await stage.kill()
    stage.delete("bj", "own")
    stage.start()
    await stage.run_for(10)
    hold.release()
    await stage.until(lambda: stage.gone("bj", "own"), 900)
    await stage.run_for(300)
    assert stage.azure.get("/jobs/own") is None


@pytest.mark.parametrize("landing", [10, 45])
async def test_a_pool_whose_creation_lands_late_is_cleaned_up(stage: Stage, landing: int) -> None:
    hold = stage.azure.hold("Pools_CreatePool")
    stage.apply(*stage.account_objects(), pool("cpu"))
    await stage.until(lambda: hold.arrived)
    stage.delete("bp", "cpu")
    await stage.run_for(landing)
    hold.release()
    await stage.until(lambda: stage.gone("bp", "cpu"), 900)
    await stage.run_for(900)
    assert stage.azure.get("/pools/cpu") is None


async def test_tasks_whose_response_was_lost_are_deleted_with_their_objects(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.azure.get("/jobs/own"))
    stage.azure.fault("Tasks_CreateTask.*", lostAnswer=True, count=1)
    stage.apply(*(task(f"t{number}", "own", "sleep 3600") for number in range(20)))
    await stage.until(lambda: len(stage.azure.all("/jobs/own/tasks")) == 20)
    stage.azure.fault(status=503, code="ServerBusy")
    await stage.run_for(5)
    for number in range(20):
        stage.delete("bt", f"t{number}")
    await stage.run_for(60)
    stage.azure.heal()
    await stage.until(lambda: not stage.names("bt"), 900)
    await stage.run_for(60)
    assert stage.azure.all("/jobs/own/tasks") == []


async def test_a_job_whose_task_runs_is_not_ended_for_pending_too_long(stage: Stage) -> None:
    """The counts lag behind by more than the deadline; the list of tasks does not."""
    await stage.ready_pool()
    stage.azure.service.lag.seconds = 300.0
    stage.apply(job("own", tasks=sleeping(1, 3600), pendingDeadlineSeconds=120))
    await stage.until(lambda: stage.azure.get("/jobs/own/tasks/t0"))
    await stage.run_for(150)
    assert stage.status("bj", "own")["taskCounts"]["running"] == 0, "they lag"
    await stage.run_for(130)
    found = stage.azure.get("/jobs/own")
    assert found is not None
    assert (found["state"], stage.azure.get("/jobs/own/tasks/t0")["state"]) == ("active", "running")  # type: ignore[index]


async def test_a_job_is_not_ended_while_the_counts_are_older_than_its_tasks(stage: Stage) -> None:
    """One has failed and one depends on it, and two run. What lists must confirm is in the unit tests of jobs and calls."""
    await stage.ready_pool()
    tasks = [{"id": "bad", "commandLine": "/bin/sh -c 'exit 1'"}]
    after = {"id": "after", "commandLine": "true", "dependsOn": {"taskIds": ["bad"]}}
    stage.azure.service.lag.seconds = 120.0
    stage.apply(job("own", tasks=[*tasks, after, *sleeping(2, 3600)], usesTaskDependencies=True))
    await stage.until(lambda: stage.azure.get("/jobs/own/tasks/t1"))
    await stage.run_for(600)
    found = stage.azure.get("/jobs/own")
    assert found is not None
    assert found["state"] == "active"


async def test_the_documented_migration_keeps_the_pools(stage: Stage) -> None:
    """The namespace is annotated and the object deleted at once; the operator looks at namespaces every half minute."""
    await stage.ready_pool()
    stage.patch("ns", "default", {"metadata": {"annotations": {"azurebatch.io/reconcile-policy": "detach-on-delete"}}})
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.gone("bp", "cpu"), 300)
    await stage.run_for(60)
    found = stage.azure.get("/pools/cpu")
    assert found is not None
    assert found["state"] == "active"


async def test_a_job_that_has_ended_counts_its_batch_tasks_whatever_the_counts_know(stage: Stage) -> None:
    """Counts that lag show the job's own task and not the BatchTask when the job is completed."""
    await stage.ready_pool()
    stage.azure.service.lag.seconds = 60.0
    own = [{"id": "own", "commandLine": "sleep 5"}]
    stage.apply(job("both", tasks=own, onAllTasksComplete="terminatejob"), task("extra", "both", "sleep 10"))
    await stage.until(lambda: stage.phase("bj", "both") == "Succeeded", 600)
    assert stage.condition("bj", "both")["message"] == "all 2 tasks succeeded"
    assert stage.status("bj", "both")["taskCounts"]["completed"] == 2


async def test_a_recreated_job_does_not_count_tasks_of_the_former_one(stage: Stage) -> None:
    await stage.ready_pool()
    own = [{"id": "own", "commandLine": "sleep 60"}]
    stage.apply(job("both", tasks=own, onAllTasksComplete="terminatejob"), task("extra", "both", "sleep 5"))
    await stage.until(lambda: stage.phase("bt", "extra") == "Succeeded", 600)
    stage.azure.delete("/jobs/both")
    await stage.until(lambda: stage.reason("bj", "both") == "JobGone", 300)
    stage.annotate("bj", "both", recreate="1")
    await stage.until(lambda: stage.phase("bj", "both") == "Succeeded", 600)
    assert stage.azure.ids("/jobs/both/tasks") == ["own"]
    assert stage.condition("bj", "both")["message"] == "the task succeeded"


async def test_a_task_of_a_recreated_job_does_not_count_as_lost(stage: Stage) -> None:
    """The list of jobs was read before somebody made the job again, that of its tasks afterwards."""
    late = thing("BatchTask", "late", jobId="own", accountRef={"name": "main"}, commandLine="sleep 36000")
    await stage.ready_pool()
    stage.azure.post("/jobs", JOB)
    stage.azure.post("/jobs/own/terminate")
    await stage.until(lambda: (stage.azure.get("/jobs/own") or {})["state"] == "completed", 60)
    tasks = stage.azure.hold("Tasks_ListTasks")
    stage.apply(late)
    await stage.until(lambda: tasks.arrived, 120)
    stage.azure.delete("/jobs/own")
    await stage.until(lambda: stage.azure.get("/jobs/own") is None, 60)
    stage.azure.post("/jobs", JOB)
    tasks.release()
    await stage.until(lambda: stage.phase("bt", "late") in {"Running", "Failed"}, 300)
    assert stage.phase("bt", "late") == "Running"


async def test_one_get_of_an_ended_job_answers_for_all_of_its_tasks(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.post("/jobs", JOB)
    stage.azure.post("/jobs/own/terminate")
    await stage.until(lambda: (stage.azure.get("/jobs/own") or {})["state"] == "completed", 60)
    names = [f"t{number}" for number in range(30)]
    account = {"name": "main"}
    stage.apply(*[thing("BatchTask", name, jobId="own", accountRef=account, commandLine="true") for name in names])
    await stage.until(lambda: all(stage.phase("bt", name) == "Failed" for name in names), 120)
    assert {stage.reason("bt", name) for name in names} == {"JobFinished"}
    assert stage.azure.calls("Jobs_GetJob") <= 2
