"""BatchOperation: what is done about a call without a response when time has passed, or others have acted meanwhile."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import BatchClient
from azure_batch_operator.batch.requests import CallOptions
from azure_batch_operator.reconcile.operation_order import Operate
from azure_batch_operator.reconcile.operation_verbs import Answer, Body, Spot
from azure_batch_operator.sync.operations import Operations
from azure_batch_operator.sync.operations.sending import SEND
from quick.test_operations import ended, nodes, outcomes
from support.stage import Stage, job, operation, secret, thing

KEY = "ssh-ed25519 AAAA somebody"
DAY = 86400.0


async def lost(stage: Stage, call: str, **spec: Any) -> None:
    """The operator dies after a call that the service has carried out."""
    stage.azure.fault(call, lostAnswer=True, count=1)
    stage.apply(operation("op", **spec))
    await stage.until(lambda: stage.azure.calls(call) == 1)
    await stage.kill()


async def test_a_user_that_was_revoked_since_is_not_created_again(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    (node,) = nodes(stage)
    user = {"nodes": {"names": [node]}, "name": "eve", "isAdmin": True, "sshPublicKey": KEY}
    await lost(stage, "Nodes_CreateNodeUser", createNodeUser=user)
    await stage.run_for(2 * DAY)
    stage.azure.delete(f"/pools/cpu/nodes/{node}/users/eve")
    stage.start()
    status = await ended(stage)
    assert stage.azure.calls("Nodes_CreateNodeUser") == 1
    assert outcomes(stage) == {node: "Unknown"}
    assert "too late to repeat it" in status["results"][0]["message"]


async def test_a_file_that_was_written_since_is_not_deleted(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    failing = [{"id": "t", "commandLine": "/bin/sh -c 'echo hi > out.txt; exit 1'"}]
    stage.apply(job("own", failurePolicy={"action": "Hold"}, tasks=failing))
    await stage.until(lambda: stage.phase("bj", "own") == "Held", 600)
    spec = {"poolRef": None, "jobRef": {"name": "own"}, "taskId": "t", "deleteFile": {"path": "wd/out.txt"}}
    await lost(stage, "Tasks_DeleteTaskFile", **spec)
    stage.azure.post("/jobs/own/tasks/t/reactivate")
    await stage.run_for(DAY)
    stage.start()
    await ended(stage)
    assert stage.azure.calls("Tasks_DeleteTaskFile") == 1
    assert outcomes(stage) == {"t": "Unknown"}


async def test_a_node_that_was_enabled_since_is_not_disabled_again(stage: Stage) -> None:
    """Also where the target tells: what it tells is no longer about the attempt."""
    await stage.ready_pool(targetDedicatedNodes=1)
    (node,) = nodes(stage)
    await lost(stage, "Nodes_DisableNodeScheduling", disableNodeScheduling={"nodes": {"names": [node]}})
    stage.azure.post(f"/pools/cpu/nodes/{node}/enablescheduling")
    await stage.run_for(DAY)
    stage.start()
    await ended(stage)
    assert stage.azure.calls("Nodes_DisableNodeScheduling") == 1
    assert outcomes(stage) == {node: "Unknown"}


async def test_a_call_is_repeated_within_minutes(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    (node,) = nodes(stage)
    stage.azure.fault("Nodes_CreateNodeUser", reset=True, count=1)
    user = {"nodes": {"names": [node]}, "name": "eve", "sshPublicKey": KEY}
    stage.apply(operation("op", createNodeUser=user))
    await ended(stage)
    assert outcomes(stage) == {node: "Succeeded"}
    assert stage.azure.calls("Nodes_CreateNodeUser") == 2


@pytest.mark.parametrize(
    ("call", "spec"),
    [
        ("Nodes_CreateNodeUser", {"createNodeUser": {"name": "eve", "sshPublicKey": KEY}}),
        ("Nodes_ReplaceNodeUser", {"updateNodeUser": {"name": "adam", "sshPublicKey": KEY}}),
        ("Nodes_DeleteNodeUser", {"deleteNodeUser": {"name": "adam"}}),
    ],
)
@pytest.mark.parametrize("fault", [{"lostAnswer": True}, {"reset": True}])
async def test_a_refusal_of_the_repeated_call_does_not_tell_of_the_first(
    stage: Stage, call: str, spec: dict[str, Any], fault: dict[str, bool]
) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    (node,) = nodes(stage)
    stage.azure.post(f"/pools/cpu/nodes/{node}/users", {"name": "adam", "sshPublicKey": "ssh-rsa other"})
    before = stage.azure.calls(call)
    stage.azure.fault(call, count=1, **fault)
    stage.azure.fault(call, status=409, code="OperationNotValidOnNode")
    stage.apply(operation("op", **{verb: {"nodes": {"names": [node]}, **inputs} for verb, inputs in spec.items()}))
    status = await ended(stage)
    assert stage.azure.calls(call) > before + 1
    assert outcomes(stage) == {node: "Unknown"}
    assert "may have been done" in status["results"][0]["message"]
    assert "OperationNotValidOnNode" in status["results"][0]["message"]


async def test_an_existing_user_is_not_confused_with_that_of_the_operation(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    (node,) = nodes(stage)
    stage.azure.post(f"/pools/cpu/nodes/{node}/users", {"name": "eve", "sshPublicKey": "ssh-rsa other"})
    stage.azure.fault("Nodes_CreateNodeUser", reset=True, count=1)
    user = {"nodes": {"names": [node]}, "name": "eve", "sshPublicKey": KEY}
    stage.apply(operation("op", createNodeUser=user))
    status = await ended(stage)
    assert outcomes(stage) == {node: "Unknown"}
    assert "NodeUserExists" in status["results"][0]["message"]


async def test_an_object_that_is_seen_again_does_not_repeat_the_call_in_flight(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long after the start of the process, so that its age says nothing about the call."""
    await stage.ready_pool(targetDedicatedNodes=1)
    await stage.run_for(7200)
    obey, runners = Operations.obey, []

    def noted(self: Operations, key: Key, uid: str, order: Operate) -> float | None:
        runners.append(self)
        return obey(self, key, uid, order)

    monkeypatch.setattr(Operations, "obey", noted)
    hold = stage.azure.hold("Nodes_RebootNode", count=1)
    stage.apply(operation("op", rebootNode={"nodes": {"selector": "all"}}))
    await stage.until(lambda: hold.arrived)
    # As when a list of the API server lacks the object once.
    runners[-1].forget(Key(Kind.OPERATION, "default", "op"))
    stage.annotate("bop", "op", reconcile="1")
    await stage.run_for(3)
    assert len(runners) > 1
    hold.release()
    await ended(stage)
    assert stage.azure.calls("Nodes_RebootNode") == 1


