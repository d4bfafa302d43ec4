"""What each write of a BatchTask costs the API server, of 1,000 that get each kind of write one after the other.

The second time, the API server adds the finalizer at creation, where it serves that.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import task_writes
from measurement import Measurement

from localcluster import LocalCluster
from stage import add_finalizers_at_creation, install

_COUNT = 1_000


def run() -> list[Measurement]:
    """Start a control plane and measure."""
    with tempfile.TemporaryDirectory() as folder, LocalCluster(Path(folder) / "cluster") as cluster:
        install(cluster)
        by_patch = asyncio.run(task_writes.measure(cluster, _COUNT, "a"))
        add_finalizers_at_creation(cluster)
        at_creation = asyncio.run(task_writes.measure(cluster, _COUNT, "b"))
    return [*_told(by_patch, "finalizer by patch"), *_told(at_creation, "finalizer at creation")]


def _told(costs: list[task_writes.Cost], how: str) -> list[Measurement]:
    whole = [
        task_writes.Cost("sum", sum(each.cpu_milliseconds for each in costs), sum(each.allocated_kib for each in costs))
    ]
    return [
        *(Measurement(f"{how}, {each.what}: allocated", each.allocated_kib, "KiB") for each in costs + whole),
        *(Measurement(f"{how}, {each.what}: CPU", each.cpu_milliseconds, "ms") for each in costs + whole),
    ]
