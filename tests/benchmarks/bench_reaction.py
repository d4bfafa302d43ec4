"""Time from a change of a spec to its call, with the real operator process and 50 accounts, of which 5 are dead.

The call is that in the emulator's log. The dead accounts take calls and never answer them, and all of their objects change just
before. Then the same while one resync after the other compares 10,000 BatchTasks with the API server. The bound of the machine is
the time of the two requests that are needed: the change, and the call, by a client that sends one after the other. BENCH_TASKS is
the number of BatchTasks, and BENCH_ACCOUNTS that of the accounts.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench_emulator import VERSION, Connection
from cluster_client import ClusterClient, custom_object
from measurement import Measurement
from reactions import percentile

from azure_batch_emulator.config import DEFAULT_KEY
from localcluster import LocalCluster
from stage import Emulator, Operator, add_finalizers_at_creation, install, wait_until

ACCOUNTS = int(os.environ.get("BENCH_ACCOUNTS", "50"))
DEAD = max(1, ACCOUNTS // 10)
TASKS = int(os.environ.get("BENCH_TASKS", "10000"))
OBJECTS_OF_A_DEAD_ONE = 20
ROUNDS = 5
NAMESPACE = "reaction"
_GOAL = 100.0
_PATIENCE = 900.0
_PAUSE = 0.1
_BETWEEN_ROUNDS = 5.0
"""Seconds in which a poll sees what was changed: until then, another change of the same job waits for it."""
_MACHINE = {
    "imageReference": {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"},
    "nodeAgentSKUId": "batch.node.ubuntu 22.04",
}
_POOL: dict[str, Any] = {
    "vmSize": "Standard_D2s_v3",
    "virtualMachineConfiguration": _MACHINE,
    "targetDedicatedNodes": 0,
}
Json = dict[str, Any]


def run() -> list[Measurement]:
    """Beside dead accounts first, then during resyncs, and the bound last, when nothing else runs."""
    with tempfile.TemporaryDirectory() as folder, LocalCluster(Path(folder) / "cluster") as cluster:
        install(cluster)
        add_finalizers_at_creation(cluster)
        cluster.kubectl("create", "namespace", NAMESPACE)
        names = [f"account{number:02}" for number in range(ACCOUNTS)]
        services = [
            _emulator(Path(folder) / name, some) for name, some in (("live", names[DEAD:]), ("dead", names[:DEAD]))
        ]
        try:
            scene = _Scene(cluster, Path(folder), names, services[0], services[1])
            beside_dead = scene.beside_dead_ones()
            during_resync = scene.during_resyncs()
            bound = scene.bound()
        finally:
            for each in services:
                each.kill()
    healthy = f"change to call on {ACCOUNTS - DEAD} accounts"
    return [
        Measurement("bound: a change and a call, p99", percentile(bound, 99), "ms"),
        *_rows(f"{healthy}, beside {DEAD} dead ones", beside_dead, bound),
        *_rows(f"{healthy}, while {TASKS:,} BatchTasks are compared", during_resync, bound),
    ]


def _rows(what: str, found: list[float], bound: list[float]) -> list[Measurement]:
    return [
        Measurement(f"{what}: median", median(found), "ms"),
        Measurement(f"{what}: p99 of {len(found)}", percentile(found, 99), "ms", _GOAL, smaller_is_better=True),
        Measurement(f"{what}: p99", percentile(found, 99) / percentile(bound, 99), "× bound"),
    ]


def _emulator(folder: Path, names: list[str]) -> Emulator:
    also = [f"--also={name}:{DEFAULT_KEY}" for name in names[1:]]
    # At this scale, the times in its log are those of the clock.
    arguments = ("--executor=simulated", "--exact-counts", f"--account={names[0]}", *also)
    return Emulator.start(folder, time_scale=1.0, arguments=arguments)


@dataclass
class _Scene:
    """Accounts with a pool each, and an open job in each healthy one."""

    cluster: LocalCluster
    folder: Path
    names: list[str]
    live: Emulator
    dead: Emulator

    def __post_init__(self) -> None:
        self.client = ClusterClient(self.cluster, NAMESPACE)
        self.healthy = self.names[DEAD:]
        self.priority = 0

    def beside_dead_ones(self) -> list[float]:
        """Milliseconds of each change."""
        operator = self._start("first")
        try:
            self._create()
            self.dead.admin("POST", "faults", {"effect": {"hang": True}})
            for name in self.names[:DEAD]:
                for number in range(OBJECTS_OF_A_DEAD_ONE):
                    self.client.patch(f"batchpools/{name}-{number}", {"targetDedicatedNodes": 1})
            return self._changes()
        finally:
            operator.kill()

    def during_resyncs(self) -> list[float]:
        """The same with another operator, which compares as often as it can."""
        operator = self._start("second", "--resync-seconds=1")
        try:
            for number in range(TASKS):
                spec = {"jobRef": {"name": self.healthy[number % len(self.healthy)]}, "commandLine": "true"}
                self.client.create("batchtasks", custom_object("BatchTask", f"t{number:05}", **spec))
            wait_until(lambda: self.live_tasks() == TASKS, "all tasks are added", _PATIENCE)
            return self._changes()
        finally:
            operator.kill()

    def bound(self) -> list[float]:
        """Milliseconds of a change and of a call, one after the other; no operator runs."""
        name = self.healthy[0]
        batch, found = Connection(self.live.endpoint, name, self.live.key), list[float]()
        for priority in range(100):
            began = time.perf_counter()
            self.client.patch(f"batchjobs/{name}", {"priority": priority})
            batch.call("PATCH", f"/jobs/{name}?{VERSION}", {"priority": priority})
            found.append((time.perf_counter() - began) * 1000)
            time.sleep(_PAUSE)
        return found

    def live_tasks(self) -> int:
        """Tasks in all healthy accounts."""
        return sum(int(self.live.admin("GET", f"state?account={name}")["tasks"]) for name in self.healthy)

    def _start(self, name: str, *arguments: str) -> Operator:
        return Operator.start(self.cluster, self.folder / name, arguments=("--namespace", NAMESPACE, *arguments))

    def _create(self) -> None:
        items: list[Json] = [_secret(DEFAULT_KEY)]
        for name in self.names:
            dead = name in self.names[:DEAD]
            endpoint = self.dead.endpoint if dead else self.live.endpoint
            auth = {"sharedKey": {"secretRef": {"name": "k", "key": "key"}}}
            items.append(custom_object("BatchAccount", name, endpoint=endpoint, accountName=name, auth=auth))
            pools = [f"{name}-{number}" for number in range(OBJECTS_OF_A_DEAD_ONE)] if dead else [name]
            items += (custom_object("BatchPool", pool, accountRef={"name": name}, **_POOL) for pool in pools)
            if not dead:
                items.append(custom_object("BatchJob", name, poolRef={"name": name}, priority=0))
        listed = {"apiVersion": "v1", "kind": "List", "items": items}
        self.cluster.kubectl("-n", NAMESPACE, "apply", "-f", "-", input=json.dumps(listed))
        ready = ("wait", "--for=condition=Ready", "batchpool,batchjob", "--all", f"--timeout={_PATIENCE:.0f}s")
        self.cluster.kubectl("-n", NAMESPACE, *ready)

    def _changes(self) -> list[float]:
        """Change each job some times, and read from the log of the emulator when its call came."""
        found = list[float]()
        for _ in range(ROUNDS):
            self.priority += 1
            changed = {}
            for name in self.healthy:
                changed[name] = time.time()
                self.client.patch(f"batchjobs/{name}", {"priority": self.priority})
                time.sleep(_PAUSE)
            called: dict[str, float] = wait_until(partial(self._calls, changed), "all calls are made", _PATIENCE)
            found += [(called[name] - at) * 1000 for name, at in changed.items()]
            time.sleep(_BETWEEN_ROUNDS)
        return found

    def _calls(self, changed: Mapping[str, float]) -> dict[str, float]:
        """When each of the jobs was updated since it was changed; empty while one is not."""
        found = dict[str, float]()
        for call in self.live.admin("GET", "calls")["value"]:
            at = datetime.fromisoformat(call["time"].rstrip("Z")[:26] + "+00:00").timestamp()
            name = call["path"].rpartition("/")[2]
            if call["operation"] == "Jobs_UpdateJob" and call["status"] < 300 and at >= changed.get(name, at):
                found.setdefault(name, at)
        return found if changed.keys() <= found.keys() else {}


def _secret(key: str) -> Json:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "k"}, "stringData": {"key": key}}
