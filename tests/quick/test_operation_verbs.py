"""Each verb of BatchOperation once, and each again without a response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from azure_batch_operator.api.operation import TARGETS, On
from azure_batch_operator.reconcile.operation_verbs import VERBS
from support.stage import Stage, job, operation, schedule, secret

Body = dict[str, Any]
ALL = {"nodes": {"selector": "all"}}
KEY = "ssh-ed25519 AAAA somebody"
LOGS = "https://a.blob.core.windows.net/logs?sig=hush"


async def nothing(_: Stage) -> None:
    """All is there."""


async def deallocated(stage: Stage) -> None:
    for id in stage.azure.ids("/pools/cpu/nodes"):
        stage.azure.post(f"/pools/cpu/nodes/{id}/deallocate")
    await stage.until(lambda: states(stage) == ["deallocated"] * 2, 600)


async def unscheduled(stage: Stage) -> None:
    for id in stage.azure.ids("/pools/cpu/nodes"):
        stage.azure.post(f"/pools/cpu/nodes/{id}/disablescheduling")


async def with_users(stage: Stage) -> None:
    for id in stage.azure.ids("/pools/cpu/nodes"):
        stage.azure.post(f"/pools/cpu/nodes/{id}/users", {"name": "ann", "sshPublicKey": KEY})


async def resizing(stage: Stage) -> None:
    stage.azure.post("/pools", raw_pool("wide", 2))
    await stage.until(lambda: stage.azure.get("/pools/wide")["allocationState"] == "steady", 600)  # type: ignore[index]
    stage.azure.post("/pools/wide/resize", {"targetDedicatedNodes": 3})


async def autoscaled(stage: Stage) -> None:
    stage.azure.post("/pools", raw_pool("wide", 2))
    await stage.until(lambda: stage.azure.get("/pools/wide")["allocationState"] == "steady", 600)  # type: ignore[index]
    stage.azure.post("/pools/wide/enableautoscale", {"autoScaleFormula": "$TargetDedicatedNodes = 2;"})


async def with_failed_tasks(stage: Stage) -> None:
    stage.apply(job("own", failurePolicy={"action": "Hold"}, tasks=TASKS))
    await stage.until(lambda: stage.phase("bj", "own") == "Held", 600)


async def with_running_tasks(stage: Stage) -> None:
    tasks = [{"id": f"r{each}", "commandLine": "/bin/sh -c 'sleep 3000'"} for each in range(2)]
    stage.apply(job("own", tasks=tasks, jobPreparationTask={"commandLine": "/bin/sh -c true"}))
    await stage.until(lambda: [task_state(stage, each) for each in ("r0", "r1")] == ["running"] * 2, 600)


async def with_schedule(stage: Stage) -> None:
    every = {"recurrenceInterval": "PT1H"}
    manager = {"id": "m", "commandLine": "/bin/sh -c 'sleep 3000'"}
    stage.apply(
        schedule("tick", schedule=every, jobSpecification={"poolRef": {"name": "cpu"}, "jobManagerTask": manager})
    )
    await stage.until(lambda: stage.azure.get("/jobs/tick:job-1"), 600)


TASKS = [{"id": f"t{each}", "commandLine": f"/bin/sh -c 'exit {each}'"} for each in range(3)]


def raw_pool(id: str, nodes: int) -> Body:
    machine = {
        "imageReference": {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"},
        "nodeAgentSKUId": "batch.node.ubuntu 22.04",
    }
    return {
        "id": id,
        "vmSize": "Standard_D4ads_v6",
        "virtualMachineConfiguration": machine,
        "targetDedicatedNodes": nodes,
    }


def states(stage: Stage) -> list[str]:
    return [str(each["state"]) for each in stage.azure.all("/pools/cpu/nodes")]


def scheduling(stage: Stage) -> list[str]:
    return [str(each["schedulingState"]) for each in stage.azure.all("/pools/cpu/nodes")]


def users(stage: Stage) -> list[list[str]]:
    return [sorted(node.users) for node in stage.azure.service.pool("cpu").nodes.values()]


def task_state(stage: Stage, id: str) -> str:
    return str((stage.azure.get(f"/jobs/own/tasks/{id}") or {}).get("state"))


RAW = {"poolRef": None, "accountRef": {"name": "main"}}
OF_JOB = {"poolRef": None, "jobRef": {"name": "own"}}


@dataclass(frozen=True)
class Case:
    """One verb.

    Attributes:
        spec: the verb with its inputs, and the target if it is not the pool `cpu`.
        call: the operation of the service, and how often it is called.
        before: what is there.
        done: whether it was done, seen outside the operator.
        values: what the first result shows, as far as it is the same each time.
    """

    spec: Mapping[str, Any]
    call: tuple[str, int]
    before: Callable[[Stage], Awaitable[None]] = nothing
    done: Callable[[Stage], bool] = lambda _: True
    values: Mapping[str, str] | None = None


CASES: Mapping[str, Case] = {
    "rebootNode": Case({"rebootNode": ALL}, ("Nodes_RebootNode", 2), done=lambda stage: states(stage) == ["idle"] * 2),
    "reimageNode": Case(
        {"reimageNode": ALL}, ("Nodes_ReimageNode", 2), done=lambda stage: states(stage) == ["idle"] * 2
    ),
    "deallocateNode": Case(
        {"deallocateNode": ALL}, ("Nodes_DeallocateNode", 2), done=lambda stage: states(stage) == ["deallocated"] * 2
    ),
    "startNode": Case(
        {"startNode": ALL}, ("Nodes_StartNode", 2), deallocated, lambda stage: states(stage) == ["idle"] * 2
    ),
    "disableNodeScheduling": Case(
        {"disableNodeScheduling": ALL}, ("Nodes_DisableNodeScheduling", 2),
        done=lambda stage: scheduling(stage) == ["disabled"] * 2,
    ),
    "enableNodeScheduling": Case(
        {"enableNodeScheduling": ALL}, ("Nodes_EnableNodeScheduling", 2), unscheduled,
        lambda stage: scheduling(stage) == ["enabled"] * 2,
    ),
    "removeNodes": Case({"removeNodes": ALL}, ("Pools_RemoveNodes", 1)),
    "uploadNodeLogs": Case(
        {
            "uploadNodeLogs": ALL | {
                "containerUrlFrom": {"secretKeyRef": {"name": "logs", "key": "url"}},
                "startTime": "2026-01-01T00:00:00Z",
            }
        },
        ("Nodes_UploadNodeLogs", 2),
    ),
    "createNodeUser": Case(
        {"createNodeUser": ALL | {"name": "ann", "passwordSecretRef": {"name": "logs", "key": "password"}}},
        ("Nodes_CreateNodeUser", 2), done=lambda stage: users(stage) == [["ann"], ["ann"]],
    ),
    "updateNodeUser": Case(
        {"updateNodeUser": ALL | {"name": "ann", "sshPublicKey": KEY}}, ("Nodes_ReplaceNodeUser", 2), with_users
    ),
    "deleteNodeUser": Case(
        {"deleteNodeUser": ALL | {"name": "ann"}}, ("Nodes_DeleteNodeUser", 2), with_users,
        lambda stage: users(stage) == [[], []],
    ),
    "getRemoteLoginSettings": Case(
        {"getRemoteLoginSettings": ALL}, ("Nodes_GetNodeRemoteLoginSettings", 2),
        values={"remoteLoginIPAddress": "127.0.0.1"},
    ),
    "listNodeExtensions": Case(
        {"listNodeExtensions": ALL}, ("Nodes_ListNodeExtensions", 2), values={"batchNodeExtension": "Succeeded"}
    ),
    "stopResize": Case(
        RAW | {"poolId": "wide", "stopResize": {}}, ("Pools_StopPoolResize", 1), resizing,
        lambda stage: stage.azure.get("/pools/wide")["allocationState"] != "resizing",  # type: ignore[index]
    ),
    "evaluateAutoScale": Case(
        RAW | {"poolId": "wide", "evaluateAutoScale": {}}, ("Pools_EvaluatePoolAutoScale", 1), autoscaled,
        values={"$TargetDedicatedNodes": "2"},
    ),
    "usageMetrics": Case(RAW | {"usageMetrics": {}}, ("Pools_ListPoolUsageMetrics", 1)),
    "terminateJob": Case(
        OF_JOB | {"terminateJob": {"terminateReason": "Enough"}}, ("Jobs_TerminateJob", 1), with_running_tasks,
        lambda stage: stage.azure.get("/jobs/own")["executionInfo"]["terminateReason"] == "Enough",  # type: ignore[index]
    ),
    "jobPreparationStatus": Case(
        OF_JOB | {"jobPreparationStatus": {}}, ("Jobs_ListJobPreparationAndReleaseTaskStatus", 1), with_running_tasks
    ),
    "reactivateTasks": Case(
        OF_JOB | {"reactivateTasks": {"tasks": {"failed": True}}}, ("Tasks_ReactivateTask", 2), with_failed_tasks
    ),
    "terminateTasks": Case(
        OF_JOB | {"terminateTasks": {"tasks": {"states": ["running"]}}}, ("Tasks_TerminateTask", 2), with_running_tasks,
        lambda stage: task_state(stage, "r0") == task_state(stage, "r1") == "completed",
    ),
    "listSubtasks": Case(OF_JOB | {"taskId": "t0", "listSubtasks": {}}, ("Tasks_ListSubTasks", 1), with_failed_tasks),
    "listFiles": Case(
        OF_JOB | {"taskId": "t0", "listFiles": {}}, ("Tasks_ListTaskFiles", 1), with_failed_tasks, values={"wd": "directory"}
    ),
    "readFile": Case(
        OF_JOB | {"taskId": "t0", "readFile": {"path": "stdout.txt", "into": {"name": "out"}}}, ("Tasks_GetTaskFile", 1),
        with_failed_tasks, lambda stage: "content" in stage.get("cm", "out")["data"], {"configMap": "out"},
    ),
    "deleteFile": Case(
        OF_JOB | {"taskId": "t0", "deleteFile": {"path": "stdout.txt"}}, ("Tasks_DeleteTaskFile", 1), with_failed_tasks
    ),
    "terminateSchedule": Case(
        {"poolRef": None, "scheduleRef": {"name": "tick"}, "terminateSchedule": {}},
        ("JobSchedules_TerminateJobSchedule", 1), with_schedule,
        lambda stage: stage.azure.get("/jobschedules/tick")["state"] in {"terminating", "completed"},  # type: ignore[index]
    ),
    "scheduleStatus": Case(
        {"poolRef": None, "scheduleRef": {"name": "tick"}, "scheduleStatus": {}}, ("Jobs_ListJobsFromSchedule", 1),
        with_schedule, values={"state": "active", "tick:job-1": "active"},
    ),
}  # fmt: skip


def test_each_verb_has_a_case() -> None:
    assert list(CASES) == list(VERBS) == list(TARGETS)


async def begun(stage: Stage, case: Case) -> int:
    """Have the operation applied; how many targets it has."""
    await stage.ready_pool()
    stage.apply(secret("logs", url=LOGS, password="hush-hush"))
    stage.azure.simulate("own/t[12]", exitCode=1)
    await case.before(stage)
    return 2 if case.call[1] == 2 or "removeNodes" in case.spec else 1


async def ended(stage: Stage, within: float = 7200) -> Body:
    await stage.until(lambda: stage.phase("bop", "op") in {"Succeeded", "Failed"}, within, "the operation ends")
    return stage.status("bop", "op")


@pytest.mark.parametrize("verb", CASES)
async def test_a_verb_is_carried_out_once(stage: Stage, verb: str) -> None:
    case = CASES[verb]
    number = await begun(stage, case)
    before = stage.azure.calls(case.call[0])
    stage.apply(operation("op", **case.spec))
    status = await ended(stage)
    assert status["phase"] == "Succeeded", status
    assert status["counts"]["succeeded"] == number == len(status["results"])
    assert stage.azure.calls(case.call[0]) - before == case.call[1]
    assert case.done(stage)
    shown = status["results"][0].get("values", {})
    assert {name: shown.get(name) for name in case.values or {}} == (case.values or {})
    assert "hush" not in str(stage.get("bop", "op"))
    # It is over: nothing more comes of it.
    changes = len([each for each in stage.azure.changes() if each.operation == case.call[0]])
    await stage.run_for(3600)
    assert len([each for each in stage.azure.changes() if each.operation == case.call[0]]) == changes


LOST: Mapping[str, tuple[Body, bool]] = {
    "answer": ({"lostAnswer": True}, False),
    "call": ({"reset": True}, False),
    "answer, and the operator": ({"lostAnswer": True}, True),
    "late, and the operator": ({"reset": True, "landAfter": 20}, True),
}
"""What is lost of each call: the fault, and whether the operator is killed then."""
UNKNOWN = {
    "uploadNodeLogs": {*LOST},
    # The user may have been there before the operation.
    "createNodeUser": {"answer", "answer, and the operator", "late, and the operator"},
}
"""Verbs whose target does not show whether such a call was made."""


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("verb", [verb for verb in VERBS if VERBS[verb].changes])
async def test_what_the_operation_has_done_is_neither_skipped_nor_failed(stage: Stage, verb: str, lost: str) -> None:
    """The first call may be why its repetition is refused: with 404 for what it has deleted, with 409 for what it has ended."""
    case, (fault, killed) = CASES[verb], LOST[lost]
    number = await begun(stage, case)
    before = stage.azure.calls(case.call[0])
    stage.azure.fault(case.call[0], **({} if killed else {"count": 1}), **fault)
    stage.apply(operation("op", **case.spec))
    if killed:
        await stage.until(lambda: stage.azure.calls(case.call[0]) >= before + case.call[1], 600)
        await stage.kill()
        stage.azure.heal()
        stage.start()
    status = await ended(stage)
    unknown = (number if killed else 1) if lost in UNKNOWN.get(verb, ()) else 0
    assert status["counts"] == {
        "targets": number, "succeeded": number - unknown, "failed": 0, "unknown": unknown, "skipped": 0
    }, status["results"]  # fmt: skip
    assert case.done(stage)


def test_the_kinds_of_targets_are_all_there() -> None:
    assert set(TARGETS.values()) == set(On)


@pytest.mark.parametrize("tail", [False, True])
@pytest.mark.parametrize("missing", [{"taskId": "t9"}, {"readFile": {"path": "no.txt"}}])
async def test_a_missing_file_is_named(stage: Stage, missing: Body, tail: bool) -> None:
    """The end of a file is found with HEAD, whose answer cannot say what is missing: a GET says it."""
    await stage.ready_pool()
    await with_failed_tasks(stage)
    spec = OF_JOB | {"taskId": "t0", "readFile": {"path": "out.txt"}} | missing
    spec["readFile"] = spec["readFile"] | {"tail": tail, "into": {"name": "out"}}
    stage.apply(operation("op", **spec))
    await stage.until(lambda: stage.phase("bop", "op") == "Failed")
    [result] = stage.get("bop", "op")["status"]["results"]
    if "taskId" not in missing:
        start = "there is no file 'no.txt'; listFiles shows the files that exist: FileNotFound: "
        assert result["message"].startswith(start)
    assert "HTTP 404: HTTP 404" not in result["message"]
    assert "NotFound" in result["message"]


async def test_the_end_of_a_file_whose_node_is_gone_cannot_be_read(stage: Stage) -> None:
    await stage.ready_pool()
    await with_failed_tasks(stage)
    for id in stage.azure.ids("/pools/cpu/nodes"):
        stage.azure.post("/pools/cpu/removenodes", {"nodeList": [id]})
        await stage.until(lambda: stage.azure.get("/pools/cpu")["allocationState"] == "steady", 600)  # type: ignore[index]
    stage.apply(
        operation("op", **OF_JOB, taskId="t0", readFile={"path": "a.txt", "tail": True, "into": {"name": "out"}})
    )
    await stage.until(lambda: stage.phase("bop", "op") == "Failed")
    [result] = stage.get("bop", "op")["status"]["results"]
    assert result["message"].startswith("TaskFilesUnavailable: ")
