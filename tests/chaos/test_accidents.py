"""The operator killed, the service away, throttling, lost answers: always the same end, nothing twice, nothing lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from e2e.conftest import Stage, job, pool, task

WORK = [
    pool("cpu"),
    job(
        "sweep",
        taskFactory={
            "parametricSweep": {"parameterSets": [{"start": 1, "end": 250}]},
            "repeatTask": {"commandLine": "task {0}"},
            "mergeTask": {"commandLine": "merge"},
        },
    ),
    job("steps", onAllTasksComplete="terminatejob"),
    *(task(f"t{number}", "steps") for number in range(30)),
]
OWN_TASKS = 251


def ended(stage: Stage) -> bool:
    items = json.loads(stage.kubectl("get", "bj,bt", "-o", "json"))["items"]
    return len(items) == 32 and all(item["status"].get("phase") == "Succeeded" for item in items)


def effects(stage: Stage) -> dict[str, Any]:
    """What there is in Azure Batch, and how often things were created with success."""
    operations = stage.emulator.admin("GET", "counters")["operations"]
    state = stage.emulator.admin("GET", "state")
    return {
        "pools created": operations["Pools_CreatePool"].get("201", 0),
        "jobs created": operations["Jobs_CreateJob"].get("201", 0),
        "pools": state["pools"],
        "jobs": state["jobs"],
        "tasks": state["tasks"],
    }


EXPECTED = {"pools created": 1, "jobs created": 2, "pools": 1, "jobs": 2, "tasks": OWN_TASKS + 30}


@pytest.mark.parametrize("calls", [1, 3, 5, 8, 11, 14, 18, 24])
def test_killed_after_so_many_calls(make_stage: Any, calls: int) -> None:
    stage: Stage = make_stage("--executor=simulated")
    stage.apply(*stage.account(), *WORK)
    stage.until(lambda: sum(stage.calls().values()) >= calls, f"{calls} calls")
    stage.kill_operator()
    stage.restart_operator()
    stage.until(lambda: ended(stage), "everything has ended", 120)
    assert effects(stage) == EXPECTED
    assert stage.status("bj", "sweep")["taskCounts"]["succeeded"] == OWN_TASKS


def test_the_service_is_away_for_a_while(make_stage: Any) -> None:
    stage: Stage = make_stage("--executor=simulated")
    stage.apply(*stage.account(), *WORK)
    stage.wait("bp", "cpu", "Ready")
    stage.until(lambda: stage.emulator.admin("GET", "state")["tasks"] == OWN_TASKS + 30, "all tasks are in")
    fault = stage.emulator.admin("POST", "faults", {"path": "^/", "effect": {"reset": True}})
    stage.until(lambda: stage.condition("bacc", "main").get("reason") == "ConnectionFailed", "the account says so", 60)
    polls = stage.calls()["Pools_ListPools"]
    stage.until(lambda: stage.calls()["Pools_ListPools"] >= polls + 2, "what was seen before is written")
    before = stage.writes("batchpools") + stage.writes("batchtasks") + stage.writes("batchjobs")
    pool_before = stage.status("bp", "cpu")
    polls = stage.calls()["Pools_ListPools"]
    stage.until(lambda: stage.calls()["Pools_ListPools"] >= polls + 4, "it is asked again and again")
    assert stage.status("bp", "cpu") == pool_before
    assert stage.writes("batchpools") + stage.writes("batchtasks") + stage.writes("batchjobs") == before
    stage.emulator.admin("DELETE", f"faults/{fault['id']}")
    stage.wait("bacc", "main", "Ready")
    stage.until(lambda: ended(stage), "everything has ended", 120)
    assert effects(stage) == EXPECTED


@pytest.mark.parametrize("status", [429, 503])
def test_throttled(make_stage: Any, status: int) -> None:
    stage: Stage = make_stage("--executor=simulated")
    code = "TooManyRequests" if status == 429 else "ServerBusy"
    effect = {"status": status, "code": code, "retryAfter": 1}
    stage.emulator.admin("POST", "faults", {"path": "^/", "probability": 0.3, "seed": 7, "count": 30, "effect": effect})
    stage.apply(*stage.account(), *WORK)
    stage.until(lambda: ended(stage), "everything has ended", 180)
    assert effects(stage) == EXPECTED
    stage.wait("bacc", "main", "Ready")


def test_only_the_throttled_account_reports_it(make_stage: Any) -> None:
    stage: Stage = make_stage("--executor=simulated")
    stage.apply(*stage.account(), pool("cpu"))
    stage.wait("bp", "cpu", "Ready")
    before = stage.status("bp", "cpu")
    effect = {"status": 429, "code": "TooManyRequests", "retryAfter": 2}
    fault = stage.emulator.admin("POST", "faults", {"path": "^/", "effect": effect})
    stage.until(lambda: stage.condition("bacc", "main").get("reason") == "Throttled", "the account says so", 60)
    assert stage.status("bacc", "main")["throttling"]["until"]
    assert stage.status("bp", "cpu") == before
    stage.emulator.admin("DELETE", f"faults/{fault['id']}")
    stage.wait("bacc", "main", "Ready")
    assert "until" not in stage.status("bacc", "main")["throttling"]


@pytest.mark.parametrize(
    "operation", ["Pools_CreatePool", "Jobs_CreateJob", "Tasks_CreateTaskCollection", "Jobs_UpdateJob"]
)
def test_a_response_is_lost_after_the_effect(make_stage: Any, operation: str) -> None:
    stage: Stage = make_stage("--executor=simulated")
    stage.emulator.admin("POST", "faults", {"operation": operation, "count": 2, "effect": {"lostAnswer": True}})
    stage.apply(*stage.account(), *WORK)
    stage.until(lambda: ended(stage), "everything has ended", 120)
    assert effects(stage) | {"pools created": 1, "jobs created": 2} == EXPECTED
