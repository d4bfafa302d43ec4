"""Tasks that were to be replaced when the job may end at any moment: none is lost, and a job that lacks one of its tasks says so.

Azure Batch ends a job with `onAllTasksComplete: terminatejob` when no task is unfinished, and lets nobody take that back.
"""

from __future__ import annotations

from typing import Any

import pytest

from support.stage import Stage, config_map, job

REPLACE = {"taskUpdatePolicy": "Replace"}


def made_of(source: str, first: str, second: str | None, **policies: Any) -> list[dict[str, Any]]:
    """Objects for a job with these commands, in its spec, in a ConfigMap or made by a factory."""
    commands = [each for each in (first, second) if each is not None]
    tasks = [{"id": "ab"[at], "commandLine": each} for at, each in enumerate(commands)]
    if source == "tasks":
        return [job("own", tasks=tasks, **policies)]
    if source == "taskFactory":
        last = len(commands) - 1
        factory = {
            "parametricSweep": {"parameterSets": [{"start": 0, "end": last}]},
            "repeatTask": {"commandLine": first},
        }
        return [job("own", taskFactory=factory, **policies)]
    lines = "\n".join(f"- {task}" for task in tasks)
    reference = [{"configMapKeyRef": {"name": "list", "key": "tasks.yaml"}}]
    return [config_map("list", tasks_yaml=lines), job("own", tasksFrom=reference, **policies)]


def tasks_of(stage: Stage) -> list[dict[str, Any]]:
    return stage.azure.all("/jobs/own/tasks") if stage.azure.get("/jobs/own") else []


def commands(stage: Stage) -> set[str]:
    return {task["commandLine"] for task in tasks_of(stage)}


def completed(stage: Stage) -> int:
    return sum(task["state"] == "completed" for task in tasks_of(stage))


def ends(stage: Stage) -> bool:
    return bool((stage.azure.get("/jobs/own") or {}).get("onAllTasksComplete") == "terminatejob")


async def result(stage: Stage, within: float = 2000) -> str:
    await stage.until(lambda: stage.phase("bj", "own") in {"Succeeded", "Failed"}, within)
    return stage.phase("bj", "own")


@pytest.mark.parametrize("source", ["tasks", "tasksFrom"])
@pytest.mark.parametrize("other", ["sleep 5", "sleep 500", None], ids=["ended", "running", "none"])
@pytest.mark.parametrize("late", [False, True], ids=["soon", "late"])
async def test_the_last_task_is_replaced(stage: Stage, source: str, other: str | None, late: bool) -> None:
    """The policy is there from the start."""
    await stage.ready_pool()
    stage.apply(*made_of(source, "sleep 600", other, **REPLACE))
    await stage.until(lambda: len(commands(stage)) == 1 + (other is not None), 300)
    if late:
        await stage.until(lambda: completed(stage) == (other == "sleep 5"), 300)
        await stage.run_for(120)
    hold = stage.azure.hold("Tasks_CreateTaskCollection", count=1)
    stage.apply(*made_of(source, "sleep 601", other, **REPLACE))
    if source == "tasksFrom":
        stage.annotate("bj", "own", reconcile_now="1")
    await stage.until(lambda: hold.arrived, 300)
    await stage.run_for(10)
    hold.release()
    await stage.until(lambda: "sleep 601" in commands(stage), 300)
    assert await result(stage) == "Succeeded"
    assert "sleep 601" in commands(stage)
    assert len(commands(stage)) == 1 + (other is not None)


