"""What an object says while the policy `skip` holds it: what is held back and why, and nothing that is not so."""

from __future__ import annotations

from typing import Any

import pytest

from support.stage import Stage, job, pool, schedule, secret, sleeping, task

_HELD = {"azurebatch.io/reconcile-policy": "skip"}
_MISSING = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "nowhere", "key": "token"}}}]
_LIST = [{"configMapKeyRef": {"name": "nowhere", "key": "tasks.yaml"}}]
_SPEC = {"poolRef": {"name": "cpu"}, "tasks": [{"id": "a", "commandLine": "true"}]}
_MANAGER = {"id": "manager", "commandLine": "true", "environmentSettings": _MISSING}
_NATIVE = {"recurrenceInterval": "PT1H"}
_OF_MANAGER = {"poolRef": {"name": "cpu"}, "jobManagerTask": {"id": "manager", "commandLine": "true"}}
_WITH_MISSING = {
    "job": ("bj", job("own", tasks=[{"id": "a", "commandLine": "true", "environmentSettings": _MISSING}])),
    "list": ("bj", job("own", tasksFrom=_LIST)),
    "task": ("bt", task("own", "open", environmentSettings=_MISSING)),
    "pool": ("bp", pool("own", startTask={"commandLine": "true", "environmentSettings": _MISSING})),
    "schedule": (
        "bjs",
        schedule("own", schedule=_NATIVE, jobSpecification={"poolRef": _SPEC["poolRef"], "jobManagerTask": _MANAGER}),
    ),
}


def held(body: dict[str, Any]) -> dict[str, Any]:
    return body | {"metadata": body["metadata"] | {"annotations": dict(_HELD)}}


def conditions(stage: Stage, kind: str, name: str) -> dict[str, str]:
    return {each["type"]: each["status"] for each in stage.status(kind, name).get("conditions", [])}


@pytest.mark.parametrize("what", _WITH_MISSING)
async def test_an_object_that_is_held_waits_for_no_secret(stage: Stage, what: str) -> None:
    """It said Reconciling, so that tools waited for an operator that does nothing."""
    kind, body = _WITH_MISSING[what]
    await stage.ready_pool()
    stage.apply(job("open", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.ready("bj", "open"), 120)
    stage.apply(held(body))
    await stage.until(lambda: stage.condition(kind, "own", "Skipped"), 120)
    await stage.run_for(120)
    assert conditions(stage, kind, "own") == {"Skipped": "True"}
    writes = stage.writes(kind, "own")
    await stage.run_for(600)
    assert stage.writes(kind, "own") == writes


async def test_a_held_job_that_runs_names_the_list_that_it_cannot_read(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(2, seconds=36000)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 120)
    stage.annotate("bj", "own", reconcile_policy="skip")
    stage.patch("bj", "own", {"spec": {"tasks": None, "tasksFrom": _LIST}})
    await stage.until(lambda: "nowhere" in str((stage.condition("bj", "own", "Skipped") or {}).get("message")), 120)
    assert "Reconciling" not in conditions(stage, "bj", "own")
    await stage.until(lambda: stage.status("bj", "own")["taskCounts"]["running"] == 2, 300)


async def test_a_foreign_job_is_reported_before_a_missing_list(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.post("/jobs", {"id": "own", "poolInfo": {"poolId": "cpu"}})
    stage.apply(job("own", tasksFrom=_LIST))
    await stage.until(lambda: stage.reason("bj", "own") == "OwnershipConflict", 120)
    await stage.always(lambda: stage.reason("bj", "own") == "OwnershipConflict", 120)


async def test_a_failed_task_that_is_held_says_why_it_does_not_run_again(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("open", onAllTasksComplete="noaction"), task("bad", "open", "false"))
    await stage.until(lambda: stage.phase("bt", "bad") == "Failed", 120)
    stage.annotate("bt", "bad", reconcile_policy="skip", retry_failed="1")
    await stage.until(lambda: stage.events("bt", "bad", "ReconcileSkipped"), 60)
    await stage.run_for(600)
    assert "reactivate_task" in stage.condition("bt", "bad", "Skipped")["message"]
    assert conditions(stage, "bt", "bad")["Failed"] == "True"
    assert stage.phase("bt", "bad") == "Failed"
    assert [each["count"] for each in stage.events("bt", "bad", "ReconcileSkipped")] == [1]
    writes = stage.writes("bt", "bad")
    await stage.run_for(600)
    assert stage.writes("bt", "bad") == writes
    stage.annotate("bt", "bad", reconcile_policy=None)
    await stage.until(lambda: stage.azure.calls("Tasks_ReactivateTask") == 1, 120)
    await stage.until(lambda: stage.phase("bt", "bad") == "Failed", 120)
    assert "Skipped" not in conditions(stage, "bt", "bad")


_NEVER = {
    "cron": ("bjs", schedule("own", cron={"expression": "0 * * * *"}, jobSpecification=_SPEC)),
    "suspended cron": (
        "bjs",
        schedule("own", suspend=True, cron={"expression": "0 * * * *"}, jobSpecification=_SPEC),
    ),
    "suspended schedule": ("bjs", schedule("own", suspend=True, schedule=_NATIVE, jobSpecification=_OF_MANAGER)),
    "suspended job": ("bj", job("own", suspend=True, tasks=sleeping(1))),
}


@pytest.mark.parametrize("what", _NEVER)
async def test_an_object_that_is_held_since_its_creation_is_not_ready(stage: Stage, what: str) -> None:
    kind, body = _NEVER[what]
    await stage.ready_pool()
    stage.apply(held(body))
    await stage.until(lambda: stage.condition(kind, "own", "Skipped"), 120)
    await stage.run_for(2 * 3600)
    assert not stage.condition(kind, "own", "Ready")
    stage.annotate(kind, "own", reconcile_policy=None)
    await stage.until(lambda: stage.ready(kind, "own"), 120)
    stage.annotate(kind, "own", reconcile_policy="skip")
    if kind == "bjs":
        await stage.run_for(2 * 3600)
        assert stage.ready(kind, "own") is ("cron" in what), "it was ready; a suspended one does not exist"


async def test_an_event_tells_each_kind_of_change_that_is_held_back(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(2, seconds=36000)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 120)
    stage.annotate("bj", "own", reconcile_policy="skip")
    stage.patch("bj", "own", {"spec": {"priority": 7}})
    await stage.until(lambda: stage.events("bj", "own", "ReconcileSkipped"), 120)
    stage.patch("bj", "own", {"spec": {"tasks": sleeping(3, seconds=36000)}})
    await stage.until(lambda: "add_tasks" in stage.condition("bj", "own", "Skipped")["message"], 120)
    await stage.run_for(60)
    told = [each["message"] for each in stage.events("bj", "own", "ReconcileSkipped")]
    assert len(told) == 2
    assert "update_job" in told[0]
    assert "add_tasks" in told[1]


async def test_a_held_job_that_is_given_a_secret_continues_when_it_is_released(stage: Stage) -> None:
    _, body = _WITH_MISSING["job"]
    await stage.ready_pool()
    stage.apply(held(body))
    await stage.until(lambda: stage.condition("bj", "own", "Skipped"), 120)
    stage.annotate("bj", "own", reconcile_policy=None)
    await stage.until(lambda: stage.reason("bj", "own") == "SecretNotFound", 120)
    stage.apply(secret("nowhere", token="x"))
    await stage.until(lambda: stage.phase("bj", "own") in {"Running", "Succeeded"}, 120)
