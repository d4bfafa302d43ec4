"""Dependencies of a factory's tasks, from the manifest to the end of the job."""

from __future__ import annotations

from typing import Any

import pytest

from support.stage import Refusal, Stage, job

MAP = {"repeat": {"count": 12}}


def steps(split: str = "true", **more: Any) -> dict[str, Any]:
    """One task, twelve that wait for it, one that waits for these, and one that waits for that."""
    factory = MAP | {
        "repeatTask": {"commandLine": "/bin/sh -c 'sleep 5'", "dependsOn": {"allOf": ["tasks"]}},
    }
    return job("own", tasks=[{"id": "split", "commandLine": split}], taskFactory=factory | more)


def started(stage: Stage) -> dict[str, str]:
    """When each task of the job has started."""
    return {each["id"]: each["executionInfo"]["startTime"] for each in stage.azure.all("/jobs/own/tasks")}


def ended(stage: Stage) -> dict[str, str]:
    return {each["id"]: each["executionInfo"]["endTime"] for each in stage.azure.all("/jobs/own/tasks")}


async def test_split_map_merge_run_one_after_the_other(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(steps(mergeTask={"commandLine": "true"}))
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 3600)
    begin, end = started(stage), ended(stage)
    made = [f"{at:02}" for at in range(12)]
    assert sorted(begin) == [*made, "merge", "split"]
    assert end["split"] <= min(begin[id] for id in made)
    assert max(end[id] for id in made) <= begin["merge"]
    assert stage.azure.calls("Tasks_CreateTaskCollection") == 1


async def test_a_failed_split_ends_the_job(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(steps("exit 3", mergeTask={"commandLine": "true", "dependsOn": {"allOf": ["taskFactory"]}}))
    await stage.until(lambda: stage.phase("bj", "own") == "Failed", 3600)
    assert stage.reason("bj", "own") == "DependencyFailed"


async def test_a_listed_task_after_the_factory_and_a_factory_that_grows(stage: Stage) -> None:
    await stage.ready_pool()
    last = {"id": "last", "commandLine": "/bin/sh -c 'sleep 600'", "dependsOn": {"allOf": ["taskFactory"]}}
    factory = {"repeat": {"count": 3}, "idWidth": 2, "repeatTask": {"commandLine": "/bin/sh -c 'sleep 600'"}}
    # From the start: a job that already ends with its tasks replaces none.
    stage.apply(job("own", tasks=[last], taskFactory=factory, taskUpdatePolicy="Replace"))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 600)
    assert len(stage.azure.all("/jobs/own/tasks")) == 4
    assert stage.azure.get("/jobs/own/tasks/last")["dependsOn"] == {"taskIdRanges": [{"start": 0, "end": 2}]}
    stage.apply(job("own", tasks=[last], taskFactory=factory | {"repeat": {"count": 5}}, taskUpdatePolicy="Replace"))
    await stage.until(
        lambda: (
            (stage.azure.get("/jobs/own/tasks/last") or {}).get("dependsOn")
            == {"taskIdRanges": [{"start": 0, "end": 4}]}
        ),
        600,
    )
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 7200)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            job("own", tasks=[{"id": "a", "commandLine": "x", "dependsOn": {"allOf": ["tasks"]}}]),
            'spec.tasks[0].dependsOn.allOf[0]: Unsupported value: "tasks": supported values: "taskFactory"',
        ),
        (
            job("own", taskFactory=MAP | {"repeatTask": {"commandLine": "x", "dependsOn": {"allOf": ["taskFactory"]}}}),
            'repeatTask.dependsOn.allOf[0]: Unsupported value: "taskFactory": supported values: "tasks"',
        ),
        (
            job("own", taskFactory=MAP | {"repeatTask": {"commandLine": "x", "dependsOn": {"allOf": ["tasks"]}}}),
            "repeatTask.dependsOn.allOf refers to tasks, but the job has neither tasks nor tasksFrom: add tasks, or remove",
        ),
    ],
)
async def test_a_list_that_cannot_be_waited_for_is_refused_at_apply(
    stage: Stage, wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(Refusal) as refused:
        stage.apply(wrong)
    assert words in str(refused.value)
