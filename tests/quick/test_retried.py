"""`azurebatch.io/retry-failed` runs each failed task again, whatever becomes of the calls for the others."""

from __future__ import annotations

from collections import Counter

import pytest

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
    await stage.until(lambda: [each["type"] for each in stage.events("bj", "own", "TasksRetried")] == ["Normal"], 10)


async def test_a_task_whose_reactivation_had_no_response_runs_only_once_more(stage: Stage) -> None:
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


async def test_a_404_that_does_not_name_the_task_runs_it_again_later_and_no_other_waits(stage: Stage) -> None:
    """Such as one of a proxy. It used to count as done, so the task never ran again."""
    await _failed(stage, 3)
    stage.azure.fault("Tasks_ReactivateTask", status=404, code="ResourceNotFound", path="tasks/t0", count=2)
    stage.annotate("bj", "own", retry_failed="1")
    await stage.until(lambda: _reactivated(stage) == {"t1": 1, "t2": 1}, 60)
    assert "retryFailed" not in stage.status("bj", "own").get("handled", {})
    await stage.until(lambda: _reactivated(stage) == {"t0": 1, "t1": 1, "t2": 1}, 600)
    await stage.until(lambda: stage.status("bj", "own").get("handled") == {"retryFailed": "1"}, 60)


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


async def test_a_restart_during_a_refused_retry_runs_no_task_again(stage: Stage) -> None:
    await _failed(stage, 3)
    stage.azure.fault("Tasks_ReactivateTask", status=409, code="OperationInvalidForCurrentState", path="tasks/t0")
    stage.annotate("bj", "own", retry_failed="1")
    await stage.until(lambda: len(_reactivated(stage)) == 2, 300)
    for _ in range(2):
        await stage.run_for(60)
        await stage.kill()
        stage.start()
    await stage.run_for(300)
    assert _reactivated(stage) == {"t1": 1, "t2": 1}
    stage.azure.heal()
    await stage.until(lambda: stage.status("bj", "own").get("handled") == {"retryFailed": "1"}, 600)
    assert _reactivated(stage) == {"t0": 1, "t1": 1, "t2": 1}
    stage.annotate("bj", "own", retry_failed="2")
    await stage.until(lambda: stage.status("bj", "own").get("handled") == {"retryFailed": "2"}, 600)
    assert _reactivated(stage) == {"t0": 2, "t1": 2, "t2": 2}


async def test_a_batch_job_leaves_failed_tasks_of_batch_tasks_to_their_objects(stage: Stage) -> None:
    await stage.ready_pool()
    own = [{"id": "own", "commandLine": "exit 1"}]
    stage.apply(job("own", tasks=own, onAllTasksComplete="noaction"), task("a", "own", "exit 1"))
    await stage.until(lambda: stage.phase("bt", "a") == "Failed", 900)
    await stage.until(lambda: stage.status("bj", "own").get("taskCounts", {}).get("failed") == 2, 900)
    stage.annotate("bj", "own", retry_failed="1")
    await stage.until(lambda: stage.events("bj", "own", "TasksRetried"), 300)
    await stage.run_for(60)
    assert _reactivated(stage) == {"own": 1}
    assert "BatchTasks that have failed: 1" in stage.events("bj", "own", "TasksRetried")[0]["message"]


@pytest.mark.parametrize("answer", ["lost", "never"])
async def test_a_batch_task_whose_reactivation_had_no_response_runs_only_once_more(stage: Stage, answer: str) -> None:
    await stage.ready_pool()
    stage.apply(job("own"), task("a", "own", "exit 1"))
    await stage.until(lambda: stage.phase("bt", "a") == "Failed", 900)
    # Every attempt of the client but the first finds the task changed, or the service out of reach.
    stage.azure.fault("Tasks_ReactivateTask", lostAnswer=True, count=1)
    if answer == "never":
        stage.azure.fault("Tasks_ReactivateTask", status=500, code="InternalError", count=8)
    stage.annotate("bt", "a", retry_failed="1")
    await stage.until(lambda: stage.status("bt", "a").get("handled") == {"retryFailed": "1"}, 600)
    await stage.run_for(600)
    assert _reactivated(stage) == {"a": 1}
    assert stage.phase("bt", "a") == "Failed"


async def test_a_batch_task_runs_again_wherever_the_operator_dies(stage: Stage) -> None:
    await stage.ready_pool()
    for number in range(1, 8):
        name = f"a{number}"
        stage.apply(job("own"), task(name, "own", "exit 1"))
        await stage.until(lambda name=name: stage.phase("bt", name) == "Failed", 900)
        stage.annotate("bt", name, retry_failed="1")
        stage.kill_at_effect(stage.effects + number, after=True)
        await stage.run_for(30)
        if not stage.operator.alive:
            await stage.operator.reaped()
            stage.start()
        await stage.until(lambda name=name: stage.status("bt", name).get("handled") == {"retryFailed": "1"}, 300)
        await stage.run_for(120)
        assert _reactivated(stage)[name] == 1, number


async def test_permanently_refused_tasks_keep_no_others_from_running_again_later(stage: Stage) -> None:
    """All are refused at first, so none of them is known to be of use."""
    await _failed(stage, 8)
    stage.azure.fault("Tasks_ReactivateTask", status=409, code="OperationInvalidForCurrentState")
    stage.annotate("bj", "own", retry_failed="1")
    await stage.run_for(60)
    stage.azure.heal()
    stage.azure.fault("Tasks_ReactivateTask", status=409, code="OperationInvalidForCurrentState", path="tasks/t[0-4]")
    await stage.until(lambda: _reactivated(stage) == {"t5": 1, "t6": 1, "t7": 1}, 1800)
