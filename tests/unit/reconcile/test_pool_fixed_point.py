"""From any pool to any spec: the plans end where the next one is empty, no call is refused, and what is foreign stays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.ownership import marker, with_marker
from azure_batch_operator.reconcile.pool.changes import NEED_NO_NODES, with_note
from azure_batch_operator.reconcile.pool.desired import body_of
from support.pool_engine import CLUSTER, Bench
from unit.objects import resource

ABSENT = st.none()
FORMULAS = ["$TargetDedicatedNodes = 1;", "$TargetLowPriorityNodes = 2; // Spot", "$TargetDedicatedNodes = $Nonsense;"]
PROFILES = [
    {"maximum": 3, "pendingTasks": {}},
    {"maximum": 3, "minimum": 1, "spotFirst": True, "workHours": {"start": 0, "end": 24}},
]
SIZES = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "targetDedicatedNodes": st.integers(0, 3),
            "targetLowPriorityNodes": st.integers(0, 2),
            "resizeTimeout": st.sampled_from(["PT5M", "PT20M"]),
            "nodeDeallocationOption": st.sampled_from(["requeue", "TaskCompletion"]),
        },
    ),
    st.fixed_dictionaries(
        {"enableAutoScale": st.just(True), "autoScaleFormula": st.sampled_from(FORMULAS)},
        optional={"autoScaleEvaluationInterval": st.sampled_from(["PT5M", "PT1H", "PT60M"])},
    ),
    st.fixed_dictionaries({"autoScaleProfile": st.sampled_from(PROFILES)}),
    st.fixed_dictionaries({"targetDedicatedNodes": st.integers(0, 2), "maxIdle": st.just("PT30M")}),
)
USER = {"name": "u", "passwordSecretRef": {"name": "s", "key": "k"}}
MOUNT = {"nfsMountConfiguration": {"source": "10.0.0.1:/A", "relativeMountPath": "a"}}
PROPERTIES: dict[str, st.SearchStrategy[Any]] = {
    "displayName": st.sampled_from(["", "one", "two"]),
    "metadata": st.sampled_from([[], [{"name": "a", "value": "1"}], [{"name": "b", "value": "2"}]]),
    "targetNodeCommunicationMode": st.sampled_from(["Simplified", "classic", "default"]),
    "startTask": st.sampled_from(
        [
            {"commandLine": "true"},
            {"commandLine": "true", "maxTaskRetryCount": 0, "userIdentity": {"autoUser": {"elevationLevel": "Admin"}}},
            {"commandLine": "echo", "environmentSettings": [{"name": "A", "value": "1"}], "waitForSuccess": False},
        ]
    ),
    "taskSlotsPerNode": st.integers(1, 4),
    "taskSchedulingPolicy": st.sampled_from([{"nodeFillType": "PACK"}, {"nodeFillType": "spread"}]),
    "enableInterNodeCommunication": st.booleans(),
    "userAccounts": st.sampled_from([[], [USER], [{**USER, "name": "v", "elevationLevel": "Admin"}]]),
    "mountConfiguration": st.sampled_from([[], [MOUNT]]),
}
LASTING: dict[str, st.SearchStrategy[Any]] = {
    "vmSize": st.sampled_from(["Standard_D4ads_v6", "STANDARD_D8ADS_V6"]),
    "virtualMachineConfiguration": st.sampled_from(
        [
            {"imageReference": {"publisher": "P", "offer": "o", "sku": "s1"}},
            {"imageReference": {"publisher": "p", "offer": "o", "sku": "s2"}, "nodeAgentSKUId": "agent 2"},
        ]
    ),
    "networkConfiguration": st.sampled_from([{"enableAcceleratedNetworking": True}, {}]),
    "upgradePolicy": st.sampled_from([{"mode": "Automatic"}, {"mode": "rolling", "rollingUpgradePolicy": {}}]),
}
STRATEGIES = st.fixed_dictionaries({}, optional={"updateStrategy": st.sampled_from(["WhenEmpty", "Drain", "Recreate"])})
SPECS = st.builds(
    lambda lasting, properties, size, strategy: (
        {"accountRef": {"name": "main"}} | lasting | properties | size | strategy
    ),
    st.fixed_dictionaries(LASTING),
    st.fixed_dictionaries({}, optional=PROPERTIES),
    SIZES,
    STRATEGIES,
)


def pool(spec: dict[str, Any], **options: Any) -> Resource:
    return resource(Kind.POOL, spec, **options)


def existing(spec: dict[str, Any], owner: str, *, noted: bool = True) -> dict[str, Any]:
    """A pool as this spec makes it; one that was taken over has no note of that."""
    body = with_marker(body_of("one", spec, "agent 1"), owner)
    return with_note(body, spec) if noted else body


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=st.none() | SPECS, wanted=SPECS, seconds=st.sampled_from([0.0, 1.0, 35.0, 600.0]), noted=st.booleans())
def test_every_way_ends_where_nothing_is_left_to_do(
    before: dict[str, Any] | None, wanted: dict[str, Any], seconds: float, noted: bool
) -> None:
    bench = Bench(pool(wanted, generation=2))
    if before is not None:
        bench.create(existing(before, marker(CLUSTER, bench.resource), noted=noted))
        bench.clock.advance(seconds)
    last = bench.settle()
    assert last.status is not None
    shown = {each["type"]: each for each in last.status["conditions"]}
    reason = shown["Ready"]["reason"]
    pending = set(last.status.get("pendingChanges", ()))
    if reason in {"Steady", "AutoScaled"}:
        # The only way to rest without being done: a change that waits for an empty pool.
        assert pending <= NEED_NO_NODES
        assert bool(pending) == ("UpdatePending" in shown) == (last.status["phase"] == "UpdatePending")
        assert len(bench.remotes()) == 1
    else:
        assert reason == "AutoScalingFormulaEvaluationError", (reason, shown)
        assert "Stalled" in shown
    calls = len(bench.calls)
    status = bench.resource.status
    bench.clock.advance(1.0)
    assert bench.step().calls == ()
    assert len(bench.calls) == calls
    assert bench.resource.status == status


@settings(max_examples=50, deadline=None)
@given(
    before=SPECS,
    wanted=SPECS,
    owner=st.sampled_from(["", "cluster-2/default/BatchPool/one/uid-1"]),
    deleting=st.booleans(),
)
def test_foreign_resources_are_never_changed(
    before: dict[str, Any], wanted: dict[str, Any], owner: str, deleting: bool
) -> None:
    bench = Bench(pool(wanted, finalizer=True, deleting=deleting))
    body = existing(before, owner)
    if not owner:
        body["metadata"] = []
    there = bench.create(body)
    bench.clock.advance(600.0)
    for _ in range(3):
        decided = bench.step()
        bench.clock.advance(40.0)
    assert bench.calls == []
    assert there.state == "active"
    assert (decided.finalizer == "remove") == deleting


@pytest.mark.parametrize("strategy", ["WhenEmpty", "Drain", "Recreate"])
def test_deletion_leaves_nothing_in_any_state(strategy: str) -> None:
    spec = {"accountRef": {"name": "main"}, "vmSize": "Standard_D4ads_v6", "targetDedicatedNodes": 2, "taskSlotsPerNode": 2,
            "virtualMachineConfiguration": {"imageReference": {"publisher": "p", "offer": "o", "sku": "s1"}}}  # fmt: skip
    for passes in range(6):
        bench = Bench(
            pool(spec | {"vmSize": "Standard_D8ads_v6", "updateStrategy": strategy}, generation=2, finalizer=True)
        )
        bench.create(existing(spec, marker(CLUSTER, bench.resource)))
        bench.clock.advance(600.0)
        for _ in range(passes):
            bench.step()
            bench.clock.advance(10.0)
        gone = pool(dict(bench.resource.spec), generation=3, finalizer=True, deleting=True)
        bench.resource = gone
        for _ in range(20):
            if bench.step().finalizer == "remove":
                break
            bench.clock.advance(120.0)
        assert bench.remotes() == []
        assert bench.verbs.count("delete_pool") <= 2
