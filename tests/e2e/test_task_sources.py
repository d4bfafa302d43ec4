"""ConfigMaps that jobs take their tasks from are changed: what becomes of the tasks, with the exact calls."""

from __future__ import annotations

import json
from typing import Any

import pytest

from e2e.conftest import Stage, job
from e2e.test_inputs import config
from e2e.test_job_changes import ids, running
from e2e.test_job_life import changes, patch, reason

ADDED = ["CreateJob", "CreateTaskCollection", "UpdateJob"]


@pytest.fixture
def stage(make_stage: Any) -> Stage:
    """Tasks run until they are told otherwise; ConfigMaps are looked at all the time."""
    made: Stage = make_stage("--executor=simulated", arguments=lambda _: ("--task-source-seconds=0.5",))
    made.emulator.admin("POST", "simulation", {"rules": [{"seconds": 1_000_000}]})
    return made


def tasks(stage: Stage, text: str, command: str = "x") -> None:
    """Write a task for each character into the ConfigMap."""
    stage.apply(config("tasks", list=json.dumps([{"id": id, "commandLine": command} for id in text])))


def sourced(name: str, **spec: Any) -> dict[str, Any]:
    return job(name, tasksFrom=[{"configMapKeyRef": {"name": "tasks", "key": "list"}}], **spec)


def present(stage: Stage, name: str) -> str:
    """Ids of the tasks in Azure Batch."""
    return "".join(sorted(each["id"] for each in stage.batch("GET", f"jobs/{name}/tasks")["value"]))


def test_tasks_come_and_go_with_the_config_map(stage: Stage) -> None:
    stage.ready_pool()
    tasks(stage, "ab")
    stage.apply(sourced("one", onAllTasksComplete="noaction"))
    running(stage, "one", 2)
    tasks(stage, "bc")
    stage.until(lambda: ids(stage, "one") == 3, "a task is added, none is taken away")
    stage.until(lambda: changes(stage) == [*ADDED, "CreateTaskCollection", "UpdateJob"], "the change is noted")

    tasks(stage, "bc", "new")
    stage.until(lambda: reason(stage, "one", "TasksInSync") == "TasksDiffer", "the difference is said")
    assert changes(stage)[len(ADDED) + 2 :] == ["UpdateJob"]
    patch(stage, "one", '{"taskUpdatePolicy":"Replace","taskPrunePolicy":"Delete"}')
    stage.until(lambda: present(stage, "one") == "bc", "what the ConfigMap does not name is deleted")
    stage.until(lambda: not stage.condition("bj", "one", "TasksInSync"), "nothing differs any more")
    assert stage.calls()["Tasks_DeleteTask"] == 3
    assert {each["commandLine"] for each in stage.batch("GET", "jobs/one/tasks")["value"]} == {"new"}


def test_a_change_while_the_operator_was_down_is_found(stage: Stage) -> None:
    stage.ready_pool()
    tasks(stage, "ab")
    stage.apply(sourced("one"))
    running(stage, "one", 2)
    stage.until(lambda: changes(stage) == ADDED, "all tasks are in")
    lists = stage.calls()["Tasks_ListTasks"]
    stage.restart_operator_quietly()
    assert (changes(stage), stage.calls()["Tasks_ListTasks"]) == (ADDED, lists)
    stage.kill_operator()
    tasks(stage, "abc")
    stage.restart_operator()
    stage.until(lambda: ids(stage, "one") == 3, "the added task is in")
    stage.until(lambda: changes(stage) == [*ADDED, "CreateTaskCollection", "UpdateJob"], "the change is noted")


def test_a_config_map_that_cannot_be_read_any_more_is_named(stage: Stage) -> None:
    stage.ready_pool()
    tasks(stage, "ab")
    stage.apply(sourced("one"))
    running(stage, "one", 2)
    stage.apply(config("tasks", list="{"))
    stage.until(lambda: reason(stage, "one", "TasksInSync") == "InvalidTasks", "what is wrong is said")
    stage.kubectl("delete", "configmap", "tasks")
    stage.until(lambda: reason(stage, "one", "TasksInSync") == "ConfigMapNotFound", "what is missing is said")
    assert (stage.status("bj", "one")["phase"], reason(stage, "one")) == ("Running", "Running")
    tasks(stage, "ab")
    stage.until(lambda: not stage.condition("bj", "one", "TasksInSync"), "all is well again")
    assert changes(stage) == ADDED


def test_a_change_after_the_end_is_refused_aloud(stage: Stage) -> None:
    stage.ready_pool()
    stage.emulator.admin("POST", "simulation", {"rules": [{"seconds": 1}]})
    tasks(stage, "ab")
    stage.apply(sourced("one"), job("two", tasks=[{"id": "a", "commandLine": "x"}]))
    stage.wait("bj", "one", "Complete")
    stage.wait("bj", "two", "Complete")
    before = changes(stage)
    tasks(stage, "abc")
    patch(stage, "two", '{"tasks":[{"id":"b","commandLine":"x"}]}')
    for name in ("one", "two"):
        stage.until(lambda name=name: reason(stage, name, "TasksInSync") == "JobFinished", "it is said")
        assert "create a new BatchJob" in stage.condition("bj", name, "TasksInSync")["message"]
        assert stage.status("bj", name)["phase"] == "Succeeded"
    stage.until(lambda: "TasksNotChanged" in stage.kubectl("get", "events"), "an Event says so, too")
    tasks(stage, "ab")
    patch(stage, "two", '{"tasks":[{"id":"a","commandLine":"x"}]}')
    for name in ("one", "two"):
        stage.until(lambda name=name: not stage.condition("bj", name, "TasksInSync"), "it is as it was")
    assert changes(stage) == before
