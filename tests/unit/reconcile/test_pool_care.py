"""What is done about nodes that do not work: as the spec asks, within the limit, once for a failure."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from azure_batch_emulator.wire.errors import BatchError
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.batch.pool_wire import Pool
from azure_batch_operator.reconcile.pool.history import NO_HISTORY, after
from azure_batch_operator.reconcile.pool.nodes import cause, plan_remediation, shown
from azure_batch_operator.reconcile.pool.scope import PoolView
from azure_batch_operator.reconcile.pool.spec import NodeRemediation
from support import typed
from support.pool_engine import Bench
from unit.objects import resource

SPEC: dict[str, Any] = {
    "accountRef": {"name": "main"}, "vmSize": "Standard_D4ads_v6", "targetDedicatedNodes": 3,
    "virtualMachineConfiguration": {"imageReference": {"publisher": "p", "offer": "o", "sku": "s1"}},
}  # fmt: skip
HOUR = 3600.0


def bench(**remediation: Any) -> Bench:
    one = Bench(resource(Kind.POOL, SPEC | {"nodeRemediation": remediation}))
    one.settle()
    one.calls.clear()
    return one


def fail(one: Bench, state: str, number: int = 1) -> list[str]:
    nodes = sorted(one.service.pool("one").nodes.values(), key=lambda node: node.index)[:number]
    for node in nodes:
        one.service.nodes.fail(node, state, "NodeUnusable", "it broke")
    return [node.id for node in nodes]


def live(one: Bench, seconds: float, every: float = 20.0) -> None:
    for _ in range(int(seconds / every)):
        one.step()
        one.clock.advance(every)


def test_nothing_is_done_unless_requested() -> None:
    one = bench()
    fail(one, "unusable", 2)
    live(one, HOUR)
    assert one.calls == []


def test_the_limit_is_by_the_hour_and_counted_in_the_status() -> None:
    one = bench(startTaskFailed="Reboot", maxPerHour=1)
    fail(one, "starttaskfailed", 2)
    live(one, 600)
    assert one.verbs == ["reboot_node"]
    (entry,) = one.resource.status["remediations"]
    assert (entry["action"], entry["reason"]) == ("Reboot", "starttaskfailed")
    live(one, HOUR)
    assert one.verbs == ["reboot_node", "reboot_node"]
    assert one.resource.condition("NodesHealthy") is not None
    assert one.resource.status["nodes"] == "3/3"


def test_an_unusable_node_is_not_asked_to_restart_since_the_service_always_refuses() -> None:
    """The definition refuses `unusable: Reboot`; an object from before says what to do instead."""
    one = bench(unusable="Reboot")
    fail(one, "unusable", 3)
    live(one, HOUR, 300.0)
    assert one.verbs == []
    healthy = one.resource.condition("NodesHealthy")
    assert healthy is not None
    assert "set spec.nodeRemediation.unusable to Remove" in healthy["message"]
    assert one.resource.condition("Stalled") is not None, "nothing is in progress that would bring the nodes back"


def test_a_refused_node_action_is_not_recorded_and_retried_at_growing_intervals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = bench(startTaskFailed="Reboot", maxPerHour=1)
    monkeypatch.setattr(one.service.nodes, "act", refuse)
    [id] = fail(one, "starttaskfailed")
    began, asked = one.now, []
    for _ in range(int(4 * HOUR / 20)):
        before = len(one.calls)
        one.step()
        asked += [round((one.now - began) / 60)] * (len(one.calls) - before)
        one.clock.advance(20.0)
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert pauses == [5, 10, 20, 40, 60, 60], "minutes"
    entries = one.resource.status["remediations"]
    assert {(each["node"], each["refusal"]) for each in entries} == {(id, "NodeStateUnusable")}
    told = [event for plan in one.plans for event in plan.events if event.reason == "RemediationRefused"]
    assert len(told) == len(asked)
    monkeypatch.undo()
    one.calls.clear()
    live(one, 2 * HOUR)
    assert one.verbs == ["reboot_node"]
    assert "refusal" not in one.resource.status["remediations"][-1]


def refuse(*_: Any) -> None:
    raise BatchError("NodeStateUnusable")


def test_a_node_can_be_reimaged() -> None:
    one = bench(startTaskFailed="Reimage")
    fail(one, "starttaskfailed")
    live(one, 900)
    assert one.verbs == ["reimage_node"]
    assert one.resource.status["nodes"] == "3/3"
    assert one.resource.status["remediations"][0]["action"] == "Reimage"


class Renewal:
    """A pool whose nodes shall run the start task of the spec, and one node that has run another one."""

    def __init__(self) -> None:
        self.one = resource(Kind.POOL, SPEC | {"startTaskUpdate": "Reboot", "startTask": {"commandLine": "first"}})
        self.node = {"id": "n", "state": "idle", "stateTransitionTime": "t1", "lastBootTime": "2026-01-01T00:00:00Z"}
        self.history, self.now = NO_HISTORY, 1_800_000_000.0

    def step(self) -> list[str]:
        view = PoolView({"id": "one"}, outdated=(typed.node(self.node).node,), history=self.history)
        decided = plan_remediation(
            self.one, NodeRemediation(), view, Pool(id="one", allocation_state="steady"), self.now
        )
        for call in decided.calls:
            self.history = after(self.history, call, self.now)
        self.one = replace(
            self.one, status={**self.one.status, **{name: value for name, value in decided.fields.items() if value}}
        )
        self.now += 60
        return [call.verb for call in decided.calls]

    def boot(self, when: str) -> None:
        self.node = self.node | {"lastBootTime": when, "stateTransitionTime": when}


def test_a_second_change_of_the_start_task_reaches_a_node_that_was_restarted_for_the_first() -> None:
    scene = Renewal()
    assert scene.step() == ["reboot_node"]
    assert scene.step() == []
    scene.boot("2026-01-01T01:00:00Z")
    scene.one = replace(scene.one, spec=scene.one.spec | {"startTask": {"commandLine": "second"}})
    assert scene.step() == ["reboot_node"]
    scene.boot("2026-01-01T02:00:00Z")
    scene.one = replace(scene.one, spec=scene.one.spec | {"startTask": {"commandLine": "first"}})
    assert scene.step() == ["reboot_node"], "back to what it was restarted for an hour ago"


def test_a_node_that_has_booted_and_still_runs_another_start_task_is_not_restarted_forever() -> None:
    scene = Renewal()
    assert scene.step() == ["reboot_node"]
    scene.boot("2026-01-01T01:00:00Z")
    scene.now += 10 * HOUR
    assert scene.step() == []


def test_a_node_that_has_forgotten_to_restart_is_asked_again_after_an_hour() -> None:
    scene = Renewal()
    assert scene.step() == ["reboot_node"]
    scene.node = scene.node | {"state": "running"}
    scene.now += 2 * HOUR
    assert scene.step() == [], "it waits for its tasks"
    scene.node = scene.node | {"state": "idle"}
    assert scene.step() == ["reboot_node"]


def test_removed_nodes_are_replaced_in_a_pool_of_fixed_size() -> None:
    one = bench(unusable="Remove")
    gone = fail(one, "unusable", 2)
    live(one, 900)
    assert one.verbs == ["remove_nodes", "resize_pool"]
    assert not set(gone) & one.service.pool("one").nodes.keys()
    assert one.resource.status["nodes"] == "3/3"


@pytest.mark.parametrize("stays", [True, False], ids=["formula stays", "formula goes"])
def test_a_formula_is_switched_off_to_remove_nodes(stays: bool) -> None:
    spec = {name: value for name, value in SPEC.items() if name != "targetDedicatedNodes"}
    formula = {"enableAutoScale": True, "autoScaleFormula": "$TargetDedicatedNodes = 3;"}
    remediation = {"nodeRemediation": {"unusable": "Remove"}}
    one = Bench(resource(Kind.POOL, spec | formula | remediation))
    live(one, 300)
    one.calls.clear()
    if not stays:
        one.resource = replace(one.resource, spec=SPEC | remediation, generation=2)
    fail(one, "unusable")
    live(one, 1200)
    assert one.verbs == [
        "disable_pool_auto_scale",
        "remove_nodes",
        "enable_pool_auto_scale" if stays else "resize_pool",
    ]
    assert one.resource.status["nodes"] == "3/3"


def test_a_cause_is_one_line() -> None:
    failed = {"id": "n", "state": "starttaskfailed", "startTaskInfo": {"exitCode": 3}, "stderrTail": "one\ntwo"}
    assert cause(typed.node(failed)) == "its start task failed with exit code 3: two"
    assert cause(typed.node({"id": "n", "state": "unknown"})) == "it is unknown"
    missing = {"code": "BlobNotFound", "message": "no solver.tar.gz"}
    bare = {"id": "n", "state": "starttaskfailed", "startTaskInfo": {"failureInfo": missing}}
    assert cause(typed.node(bare)) == "its start task failed: BlobNotFound: no solver.tar.gz"
    text = "The task exited with an exit code representing a failure"
    failure = {"code": "FailureExitCode", "message": text, "details": [{"name": "Message", "value": text}]}
    (entry,) = shown([typed.node(failed | {"startTaskInfo": {"exitCode": 3, "failureInfo": failure}})]) or []
    assert entry["errors"] == [f"FailureExitCode: {text}"], "nothing is said twice"
    again = [{"code": "DiskFull", "message": "no space", "errorDetails": [{"name": "Message", "value": "no space"}]}]
    assert cause(typed.node({"id": "n", "state": "unusable", "errors": again})) == "it is unusable: DiskFull: no space"
    errors = [{"code": "DiskFull", "message": "no space", "errorDetails": [{"name": "Message", "value": "/mnt"}]}]
    assert (
        cause(typed.node({"id": "n", "state": "unusable", "errors": errors}))
        == "it is unusable: DiskFull: no space; /mnt"
    )


def test_shown_nodes_are_bounded_with_bad_ones_first() -> None:
    nodes = [{"id": str(number), "state": "preempted"} for number in range(30)] + [{"id": "bad", "state": "unusable"}]
    found = shown([typed.node(each) for each in nodes])
    assert found is not None
    assert (len(found), found[0]["id"]) == (20, "bad")
    assert shown([]) is None
