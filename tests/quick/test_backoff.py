"""A refused call is tried again on the schedule of its class, whatever pokes, polls and comparisons happen meanwhile.

Every verb that a plan can make is refused in every way, and the calls that reached the service are counted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from azure_batch_operator.reconcile.plan import VERBS
from support.stage import Options, Stage, job, pool, sleeping, task, thing


@dataclass(frozen=True)
class Class:
    """Most tries of one refused call: within a minute, and within an hour."""

    minute: int
    hour: int


# Attempts as the service counts them: a call that was answered 429, 500, 503 or not at all is itself repeated up to three times.
BUSY = Class(40, 480)
"""About a second, growing to a minute."""
WAITING = Class(4, 24)
"""Half a minute, growing to five: somebody else must act."""
WRONG = Class(3, 14)
"""A minute, growing to an hour: the request is wrong."""
NODE = Class(4, 10)
"""A node that is in no state for something is asked again after five minutes, growing to an hour; others meanwhile."""

REFUSALS: dict[str, tuple[dict[str, Any], Class]] = {
    "400": ({"status": 400, "code": "InvalidPropertyValue"}, WRONG),
    "403": ({"status": 403, "code": "InsufficientAccountPermissions"}, WAITING),
    "409 invalid": ({"status": 409, "code": "OperationInvalidForCurrentState"}, BUSY),
    "409 disabling": ({"status": 409, "code": "JobDisabled"}, BUSY),
    "409 package": ({"status": 409, "code": "InvalidApplicationPackageReferences"}, WAITING),
    "409 pool quota": ({"status": 409, "code": "PoolQuotaReached"}, WAITING),
    "409 job quota": ({"status": 409, "code": "ActiveJobAndScheduleQuotaReached"}, WAITING),
    "409 unknown": ({"status": 409, "code": "SomethingNew"}, BUSY),
    "412": ({"status": 412, "code": "ConditionNotMet"}, BUSY),
    "429": ({"status": 429, "code": "TooManyRequests", "retryAfter": 1}, BUSY),
    "500": ({"status": 500, "code": "InternalError"}, BUSY),
    "503": ({"status": 503, "code": "ServerBusy"}, BUSY),
    "timeout": ({"hang": True}, BUSY),
    "reset": ({"reset": True}, BUSY),
}

FORMULA = {"enableAutoScale": True, "autoScaleFormula": "$TargetDedicatedNodes = 2;", "targetDedicatedNodes": None}
EVERY = {"recurrenceInterval": "PT1H"}


def start_task(command: str) -> dict[str, Any]:
    return {"startTask": {"commandLine": command, "waitForSuccess": True}}


def change(kind: str, name: str, **spec: Any) -> Callable[[Stage], None]:
    return lambda stage: void(stage.patch(kind, name, {"spec": spec}))


def void(_: object) -> None:
    """What happened is no value."""


async def account_only(stage: Stage) -> None:
    stage.apply(*stage.account_objects())
    await stage.until(lambda: stage.ready("bacc", "main"))


def a_pool(**spec: Any) -> Callable[[Stage], Awaitable[None]]:
    return lambda stage: stage.ready_pool(**spec)


async def a_job(stage: Stage, **spec: Any) -> None:
    await stage.ready_pool()
    stage.apply(job("own", **({"tasks": sleeping(1, 86_400)} | spec)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 120)


async def a_suspended_job(stage: Stage) -> None:
    await a_job(stage)
    stage.patch("bj", "own", {"spec": {"suspend": True}})
    await stage.until(lambda: stage.phase("bj", "own") == "Suspended", 120)


async def a_task(stage: Stage, command: str = "sleep 86400", phase: str = "Running") -> None:
    await a_job(stage, tasks=None, onAllTasksComplete="noaction")
    stage.apply(task("t", "own", command, constraints={"maxWallClockTime": "P2D"}))
    await stage.until(lambda: stage.phase("bt", "t") == phase, 120)


async def a_failed_task(stage: Stage) -> None:
    await a_task(stage, "exit 1", "Failed")


def a_schedule(**spec: Any) -> Callable[[Stage], Awaitable[None]]:
    async def prepare(stage: Stage) -> None:
        await stage.ready_pool()
        stage.apply(nightly(**spec))
        await stage.until(lambda: stage.ready("bjs", "nightly"), 120)

    return prepare


async def a_disabled_schedule(stage: Stage) -> None:
    await a_schedule()(stage)
    stage.patch("bjs", "nightly", {"spec": {"suspend": True}})
    await stage.until(lambda: stage.phase("bjs", "nightly") == "Suspended", 120)


def nightly(**spec: Any) -> dict[str, Any]:
    manager = {"id": "manager", "commandLine": "sleep 86400"}
    specification = {"poolRef": {"name": "cpu"}, "jobManagerTask": manager}
    return thing("BatchJobSchedule", "nightly", **({"schedule": EVERY, "jobSpecification": specification} | spec))


async def a_resizing_pool(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.clock.pause()
    stage.patch("bp", "cpu", {"spec": {"targetDedicatedNodes": 3}})
    await stage.until(lambda: (stage.azure.get("/pools/cpu") or {})["allocationState"] == "resizing")
    await stage.run_for(10)


def fail_a_node(stage: Stage, state: str = "unusable") -> None:
    node = next(iter(stage.azure.service.pool("cpu").nodes.values()))
    stage.azure.service.nodes.fail(node, state, "NodeUnusable", "broken")


def terminate(kind: str, name: str) -> Callable[[Stage], None]:
    return lambda stage: stage.annotate(kind, name, terminate="1")


@dataclass(frozen=True)
class Case:
    """How a verb comes about: a beginning, and what a user then does; `kind` and `name` are the object that says so."""

    operation: str
    prepare: Callable[[Stage], Awaitable[None]]
    act: Callable[[Stage], None]
    kind: str = "bp"
    name: str = "cpu"


CASES: dict[str, Case] = {
    "create_pool": Case("Pools_CreatePool", account_only, lambda stage: stage.apply(pool("cpu"))),
    "update_pool": Case("Pools_UpdatePool", a_pool(), change("bp", "cpu", displayName="new")),
    "replace_pool_properties": Case(
        "Pools_ReplacePoolProperties", a_pool(**start_task("true")), change("bp", "cpu", startTask=None)
    ),
    "enable_pool_auto_scale": Case("Pools_EnablePoolAutoScale", a_pool(), change("bp", "cpu", **FORMULA)),
    "disable_pool_auto_scale": Case(
        "Pools_DisablePoolAutoScale",
        a_pool(**FORMULA),
        change("bp", "cpu", enableAutoScale=None, autoScaleFormula=None, targetDedicatedNodes=2),
    ),
    "evaluate_pool_auto_scale": Case(
        "Pools_EvaluatePoolAutoScale",
        a_pool(**FORMULA),
        change("bp", "cpu", autoScaleFormula="$TargetDedicatedNodes = 1;"),
    ),
    "resize_pool": Case("Pools_ResizePool", a_pool(), change("bp", "cpu", targetDedicatedNodes=3)),
    "stop_pool_resize": Case("Pools_StopPoolResize", a_resizing_pool, change("bp", "cpu", targetDedicatedNodes=1)),
    "remove_nodes": Case("Pools_RemoveNodes", a_pool(nodeRemediation={"unusable": "Remove"}), fail_a_node),
    "reboot_node": Case(
        "Nodes_RebootNode",
        a_pool(startTaskUpdate="Reboot", **start_task("true 1")),
        change("bp", "cpu", **start_task("true 2")),
    ),
    "reimage_node": Case(
        "Nodes_ReimageNode",
        a_pool(nodeRemediation={"startTaskFailed": "Reimage"}),
        lambda stage: fail_a_node(stage, "starttaskfailed"),
    ),
    "delete_pool": Case("Pools_DeletePool", a_pool(), lambda stage: stage.delete("bp", "cpu")),
    "create_job": Case(
        "Jobs_CreateJob", a_pool(), lambda stage: stage.apply(job("own", tasks=sleeping(1))), "bj", "own"
    ),
    "update_job": Case("Jobs_UpdateJob", a_job, change("bj", "own", priority=7), "bj", "own"),
    "terminate_job": Case("Jobs_TerminateJob", a_job, terminate("bj", "own"), "bj", "own"),
    "disable_job": Case("Jobs_DisableJob", a_job, change("bj", "own", suspend=True), "bj", "own"),
    "enable_job": Case("Jobs_EnableJob", a_suspended_job, change("bj", "own", suspend=False), "bj", "own"),
    "delete_job": Case("Jobs_DeleteJob", a_job, lambda stage: stage.delete("bj", "own"), "bj", "own"),
    "update_task": Case(
        "Tasks_ReplaceTask", a_task, change("bt", "t", constraints={"maxWallClockTime": "P3D"}), "bt", "t"
    ),
    "terminate_task": Case("Tasks_TerminateTask", a_task, terminate("bt", "t"), "bt", "t"),
    "reactivate_task": Case(
        "Tasks_ReactivateTask", a_failed_task, lambda stage: stage.annotate("bt", "t", retry_failed="1"), "bt", "t"
    ),
    "delete_task": Case("Tasks_DeleteTask", a_task, lambda stage: stage.delete("bt", "t"), "bt", "t"),
    "create_schedule": Case(
        "JobSchedules_CreateJobSchedule", a_pool(), lambda stage: stage.apply(nightly()), "bjs", "nightly"
    ),
    "update_schedule": Case(
        "JobSchedules_UpdateJobSchedule",
        a_schedule(),
        change("bjs", "nightly", schedule={"recurrenceInterval": "PT2H"}),
        "bjs",
        "nightly",
    ),
    "disable_schedule": Case(
        "JobSchedules_DisableJobSchedule", a_schedule(), change("bjs", "nightly", suspend=True), "bjs", "nightly"
    ),
    "enable_schedule": Case(
        "JobSchedules_EnableJobSchedule",
        a_disabled_schedule,
        change("bjs", "nightly", suspend=False),
        "bjs",
        "nightly",
    ),
    "terminate_schedule": Case(
        "JobSchedules_TerminateJobSchedule", a_schedule(), terminate("bjs", "nightly"), "bjs", "nightly"
    ),
    "delete_schedule": Case(
        "JobSchedules_DeleteJobSchedule", a_schedule(), lambda stage: stage.delete("bjs", "nightly"), "bjs", "nightly"
    ),
}


def test_every_verb_of_a_plan_has_a_case() -> None:
    assert CASES.keys() == VERBS


async def refused(stage: Stage, verb: str, refusal: str) -> tuple[Case, float, Class]:
    """Bring a verb about while it is refused; the case, when that began, and what is allowed."""
    case, (effect, allowed) = CASES[verb], REFUSALS[refusal]
    await case.prepare(stage)
    stage.azure.fault(case.operation, **effect)
    began = stage.now
    case.act(stage)
    await stage.until(lambda: stage.azure.calls(case.operation, began), 120)
    return case, stage.now, NODE if verb in {"reboot_node", "reimage_node"} and refusal.startswith("409") else allowed


# Idle polls are far apart here, so that an hour costs little; what a refusal itself sets off is not.
CALM = Options(settings={"poll_seconds": 5.0, "idle_poll_seconds": 300.0})
calm = pytest.mark.parametrize("stage", [CALM], indirect=True, ids=[""])


FURTHER = ("409 invalid", "409 disabling", "409 package", "409 pool quota", "reset")
"""Further refusals of the classes that all verbs are tried with."""
TYPICAL = ("create_pool", "resize_pool", "create_job", "update_job", "delete_job", "create_schedule", "delete_task")
TABLE = [(verb, refusal) for verb in CASES for refusal in REFUSALS if refusal not in FURTHER or verb in TYPICAL[:3]]


@calm
@pytest.mark.parametrize(("verb", "refusal"), TABLE)
async def test_a_refused_call_in_a_minute(stage: Stage, verb: str, refusal: str) -> None:
    case, began, allowed = await refused(stage, verb, refusal)
    await stage.run_for(60)
    calls = stage.azure.calls(case.operation, began)
    writes = sum(each.time >= began for each in stage.api.log if each.name == case.name and each.verb == "patch")
    assert calls <= allowed.minute
    assert writes <= 8, "an unchanged failure writes no status"


@calm
@pytest.mark.parametrize("refusal", ["400", "403", "409 unknown", "503"])
@pytest.mark.parametrize("verb", TYPICAL)
async def test_a_refused_call_in_an_hour(stage: Stage, verb: str, refusal: str) -> None:
    case, began, allowed = await refused(stage, verb, refusal)
    await stage.run_for(3600)
    calls = stage.azure.calls(case.operation, began)
    writes = sum(each.time >= began for each in stage.api.log if each.name == case.name and each.verb == "patch")
    assert calls <= allowed.hour
    assert writes <= 30


@calm
@pytest.mark.parametrize("verb", TYPICAL)
@pytest.mark.parametrize("refusal", ["400", "403", "409 unknown"])
async def test_reconcile_now_ends_the_backoff_of_a_refused_call(stage: Stage, verb: str, refusal: str) -> None:
    """A word of the user begins again: nobody waits for the rest of an hour."""
    case, began, _ = await refused(stage, verb, refusal)
    await stage.run_for(900)
    stage.azure.heal()
    stage.annotate(case.kind, case.name, reconcile_now="1")
    calls = stage.azure.calls(case.operation, began)
    await stage.until(lambda: stage.azure.calls(case.operation, began) > calls, 10)


# --- as they were found ---


async def test_one_wrong_job(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.fault("Jobs_CreateJob", status=400, code="InvalidPropertyValue")
    stage.apply(job("own", tasks=sleeping(1)))
    await stage.run_for(60)
    assert 1 <= stage.azure.calls("Jobs_CreateJob") <= 3
    assert stage.writes("bj", "own", "status") <= 4


async def test_ten_jobs_on_a_full_quota(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.service.quotas.active_jobs_and_schedules = 0
    stage.apply(*(job(f"own{number}", tasks=sleeping(1)) for number in range(10)))
    await stage.run_for(60)
    assert 10 <= stage.azure.calls("Jobs_CreateJob") <= 40
    stage.azure.service.quotas.active_jobs_and_schedules = 300
    await stage.until(lambda: len(stage.azure.ids("/jobs")) == 10, 330)


async def test_forty_wrong_jobs_leave_the_account_to_others(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.fault("Jobs_CreateJob", path="", status=400, code="InvalidPropertyValue", count=10_000)
    stage.apply(*(job(f"own{number}", tasks=sleeping(1)) for number in range(40)))
    await stage.run_for(20)
    began = stage.now
    await stage.run_for(60)
    assert len([each for each in stage.azure.log if each.time >= began]) <= 60 * 5 + 120


@pytest.mark.parametrize(
    ("fault", "least", "most"),
    [
        # About one task: each of the twenty is asked for once, and then five in each of the five rounds of a minute.
        ({"status": 409, "code": "OperationInvalidForCurrentState"}, 20, 20 + 5 * 6),
        # Anything else stops at the first task, and is tried again in its time.
        ({"status": 400, "code": "InvalidPropertyValue"}, 1, WRONG.minute),
        ({"status": 403, "code": "InsufficientAccountPermissions"}, 2, WAITING.minute),
    ],
)
async def test_a_refused_retry(stage: Stage, fault: dict[str, Any], least: int, most: int) -> None:
    await stage.ready_pool()
    tasks = [{"id": f"t{number}", "commandLine": "exit 1"} for number in range(20)]
    stage.apply(job("own", tasks=tasks, onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.status("bj", "own").get("taskCounts", {}).get("failed") == 20, 300)
    stage.azure.fault("Tasks_ReactivateTask", **fault)
    stage.annotate("bj", "own", retry_failed="1")
    await stage.run_for(60)
    assert least <= stage.azure.calls("Tasks_ReactivateTask") <= most


async def test_a_retry_after_has_a_cap(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.fault("Jobs_CreateJob", status=503, code="ServerBusy", retryAfter=86_400, count=1)
    stage.apply(job("own", tasks=sleeping(1)))
    await stage.until(lambda: stage.azure.get("/jobs/own"), 900)


async def test_a_job_and_a_schedule_of_one_id(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("nightly", tasks=sleeping(1, 7200)))
    await stage.until(lambda: stage.phase("bj", "nightly") == "Running")
    stage.apply(nightly())
    await stage.run_for(60)
    assert stage.azure.calls("JobSchedules_CreateJobSchedule") <= 10
    assert stage.condition("bjs", "nightly")["status"] == "False"
    assert stage.reason("bjs", "nightly") not in {"", "Creating"}


async def test_a_message_that_differs_in_nothing_but_its_request_id_is_one_message(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.fault("Jobs_CreateJob", status=403, code="InsufficientAccountPermissions")
    stage.apply(job("own", tasks=sleeping(1)))
    await stage.run_for(1800)
    assert stage.azure.calls("Jobs_CreateJob") >= 3
    assert stage.writes("bj", "own", "status") <= 3
