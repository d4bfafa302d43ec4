"""What is being added or run again when a user takes it back, or stops the job: no more of it comes, also without a restart."""

from __future__ import annotations

from typing import Any

import pytest

from support.stage import Stage, config_map, job, schedule, secret, task

FEW, MANY = 1001, 2000
FAILED = 20


def repeated(count: int) -> dict[str, Any]:
    factory = {"repeat": {"count": count}, "repeatTask": {"commandLine": "/bin/sh -c 'sleep 36000'"}}
    return job("own", taskFactory=factory)


def stop(stage: Stage, how: str) -> None:
    if how == "skip":
        stage.annotate("bj", "own", reconcile_policy="skip")
    elif how == "remove":
        stage.annotate("bj", "own", retry_failed=None)
    else:
        stage.patch("bj", "own", {"spec": {"suspend": True}})


def go_on(stage: Stage, how: str) -> None:
    if how == "skip":
        stage.annotate("bj", "own", reconcile_policy="manage")
    elif how == "remove":
        stage.annotate("bj", "own", retry_failed="1")
    else:
        stage.patch("bj", "own", {"spec": {"suspend": False}})


@pytest.mark.parametrize("how", ["former", "skip", "suspend"])
async def test_no_more_tasks_are_added(stage: Stage, how: str) -> None:
    await stage.ready_pool()
    stage.apply(repeated(FEW))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 300)
    await stage.run_for(60)
    hold = stage.azure.hold("Tasks_CreateTaskCollection")
    stage.apply(repeated(FEW + MANY))
    await stage.until(lambda: hold.arrived, 60)
    if how == "former":
        stage.apply(repeated(FEW))
    else:
        stop(stage, how)
    await stage.run_for(5)
    hold.release()
    await stage.run_for(300)
    there = len(stage.azure.all("/jobs/own/tasks"))
    assert there <= FEW + 400, "what was on its way lands: four calls of a hundred"
    if how == "former":
        stage.apply(repeated(FEW + MANY))
    else:
        go_on(stage, how)
    await stage.until(lambda: len(stage.azure.all("/jobs/own/tasks")) == FEW + MANY, 300)


def listed(name: str, count: int) -> dict[str, Any]:
    return config_map(
        name, tasks_yaml="\n".join(f"- {{id: t{number}, commandLine: sleep 36000}}" for number in range(count))
    )


def from_list(name: str) -> dict[str, Any]:
    return job("own", tasksFrom=[{"configMapKeyRef": {"name": name, "key": "tasks.yaml"}}])


@pytest.mark.parametrize("how", ["replace", "skip", "typo", "suspend", "terminate", "delete"])
async def test_no_more_tasks_are_added_while_the_new_ones_cannot_be_read(stage: Stage, how: str) -> None:
    """Stopping what is in progress takes no value of a Secret or ConfigMap, no list and no call that may be refused."""
    await stage.ready_pool()
    stage.apply(listed("long", FEW + MANY), from_list("long"))
    hold = stage.azure.hold("Tasks_CreateTaskCollection")
    await stage.until(lambda: hold.arrived, 120)
    stage.azure.fault("Jobs_DisableJob|Jobs_TerminateJob|Jobs_DeleteJob", status=403, code="AuthorizationFailure")
    stage.apply(from_list("gone"))
    match how:
        case "skip" | "typo":
            stage.annotate("bj", "own", reconcile_policy="skip" if how == "skip" else "skpi")
        case "suspend":
            stop(stage, how)
        case "terminate":
            stage.annotate("bj", "own", terminate="1")
        case "delete":
            stage.delete("bj", "own")
    await stage.run_for(5)
    hold.release()
    await stage.run_for(300)
    assert len(stage.azure.all("/jobs/own/tasks")) <= 400, "what was on its way lands: four calls of a hundred"


@pytest.mark.parametrize("status", [403, 500])
async def test_a_job_is_suspended_although_the_api_server_shows_no_config_map(stage: Stage, status: int) -> None:
    await stage.ready_pool()
    stage.apply(listed("short", 2), from_list("short"))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 300)
    stage.fail("get", "configmaps", status=status)
    await stage.restart()
    stop(stage, "suspend")
    await stage.until(lambda: (stage.azure.get("/jobs/own") or {})["state"] == "disabled", 120)


