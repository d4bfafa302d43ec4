"""Pools: deleted only when nobody needs them, brought to their size whatever comes between, and theirs alone after a restore."""

from __future__ import annotations

from typing import Any

import pytest

from support.stage import Stage, job, pool, sleeping, task

TEAM = {"kind": "Namespace", "metadata": {"name": "team"}}
OWNER = "azurebatch.io/owner"


def by_id(name: str, tasks: list[dict[str, Any]] | None, **spec: Any) -> dict[str, Any]:
    """A job of another namespace that names the pool by its id."""
    account = {"name": "main", "namespace": "default"}
    body = job(name, poolRef=None, poolInfo={"poolId": "cpu"}, accountRef=account, tasks=tasks, **spec)
    body["metadata"]["namespace"] = "team"
    return body


async def a_shared_pool(stage: Stage) -> None:
    all_: dict[str, Any] = {"allowedNamespaces": {"all": True}}
    stage.apply(TEAM, *stage.account_objects(**all_), pool("cpu", deletionPolicy="DeleteWhenIdle", **all_))
    await stage.until(lambda: stage.ready("bp", "cpu"), 600)


async def test_a_pool_is_not_deleted_under_jobs_of_another_namespace_that_wait_for_it(stage: Stage) -> None:
    await a_shared_pool(stage)
    stage.apply(by_id("theirs", sleeping(6, 900)))
    await stage.until(lambda: stage.phase("bj", "theirs", "team") == "Running", 120)
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.reason("bp", "cpu") == "WaitingForTasks", 60)
    await stage.until(lambda: "'theirs'" in stage.condition("bp", "cpu")["message"], 60)
    await stage.until(lambda: stage.phase("bj", "theirs", "team") == "Succeeded", 3600)
    assert stage.azure.calls("Pools_DeletePool") == 0
    await stage.until(lambda: stage.gone("bp", "cpu"), 900)
    assert stage.azure.ids("/pools") == []


async def test_a_pool_is_not_deleted_under_a_job_that_nobody_in_the_cluster_knows(stage: Stage) -> None:
    await a_shared_pool(stage)
    stage.azure.post("/jobs", {"id": "by-hand", "poolInfo": {"poolId": "CPU"}})
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.reason("bp", "cpu") == "WaitingForTasks", 60)
    await stage.until(lambda: "by-hand" in stage.condition("bp", "cpu")["message"], 60)
    await stage.run_for(1800)
    assert stage.azure.calls("Pools_DeletePool") == 0
    stage.azure.delete("/jobs/by-hand")
    await stage.until(lambda: stage.gone("bp", "cpu"), 300)


async def test_tasks_that_the_counts_do_not_know_yet_keep_a_pool(stage: Stage) -> None:
    """Counts lag by minutes: lists have the last word before the pool is deleted."""
    await a_shared_pool(stage)
    stage.apply(by_id("steps", None))
    await stage.until(lambda: stage.azure.get("/jobs/steps"), 60)
    await stage.run_for(900)
    stage.azure.service.lag.seconds = 600
    extra = task("late", "steps", "sleep 900")
    extra["metadata"]["namespace"] = "team"
    stage.apply(extra)
    await stage.until(lambda: stage.azure.ids("/jobs/steps/tasks") == ["late"], 60)
    stage.delete("bp", "cpu")
    await stage.run_for(300)
    assert stage.azure.calls("Pools_DeletePool") == 0
    assert stage.reason("bp", "cpu") == "WaitingForTasks"
    assert stage.azure.calls("Tasks_ListTasks") < 300, "lists are not asked again and again"
    await stage.until(lambda: stage.gone("bp", "cpu"), 1800)


async def test_an_idle_pool_is_deleted_beside_open_jobs_that_have_nothing_to_do(stage: Stage) -> None:
    await a_shared_pool(stage)
    stage.apply(by_id("open", sleeping(1, 1), onAllTasksComplete="noaction"))
    await stage.until(lambda: "have ended" in stage.condition("bj", "open", namespace="team").get("message", ""), 900)
    await stage.run_for(600)
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.gone("bp", "cpu"), 300)


# --- a cluster that was lost, and a fleet that is applied again from Git ---


