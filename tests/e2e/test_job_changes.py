"""Changes to a job that lives: its properties, its pool, its tasks; with the exact calls of each."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.conftest import Stage, job, pool, task
from e2e.test_job_life import changes, patch, reason


@pytest.fixture
def stage(make_stage: Any) -> Stage:
    """Tasks run until they are told otherwise."""
    made: Stage = make_stage("--executor=simulated")
    made.emulator.admin("POST", "simulation", {"rules": [{"seconds": 1_000_000}]})
    return made


def finish(stage: Stage) -> None:
    """Tasks that start from now on take a second."""
    stage.emulator.admin("POST", "simulation", {"rules": [{"seconds": 1}]})


def running(stage: Stage, name: str, number: int) -> None:
    stage.until(lambda: stage.status("bj", name).get("taskCounts", {}).get("running") == number, f"{number} tasks run")


def one(id: str, command: str = "x") -> dict[str, Any]:
    return {"id": id, "commandLine": command}


def current(stage: Stage, name: str, generation: int) -> None:
    stage.until(lambda: stage.status("bj", name)["observedGeneration"] == generation, "the change is observed")


def test_properties_are_patched_together(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(job("one", tasks=[one("a")]))
    running(stage, "one", 1)
    patch(
        stage, "one",
        '{"priority":7,"maxParallelTasks":3,"allowTaskPreemption":true,"constraints":{"maxTaskRetryCount":2},'
        '"metadata":[{"name":"team","value":"render"}]}',
    )  # fmt: skip
    stage.until(lambda: changes(stage).count("UpdateJob") == 2, "the change is made")
    current(stage, "one", 2)
    polls = stage.calls()["Jobs_ListJobs"]
    stage.until(lambda: stage.calls()["Jobs_ListJobs"] >= polls + 3, "three polls have passed")
    assert changes(stage) == ["CreateJob", "CreateTaskCollection", "UpdateJob", "UpdateJob"]


def test_a_job_moves_to_another_pool(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(pool("big"), job("one", tasks=[one("a"), one("b")]))
    stage.wait("bp", "big", "Ready")
    running(stage, "one", 2)
    finish(stage)
    patch(stage, "one", '{"poolRef":{"name":"big"}}')
    stage.wait("bj", "one", "Complete")
    assert stage.status("bj", "one")["poolId"] == "big"
    moved = ["UpdateJob", "DisableJob", "UpdateJob", "EnableJob"]
    assert changes(stage)[:7] == ["CreateJob", "CreateTaskCollection", "UpdateJob", *moved]


def test_a_job_flees_from_preemption(stage: Stage) -> None:
    stage.ready_pool(targetDedicatedNodes=0, targetLowPriorityNodes=1, taskSlotsPerNode=1)
    stage.apply(
        pool("safe"), job("one", tasks=[one("a")], backoff={"maxRequeues": 1, "fallbackPoolRef": {"name": "safe"}})
    )
    stage.wait("bp", "safe", "Ready")
    for time in range(2):
        running(stage, "one", 1)
        stage.emulator.admin("POST", "pools/cpu/nodes/0/preempt")
        stage.until(lambda time=time: stage.status("bj", "one").get("requeues") == time + 1, "the requeue is counted")
    stage.until(lambda: stage.status("bj", "one")["poolId"] == "safe", "the job has moved")
    running(stage, "one", 1)
    assert "EnableJob" in changes(stage)
    moves = changes(stage).count("DisableJob")
    patch(stage, "one", '{"priority":3}')
    current(stage, "one", 2)
    assert changes(stage).count("DisableJob") == moves == 1


def test_a_job_that_cannot_flee_fails(stage: Stage) -> None:
    stage.ready_pool(targetDedicatedNodes=0, targetLowPriorityNodes=1, taskSlotsPerNode=1)
    stage.apply(job("one", tasks=[one("a")], backoff={"maxRequeues": 0}))
    running(stage, "one", 1)
    stage.emulator.admin("POST", "pools/cpu/nodes/0/preempt")
    stage.wait("bj", "one", "Failed")
    assert reason(stage, "one", "Failed") == "TooManyRequeues"


def ids(stage: Stage, name: str) -> int:
    """Tasks of the job in Azure Batch."""
    return int(stage.status("bj", name)["taskCounts"]["submitted"])


def test_tasks_are_added_and_pruned(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(job("one", tasks=[one("a"), one("b")]), task("apart", "one"))
    running(stage, "one", 3)
    patch(stage, "one", '{"tasks":[{"id":"b","commandLine":"x"},{"id":"c","commandLine":"x"}]}')
    stage.until(lambda: ids(stage, "one") == 4, "a task is added, none is taken away")
    current(stage, "one", 2)
    patch(stage, "one", '{"taskPrunePolicy":"Delete","tasks":[{"id":"c","commandLine":"x"}]}')
    stage.until(lambda: ids(stage, "one") == 2, "those that the spec no longer names are deleted")
    assert stage.calls()["Tasks_DeleteTask"] == 2
    assert stage.status("bt", "apart")["state"] == "running"


def test_a_changed_task_is_refused_or_replaced(stage: Stage) -> None:
    stage.ready_pool()
    # A job that ends with its tasks takes Replace only when it is created (tests/quick/test_replaced_late.py).
    stage.apply(job("one", tasks=[one("a"), one("b")], onAllTasksComplete="noaction"))
    running(stage, "one", 2)
    patch(stage, "one", '{"tasks":[{"id":"a","commandLine":"new"},{"id":"b","commandLine":"x"}]}')
    stage.until(lambda: reason(stage, "one", "TasksInSync") == "TasksDiffer", "the difference is said")
    assert "(first: a (commandLine))" in stage.condition("bj", "one", "TasksInSync")["message"]
    stage.kill_operator()
    stage.restart_operator()
    patch(stage, "one", '{"taskUpdatePolicy":"Replace"}')
    stage.until(lambda: stage.calls().get("Tasks_DeleteTask") == 1, "the old one is deleted")
    stage.until(lambda: not stage.condition("bj", "one", "TasksInSync"), "nothing differs any more")
    assert stage.emulator.admin("GET", "state")["tasks"] == 2


def test_a_factory_grows_as_far_as_its_ids_allow(stage: Stage) -> None:
    stage.ready_pool(targetDedicatedNodes=4, taskSlotsPerNode=4)
    factory = {"repeat": {"count": 8}, "repeatTask": {"commandLine": "x"}}
    stage.apply(job("one", taskFactory=factory), job("wide", taskFactory=factory | {"idWidth": 4}))
    running(stage, "one", 8)
    for name in ("one", "wide"):
        patch(stage, name, '{"taskFactory":{"repeat":{"count":12}}}')
    stage.until(lambda: reason(stage, "one", "Stalled") == "InvalidTasks", "ids of two digits would not do")
    assert "idWidth" in stage.condition("bj", "one")["message"]
    stage.until(lambda: ids(stage, "wide") == 12, "the wide one grows")
    patch(stage, "one", '{"taskFactory":{"repeat":{"count":10}}}')
    stage.until(lambda: ids(stage, "one") == 10, "the other one grows as far as it can")
    assert stage.emulator.admin("GET", "state")["tasks"] == 22


def test_a_suspended_job_has_not_been_put_back_too_often(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(job("one", tasks=[one("a")], backoff={"maxRequeues": 0}))
    running(stage, "one", 1)
    patch(stage, "one", '{"suspend":true}')
    stage.wait("bj", "one", "Suspended")
    finish(stage)
    patch(stage, "one", '{"suspend":false}')
    stage.wait("bj", "one", "Complete")
    assert stage.status("bj", "one")["requeues"] == 1, "the service has counted it"
