"""What each write of a BatchTask costs the API server, of 1,000 that get each kind of write one after the other."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import task_writes
from measurement import Measurement

from localcluster import LocalCluster
from stage import install

_COUNT = 1_000


def run() -> list[Measurement]:
    """Start a control plane and measure."""
    with tempfile.TemporaryDirectory() as folder, LocalCluster(Path(folder) / "cluster") as cluster:
        install(cluster)
        costs = asyncio.run(task_writes.measure(cluster, _COUNT))
    return [
        *(Measurement(f"{each.what}: allocated", each.allocated_kib, "KiB") for each in costs),
        *(Measurement(f"{each.what}: CPU", each.cpu_milliseconds, "ms") for each in costs),
    ]