async def test_a_schedule_is_suspended_although_the_api_server_shows_no_secret(stage: Stage) -> None:
    await stage.ready_pool()
    variable = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "token", "key": "value"}}}
    manager = {"id": "m", "commandLine": "sleep 5", "environmentSettings": [variable]}
    spec = {"poolRef": {"name": "cpu"}, "jobManagerTask": manager}
    own = schedule("own", schedule={"recurrenceInterval": "PT1H"}, jobSpecification=spec)
    stage.apply(secret("token", value="secret"), own)
    await stage.until(lambda: stage.azure.get("/jobschedules/own"), 60)
    stage.fail("get", "secrets", "token", status=500)
    stage.patch("bjs", "own", {"spec": {"suspend": True}})
    await stage.until(lambda: (stage.azure.get("/jobschedules/own") or {})["state"] == "disabled", 120)


@pytest.mark.parametrize("how", ["skip", "suspend", "remove"])
async def test_failed_tasks_no_longer_run_again(stage: Stage, how: str) -> None:
    await stage.ready_pool()
    failing = [{"id": f"t{number}", "commandLine": "/bin/sh -c 'exit 1'"} for number in range(FAILED)]
    stage.apply(job("own", tasks=failing, failurePolicy={"action": "Hold"}))
    await stage.until(lambda: stage.status("bj", "own").get("taskCounts", {}).get("failed") == FAILED, 300)
    await stage.run_for(60)
    hold = stage.azure.hold("Tasks_ReactivateTask")
    stage.annotate("bj", "own", retry_failed="1")
    await stage.until(lambda: hold.arrived, 60)
    stop(stage, how)
    await stage.run_for(5)
    hold.release()
    await stage.run_for(300)
    assert stage.azure.calls("Tasks_ReactivateTask") == 1, "the one that was on its way"
    go_on(stage, how)
    await stage.until(lambda: stage.azure.calls("Tasks_ReactivateTask") == FAILED, 300)
    await stage.run_for(300)
    assert stage.azure.calls("Tasks_ReactivateTask") == FAILED, "each runs again once"


async def test_batch_tasks_that_are_held_while_they_wait_are_not_added(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("open", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.ready("bj", "open"), 120)
    hold = stage.azure.hold("Tasks_CreateTaskCollection")
    names = [f"t{number:03}" for number in range(350)]
    stage.apply(*(task(name, "open") for name in names))
    await stage.until(lambda: hold.arrived, 60)
    await stage.run_for(10)
    for name in names:
        stage.annotate("bt", name, reconcile_policy="skip")
    await stage.run_for(20)
    hold.release()
    await stage.run_for(120)
    assert len(stage.azure.all("/jobs/open/tasks")) <= 100, "one call was on its way"
    for name in names:
        stage.annotate("bt", name, reconcile_policy="manage")
    await stage.until(lambda: all(stage.phase("bt", name) == "Succeeded" for name in names), 900)


async def test_failed_tasks_of_a_job_without_tasks_of_its_own_run_again_in_one_go(stage: Stage) -> None:
    """Its sources have no fingerprint, which must not count as a word that nothing goes on."""
    await stage.ready_pool()
    stage.apply(job("own", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.ready("bj", "own"), 120)
    for number in range(FAILED):
        stage.azure.post("/jobs/own/tasks", {"id": f"t{number}", "commandLine": "/bin/sh -c 'exit 1'"})
    await stage.until(lambda: stage.status("bj", "own").get("taskCounts", {}).get("failed") == FAILED, 700)
    lists = stage.azure.calls("Tasks_ListTasks")
    hold = stage.azure.hold("Tasks_ReactivateTask", count=1)
    stage.annotate("bj", "own", retry_failed="1")
    await stage.until(lambda: hold.arrived, 60)
    stage.patch("bj", "own", {"spec": {"priority": 7}})
    await stage.run_for(10)
    hold.release()
    await stage.until(lambda: stage.azure.calls("Tasks_ReactivateTask") == FAILED, 60)
    await stage.run_for(60)
    assert stage.azure.calls("Tasks_ListTasks") == lists + 2, (
        "one for the time of the last failure, one to run them again"
    )