@pytest.mark.parametrize("claimed", [True, False])
async def test_a_task_that_was_recreated_since_is_not_ended(stage: Stage, claimed: bool) -> None:
    await stage.ready_pool()
    endless = {"commandLine": "/bin/sh -c 'sleep 3000'"}
    stage.azure.post("/jobs", {"id": "j", "poolInfo": {"poolId": "cpu"}})
    stage.azure.post("/jobs/j/tasks", {"id": "t0", **endless})
    stage.azure.fault("Tasks_TerminateTask", status=503, code="ServerBusy", count=1000)
    account = {"accountRef": {"name": "main"}}
    stage.apply(operation("op", poolRef=None, **account, jobId="j", terminateTasks={"tasks": {"ids": ["t0"]}}))
    await stage.until(lambda: outcomes(stage) == {"t0": "Attempted"})
    await stage.run_for(60)
    stage.azure.delete("/jobs/j/tasks/t0")
    if claimed:
        stage.apply(thing("BatchTask", "t0", jobId="j", **account, **endless))
        await stage.until(lambda: stage.azure.get("/jobs/j/tasks/t0") is not None, 300)
    else:
        stage.azure.post("/jobs/j/tasks", {"id": "t0", **endless})
    stage.azure.heal()
    await ended(stage)
    assert outcomes(stage) == {"t0": "Skipped"}
    assert stage.azure.get("/jobs/j/tasks/t0")["state"] == "running"


