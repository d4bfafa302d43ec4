"""Objects for tests of decisions, as the API server and the poller would show them."""

from __future__ import annotations

from typing import Any

from azure_batch_operator.api.base import API_VERSION, FINALIZER
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.ownership import marker, with_marker
from azure_batch_operator.reconcile.plan import AccountView

CLUSTER = "cluster-1"
NOW = 1_800_000_000.0
LONG_AGO = "2026-01-01T00:00:00Z"
ACCOUNT = AccountView(usable=True, url="https://a.example", name="default/main")
NO_ACCOUNT = AccountView(usable=False, reason="AccountNotReady", message="no connection")

POOL_SPEC: dict[str, Any] = {
    "accountRef": {"name": "main"},
    "vmSize": "Standard_D4ads_v6",
    "virtualMachineConfiguration": {"nodeAgentSKUId": "batch.node.ubuntu 22.04", "imageReference": {"sku": "22"}},
    "targetDedicatedNodes": 4,
}
JOB_SPEC: dict[str, Any] = {"poolRef": {"name": "cpu"}, "tasks": [{"id": "a", "commandLine": "true"}]}
TASK_SPEC: dict[str, Any] = {"jobRef": {"name": "steps"}, "commandLine": "true"}


def resource(
    kind: Kind,
    spec: dict[str, Any],
    *,
    name: str = "one",
    namespace: str = "default",
    status: dict[str, Any] | None = None,
    finalizer: bool = False,
    deleting: bool = False,
    annotations: dict[str, str] | None = None,
    generation: int = 1,
    version: int = 1,
    uid: str = "uid-1",
    finalizers: tuple[str, ...] = (),
) -> Resource:
    """An object of ours, new unless said otherwise."""
    metadata: dict[str, Any] = {
        "namespace": namespace, "name": name, "uid": uid, "generation": generation, "resourceVersion": str(version),
        "creationTimestamp": LONG_AGO, "annotations": annotations or {},
        "finalizers": [*finalizers, *([FINALIZER] if finalizer else [])],
    }  # fmt: skip
    if deleting:
        metadata["deletionTimestamp"] = LONG_AGO
    return Resource.parse(
        {
            "apiVersion": API_VERSION,
            "kind": kind.value,
            "metadata": metadata,
            "spec": spec,
            "status": {"observedGeneration": -1, "phase": "Pending"} if status is None else status,
        }
    )


def owned(body: dict[str, Any], owner: Resource) -> dict[str, Any]:
    """A remote pool or job with a marker that was written for it."""
    return with_marker(body, marker(CLUSTER, owner, body.get("id")))
