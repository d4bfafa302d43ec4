"""The operator killed after every single call that it makes for a pool: the same end, nothing twice, nothing left."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from e2e.conftest import Stage, job, pool


class Reaper:
    """Kills the operator whenever it has changed something in Azure Batch, and starts it again."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.seen = self.kills = 0

    def changes(self) -> list[dict[str, Any]]:
        """Calls so far that change something, but for those of jobs and tasks."""
        calls = self._stage.emulator.admin("GET", "calls")["value"]
        return [call for call in calls if call["method"] not in {"GET", "HEAD"} and call["path"].startswith("/pools")]

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait for something, killing on the way."""

        def killing() -> Any:
            number = len(self.changes())
            if number > self.seen:
                self.seen = number
                self.kills += 1
                self._stage.kill_operator()
                self._stage.restart_operator()
            return condition()

        self._stage.until(killing, what, 120)


def patch(stage: Stage, **spec: Any) -> None:
    stage.kubectl("patch", "bp", "cpu", "--type=merge", "-p", json.dumps({"spec": spec}))


def reached(stage: Stage) -> bool:
    """Whether the pool is what its spec says."""
    body = stage.get("bp", "cpu")
    ready = next((each for each in body["status"].get("conditions", ()) if each["type"] == "Ready"), {})
    return ready.get("status") == "True" and ready.get("observedGeneration") == body["metadata"]["generation"]


def heard(stage: Stage, reaper: Reaper) -> None:
    """Wait until every kill that is due has been made and the operator that runs now has looked at pool and Secret.

    A Secret that changes before the first look of a new operator is another story: then nobody knows that it has changed.
    """
    while True:
        reaper.until(lambda: True, "the kills that are due")
        word = str(time.monotonic_ns())
        stage.kubectl("annotate", "bp/cpu", f"azurebatch.io/reconcile-now={word}", "--overwrite")
        stage.until(
            lambda word=word: stage.status("bp", "cpu").get("handled", {}).get("reconcileNow") == word,
            "the pool is looked at",
        )
        if len(reaper.changes()) == reaper.seen:
            return


SECRET: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}}


@pytest.mark.parametrize("strategy", ["Drain", "Recreate"])
def test_a_secret_that_has_changed_is_not_forgotten(make_stage: Any, strategy: str) -> None:
    """Twice, since nothing in the spec tells the one time from the other."""
    stage: Stage = make_stage("--executor=simulated", time_scale=300.0)
    accounts = [{"name": "render", "passwordSecretRef": {"name": "login", "key": "password"}}]
    stage.apply(SECRET | {"stringData": {"password": "one"}})
    stage.ready_pool(targetDedicatedNodes=1, userAccounts=accounts, updateStrategy=strategy)
    reaper = Reaper(stage)
    reaper.seen = len(reaper.changes())
    way = {"Drain": ["UpdatePool", "ResizePool", "UpdatePool", "ResizePool"]}
    for word in ("two", "three"):
        before, number = len(reaper.changes()), len(way.get(strategy, "123"))
        stage.apply(SECRET | {"stringData": {"password": word}})

        def done(before: int = before, number: int = number) -> bool:
            # Values are read again when the pool is looked at, and are remembered for ten seconds.
            stage.kubectl("annotate", "bp/cpu", f"look={time.monotonic_ns()}", "--overwrite")
            status = stage.status("bp", "cpu")
            return len(reaper.changes()) >= before + number and status["phase"] == "Steady"

        reaper.until(done, f"the pool has the password {word}")
        heard(stage, reaper)
        calls = [call["operation"].partition("_")[2] for call in reaper.changes()[before:] if call["status"] < 300]
        assert calls == way.get(strategy, ["UpdatePool", "CreatePool", "DeletePool"])
    assert stage.status("bp", "cpu")["id"] == {"Drain": "cpu", "Recreate": "cpu-g1-2"}[strategy]


FORMULA = {"enableAutoScale": True, "autoScaleFormula": "$TargetDedicatedNodes = 1;", "targetDedicatedNodes": None}
FIXED = {"enableAutoScale": None, "autoScaleFormula": None, "targetDedicatedNodes": 1}
STORY: list[tuple[dict[str, Any], list[str]]] = [
    ({"startTask": {"commandLine": "true"}}, ["UpdatePool"]),
    ({"startTask": None}, ["ReplacePoolProperties"]),
    ({"targetDedicatedNodes": 2}, ["ResizePool"]),
    ({"vmSize": "Standard_D8ads_v6"}, ["ResizePool", "UpdatePool", "ResizePool"]),
    (FORMULA, ["EnablePoolAutoScale"]),
    (FIXED, ["DisablePoolAutoScale"]),
]


@pytest.mark.parametrize("strategy", ["Drain", "Recreate"])
def test_killed_after_every_call(make_stage: Any, strategy: str) -> None:
    stage: Stage = make_stage("--executor=simulated", time_scale=300.0)
    reaper = Reaper(stage)
    stage.apply(*stage.account(), pool("cpu", targetDedicatedNodes=1, updateStrategy=strategy))
    reaper.until(lambda: reached(stage), "the pool is made")
    stage.apply(job("steps"))
    stage.wait("bj", "steps", "Ready")
    expected = ["CreatePool"]
    for spec, calls in STORY:
        patch(stage, **spec)
        reaper.until(lambda: reached(stage), f"the pool is as wanted after {spec}")
        expected += ["CreatePool", "DeletePool"] if strategy == "Recreate" and "vmSize" in spec else calls
    made = [call["operation"].partition("_")[2] for call in reaper.changes() if call["status"] < 300]
    resized = [name for name in made if name != "StopPoolResize"]
    assert [name for name in resized if name != "ResizePool"] == [name for name in expected if name != "ResizePool"]
    assert stage.emulator.admin("GET", "state")["pools"] == 1
    stage.kubectl("delete", "bj,bp", "--all", "--wait=false")
    reaper.until(lambda: not stage.kubectl("get", "bp,bj", "-o", "name"), "everything is gone")
    state = stage.emulator.admin("GET", "state")
    assert (state["pools"], state["jobs"]) == (0, 0)
    # Two calls may fall between two looks, and are then followed by one kill.
    assert reaper.kills >= len(expected) - 2, "it was killed on the way"
    assert stage.calls()["Pools_CreatePool"] == expected.count("CreatePool")
