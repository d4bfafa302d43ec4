"""Small request bodies, as models of the official client, for tests."""

from __future__ import annotations

from typing import Any

from azure.batch import BatchClient, models

from support.emulator_thread import wait_until

MACHINE = models.VirtualMachineConfiguration(
    image_reference=models.ImageReference(publisher="canonical", offer="0001-com-ubuntu-server-jammy", sku="22_04-lts"),
    node_agent_sku_id="batch.node.ubuntu 22.04",
)
# A machine whose image can run containers, and is to.
CONTAINER_MACHINE = models.VirtualMachineConfiguration(
    image_reference=models.ImageReference(publisher="microsoft-dsvm", offer="ubuntu-hpc", sku="2204"),
    node_agent_sku_id="batch.node.ubuntu 22.04",
    container_configuration=models.ContainerConfiguration(type="dockerCompatible"),
)


def make_pool(client: BatchClient, pool_id: str = "pool", nodes: int = 1, **properties: Any) -> None:
    """Create a pool; with nodes, wait until all of them are idle."""
    properties = {"vm_size": "STANDARD_D2s_v3", "virtual_machine_configuration": MACHINE} | properties
    client.create_pool(models.BatchPoolCreateContent(id=pool_id, target_dedicated_nodes=nodes, **properties))
    wait_steady(client, pool_id)
    if nodes:
        wait_until(lambda: [n.state for n in client.list_nodes(pool_id)].count("idle") == nodes, "idle nodes")


def wait_steady(client: BatchClient, pool_id: str = "pool") -> models.BatchPool:
    """Wait for a pool to be steady."""

    def steady() -> models.BatchPool | None:
        pool = client.get_pool(pool_id)
        return pool if pool.allocation_state == "steady" else None

    return wait_until(steady, "a steady pool")


def make_job(client: BatchClient, job_id: str = "job", pool_id: str = "pool", **properties: Any) -> None:
    """Create a job on a pool."""
    info = properties.pop("pool_info", models.BatchPoolInfo(pool_id=pool_id))
    client.create_job(models.BatchJobCreateContent(id=job_id, pool_info=info, **properties))


def add_task(
    client: BatchClient, task_id: str, command: str = "/bin/true", job_id: str = "job", **properties: Any
) -> None:
    """Add one task."""
    client.create_task(job_id, models.BatchTaskCreateContent(id=task_id, command_line=command, **properties))


def shell(script: str) -> str:
    """A command line that runs a script without single quotes in a shell."""
    return f"/bin/sh -c '{script}'"


def finished(client: BatchClient, task_id: str, job_id: str = "job") -> models.BatchTask:
    """Wait for a task to complete."""

    def done() -> models.BatchTask | None:
        task = client.get_task(job_id, task_id)
        return task if task.state == "completed" else None

    return wait_until(done, f"task {task_id} completed")


def text_of(client: BatchClient, task_id: str, name: str = "stdout.txt", job_id: str = "job") -> str:
    """A file of a task, as text."""
    return b"".join(client.get_task_file(job_id, task_id, name)).decode()


POOL_BODY: dict[str, Any] = {
    "id": "pool",
    "vmSize": "standard_d2s_v3",
    "targetDedicatedNodes": 1,
    "virtualMachineConfiguration": {
        "imageReference": {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"},
        "nodeAgentSKUId": "batch.node.ubuntu 22.04",
    },
}
"""A pool of one node, as JSON."""
