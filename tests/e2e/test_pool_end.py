"""How pools end, and what keeps them from costing money: deletion in every state, policies, idle pools, estimates."""

from __future__ import annotations

import json
from typing import Any

import pytest

from e2e.conftest import Stage, job, pool
from e2e.test_pool_life import Witness, change, remote, settled


def pools(stage: Stage) -> int:
    number: int = stage.emulator.admin("GET", "state")["pools"]
    return number


def delete(stage: Stage) -> None:
    stage.kubectl("delete", "bp", "cpu", "--wait=false")


@pytest.mark.parametrize(
    "state", ["creating", "steady", "resizing", "stopping", "draining", "deleted by others", "gone"]
)
def test_deleted_in_every_state(make_stage: Any, state: str) -> None:
    stage: Stage = make_stage(time_scale=40.0)
    if state == "creating":
        stage.apply(*stage.account(), pool("cpu"))
        stage.until(lambda: pools(stage) == 1, "it is created")
    else:
        stage.ready_pool(targetDedicatedNodes=1)
    match state:
        case "resizing" | "stopping":
            stage.kubectl("scale", "bp/cpu", "--replicas=3")
            stage.until(lambda: remote(stage)["allocationState"] == "resizing", "it resizes")
            if state == "stopping":
                stage.batch("POST", "pools/cpu/stopresize")
        case "draining":
            change(stage, updateStrategy="Drain", vmSize="Standard_D8ads_v6")
            stage.until(lambda: stage.status("bp", "cpu").get("phase") == "Draining", "it drains")
        case "deleted by others":
            stage.batch("DELETE", "pools/cpu")
            stage.until(lambda: stage.condition("bp", "cpu").get("reason") == "DeletedByOthers", "the status says so")
        case "gone":
            stage.kill_operator()
            stage.batch("DELETE", "pools/cpu")
            stage.until(lambda: pools(stage) == 0, "it is gone")
    before = stage.calls().get("Pools_DeletePool", 0)
    delete(stage)
    if state == "gone":
        stage.restart_operator()
    stage.until_gone("bp", seconds=90)
    assert pools(stage) == 0
    calls = stage.calls()
    own = calls.get("Pools_DeletePool", 0) - before
    # Theirs may be done before the object is deleted: then the pool was made again, and that one is deleted.
    spare = 1 if state in {"gone", "deleted by others"} else 0
    assert own <= calls["Pools_CreatePool"] - spare


def test_a_pool_that_others_delete_is_recreated_when_it_is_gone(make_stage: Any) -> None:
    """Deleting takes a while, and an id is free only after it."""
    stage: Stage = make_stage(time_scale=40.0)
    stage.ready_pool(targetDedicatedNodes=1)
    witness = Witness(stage)
    stage.batch("DELETE", "pools/cpu")
    stage.until(lambda: stage.condition("bp", "cpu").get("reason") == "DeletedByOthers", "the status says so")
    assert "is created again afterwards" in stage.condition("bp", "cpu")["message"]
    stage.until(lambda: witness.calls[1:], "it is made anew")
    stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "1/1", "its node is there")
    settled(stage)
    assert witness.calls == ["DeletePool", "CreatePool"]


def test_orphan_leaves_the_pool(stage: Stage) -> None:
    stage.ready_pool(targetDedicatedNodes=1, deletionPolicy="Orphan")
    witness = Witness(stage)
    delete(stage)
    stage.until_gone("bp")
    assert pools(stage) == 1
    assert witness.calls == []


def test_delete_when_idle_lets_tasks_end(stage: Stage) -> None:
    stage.ready_pool(targetDedicatedNodes=1, deletionPolicy="DeleteWhenIdle")
    tasks = [{"id": f"t{number}", "commandLine": "/bin/sh -c 'sleep 2'"} for number in range(3)]
    stage.apply(job("work", tasks=tasks))
    stage.until(lambda: stage.status("bp", "cpu").get("nodeCounts", {}).get("dedicated", {}).get("running"), "it runs")
    stage.until(lambda: stage.status("bp", "cpu").get("slots", {}).get("used"), "slots in use are shown")
    delete(stage)
    stage.until(lambda: stage.condition("bp", "cpu").get("reason") == "WaitingForTasks", "it says what it waits for")
    assert "work" in stage.condition("bp", "cpu")["message"]
    stage.wait("bj", "work", "Complete")
    stage.until_gone("bp")
    assert stage.status("bj", "work")["taskCounts"]["succeeded"] == 3


def test_an_idle_pool_releases_its_nodes_and_gets_them_back(make_stage: Any) -> None:
    stage: Stage = make_stage(time_scale=600.0)
    stage.apply(*stage.account(), pool("cpu", targetDedicatedNodes=2, maxIdle="PT10M"))
    stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "2/2", "nodes come")
    stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "0/0", "idle nodes go")
    settled(stage)
    assert "busy > 0 ? 2 : 0" in stage.status("bp", "cpu")["autoScaleFormula"]
    stage.apply(job("work", tasks=[{"id": "a", "commandLine": "true"}]))
    stage.wait("bj", "work", "Complete")
    stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "0/0", "idle nodes go again")
    stage.kubectl("scale", "bp/cpu", "--replicas=5")
    stage.until(lambda: "busy > 0 ? 5 : 0" in remote(stage)["autoScaleFormula"], "kubectl scale works")


def test_the_cost_of_an_hour_is_estimated(stage: Stage) -> None:
    prices = {"standard_d4ads_v6": {"dedicated": 0.25, "spot": 0.05}}
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "prices"}}
    stage.apply(body | {"data": {"prices.json": json.dumps(prices), "odd": "Standard_D2: 1"}})
    source = {"name": "prices", "key": "prices.json", "currency": "EUR"}
    stage.apply(*stage.account(), pool("cpu", targetDedicatedNodes=2, targetLowPriorityNodes=3, pricesFrom=source))
    stage.until(lambda: stage.status("bp", "cpu").get("estimatedCostPerHour") == "0.65 EUR", "the estimate")
    settled(stage)
    change(stage, pricesFrom={"key": "odd"})
    condition = stage.until(lambda: stage.condition("bp", "cpu", "CostEstimated"), "what is wrong with the prices")
    assert condition["reason"] == "PricesInvalid"
    assert "has no price for standard_d4ads_v6: add it" in condition["message"]
    assert stage.condition("bp", "cpu")["status"] == "True", "prices gate nothing"
