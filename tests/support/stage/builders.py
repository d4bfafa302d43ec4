"""Objects for tests, as a user would write them."""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]
NAMESPACE = "default"


def thing(kind: str, name: str, namespace: str = NAMESPACE, **spec: Any) -> Body:
    """An object of ours; members that are None are left out, to do without what a builder has by default."""
    metadata = {"name": name, "namespace": namespace}
    given = {member: value for member, value in spec.items() if value is not None}
    return {"apiVersion": "azurebatch.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": given}


def pool(name: str, **spec: Any) -> Body:
    """A pool of two nodes with two slots each."""
    image = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"}
    body: Body = {
        "accountRef": {"name": "main"},
        "vmSize": "Standard_D4ads_v6",
        "virtualMachineConfiguration": {"imageReference": image, "nodeAgentSKUId": "batch.node.ubuntu 22.04"},
        "targetDedicatedNodes": 2,
        "taskSlotsPerNode": 2,
    }
    return thing("BatchPool", name, **(body | spec))


def job(name: str, **spec: Any) -> Body:
    """A job on the pool `cpu`."""
    return thing("BatchJob", name, **({"poolRef": {"name": "cpu"}} | spec))


def task(name: str, job_name: str, command: str = "true", **spec: Any) -> Body:
    """A task of a job."""
    return thing("BatchTask", name, **({"jobRef": {"name": job_name}, "commandLine": command} | spec))


def schedule(name: str, **spec: Any) -> Body:
    """A schedule."""
    return thing("BatchJobSchedule", name, **spec)


def operation(name: str, **spec: Any) -> Body:
    """An operation on the pool `cpu`, unless it says otherwise."""
    return thing("BatchOperation", name, **({"poolRef": {"name": "cpu"}} | spec))


def config_map(name: str, namespace: str = NAMESPACE, **data: str) -> Body:
    """A ConfigMap; `_` in a key's name is a dot."""
    texts = {key.replace("_", "."): value for key, value in data.items()}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": texts}


def secret(name: str, namespace: str = NAMESPACE, **data: str) -> Body:
    """A Secret."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict(data)}


def sleeping(number: int, seconds: float = 600.0, prefix: str = "t") -> list[Body]:
    """Tasks that take so long each."""
    return [{"id": f"{prefix}{index}", "commandLine": f"/bin/sh -c 'sleep {seconds:g}'"} for index in range(number)]
