"""10,000 BatchTasks in 20 jobs, from the first create to the last status, beside what a bare client needs for the same objects.

The client creates the objects and writes one status for each: no operator can do with less. The ratio to it holds on any machine
that does nothing else meanwhile. The operator runs twice, with its finalizer by patch and at creation, each time with an emulator
of its own, whose tasks are simulated and take 2 s. BENCH_TASKS is the number of tasks, for a quick look.

Objects are created over the API server's own REST interface, as fast as it takes them; `kubectl` would be the slowest part.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import task_writes
from measurement import Measurement, cpu_seconds

from azure_batch_operator.api.base import API_VERSION
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.kube.api import MERGE_PATCH
from localcluster import WRITE_VERBS, LocalCluster
from localcluster.processes import resident_bytes
from stage import Emulator, Operator, add_finalizers_at_creation, install, wait_until

TASKS = int(os.environ.get("BENCH_TASKS", "10000"))
JOBS = 20
_AT_ONCE = 32
_SCRAPED_EVERY = 1.0
"""Seconds between two looks at the operator's metrics, as each of them costs the operator time."""
Json = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """What became of one way to bring in all tasks.

    Attributes:
        created: seconds until all objects were created.
        seconds: until the last status was written.
        cpu: seconds of CPU time by process.
        writes: for each task, its creation not counted.
        more: what only a run with the operator has.
    """

    created: float
    seconds: float
    cpu: Mapping[str, float]
    writes: float
    more: tuple[Measurement, ...] = ()


def run() -> list[Measurement]:
    """The bare client first, then the operator in both ways."""
    with tempfile.TemporaryDirectory() as folder, LocalCluster(Path(folder) / "cluster") as cluster:
        install(cluster)
        bare = asyncio.run(_bare(cluster, "bare"))
        by_patch = _operated(cluster, Path(folder), "patch")
        add_finalizers_at_creation(cluster)
        at_creation = _operated(cluster, Path(folder), "creation")
    return [
        *_told("bare client", bare, bare),
        *_told("finalizer by patch", by_patch, bare),
        *_told("finalizer at creation", at_creation, bare, goal=1.25),
    ]


def _told(how: str, done: Run, bare: Run, goal: float | None = None) -> list[Measurement]:
    found = [
        Measurement(f"{how}: all tasks created", done.created, "s"),
        Measurement(f"{how}: all statuses written", done.seconds, "s"),
        *(
            Measurement(f"{how}: CPU of {name}", value * 1000 / TASKS, "ms per task")
            for name, value in done.cpu.items()
        ),
        Measurement(f"{how}: writes after the creation", done.writes, "per task"),
        *(replace(each, what=f"{how}: {each.what}") for each in done.more),
    ]
    if done is bare:
        return found
    api_server = done.cpu["kube-apiserver"] / bare.cpu["kube-apiserver"]
    return [
        *found,
        Measurement(f"{how}: time", done.seconds / bare.seconds, "× bare client", goal=goal, smaller_is_better=True),
        Measurement(f"{how}: CPU of kube-apiserver", api_server, "× bare client"),
    ]


class _Meter:
    """CPU time of processes from now on."""

    def __init__(self, **pids: int) -> None:
        self._pids = pids
        self._before = {name: cpu_seconds(pid) for name, pid in pids.items()}

    def spent(self) -> dict[str, float]:
        return {name: cpu_seconds(pid) - self._before[name] for name, pid in self._pids.items()}


def _control_plane(cluster: LocalCluster) -> dict[str, int]:
    return {name: cluster.processes[name].pid for name in ("kube-apiserver", "etcd")}


# --- the bare client ---


async def _bare(cluster: LocalCluster, namespace: str) -> Run:
    cluster.kubectl("create", "namespace", namespace)
    ended = {"startTime": "2026-11-29T10:00:00Z", "endTime": "2026-11-29T10:00:02Z", "exitCode": 0, "result": "success"}
    writes, meter, began = _writes(cluster), _Meter(**_control_plane(cluster)), time.monotonic()
    async with _client(cluster, namespace) as send:

        async def show(body: Json) -> None:
            status = task_writes.status_of(Resource.parse(body), "completed", ended)
            patch = {"metadata": {"uid": body["metadata"]["uid"]}, "status": status}
            await send("PATCH", f"/{body['metadata']['name']}/status", patch, MERGE_PATCH)

        created = await _create_tasks(send, then=show)
    return Run(created, time.monotonic() - began, meter.spent(), (_writes(cluster) - writes) / TASKS)


Send = Callable[[str, str, Json, str], Awaitable[Json]]


@asynccontextmanager
async def _client(cluster: LocalCluster, namespace: str) -> AsyncIterator[Send]:
    context = ssl.create_default_context(cafile=str(cluster.ca_file))
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/batchtasks"
    async with aiohttp.ClientSession(cluster.url, connector=aiohttp.TCPConnector(ssl=context)) as session:
        client = task_writes.Client(session, {"Authorization": f"Bearer {cluster.admin_token}"})

        async def send(method: str, name: str, body: Json, content_type: str) -> Json:
            return await client.send(method, path + name, body, content_type)

        yield send


