"""BatchOperation: what its status says is so, whatever was lost, removed, hidden or too old to count."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quick.test_operation_doubts import lost
from quick.test_operations import ended, nodes, outcomes
from support.stage import Options, Stage, job, operation, pool, secret, thing

KEY = "ssh-ed25519 AAAA somebody"
RAW: dict[str, Any] = {"poolRef": None, "accountRef": {"name": "main"}}


# --- nothing of a Secret is shown ---


async def test_what_an_operation_waits_for_is_shown_without_a_secret(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    stage.apply(secret("pw", password="Correct-Horse"))
    text = "The value Correct-Horse provided for password cannot be checked now"
    stage.azure.fault("Nodes_CreateNodeUser", status=409, code="PoolBeingResized", message=text, count=1000)
    given = {"name": "eve", "passwordSecretRef": {"name": "pw", "key": "password"}}
    stage.apply(operation("op", createNodeUser={"nodes": {"selector": "all"}, **given}))
    await stage.until(lambda: "provided for password" in str(stage.status("bop", "op")), 900)
    await stage.run_for(300)
    assert "Correct-Horse" not in str(stage.get("bop", "op"))
    assert "Correct-Horse" not in str(stage.events())


# --- a resize that was stopped, and another one ---


async def stopping(stage: Stage) -> None:
    """The response to the call that stops a resize is lost with the operator."""
    await stage.ready_pool(targetDedicatedNodes=2)
    stage.annotate("bp", "cpu", reconcile_policy="skip")
    stage.azure.post("/pools/cpu/resize", {"targetDedicatedNodes": 4})
    await lost(stage, "Pools_StopPoolResize", stopResize={})


async def test_another_resize_is_not_stopped_for_the_one_before(stage: Stage) -> None:
    await stopping(stage)
    await stage.until(lambda: stage.azure.get("/pools/cpu")["allocationState"] == "steady", 900)  # type: ignore[index]
    stage.azure.post("/pools/cpu/resize", {"targetDedicatedNodes": 5})
    stage.start()
    await ended(stage)
    assert stage.azure.calls("Pools_StopPoolResize") == 1
    assert outcomes(stage) == {"cpu": "Unknown"}


async def test_a_resize_that_was_stopped_says_so(stage: Stage) -> None:
    await stopping(stage)
    await stage.until(lambda: stage.azure.get("/pools/cpu")["allocationState"] == "steady", 900)  # type: ignore[index]
    stage.start()
    await ended(stage)
    assert outcomes(stage) == {"cpu": "Succeeded"}


async def test_a_resize_that_has_ended_by_itself_is_not_said_to_be_stopped(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=2)
    stage.annotate("bp", "cpu", reconcile_policy="skip")
    stage.azure.post("/pools/cpu/resize", {"targetDedicatedNodes": 3})
    stage.azure.fault("Pools_StopPoolResize", reset=True, count=1)
    stage.apply(operation("op", stopResize={}))
    await stage.until(lambda: stage.azure.calls("Pools_StopPoolResize") == 1)
    await stage.kill()
    await stage.run_for(900)
    stage.start()
    await ended(stage)
    assert outcomes(stage) == {"cpu": "Unknown"}


# --- what was seen too long ago ---


async def test_nodes_that_were_chosen_long_before_the_call_are_chosen_again(stage: Stage) -> None:
    """The operation waits for a Secret, and its nodes work again when that comes."""
    await stage.ready_pool(targetDedicatedNodes=2)
    first, second = nodes(stage)
    stage.azure.post(f"/pools/cpu/nodes/{second}/disablescheduling")
    given = {"name": "eve", "passwordSecretRef": {"name": "pw", "key": "password"}}
    stage.apply(operation("op", createNodeUser={"nodes": {"states": ["idle"]}, **given}))
    await stage.until(lambda: stage.reason("bop", "op") == "SecretNotFound", 60)
    stage.azure.post(f"/pools/cpu/nodes/{first}/disablescheduling")
    stage.azure.post(f"/pools/cpu/nodes/{second}/enablescheduling")
    await stage.run_for(70)
    stage.apply(secret("pw", password="Correct-Horse"))
    status = await ended(stage)
    assert status["targets"] == [second]


# --- inputs that the CRD lets pass ---


async def test_a_time_that_does_not_exist_is_refused_by_name(stage: Stage) -> None:
    stage.apply(*stage.account_objects())
    spec = {"usageMetrics": {"startTime": "2026-01-01T00:00:00+99:99"}}
    stage.server.validates = False
    stage.apply(operation("op", **{**RAW, **spec}))
    status = await ended(stage)
    assert outcomes(stage) == {"account": "Failed"}
    assert "startTime '2026-01-01T00:00:00+99:99'" in status["results"][0]["message"]


# --- an end that is final ---


@pytest.mark.parametrize("wait", [3, 25])
async def test_an_end_that_was_requested_survives_a_restart(stage: Stage, wait: float) -> None:
    await stage.ready_pool(targetDedicatedNodes=3)
    stage.apply(operation("op", rebootNode={"nodes": {"selector": "all"}}, maxConcurrent=1))
    await stage.until(lambda: stage.azure.calls("Nodes_RebootNode") == 1)
    stage.annotate("bop", "op", terminate="1")
    await stage.run_for(wait)
    assert stage.phase("bop", "op") == "Running"
    await stage.kill()
    stage.annotate("bop", "op", terminate=None)
    stage.start()
    status = await ended(stage)
    assert status["counts"]["skipped"] == 2
    assert (stage.reason("bop", "op"), stage.azure.calls("Nodes_RebootNode")) == ("OperationTerminated", 1)


# --- a node that seems to be back before it was away ---


@pytest.mark.parametrize(("verb", "call"), [("rebootNode", "Nodes_RebootNode"), ("reimageNode", "Nodes_ReimageNode")])
async def test_a_node_that_still_shows_its_former_state_is_not_back(stage: Stage, verb: str, call: str) -> None:
    """Azure Batch has accepted the call, and the first reads after it still show the node idle."""
    await stage.ready_pool(targetDedicatedNodes=1)
    (node,) = nodes(stage)
    path = f"/pools/cpu/nodes/{node}"
    before = stage.azure.get(path)
    assert before is not None
    assert before["state"] == "idle"
    called = lambda: stage.azure.calls(call) > 0  # noqa: E731
    stale = stage.azure.change(path, lambda _: json.dumps(before).encode(), when=called, count=2)
    stage.apply(operation("op", **{verb: {"nodes": {"names": [node]}}}))
    await ended(stage)
    after = stage.azure.get(path)
    assert after is not None
    assert (after["state"], after["lastBootTime"] != before["lastBootTime"]) == ("idle", True)
    assert stale.hits == 2
    assert (outcomes(stage), stage.azure.calls(call)) == ({node: "Succeeded"}, 1)


# --- a task that was made again ---


async def test_a_namesake_of_a_task_is_not_said_to_have_run_again(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.post("/jobs", {"id": "j", "poolInfo": {"poolId": "cpu"}})
    stage.azure.post("/jobs/j/tasks", {"id": "t", "commandLine": "/bin/sh -c 'exit 1'"})
    await stage.until(lambda: stage.azure.get("/jobs/j/tasks/t")["state"] == "completed", 300)  # type: ignore[index]
    stage.azure.fault("Tasks_ReactivateTask", reset=True, count=1)
    stage.apply(operation("op", **RAW, jobId="j", reactivateTasks={"tasks": {"ids": ["t"]}}))
    await stage.until(lambda: stage.azure.calls("Tasks_ReactivateTask") == 1)
    await stage.kill()
    stage.azure.delete("/jobs/j/tasks/t")
    stage.azure.post("/jobs/j/tasks", {"id": "t", "commandLine": "/bin/sh -c 'exit 1'"})
    await stage.run_for(300)
    stage.start()
    await ended(stage)
    assert stage.azure.calls("Tasks_ReactivateTask") == 1
    assert outcomes(stage) == {"t": "Unknown"}


# --- what was not tried ---


@pytest.mark.parametrize("stage", [Options(seed=3)], indirect=True)
async def test_targets_that_were_only_stored_are_not_shown_as_attempted_while_it_is_held(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=12, vmSize="Standard_D2ads_v6")
    hold = stage.azure.hold("Nodes_DisableNodeScheduling", count=8)
    stage.apply(operation("op", disableNodeScheduling={"nodes": {"selector": "all"}}, maxConcurrent=12))
    await stage.until(lambda: hold.arrived)
    await stage.run_for(3)
    stage.annotate("bop", "op", reconcile_policy="skip")
    await stage.until(lambda: stage.condition("bop", "op", "Skipped").get("status") == "True")
    hold.release()
    await stage.run_for(120)
    assert sorted(outcomes(stage).values()) == ["Succeeded"] * 8
    assert stage.status("bop", "op")["progress"] == "8/12"
    stage.annotate("bop", "op", reconcile_policy=None)
    status = await ended(stage)
    assert status["counts"]["succeeded"] == stage.azure.calls("Nodes_DisableNodeScheduling") == 12


# --- what to do about a reference that leads nowhere ---


async def test_the_remedy_for_a_missing_reference_is_possible(stage: Stage) -> None:
    """Its spec cannot be corrected."""
    await stage.ready_pool()
    stage.apply(
        operation("op", poolRef={"name": "cpuu"}, rebootNode={"nodes": {"selector": "all"}}),
        thing("BatchOperation", "usage", accountRef={"name": "mian"}, usageMetrics={}),
        pool("lost", accountRef={"name": "mian"}),
        job("lost", poolRef=None, poolInfo={"poolId": "cpu"}, accountRef={"name": "mian"}),
        thing("BatchTask", "lost", jobRef={"name": "jbo"}, commandLine="true"),
    )
    expected = {
        ("bop", "op"): "create it, or create a new BatchOperation with another spec.poolRef",
        ("bop", "usage"): "create it, or create a new BatchOperation with another spec.accountRef",
        ("bp", "lost"): "create it, or create a new BatchPool with another spec.accountRef",
        ("bj", "lost"): "create it, or create a new BatchJob with another spec.accountRef",
        ("bt", "lost"): "create it, or create a new BatchTask with another spec.jobRef",
    }
    for (kind, name), text in expected.items():
        await stage.until(lambda kind=kind, name=name: bool(stage.reason(kind, name)), 60)  # type: ignore[misc]
        assert text in stage.condition(kind, name)["message"], (kind, name)


@pytest.mark.parametrize("verb", ["rebootNode", "removeNodes"])
async def test_a_node_that_a_list_lacks_does_not_count_as_gone(stage: Stage, verb: str) -> None:
    await stage.ready_pool(targetDedicatedNodes=4)
    names = nodes(stage)
    gap = stage.azure.omit(f"/pools/cpu/nodes/{names[0]}")
    stage.apply(operation("op", **{verb: {"nodes": {"names": names}}}))
    await ended(stage)
    assert gap.hits
    assert outcomes(stage) == dict.fromkeys(names, "Succeeded")
    assert stage.azure.calls("Nodes_RebootNode") == (4 if verb == "rebootNode" else 0)


async def test_a_removal_that_did_not_happen_is_not_read_from_a_list(stage: Stage) -> None:
    """The call was lost on its way, and then a list lacks the nodes."""
    await stage.ready_pool(targetDedicatedNodes=4)
    names = nodes(stage)
    gaps = [stage.azure.omit(f"/pools/cpu/nodes/{name}") for name in names]
    stage.azure.fault("Pools_RemoveNodes", reset=True, count=100)
    stage.apply(operation("op", removeNodes={"nodes": {"names": names}}))
    await stage.until(lambda: stage.azure.calls("Pools_RemoveNodes") > 1 and any(gap.hits for gap in gaps))
    await stage.run_for(600)
    assert stage.azure.get(f"/pools/cpu/nodes/{names[0]}") is not None
    assert "Succeeded" not in outcomes(stage).values()