@pytest.mark.parametrize("together", [False, True], ids=["before", "with"])
async def test_the_last_unfinished_task_of_a_job_that_ends_with_it_stays(stage: Stage, together: bool) -> None:
    """Nobody can take terminatejob back, so the condition says why the task is not replaced."""
    await stage.ready_pool()
    stage.apply(*made_of("tasks", "sleep 600", "sleep 5"))
    await stage.until(lambda: ends(stage) and completed(stage) == 1, 300)
    if not together:
        stage.apply(*made_of("tasks", "sleep 600", "sleep 5", **REPLACE))
        await stage.run_for(60)
    stage.apply(*made_of("tasks", "sleep 601", "sleep 5", **REPLACE))
    await stage.until(lambda: stage.condition("bj", "own", "TasksInSync").get("status") == "False", 300)
    told = stage.condition("bj", "own", "TasksInSync")
    assert told["reason"] == "TasksDiffer"
    assert "a (commandLine)" in told["message"]
    assert "so no task is replaced" in told["message"]
    assert "create a new BatchJob with Replace from the start" in told["message"]
    deleted = stage.azure.calls("Tasks_DeleteTask")
    calls = len(stage.azure.log)
    await stage.run_for(60)
    assert stage.azure.calls("Tasks_DeleteTask") == deleted == 0
    assert len(stage.azure.log) > calls
    assert await result(stage) == "Succeeded"
    assert commands(stage) == {"sleep 600", "sleep 5"}


@pytest.mark.parametrize("source", ["tasks", "taskFactory"])
async def test_no_task_of_a_job_that_ends_with_them_is_replaced(stage: Stage, source: str) -> None:
    """Another task may end at any moment, and anything may delay the addition of one that is deleted."""
    await stage.ready_pool()
    stage.apply(*made_of(source, "sleep 600", "sleep 600"))
    await stage.until(lambda: ends(stage), 300)
    stage.apply(*made_of(source, "sleep 60", "sleep 60", **REPLACE))
    await stage.until(lambda: stage.condition("bj", "own", "TasksInSync").get("status") == "False", 300)
    told = stage.condition("bj", "own", "TasksInSync")["message"]
    assert "differ from the spec: 2" in told
    assert "the job already has onAllTasksComplete: terminatejob" in told
    assert await result(stage) == "Succeeded"
    assert stage.azure.calls("Tasks_DeleteTask") == 0
    assert stage.status("bj", "own")["taskCounts"]["succeeded"] == 2


