"""What pools do in the course of hours, on a clock that moves when told."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_emulator.clock import ManualClock
from azure_batch_emulator.config import Quotas
from azure_batch_emulator.engine.entities import Pool
from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.executors.simulated import SimulatedExecutor
from azure_batch_emulator.schema.pools import POOL, RESIZE
from azure_batch_emulator.wire.errors import resource_error

MACHINE = {"imageReference": {"publisher": "p", "offer": "o", "sku": "s"}, "nodeAgentSKUId": "a"}
MINUTE = 60.0


class Account:
    """An account whose time stands still."""

    def __init__(self, cores: int = 500) -> None:
        self.clock = ManualClock()
        quotas = Quotas(dedicated_cores=cores)
        self.service = BatchService("account", self.clock, SimulatedExecutor(self.clock, 1), quotas, seed=1)

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


def test_a_formula_that_asks_for_too_much_runs_into_the_timeout() -> None:
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
