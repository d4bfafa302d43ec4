"""Nodes that do not work: what a user sees of them, and what the operator does about them where it may."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.conftest import Stage, pool
from e2e.test_pool_life import Witness, change, remote, settled

FAILING = {"commandLine": "/bin/sh -c 'echo one >&2; echo no licence >&2; exit 3'"}


def fail(stage: Stage, state: str, node: int = 0) -> str:
    """Make a node fail; its id."""
    body = {"state": state, "code": "DiskFull", "message": "There is not enough disk space on the node"}
    failed: dict[str, str] = stage.emulator.admin("POST", f"pools/cpu/nodes/{node}/fail", body)
    return failed["id"]


def nodes(stage: Stage) -> dict[str, str]:
    """State by id."""
    return {node["id"]: node["state"] for node in stage.batch("GET", "pools/cpu/nodes")["value"]}


def events(stage: Stage, reason: str) -> str:
    return stage.kubectl("get", "events", f"--field-selector=reason={reason}", "-o", "jsonpath={.items[*].message}")


def test_a_failed_start_task_is_shown_with_exit_code_and_stderr(stage: Stage) -> None:
    stage.apply(*stage.account(), pool("cpu", targetDedicatedNodes=2, startTask=FAILING))
    shown = stage.until(lambda: stage.status("bp", "cpu").get("nodesInTrouble"), "the nodes are shown")
    stage.until(lambda: len(stage.status("bp", "cpu")["nodesInTrouble"]) == 2, "both nodes are shown")
    assert (shown[0]["state"], shown[0]["exitCode"], shown[0]["stderrTail"]) == (
        "starttaskfailed",
        3,
        "one\nno licence",
    )
    condition = stage.condition("bp", "cpu", "NodesHealthy")
    assert (condition["status"], condition["reason"]) == ("False", "NodesInTrouble")
    assert "its start task failed with exit code 3: no licence" in condition["message"]
    stage.until(lambda: "no licence" in events(stage, "NodesInTrouble"), "an Event says so")
    lists = stage.calls()["Nodes_ListNodes"]
    polls = stage.calls()["Pools_ListPools"]
    stage.until(lambda: stage.calls()["Pools_ListPools"] >= polls + 3, "three more polls")
    assert stage.calls()["Nodes_ListNodes"] == lists, "nodes are listed again only when their counts change"


def test_unusable_and_preempted_nodes_are_shown_with_their_errors(stage: Stage) -> None:
    stage.ready_pool(targetDedicatedNodes=2, targetLowPriorityNodes=1)
    id = fail(stage, "unusable")
    stage.until(lambda: stage.status("bp", "cpu").get("nodesInTrouble"), "it is shown")
    (node,) = stage.status("bp", "cpu")["nodesInTrouble"]
    assert (node["id"], node["state"], node["dedicated"]) == (id, "unusable", True)
    assert "DiskFull: There is not enough disk space" in node["errors"][0]
    assert stage.condition("bp", "cpu")["status"] == "True", "the other nodes work"
    assert nodes(stage)[id] == "unusable", "nothing is done about it unless asked for"


def test_failed_nodes_are_rebooted_within_the_limit(make_stage: Any) -> None:
    stage: Stage = make_stage(time_scale=300.0)
    remediation = {"startTaskFailed": "Reboot", "maxPerHour": 3}
    witness = Witness(stage)
    spec = {"targetDedicatedNodes": 2, "startTask": FAILING, "nodeRemediation": remediation}
    stage.apply(*stage.account(), pool("cpu", **spec))
    stage.until(lambda: len(stage.status("bp", "cpu").get("remediations", ())) == 3, "three reboots")
    stage.until(
        lambda: stage.status("bp", "cpu").get("nodeCounts", {}).get("dedicated", {}).get("startTaskFailed") == 2,
        "all have failed again",
    )
    polls = stage.calls()["Pools_ListPools"]
    stage.until(lambda: stage.calls()["Pools_ListPools"] >= polls + 3, "three more polls")
    assert witness.calls == ["CreatePool", "RebootNode", "RebootNode", "RebootNode"]
    assert "asked Azure Batch to restart node tvmps_" in events(stage, "NodeRebooted")
    stage.restart_operator_quietly()
    assert witness.calls.count("RebootNode") == 3, "the limit outlives the operator"


@pytest.mark.parametrize("formula", [False, True], ids=["fixed", "formula"])
def test_unusable_nodes_are_removed_and_replaced(make_stage: Any, formula: bool) -> None:
    stage: Stage = make_stage(time_scale=300.0)
    size: dict[str, Any] = {"targetDedicatedNodes": 2}
    if formula:
        size = {"targetDedicatedNodes": None, "enableAutoScale": True, "autoScaleFormula": "$TargetDedicatedNodes = 2;"}
    stage.apply(*stage.account(), pool("cpu", **size, nodeRemediation={"unusable": "Remove"}))
    stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "2/2", "two nodes")
    settled(stage)
    witness = Witness(stage)
    id = fail(stage, "unusable")
    stage.until(lambda: id not in nodes(stage), "the node is gone")
    stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "2/2", "another one has come")
    settled(stage)
    if formula:
        assert witness.calls == ["DisablePoolAutoScale", "RemoveNodes", "EnablePoolAutoScale"]
        assert remote(stage)["enableAutoScale"]
    else:
        assert witness.calls == ["RemoveNodes", "ResizePool"]
    assert id in events(stage, "NodeRemoved")
    assert not events(stage, "DriftCorrected")


def test_a_changed_start_task_reaches_all_nodes_where_that_is_requested(make_stage: Any) -> None:
    stage: Stage = make_stage(time_scale=300.0)
    stage.apply(
        *stage.account(),
        pool("cpu", targetDedicatedNodes=2, startTask={"commandLine": "true"}, startTaskUpdate="Reboot"),
    )
    settled(stage)
    witness = Witness(stage)
    change(stage, startTask={"commandLine": "/bin/sh -c true"})
    stage.until(lambda: witness.calls.count("RebootNode") == 2, "both nodes are restarted")
    stage.until(lambda: set(nodes(stage).values()) == {"idle"}, "both are back")
    stage.until(lambda: "nodesWithOldStartTask" not in stage.status("bp", "cpu"), "all have run the new one")
    assert witness.calls == ["UpdatePool", "RebootNode", "RebootNode"]
    assert "it ran an older start task" in events(stage, "NodeRebooted")
