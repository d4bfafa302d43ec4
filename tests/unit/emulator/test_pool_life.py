"""What pools do in the course of hours, on a clock that moves when told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from azure_batch_emulator.clock import ManualClock
from azure_batch_emulator.config import Quotas
from azure_batch_emulator.engine import snapshot
from azure_batch_emulator.engine.entities import Pool, Task
from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.executors.simulated import SimulatedExecutor
from azure_batch_emulator.schema.jobs import JOB
from azure_batch_emulator.schema.pools import POOL, REMOVE_NODES, RESIZE
from azure_batch_emulator.schema.tasks import TASK
from azure_batch_emulator.wire.errors import resource_error

MACHINE = {"imageReference": {"publisher": "p", "offer": "o", "sku": "s"}, "nodeAgentSKUId": "a"}
MINUTE = 60.0


class Account:
    """An account whose time is stopped."""

    def __init__(self, cores: int = 500) -> None:
        self.clock = ManualClock()
        quotas = Quotas(dedicated_cores=cores)
        self.service = BatchService("account", self.clock, SimulatedExecutor(self.clock, 1), quotas=quotas, seed=1)

    def pool(self, nodes: int, **properties: Any) -> Pool:
        body = {"vmSize": "standard_d2s_v3", "virtualMachineConfiguration": MACHINE, "targetDedicatedNodes": nodes}
        return self.service.pools.create("pool", POOL.accept("", {"id": "pool"} | body | properties))

    def resize(self, pool: Pool, **body: Any) -> None:
        self.service.pools.resize(pool, RESIZE.accept("", body))

    def settle(self, pool: Pool) -> float:
        """Wait until the pool is steady; the seconds that took."""
        began = self.clock.service_seconds()
        self.clock.run_until(lambda: pool.allocation_state == "steady")
        return self.clock.service_seconds() - began


def busy(account: Account, nodes: int = 2, tasks: int = 2, command: str = "sleep 1200") -> tuple[Pool, list[Task]]:
    """A pool, some of whose nodes run a task each."""
    pool = account.pool(nodes)
    account.clock.run_until(lambda: [node.state for node in pool.nodes.values()] == ["idle"] * nodes)
    job = account.service.jobs.create("job", JOB.accept("", {"id": "job", "poolInfo": {"poolId": "pool"}}))
    body = {"commandLine": command}
    added = [account.service.tasks.add(job, TASK.accept("", {"id": f"t{n}"} | body)) for n in range(tasks)]
    account.clock.run_until(lambda: all(task.state == "running" for task in added))
    return pool, added


def codes(pool: Pool) -> list[str]:
    return [error["code"] for error in pool.resize_errors]


# -- resizeTimeout --


def test_a_creation_beyond_the_quota_ends_when_its_time_is_over() -> None:
    account = Account(cores=4)
    pool = account.pool(5, resizeTimeout="PT6M")
    assert account.settle(pool) == 6 * MINUTE
    assert (len(pool.nodes), pool.target_dedicated) == (2, 5)
    assert codes(pool) == ["AccountCoreQuotaReached", "AllocationTimedout"]


@pytest.mark.parametrize("code", ["AllocationFailed", "AllocationTimedout"])
def test_a_resize_without_capacity_ends_when_its_time_is_over(code: str) -> None:
    account = Account()
    pool = account.pool(1)
    account.settle(pool)
    account.service.pools.allocation_faults["pool"] = (2, resource_error(code, "no capacity"))
    account.resize(pool, targetDedicatedNodes=4, targetLowPriorityNodes=1, resizeTimeout="PT10M")
    assert account.settle(pool) == 10 * MINUTE
    assert (pool.count(dedicated=True), pool.count(dedicated=False)) == (2, 1)
    assert (pool.target_dedicated, pool.target_low_priority) == (4, 1)
    assert codes(pool) == list(dict.fromkeys([code, "AllocationTimedout"]))
    account.clock.advance(60 * MINUTE)
    assert (pool.allocation_state, len(pool.nodes)) == ("steady", 3), "nothing goes on after the end"


def test_capacity_that_comes_in_time_is_taken() -> None:
    account = Account(cores=4)
    pool = account.pool(5)
    account.clock.advance(5 * MINUTE)
    assert (pool.allocation_state, len(pool.nodes)) == ("resizing", 2)
    account.service.quotas.dedicated_cores = 100
    assert account.settle(pool) < 2 * MINUTE
    assert (len(pool.nodes), codes(pool)) == (5, [])


def test_the_next_resize_forgets_the_error() -> None:
    account = Account(cores=4)
    pool = account.pool(5)
    account.settle(pool)
    account.resize(pool, targetDedicatedNodes=2)
    account.settle(pool)
    assert (len(pool.nodes), codes(pool)) == (2, [])


def test_a_formula_that_requests_too_much_runs_into_the_timeout() -> None:
    account = Account(cores=4)
    body = {"enableAutoScale": True, "autoScaleFormula": "$TargetDedicatedNodes=3;", "resizeTimeout": "PT5M"}
    pool = account.service.pools.create(
        "pool",
        POOL.accept("", {"id": "pool", "vmSize": "standard_d2s_v3", "virtualMachineConfiguration": MACHINE} | body),
    )
    account.clock.run_until(lambda: pool.target_dedicated == 3)
    assert account.settle(pool) == 5 * MINUTE
    assert (len(pool.nodes), codes(pool)) == (2, ["AccountCoreQuotaReached", "AllocationTimedout"])


def test_a_stopped_resize_is_not_timed_out_afterwards() -> None:
    account = Account(cores=4)
    pool = account.pool(5)
    account.clock.advance(MINUTE)
    account.service.pools.stop_resize(pool)
    account.settle(pool)
    account.clock.advance(30 * MINUTE)
    assert codes(pool) == ["ResizeStopped"]


def test_a_resize_down_that_waits_for_tasks_ends_with_its_timeout_and_keeps_the_nodes() -> None:
    # resizeTimeout is documented for allocation and removal alike (REST: Pools - Resize Pool); the code and text on a pool
    # that shrinks are reported in Azure/BatchExplorer issue 2085.
    account = Account()
    pool, tasks = busy(account)
    account.resize(pool, targetDedicatedNodes=0, nodeDeallocationOption="taskcompletion", resizeTimeout="PT5M")
    assert {node.state for node in pool.nodes.values()} == {"leavingpool"}
    assert account.settle(pool) == 5 * MINUTE
    assert (pool.target_dedicated, len(pool.nodes)) == (0, 2)
    assert [(error["code"], error["message"]) for error in pool.resize_errors] == [
        (
            "AllocationTimedout",
            "Desired number of dedicated nodes could not be allocated as the resize timeout was reached",
        )
    ]
    assert {node.state for node in pool.nodes.values()} == {"running"}
    account.clock.advance(HOUR)
    assert ({task.state for task in tasks}, len(pool.nodes)) == ({"completed"}, 2), "nothing goes on after the end"
    more = account.service.tasks.add(tasks[0].job, TASK.accept("", {"id": "more", "commandLine": "true"}))
    account.clock.advance(MINUTE)
    assert more.state == "completed", "the nodes that stay work again"
    account.resize(pool, targetDedicatedNodes=0)
    account.settle(pool)
    assert (len(pool.nodes), codes(pool)) == (0, [])


def test_nodes_that_are_free_leave_though_others_run_into_the_timeout() -> None:
    account = Account()
    pool, _ = busy(account, nodes=3, tasks=1)
    account.resize(pool, targetDedicatedNodes=0, nodeDeallocationOption="taskcompletion", resizeTimeout="PT5M")
    account.settle(pool)
    assert (len(pool.nodes), codes(pool)) == (1, ["AllocationTimedout"])


def test_chosen_nodes_are_removed_within_the_timeout_too() -> None:
    account = Account()
    pool, _ = busy(account)
    body = {"nodeList": list(pool.nodes)[:1], "nodeDeallocationOption": "taskcompletion", "resizeTimeout": "PT6M"}
    account.service.pools.remove_nodes(pool, REMOVE_NODES.accept("", body))
    assert account.settle(pool) == 6 * MINUTE
    assert (pool.target_dedicated, len(pool.nodes), codes(pool)) == (1, 2, ["AllocationTimedout"])


def test_a_node_that_is_being_torn_down_at_the_timeout_is_waited_for() -> None:
    account = Account()
    pool, _ = busy(account, command="sleep 290")
    account.resize(pool, targetDedicatedNodes=0, nodeDeallocationOption="taskcompletion", resizeTimeout="PT5M")
    took = account.settle(pool)
    assert 5 * MINUTE < took < 7 * MINUTE
    assert (len(pool.nodes), codes(pool)) == (0, [])


def test_a_resize_down_that_is_stopped_keeps_the_nodes_that_still_work() -> None:
    account = Account()
    pool, _ = busy(account)
    account.resize(pool, targetDedicatedNodes=0, nodeDeallocationOption="taskcompletion")
    account.clock.advance(MINUTE)
    account.service.pools.stop_resize(pool)
    account.settle(pool)
    assert (len(pool.nodes), codes(pool)) == (2, ["ResizeStopped"])
    account.clock.advance(HOUR)
    assert (pool.allocation_state, len(pool.nodes)) == ("steady", 2)


# -- retaineddata --

HOUR = 60 * MINUTE


def working(account: Account, retention: str = "PT2H", pool_nodes: int = 2) -> tuple[Pool, list[Task]]:
    """A pool where each node has run one task for ten minutes, and its data is kept."""
    pool = account.pool(pool_nodes)
    account.settle(pool)
    job = account.service.jobs.create("job", JOB.accept("", {"id": "job", "poolInfo": {"poolId": "pool"}}))
    body = {"commandLine": "sleep 600", "constraints": {"retentionTime": retention}}
    tasks = [account.service.tasks.add(job, TASK.accept("", {"id": f"t{n}"} | body)) for n in range(pool_nodes)]
    account.clock.run_until(lambda: all(task.state == "running" for task in tasks))
    return pool, tasks


def leave(account: Account, pool: Pool, option: str) -> None:
    account.resize(pool, targetDedicatedNodes=0, nodeDeallocationOption=option, resizeTimeout="P3000D")


@pytest.mark.parametrize(("option", "hours"), [("requeue", 0), ("taskcompletion", 0.1), ("retaineddata", 2.1)])
def test_how_long_nodes_stay(option: str, hours: float) -> None:
    account = Account()
    pool, tasks = working(account)
    leave(account, pool, option)
    assert account.settle(pool) // (0.1 * HOUR) / 10 == hours
    assert not pool.nodes
    assert {task.state for task in tasks} == {"active" if option == "requeue" else "completed"}


def test_removed_nodes_wait_for_retention_too_and_take_no_tasks_meanwhile() -> None:
    account = Account()
    pool, tasks = working(account)
    account.clock.advance(11 * MINUTE)
    body = {"nodeList": list(pool.nodes), "nodeDeallocationOption": "retaineddata", "resizeTimeout": "P1D"}
    account.service.pools.remove_nodes(pool, REMOVE_NODES.accept("", body))
    late = account.service.tasks.add(tasks[0].job, TASK.accept("", {"id": "late", "commandLine": "true"}))
    account.clock.advance(1.9 * HOUR)
    assert {node.state for node in pool.nodes.values()} == {"leavingpool"}
    assert late.state == "active"
    account.clock.advance(0.2 * HOUR)
    assert (len(pool.nodes), pool.allocation_state) == (0, "steady")


@pytest.mark.parametrize("whole_job", [True, False])
def test_data_that_is_deleted_is_waited_for_no_longer(whole_job: bool) -> None:
    account = Account()
    pool, tasks = working(account, retention="P7D")
    leave(account, pool, "retaineddata")
    account.clock.advance(HOUR)
    assert len(pool.nodes) == 2
    if whole_job:
        account.service.jobs.delete(tasks[0].job)
    else:
        account.service.tasks.delete(tasks[0])
    account.clock.advance(5 * MINUTE)
    assert len(pool.nodes) == (0 if whole_job else 1)


def test_data_that_is_kept_forever_goes_with_the_pool() -> None:
    account = Account()
    pool, _ = working(account, retention="P10675199DT2H48M5.4775807S")
    leave(account, pool, "retaineddata")
    account.clock.advance(1000 * 24 * HOUR)
    assert len(pool.nodes) == 2
    account.service.pools.delete(pool)
    account.clock.advance(5 * MINUTE)
    assert not account.service.pool_table


def test_a_reboot_waits_for_retention_and_then_happens() -> None:
    account = Account()
    pool, _ = working(account, pool_nodes=1)
    (node,) = pool.nodes.values()
    booted = node.boot_time
    account.service.nodes.act(node, "reboot", "retaineddata")
    account.clock.advance(2 * HOUR)
    assert (node.state, node.boot_time, node.free_slots) == ("idle", booted, 0)
    account.clock.advance(15 * MINUTE)
    assert (node.state, node.free_slots) == ("idle", 1)
    assert node.boot_time != booted


def test_retention_continues_after_a_restart() -> None:
    account = Account()
    working(account)
    account.clock.advance(HOUR)
    picture = json.loads(json.dumps(snapshot.dump(account.service)))
    account.service.reset(keep_files=True)
    snapshot.load(account.service, picture)
    pool = account.service.pool("pool")
    leave(account, pool, "retaineddata")
    account.clock.advance(HOUR)
    assert len(pool.nodes) == 2
    account.clock.advance(15 * MINUTE)
    assert not pool.nodes


def test_a_node_that_is_recreated_waits_for_no_data() -> None:
    account = Account()
    pool, _ = working(account, retention="P7D")
    account.clock.advance(11 * MINUTE)
    for node in pool.nodes.values():
        account.service.nodes.act(node, "reimage", "requeue")
    account.clock.advance(11 * MINUTE)
    leave(account, pool, "retaineddata")
    account.clock.advance(11 * MINUTE)
    assert not pool.nodes
