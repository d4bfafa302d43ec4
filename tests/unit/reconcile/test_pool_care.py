"""What is done about nodes that do not work: as the spec asks, within the limit, once for a failure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.reconcile.pool_nodes import cause, shown
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


def test_nothing_is_done_unless_asked_for() -> None:
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


def test_a_node_that_refuses_is_asked_once() -> None:
    """The service restarts no unusable node (409 NodeStateUnusable)."""
    one = bench(unusable="Reboot")
    fail(one, "unusable")
    live(one, 3 * HOUR, 300.0)
    assert one.verbs == ["reboot_node"]


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
    assert cause(failed) == "its start task failed with exit code 3: two"
    assert cause({"id": "n", "state": "unknown"}) == "it is unknown"
    text = "The task exited with an exit code representing a failure"
    failure = {"code": "FailureExitCode", "message": text, "details": [{"name": "Message", "value": text}]}
    (entry,) = shown([failed | {"startTaskInfo": {"exitCode": 3, "failureInfo": failure}}]) or []
    assert entry["errors"] == [f"FailureExitCode: {text}"], "nothing is said twice"
    again = [{"code": "DiskFull", "message": "no space", "errorDetails": [{"name": "Message", "value": "no space"}]}]
    assert cause({"id": "n", "state": "unusable", "errors": again}) == "it is unusable: DiskFull: no space"
    errors = [{"code": "DiskFull", "message": "no space", "errorDetails": [{"name": "Message", "value": "/mnt"}]}]
    assert cause({"id": "n", "state": "unusable", "errors": errors}) == "it is unusable: DiskFull: no space; /mnt"


def test_what_is_shown_is_bounded_and_bad_nodes_come_first() -> None:
    nodes = [{"id": str(number), "state": "preempted"} for number in range(30)] + [{"id": "bad", "state": "unusable"}]
    found = shown(nodes)
    assert found is not None
    assert (len(found), found[0]["id"]) == (20, "bad")
    assert shown([]) is None
