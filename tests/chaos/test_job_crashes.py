"""The operator killed before and after each call of a job's life, and calls that are done in part: the same end, nothing twice."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.conftest import Stage, job
from e2e.test_job_life import patch

TASKS = 250
FACTORY = {"repeat": {"count": TASKS}, "repeatTask": {"commandLine": "x {0}"}}


def hit(stage: Stage, fault: str) -> bool:
    """Whether a fault has met a call."""
    return any(rule["id"] == fault and rule["hits"] for rule in stage.emulator.admin("GET", "faults")["value"])


def live(stage: Stage, moments: dict[str, Any]) -> None:
    """A whole life: created, suspended, resumed, completed, deleted; `moments` are called where they fit."""
    stage.apply(job("one", taskFactory=FACTORY))
    moments["created"]()
    stage.until(lambda: stage.status("bj", "one").get("taskCounts", {}).get("running"), "tasks run")
    patch(stage, "one", '{"suspend":true}')
    moments["suspended"]()
    stage.wait("bj", "one", "Suspended")
    stage.emulator.admin("POST", "simulation", {"rules": [{"seconds": 1}]})
    patch(stage, "one", '{"suspend":false}')
    moments["resumed"]()
    stage.wait("bj", "one", "Complete", 120)


def check(stage: Stage) -> None:
    operations = stage.emulator.admin("GET", "counters")["operations"]
    status = stage.status("bj", "one")
    assert status["taskCounts"]["succeeded"] == status["taskCounts"]["total"] == TASKS
    assert operations["Jobs_CreateJob"]["201"] == 1
    assert stage.emulator.admin("GET", "state")["tasks"] == TASKS


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("operation", "moment"),
    [
        ("Jobs_CreateJob", "created"),
        ("Tasks_CreateTaskCollection", "created"),
        ("Jobs_UpdateJob", "created"),
        ("Jobs_UpdateJob", "suspended"),
        ("Jobs_DisableJob", "suspended"),
        ("Jobs_EnableJob", "resumed"),
    ],
)
def test_killed_at_each_call(make_stage: Any, operation: str, moment: str, *, done: bool) -> None:
    stage: Stage = make_stage("--executor=simulated")
    stage.emulator.admin("POST", "simulation", {"rules": [{"seconds": 1_000_000}]})
    stage.ready_pool()
    lost = {"operation": operation, "count": 1, "effect": {"lostAnswer": True}}
    hang = {"operation": operation, "effect": {"hang": True}}

    def arm() -> list[str]:
        return [stage.emulator.admin("POST", "faults", rule)["id"] for rule in ([lost] if done else []) + [hang]]

    armed: list[str] = arm() if moment == "created" else []

    def crash() -> None:
        stage.until(lambda: hit(stage, armed[-1]), f"{operation} hangs")
        stage.kill_operator()
        for id in armed:
            stage.emulator.admin("DELETE", f"faults/{id}")
        stage.restart_operator()

    moments: dict[str, Any] = {name: lambda: None for name in ("created", "suspended", "resumed")}
    moments[moment] = crash
    if moment != "created":
        before = "created" if moment == "suspended" else "suspended"

        def ready() -> None:
            what = "running" if before == "created" else "total"
            stage.until(lambda: stage.status("bj", "one").get("taskCounts", {}).get(what), "it is time")
            if before == "suspended":
                stage.wait("bj", "one", "Suspended")
            armed.extend(arm())

        moments[before] = ready
    live(stage, moments)
    check(stage)


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_killed_while_a_job_is_deleted(make_stage: Any, *, done: bool) -> None:
    stage: Stage = make_stage("--executor=simulated")
    stage.emulator.admin("POST", "simulation", {"rules": [{"seconds": 1_000_000}]})
    stage.ready_pool()
    stage.apply(job("one", taskFactory=FACTORY))
    stage.until(lambda: stage.status("bj", "one").get("taskCounts", {}).get("running"), "tasks run")
    rules = [{"operation": "Jobs_DeleteJob", "effect": {"hang": True}}]
    if done:
        # What comes after the call is held up, so that the operator does not see what it has done.
        lost = {"operation": "Jobs_DeleteJob", "count": 1, "effect": {"lostAnswer": True}}
        rules = [lost, *rules, {"operation": "Jobs_ListJobs", "effect": {"hang": True}}]
    armed = [stage.emulator.admin("POST", "faults", rule)["id"] for rule in rules[:2]]
    stage.kubectl("delete", "bj/one", "--wait=false")
    if done:
        stage.until(lambda: stage.calls().get("Jobs_DeleteJob"), "the call is made")
        armed += [stage.emulator.admin("POST", "faults", rule)["id"] for rule in rules[2:]]
    else:
        stage.until(lambda: hit(stage, armed[-1]), "the call hangs")
    stage.kill_operator()
    for id in armed:
        stage.emulator.admin("DELETE", f"faults/{id}")
    stage.restart_operator()
    stage.until_gone("bj")
    state = stage.emulator.admin("GET", "state")
    assert (state["jobs"], state["tasks"]) == (0, 0)


@pytest.mark.parametrize("every", [2, 7])
def test_collections_that_are_done_in_part(make_stage: Any, every: int) -> None:
    stage: Stage = make_stage("--executor=simulated")
    stage.ready_pool()
    partial = {"every": every, "status": "ServerError", "code": "ServerBusy"}
    fault = {"operation": "Tasks_CreateTaskCollection", "count": 4, "effect": {"partial": partial}}
    stage.emulator.admin("POST", "faults", fault)
    stage.apply(job("one", taskFactory=FACTORY))
    stage.wait("bj", "one", "Complete", 120)
    check(stage)
