"""BatchOperation: values of its inputs that the REST API defines."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_kubectl.nodes_group import NODE_STATES as WORDS_OF_THE_PLUGIN
from azure_batch_operator.api.operation import TARGETS, On, OperationSpec
from azure_batch_operator.api.operation_inputs import NODE_STATES
from azure_batch_operator.batch.models import NodeState
from azure_batch_operator.crds import structural


@pytest.mark.parametrize("states", [NODE_STATES, WORDS_OF_THE_PLUGIN])
def test_nodes_are_selected_by_exactly_the_states_that_nodes_have(states: tuple[str, ...]) -> None:
    assert sorted(states) == sorted(each.value for each in NodeState)


def test_each_verb_on_nodes_rejects_a_state_that_no_node_has() -> None:
    verbs: dict[str, Any] = structural(OperationSpec)["properties"]
    listed = {
        verb: verbs[verb]["properties"]["nodes"]["properties"]["states"]["items"]["pattern"]
        for verb, on in TARGETS.items()
        if on is On.NODES
    }
    assert len(listed) == 13
    values = (
        "^(?i:idle|running|creating|starting|waitingforstarttask|starttaskfailed|unusable|unknown|rebooting|reimaging|offline"
        "|preempted|leavingpool|upgradingos|deallocating|deallocated)$"
    )
    assert set(listed.values()) == {values}
