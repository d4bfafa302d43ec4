"""Sizes that somebody changes while nodes are on their way, and nodes that do not leave in time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.reconcile.plan import Plan
from azure_batch_operator.reconcile.pool.changes import with_note
from azure_batch_operator.reconcile.pool.history import NO_HISTORY, History
from azure_batch_operator.reconcile.pool.lifecycle import PoolScope, plan
from azure_batch_operator.reconcile.pool.scope import PoolView
from azure_batch_operator.reconcile.status import timestamp
from support import typed
from support.pool_engine import IMAGES, Bench
from unit.objects import ACCOUNT, CLUSTER, NOW, owned, resource

SPEC: dict[str, Any] = {
    "accountRef": {"name": "main"}, "vmSize": "Standard_D4ads_v6", "targetDedicatedNodes": 2,
    "virtualMachineConfiguration": {"imageReference": {"publisher": "p", "offer": "o", "sku": "s1"}},
}  # fmt: skip
POOL = resource(Kind.POOL, SPEC, finalizer=True)


def decide(remote: dict[str, Any], history: History = NO_HISTORY, **spec: Any) -> Plan:
    """What is decided about a pool that was created from `SPEC`."""
    shown = {
        "id": "one", "state": "active", "allocationState": "steady", "eTag": "0x1", "vmSize": "standard_d4ads_v6",
        "virtualMachineConfiguration": SPEC["virtualMachineConfiguration"] | {"nodeAgentSKUId": "agent 1"},
    }  # fmt: skip
    there = with_note(owned(shown | remote, POOL), SPEC)
    counts = typed.nodes({"dedicated": {"running": remote["currentDedicatedNodes"]}})
    return plan(
        PoolScope(
            replace(POOL, spec=SPEC | spec),
            ACCOUNT,
            PoolView(there, counts, history=history, images=IMAGES),
            CLUSTER,
            NOW,
        )
    )


def verbs(decision: Plan) -> list[str]:
    return [call.verb for call in decision.calls]


def left_behind(age: float, targets: int = 2) -> dict[str, Any]:
    """A removal that ran into its timeout: nodes that should have left still run tasks."""
    return {
        "targetDedicatedNodes": targets, "currentDedicatedNodes": 5, "allocationStateTransitionTime": timestamp(NOW - age),
        "resizeErrors": [{"code": "ResizeTimeout", "message": "nodes did not leave in time"}],
    }  # fmt: skip


@pytest.mark.parametrize(("tries", "minutes"), [(0, 5), (1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (6, 60), (60, 60)])
def test_nodes_that_did_not_leave_are_removed_again_at_growing_intervals(tries: int, minutes: int) -> None:
    history = History(targets=(2, 0), tries=tries) if tries else NO_HISTORY
    early = decide(left_behind(minutes * 60 - 1), history)
    assert verbs(early) == []
    assert early.requeue_after == 1.0
    due = decide(left_behind(minutes * 60), history)
    assert verbs(due) == ["resize_pool"]
    [call] = due.calls
    assert call.body is not None
    assert call.body["targetDedicatedNodes"] == 2


def test_the_status_says_that_nodes_are_billed_and_their_removal_is_requested_again() -> None:
    status = decide(left_behind(60)).status or {}
    [ready] = [each for each in status["conditions"] if each["type"] == "Ready"]
    assert ready["reason"] == "ResizeIncomplete"
    assert "5 nodes instead of 2" in ready["message"]
    assert "requests their removal again" in ready["message"]


def test_a_drain_that_ran_into_the_timeout_continues() -> None:
    drain = {"updateStrategy": "Drain", "vmSize": "Standard_D8ads_v6"}
    waits = decide(left_behind(299, targets=0), **drain)
    assert verbs(waits) == []
    assert waits.requeue_after == 1.0
    assert "requested again" in str(waits.status)
    due = decide(left_behind(300, targets=0), **drain)
    assert verbs(due) == ["resize_pool"]


# --- an autoscaler that changes its mind ---


def bench(nodes: int = 2) -> Bench:
    one = Bench(resource(Kind.POOL, SPEC | {"targetDedicatedNodes": nodes}))
    one.settle()
    one.calls.clear()
    return one


def scaled(one: Bench, nodes: int) -> None:
    one.resource = replace(
        one.resource, spec={**one.resource.spec, "targetDedicatedNodes": nodes}, generation=one.resource.generation + 1
    )


def live(one: Bench, seconds: float, every: float = 5.0) -> None:
    for _ in range(int(seconds / every)):
        one.step()
        one.clock.advance(every)


def test_an_autoscaler_that_raises_the_number_again_and_again_stops_no_allocation() -> None:
    one = bench()
    for nodes in range(3, 23):
        scaled(one, nodes)
        live(one, 10)
    assert "stop_pool_resize" not in one.verbs
    one.settle()
    assert one.resource.status["nodes"] == "22/22"


def test_fewer_nodes_stop_what_is_in_progress_but_not_more_often_than_every_ten_minutes() -> None:
    one = bench()
    for round_ in range(60):
        scaled(one, (20, 1)[round_ % 2])
        live(one, 20)
    stops = one.verbs.count("stop_pool_resize")
    assert 1 <= stops <= 3, "within twenty minutes"
    one.settle()
    assert one.resource.status["nodes"] == "1/1"


def test_nodes_that_leave_and_are_wanted_again_are_stopped_from_leaving() -> None:
    leaving = {"allocationState": "resizing", "targetDedicatedNodes": 1, "currentDedicatedNodes": 5}
    assert verbs(decide(leaving, targetDedicatedNodes=4)) == ["stop_pool_resize"]
    paused = decide(leaving, History(stopped=NOW - 590), targetDedicatedNodes=4)
    assert (verbs(paused), paused.requeue_after) == ([], 10.0)