async def test_tasks_are_added_to_a_job_that_ends_with_them_while_none_is_replaced(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(*made_of("tasks", "sleep 600", None))
    await stage.until(lambda: ends(stage), 300)
    stage.apply(*made_of("tasks", "sleep 60", "sleep 5", taskPrunePolicy="Delete", **REPLACE))
    await stage.until(lambda: commands(stage) == {"sleep 600", "sleep 5"}, 300)
    assert await result(stage) == "Succeeded"
    assert stage.azure.calls("Tasks_DeleteTask") == 0


@pytest.mark.parametrize("effect", ["Jobs_UpdateJob", "Tasks_DeleteTask", "Tasks_CreateTaskCollection"])
@pytest.mark.parametrize("taken", [False, True], ids=["before", "after"])
async def test_a_crash_while_the_last_task_is_replaced_loses_nothing(stage: Stage, effect: str, taken: bool) -> None:
    await stage.ready_pool()
    stage.apply(*made_of("tasks", "sleep 600", "sleep 5", **REPLACE))
    await stage.until(lambda: completed(stage) == 1, 300)
    await stage.run_for(120)
    hold = stage.azure.hold(effect, count=1)
    stage.apply(*made_of("tasks", "sleep 601", "sleep 5", **REPLACE))
    await stage.until(lambda: hold.arrived, 60)
    if taken:
        hold.release()
    await stage.kill()
    hold.release()
    await stage.run_for(30)
    stage.start()
    assert await result(stage) == "Succeeded"
    assert commands(stage) == {"sleep 601", "sleep 5"}


async def test_a_job_that_lacks_a_task_of_its_spec_has_failed(stage: Stage) -> None:
    """Somebody ends the job, as its last task would, while the task is not there; no counts will ever show it."""
    await stage.ready_pool()
    stage.apply(*made_of("tasks", "sleep 600", "sleep 5", **REPLACE))
    await stage.until(lambda: completed(stage) == 1, 300)
    await stage.run_for(60)
    hold = stage.azure.hold("Tasks_CreateTaskCollection", count=1)
    stage.apply(*made_of("tasks", "sleep 601", "sleep 5", **REPLACE))
    await stage.until(lambda: hold.arrived, 60)
    stage.azure.patch("/jobs/own", {"onAllTasksComplete": "terminatejob"})
    await stage.until(lambda: stage.azure.get("/jobs/own")["state"] == "completed", 300)
    ended = stage.now
    hold.release()
    assert await result(stage) == "Failed"
    assert stage.now - ended < 90
    told = stage.condition("bj", "own")
    assert told["reason"] == "TasksMissing"
    assert "1 of 2 tasks is not in the job" in told["message"]
    assert "create a new BatchJob" in told["message"]
    await stage.until(lambda: stage.events("bj", "own", "TasksMissing"), 60)
    assert stage.events("bj", "own", "TasksMissing")[0]["type"] == "Warning"


async def ended_before_a_status(stage: Stage) -> None:
    """A job that has ended with all its tasks, and the operator was killed before a status said that they are in."""
    await stage.ready_pool()
    word = stage.azure.hold("Jobs_UpdateJob", count=1)
    stage.apply(*made_of("tasks", "sleep 5", None))
    await stage.until(lambda: word.arrived, 60)
    await stage.kill()
    word.release()
    await stage.until(lambda: (stage.azure.get("/jobs/own") or {}).get("state") == "completed", 60)
    assert not stage.status("bj", "own").get("tasksFingerprint")


async def test_a_change_after_the_end_is_told_although_no_status_says_what_the_job_had(stage: Stage) -> None:
    await ended_before_a_status(stage)
    stage.apply(*made_of("tasks", "sleep 6", None))
    stage.start()
    assert await result(stage) == "Succeeded"
    await stage.until(lambda: stage.condition("bj", "own", "TasksInSync").get("reason") == "JobFinished", 60)
    assert commands(stage) == {"sleep 5"}
    await stage.until(lambda: stage.events("bj", "own", "TasksNotChanged"), 60)
    stage.apply(*made_of("tasks", "sleep 6", None, **REPLACE))
    await stage.run_for(60)
    assert stage.condition("bj", "own", "TasksInSync").get("reason") == "JobFinished"
    stage.apply(*made_of("tasks", "sleep 5", None, **REPLACE))
    await stage.until(lambda: not stage.condition("bj", "own", "TasksInSync"), 60)
    await stage.run_for(60)
    assert len(stage.events("bj", "own", "TasksNotChanged")) == 1


@pytest.mark.parametrize("policies", [{}, REPLACE, {"taskUpdatePolicy": "Refuse", "taskPrunePolicy": "Delete"}])
async def test_another_policy_after_the_end_changes_no_task(stage: Stage, policies: dict[str, str]) -> None:
    await ended_before_a_status(stage)
    stage.apply(*made_of("tasks", "sleep 5", None, **policies))
    stage.start()
    assert await result(stage) == "Succeeded"
    await stage.run_for(60)
    assert not stage.condition("bj", "own", "TasksInSync")
    assert not stage.events("bj", "own", "TasksNotChanged")


@pytest.mark.parametrize("restart", [False, True])
async def test_a_task_that_differs_is_told_of_a_job_that_has_ended(stage: Stage, restart: bool) -> None:
    await stage.ready_pool()
    stage.apply(*made_of("tasks", "sleep 60", "sleep 5"))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 300)
    stage.apply(*made_of("tasks", "sleep 61", "sleep 5"))
    await stage.until(lambda: stage.condition("bj", "own", "TasksInSync").get("reason") == "TasksDiffer", 50)
    if restart:
        await stage.restart()
    assert await result(stage) == "Succeeded"
    told = stage.condition("bj", "own", "TasksInSync")
    assert told["reason"] == "TasksDiffer"
    assert "a (commandLine)" in told["message"]
    await stage.restart()
    stage.apply(*made_of("tasks", "sleep 61", "sleep 5", ttlSecondsAfterFinished=3600))
    await stage.until(lambda: stage.status("bj", "own")["observedGeneration"] == 3, 60)
    assert stage.condition("bj", "own", "TasksInSync")["message"] == told["message"]
    assert not stage.events("bj", "own", "TasksNotChanged")
