"""What `kubectl apply` refuses of jobs and tasks beyond the REST API, with the operator switched off."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.conftest import job, pool, task, thing
from e2e.test_admission import apply, namespace
from localcluster import LocalCluster

__all__ = ["namespace"]

BODY = {name: value for name, value in pool("p")["spec"].items() if name != "accountRef"}
AUTO = {"autoPoolSpecification": {"poolLifetimeOption": "job", "pool": BODY}}
KEPT = {"autoPoolSpecification": AUTO["autoPoolSpecification"] | {"keepAlive": True}}
SUBNET = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/virtualNetworks/v/subnets/s"


def own_pool(**spec: Any) -> dict[str, Any]:
    return thing("BatchJob", "j", accountRef={"name": "main"}, **spec)


def guest(**spec: Any) -> dict[str, Any]:
    return thing("BatchTask", "t", **({"commandLine": "true"} | spec))


ACCEPTED = [
    job("j", failurePolicy={"maxFailedTasks": 3, "action": "Stop"}),
    job("j", failurePolicy={"maxFailedRatio": 0.25, "action": "Hold"}),
    job("j", backoff={"taskRetries": -1, "maxRequeues": 0, "fallbackPoolRef": {"name": "p"}}),
    job("j", backoff={"maxRequeues": 3, "fallbackPoolId": "p"}),
    job("j", suspend=True, suspendPolicy="Wait", managedBy="kueue.x-k8s.io/multikueue"),
    job("j", ttlSecondsAfterFinished=0, activeDeadlineSeconds=1, pendingDeadlineSeconds=1),
    job("j", taskPrunePolicy="Delete", taskUpdatePolicy="Replace"),
    job(
        "j", logs={"tailLines": 0, "upload": {"containerUrl": "https://x/c", "identityReference": {"resourceId": "i"}}}
    ),
    job("j", logs={"upload": {"containerUrlFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}}),
    guest(jobId="theirs", accountRef={"name": "main"}, dependsOnRefs=[{"name": "a"}], tailLines=5),
]
REFUSED = [
    (
        job("j", failurePolicy={"maxFailedTasks": 1, "maxFailedRatio": 0.5}),
        "give maxFailedTasks or maxFailedRatio, not both",
    ),
    (job("j", failurePolicy={"maxFailedRatio": 1.5}), "maxFailedRatio"),
    (job("j", failurePolicy={"action": "Explode"}), "failurePolicy.action"),
    (
        job("j", backoff={"fallbackPoolId": "p"}),
        "a fallback pool requires maxRequeues: add it, or remove the fallback pool",
    ),
    (
        job("j", backoff={"maxRequeues": 1, "fallbackPoolId": "p", "fallbackPoolRef": {"name": "p"}}),
        "give fallbackPoolRef or fallbackPoolId, not both",
    ),
    (job("j", suspendPolicy="pause"), "(?i:requeue|terminate|wait)"),
    (job("j", managedBy="nobody"), "spec.managedBy"),
    (job("j", activeDeadlineSeconds=0), "spec.activeDeadlineSeconds"),
    (job("j", ttlSecondsAfterFinished=-1), "spec.ttlSecondsAfterFinished"),
    (job("j", taskPrunePolicy="Maybe"), "spec.taskPrunePolicy"),
    (job("j", logs={"upload": {}}), "give either containerUrl or containerUrlFrom"),
    (job("j", logs={"tailLines": 101}), "spec.logs.tailLines"),
    (guest(), "give either jobRef"),
    (guest(jobId="theirs"), "accountRef is required with jobId"),
    (guest(jobRef={"name": "j"}, accountRef={"name": "main"}), "accountRef is required with jobId"),
    (guest(jobRef={"name": "j"}, jobId="j", accountRef={"name": "main"}), "give either jobRef"),
]
CHANGES = [
    (own_pool(poolInfo=AUTO), {"poolInfo": KEPT}, "autoPoolSpecification cannot be changed"),
    (own_pool(poolInfo=AUTO), {"poolInfo": None, "poolRef": {"name": "p"}}, "autoPoolSpecification cannot be changed"),
    (own_pool(poolRef={"name": "p"}), {"poolInfo": AUTO, "poolRef": None}, "autoPoolSpecification cannot be changed"),
    (own_pool(poolInfo={"poolId": "a"}), {"poolInfo": {"poolId": None, **AUTO}}, "autoPoolSpecification cannot be changed"),
    (job("j"), {"managedBy": "acme.io/other"}, "managedBy cannot be changed"),
    (job("j"), {"jobManagerTask": {"id": "m", "commandLine": "x"}}, "jobManagerTask cannot be changed"),
    (job("j", jobManagerTask={"id": "m", "commandLine": "x"}), {"jobManagerTask": None}, "jobManagerTask cannot be changed"),
    (
        job("j", networkConfiguration={"subnetId": SUBNET, "skipWithdrawFromVNet": False}),
        {"networkConfiguration": None},
        "networkConfiguration cannot be removed",
    ),
    (task("t", "j"), {"dependsOnRefs": [{"name": "a"}]}, "delete this BatchTask and create a new one"),
]  # fmt: skip
ALLOWED = [
    (own_pool(poolInfo={"poolId": "a"}), {"poolInfo": {"poolId": "b"}}),
    (own_pool(poolRef={"name": "p"}), {"poolRef": None, "poolInfo": {"poolId": "b"}}),
    (job("j"), {"suspend": True, "failurePolicy": {"maxFailedTasks": 1}, "backoff": {"taskRetries": 1}}),
    (job("j"), {"networkConfiguration": {"subnetId": SUBNET, "skipWithdrawFromVNet": False}, "logs": {"tailLines": 3}}),
    (task("t", "j"), {"constraints": {"maxTaskRetryCount": 2}, "tailLines": 3}),
]


@pytest.mark.parametrize("body", ACCEPTED, ids=str)
def test_accepted(installed: LocalCluster, namespace: str, body: dict[str, Any]) -> None:
    code, text = apply(installed, namespace, body, "--dry-run=server")
    assert code == 0, text


@pytest.mark.parametrize(("body", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_refused_with_the_field_and_the_remedy(
    installed: LocalCluster, namespace: str, body: dict[str, Any], words: str
) -> None:
    code, text = apply(installed, namespace, body, "--dry-run=server")
    assert code != 0
    assert words in text


def merged(body: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """The object with parts of its spec replaced; one level deep below each member."""
    spec = dict(body["spec"])
    for name, value in change.items():
        before = spec.get(name)
        spec[name] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
    return body | {"spec": spec}


@pytest.mark.parametrize(
    ("body", "change", "words"), [*CHANGES, *((*each, None) for each in ALLOWED)], ids=lambda value: str(value)[:60]
)
def test_what_can_be_changed(
    installed: LocalCluster, namespace: str, body: dict[str, Any], change: dict[str, Any], words: str | None
) -> None:
    try:
        code, text = apply(installed, namespace, body)
        assert code == 0, text
        code, text = apply(installed, namespace, merged(body, change), "--dry-run=server")
        assert (code == 0) is (words is None), text
        assert words is None or words in text
    finally:
        name = f"{body['kind'].lower()}/{body['metadata']['name']}"
        installed.kubectl("-n", namespace, "delete", name, "--ignore-not-found")
