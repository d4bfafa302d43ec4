"""BatchOperation: each call is made once, its outcome is written down, and a crash leaves no target without one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from support.stage import Options, Refusal, Stage, job, operation, pool, schedule, sleeping, task, thing

Body = dict[str, Any]
RAW: Body = {"poolRef": None, "accountRef": {"name": "main"}}


def pool_body(id: str, nodes: int = 2) -> Body:
    """A pool as somebody else creates it."""
    spec = pool(id, targetDedicatedNodes=nodes)["spec"]
    return {"id": id, **{name: value for name, value in spec.items() if name != "accountRef"}}


def nodes(stage: Stage, pool: str = "cpu") -> list[str]:
    return stage.azure.ids(f"/pools/{pool}/nodes")


def counts(stage: Stage, name: str = "op") -> Body:
    found: Body = stage.status("bop", name).get("counts", {})
    return found


def outcomes(stage: Stage, name: str = "op") -> dict[str, str]:
    return {each["target"]: each["outcome"] for each in stage.status("bop", name).get("results", ())}


async def ended(stage: Stage, name: str = "op", within: float = 3600.0) -> Body:
    await stage.until(lambda: stage.phase("bop", name) in {"Succeeded", "Failed"}, within, f"operation {name} ends")
    return stage.status("bop", name)


async def test_nodes_are_rebooted_once_and_the_status_says_so(stage: Stage) -> None:
    await stage.ready_pool()
    names = nodes(stage)
    booted = {each["id"]: each["lastBootTime"] for each in stage.azure.all("/pools/cpu/nodes")}
    stage.apply(operation("op", rebootNode={"nodes": {"names": names}}))
    status = await ended(stage)
    assert status["phase"] == "Succeeded"
    assert status["counts"] == {"targets": 2, "succeeded": 2, "failed": 0, "unknown": 0, "skipped": 0}
    assert (status["targets"], status["progress"]) == (names, "2/2")
    assert outcomes(stage) == dict.fromkeys(names, "Succeeded")
    assert all(each["requestId"] and each["time"] for each in status["results"])
    assert stage.azure.calls("Nodes_RebootNode") == 2
    assert stage.condition("bop", "op", "Complete")["status"] == "True"
    # They are back, and not only on their way.
    now = {each["id"]: (each["state"], each["lastBootTime"]) for each in stage.azure.all("/pools/cpu/nodes")}
    assert all(state == "idle" and boot != booted[id] for id, (state, boot) in now.items())
    # Targets and attempts, then the end.
    assert stage.writes("bop", "op", "status") == 2
    await stage.run_for(3600)
    assert (stage.azure.calls("Nodes_RebootNode"), stage.writes("bop", "op", "status")) == (2, 2)


async def test_nothing_of_it_can_be_changed_and_it_needs_one_verb_and_one_target(stage: Stage) -> None:
    await stage.ready_pool()
    reboot = {"nodes": {"names": nodes(stage)}}
    stage.apply(operation("op", rebootNode=reboot))
    with pytest.raises(Refusal, match="create a new BatchOperation"):
        stage.patch("bop", "op", {"spec": {"maxConcurrent": 3}})
    given = r"exactly one verb.*\(given: rebootNode and startNode\): create one BatchOperation for each"
    with pytest.raises(Refusal, match=given):
        stage.apply(operation("two", rebootNode=reboot, startNode=reboot))
    with pytest.raises(Refusal, match=r"exactly one verb.*describes all of them$"):
        stage.apply(operation("none"))
    with pytest.raises(Refusal, match="the verb applies to a pool"):
        stage.apply(operation("wrong", poolRef=None, jobRef={"name": "j"}, rebootNode=reboot))
    with pytest.raises(Refusal, match=r"one target.*\(given: poolRef and jobRef\)"):
        stage.apply(operation("both", jobRef={"name": "j"}, rebootNode=reboot))
    with pytest.raises(Refusal, match="accountRef is required with"):
        stage.apply(operation("raw", poolRef=None, poolId="cpu", rebootNode=reboot))
    await ended(stage)


@pytest.mark.parametrize("stage", [Options(seed=3)], indirect=True)
async def test_many_nodes_cost_a_write_for_each_batch(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=23)
    stage.apply(operation("op", disableNodeScheduling={"nodes": {"selector": "all"}}))
    status = await ended(stage)
    assert status["counts"]["succeeded"] == 23
    assert stage.azure.calls("Nodes_DisableNodeScheduling") == 23
    # Three batches of up to ten.
    assert stage.writes("bop", "op", "status") == 3 + 1
    assert status["targets"] == sorted(nodes(stage))


async def test_nodes_are_chosen_by_tier_by_state_and_up_to_a_number(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1, targetLowPriorityNodes=3)
    tiers = {each["id"]: each["isDedicated"] for each in stage.azure.all("/pools/cpu/nodes")}
    (own,) = [id for id, dedicated in tiers.items() if dedicated]
    spot = sorted(set(tiers) - {own})
    stage.azure.post(f"/pools/cpu/nodes/{spot[1]}/disablescheduling")
    await stage.until(lambda: stage.azure.get(f"/pools/cpu/nodes/{spot[1]}")["state"] == "offline", 60)  # type: ignore[index]
    for number, (choice, targets) in enumerate(
        [
            ({"selector": "dedicated"}, [own]),
            ({"selector": "lowPriority"}, spot),
            ({"selector": "lowPriority", "most": 2}, spot[:2]),
            ({"selector": "all", "most": 1}, sorted(tiers)[:1]),
            ({"states": ["offline", "unusable"]}, [spot[1]]),
            ({"states": ["unusable"]}, []),
        ]
    ):
        name = f"op-{number}"
        stage.apply(operation(name, getRemoteLoginSettings={"nodes": choice}))
        status = await ended(stage, name)
        assert (status["phase"], status["targets"]) == ("Succeeded", targets)


async def test_a_config_map_of_somebody_else_is_left_alone(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.post("/jobs", {"id": "j", "poolInfo": {"poolId": "cpu"}})
    stage.azure.simulate("j/t", stdout="read me")
    stage.azure.post("/jobs/j/tasks", {"id": "t", "commandLine": "true"})
    await stage.until(lambda: stage.azure.get("/jobs/j/tasks/t")["state"] == "completed", 300)  # type: ignore[index]
    theirs = {"kind": "ConfigMap", "metadata": {"name": "taken"}, "data": {"content": "theirs"}}
    stage.apply(theirs)
    for name in ("taken", "free"):
        read = {"path": "stdout.txt", "into": {"name": name}}
        stage.apply(operation(f"op-{name}", **RAW, jobId="j", taskId="t", readFile=read))
    status = await ended(stage, "op-taken")
    assert outcomes(stage, "op-taken") == {"t": "Failed"}
    assert "another ConfigMap 'taken' exists" in status["results"][0]["message"]
    assert stage.get("configmap", "taken")["data"] == {"content": "theirs"}
    await ended(stage, "op-free")
    assert stage.get("configmap", "free")["data"] == {"content": "read me"}


# --- whom it reaches ---


async def test_a_reference_reaches_only_what_its_object_owns(stage: Stage) -> None:
    """The pool `cpu` of the account belongs to somebody else."""
    stage.apply(*stage.account_objects())
    stage.azure.post("/pools", pool_body("cpu"))
    await stage.run_for(120)
    stage.apply(pool("cpu"), operation("op", rebootNode={"nodes": {"selector": "all"}}))
    await stage.until(lambda: stage.reason("bop", "op") == "TargetNotOwned", 600)
    assert stage.azure.calls("Nodes_RebootNode") == 0
    # It waits: the object may come to own it.
    stage.annotate("bp", "cpu", adopt="true")
    await ended(stage)
    assert stage.azure.calls("Nodes_RebootNode") == 2


async def test_an_id_reaches_nothing_of_another_namespace(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply({"kind": "Namespace", "metadata": {"name": "team"}})
    stage.patch("bacc", "main", {"spec": {"allowedNamespaces": {"all": True}}})
    account = {"name": "main", "namespace": "default"}
    reboot = {"nodes": {"selector": "all"}}
    theirs = thing("BatchOperation", "op", "team", accountRef=account, poolId="cpu", rebootNode=reboot)
    stage.apply(theirs)
    await stage.until(lambda: stage.reason("bop", "op", "team") == "TargetNotAllowed", 600)
    assert stage.azure.calls("Nodes_RebootNode") == 0
    # The same id from the namespace of its owner.
    stage.apply(thing("BatchOperation", "op", accountRef={"name": "main"}, poolId="cpu", rebootNode=reboot))
    await ended(stage)
    assert stage.azure.calls("Nodes_RebootNode") == 2


async def test_a_namesake_that_was_created_later_is_not_the_target(stage: Stage) -> None:
    stage.apply(*stage.account_objects())
    stage.azure.post("/pools", pool_body("cpu", nodes=12))
    await stage.run_for(200)
    raw = {"poolRef": None, "accountRef": {"name": "main"}, "poolId": "cpu"}
    hold = stage.azure.hold("Nodes_DisableNodeScheduling", count=1)
    stage.apply(operation("op", **raw, disableNodeScheduling={"nodes": {"selector": "all"}}, maxConcurrent=1))
    await stage.until(lambda: hold.arrived)
    stage.azure.delete("/pools/cpu")
    await stage.until(lambda: stage.azure.get("/pools/cpu") is None, 600)
    stage.azure.post("/pools", pool_body("cpu", nodes=12))
    hold.release()
    status = await ended(stage)
    assert (status["phase"], status["counts"]["succeeded"]) == ("Failed", 0)
    assert all(each["schedulingState"] == "enabled" for each in stage.azure.all("/pools/cpu/nodes"))


async def test_the_policy_skip_holds_it_and_it_continues_afterwards(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=4)
    hold = stage.azure.hold("Nodes_DisableNodeScheduling", count=1)
    stage.apply(operation("op", disableNodeScheduling={"nodes": {"names": nodes(stage)}}, maxConcurrent=1))
    await stage.until(lambda: hold.arrived)
    stage.annotate("bop", "op", reconcile_policy="skip")
    await stage.until(lambda: stage.condition("bop", "op", "Skipped").get("status") == "True")
    hold.release()
    # The call in progress still takes effect.
    await stage.until(lambda: "Attempted" not in outcomes(stage).values())
    made = stage.azure.calls("Nodes_DisableNodeScheduling")
    writes = stage.writes("bop", "op", "status")
    await stage.run_for(600)
    assert stage.azure.calls("Nodes_DisableNodeScheduling") == made == 1
    assert stage.writes("bop", "op", "status") == writes
    assert "Attempted" not in outcomes(stage).values()
    stage.annotate("bop", "op", reconcile_policy=None)
    status = await ended(stage)
    assert status["counts"]["succeeded"] == 4
    assert stage.azure.calls("Nodes_DisableNodeScheduling") == 4


async def test_it_waits_for_its_pool_and_goes_with_its_time(stage: Stage) -> None:
    stage.apply(*stage.account_objects())
    op = operation("op", getRemoteLoginSettings={"nodes": {"selector": "all"}}, ttlSecondsAfterFinished=60)
    stage.apply(op)
    await stage.until(lambda: stage.reason("bop", "op") == "PoolNotFound")
    stage.apply(pool("cpu"))
    await stage.until(lambda: stage.phase("bop", "op") in {"Succeeded", "Failed"}, 900)
    await stage.until(lambda: stage.gone("bop", "op"), 70)
    # Nothing of an operation keeps an account.
    stage.apply({**op, "metadata": {"name": "last", "namespace": "default"}})
    stage.delete("bp", "cpu")
    stage.delete("bacc", "main")
    await stage.until(lambda: stage.gone("bacc", "main"), 900)


# --- failures ---


async def test_it_stops_after_too_many_failures(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=6)
    names = nodes(stage)
    stage.azure.fault("Nodes_EnableNodeScheduling", status=409, code="OperationNotValidOnNode", count=2)
    stage.azure.post(f"/pools/cpu/nodes/{names[2]}/disablescheduling")
    choice = {"nodes": {"names": names}}
    stage.apply(operation("op", enableNodeScheduling=choice, maxConcurrent=2, pausePolicy="Stop", maxFailures=1))
    status = await ended(stage)
    assert status["phase"] == "Failed"
    assert stage.reason("bop", "op") == "TargetsFailed"
    assert status["counts"] == {"targets": 6, "succeeded": 0, "failed": 2, "unknown": 0, "skipped": 4}
    assert stage.condition("bop", "op", "Failed")["status"] == "True"
    first = status["results"][0]
    assert "OperationNotValidOnNode" in first["message"]
    assert first["requestId"]


async def test_throttling_is_waited_for_and_is_no_failure(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.fault("Nodes_.*NodeScheduling", status=429, retryAfter=5, count=8)
    stage.apply(operation("op", disableNodeScheduling={"nodes": {"selector": "all"}}))
    status = await ended(stage)
    assert status["counts"]["succeeded"] == 2


async def test_a_node_in_the_requested_state_is_skipped(stage: Stage) -> None:
    await stage.ready_pool()
    names = nodes(stage)
    stage.azure.post(f"/pools/cpu/nodes/{names[0]}/disablescheduling")
    stage.apply(operation("op", disableNodeScheduling={"nodes": {"names": [*names, "nobody"]}}, maxFailures=1))
    status = await ended(stage)
    assert outcomes(stage) == {names[0]: "Skipped", names[1]: "Succeeded", "nobody": "Failed"}
    assert status["phase"] == "Succeeded"


# --- calls without a response ---


@pytest.mark.parametrize("lands", [False, True])
async def test_a_reboot_without_a_response_is_told_by_the_node(stage: Stage, lands: bool) -> None:
    await stage.ready_pool()
    effect = {"lostAnswer": True} if lands else {"reset": True}
    stage.azure.fault("Nodes_RebootNode", count=1, **effect)
    stage.apply(operation("op", rebootNode={"nodes": {"names": nodes(stage)[:1]}}))
    status = await ended(stage)
    assert status["counts"]["succeeded"] == 1
    assert stage.azure.calls("Nodes_RebootNode") == (1 if lands else 2)
    assert ("did not respond" in status["results"][0].get("message", "")) is lands


async def test_a_call_with_an_undetermined_effect_is_unknown_and_not_repeated(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.fault("Nodes_UploadNodeLogs", count=1, lostAnswer=True)
    logs = {
        "nodes": {"selector": "all"},
        "containerUrl": "https://a.blob.core.windows.net/logs",
        "startTime": "2026-01-01T00:00:00Z",
    }
    stage.apply(operation("op", uploadNodeLogs=logs, maxConcurrent=1))
    status = await ended(stage)
    assert stage.azure.calls("Nodes_UploadNodeLogs") == 2
    assert sorted(outcomes(stage).values()) == ["Succeeded", "Unknown"]
    assert stage.reason("bop", "op") == "OutcomeUnknown"
    assert "may have been" in next(each["message"] for each in status["results"] if each["outcome"] == "Unknown")


# --- crashes ---


@pytest.mark.parametrize("effect", [1, 2, 3, 17, 51, 52, 53, 101, 150, 204])
@pytest.mark.parametrize("after", [False, True])
async def test_two_hundred_nodes_are_rebooted_once_whenever_the_operator_dies(
    stage: Stage, effect: int, after: bool
) -> None:
    await stage.ready_pool(targetDedicatedNodes=200, vmSize="Standard_D2ads_v6")
    names = nodes(stage)
    before = stage.effects
    stage.apply(operation("op", rebootNode={"nodes": {"selector": "all"}}, maxConcurrent=50))
    stage.kill_at_effect(before + effect, after=after)
    await stage.until(lambda: not stage.operator.running, 7200)
    await stage.operator.reaped()
    stage.start()
    status = await ended(stage, within=7200)
    assert status["targets"] == names
    assert outcomes(stage) == dict.fromkeys(names, "Succeeded")
    # All that reached the service, with an answer or without.
    reached = [each.path.split("/")[4] for each in stage.azure.log if each.operation == "Nodes_RebootNode"]
    assert Counter(reached) == Counter(names)


async def test_an_attempted_call_is_not_repeated_after_the_status_was_edited(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=4)
    stage.apply(operation("op", rebootNode={"nodes": {"selector": "all"}}, maxConcurrent=1))
    await stage.until(lambda: counts(stage).get("succeeded") == 1, 600)
    await stage.kill()
    made = stage.azure.calls("Nodes_RebootNode")
    stage.patch("bop", "op", {"status": {"targets": None}}, status=True)
    stage.start()
    await ended(stage)
    assert stage.reason("bop", "op") == "OutcomeUnknown"
    assert stage.azure.calls("Nodes_RebootNode") == made


async def test_it_can_be_terminated_and_keeps_its_record(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=4)
    stage.apply(operation("op", rebootNode={"nodes": {"selector": "all"}}, maxConcurrent=1))
    await stage.until(lambda: stage.azure.calls("Nodes_RebootNode") == 2, 600)
    stage.annotate("bop", "op", terminate="1")
    status = await ended(stage)
    # The node that was on its way is followed to its end.
    assert status["counts"] == {"targets": 4, "succeeded": 2, "failed": 0, "unknown": 0, "skipped": 2}
    assert stage.reason("bop", "op") == "OperationTerminated"
    assert status["handled"] == {"terminate": "1"}
    assert stage.azure.calls("Nodes_RebootNode") == 2


async def test_terminate_is_final_for_a_batch_that_waits(stage: Stage) -> None:
    """A stop flag that the next order takes back would let the calls go on."""
    stage.apply(*stage.account_objects())
    stage.azure.post("/pools", pool_body("cpu", 3))
    await stage.run_for(200)
    stage.azure.fault("Pools_RemoveNodes", status=409, code="PoolBeingResized", count=1000)
    stage.apply(operation("op", **RAW, poolId="cpu", removeNodes={"nodes": {"names": nodes(stage)[:1]}}))
    await stage.until(lambda: stage.reason("bop", "op") == "PoolBeingResized", 600)
    stage.annotate("bop", "op", terminate="1")
    await stage.run_for(1)
    made = stage.azure.calls("Pools_RemoveNodes")
    status = await ended(stage, within=120)
    assert stage.reason("bop", "op") == "OperationTerminated"
    assert status["counts"] == {"targets": 1, "succeeded": 0, "failed": 0, "unknown": 0, "skipped": 1}
    assert status["results"][0]["message"] == "not done, because azurebatch.io/terminate ended it"
    stage.azure.heal()
    await stage.run_for(600)
    assert (stage.azure.calls("Pools_RemoveNodes"), len(nodes(stage))) == (made, 3)


async def test_terminate_is_final_for_calls_that_wait_for_their_place(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=20, vmSize="Standard_D2ads_v6")
    hold = stage.azure.hold("Nodes_DisableNodeScheduling", count=8)
    stage.apply(operation("op", disableNodeScheduling={"nodes": {"selector": "all"}}, maxConcurrent=15))
    await stage.until(lambda: hold.arrived)
    await stage.run_for(3)
    stage.annotate("bop", "op", terminate="1")
    await stage.run_for(3)
    hold.release()
    status = await ended(stage)
    assert status["counts"] == {"targets": 20, "succeeded": 8, "failed": 0, "unknown": 0, "skipped": 12}
    assert "12 not attempted, since azurebatch.io/terminate" in stage.condition("bop", "op", "Failed")["message"]
    assert stage.azure.calls("Nodes_DisableNodeScheduling") == 8


async def test_terminate_determines_the_effect_of_a_call_without_a_response(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    stage.azure.fault("Nodes_RebootNode", count=1, reset=True)
    stage.apply(operation("op", rebootNode={"nodes": {"selector": "all"}}))
    await stage.until(lambda: stage.azure.calls("Nodes_RebootNode") == 1)
    stage.annotate("bop", "op", terminate="1")
    status = await ended(stage, within=300)
    assert (status["counts"]["skipped"], stage.azure.calls("Nodes_RebootNode")) == (1, 1)
    assert stage.reason("bop", "op") == "OperationTerminated"


async def test_an_ended_task_does_not_continue_when_the_annotation_is_removed(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=3)
    stage.apply(operation("op", rebootNode={"nodes": {"selector": "all"}}, maxConcurrent=1))
    await stage.until(lambda: stage.azure.calls("Nodes_RebootNode") == 1)
    stage.annotate("bop", "op", terminate="1")
    # The node is on its way for longer.
    await stage.run_for(25)
    assert outcomes(stage) == {nodes(stage)[0]: "Attempted"}
    stage.annotate("bop", "op", terminate=None)
    status = await ended(stage)
    assert status["counts"]["skipped"] == 2
    assert (stage.reason("bop", "op"), stage.azure.calls("Nodes_RebootNode")) == ("OperationTerminated", 1)


async def test_terminate_is_heard_while_the_pool_is_missing(stage: Stage) -> None:
    stage.apply(*stage.account_objects())
    stage.apply(operation("op", rebootNode={"nodes": {"selector": "all"}}))
    await stage.until(lambda: stage.reason("bop", "op") == "PoolNotFound")
    stage.annotate("bop", "op", terminate="1")
    await ended(stage, within=60)
    assert stage.reason("bop", "op") == "OperationTerminated"


async def test_terminate_is_heard_while_the_account_is_gone(stage: Stage) -> None:
    stage.apply(*stage.account_objects())
    stage.azure.post("/pools", pool_body("cpu"))
    await stage.run_for(200)
    stage.azure.fault("Nodes_DisableNodeScheduling", status=429, retryAfter=5, count=1000)
    choice = {"nodes": {"selector": "all"}}
    stage.apply(operation("op", **RAW, poolId="cpu", disableNodeScheduling=choice, maxConcurrent=1))
    await stage.until(lambda: "Attempted" in outcomes(stage).values())
    stage.delete("bacc", "main")
    await stage.until(lambda: stage.gone("bacc", "main"))
    stage.annotate("bop", "op", terminate="1")
    status = await ended(stage, within=300)
    assert status["counts"] == {"targets": 2, "succeeded": 0, "failed": 0, "unknown": 1, "skipped": 1}
    assert "the target cannot be read" in status["results"][0]["message"]


@pytest.mark.parametrize("restart", [False, True])
async def test_an_operation_whose_pool_object_goes_ends_with_its_outcomes(stage: Stage, restart: bool) -> None:
    """The pool stays in Azure Batch, so nothing there ends it."""
    await stage.ready_pool(targetDedicatedNodes=4)
    stage.annotate("bp", "cpu", reconcile_policy="detach-on-delete")
    stage.apply(operation("op", rebootNode={"nodes": {"selector": "all"}}, maxConcurrent=1))
    await stage.until(lambda: stage.azure.calls("Nodes_RebootNode") == 2, 600)
    if restart:
        await stage.kill()
    stage.delete("bp", "cpu")
    if restart:
        stage.start()
    status = await ended(stage)
    assert stage.gone("bp", "cpu")
    # The node that was on its way is followed to its end.
    assert status["counts"] == {"targets": 4, "succeeded": 2, "failed": 0, "unknown": 0, "skipped": 2}
    assert (status["phase"], stage.reason("bop", "op")) == ("Failed", "PoolNotFound")
    assert "2 not attempted, since BatchPool 'cpu' was deleted" in stage.condition("bop", "op", "Failed")["message"]
    assert stage.azure.calls("Nodes_RebootNode") == 2


async def test_an_operation_whose_pool_is_deleted_with_its_object_ends(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=4)
    stage.apply(operation("op", rebootNode={"nodes": {"selector": "all"}}, maxConcurrent=1))
    await stage.until(lambda: stage.azure.calls("Nodes_RebootNode") == 2, 600)
    stage.delete("bp", "cpu")
    status = await ended(stage)
    assert (status["phase"], status["counts"]["succeeded"]) == ("Failed", 1)
    assert "Attempted" not in outcomes(stage).values()
    await stage.until(lambda: stage.gone("bp", "cpu"), 900)


async def test_a_forbidden_resource_is_requested_at_growing_intervals(stage: Stage) -> None:
    stage.apply(*stage.account_objects())
    stage.azure.post("/pools", pool_body("cpu"))
    await stage.run_for(120)
    stage.apply(pool("cpu"), operation("op", rebootNode={"nodes": {"selector": "all"}}))
    await stage.until(lambda: stage.reason("bop", "op") == "TargetNotOwned", 600)
    asked, writes = stage.azure.calls("Pools_GetPool"), stage.writes("bop", "op", "status")
    await stage.run_for(3600)
    # Every 30 seconds, then 60, 120, 240, and every 300.
    assert 10 <= stage.azure.calls("Pools_GetPool") - asked <= 25
    assert stage.writes("bop", "op", "status") == writes


async def test_deleting_it_ends_what_has_not_begun(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=4)
    stage.apply(operation("op", rebootNode={"nodes": {"selector": "all"}}, maxConcurrent=1))
    await stage.until(lambda: counts(stage).get("succeeded") == 1, 600)
    stage.delete("bop", "op")
    assert stage.gone("bop", "op")
    await stage.run_for(3600)
    assert stage.azure.calls("Nodes_RebootNode") <= 2


async def test_more_targets_than_one_operation_takes_are_refused_before_anything_is_done(stage: Stage) -> None:
    stage.apply(*stage.account_objects())
    stage.azure.post("/pools", pool_body("cpu"))
    stage.azure.post("/jobs", {"id": "big", "poolInfo": {"poolId": "cpu"}, "constraints": {}})
    stage.azure.post("/jobs/big/disable", {"disableTasks": "requeue"})
    for start in range(0, 1100, 100):
        tasks = [{"id": f"t{start + each:04}", "commandLine": "true"} for each in range(100)]
        stage.azure.post("/jobs/big/addtaskcollection", {"value": tasks})
    raw = {"poolRef": None, "accountRef": {"name": "main"}, "jobId": "big"}
    stage.apply(operation("op", **raw, terminateTasks={"tasks": {"states": ["active"]}}))
    await ended(stage)
    assert stage.reason("bop", "op") == "TooManyTargets"
    assert stage.azure.calls("Tasks_TerminateTask") == 0
    some = {"tasks": {"states": ["active"], "most": 1000}}
    stage.apply(operation("some", **raw, terminateTasks=some, maxConcurrent=100))
    status = await ended(stage, "some")
    assert status["counts"]["succeeded"] == 1000
    # Ten batches of a hundred; the results that there is no room for are counted.
    assert stage.writes("bop", "some", "status") == 11
    assert len(status["results"]) + status["omittedResults"] == 1000
    assert len(str(status["results"])) < 120_000


async def test_no_call_is_made_before_its_target_is_stored_as_attempted(stage: Stage) -> None:
    await stage.ready_pool()
    fault = stage.fail("patch", "batchoperations/status", status=500)
    stage.apply(operation("op", rebootNode={"nodes": {"selector": "all"}}))
    await stage.until(lambda: fault.hits >= 3)
    assert stage.azure.calls("Nodes_RebootNode") == 0
    fault.end()
    status = await ended(stage)
    assert status["counts"]["succeeded"] == stage.azure.calls("Nodes_RebootNode") == 2


async def test_a_pool_that_goes_while_a_node_reboots_ends_the_operation(stage: Stage) -> None:
    stage.apply(*stage.account_objects())
    stage.azure.post("/pools", pool_body("cpu", 1))
    await stage.run_for(200)
    stage.apply(operation("op", **RAW, poolId="cpu", rebootNode={"nodes": {"names": nodes(stage)}}))
    await stage.until(lambda: stage.azure.calls("Nodes_RebootNode") == 1)
    stage.azure.delete("/pools/cpu")
    status = await ended(stage)
    assert (stage.reason("bop", "op"), list(outcomes(stage).values())) == ("OutcomeUnknown", ["Unknown"])
    assert "PoolNotFound" in status["results"][0]["message"]


async def test_a_job_that_goes_between_two_batches_ends_the_operation(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.post("/jobs", {"id": "j", "poolInfo": {"poolId": "none"}})
    for id in ("t0", "t1", "t2"):
        stage.azure.post("/jobs/j/tasks", {"id": id, "commandLine": "true"})
    hold = stage.azure.hold("Tasks_TerminateTask", count=1)
    choice = {"tasks": {"ids": ["t0", "t1", "t2"]}}
    stage.apply(operation("op", **RAW, jobId="j", maxConcurrent=1, terminateTasks=choice))
    await stage.until(lambda: hold.arrived)
    stage.azure.delete("/jobs/j")
    await stage.until(lambda: stage.azure.get("/jobs/j") is None, 50)
    hold.release()
    status = await ended(stage)
    assert status["counts"] == {"targets": 3, "succeeded": 0, "failed": 3, "unknown": 0, "skipped": 0}
    assert all("JobNotFound" in each["message"] for each in status["results"][1:])


async def test_a_refused_read_is_reported_with_its_cause(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    stage.azure.fault("Nodes_GetNode", status=403, code="AuthorizationPermissionMismatch", count=1000)
    stage.apply(operation("op", rebootNode={"nodes": {"names": nodes(stage)}}))
    await stage.until(lambda: bool(stage.reason("bop", "op")), 600)
    assert stage.reason("bop", "op") == "AuthorizationPermissionMismatch"
    stage.azure.heal()
    status = await ended(stage)
    assert status["counts"]["succeeded"] == stage.azure.calls("Nodes_RebootNode") == 1


async def test_calls_that_wait_for_their_place_are_not_made_once_it_is_held(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=20, vmSize="Standard_D2ads_v6")
    hold = stage.azure.hold("Nodes_DisableNodeScheduling", count=8)
    stage.apply(operation("op", disableNodeScheduling={"nodes": {"selector": "all"}}, maxConcurrent=20))
    await stage.until(lambda: hold.arrived)
    await stage.run_for(3)
    stage.annotate("bop", "op", reconcile_policy="skip")
    await stage.until(lambda: stage.condition("bop", "op", "Skipped").get("status") == "True")
    hold.release()
    await stage.run_for(600)
    # Eight calls of an account are in flight at once.
    assert stage.azure.calls("Nodes_DisableNodeScheduling") == 8
    stage.annotate("bop", "op", reconcile_policy=None)
    status = await ended(stage)
    assert status["counts"]["succeeded"] == stage.azure.calls("Nodes_DisableNodeScheduling") == 20


async def test_an_id_reaches_no_job_of_another_namespaces_schedule(stage: Stage) -> None:
    """Such a job carries no marker of its own."""
    await stage.ready_pool()
    stage.apply({"kind": "Namespace", "metadata": {"name": "team"}})
    stage.patch("bacc", "main", {"spec": {"allowedNamespaces": {"all": True}}})
    endless = {"id": "m", "commandLine": "/bin/sh -c 'sleep 30000'"}
    made_of = {"poolRef": {"name": "cpu"}, "jobManagerTask": endless}
    stage.apply(schedule("tick", schedule={"recurrenceInterval": "PT1H"}, jobSpecification=made_of))
    await stage.until(lambda: stage.azure.get("/jobs/tick:job-1"), 300)
    account = {"name": "main", "namespace": "default"}
    stage.apply(thing("BatchOperation", "op", "team", accountRef=account, jobId="tick:job-1", terminateJob={}))
    await stage.until(lambda: stage.reason("bop", "op", "team") == "TargetNotAllowed", 600)
    assert stage.azure.calls("Jobs_TerminateJob") == 0
    stage.apply(operation("op", **RAW, jobId="tick:job-1", terminateJob={}))
    await ended(stage)
    assert stage.azure.calls("Jobs_TerminateJob") == 1


async def test_the_tasks_of_batch_tasks_are_left_to_their_objects(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1, 3600)), task("theirs", "own", "sleep 3600"))
    await stage.until(lambda: stage.phase("bt", "theirs") == "Running", 600)
    named = {"poolRef": None, "jobRef": {"name": "own"}}
    stage.apply(operation("op", **named, terminateTasks={"tasks": {"states": ["running"]}}))
    await ended(stage)
    assert outcomes(stage) == {"t0": "Succeeded", "theirs": "Skipped"}
    assert stage.azure.get("/jobs/own/tasks/theirs")["state"] == "running"  # type: ignore[index]


async def test_a_policy_that_its_namespace_got_just_now_holds_it(stage: Stage) -> None:
    await stage.ready_pool()
    await stage.run_for(60)
    stage.annotate("namespace", "default", "", reconcile_policy="skip")
    stage.apply(operation("op", rebootNode={"nodes": {"selector": "all"}}))
    await stage.until(lambda: stage.condition("bop", "op", "Skipped").get("status") == "True")
    assert stage.azure.calls("Nodes_RebootNode") == 0
