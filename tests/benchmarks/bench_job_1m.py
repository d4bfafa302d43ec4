"""A BatchJob of 1,000,000 simulated tasks on the emulator, with the real operator, beside one of 1,000.

BENCH_TASKS is the number of tasks. The end of the job and the status are looked at ten times a second, so a figure may be 0.1 s too
large or too small.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench_emulator import VERSION, Connection
from cluster_client import ClusterClient, custom_object
from measurement import Measurement, cpu_seconds

from localcluster import LocalCluster
from localcluster.processes import resident_bytes
from stage import Emulator, Operator, install

TASKS = int(os.environ.get("BENCH_TASKS", "1000000"))
SMALL = 1_000
NAMESPACE = "large"
PATIENCE = 3600.0
_GOAL_SECONDS = 3.0
_GOAL_MEBIBYTES = 40.0
_AFTER = 30.0
"""Seconds after the result in which lists of tasks are counted."""
_LOOK = 0.1
_TIME_SCALE = 100.0
_LISTS = "Tasks_ListTasks"


@dataclass(frozen=True)
class Life:
    """One job from its creation to some time after its end.

    Attributes:
        added: seconds until the last task was there.
        ended: seconds until the job was completed.
        late: seconds from there until `Complete` was written.
        cpu: seconds of the operator's CPU time.
        peak: bytes of the operator's memory at most, sampled.
        pages: list pages of tasks from the end until `Complete`, and afterwards: of those, no result depends.
    """

    added: float
    ended: float
    late: float
    cpu: float
    peak: int
    pages: int
    pages_afterwards: int


def run() -> list[Measurement]:
    """Run the small job first, so that both runs have the same things loaded."""
    with tempfile.TemporaryDirectory() as folder, LocalCluster(Path(folder) / "cluster") as cluster:
        install(cluster)
        cluster.kubectl("create", "namespace", NAMESPACE)
        own = Path(folder) / "own"
        emulator = Emulator.start(own, time_scale=_TIME_SCALE, arguments=("--executor=simulated",))
        try:
            operator = Operator.start(cluster, own, arguments=("--namespace", NAMESPACE))
            try:
                _prepare(cluster, emulator)
                scene = _Scene(cluster, emulator, operator)
                small, large = scene.live("small", SMALL), scene.live("large", TASKS)
            finally:
                operator.kill()
        finally:
            emulator.kill()
    more = (large.peak - small.peak) / 2**20
    what = f"job of {TASKS:,} tasks"
    return [
        Measurement(f"{what}: all tasks added", large.added, "s"),
        Measurement(f"{what}: ended", large.ended, "s"),
        Measurement("tasks added", TASKS / large.added, "per second"),
        Measurement("Complete after the job's end", large.late, "s", _GOAL_SECONDS, smaller_is_better=True),
        Measurement(f"the same with {SMALL:,} tasks", small.late, "s"),
        Measurement("list pages from the end to Complete", large.pages, "", 8.0, smaller_is_better=True, counted=True),
        Measurement(f"list pages in {_AFTER:.0f} s afterwards", large.pages_afterwards, ""),
        Measurement(f"operator's memory with {SMALL:,} tasks", small.peak / 2**20, "MiB"),
        Measurement("operator's memory beyond that", more, "MiB", _GOAL_MEBIBYTES, smaller_is_better=True),
        Measurement(f"operator's memory with {TASKS:,} tasks", large.peak / 2**20, "MiB", counted=True),
        Measurement("CPU of the operator", large.cpu * 1e6 / TASKS, "µs per task"),
    ]


def _prepare(cluster: LocalCluster, emulator: Emulator) -> None:
    """An account, and a pool that runs all tasks soon."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "k"}, "stringData": {"key": emulator.key}}
    auth = {"sharedKey": {"secretRef": {"name": "k", "key": "key"}}}
    image = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"}
    machine = {"imageReference": image, "nodeAgentSKUId": "batch.node.ubuntu 22.04"}
    size = {"vmSize": "Standard_D64s_v5", "targetDedicatedNodes": 7, "taskSlotsPerNode": 256}
    account = custom_object("BatchAccount", "main", endpoint=emulator.endpoint, accountName=emulator.account, auth=auth)
    pool = custom_object("BatchPool", "cpu", accountRef={"name": "main"}, virtualMachineConfiguration=machine, **size)
    listed = {"apiVersion": "v1", "kind": "List", "items": [secret, account, pool]}
    cluster.kubectl("-n", NAMESPACE, "apply", "-f", "-", input=json.dumps(listed))
    cluster.kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", "batchpool/cpu", "--timeout=300s")


class _Scene:
    """One operator with its emulator and control plane."""

    def __init__(self, cluster: LocalCluster, emulator: Emulator, operator: Operator) -> None:
        self._emulator, self._operator, self._pid = emulator, operator, operator.process.pid
        self._cluster = ClusterClient(cluster, NAMESPACE)
        self._batch = Connection(emulator.endpoint, emulator.account, emulator.key)
        self._peak = 0

    def live(self, name: str, tasks: int) -> Life:
        """Create a job and wait for its end."""
        sweep = {"parametricSweep": {"parameterSets": [{"start": 1, "end": tasks}]}}
        factory = {**sweep, "repeatTask": {"commandLine": "/bin/sh -c 'sleep 5; echo {0}'"}}
        cpu, began = cpu_seconds(self._pid), time.monotonic()
        deadline, self._peak = began + PATIENCE, 0
        others = self._tasks()
        job = custom_object("BatchJob", name, poolRef={"name": "cpu"}, taskFactory=factory)
        self._cluster.create("batchjobs", job)
        added = self._until(lambda: self._tasks() - others >= tasks, deadline)
        ended = self._until(lambda: self._has_ended(name), deadline)
        at_end = self._pages()
        complete = self._until(lambda: self._is_complete(name), deadline)
        pages = self._pages()
        self._until(lambda: False, time.monotonic() + _AFTER, fails=False)
        spent, after = cpu_seconds(self._pid) - cpu, self._pages()
        return Life(added - began, ended - began, complete - ended, spent, self._peak, pages - at_end, after - pages)

    def _until(self, condition: Callable[[], bool], deadline: float, *, fails: bool = True) -> float:
        """When it was first seen to hold."""
        while not condition():
            self._operator.check()
            self._peak = max(self._peak, resident_bytes(self._pid))
            if time.monotonic() > deadline:
                if fails:
                    raise AssertionError(f"a job is not over after {PATIENCE:.0f} s: {self._cluster.get('batchjobs')}")
                break
            time.sleep(_LOOK)
        return time.monotonic()

    def _tasks(self) -> int:
        return int(self._emulator.admin("GET", "state")["tasks"])

    def _pages(self) -> int:
        return int(sum(self._emulator.admin("GET", "counters")["operations"].get(_LISTS, {}).values()))

    def _has_ended(self, name: str) -> bool:
        return bool(self._batch.call("GET", f"/jobs/{name}?{VERSION}")["state"] == "completed")

    def _is_complete(self, name: str) -> bool:
        conditions = self._cluster.get(f"batchjobs/{name}").get("status", {}).get("conditions", [])
        return any(each["type"] == "Complete" and each["status"] == "True" for each in conditions)
