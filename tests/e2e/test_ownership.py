"""Whose pools and jobs are in Azure: adoption, policies of objects and namespaces, accounts for other namespaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from e2e.conftest import Stage, job, pool
from stage import Operator

ADOPT = "azurebatch.io/adopt=true"
POLICY = "azurebatch.io/reconcile-policy"


def annotated(thing: dict[str, Any], **annotations: str) -> dict[str, Any]:
    names = {f"azurebatch.io/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return thing | {"metadata": thing["metadata"] | {"annotations": names}}


def orphan(stage: Stage) -> None:
    """A pool in Azure whose object is gone."""
    stage.ready_pool()
    stage.kubectl("annotate", "bp/cpu", f"{POLICY}=detach-on-delete")
    stage.kubectl("delete", "bp/cpu", "--timeout=30s")
    assert stage.emulator.admin("GET", "state")["pools"] == 1
    assert stage.calls().get("Pools_DeletePool", 0) == 0


def test_adopted_and_given_back(stage: Stage) -> None:
    orphan(stage)
    stage.apply(pool("cpu", targetDedicatedNodes=1))
    stage.until(lambda: stage.condition("bp", "cpu").get("reason") == "OwnershipConflict", "the conflict is shown")
    assert "azurebatch.io/adopt=true" in stage.condition("bp", "cpu")["message"]
    stage.kubectl("annotate", "bp/cpu", ADOPT)
    stage.wait("bp", "cpu", "Ready")
    stage.until(
        lambda: stage.status("bp", "cpu").get("currentDedicatedNodes") == 1, "the adopted pool follows the spec"
    )
    stage.kubectl("delete", "bp/cpu", "--timeout=30s")
    assert stage.calls().get("Pools_DeletePool", 0) == 0, "what was adopted is detached"


def test_adopted_for_good(stage: Stage) -> None:
    orphan(stage)
    stage.apply(annotated(pool("cpu"), adopt="true", reconcile_policy="manage"))
    stage.wait("bp", "cpu", "Ready")
    stage.kubectl("delete", "bp/cpu", "--timeout=60s")
    assert stage.calls()["Pools_DeletePool"] == 1


def test_skip_observes_and_says_what_it_would_do(stage: Stage) -> None:
    stage.ready_pool()
    stage.kubectl("annotate", "bp/cpu", f"{POLICY}=skip")
    stage.kubectl("patch", "bp/cpu", "--type=merge", "-p", '{"spec":{"targetDedicatedNodes":5}}')
    stage.until(lambda: stage.condition("bp", "cpu").get("reason") == "ReconcileSkipped", "it is skipped")
    assert "resize_pool" in stage.condition("bp", "cpu")["message"]
    assert stage.calls().get("Pools_ResizePool", 0) == 0
    stage.kubectl("annotate", "bp/cpu", f"{POLICY}-")
    stage.until(lambda: stage.status("bp", "cpu").get("currentDedicatedNodes") == 5, "it is managed again")


def test_an_unknown_policy_stalls(stage: Stage) -> None:
    stage.apply(*stage.account(), annotated(pool("cpu"), reconcile_policy="Manage"))
    stage.until(lambda: stage.condition("bp", "cpu", "Stalled"), "it stalls")
    assert "must be manage, skip or detach-on-delete" in stage.condition("bp", "cpu")["message"]
    assert stage.calls().get("Pools_CreatePool", 0) == 0
    stage.kubectl("annotate", "bp/cpu", f"{POLICY}=manage", "--overwrite")
    stage.wait("bp", "cpu", "Ready")


def test_the_policy_of_a_namespace(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(job("idle"))
    stage.until(lambda: stage.status("bj", "idle").get("state") == "active", "the job is there")
    stage.operator.stop()
    stage.cluster.kubectl("annotate", "namespace", stage.namespace, f"{POLICY}=detach-on-delete")
    stage.restart_operator()
    stage.kubectl("delete", "bj,bp", "--all", "--timeout=30s")
    calls = stage.calls()
    assert (calls.get("Pools_DeletePool", 0), calls.get("Jobs_DeleteJob", 0)) == (0, 0)


@pytest.mark.parametrize("allowed", [{"all": True}, {"selector": {"matchLabels": {"team": "blue"}}}])
def test_an_account_serves_the_namespaces_that_it_allows(stage: Stage, allowed: dict[str, Any]) -> None:
    other = f"test-{uuid4().hex[:8]}"
    stage.cluster.kubectl("create", "namespace", other)
    stage.cluster.kubectl("label", "namespace", other, "team=blue")
    stage.operator.stop()
    stage.arguments = ("--namespace", other, *stage.arguments)
    stage.restart_operator()
    stage.apply(*stage.account())
    home, stage.namespace = stage.namespace, other
    stage.apply(pool("cpu", accountRef={"name": "main", "namespace": home}))
    stage.until(lambda: stage.condition("bp", "cpu").get("reason") == "NamespaceNotAllowed", "it is kept out")
    stage.namespace = home
    stage.apply(*stage.account(allowedNamespaces=allowed))
    stage.namespace = other
    stage.wait("bp", "cpu", "Ready")


def test_two_clusters_share_an_account(stage: Stage, tmp_path: Path) -> None:
    """The second operator stands for another cluster: same ids, another marker."""
    stage.ready_pool()
    home, other = stage.namespace, f"test-{uuid4().hex[:8]}"
    stage.cluster.kubectl("create", "namespace", other)
    options = ("--namespace", other, "--cluster-id=another-cluster", "--poll-seconds=0.3", "--idle-poll-seconds=5")
    stage.started.append(Operator.start(stage.cluster, tmp_path / "other", arguments=options))
    stage.namespace = other
    stage.apply(*stage.account(), pool("cpu", targetDedicatedNodes=9), pool("own", targetDedicatedNodes=1))
    stage.wait("bp", "own", "Ready")
    stage.until(
        lambda: stage.condition("bp", "cpu").get("reason") == "OwnershipConflict", "the other's pool is left alone"
    )
    assert f"BatchPool {home}/cpu" in stage.condition("bp", "cpu")["message"]
    stage.kubectl("delete", "bp", "--all", "--timeout=60s")
    stage.namespace = home
    assert stage.condition("bp", "cpu")["status"] == "True"
    assert stage.emulator.admin("GET", "state")["pools"] == 1
    assert stage.calls().get("Pools_ResizePool", 0) == 0
