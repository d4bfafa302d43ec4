"""nodes: the rows of the list, and the operation that a verb becomes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from click.testing import Result

from azure_batch_kubectl import nodes_command
from azure_batch_kubectl.failure import FailureError
from azure_batch_operator.api.operation import OperationSpec
from unit.kubectl.conftest import FakeCluster, thing

Run = Callable[..., Result]
NOW = datetime(2026, 5, 1, 0, 1, tzinfo=UTC)


def test_a_row_of_the_list() -> None:
    node = {"id": "n1", "state": "idle", "isDedicated": False, "allocationTime": "2026-05-01T00:00:00Z"}
    assert nodes_command.row(node, NOW) == ("n1", "idle", "", "Spot", "", "", "", "60s")


@pytest.mark.parametrize(("verb", "option"), [("reboot", "nodeRebootOption"), ("reimage", "nodeReimageOption")])
def test_a_verb_is_an_operation_that_the_schema_takes(verb: str, option: str) -> None:
    body = nodes_command.operation(verb, "cpu", ["n1"], [], "terminate")
    assert body["metadata"] == {"generateName": f"{verb}-"}
    assert body["spec"] == {
        "poolRef": {"name": "cpu"},
        f"{verb}Node": {"nodes": {"names": ["n1"]}, option: "terminate"},
        "ttlSecondsAfterFinished": 86400,
    }
    OperationSpec.model_validate(body["spec"])


def test_nodes_are_named_or_chosen_by_state() -> None:
    spec = nodes_command.operation("reboot", "cpu", [], ["unusable", "unknown"], None)["spec"]
    assert spec["rebootNode"] == {"nodes": {"states": ["unusable", "unknown"]}}
    for names, states in (([], []), (["n1"], ["idle"])):
        with pytest.raises(FailureError, match="say which nodes"):
            nodes_command.operation("reboot", "cpu", names, states, None)


def test_the_name_of_what_was_created_is_printed(fake: FakeCluster, run: Run) -> None:
    done = run("nodes", "reboot", "cpu", "n1")
    assert done.output == "batchoperation.azurebatch.io/made-0 created\n"
    assert len(fake.created) == 1


def test_a_failed_operation_says_which_target(fake: FakeCluster, run: Run) -> None:
    results = [{"target": "n1", "outcome": "Failed", "message": "NodeNotReady"}]
    fake.add(thing("BatchOperation", "made-0", ("Failed", "True", "TargetsFailed", "1 of 1 failed"), results=results))
    done = run("nodes", "reboot", "cpu", "n1", "--wait")
    assert done.exit_code == 3
    assert "n1: Failed: NodeNotReady." in done.stderr
