"""Statuses and Events name no cause that nothing shows."""

from __future__ import annotations

from support.stage import Stage, job, pool, sleeping, task

NEVER_STARTED = "the task did not start, so it has written nothing"


async def test_a_task_that_never_started_did_not_run_on_a_node_that_is_gone(stage: Stage) -> None:
    stage.apply(*stage.account_objects(), pool("cpu", targetDedicatedNodes=0))
    stage.apply(job("own"), task("t", "own", "sleep 60"), job("mine", tasks=sleeping(1, 60)))
    await stage.until(lambda: stage.azure.get("/jobs/mine/tasks/t0") and stage.azure.get("/jobs/own/tasks/t"), 900)
    stage.annotate("bt", "t", terminate="1")
    stage.azure.post("/jobs/mine/tasks/t0/terminate")
    await stage.until(lambda: stage.phase("bt", "t") == "Failed", 600)
    await stage.until(lambda: stage.phase("bj", "mine") == "Failed", 600)
    await stage.run_for(300)
    assert stage.status("bt", "t")["outputProblem"] == NEVER_STARTED
    assert stage.status("bj", "mine")["failures"][0]["stderrProblem"] == NEVER_STARTED
    assert stage.azure.calls("Tasks_GetTaskFile") + stage.azure.calls("Tasks_GetTaskFileProperties") == 0


async def test_a_job_with_a_missing_dependency_does_not_wait_for_busy_nodes(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1, taskSlotsPerNode=1)
    stage.apply(job("busy", tasks=sleeping(1, 36_000)))
    await stage.until(lambda: stage.phase("bj", "busy") == "Running", 600)
    alone = [{"id": "t", "commandLine": "/bin/sh -c true", "dependsOn": {"taskIds": ["later"]}}]
    stage.apply(job("own", onAllTasksComplete="noaction", tasks=alone))
    await stage.until(lambda: stage.phase("bj", "own") == "Waiting", 600)
    await stage.run_for(60)
    waits = stage.status("bj", "own")["waitingFor"]
    assert "busy" not in waits
    assert "'later'" in waits