async def test_a_lost_cluster_is_restored_from_git(stage: Stage) -> None:
    """The new cluster has another id, and all objects have other uids."""
    fleet = [*stage.account_objects(), *(pool(f"pool-{number}", targetDedicatedNodes=1) for number in range(3))]
    jobs = [job(f"job-{number}", poolRef={"name": f"pool-{number}"}, tasks=sleeping(1, 7200)) for number in range(3)]
    done = job("done", poolRef={"name": "pool-0"}, tasks=[{"id": "a", "commandLine": "true"}])
    steps = [job("steps", poolRef={"name": "pool-1"}), task("one", "steps", "sleep 7200")]
    stage.apply(*fleet, *jobs, done, *steps)
    await stage.until(lambda: all(stage.phase("bj", each["metadata"]["name"]) == "Running" for each in jobs), 900)
    await stage.until(lambda: stage.phase("bj", "done") == "Succeeded", 900)
    await stage.until(lambda: stage.azure.ids("/jobs/steps/tasks") == ["one"], 60)
    await stage.kill()
    for kind in ("bt", "bj", "bp", "bacc"):
        for name in stage.names(kind):
            stage.take_finalizers_off(kind, name)
            stage.delete(kind, name)
    operations = (
        "Pools_CreatePool",
        "Jobs_CreateJob",
        "Tasks_CreateTaskCollection",
        "Pools_DeletePool",
        "Jobs_DeleteJob",
    )
    before = [stage.azure.calls(each) for each in operations]
    task_before = stage.azure.get("/jobs/steps/tasks/one")
    assert task_before
    stage.start(cluster_id="new", adopt_from_clusters=["quick"])
    stage.apply(*fleet, *jobs, done, *steps)
    await stage.until(lambda: all(stage.ready("bp", f"pool-{number}") for number in range(3)), 600)
    await stage.until(lambda: all(stage.phase("bj", each["metadata"]["name"]) == "Running" for each in jobs), 600)
    await stage.until(lambda: stage.phase("bj", "done") == "Succeeded", 600)
    await stage.until(lambda: stage.phase("bt", "one") == "Running", 600)
    before[2] += 1
    assert [stage.azure.calls(each) for each in operations] == before, "one task is offered again"
    after = stage.azure.get("/jobs/steps/tasks/one")
    assert after
    assert after["creationTime"] == task_before["creationTime"], "and the service refuses it, as it has it"
    assert stage.azure.ids("/pools") == ["pool-0", "pool-1", "pool-2"]

    await stage.restart(cluster_id="new", adopt_from_clusters=[])
    await stage.run_for(300)
    for each in [*(("bp", f"pool-{number}") for number in range(3)), *(("bj", f"job-{number}") for number in range(3))]:
        assert stage.reason(*each) != "OwnershipConflict", "the flag is not needed any more"
    stage.delete("bj", "job-0")
    stage.delete("bp", "pool-2")
    await stage.until(lambda: stage.gone("bj", "job-0") and stage.azure.get("/jobs/job-0") is None, 600)
    await stage.until(lambda: stage.azure.get("/pools/pool-2") is None, 900)


async def moved_to_another_cluster(stage: Stage, *objects: dict[str, Any], **settings: Any) -> None:
    """All objects are lost with their cluster, and applied again in a new one."""
    await stage.kill()
    for kind in ("bt", "bj", "bp", "bacc"):
        for name in stage.names(kind):
            stage.take_finalizers_off(kind, name)
            stage.delete(kind, name)
    stage.start(cluster_id="new", **settings)
    stage.apply(*objects)


