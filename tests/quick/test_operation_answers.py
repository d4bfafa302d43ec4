"""BatchOperation: a response that is wrong, that comes again and again, or that is about something else decides nothing."""

from __future__ import annotations

from typing import Any

import pytest

from quick.test_operations import ended, nodes, outcomes
from support.stage import Stage, operation

HOUR = 3600.0
RAW: dict[str, Any] = {"poolRef": None, "accountRef": {"name": "main"}}


async def failed_task(stage: Stage) -> None:
    """Task `t` of job `j` has failed."""
    stage.azure.post("/jobs", {"id": "j", "poolInfo": {"poolId": "cpu"}})
    stage.azure.post("/jobs/j/tasks", {"id": "t", "commandLine": "/bin/sh -c 'exit 1'"})
    await stage.until(lambda: stage.azure.get("/jobs/j/tasks/t")["state"] == "completed", 300)  # type: ignore[index]


# --- a call that is never answered ---


@pytest.mark.parametrize(
    ("call", "spec"),
    [
        ("Nodes_RebootNode", {"rebootNode": {"nodes": {"selector": "all"}}}),
        ("Pools_RemoveNodes", {"removeNodes": {"nodes": {"selector": "all"}}}),
        ("Tasks_ReactivateTask", {**RAW, "jobId": "j", "reactivateTasks": {"tasks": {"ids": ["t"]}}}),
    ],
)
async def test_a_call_that_always_fails_says_why_and_ends(stage: Stage, call: str, spec: dict[str, Any]) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    await failed_task(stage)
    stage.azure.fault(call, status=500, code="InternalError")
    stage.apply(operation("op", **spec))
    await stage.until(lambda: stage.reason("bop", "op") == "InternalError", 120)
    writes = stage.writes("bop", "op", "status")
    status = await ended(stage, within=HOUR)
    assert list(outcomes(stage).values()) == ["Unknown"]
    message = status["results"][0]["message"]
    assert "did not respond to the call 30 times" in message
    assert "InternalError" in message
    # The client makes four attempts of a call that has an ETag.
    assert stage.azure.calls(call) == (120 if call == "Pools_RemoveNodes" else 30)
    assert stage.writes("bop", "op", "status") - writes <= 2


