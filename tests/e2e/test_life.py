"""Ordinary lives of the objects, as a user sees them: apply, watch, wait, scale, delete."""

from __future__ import annotations

import itertools

import pytest

from e2e.conftest import Stage, job, task

SWEEP = {
    "parametricSweep": {"parameterSets": [{"start": 1, "end": 3}, {"values": ["a", "b"]}]},
    "repeatTask": {"commandLine": "/bin/sh -c 'echo {0:2}-{1}'"},
    "mergeTask": {"commandLine": "/bin/sh -c 'echo merged'"},
}


def test_a_pool_becomes_ready_and_scales(stage: Stage) -> None:
    stage.ready_pool()
    status = stage.status("bp", "cpu")
    assert (status["phase"], status["nodes"], status["currentDedicatedNodes"]) == ("Steady", "2/2", 2)
    assert status["url"] == f"{stage.emulator.endpoint}/pools/cpu"
    assert status["observedGeneration"] == 1
    stage.kubectl("scale", "batchpool/cpu", "--replicas=6")
    stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "6/6", "six nodes")
    stage.wait("bp", "cpu", "Ready")
    assert stage.status("bp", "cpu")["currentDedicatedNodes"] == 6
    assert stage.calls()["Pools_ResizePool"] == 1
    stage.kubectl("scale", "batchpool/cpu", "--replicas=0")
    stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "0/0", "no nodes")
    stage.wait("bp", "cpu", "Ready")


def test_a_resize_during_a_resize_is_stopped_first(stage: Stage) -> None:
    """The second resize meets the first one in progress (docs/azure-batch.md#pools)."""
    stage.ready_pool()
    stage.kubectl("scale", "batchpool/cpu", "--replicas=4")
    stage.kubectl("scale", "batchpool/cpu", "--replicas=5")
    stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "5/5", "five nodes")
    assert stage.status("bp", "cpu")["targetDedicatedNodes"] == 5


def test_a_sweep_with_a_merge_task_completes(stage: Stage) -> None:
    stage.apply(*stage.account(), job("render", taskFactory=SWEEP))
    stage.until(
        lambda: stage.condition("bj", "render").get("reason") == "PoolNotFound", "the missing pool is named", 30
    )
    assert "BatchPool 'cpu'" in stage.condition("bj", "render")["message"]
    stage.ready_pool()
    stage.wait("bj", "render", "Complete")
    status = stage.status("bj", "render")
    assert status["phase"] == "Succeeded"
    assert status["progress"] == "7/7"
    assert status["taskCounts"]["succeeded"] == 7
    assert status["terminateReason"] == "AllTasksCompleted"
    calls = stage.calls()
    assert calls["Tasks_CreateTaskCollection"] == 1
    assert calls["Jobs_CreateJob"] == 1
    assert calls["Jobs_UpdateJob"] == 1


def test_a_failing_task_fails_the_job_and_says_why(stage: Stage) -> None:
    stage.ready_pool()
    tasks = [
        {"id": "good", "commandLine": "true"},
        {"id": "bad", "commandLine": "/bin/sh -c 'echo one >&2; echo no licence >&2; exit 3'"},
    ]
    stage.apply(job("checks", tasks=tasks))
    stage.wait("bj", "checks", "Failed")
    status = stage.status("bj", "checks")
    assert (status["phase"], stage.condition("bj", "checks", "Failed")["reason"]) == ("Failed", "TasksFailed")
    (failure,) = status["failures"]
    assert (failure["exitCode"], failure["count"], failure["taskIds"]) == (3, 1, ["bad"])
    assert failure["stderrTail"] == "one\nno licence"
    assert "no licence" in stage.kubectl("describe", "batchjob/checks")


def test_a_merge_task_behind_a_failed_tile_does_not_hang(stage: Stage) -> None:
    stage.ready_pool()
    factory = SWEEP | {"repeatTask": {"commandLine": "/bin/sh -c 'test {0}{1} != 2b'"}}
    stage.apply(job("render", taskFactory=factory))
    stage.wait("bj", "render", "Failed")
    assert stage.condition("bj", "render", "Failed")["reason"] == "DependencyFailed"
    assert stage.status("bj", "render")["failures"][0]["taskIds"] == ["3"]


def test_batch_tasks_run_in_order_and_the_job_ends_after_them(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(
        job("steps", usesTaskDependencies=True, onAllTasksComplete="terminatejob"),
        task("two", "steps", "/bin/sh -c 'echo two'", dependsOn={"taskIds": ["one"]}),
        task("one", "steps", "/bin/sh -c 'exit 0'"),
    )
    stage.wait("bt", "two", "Complete")
    stage.wait("bj", "steps", "Complete")
    first, second = stage.status("bt", "one"), stage.status("bt", "two")
    assert (first["exitCode"], second["exitCode"]) == (0, 0)
    assert first["endTime"] <= second["startTime"]
    assert second["nodeId"].startswith("tvmps_")
    assert second["url"] == f"{stage.emulator.endpoint}/jobs/steps/tasks/two"


def test_a_failing_batch_task_shows_exit_code_and_stderr(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(job("steps"), task("bad", "steps", "/bin/sh -c 'echo out of cheese >&2; exit 9'"))
    stage.wait("bt", "bad", "Failed")
    status = stage.status("bt", "bad")
    assert (status["exitCode"], status["stderrTail"], status["result"]) == (9, "out of cheese", "failure")
    assert stage.condition("bt", "bad", "Stalled")["reason"] == "FailureExitCode"


def test_a_changed_priority_is_patched(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(job("steps", priority=1))
    stage.wait("bj", "steps", "Ready")
    stage.kubectl("patch", "batchjob/steps", "--type=merge", "-p", '{"spec":{"priority":7}}')
    stage.until(lambda: stage.calls().get("Jobs_UpdateJob") == 1, "the job is patched")
    stage.until(lambda: stage.status("bj", "steps")["observedGeneration"] == 2, "the change is observed")
    stage.wait("bj", "steps", "Ready")
    assert stage.calls()["Jobs_UpdateJob"] == 1


KINDS = ("bacc", "bp", "bj", "bt")


@pytest.mark.parametrize("order", list(itertools.permutations(KINDS))[::5], ids="-".join)
def test_deletion_in_any_order_leaves_nothing(stage: Stage, order: tuple[str, ...]) -> None:
    stage.ready_pool()
    stage.apply(
        job("steps"),
        job("own", tasks=[{"id": "a", "commandLine": "sleep 600"}]),
        task("one", "steps"),
        task("two", "steps", "sleep 600"),
    )
    stage.wait("bt", "one", "Complete")
    for kind in order:
        stage.kubectl("delete", kind, "--all", "--wait=false")
    stage.kubectl("delete", "secret", "main-key")
    stage.until_gone(*KINDS)
    state = stage.emulator.admin("GET", "state")
    assert {name: state[name] for name in ("pools", "jobs", "tasks")} == {"pools": 0, "jobs": 0, "tasks": 0}


def test_deleting_an_account_that_is_in_use_says_by_whom(stage: Stage) -> None:
    stage.ready_pool()
    stage.kubectl("delete", "bacc", "main", "--wait=false")
    stage.until(lambda: stage.condition("bacc", "main").get("reason") == "InUse", "the account says that it is in use")
    assert "BatchPool" in stage.condition("bacc", "main")["message"]
    stage.kubectl("delete", "bp", "cpu", "--wait=false")
    stage.until_gone("bacc", "bp")
