"""nodes: the rows of the list, and the operation that a verb becomes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

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


def test_a_state_that_no_node_has_is_refused_before_anything_is_created(fake: FakeCluster, run: Run) -> None:
    fake.add(thing("BatchPool", "cpu"))
    done = run("nodes", "reboot", "cpu", "--state", "broken")
    assert (done.exit_code, fake.created) == (2, [])
    assert "'broken' is not one of 'idle', 'running'" in done.stderr
    assert run("nodes", "reboot", "cpu", "--state", "startTaskFailed").exit_code == 0
    assert fake.created[0]["spec"]["rebootNode"] == {"nodes": {"states": ["starttaskfailed"]}}


@pytest.mark.parametrize("pool", ["cpu", "bp/cpu", "batchpools/cpu"])
def test_the_name_of_what_was_created_is_printed(fake: FakeCluster, run: Run, pool: str) -> None:
    fake.add(thing("BatchPool", "cpu"))
    done = run("nodes", "reboot", pool, "n1")
    assert done.output == "batchoperation.azurebatch.io/made-0 created\n"
    assert [each["spec"]["poolRef"] for each in fake.created] == [{"name": "cpu"}]


@pytest.mark.parametrize(("pool", "text"), [("none", "not found"), ("bj/cpu", "is not a BatchPool")])
def test_no_operation_is_created_for_what_is_no_pool(fake: FakeCluster, run: Run, pool: str, text: str) -> None:
    done = run("nodes", "reboot", pool, "n1")
    assert (done.exit_code, fake.created) == (1, [])
    assert text in done.stderr


def test_a_failed_operation_says_which_target(fake: FakeCluster, run: Run) -> None:
    results = [{"target": "n1", "outcome": "Failed", "message": "NodeNotReady"}]
    fake.add(thing("BatchPool", "cpu"))
    fake.add(thing("BatchOperation", "made-0", ("Failed", "True", "TargetsFailed", "1 of 1 failed"), results=results))
    done = run("nodes", "reboot", "cpu", "n1", "--wait")
    assert done.exit_code == 3
    assert "n1: Failed: NodeNotReady." in done.stderr


def test_nodes_are_drained_and_let_work_again(fake: FakeCluster, run: Run) -> None:
    fake.add(thing("BatchPool", "cpu"))
    assert run("nodes", "drain", "cpu", "n1", "--tasks", "taskcompletion").exit_code == 0
    assert run("nodes", "uncordon", "cpu", "--state", "idle").exit_code == 0
    drained, free = (each["spec"] for each in fake.created)
    names = {"nodes": {"names": ["n1"]}}
    assert drained["disableNodeScheduling"] == names | {"nodeDisableSchedulingOption": "taskcompletion"}
    assert free["enableNodeScheduling"] == {"nodes": {"states": ["idle"]}}
    for each in (drained, free):
        OperationSpec.model_validate(each)
    assert run("nodes", "drain", "cpu", "n1", "--tasks", "retaineddata").exit_code == 2
    assert run("nodes", "uncordon", "cpu", "n1", "--tasks", "requeue").exit_code == 2


def asked(**values: str) -> dict[str, Any]:
    results = [{"target": "n1", "outcome": "Done", "values": values}]
    return thing("BatchOperation", "made-0", ("Complete", "True", "Done", "1 of 1"), results=results)


def test_ssh_is_given_the_address_that_the_operation_has_found(fake: FakeCluster, run: Run) -> None:
    fake.add(thing("BatchPool", "cpu"))
    fake.add(asked(remoteLoginIPAddress="192.0.2.1", remoteLoginPort="50001"))
    printed = run("nodes", "ssh", "cpu", "n1", "-l", "ann", "--print", "--", "ls", "my dir")
    assert printed.stdout == "ssh -p 50001 ann@192.0.2.1 ls 'my dir'\n"
    (made,) = fake.created
    assert made["spec"]["getRemoteLoginSettings"] == {"nodes": {"names": ["n1"]}}


def test_a_node_without_an_address_is_said(fake: FakeCluster, run: Run) -> None:
    fake.add(thing("BatchPool", "cpu"))
    fake.add(asked())
    done = run("nodes", "ssh", "cpu", "n1", "--print")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: Azure Batch returns no address for node n1 of pool cpu: ")
