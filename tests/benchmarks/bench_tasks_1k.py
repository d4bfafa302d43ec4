"""1,000 BatchTasks: by a bare client, this operator, and a Kopf operator with a timer for each object (`reference/timers.py`)."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from measurement import Measurement
from task_runs import Bench

from localcluster import LocalCluster
from stage import Emulator, install

TASKS = int(os.environ.get("BENCH_TASKS", "1000"))
TIMERS = Path(__file__).parent / "reference" / "timers.py"


def run() -> list[Measurement]:
    """The bare client first, then this operator, then the other."""
    with tempfile.TemporaryDirectory() as folder, LocalCluster(Path(folder) / "cluster") as cluster:
        install(cluster)
        bench = Bench(cluster, Path(folder), TASKS)
        bare, operator, timers = bench.bare(), bench.operator("operator"), bench.other("timers", _timers)
    return [
        *bare.measurements("bare client"),
        *operator.measurements("operator"),
        *operator.beside(bare, "operator"),
        *timers.measurements("Kopf with timers"),
        *timers.beside(bare, "Kopf with timers"),
        Measurement("operator: time", operator.seconds / bare.seconds, "× bare client"),
        Measurement("operator: rate", operator.rate / timers.rate, "× Kopf with timers", 20.0),
    ]


def _timers(cluster: LocalCluster, emulator: Emulator, namespace: str) -> tuple[Sequence[str], Mapping[str, str]]:
    command = (sys.executable, "-m", "kopf", "run", "--quiet", "--namespace", namespace, str(TIMERS))
    return command, {"KUBECONFIG": str(cluster.kubeconfig), **emulator.environment}
