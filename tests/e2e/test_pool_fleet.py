"""A thousand pools on one account: lists and no GETs, one call to make each, and silence when there is nothing to do."""

from __future__ import annotations

import json
from typing import Any

from e2e.conftest import Stage, pool

NUMBER = 1000


def ready(stage: Stage) -> int:
    items = json.loads(stage.kubectl("get", "bp", "-o", "json"))["items"]
    conditions = [each for item in items for each in item["status"].get("conditions", ()) if each["type"] == "Ready"]
    return sum(each["status"] == "True" for each in conditions)


def polls(stage: Stage, number: int) -> dict[str, int]:
    """Calls made while so many polls pass."""
    before = stage.calls()
    stage.until(lambda: stage.calls()["Pools_ListPools"] >= before["Pools_ListPools"] + number, f"{number} polls")
    return {name: made for name, count in stage.calls().items() if (made := count - before.get(name, 0))}


def test_a_thousand_pools(make_stage: Any) -> None:
    stage: Stage = make_stage("--executor=simulated")
    stage.emulator.admin("PUT", "quota", {"pools": 2 * NUMBER})
    stage.apply(*stage.account(rateLimit={"callsPerSecond": 500}))
    stage.wait("bacc", "main", "Ready")
    stage.apply(*(pool(f"p{number:04}", targetDedicatedNodes=0) for number in range(NUMBER)))
    stage.until(lambda: ready(stage) == NUMBER, "all are ready", 180)
    made = stage.calls()
    assert made["Pools_CreatePool"] == NUMBER
    assert "Pools_GetPool" not in made
    assert made["Pools_ListPools"] <= 2 * made["Pools_ListPoolNodeCounts"], (
        "one list per poll, one more where pools changed"
    )
    assert "Nodes_ListNodes" not in made
    writes = stage.writes("batchpools")
    assert writes <= 4 * NUMBER, "finalizer, Creating, Ready and little more"

    idle = polls(stage, 3)
    assert set(idle) == {"Pools_ListPools", "Pools_ListPoolNodeCounts"}
    assert abs(idle["Pools_ListPools"] - idle["Pools_ListPoolNodeCounts"]) <= 1
    assert stage.writes("batchpools") == writes

    stage.restart_operator_quietly()
    assert stage.writes("batchpools") == writes, "a restart on an unchanged fleet writes nothing"
    after = stage.calls()
    assert after["Pools_CreatePool"] == NUMBER
    assert "Pools_UpdatePool" not in after