async def _create_tasks(send: Send, then: Callable[[Json], Awaitable[None]] | None = None) -> float:
    """Create all tasks, a bounded number at once, and go on with each; seconds until the last one was created."""
    gate, began, created = asyncio.Semaphore(_AT_ONCE), time.monotonic(), 0.0

    async def create(number: int) -> None:
        nonlocal created
        spec = {"jobRef": {"name": f"j{number % JOBS}"}, "commandLine": "true"}
        body = {"apiVersion": API_VERSION, "kind": "BatchTask", "metadata": {"name": f"t{number:05}"}, "spec": spec}
        async with gate:
            made = await send("POST", "", body, "application/json")
            created = time.monotonic() - began
            if then is not None:
                await then(made)

    async with asyncio.TaskGroup() as group:
        for number in range(TASKS):
            group.create_task(create(number))
    return created


# --- the operator ---


def _operated(cluster: LocalCluster, folder: Path, namespace: str) -> Run:
    cluster.kubectl("create", "namespace", namespace)
    own = folder / namespace
    emulator = Emulator.start(own, time_scale=20.0, arguments=("--executor=simulated",))
    try:
        emulator.admin("POST", "simulation", {"rules": [{"seconds": 40}]})
        operator = Operator.start(cluster, own, arguments=("--namespace", namespace))
        try:
            _prepare(cluster, emulator, namespace)
            return asyncio.run(_measure(cluster, emulator, operator, namespace))
        finally:
            operator.kill()
    finally:
        emulator.kill()


def _prepare(cluster: LocalCluster, emulator: Emulator, namespace: str) -> None:
    """An account, a pool that is large enough, and open jobs."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "k"}, "stringData": {"key": emulator.key}}
    auth = {"sharedKey": {"secretRef": {"name": "k", "key": "key"}}}
    image = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"}
    machine = {"imageReference": image, "nodeAgentSKUId": "batch.node.ubuntu 22.04"}
    account = _thing("BatchAccount", "main", endpoint=emulator.endpoint, accountName=emulator.account, auth=auth)
    size = {"vmSize": "Standard_D64s_v5", "targetDedicatedNodes": 7, "taskSlotsPerNode": 256}
    pool = _thing("BatchPool", "cpu", accountRef={"name": "main"}, virtualMachineConfiguration=machine, **size)
    jobs = [_thing("BatchJob", f"j{number}", poolRef={"name": "cpu"}) for number in range(JOBS)]
    listed = {"apiVersion": "v1", "kind": "List", "items": [secret, account, pool, *jobs]}
    cluster.kubectl("-n", namespace, "apply", "-f", "-", input=json.dumps(listed))
    ready = ("wait", "--for=condition=Ready", "batchpool,batchjob", "--all", "--timeout=300s")
    cluster.kubectl("-n", namespace, *ready)


async def _measure(cluster: LocalCluster, emulator: Emulator, operator: Operator, namespace: str) -> Run:
    writes, calls = _writes(cluster), int(emulator.admin("GET", "counters")["total"])
    processes = {"operator": operator.process.pid, "emulator": emulator.process.pid}
    meter, began = _Meter(**_control_plane(cluster), **processes), time.monotonic()
    async with _client(cluster, namespace) as send:
        created = await _create_tasks(send)
    while not _written_out(operator):
        if time.monotonic() - began > 900:
            raise AssertionError(f"after 900 s, not all of {TASKS} statuses are written")
        await asyncio.sleep(_SCRAPED_EVERY)
    seconds, cpu = time.monotonic() - began, meter.spent()
    wait_until(lambda: _succeeded(cluster, namespace) == TASKS, "all tasks have succeeded", 10)
    counters = emulator.admin("GET", "counters")
    added = sum(counters["operations"]["Tasks_CreateTaskCollection"].values())
    memory, collections = resident_bytes(operator.process.pid) / 2**20, max(TASKS / 100, JOBS)
    more = (
        Measurement("addtaskcollection calls", added, "", goal=1.05 * collections, smaller_is_better=True),
        Measurement("Batch calls in all", int(counters["total"]) - calls, ""),
        Measurement("operator's memory", memory, "MiB", goal=300.0, smaller_is_better=True),
    )
    return Run(created, seconds, cpu, (_writes(cluster) - writes) / TASKS, more)


def _thing(kind: str, name: str, **spec: Any) -> Json:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _succeeded(cluster: LocalCluster, namespace: str) -> int:
    """How many BatchTasks say so. Costs the API server a list of everything, so it is asked at the end."""
    selected = ("get", "batchtasks", "--field-selector=status.phase=Succeeded", "-o", "name")
    return cluster.kubectl("-n", namespace, *selected).stdout.count("\n")


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
