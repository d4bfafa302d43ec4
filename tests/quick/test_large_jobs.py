"""The result of a large job takes as few pages as that of a small one; what no result depends on is read afterwards."""

from __future__ import annotations

from support.stage import Stage, job

TASKS = 12_000
PAGES = TASKS / 1000


async def test_the_result_of_a_large_job_waits_for_no_list_of_all_tasks(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=20, taskSlotsPerNode=16)
    template = {"commandLine": "/bin/sh -c 'echo last {0}'"}
    sweep = {"parameterSets": [{"start": 1, "end": TASKS}]}
    # One of the last tasks fails, is retried, and fails again.
    stage.azure.simulate(f".*last {TASKS}'", exitCode=1)
    stage.apply(
        job(
            "large",
            taskFactory={"parametricSweep": sweep, "repeatTask": template},
            failurePolicy={"maxFailedTasks": 1},
            backoff={"taskRetries": 1},
        )
    )
    await stage.until(lambda: stage.azure.get("/jobs/large"), 120)
    await stage.until(lambda: stage.azure.get("/jobs/large")["state"] == "completed", 3600)
    ended, before = stage.now, stage.azure.calls("Tasks_ListTasks")
    await stage.until(lambda: stage.phase("bj", "large") == "Succeeded", 60)
    assert stage.now - ended <= 10
    assert stage.azure.calls("Tasks_ListTasks") - before <= 8
    counts = stage.status("bj", "large")["taskCounts"]
    assert (counts["succeeded"], counts["failed"], counts["completed"]) == (TASKS - 1, 1, TASKS)
    await stage.run_for(120)
    listed = stage.azure.calls("Tasks_ListTasks")
    assert listed - before >= PAGES + 2, "the others were read afterwards"
    assert stage.status("bj", "large")["retries"] == 1
    await stage.run_for(1800)
    assert stage.azure.calls("Tasks_ListTasks") == listed, "and nothing is asked for any more"
