"""Quotas and capacity: what is missing is told, waited for, and never in the way of what is there."""

from __future__ import annotations

from typing import Any

from e2e.conftest import Stage, pool
from e2e.test_pool_life import Witness, settled


def test_a_full_core_quota_is_told(stage: Stage) -> None:
    stage.emulator.admin("PUT", "quota", {"dedicatedCores": 4})
    stage.apply(*stage.account(), pool("cpu", targetDedicatedNodes=3, resizeTimeout="PT5M"))
    condition = stage.until(lambda: stage.condition("bp", "cpu", "ResizeFailed"), "the resize has failed")
    assert condition["reason"] == "AccountCoreQuotaReached"
    assert "(since " in condition["message"]
    status = settled(stage)
    assert status["nodes"] == "1/3"
    assert stage.condition("bp", "cpu")["reason"] == "ResizeIncomplete"
    assert "1 of 3 nodes" in stage.condition("bp", "cpu")["message"]


def test_capacity_that_is_missing_is_requested_again(stage: Stage) -> None:
    """The operator's patience is a quarter of an hour; somebody who cannot wait scales, and the sticky error is in nobody's way."""
    stage.ready_pool(targetDedicatedNodes=1)
    body = {"code": "AccountVMSeriesCoreQuotaReached", "message": "no cores of this series", "mostNodes": 1}
    stage.emulator.admin("POST", "pools/cpu/resizeerror", body)
    witness = Witness(stage)
    stage.kubectl(
        "patch", "bp", "cpu", "--type=merge", "-p", '{"spec":{"targetDedicatedNodes":3,"resizeTimeout":"PT5M"}}'
    )
    condition = stage.until(lambda: stage.condition("bp", "cpu", "ResizeFailed"), "the resize has failed")
    assert condition["reason"] == "AccountVMSeriesCoreQuotaReached"
    assert settled(stage)["nodes"] == "1/3"
    stage.emulator.admin("DELETE", "pools/cpu/resizeerror")
    stage.kubectl("scale", "bp/cpu", "--replicas=2")
    stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "2/2", "two nodes")
    assert witness.calls == ["ResizePool", "ResizePool"]
    assert not stage.condition("bp", "cpu", "ResizeFailed")


def test_a_full_pool_quota_is_waited_for(make_stage: Any) -> None:
    stage: Stage = make_stage()
    stage.emulator.admin("PUT", "quota", {"pools": 1})
    stage.ready_pool(targetDedicatedNodes=0)
    stage.apply(pool("more", targetDedicatedNodes=0))
    stage.until(lambda: stage.status("bp", "more").get("phase") == "Queued", "it waits")
    assert stage.condition("bp", "more")["reason"] == "PoolQuotaReached"
    assert stage.condition("bp", "more", "Reconciling")["status"] == "True"
    said = ("get", "events", "--field-selector=reason=PoolQuotaReached,type=Warning", "-o", "name")
    stage.until(lambda: stage.kubectl(*said), "an Event says so")
    stage.kubectl("delete", "bp", "cpu", "--wait=false")
    stage.wait("bp", "more", "Ready", 90)