async def test_batch_tasks_of_a_job_that_ended_in_a_lost_cluster_end_as_it_did(stage: Stage) -> None:
    """Azure Batch rejects a new marker in a completed job, so the job keeps that of the lost cluster."""
    fleet = [*stage.account_objects(), pool("cpu", targetDedicatedNodes=1), job("steps")]
    tasks = [task("good", "steps", "true"), task("bad", "steps", "exit 3")]
    by_job_id = {
        "metadata": {"name": "late"},
        "spec": {"jobId": "steps", "accountRef": {"name": "main"}, "commandLine": "true"},
    }
    stage.apply(*fleet, *tasks)
    await stage.until(lambda: (stage.phase("bt", "good"), stage.phase("bt", "bad")) == ("Succeeded", "Failed"), 900)
    stage.annotate("bj", "steps", terminate="1")
    await stage.until(lambda: stage.phase("bj", "steps") in {"Succeeded", "Failed"}, 600)
    before = stage.azure.changes()
    late = {"kind": "BatchTask", **by_job_id}
    await moved_to_another_cluster(stage, *fleet, *tasks, late, adopt_from_clusters=["quick"])
    await stage.until(lambda: (stage.phase("bt", "good"), stage.phase("bt", "bad")) == ("Succeeded", "Failed"), 600)
    assert stage.status("bt", "bad")["exitCode"] == 3
    await stage.until(lambda: stage.phase("bt", "late") == "Failed", 600)
    assert "is completed and accepts no more tasks" in stage.condition("bt", "late")["message"]
    changed = {call.operation for call in stage.azure.changes()[len(before) :] if "/steps" in call.path}
    assert changed <= {"Tasks_CreateTaskCollection"}, "nothing of the job changes"


async def test_a_batch_task_of_an_adopted_job_that_has_ended_says_so(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.post("/jobs", {"id": "done", "poolInfo": {"poolId": "cpu"}})
    stage.azure.post("/jobs/done/terminate", {})
    await stage.until(lambda: stage.azure.get("/jobs/done")["state"] == "completed", 600)
    old = job("done")
    old["metadata"]["annotations"] = {"azurebatch.io/adopt": "true"}
    stage.apply(old, task("late", "done", "true"))
    await stage.until(lambda: stage.phase("bt", "late") == "Failed", 600)
    assert "job 'done' is completed and accepts no more tasks" in stage.condition("bt", "late")["message"]


async def test_without_the_flag_nothing_of_a_lost_cluster_is_touched(stage: Stage) -> None:
    await stage.ready_pool()
    await stage.kill()
    for kind, name in (("bp", "cpu"), ("bacc", "main")):
        stage.take_finalizers_off(kind, name)
        stage.delete(kind, name)
    changes = stage.azure.changes()
    stage.start(cluster_id="new")
    stage.apply(*stage.account_objects(), pool("cpu", targetDedicatedNodes=9))
    await stage.until(lambda: stage.reason("bp", "cpu") == "OwnershipConflict", 120)
    assert stage.azure.changes() == changes
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.gone("bp", "cpu"), 120)
    assert stage.azure.ids("/pools") == ["cpu"]


# --- sizes ---


async def test_nodes_that_do_not_leave_in_time_are_asked_again_until_they_are_gone(stage: Stage) -> None:
    await stage.ready_pool(resizeTimeout="PT5M", nodeDeallocationOption="taskcompletion")
    stage.apply(job("long", tasks=sleeping(4, 5400)))
    await stage.until(lambda: stage.phase("bj", "long") == "Running", 300)
    stage.patch("bp", "cpu", {"spec": {"targetDedicatedNodes": 0}})
    await stage.until(lambda: stage.reason("bp", "cpu") == "ResizeIncomplete", 1200)
    assert "billed" in stage.condition("bp", "cpu")["message"]
    await stage.until(lambda: not stage.azure.service.pool("cpu").nodes, 4 * 3600)
    assert stage.azure.calls("Pools_ResizePool") <= 8


async def test_an_autoscaler_does_not_keep_a_pool_from_getting_nodes(stage: Stage) -> None:
    await stage.ready_pool()
    for nodes in range(3, 33):
        stage.patch("bp", "cpu", {"spec": {"targetDedicatedNodes": nodes}})
        await stage.run_for(15)
    await stage.until(lambda: len(stage.azure.service.pool("cpu").nodes) == 32, 600)
    assert stage.azure.calls("Pools_StopPoolResize") == 0


@pytest.mark.parametrize("delay", [0, 60, 118, 119, 120, 121, 122, 123, 124, 130])
async def test_a_pool_that_others_delete_is_deleted_again_only_if_it_was_recreated(stage: Stage, delay: int) -> None:
    """Their deletion takes two minutes; the object is deleted before, about then, and after."""
    await stage.ready_pool()
    stage.azure.delete("/pools/cpu")
    await stage.until(lambda: stage.reason("bp", "cpu") == "DeletedByOthers")
    await stage.run_for(delay)
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.gone("bp", "cpu"), 600)
    await stage.run_for(120)
    assert stage.azure.get("/pools/cpu") is None
    assert stage.azure.calls("Pools_DeletePool") == stage.azure.calls("Pools_CreatePool") - 1


