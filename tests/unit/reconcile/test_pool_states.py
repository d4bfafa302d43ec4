"""kstatus over the life of a pool: Current only when done, InProgress while converging, Failed when a person must act."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from azure_batch_emulator.config import COUNTS_LAG
from azure_batch_emulator.wire.errors import resource_error
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.ownership import marker, with_marker
from azure_batch_operator.reconcile.pool.changes import with_note
from azure_batch_operator.reconcile.pool.desired import body_of
from support.pool_engine import CLUSTER, Bench
from unit.objects import resource

MACHINE = {"imageReference": {"publisher": "p", "offer": "o", "sku": "s1"}}
SPEC: dict[str, Any] = {
    "accountRef": {"name": "main"}, "vmSize": "Standard_D4ads_v6", "virtualMachineConfiguration": MACHINE,
    "targetDedicatedNodes": 2,
}  # fmt: skip
FORMULA = {"enableAutoScale": True, "autoScaleFormula": "$TargetDedicatedNodes = 1;"}
AUTO = {name: value for name, value in SPEC.items() if name != "targetDedicatedNodes"} | FORMULA


def kstatus(one: Resource) -> str:
    """As kstatus computes it for resources it does not know: generation first, then Reconciling, Stalled and Ready."""
    if one.deleting:
        return "Terminating"
    if one.status.get("observedGeneration") != one.generation:
        return "InProgress"
    conditions = {each["type"]: each["status"] for each in one.status["conditions"]}
    if conditions.get("Stalled") == "True":
        return "Failed"
    if conditions.get("Reconciling") == "True" or conditions.get("Ready") != "True":
        return "InProgress"
    return "Current"


def bench(spec: dict[str, Any] = SPEC, **options: Any) -> Bench:
    return Bench(resource(Kind.POOL, spec, **options))


def settled(spec: dict[str, Any] = SPEC) -> Bench:
    one = bench(spec)
    one.settle()
    return one


def changed(one: Bench, **spec: Any) -> None:
    """The user edits the object."""
    merged = {**one.resource.spec, **spec}
    fresh = {name: value for name, value in merged.items() if value is not None}
    one.resource = replace(one.resource, spec=fresh, generation=one.resource.generation + 1)


def test_never_current_before_it_was_looked_at() -> None:
    assert kstatus(bench().resource) == "InProgress"
    one = settled()
    assert kstatus(one.resource) == "Current"
    changed(one, displayName="other")
    assert kstatus(one.resource) == "InProgress"


def test_in_progress_all_the_way_until_the_nodes_work() -> None:
    one = bench()
    seen = []
    for _ in range(40):
        one.step()
        seen.append(kstatus(one.resource))
        one.clock.advance(5.0)
    assert seen == sorted(seen, key=["InProgress", "Current"].index)
    assert seen[0] == "InProgress"
    assert seen[-1] == "Current"
    assert one.resource.status["nodes"] == "2/2"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"targetDedicatedNodes": 3}, "InProgress"),
        ({"startTask": {"commandLine": "true"}}, "InProgress"),
        ({"vmSize": "Standard_D8ads_v6"}, "Current"),
        ({"vmSize": "Standard_D8ads_v6", "updateStrategy": "Drain"}, "InProgress"),
        ({"vmSize": "Standard_D8ads_v6", "updateStrategy": "Recreate"}, "InProgress"),
        ({"virtualMachineConfiguration": {"imageReference": MACHINE["imageReference"] | {"sku": "none"}}}, "Failed"),
        ({"resizeTimeout": "PT20M"}, "Current"),
        ({"vmSize": "STANDARD_d4ads_V6"}, "InProgress"),
    ],
)
def test_after_an_edit(change: dict[str, Any], expected: str) -> None:
    one = settled()
    changed(one, **change)
    one.step()
    assert kstatus(one.resource) == expected
    if expected == "InProgress":
        one.settle()
        assert kstatus(one.resource) == "Current"


def test_a_formula_that_fails_needs_a_person_and_one_that_works_does_not() -> None:
    one = settled(AUTO)
    assert kstatus(one.resource) == "Current"
    changed(one, autoScaleFormula="$TargetDedicatedNodes = $Nonsense;")
    one.settle()
    assert kstatus(one.resource) == "Failed"
    changed(one, autoScaleFormula="$TargetDedicatedNodes = 2;")
    one.settle()
    assert kstatus(one.resource) == "Current"


def test_an_autoscaled_pool_is_current_at_zero_nodes_and_while_the_formula_resizes() -> None:
    one = settled(AUTO | {"autoScaleFormula": "$TargetDedicatedNodes = 0;"})
    assert (kstatus(one.resource), one.resource.status["nodes"]) == ("Current", "0/0")
    pool = one.service.pool("one")
    one.service.pools.set_targets(pool, 3, 0, "PT15M", "requeue")
    one.step()
    assert (kstatus(one.resource), one.resource.status["phase"]) == ("Current", "Resizing")


@pytest.mark.parametrize("state", ["unusable", "starttaskfailed"])
def test_a_node_in_trouble_is_a_condition_and_no_failure(state: str) -> None:
    one = settled()
    node = next(iter(one.service.pool("one").nodes.values()))
    one.service.nodes.fail(node, state, "NodeUnusable", "it broke")
    one.clock.advance(COUNTS_LAG)
    one.step()
    assert kstatus(one.resource) == "Current"
    healthy = one.resource.condition("NodesHealthy")
    assert healthy is not None
    assert healthy["status"] == "False"


@pytest.mark.parametrize("policy", [{}, {"nodeRemediation": {"unusable": "Reboot"}}], ids=["none", "for others"])
def test_with_no_node_left_a_person_must_act(policy: dict[str, Any]) -> None:
    one = settled(SPEC | policy)
    for node in one.service.pool("one").nodes.values():
        one.service.nodes.fail(node, "starttaskfailed", "FailureExitCode", "it broke")
    one.clock.advance(COUNTS_LAG)
    one.step()
    assert kstatus(one.resource) == "Failed"
    ready = one.resource.condition("Ready")
    assert ready is not None
    assert ready["reason"] == "NoUsableNodes"
    assert ready["message"].startswith("no node can take tasks: 2 startTaskFailed; node tvmps_")


def test_with_no_node_left_the_operator_acts_where_it_may() -> None:
    one = settled(SPEC | {"nodeRemediation": {"unusable": "Remove"}})
    for node in one.service.pool("one").nodes.values():
        one.service.nodes.fail(node, "unusable", "NodeUnusable", "it broke")
    one.step()
    assert kstatus(one.resource) == "InProgress"
    one.settle()
    assert (kstatus(one.resource), one.resource.status["nodes"]) == ("Current", "2/2")


def test_a_resize_that_fell_short_is_a_condition_and_no_failure() -> None:
    one = bench()
    one.service.pools.allocation_faults["one"] = (1, resource_error("AllocationFailed", "no capacity"))
    for _ in range(30):
        one.step()
        one.clock.advance(60.0)
    failed = one.resource.condition("ResizeFailed")
    assert failed is not None
    assert (failed["status"], failed["reason"]) == ("True", "AllocationFailed")
    assert one.verbs.count("resize_pool") <= 2, "it is asked again, but seldom"
    one.service.pools.allocation_faults.clear()
    for _ in range(30):
        one.step()
        one.clock.advance(60.0)
    assert (kstatus(one.resource), one.resource.status["nodes"]) == ("Current", "2/2")


def test_a_foreign_pool_needs_a_person() -> None:
    one = bench()
    one.create(body_of("one", SPEC, "agent 1"))
    one.step()
    assert kstatus(one.resource) == "Failed"


def test_deletion_is_terminating_and_says_what_it_waits_for() -> None:
    one = settled()
    one.resource = replace(one.resource, deleting=True)
    one.step()
    assert kstatus(one.resource) == "Terminating"
    assert one.resource.status["phase"] == "Deleting"


def test_drift_is_in_progress_until_it_is_corrected() -> None:
    one = bench()
    one.create(with_note(with_marker(body_of("one", SPEC, "agent 1"), marker(CLUSTER, one.resource)), SPEC))
    one.settle()
    one.service.pools.patch(one.service.pool("one"), {"displayName": "theirs"})
    drift = one.step()
    assert drift.drift == ("displayName",)
    assert kstatus(one.resource) == "InProgress"
    one.settle()
    assert kstatus(one.resource) == "Current"


def test_all_of_a_drift_is_reported_although_it_is_corrected_in_steps() -> None:
    one = settled()
    pool = one.service.pool("one")
    one.service.pools.patch(pool, {"displayName": "theirs"})
    one.service.pools.set_targets(pool, 5, 0, "PT15M", "requeue")
    one.settle()
    assert [name for each in one.plans for name in each.drift] == ["displayName", "targetDedicatedNodes"]
    assert (kstatus(one.resource), one.resource.status["nodes"]) == ("Current", "2/2")


def test_intermediate_steps_of_the_operator_are_no_drift() -> None:
    one = settled(AUTO | {"updateStrategy": "Drain"})
    changed(one, vmSize="Standard_D8ads_v6", metadata=[{"name": "a", "value": "b"}])
    one.settle()
    changed(one, updateStrategy="Recreate", taskSlotsPerNode=2)
    one.settle()
    assert kstatus(one.resource) == "Current"
    assert not any(each.drift for each in one.plans)


def test_changed_account_defaults_are_no_drift() -> None:
    one = settled()
    one.resource = replace(
        one.resource, spec={**one.resource.spec, "metadata": [{"name": "a", "value": "b"}], "displayName": "x"}
    )
    one.settle()
    assert one.verbs == ["create_pool", "update_pool"]
    assert not any(each.drift for each in one.plans)


def test_a_change_that_waits_for_an_empty_pool_is_a_condition_and_blocks_no_one() -> None:
    one = settled()
    changed(one, vmSize="Standard_D8ads_v6")
    plan = one.settle()
    assert kstatus(one.resource) == "Current"
    assert plan.status is not None
    assert (plan.status["phase"], plan.status["pendingChanges"]) == ("UpdatePending", ["vmSize"])
    pending, ready = one.resource.condition("UpdatePending"), one.resource.condition("Ready")
    assert pending is not None
    assert ready is not None
    assert "Nodes now: 2" in pending["message"]
    assert "Scale to 0, or set spec.updateStrategy" in pending["message"]
    assert ready["message"].endswith("pending until the pool has no nodes: vmSize")
    told = [event for each in one.plans for event in each.events if event.reason == "WaitingForEmptyPool"]
    assert len(told) == 1
    changed(one, targetDedicatedNodes=0)
    one.settle()
    assert one.resource.condition("UpdatePending") is None
    assert one.service.pool("one").spec["vmSize"] == "standard_d8ads_v6"
    assert not any(each.drift for each in one.plans), "what the spec has asked for is nobody else's doing"


def test_an_empty_only_property_that_others_have_changed_drains_nobody() -> None:
    """It can only have been changed on an empty pool, and the pool may be busy by now."""
    one = settled(SPEC | {"updateStrategy": "Drain"})
    pool = one.service.pool("one")
    pool.spec = pool.spec | {"taskSlotsPerNode": 4}
    pool.last_modified = one.clock.now()
    one.step()
    pending = one.resource.condition("UpdatePending")
    assert pending is not None
    assert pending["reason"] == "WaitingForEmptyPool"
    assert "resize_pool" not in one.verbs
    changed(one, targetDedicatedNodes=0)
    one.settle()
    assert one.service.pool("one").spec.get("taskSlotsPerNode", 1) == 1
    assert one.resource.condition("UpdatePending") is None
