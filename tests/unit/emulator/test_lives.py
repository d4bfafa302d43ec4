"""What belongs to one life of a thing ends with it: tries, timers, dependencies, pools of jobs.

Each test is an order of events that once left something behind or took something away.
"""

from __future__ import annotations

import pytest

from azure_batch_emulator.engine.entities import Node
from azure_batch_emulator.engine.transitions import IllegalTransitionError
from azure_batch_emulator.schema.pools import REMOVE_NODES
from support.hand_executor import Bench

MANY = {"numberOfInstances": 2, "coordinationCommandLine": "coordinate"}


def first(bench: Bench) -> Node:
    return next(iter(bench.pool.nodes.values()))


def test_a_node_that_leaves_cannot_be_preempted_and_still_leaves() -> None:
    bench = Bench()
    node = first(bench)
    bench.service.pools.remove_nodes(bench.pool, REMOVE_NODES.accept("", {"nodeList": [node.id]}))
    with pytest.raises(IllegalTransitionError):
        bench.service.nodes.preempt(node)
    bench.clock.advance(600.0)
    assert bench.pool.allocation_state == "steady"
    assert len(bench.pool.nodes) == 1


def test_a_preempted_node_comes_back_though_it_is_preempted_again() -> None:
    bench = Bench()
    node = first(bench)
    bench.service.nodes.preempt(node)
    with pytest.raises(IllegalTransitionError):
        bench.service.nodes.preempt(node)
    with pytest.raises(IllegalTransitionError):
        bench.service.nodes.fail(node, "unusable", "Broken", "broken")
    assert node.errors == []
    bench.clock.advance(600.0)
    assert node.state == "idle"


@pytest.mark.parametrize("state", ["unusable", "unknown", "starttaskfailed"])
def test_a_node_that_leaves_does_not_fail_and_its_pool_can_be_deleted(state: str) -> None:
    bench = Bench()
    bench.service.pools.delete(bench.pool)
    with pytest.raises(IllegalTransitionError):
        bench.service.nodes.fail(first(bench), state, "Broken", "broken")
    bench.clock.advance(600.0)
    assert bench.service.pool_table == {}


@pytest.mark.parametrize("action", ["reboot", "reimage", "deallocate"])
@pytest.mark.parametrize("state", ["unusable", "unknown"])
def test_a_node_that_fails_forgets_what_it_was_to_do(action: str, state: str) -> None:
    bench = Bench()
    task = bench.task()
    node = next(node for node in bench.pool.nodes.values() if node.id == task.node_id)
    bench.service.nodes.act(node, action, "taskcompletion")
    bench.service.nodes.fail(node, state, "Broken", "broken")
    bench.clock.advance(1.0)
    assert (node.state, node.after_drain, node.slots_used) == (state, None, 0)
    assert task.node_id != node.id
