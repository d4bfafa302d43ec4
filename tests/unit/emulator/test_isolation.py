"""An internal error with one of many that have their turn at the same time: the others have it too, and the error is not hidden."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from azure_batch_emulator.engine.entities import Run, Task
from support.still_service import StillService

DAY = 86_400.0
TASKS = ("a", "broken", "c")


def advance(stage: StillService, seconds: float) -> int:
    """Let time pass as an event loop does, which continues after errors of timers; the number of errors."""
    end, errors = stage.clock.service_seconds() + seconds, 0
    while True:
        try:
            stage.clock.advance(end - stage.clock.service_seconds())
        except LookupError:
            errors += 1
        else:
            return errors


def break_for_one(monkeypatch: pytest.MonkeyPatch, owner: Any, method: str) -> None:
    """Let a method raise for the task ``broken``."""
    original = getattr(owner, method)

    def act(about: Task | Run, *args: Any, **options: Any) -> Any:
        if (about.id == "broken") if isinstance(about, Task) else about.name.endswith("/broken"):
            raise LookupError("an internal error")
        return original(about, *args, **options)

    monkeypatch.setattr(owner, method, act)


def add_job(stage: StillService, job: str = "job", command: str = "sleep 1000", **properties: Any) -> None:
    stage.must("POST", "/jobs", {"id": job, "poolInfo": {"poolId": "pool"}, **properties})
    for name in TASKS:
        stage.must("POST", f"/jobs/{job}/tasks", {"id": name, "commandLine": command})


def states(stage: StillService, job: str = "job") -> dict[str, str]:
    return {name: stage.service.task(job, name).state for name in TASKS}


def _start(stage: StillService) -> Callable[[], None]:
    add_job(stage)
    return lambda: None


def _too_old(stage: StillService) -> Callable[[], None]:
    stage.must("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "nowhere"}})
    for name in TASKS:
        stage.must("POST", "/jobs/job/tasks", {"id": name, "commandLine": "true"})
    return lambda: None


def _job_of_some_time(stage: StillService) -> Callable[[], None]:
    add_job(stage, constraints={"maxWallClockTime": "PT10M"})
    return lambda: None


def _job_deleted(stage: StillService) -> Callable[[], None]:
    add_job(stage)
    return lambda: stage.service.jobs.delete(stage.service.job("job"))


def _node_lost(stage: StillService) -> Callable[[], None]:
    add_job(stage)
    return lambda: stage.fail_node("unusable")


def _node_rebooted(stage: StillService) -> Callable[[], None]:
    add_job(stage)
    return lambda: stage.must("POST", f"{stage.node_path}/reboot", {"nodeRebootOption": "requeue"})


def _prepared(stage: StillService) -> Callable[[], None]:
    add_job(stage, jobPreparationTask={"commandLine": "sleep 100"})
    return lambda: None


def _not_prepared(stage: StillService) -> Callable[[], None]:
    preparation = {"commandLine": "sleep 100; exit 1", "constraints": {"maxTaskRetryCount": 0}}
    add_job(stage, jobPreparationTask=preparation)
    return lambda: None


@dataclass(frozen=True)
class Case:
    """Something that happens to three tasks at once.

    Attributes:
        prepare: makes the tasks; returns what sets it off.
        method: of the tasks' manager, which raises for one of them.
        before: service seconds until it is set off; None if that is at once.
        seconds: until it has happened.
        state: of the tasks that are not broken.
    """

    prepare: Callable[[StillService], Callable[[], None]]
    method: str
    before: float | None
    seconds: float
    state: str


CASES = {
    "tasks get their nodes": Case(_start, "assign", None, 10.0, "running"),
    "tasks are 180 days old": Case(_too_old, "end", 0.0, 182 * DAY, "completed"),
    "the time of a job is over": Case(_job_of_some_time, "end", 100.0, 600.0, "completed"),
    "a job is deleted": Case(_job_deleted, "end", 100.0, 0.0, "completed"),
    "a node is lost": Case(_node_lost, "requeue", 100.0, 0.0, "active"),
    "a node is rebooted": Case(_node_rebooted, "requeue", 100.0, 0.0, "active"),
    "a preparation task has succeeded": Case(_prepared, "launch", 0.0, 200.0, "running"),
    "a preparation task has failed": Case(_not_prepared, "return_to_queue", 0.0, 200.0, "active"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_error_with_one_task_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    stage = StillService()
    stage.steady_pool(1, taskSlotsPerNode=8)
    set_off = case.prepare(stage)
    assert case.before is None or advance(stage, case.before) == 0
    break_for_one(monkeypatch, stage.service.tasks, case.method)
    set_off()
    assert advance(stage, case.seconds) == 1
    assert {name: state for name, state in states(stage).items() if name != "broken"} == {
        "a": case.state,
        "c": case.state,
    }


def test_a_job_with_a_task_that_cannot_be_ended_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = StillService()
    stage.steady_pool(1, taskSlotsPerNode=8)
    add_job(stage, constraints={"maxWallClockTime": "PT10M"})
    break_for_one(monkeypatch, stage.service.tasks, "end")
    assert advance(stage, 900.0) == 1
    assert stage.service.job("job").state == "completed"


def test_an_error_with_one_job_does_not_stop_the_others_and_no_task_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = StillService()
    stage.steady_pool(1, taskSlotsPerNode=2)
    for job in ("first", "second"):
        add_job(stage, job, command="sleep 100")
    break_for_one(monkeypatch, stage.service.tasks, "assign")
    assert advance(stage, 1000.0) == 2
    for job in ("first", "second"):
        assert states(stage, job) == {"a": "completed", "broken": "active", "c": "completed"}


def test_an_error_with_one_dependent_task_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = StillService()
    stage.steady_pool(1, taskSlotsPerNode=8)
    stage.must("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "pool"}, "usesTaskDependencies": True})
    stage.must("POST", "/jobs/job/tasks", {"id": "parent", "commandLine": "sleep 100"})
    for name in TASKS:
        stage.must("POST", "/jobs/job/tasks", {"id": name, "commandLine": "true", "dependsOn": {"taskIds": ["parent"]}})
    break_for_one(monkeypatch, stage.service.tasks, "enqueue")
    assert advance(stage, 200.0) == 1
    assert states(stage) == {"a": "completed", "broken": "active", "c": "completed"}
    assert stage.service.task("job", "parent").state == "completed"