async def test_nodes_with_an_old_start_task_restart_one_after_the_other(stage: Stage) -> None:
    """A node that is asked to restart runs its tasks to their ends first, and takes no others."""
    await stage.ready_pool(taskSlotsPerNode=1, startTask={"commandLine": "true"}, startTaskUpdate="Reboot")
    stage.apply(job("own", tasks=sleeping(2, 3600)))
    await stage.until(lambda: stage.status("bj", "own").get("taskCounts", {}).get("running") == 2, 300)
    stage.patch("bp", "cpu", {"spec": {"startTask": {"commandLine": "/bin/sh -c 'exit 0'"}}})
    await stage.run_for(1800)
    assert stage.azure.calls("Nodes_RebootNode") == 1
    await stage.until(lambda: stage.azure.calls("Nodes_RebootNode") == 2, 7200)
    await stage.until(lambda: "nodesWithOldStartTask" not in stage.status("bp", "cpu"), 900)


async def test_how_many_nodes_have_an_old_start_task_is_still_said_after_a_restart(stage: Stage) -> None:
    """No process remembers it: the nodes are listed again, and until then the status stays as it was."""
    await stage.ready_pool(taskSlotsPerNode=1, startTask={"commandLine": "true"}, startTaskUpdate="Reboot")
    stage.apply(job("own", tasks=sleeping(2, 7200)))
    await stage.until(lambda: stage.status("bj", "own").get("taskCounts", {}).get("running") == 2, 300)
    stage.patch("bp", "cpu", {"spec": {"startTask": {"commandLine": "/bin/sh -c 'exit 0'"}}})
    await stage.until(lambda: stage.status("bp", "cpu").get("nodesWithOldStartTask") == 2, 300)
    await stage.run_for(120)
    await stage.restart()
    await stage.always(lambda: stage.status("bp", "cpu").get("nodesWithOldStartTask") == 2, 300)
    await stage.kill()
    stage.azure.service.nodes.preempt(next(iter(stage.azure.service.pool("cpu").nodes.values())))
    stage.start()
    await stage.until(lambda: stage.status("bp", "cpu").get("nodesWithOldStartTask") == 1, 300)


async def test_a_pool_is_not_shrunk_after_its_namespace_says_skip(stage: Stage) -> None:
    """Namespaces are looked at every half minute; what ends work is decided by a fresh look."""
    own = pool("cpu")
    own["metadata"]["namespace"] = "team"
    stage.apply(TEAM, *stage.account_objects(namespace="team"), own)
    await stage.until(lambda: stage.ready("bp", "cpu", "team"), 600)
    stage.annotate("ns", "team", "", reconcile_policy="skip")
    stage.patch("bp", "cpu", {"spec": {"targetDedicatedNodes": 0}}, "team")
    await stage.run_for(120)
    assert stage.azure.calls("Pools_ResizePool") == 0
    assert stage.reason("bp", "cpu", "team") == "ReconcileSkipped"


async def test_a_pool_that_waits_for_the_list_of_images_says_so(stage: Stage) -> None:
    stage.azure.fault("Pools_ListSupportedImages", status=500)
    image = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"}
    stage.apply(*stage.account_objects(), pool("cpu", virtualMachineConfiguration={"imageReference": image}))
    await stage.until(lambda: stage.reason("bp", "cpu") == "ImagesUnknown", 60)
    assert "nodeAgentSKUId" in stage.condition("bp", "cpu")["message"]
    stage.azure.heal()
    await stage.until(lambda: stage.ready("bp", "cpu"), 900)


async def test_no_job_is_created_on_a_pool_that_is_being_deleted(stage: Stage) -> None:
    """Azure Batch takes such a job, and its tasks wait for a pool that is gone."""
    await stage.ready_pool()
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.azure.calls("Pools_DeletePool") == 1, 60)
    stage.apply(job("own", tasks=sleeping(1)))
    await stage.run_for(1)
    assert stage.azure.get("/pools/cpu")["state"] == "deleting"
    await stage.until(lambda: stage.gone("bp", "cpu"), 900)
    await stage.run_for(60)
    assert stage.azure.calls("Jobs_CreateJob") == 0
    assert stage.reason("bj", "own") == "PoolNotFound"