async def test_an_unknown_outcome_says_what_the_call_failed_with(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    stage.azure.fault("Nodes_RebootNode", status=500, code="InternalError", count=1)
    stage.apply(operation("op", rebootNode={"nodes": {"selector": "all"}, "nodeRebootOption": "taskcompletion"}))
    status = await ended(stage)
    assert list(outcomes(stage).values()) == ["Unknown"]
    assert "InternalError" in status["results"][0]["message"]


# --- a 404 that is not about the pool or the job, or only once ---


@pytest.mark.parametrize("code", ["PoolNotFound", "ResourceNotFound"])
async def test_one_404_before_the_calls_fails_no_target(stage: Stage, code: str) -> None:
    await stage.ready_pool(targetDedicatedNodes=4)
    names = nodes(stage)
    # The first GET is for the choice of the targets.
    stage.azure.fault("Pools_GetPool", status=404, code=code, count=1, skip=1)
    stage.apply(operation("op", rebootNode={"nodes": {"names": names}}))
    await ended(stage)
    assert outcomes(stage) == dict.fromkeys(names, "Succeeded")
    assert stage.azure.calls("Nodes_RebootNode") == 4


@pytest.mark.parametrize("code", ["PoolNotFound", "ResourceNotFound"])
async def test_one_404_while_nodes_reboot_fails_no_target(stage: Stage, code: str) -> None:
    await stage.ready_pool(targetDedicatedNodes=4)
    names = nodes(stage)
    stage.apply(operation("op", rebootNode={"nodes": {"names": names}}))
    await stage.until(lambda: stage.azure.calls("Nodes_RebootNode") == 4)
    fault = stage.azure.fault("Nodes_ListNodes", status=404, code=code, count=1)
    await ended(stage)
    assert fault.hits == 1
    assert outcomes(stage) == dict.fromkeys(names, "Succeeded")


@pytest.mark.parametrize("code", ["PoolNotFound", "ResourceNotFound"])
async def test_one_404_before_the_next_batch_fails_no_target(stage: Stage, code: str) -> None:
    await stage.ready_pool(targetDedicatedNodes=2)
    names = nodes(stage)
    fault = stage.azure.fault("Nodes_GetNode", path=names[1], status=404, code=code, count=1)
    stage.apply(operation("op", rebootNode={"nodes": {"names": names}}, maxConcurrent=1))
    await ended(stage)
    assert fault.hits == 1
    assert outcomes(stage) == dict.fromkeys(names, "Succeeded")


@pytest.mark.parametrize(
    ("call", "spec"),
    [
        ("Nodes_RebootNode", {"rebootNode": {"nodes": {"selector": "all"}}}),
        ("Pools_RemoveNodes", {"removeNodes": {"nodes": {"selector": "all"}}}),
        ("Tasks_ReactivateTask", {**RAW, "jobId": "j", "reactivateTasks": {"tasks": {"ids": ["t"]}}}),
        ("Jobs_TerminateJob", {**RAW, "jobId": "j", "terminateJob": {}}),
    ],
)
async def test_one_404_to_the_call_itself_decides_nothing(stage: Stage, call: str, spec: dict[str, Any]) -> None:
    """It names nothing that is gone, so it may come from a proxy."""
    await stage.ready_pool(targetDedicatedNodes=1)
    await failed_task(stage)
    fault = stage.azure.fault(call, status=404, code="ResourceNotFound", count=1)
    stage.apply(operation("op", **spec))
    await ended(stage)
    assert fault.hits == 1
    assert set(outcomes(stage).values()) == {"Succeeded"}
    assert stage.azure.calls(call) == 2


async def test_a_404_that_names_the_target_is_an_outcome(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    stage.azure.fault("Nodes_RebootNode", status=404, code="NodeNotFound")
    stage.apply(operation("op", rebootNode={"nodes": {"selector": "all"}}))
    await ended(stage)
    assert list(outcomes(stage).values()) == ["Failed"]
    assert stage.azure.calls("Nodes_RebootNode") == 1


async def test_a_404_that_stays_is_shown_and_ends_nothing(stage: Stage) -> None:
    """It does not say that the pool is gone."""
    await stage.ready_pool(targetDedicatedNodes=4)
    names = nodes(stage)
    stage.azure.fault("Pools_GetPool", status=404, code="ResourceNotFound", skip=1)
    stage.apply(operation("op", rebootNode={"nodes": {"names": names}}))
    await stage.until(lambda: stage.reason("bop", "op") == "ResourceNotFound", 300)
    await stage.run_for(600)
    assert outcomes(stage) == dict.fromkeys(names, "Attempted")
    stage.azure.heal()
    await ended(stage)
    assert outcomes(stage) == dict.fromkeys(names, "Succeeded")


@pytest.mark.parametrize("code", ["JobNotFound", "ResourceNotFound"])
async def test_one_404_does_not_say_that_a_job_was_terminated(stage: Stage, code: str) -> None:
    await stage.ready_pool()
    stage.azure.post("/jobs", {"id": "j", "poolInfo": {"poolId": "cpu"}})
    # As many attempts as the client makes by itself.
    stage.azure.fault("Jobs_TerminateJob", reset=True, count=4)
    stage.apply(operation("op", **RAW, jobId="j", terminateJob={}))
    await stage.until(lambda: stage.azure.calls("Jobs_TerminateJob") == 4)
    fault = stage.azure.fault("Jobs_GetJob", path="/jobs/j", status=404, code=code, count=1)
    await ended(stage)
    assert fault.hits == 1
    assert outcomes(stage) == {"j": "Succeeded"}
    assert stage.azure.get("/jobs/j")["state"] in {"terminating", "completed"}  # type: ignore[index]


async def test_one_404_of_the_pool_lets_nobody_run_tasks_on_it(stage: Stage) -> None:
    """The pool belongs to another namespace than the operation, and the job to nobody."""
    await stage.ready_pool()
    await failed_task(stage)
    stage.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-b"}})
    stage.apply(*stage.account_objects(namespace="team-b"))
    stage.azure.fault("Pools_GetPool", status=404, code="ResourceNotFound", count=2)
    spec = {"poolRef": None, "accountRef": {"name": "main"}, "jobId": "j", "reactivateTasks": {"tasks": {"ids": ["t"]}}}
    other = operation("op", **spec)
    other["metadata"]["namespace"] = "team-b"
    stage.apply(other)
    await stage.run_for(900)
    assert stage.azure.calls("Tasks_ReactivateTask") == 0


# --- one that waits costs its account nothing ---


@pytest.mark.parametrize(
    ("call", "fault", "spec"),
    [
        (
            "Pools_RemoveNodes",
            {"status": 409, "code": "PoolBeingResized"},
            {"removeNodes": {"nodes": {"selector": "all"}}},
        ),
        (
            "Nodes_RebootNode",
            {"status": 429, "code": "TooManyRequests"},
            {"rebootNode": {"nodes": {"selector": "all"}}},
        ),
    ],
)
async def test_a_refused_call_does_not_hurry_the_polls(
    stage: Stage, call: str, fault: dict[str, Any], spec: dict[str, Any]
) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    stage.azure.fault(call, **fault)
    await stage.run_for(HOUR)
    before = stage.azure.calls("Pools_ListPools")
    await stage.run_for(HOUR)
    at_rest = stage.azure.calls("Pools_ListPools") - before
    stage.apply(operation("op", **spec))
    await stage.run_for(HOUR)
    before = stage.azure.calls("Pools_ListPools")
    await stage.run_for(HOUR)
    assert stage.azure.calls(call) > 60
    assert stage.azure.calls("Pools_ListPools") - before <= at_rest + 5


# --- a task that has changed after a call without a response ---


@pytest.mark.parametrize("recreated", [True, False])
async def test_a_task_that_has_changed_is_read_after_a_call_without_a_response(stage: Stage, recreated: bool) -> None:
    """Azure Batch refuses the repeated call with 412: the task has run again, or somebody has created it again."""
    await stage.ready_pool()
    await failed_task(stage)
    stage.azure.fault("Tasks_ReactivateTask", reset=True, count=1)
    stage.azure.fault("Tasks_ReactivateTask", status=503, code="ServerBusy")
    stage.apply(operation("op", **RAW, jobId="j", reactivateTasks={"tasks": {"ids": ["t"]}}))
    await stage.until(lambda: stage.azure.calls("Tasks_ReactivateTask") > 3, HOUR)
    if recreated:
        stage.azure.delete("/jobs/j/tasks/t")
        stage.azure.post("/jobs/j/tasks", {"id": "t", "commandLine": "/bin/sh -c 'exit 1'"})
    else:
        stage.azure.post("/jobs/j/tasks/t/reactivate")
    await stage.until(lambda: stage.azure.get("/jobs/j/tasks/t")["state"] == "completed", 300)  # type: ignore[index]
    stage.azure.heal()
    await ended(stage)
    assert outcomes(stage) == {"t": "Unknown" if recreated else "Succeeded"}
