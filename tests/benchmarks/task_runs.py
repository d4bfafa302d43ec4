"""The same BatchTasks, brought to their last status in several ways on one control plane: by a client, this operator, and others.

A client that creates the objects and writes one status for each does the least that any operator must do. The ratio to it holds on
any machine that does nothing else meanwhile. Each other way has an emulator of its own, whose tasks are simulated and take 2 s.

Objects are created over the API server's own REST interface, as fast as it takes them; `kubectl` would be the slowest part.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
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
from localcluster.processes import ProcessRef, resident_bytes, spawn
from stage import Emulator, Operator, Service, wait_until

JOBS = 20
PATIENCE = 1800.0
"""Seconds until a run is given up."""
_AT_ONCE = 32
_LOOK = 1.0
"""Seconds between two looks at how far a run is, as each of them costs something."""
_SIMULATED = {"rules": [{"seconds": 40}]}
_TIME_SCALE = 20.0
_IMAGE = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"}
_MACHINE = {"imageReference": _IMAGE, "nodeAgentSKUId": "batch.node.ubuntu 22.04"}
_SIZE = {"vmSize": "Standard_D64s_v5", "targetDedicatedNodes": 7, "taskSlotsPerNode": 256}
Json = dict[str, Any]
Command = Callable[[LocalCluster, Emulator, str], tuple[Sequence[str], Mapping[str, str]]]
"""From the cluster, the emulator and the namespace: the command of a program, and what its environment has besides our own."""


@dataclass(frozen=True)
class Run:
    """The cost of one way.

    Attributes:
        count: number of BatchTasks.
        created: seconds until all objects were created.
        seconds: until the last status was written.
        cpu: seconds of CPU time by process.
        writes: for each task, its creation not counted.
        more: what only a run with an operator has.
    """

    count: int
    created: float
    seconds: float
    cpu: Mapping[str, float]
    writes: float
    more: tuple[Measurement, ...] = ()

    @property
    def rate(self) -> float:
        """BatchTasks per second."""
        return self.count / self.seconds

    def measurements(self, way: str) -> list[Measurement]:
        """Rows of the table."""
        return [
            Measurement(f"{way}: all tasks created", self.created, "s"),
            Measurement(f"{way}: all statuses written", self.seconds, "s"),
            *(
                Measurement(f"{way}: CPU of {name}", value * 1000 / self.count, "ms per task")
                for name, value in self.cpu.items()
            ),
            Measurement(f"{way}: writes after the creation", self.writes, "per task"),
            *(replace(measured, what=f"{way}: {measured.what}") for measured in self.more),
        ]

    def beside(self, bare: Run, way: str) -> list[Measurement]:
        """Ratios to the client alone, which other machines can be compared by."""
        api_server = self.cpu["kube-apiserver"] / bare.cpu["kube-apiserver"]
        own = self.cpu["operator"] / bare.cpu["kube-apiserver"]
        return [
            Measurement(f"{way}: CPU of kube-apiserver", api_server, "× bare client", counted=True),
            Measurement(f"{way}: CPU of operator", own, "× kube-apiserver of bare client", counted=True),
        ]


@dataclass(frozen=True)
class Bench:
    """One control plane with the custom resources installed.

    Attributes:
        folder: for logs and files of the runs.
        count: number of BatchTasks in each run.
    """

    cluster: LocalCluster
    folder: Path
    count: int

    def bare(self) -> Run:
        """The client alone: creates the objects and writes one status for each."""
        return asyncio.run(self._bare("bare"))

    def operator(self, namespace: str) -> Run:
        """This operator, in a namespace of its own, which must not exist."""
        self.cluster.kubectl("create", "namespace", namespace)
        own = self.folder / namespace
        emulator = _emulator(own)
        try:
            operator = Operator.start(self.cluster, own, arguments=("--namespace", namespace))
            try:
                _prepare(self.cluster, emulator, namespace)
                return asyncio.run(self._measure(emulator, operator, namespace, lambda: _written_out(operator, self)))
            finally:
                operator.kill()
        finally:
            emulator.kill()

    def other(self, namespace: str, command: Command) -> Run:
        """Another operator, with the rights of an administrator, and with jobs that exist in Azure Batch from the start."""
        self.cluster.kubectl("create", "namespace", namespace)
        own = self.folder / namespace
        own.mkdir()
        seed = own / "seed.json"
        pool = {"id": "cpu", "virtualMachineConfiguration": _MACHINE, **_SIZE}
        jobs = [{"id": f"j{number}", "poolInfo": {"poolId": "cpu"}} for number in range(JOBS)]
        seed.write_text(json.dumps({"pools": [pool], "jobs": jobs}))
        emulator = _emulator(own, f"--seed-file={seed}")
        try:
            arguments, environment = command(self.cluster, emulator, namespace)
            log = own / "other.log"
            process = spawn(arguments, log=log, folder=own, owned=True, environment=environment)
            started = Service("other operator", process, log)
            try:
                ended = _all_succeeded(self.cluster, namespace, self.count)
                return asyncio.run(self._measure(emulator, started, namespace, ended))
            finally:
                started.kill()
        finally:
            emulator.kill()

    # --- how they are measured ---

    async def _bare(self, namespace: str) -> Run:
        cluster = self.cluster
        cluster.kubectl("create", "namespace", namespace)
        times = {"startTime": "2026-11-29T10:00:00Z", "endTime": "2026-11-29T10:00:02Z"}
        info = {**times, "exitCode": 0, "result": "success"}
        writes, meter, began = _writes(cluster), _Meter(_control_plane(cluster)), time.monotonic()
        async with _client(cluster, namespace) as send:

            async def write_status(body: Json) -> None:
                status = task_writes.status_of(Resource.parse(body), "completed", info)
                patch = {"metadata": {"uid": body["metadata"]["uid"]}, "status": status}
                await send("PATCH", f"/{body['metadata']['name']}/status", patch, MERGE_PATCH)

            created = await self._create_tasks(send, then=write_status)
        seconds = time.monotonic() - began
        return Run(self.count, created, seconds, meter.spent(), (_writes(cluster) - writes) / self.count)

    async def _measure(self, emulator: Emulator, operator: Service, namespace: str, ended: Callable[[], bool]) -> Run:
        cluster = self.cluster
        writes, calls = _writes(cluster), int(emulator.admin("GET", "counters")["total"])
        processes = {"operator": operator.process, "emulator": emulator.process}
        meter, began = _Meter({**_control_plane(cluster), **processes}), time.monotonic()
        async with _client(cluster, namespace) as send:
            created = await self._create_tasks(send)
        while not ended():
            operator.check()
            if time.monotonic() - began > PATIENCE:
                raise AssertionError(f"after {PATIENCE:.0f} s, not all of {self.count} statuses are written")
            await asyncio.sleep(_LOOK)
        seconds, cpu = time.monotonic() - began, meter.spent()
        wait_until(lambda: _succeeded(cluster, namespace) == self.count, "all tasks have succeeded", 10)
        counters = emulator.admin("GET", "counters")
        added = sum(counters["operations"].get("Tasks_CreateTaskCollection", {}).values())
        more = (
            Measurement("addtaskcollection calls", added, ""),
            Measurement("Batch calls in all", int(counters["total"]) - calls, ""),
            Measurement("operator's memory", resident_bytes(operator.process.pid) / 2**20, "MiB", counted=True),
        )
        return Run(self.count, created, seconds, cpu, (_writes(cluster) - writes) / self.count, more)

    async def _create_tasks(self, send: Send, then: Callable[[Json], Awaitable[None]] | None = None) -> float:
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
            for number in range(self.count):
                group.create_task(create(number))
        return created


class _Meter:
    """CPU time of processes from now on."""

    def __init__(self, processes: Mapping[str, ProcessRef]) -> None:
        self._processes = processes
        self._before = {name: cpu_seconds(process.pid) for name, process in processes.items()}

    def spent(self) -> dict[str, float]:
        return {name: cpu_seconds(process.pid) - self._before[name] for name, process in self._processes.items()}


def _control_plane(cluster: LocalCluster) -> dict[str, ProcessRef]:
    return {name: cluster.processes[name] for name in ("kube-apiserver", "etcd")}


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


def _emulator(folder: Path, *arguments: str) -> Emulator:
    emulator = Emulator.start(folder, time_scale=_TIME_SCALE, arguments=("--executor=simulated", *arguments))
    emulator.admin("POST", "simulation", _SIMULATED)
    return emulator


def _prepare(cluster: LocalCluster, emulator: Emulator, namespace: str) -> None:
    """An account, a pool that is large enough, and open jobs."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "k"}, "stringData": {"key": emulator.key}}
    auth = {"sharedKey": {"secretRef": {"name": "k", "key": "key"}}}
    account = _object("BatchAccount", "main", endpoint=emulator.endpoint, accountName=emulator.account, auth=auth)
    pool = _object("BatchPool", "cpu", accountRef={"name": "main"}, virtualMachineConfiguration=_MACHINE, **_SIZE)
    jobs = [_object("BatchJob", f"j{number}", poolRef={"name": "cpu"}) for number in range(JOBS)]
    listed = {"apiVersion": "v1", "kind": "List", "items": [secret, account, pool, *jobs]}
    cluster.kubectl("-n", namespace, "apply", "-f", "-", input=json.dumps(listed))
    ready = ("wait", "--for=condition=Ready", "batchpool,batchjob", "--all", "--timeout=300s")
    cluster.kubectl("-n", namespace, *ready)


