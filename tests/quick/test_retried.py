"""`azurebatch.io/retry-failed` runs each failed task once more, whatever becomes of the calls for the others."""

from __future__ import annotations

from collections import Counter

from support.stage import Stage, job, task


async def _failed(stage: Stage, number: int) -> None:
    await stage.ready_pool()
    tasks = [{"id": f"t{each}", "commandLine": "exit 1"} for each in range(number)]
    stage.apply(job("own", tasks=tasks, onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.status("bj", "own").get("taskCounts", {}).get("failed") == number, 900)


def _reactivated(stage: Stage) -> Counter[str]:
    """Calls that the service has carried out, by task."""
    done = [each for each in stage.azure.log if each.operation == "Tasks_ReactivateTask" and each.status in {0, 204}]
    return Counter(each.path.split("/")[4] for each in done)


async def test_tasks_that_fail_again_do_not_run_again_because_another_one_is_refused(stage: Stage) -> None:
    await _failed(stage, 4)
    stage.azure.fault("Tasks_ReactivateTask", status=409, code="OperationInvalidForCurrentState", path="tasks/t0")
    stage.annotate("bj", "own", retry_failed="1")
    await stage.run_for(1800)
    assert _reactivated(stage) == {"t1": 1, "t2": 1, "t3": 1}
    stage.azure.heal()
    await stage.until(lambda: stage.status("bj", "own").get("handled") == {"retryFailed": "1"}, 120)
    assert _reactivated(stage) == {"t0": 1, "t1": 1, "t2": 1, "t3": 1}
    assert [each["type"] for each in stage.events("bj", "own", "TasksRetried")] == ["Normal"]


async def test_a_task_whose_reactivation_had_no_answer_runs_once_more_and_not_twice(stage: Stage) -> None:
    await _failed(stage, 2)
    stage.azure.fault("Tasks_ReactivateTask", lostAnswer=True, count=1)
    stage.annotate("bj", "own", retry_failed="1")
    await stage.until(lambda: stage.status("bj", "own").get("handled") == {"retryFailed": "1"}, 300)
    await stage.run_for(300)
    assert _reactivated(stage) == {"t0": 1, "t1": 1}


async def test_refused_tasks_keep_no_others_from_running_again(stage: Stage) -> None:
    await _failed(stage, 8)
    stage.azure.fault("Tasks_ReactivateTask", status=409, code="OperationInvalidForCurrentState", path="tasks/t[0-4]")
    stage.azure.fault("Tasks_ReactivateTask", status=403, code="InsufficientAccountPermissions", count=1)
    stage.annotate("bj", "own", retry_failed="1")
    await stage.until(lambda: _reactivated(stage) == {"t5": 1, "t6": 1, "t7": 1}, 600)


async def test_reconcile_now_tries_a_refused_retry_at_once(stage: Stage) -> None:
    await _failed(stage, 1)
    stage.azure.fault("Tasks_ReactivateTask", status=400, code="InvalidPropertyValue")
    stage.annotate("bj", "own", retry_failed="1")
    await stage.run_for(1800)
    stage.azure.heal()
    stage.annotate("bj", "own", reconcile_now="1")
    await stage.until(lambda: _reactivated(stage) == {"t0": 1}, 30)


async def test_a_batch_task_that_runs_again_says_so(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own"), task("a", "own", "exit 1"))
    await stage.until(lambda: stage.phase("bt", "a") == "Failed", 900)
    stage.annotate("bt", "a", retry_failed="1")
    await stage.until(lambda: stage.events("bt", "a", "Retrying"), 60)
    assert _reactivated(stage) == {"a": 1}
