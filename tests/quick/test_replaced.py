"""Sources of tasks that change while a job lives, with a refusal on the way: the job has the tasks of its last spec in the end."""

from __future__ import annotations

from typing import Any

import pytest

from support.stage import Stage, config_map, job, sleeping

POLICIES = {"taskUpdatePolicy": "Replace", "taskPrunePolicy": "Delete"}
UNKNOWN = [{"applicationId": "none-such", "version": "9"}]


def made_of(source: str, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Objects for a job of these tasks, in its spec or in a ConfigMap."""
    if source == "tasks":
        return [job("own", tasks=tasks, **POLICIES)]
    lines = "\n".join(f"- {task}" for task in tasks)
    reference = [{"configMapKeyRef": {"name": "list", "key": "tasks.yaml"}}]
    return [config_map("list", tasks_yaml=lines), job("own", tasksFrom=reference, **POLICIES)]


def commands(stage: Stage) -> dict[str, str]:
    return {task["id"]: task["commandLine"] for task in stage.azure.all("/jobs/own/tasks")}


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("source", ["tasks", "tasksFrom"])
async def test_tasks_that_were_deleted_for_a_refused_change_come_back_with_the_old_spec(
    stage: Stage, source: str, restart: bool
) -> None:
    before = sleeping(3, seconds=36000)
    after = [{**task, "displayName": "new", "applicationPackageReferences": UNKNOWN} for task in before]
    await stage.ready_pool()
    stage.apply(*made_of(source, before))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 300)
    patches = stage.azure.calls("Jobs_UpdateJob")
    wanted = commands(stage)
    stage.apply(*made_of(source, after))
    await stage.until(lambda: not stage.azure.all("/jobs/own/tasks"), 300)
    await stage.until(lambda: not stage.ready("bj", "own"), 300)
    if restart:
        await stage.restart()
        await stage.run_for(60)
    stage.apply(*made_of(source, before))
    await stage.until(lambda: commands(stage) == wanted, 700)
    await stage.until(lambda: stage.ready("bj", "own"), 300)
    await stage.run_for(60)
    assert commands(stage) == wanted
    assert stage.azure.calls("Jobs_UpdateJob") == patches + 3, "two to say that the tasks change, one that they are in"


async def test_tasks_that_came_with_a_refused_change_go_with_it(stage: Stage) -> None:
    before = sleeping(2, seconds=36000)
    more = [*before, {**before[0], "id": "t2"}, {**before[0], "id": "t3", "applicationPackageReferences": UNKNOWN}]
    await stage.ready_pool()
    stage.apply(*made_of("tasks", before))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 300)
    stage.apply(*made_of("tasks", more))
    await stage.until(lambda: "t2" in commands(stage), 300)
    await stage.run_for(60)
    stage.apply(*made_of("tasks", before))
    await stage.until(lambda: commands(stage).keys() == {"t0", "t1"}, 300)


@pytest.mark.parametrize("lost", ["before", "after"])
async def test_a_lost_response_to_the_mark_loses_no_task(stage: Stage, lost: str) -> None:
    before = sleeping(3, seconds=36000)
    after = [{**task, "applicationPackageReferences": UNKNOWN} for task in before]
    await stage.ready_pool()
    stage.apply(*made_of("tasks", before))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 300)
    hold = stage.azure.hold("Jobs_UpdateJob", count=1)
    stage.apply(*made_of("tasks", after))
    await stage.until(lambda: hold.arrived, 60)
    await stage.run_for(10)
    assert len(commands(stage)) == 3, "nothing is deleted before the job says that its tasks change"
    if lost == "after":
        hold.release()
    await stage.kill()
    hold.release()
    stage.start()
    await stage.until(lambda: not commands(stage), 300)
    stage.apply(*made_of("tasks", before))
    await stage.until(lambda: len(commands(stage)) == 3, 300)


async def test_a_job_that_only_grows_needs_no_mark(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(2, seconds=36000)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 300)
    patches = stage.azure.calls("Jobs_UpdateJob")
    stage.apply(job("own", tasks=sleeping(4, seconds=36000)))
    await stage.until(lambda: len(commands(stage)) == 4, 300)
    await stage.run_for(60)
    assert stage.azure.calls("Jobs_UpdateJob") == patches + 1, "that the tasks are in"


@pytest.mark.parametrize("changed", [False, True], ids=["first", "changed"])
async def test_a_late_marker_of_former_tasks_loses_no_task(stage: Stage, changed: bool) -> None:
    before = sleeping(3, seconds=36000)
    after = [{**task, "applicationPackageReferences": UNKNOWN} for task in before]
    await stage.ready_pool()
    if changed:
        stage.apply(*made_of("tasks", sleeping(2, seconds=7200)))
        await stage.until(lambda: stage.phase("bj", "own") == "Running", 300)
        marked = stage.azure.calls("Jobs_UpdateJob") + 1
        stage.apply(*made_of("tasks", before))
        await stage.until(lambda: stage.azure.calls("Jobs_UpdateJob") == marked, 60)
        word = stage.azure.hold("Jobs_UpdateJob", count=1)
    else:
        word = stage.azure.hold("Jobs_UpdateJob", count=1)
        stage.apply(*made_of("tasks", before))
    await stage.until(lambda: word.arrived, 60)
    wanted = commands(stage)
    assert len(wanted) == 3, "it is the word that they are in"
    await stage.kill()
    stage.apply(*made_of("tasks", after))
    stage.start()
    await stage.until(lambda: not commands(stage), 300)
    await stage.kill()
    word.release()
    stage.apply(*made_of("tasks", before))
    await stage.run_for(1)
    stage.start()
    await stage.until(lambda: commands(stage) == wanted, 300)
    await stage.until(lambda: stage.ready("bj", "own"), 300)


async def test_tasks_of_a_spec_without_policies_go_when_the_one_with_policies_is_back(stage: Stage) -> None:
    before = sleeping(2, seconds=36000)
    more = [*before, {**before[0], "id": "t2"}, {**before[0], "id": "t3", "applicationPackageReferences": UNKNOWN}]
    await stage.ready_pool()
    stage.apply(*made_of("tasks", before))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 300)
    stage.apply(job("own", tasks=more))
    await stage.until(lambda: "t2" in commands(stage), 300)
    await stage.until(lambda: not stage.ready("bj", "own"), 300)
    stage.apply(*made_of("tasks", before))
    await stage.until(lambda: commands(stage).keys() == {"t0", "t1"}, 300)
    await stage.until(lambda: stage.ready("bj", "own"), 300)


async def test_the_first_tasks_of_a_job_with_policies_need_no_mark(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(*made_of("tasks", sleeping(3, seconds=36000)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 300)
    await stage.run_for(60)
    assert stage.azure.calls("Jobs_UpdateJob") == 1, "that the tasks are in"


@pytest.mark.parametrize("names", [("A", "B", "C"), ("A",), ()])
async def test_tasks_whose_list_becomes_longer_or_shorter_are_named_with_it(
    stage: Stage, names: tuple[str, ...]
) -> None:
    def tasks(*names: str) -> list[dict[str, Any]]:
        settings = [{"name": name, "value": "1"} for name in names]
        return [{**task, "environmentSettings": settings} for task in sleeping(2, seconds=36000)]

    await stage.ready_pool()
    stage.apply(job("own", tasks=tasks("A", "B")))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 300)
    stage.apply(job("own", tasks=tasks(*names)))
    await stage.until(lambda: "(environmentSettings)" in str(stage.get("bj", "own")["status"]["conditions"]), 300)


@pytest.mark.parametrize("every", [0.3, 0.7, 1.5])
async def test_a_list_that_changes_faster_than_polls_come_is_followed(stage: Stage, every: float) -> None:
    """A generator that rewrites its ConfigMap or spec all the time must not keep its job from ever having tasks."""
    await stage.ready_pool()
    seen = set[str]()
    for number in range(int(60 / every)):
        stage.apply(*made_of("tasks", [{"id": "one", "commandLine": f"sleep {36000 + number}"}]))
        await stage.run_for(every)
        if stage.azure.get("/jobs/own"):
            seen |= set(commands(stage).values())
    assert len(seen) >= 10, "the job has had tasks of many of its specs"
    await stage.until(lambda: commands(stage) == {"one": f"sleep {36000 + number}"}, 120)
    await stage.until(lambda: stage.ready("bj", "own"), 120)