def _object(kind: str, name: str, **spec: Any) -> Json:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _succeeded(cluster: LocalCluster, namespace: str) -> int:
    """How many BatchTasks say so. Costs the API server a list of everything, so it is asked at the end."""
    selected = ("get", "batchtasks", "--field-selector=status.phase=Succeeded", "-o", "name")
    return cluster.kubectl("-n", namespace, *selected).stdout.count("\n")


def _all_succeeded(cluster: LocalCluster, namespace: str, count: int) -> Callable[[], bool]:
    """Whether all BatchTasks say so; the list is read only when there were enough writes: a finalizer and a status for each."""
    before = _writes(cluster)
    return lambda: _writes(cluster) - before >= 2 * count and _succeeded(cluster, namespace) == count


def _written_out(operator: Operator, bench: Bench) -> bool:
    """Whether the operator has written its last status, by its own metrics."""
    _, text = operator.get("metrics")
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    written = float(values.get('azurebatch_status_writes_total{kind="BatchTask",outcome="written"}', 0))
    return written >= bench.count and not any(
        float(values[name]) for name in ("azurebatch_workqueue_depth", "azurebatch_status_writes_waiting")
    )


def _writes(cluster: LocalCluster) -> int:
    counts = cluster.request_counts("batchtasks")
    return sum(number for key, number in counts.items() if key.verb in WRITE_VERBS - {"POST"})
