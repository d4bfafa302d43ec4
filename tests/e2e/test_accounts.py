"""Accounts: what they show, and that credentials change under a running operator."""

from __future__ import annotations

import base64
import json
from typing import Any

from e2e.conftest import Stage, job, pool


def test_offers_and_objects_in_the_status(stage: Stage) -> None:
    stage.ready_pool()
    stage.kubectl("annotate", "bacc/main", "note=look")
    stage.until(lambda: stage.status("bacc", "main").get("users") == {"batchPools": 1}, "its users are counted")
    status = stage.status("bacc", "main")
    images = status["supportedImages"]
    assert any(each.get("verificationType") == "verified" for each in images)
    assert all(each["nodeAgentSKUId"] for each in images)
    assert status["lastSuccessTime"]


def test_a_rotated_key_is_taken_up_while_work_continues(stage: Stage) -> None:
    """Batch has two keys; here the emulator's one is replaced, so the old one is refused from then on."""
    stage.ready_pool()
    stage.apply(job("long", tasks=[{"id": f"t{number}", "commandLine": "sleep 1"} for number in range(40)]))
    stage.until(lambda: stage.status("bj", "long").get("taskCounts", {}).get("running"), "tasks run")
    fresh = base64.b64encode(b"a key that was made again, 64 bytes, as long as Azure makes them...").decode()
    stage.emulator.admin("POST", "key", {"key": fresh})
    secret, _ = stage.account()
    stage.apply(secret | {"stringData": {"key": fresh}})
    stage.wait("bj", "long", "Complete", 120)
    assert stage.calls()["Jobs_CreateJob"] == 1
    assert stage.condition("bacc", "main")["status"] == "True"


def test_defaults_of_the_account_reach_its_pools_and_jobs(stage: Stage) -> None:
    defaults: dict[str, Any] = {
        "pool": {"metadata": [{"name": "team", "value": "a"}]},
        "job": {"priority": 7, "commonEnvironmentSettings": [{"name": "SITE", "value": "north"}]},
    }
    stage.apply(*stage.account(defaults=defaults), pool("cpu"))
    stage.wait("bp", "cpu", "Ready")
    stage.apply(job("own", tasks=[{"id": "a", "commandLine": "/bin/sh -c 'test \"$SITE\" = north'"}]))
    stage.wait("bj", "own", "Complete")
    assert "defaults" not in json.dumps(stage.get("bj", "own")["spec"])
    assert "priority" not in stage.get("bj", "own")["spec"], "the spec stays the user's"


def test_bounds_on_polling_must_fit_together(stage: Stage) -> None:
    refused = stage.cluster.kubectl(
        "-n", stage.namespace, "apply", "-f", "-", check=False,
        input=json.dumps(stage.account(polling={"minSeconds": 60, "maxSeconds": 1})[1]),
    )  # fmt: skip
    assert "minSeconds must not be greater than maxSeconds" in refused.stderr


def says(stage: Stage, reason: str, *words: str) -> None:
    stage.until(lambda: stage.condition("bacc", "main").get("reason") == reason, f"the account says {reason}")
    for word in words:
        assert word in stage.condition("bacc", "main")["message"]


def test_a_clock_that_is_wrong(stage: Stage) -> None:
    stage.emulator.admin("POST", "clock", {"skewSeconds": 4000})
    stage.apply(*stage.account())
    says(stage, "ClockSkew", "15 minutes")
    stage.emulator.admin("POST", "clock", {"skewSeconds": 0})
    stage.wait("bacc", "main", "Ready")


def test_an_account_that_does_not_exist(stage: Stage) -> None:
    stage.apply(*stage.account(accountName="nobody"))
    says(stage, "UnknownAccount", "spec.accountName")


def test_an_account_that_is_suspended_and_comes_back(stage: Stage) -> None:
    stage.ready_pool()
    fault = {"effect": {"status": 403, "code": "AccountIsDisabled"}}
    id = stage.emulator.admin("POST", "faults", fault)["id"]
    says(stage, "AccountIsDisabled", "enable it in Azure")
    assert stage.condition("bp", "cpu")["status"] == "True", "what lives there keeps its last state"
    stage.emulator.admin("DELETE", f"faults/{id}")
    stage.wait("bacc", "main", "Ready")


def test_throttling_shows_on_the_account_alone(stage: Stage) -> None:
    stage.ready_pool()
    before = stage.get("bp", "cpu")["metadata"]["resourceVersion"]
    fault = {"count": 3, "effect": {"status": 429, "code": "TooManyRequests", "retryAfter": 2}}
    stage.emulator.admin("POST", "faults", fault)
    stage.until(lambda: stage.status("bacc", "main").get("throttling", {}).get("times"), "the account says so")
    stage.wait("bacc", "main", "Ready")
    assert stage.status("bacc", "main")["throttling"]["times"] >= 1
    assert stage.get("bp", "cpu")["metadata"]["resourceVersion"] == before


def test_an_account_in_use_waits_and_says_by_whom(stage: Stage) -> None:
    stage.ready_pool()
    stage.kubectl("delete", "bacc/main", "--wait=false")
    says(stage, "InUse", "1 BatchPool", f"BatchPool {stage.namespace}/cpu")
    stage.kubectl("delete", "bp/cpu", "--timeout=60s")
    stage.until_gone("bacc")
