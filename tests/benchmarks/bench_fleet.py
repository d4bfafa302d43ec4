"""10,000 BatchTasks in 20 jobs: from `apply` to all completed, on the real control plane, with simulated tasks of about 2 s.

To compare with: an operator with a create handler and a timer per object was not done after 400 s, one in Go took 49 s.
Objects are created over the API server's own REST interface, as fast as it takes them; `kubectl` would be the slowest part.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
from measurement import Measurement

from localcluster import WRITE_VERBS, LocalCluster
from localcluster.processes import resident_bytes
from stage import Emulator, Operator, install, wait_until

JOBS, TASKS_PER_JOB = 20, 500
TASKS = JOBS * TASKS_PER_JOB
NAMESPACE = "default"
API_VERSION = "azurebatch.io/v1alpha1"
PATH = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/"


def thing(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    """An object of ours."""
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def run() -> list[Measurement]:
    """Start everything, run the fleet, count."""
    with tempfile.TemporaryDirectory() as folder, LocalCluster(Path(folder) / "cluster") as cluster:
        emulator = Emulator.start(Path(folder), time_scale=20.0, arguments=("--executor=simulated",))
        try:
            emulator.admin("POST", "simulation", {"rules": [{"seconds": 40}]})
            install(cluster)
            operator = Operator.start(cluster, Path(folder))
            try:
                return asyncio.run(_measure(cluster, emulator, operator))
            finally:
                operator.kill()
        finally:
            emulator.kill()


async def _measure(cluster: LocalCluster, emulator: Emulator, operator: Operator) -> list[Measurement]:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "k"}, "stringData": {"key": emulator.key}}
    auth = {"sharedKey": {"secretRef": {"name": "k", "key": "key"}}}
    image = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"}
    pool = thing(
        "BatchPool", "cpu", accountRef={"name": "main"}, vmSize="Standard_D64s_v5", targetDedicatedNodes=7,
        taskSlotsPerNode=256,
        virtualMachineConfiguration={"imageReference": image, "nodeAgentSKUId": "batch.node.ubuntu 22.04"},
    )  # fmt: skip
    account = thing("BatchAccount", "main", endpoint=emulator.endpoint, accountName=emulator.account, auth=auth)
    jobs = [thing("BatchJob", f"j{number}", poolRef={"name": "cpu"}) for number in range(JOBS)]
    listed = {"apiVersion": "v1", "kind": "List", "items": [secret, account, pool, *jobs]}
    cluster.kubectl("apply", "-f", "-", input=json.dumps(listed))
    cluster.kubectl("wait", "--for=condition=Ready", "batchpool,batchjob", "--all", "--timeout=120s")
    writes, calls = _writes(cluster), _calls(emulator)
    began = time.monotonic()
    await _create_tasks(cluster)
    created = time.monotonic() - began
    wait_until(lambda: _written_out(operator), f"{TASKS} statuses are written", 900)
    seconds = time.monotonic() - began
    if (succeeded := _succeeded(cluster)) != TASKS:
        raise AssertionError(f"only {succeeded} of {TASKS} tasks have succeeded")
    operations = emulator.admin("GET", "counters")["operations"]
    added = sum(operations["Tasks_CreateTaskCollection"].values())
    return [
        Measurement("all tasks created in Kubernetes", created, "s"),
        Measurement("from the first create to the last completed", seconds, "s", goal=60.0, smaller_is_better=True),
        Measurement("writes per BatchTask", (_writes(cluster) - writes) / TASKS, "", goal=3.0, smaller_is_better=True),
        Measurement("addtaskcollection calls", added, "", goal=1.05 * TASKS / 100, smaller_is_better=True),
        Measurement("Batch calls in all", _calls(emulator) - calls, ""),
        Measurement("operator's memory", resident_bytes(operator.process.pid) / 2**20, "MiB", goal=300.0, smaller_is_better=True),
    ]  # fmt: skip


async def _create_tasks(cluster: LocalCluster) -> None:
    context = ssl.create_default_context(cafile=str(cluster.ca_file))
    headers = {"Authorization": f"Bearer {cluster.admin_token}"}
    gate = asyncio.Semaphore(32)
    async with aiohttp.ClientSession(
        cluster.url, headers=headers, connector=aiohttp.TCPConnector(ssl=context)
    ) as session:

        async def create(number: int) -> None:
            body = thing("BatchTask", f"t{number:05}", jobRef={"name": f"j{number % JOBS}"}, commandLine="true")
            async with gate, session.post(PATH + "batchtasks", json=body) as answer:
                answer.raise_for_status()

        async with asyncio.TaskGroup() as group:
            for number in range(TASKS):
                group.create_task(create(number))


def _succeeded(cluster: LocalCluster) -> int:
    """How many BatchTasks say so. Costs the API server a list of everything, so it is asked once, at the end."""
    text = cluster.kubectl("get", "batchtasks", "--field-selector=status.phase=Succeeded", "-o", "name").stdout
    return text.count("\n")


def _written_out(operator: Operator) -> bool:
    """Whether the operator has written its last status, by its own metrics."""
    _, text = operator.get("metrics")
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    written = float(values.get('azurebatch_status_writes_total{kind="BatchTask",outcome="written"}', 0))
    return written >= TASKS and not any(
        float(values[name]) for name in ("azurebatch_workqueue_depth", "azurebatch_status_writes_waiting")
    )


def _writes(cluster: LocalCluster) -> int:
    counts = cluster.request_counts("batchtasks")
    return sum(number for key, number in counts.items() if key.verb in WRITE_VERBS - {"POST"})


def _calls(emulator: Emulator) -> int:
    return int(emulator.admin("GET", "counters")["total"])
