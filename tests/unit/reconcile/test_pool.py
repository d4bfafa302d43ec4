"""Pools: which call follows from which state, and what a person reads."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.pool_wire import AutoScaleRun, NodeCounts, PoolError
from azure_batch_operator.batch.wire import Prose
from azure_batch_operator.reconcile.plan import Absence, Absent, Accepted, Plan, Remote, Table, Unconfirmed
from azure_batch_operator.reconcile.pool.changes import with_note
from azure_batch_operator.reconcile.pool.lifecycle import PoolScope, plan
from azure_batch_operator.reconcile.pool.scope import PoolView, moment
from azure_batch_operator.reconcile.status import timestamp
from support import typed
from unit.objects import ACCOUNT, CLUSTER, NO_ACCOUNT, NOW, POOL_SPEC, owned, resource


def pool(**options: Any) -> Resource:
    return resource(Kind.POOL, options.pop("spec", POOL_SPEC), **options)


def remote(owner: Resource, **members: Any) -> dict[str, Any]:
    body = {
        "id": "one", "state": "active", "allocationState": "steady", "vmSize": "standard_d4ads_v6",
        "targetDedicatedNodes": 4, "targetLowPriorityNodes": 0, "currentDedicatedNodes": 4, "currentLowPriorityNodes": 0,
        "virtualMachineConfiguration": POOL_SPEC["virtualMachineConfiguration"], "eTag": "0x1",
    }  # fmt: skip
    return owned(body | members, owner) | {"metadata": with_note(owned({}, owner), owner.spec)["metadata"]}


def counts(**states: int) -> NodeCounts:
    return typed.nodes({"dedicated": states | {"total": sum(states.values())}, "lowPriority": {"total": 0}})


def decide(one: Resource, there: Remote, nodes: NodeCounts | None = None, now: float = NOW, **known: Any) -> Plan:
    if "images" in known:
        known["images"] = [typed.image(body) for body in known["images"]]
    return plan(PoolScope(one, ACCOUNT, PoolView(there, nodes, **known), CLUSTER, now))


def verbs(decision: Plan) -> list[str]:
    return [call.verb for call in decision.calls]


def ready(decision: Plan) -> tuple[str, str]:
    assert decision.status is not None
    condition = next(each for each in decision.status["conditions"] if each["type"] == "Ready")
    return condition["status"], condition["reason"]


def types(decision: Plan) -> set[str]:
    assert decision.status is not None
    return {each["type"] for each in decision.status["conditions"]}


def test_nothing_is_decided_before_the_pools_were_listed() -> None:
    assert decide(pool(), Absent.UNKNOWN) == Plan()


def test_a_new_pool_is_created_with_finalizer_and_marker() -> None:
    decision = decide(pool(), Absent.NOT_FOUND)
    assert decision.finalizer == "add"
    (call,) = decision.calls
    assert call.verb == "create_pool"
    assert call.body is not None
    assert call.body["id"] == "one"
    assert call.body["metadata"][0] == {
        "name": "azurebatch.io/owner",
        "value": "cluster-1/default/BatchPool/one/uid-1/one",
    }
    assert call.body["metadata"][1]["name"] == "azurebatch.io/applied"
    assert "accountRef" not in call.body
    assert {name: call.body[name] for name in ("vmSize", "targetDedicatedNodes")} == {
        "vmSize": "Standard_D4ads_v6",
        "targetDedicatedNodes": 4,
    }


@pytest.mark.parametrize(
    ("state", "expected"), [("steady", ["resize_pool"]), ("resizing", ["stop_pool_resize"]), ("stopping", [])]
)
def test_other_targets_are_reached_through_a_steady_pool(state: str, expected: list[str]) -> None:
    one = pool(spec=POOL_SPEC | {"targetDedicatedNodes": 6, "resizeTimeout": "PT10M"}, finalizer=True)
    decision = decide(one, remote(one, allocationState=state), counts(idle=4))
    assert verbs(decision) == expected
    if expected == ["resize_pool"]:
        body = decision.calls[0].body
        assert body == {"targetDedicatedNodes": 6, "targetLowPriorityNodes": 0, "resizeTimeout": "PT10M"}
    assert ready(decision) == ("False", "Resizing")
    assert "Reconciling" in types(decision)


def test_a_target_that_the_spec_leaves_alone_is_left_alone() -> None:
    one = pool(
        spec={name: value for name, value in POOL_SPEC.items() if name != "targetDedicatedNodes"}, finalizer=True
    )
    assert verbs(decide(one, remote(one, targetLowPriorityNodes=3), counts(idle=4))) == []


def test_ready_means_that_the_nodes_can_work() -> None:
    one = pool(finalizer=True)
    assert ready(decide(one, remote(one), counts(idle=2, starting=2))) == ("False", "NodesStarting")
    decision = decide(one, remote(one), counts(idle=3, running=1))
    assert ready(decision) == ("True", "Steady")
    assert decision.status is not None
    assert decision.status["nodes"] == "4/4"
    assert types(decision) == {"Ready", "NodesHealthy"}


def test_a_ready_pool_stays_ready_while_single_nodes_restart() -> None:
    one = pool(finalizer=True)
    before = decide(one, remote(one), counts(idle=4)).status
    assert before is not None
    one = pool(finalizer=True, status=dict(before))
    assert ready(decide(one, remote(one), counts(idle=3, rebooting=1))) == ("True", "Steady")


def test_an_empty_pool_is_ready() -> None:
    one = pool(spec=POOL_SPEC | {"targetDedicatedNodes": 0}, finalizer=True)
    there = remote(one, targetDedicatedNodes=0, currentDedicatedNodes=0)
    assert ready(decide(one, there, counts())) == ("True", "Steady")


def test_a_sticky_resize_error_is_shown_and_gates_nothing() -> None:
    one = pool(finalizer=True)
    error = {"code": "AccountCoreQuotaReached", "message": "no cores", "values": []}
    there = remote(
        one, currentDedicatedNodes=2, resizeErrors=[error], allocationStateTransitionTime=timestamp(NOW - 60)
    )
    decision = decide(one, there, counts(idle=2))
    assert ready(decision) == ("True", "ResizeIncomplete")
    assert decision.status is not None
    failed = next(each for each in decision.status["conditions"] if each["type"] == "ResizeFailed")
    assert failed["reason"] == "AccountCoreQuotaReached"
    assert f"since {timestamp(NOW - 60)}" in failed["message"]
    assert verbs(decision) == []
    assert decision.requeue_after == 840


def test_a_resize_that_fell_short_is_requested_again_after_a_while() -> None:
    one = pool(finalizer=True)
    error = {"code": "AllocationTimedout", "message": "no nodes"}
    there = remote(
        one, currentDedicatedNodes=2, resizeErrors=[error], allocationStateTransitionTime=timestamp(NOW - 900)
    )
    assert verbs(decide(one, there, counts(idle=2))) == ["resize_pool"]
    stopped = there | {"resizeErrors": [{"code": "ResizeStopped"}], "allocationStateTransitionTime": timestamp(NOW)}
    assert verbs(decide(one, stopped, counts(idle=2))) == ["resize_pool"]


def test_asking_again_is_no_step_back() -> None:
    error = {"code": "AllocationTimedout", "message": "no nodes"}
    one = pool(finalizer=True)
    short = remote(
        one, currentDedicatedNodes=2, resizeErrors=[error], allocationStateTransitionTime=timestamp(NOW - 60)
    )
    first = decide(one, short, counts(idle=2)).status
    assert first is not None
    one = pool(finalizer=True, status=dict(first))
    asked = decide(one, short, counts(idle=2), NOW + 900)
    assert verbs(asked) == ["resize_pool"]
    assert asked.status == first
    assert (asked.events, asked.drift) == ((), ())
    under_way = remote(
        one, currentDedicatedNodes=2, allocationState="resizing", allocationStateTransitionTime=timestamp(NOW + 900)
    )
    moving = decide(one, under_way, counts(idle=2), NOW + 901)
    assert ready(moving) == ("True", "ResizeIncomplete")
    assert condition(moving, "ResizeFailed")[:2] == ("True", "AllocationTimedout")
    assert moving.events == ()


def test_a_formula_that_failed_is_retried_after_a_while() -> None:
    one, there = autoscaled(autoScaleRun={"timestamp": timestamp(NOW), "results": ""})
    wanted = pool(spec=dict(one.spec) | {"autoScaleFormula": "$TargetDedicatedNodes = 5;"}, finalizer=True)
    error = PoolError(code="AutoScalingFormulaEvaluationError", message=Prose("no"))
    assert verbs(decide(wanted, there)) == ["evaluate_pool_auto_scale"]
    for age, expected in ((60, []), (901, ["evaluate_pool_auto_scale"])):
        tried = ("$TargetDedicatedNodes = 5;", AutoScaleRun(timestamp=timestamp(NOW - age), error=error))
        assert verbs(decide(wanted, there, evaluated=tried)) == expected
    worked = ("$TargetDedicatedNodes = 5;", AutoScaleRun(timestamp=timestamp(NOW - 60)))
    assert verbs(decide(wanted, there, evaluated=worked)) == ["enable_pool_auto_scale"]


def test_preempted_nodes_do_not_keep_a_pool_from_being_ready() -> None:
    one = pool(finalizer=True)
    assert ready(decide(one, remote(one), counts(idle=3, preempted=1))) == ("True", "Steady")


def test_nodes_in_trouble_are_named() -> None:
    one = pool(finalizer=True)
    decision = decide(one, remote(one), counts(idle=2, unusable=1, startTaskFailed=1))
    assert decision.status is not None
    healthy = next(each for each in decision.status["conditions"] if each["type"] == "NodesHealthy")
    assert (healthy["status"], healthy["message"]) == ("False", "1 startTaskFailed, 1 unusable")


@pytest.mark.parametrize("metadata", [[], [{"name": "azurebatch.io/owner", "value": "other/ns/BatchPool/one/uid-9"}]])
def test_a_foreign_pool_is_never_touched(metadata: list[dict[str, str]]) -> None:
    one = pool(spec=POOL_SPEC | {"targetDedicatedNodes": 9}, finalizer=True)
    there = remote(one) | {"metadata": metadata}
    decision = decide(one, there)
    assert verbs(decision) == []
    assert ready(decision) == ("False", "OwnershipConflict")
    assert "Stalled" in types(decision)
    # It took the place of a pool of this object, whose nodes went on to be counted, and paid for, in metrics.
    before = {"url": "u", "nodes": "2/2", "nodeCounts": {"dedicated": {"idle": 2, "total": 2}}}
    before |= {"estimatedCostPerHour": "3.60 EUR", "currentDedicatedNodes": 2}
    shown = decide(pool(spec=POOL_SPEC, finalizer=True, status=before), there).status
    assert shown is not None
    assert before.keys() & shown.keys() == {"url"}
    gone = decide(pool(finalizer=True, deleting=True), there)
    assert (verbs(gone), gone.finalizer) == ([], "remove")


def test_deletion_is_requested_once_and_the_finalizer_removed_afterwards() -> None:
    one = pool(finalizer=True, deleting=True)
    assert verbs(decide(one, remote(one))) == ["delete_pool"]
    waiting = decide(one, remote(one, state="deleting"))
    assert (verbs(waiting), waiting.finalizer) == ([], None)
    assert decide(one, Absent.NOT_FOUND) == Plan(finalizer="remove", confirm=(Absence(Table.POOLS, "one"),))
    assert decide(one, Absent.UNKNOWN) == Plan()


def test_without_account_objects_keep_their_last_state() -> None:
    one = pool(finalizer=True)
    status = decide(one, remote(one), counts(idle=4)).status
    assert status is not None
    assert plan(PoolScope(pool(finalizer=True, status=dict(status)), NO_ACCOUNT, PoolView(), CLUSTER, NOW)) == Plan()
    new = plan(PoolScope(pool(), NO_ACCOUNT, PoolView(), CLUSTER, NOW))
    assert ready(new) == ("False", "AccountNotReady")


def test_a_deletion_without_account_says_how_to_get_out_of_it() -> None:
    stuck = plan(PoolScope(pool(finalizer=True, deleting=True), NO_ACCOUNT, PoolView(), CLUSTER, NOW))
    assert stuck.finalizer is None
    assert stuck.status is not None
    assert "azurebatch.io/force-finalize=true" in stuck.status["conditions"][0]["message"]
    released = pool(finalizer=True, deleting=True, annotations={"azurebatch.io/force-finalize": "true"})
    assert plan(PoolScope(released, NO_ACCOUNT, PoolView(), CLUSTER, NOW)).unconfirmed is Unconfirmed.RELEASED


def test_an_unchanged_pool_gives_an_unchanged_status() -> None:
    one = pool(finalizer=True)
    first = decide(one, remote(one), counts(idle=4)).status
    assert first is not None
    again = decide(pool(finalizer=True, status=dict(first)), remote(one), counts(idle=4), NOW + 1000)
    assert again.status == first
    assert again.events == ()


def test_times_of_the_service_are_ordered_though_trailing_zeros_are_dropped() -> None:
    stamps = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.0000001Z", "2026-01-01T00:00:00.5Z", "2026-01-01T00:00:01Z"]
    assert sorted([*stamps[2:], *stamps[:2]], key=moment) == stamps


def autoscaled(**members: Any) -> tuple[Resource, dict[str, Any]]:
    spec = {name: value for name, value in POOL_SPEC.items() if name != "targetDedicatedNodes"}
    formula = {"enableAutoScale": True, "autoScaleFormula": "$TargetDedicatedNodes = 4;"}
    one = pool(spec=spec | formula, finalizer=True)
    return one, remote(one, **formula, autoScaleEvaluationInterval="PT15M", **members)


def condition(decision: Plan, type_: str) -> tuple[str, str, str]:
    assert decision.status is not None
    found = next(each for each in decision.status["conditions"] if each["type"] == type_)
    return found["status"], found["reason"], found["message"]


def test_a_formula_that_is_not_evaluated_any_more_is_handed_in_again() -> None:
    one, there = autoscaled(autoScaleRun={"timestamp": timestamp(NOW - 3500), "results": ""})
    assert verbs(decide(one, there)) == []
    one, there = autoscaled(autoScaleRun={"timestamp": timestamp(NOW - 3700), "results": ""})
    decision = decide(one, there)
    assert verbs(decision) == ["enable_pool_auto_scale"]
    assert condition(decision, "AutoScaleHealthy")[:2] == ("False", "AutoScaleStalled")
    assert verbs(decide(one, there, enabled=NOW - 3500)) == [], "it may take as long as before to be evaluated"
    still = decide(one, there, enabled=NOW - 3700)
    assert verbs(still) == ["enable_pool_auto_scale"], "four intervals of a quarter of an hour were missed again"
    assert condition(still, "AutoScaleHealthy")[:2] == ("False", "AutoScaleStalled")


def test_what_is_in_progress_is_stopped_for_another_formula_and_not_for_another_interval() -> None:
    for member, value, expected in (
        ("autoScaleFormula", "$TargetDedicatedNodes = 9;", ["stop_pool_resize"]),
        ("autoScaleEvaluationInterval", "PT1H", []),
    ):
        one, there = autoscaled(allocationState="resizing")
        tried = {"evaluated": ("$TargetDedicatedNodes = 9;", AutoScaleRun())}
        wanted = pool(spec=dict(one.spec) | {member: value}, finalizer=True)
        decision = decide(wanted, there, **tried)
        assert verbs(decision) == expected, member
        assert ready(decision) == ("False", "Resizing")
        assert verbs(decide(wanted, there | {"allocationState": "steady"}, **tried)) == ["enable_pool_auto_scale"]


def test_a_formula_is_not_overdue_while_the_pool_is_resized() -> None:
    one, there = autoscaled(
        autoScaleRun={"timestamp": timestamp(NOW - 9000), "results": ""}, allocationState="resizing"
    )
    decision = decide(one, there)
    assert verbs(decision) == []
    assert condition(decision, "AutoScaleHealthy")[:2] == ("True", "Evaluated")


def test_the_last_run_is_shown_and_written_only_when_it_comes_to_something_else() -> None:
    run = {"timestamp": timestamp(NOW - 60), "results": "$TargetDedicatedNodes=4"}
    one, there = autoscaled(autoScaleRun=run)
    first = decide(one, there).status
    assert first is not None
    assert first["autoScaleRun"] == run
    later = there | {"autoScaleRun": run | {"timestamp": timestamp(NOW)}}
    again = decide(pool(spec=dict(one.spec), finalizer=True, status=dict(first)), later).status
    assert again == first


def image(sku: str = "22", **members: Any) -> dict[str, Any]:
    reference = {"publisher": "Canonical", "offer": "Ubuntu", "sku": sku}
    return {"imageReference": reference, "nodeAgentSKUId": f"agent {sku}", "verificationType": "verified"} | members


def with_image(sku: str) -> Resource:
    reference = {"publisher": "canonical", "offer": "ubuntu", "sku": sku}
    return pool(spec=POOL_SPEC | {"virtualMachineConfiguration": {"imageReference": reference}})


def test_the_node_agent_is_taken_from_the_images_that_the_account_supports() -> None:
    unverified = image(nodeAgentSKUId="other", verificationType="unverified")
    (call,) = decide(with_image("22"), Absent.NOT_FOUND, images=[unverified, image("20"), image("22")]).calls
    assert call.body is not None
    assert call.body["virtualMachineConfiguration"]["nodeAgentSKUId"] == "agent 22"
    assert decide(with_image("22"), Absent.NOT_FOUND).calls == (), "nothing is made before the images are known"
    refused = decide(with_image("99"), Absent.NOT_FOUND, images=[image("22")])
    assert refused.calls == ()
    assert ready(refused) == ("False", "ImageNotSupported")
    assert "of this offer it supports 22" in condition(refused, "Stalled")[2]
    refused = decide(
        with_image("99"), Absent.NOT_FOUND, images=[image("22") | {"imageReference": {"offer": "windows"}}]
    )
    hint = "; it supports 1 offer, see status.supportedImages of the BatchAccount: correct"
    assert hint in condition(refused, "Stalled")[2]


def test_the_end_of_an_image_is_warned_of_in_time() -> None:
    one = with_image("22")
    machine = {
        "imageReference": dict(one.spec["virtualMachineConfiguration"]["imageReference"]),
        "nodeAgentSKUId": "agent 22",
    }
    there = remote(one, virtualMachineConfiguration=machine)
    for days, warned in ((100, False), (80, True), (-3, True)):
        known = [image(batchSupportEndOfLife=timestamp(NOW + days * 86400))]
        decision = decide(one, there, counts(idle=4), images=known)
        assert ("ImageSupportEnds" in {event.reason for event in decision.events}) == warned
        assert ("ImageSupported" in types(decision)) == warned
        assert ready(decision)[0] == "True"
        assert decision.status is not None
        assert decision.status["imageEndOfLife"] == timestamp(NOW + days * 86400)


def test_an_accepted_patch_is_not_repeated_although_the_response_differs() -> None:
    one = pool(spec=POOL_SPEC | {"displayName": "a", "startTask": {"commandLine": "true"}}, finalizer=True)
    there = remote(one, displayName="A", startTask={"commandLine": "TRUE"})
    (call,) = decide(one, there, counts(idle=4)).calls
    assert (call.verb, call.if_match) == ("update_pool", "0x1")
    taken = Accepted(call.marks or {}, "0x2")
    assert verbs(decide(one, there | {"eTag": "0x2"}, counts(idle=4), accepted=taken)) == []
    assert verbs(decide(one, there | {"eTag": "0x3"}, counts(idle=4), accepted=taken)) == ["update_pool"]


def test_a_default_that_nobody_knows_of_is_no_drift() -> None:
    one = pool(spec=POOL_SPEC | {"startTask": {"commandLine": "true"}, "updateStrategy": "Drain"}, finalizer=True)
    machine = dict(POOL_SPEC["virtualMachineConfiguration"]) | {"unheardOf": {"a": 1}}
    there = remote(one, startTask={"commandLine": "true", "unheardOf": 7}, virtualMachineConfiguration=machine)
    assert verbs(decide(one, there, counts(idle=4))) == []
    changed = pool(spec=dict(one.spec) | {"startTask": {"commandLine": "true", "maxTaskRetryCount": 0}}, finalizer=True)
    assert verbs(decide(changed, there, counts(idle=4))) == ["update_pool"], (
        "after a change of the spec everything counts"
    )