async def test_a_task_that_only_changed_is_ended(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.post("/jobs", {"id": "j", "poolInfo": {"poolId": "cpu"}})
    stage.azure.post("/jobs/j/tasks", {"id": "t0", "commandLine": "/bin/sh -c 'sleep 3000'"})
    stage.azure.fault("Tasks_TerminateTask", status=412, code="ConditionNotMet", count=1)
    spec = {"poolRef": None, "accountRef": {"name": "main"}, "jobId": "j"}
    stage.apply(operation("op", **spec, terminateTasks={"tasks": {"ids": ["t0"]}}))
    await ended(stage)
    assert outcomes(stage) == {"t0": "Succeeded"}
    assert stage.azure.get("/jobs/j/tasks/t0")["state"] == "completed"


async def test_a_refusal_that_quotes_a_secret_is_shown_without_it(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    stage.apply(secret("pw", password="Correct-Horse"))
    text = "The value Correct-Horse provided for password is invalid"
    stage.azure.fault("Nodes_CreateNodeUser", status=400, code="InvalidPropertyValue", message=text, count=1)
    given = {"name": "eve", "passwordSecretRef": {"name": "pw", "key": "password"}}
    stage.apply(operation("op", createNodeUser={"nodes": {"selector": "all"}, **given}))
    status = await ended(stage)
    assert "provided for password" in status["results"][0]["message"]
    assert "Correct-Horse" not in str(stage.get("bop", "op"))


# --- nodes that do not come back, and operations that are ended meanwhile ---


async def test_a_node_that_is_not_back_within_half_an_hour_has_failed(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    (node,) = nodes(stage)
    stage.azure.change(f"/pools/cpu/nodes/{node}", lambda body: body.replace(b'"idle"', b'"rebooting"'))
    stage.apply(operation("op", rebootNode={"nodes": {"names": [node]}}))
    await stage.until(lambda: outcomes(stage) == {node: "Attempted"})
    await stage.run_for(1700)
    assert outcomes(stage) == {node: "Attempted"}
    status = await ended(stage, within=300)
    assert outcomes(stage) == {node: "Failed"}
    assert "the node is still rebooting after 30 minutes" in status["results"][0]["message"]
    assert stage.azure.calls("Nodes_RebootNode") == 1


async def test_terminate_does_not_say_that_a_call_without_a_response_was_not_made(stage: Stage) -> None:
    """Its target does not show whether it was: `Skipped` would say that it was not."""
    await stage.ready_pool(targetDedicatedNodes=1)
    (node,) = nodes(stage)
    stage.azure.fault("Nodes_ReplaceNodeUser", status=500, code="InternalError")
    stage.azure.post(f"/pools/cpu/nodes/{node}/users", {"name": "eve", "sshPublicKey": "ssh-rsa other"})
    user = {"nodes": {"names": [node]}, "name": "eve", "sshPublicKey": KEY}
    stage.apply(operation("op", updateNodeUser=user))
    await stage.until(lambda: stage.azure.calls("Nodes_ReplaceNodeUser") == 2, 300)
    stage.annotate("bop", "op", terminate="now")
    status = await ended(stage, within=300)
    assert outcomes(stage) == {node: "Unknown"}
    assert "it may have been done, and is not repeated" in status["results"][0]["message"]


# --- exceptions of the operator after a call ---


def fail_after(monkeypatch: pytest.MonkeyPatch, verb: str, targets: int, times: int) -> None:
    """The operator raises an exception when it has the response to a call, for each of the first targets."""
    send = SEND[verb]
    failures = Counter[str]()

    async def faulty(client: BatchClient, at: Spot, inputs: Body, options: CallOptions) -> Answer:
        answer = await send(client, at, inputs, options)  # type: ignore[misc]
        if (at.target not in failures and len(failures) == targets) or failures[at.target] == times:
            return answer
        failures[at.target] += 1
        raise RuntimeError("a fault of the operator")

    monkeypatch.setitem(SEND, verb, faulty)  # type: ignore[arg-type]


USER = {"nodes": {"selector": "all"}, "name": "eve", "sshPublicKey": KEY}


async def test_an_exception_after_one_call_repeats_no_other_call(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the other calls of the batch have returned counts, and who has created the user on the first node is unknown."""
    await stage.ready_pool(targetDedicatedNodes=3)
    fail_after(monkeypatch, "createNodeUser", targets=1, times=1)
    stage.apply(operation("op", createNodeUser=USER))
    status = await ended(stage)
    assert sorted(outcomes(stage).values()) == ["Succeeded", "Succeeded", "Unknown"]
    assert "NodeUserExists" in next(each["message"] for each in status["results"] if each["outcome"] == "Unknown")
    assert stage.azure.calls("Nodes_CreateNodeUser") == 4
    assert len(stage.tracebacks) == 1
    stage.tracebacks.clear()


async def test_terminate_does_not_say_that_a_call_before_an_exception_was_not_made(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    (node,) = nodes(stage)
    fail_after(monkeypatch, "createNodeUser", targets=1, times=1)
    stage.apply(operation("op", createNodeUser=USER))
    await stage.until(lambda: stage.azure.calls("Nodes_CreateNodeUser") == 1)
    stage.annotate("bop", "op", terminate="now")
    status = await ended(stage, within=600)
    assert outcomes(stage) == {node: "Unknown"}
    assert "it may have been done, and is not repeated" in status["results"][0]["message"]
    assert stage.azure.calls("Nodes_CreateNodeUser") == 1
    assert len(stage.tracebacks) == 1
    stage.tracebacks.clear()


async def test_an_exception_after_each_call_does_not_repeat_the_call_for_ever(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is shown while the operation waits, and in the result."""
    await stage.ready_pool(targetDedicatedNodes=1)
    (node,) = nodes(stage)
    stage.azure.post(f"/pools/cpu/nodes/{node}/users", {"name": "eve", "sshPublicKey": "ssh-rsa other"})
    fail_after(monkeypatch, "updateNodeUser", targets=1, times=1000)
    stage.apply(operation("op", updateNodeUser=USER))
    await stage.until(lambda: stage.reason("bop", "op") == "InternalError", 120)
    status = await ended(stage)
    assert outcomes(stage) == {node: "Unknown"}
    message = status["results"][0]["message"]
    assert "the operator failed on this object (RuntimeError" in message
    assert "retries" not in message, "nothing is retried any more"
    assert stage.azure.calls("Nodes_ReplaceNodeUser") == len(stage.tracebacks) < 10
    stage.tracebacks.clear()


async def test_an_exception_after_each_read_ends_the_operation(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    (node,) = nodes(stage)
    fail_after(monkeypatch, "getRemoteLoginSettings", targets=1, times=1000)
    stage.apply(operation("op", getRemoteLoginSettings={"nodes": {"selector": "all"}}))
    await stage.until(lambda: stage.reason("bop", "op") == "InternalError", 120)
    status = await ended(stage, within=1800)
    assert outcomes(stage) == {node: "Failed"}
    message = status["results"][0]["message"]
    assert "the operator failed on this object (RuntimeError" in message
    assert "failed 10 times, so the call is not repeated" in message
    assert stage.azure.calls("Nodes_GetNodeRemoteLoginSettings") == len(stage.tracebacks) == 10
    stage.tracebacks.clear()


async def test_an_exception_after_one_read_is_made_up_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    (node,) = nodes(stage)
    fail_after(monkeypatch, "getRemoteLoginSettings", targets=1, times=1)
    stage.apply(operation("op", getRemoteLoginSettings={"nodes": {"selector": "all"}}))
    await ended(stage)
    assert outcomes(stage) == {node: "Succeeded"}
    assert len(stage.tracebacks) == 1
    stage.tracebacks.clear()
