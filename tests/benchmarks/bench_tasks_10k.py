"""10,000 BatchTasks in 20 jobs, from create to the last status: by a bare client, a controller-runtime operator, and this operator.

BENCH_TASKS is the number of tasks, for a quick look. The operator runs twice: its finalizer by patch, and at creation. What the
controller-runtime operator does and does not do stands in `reference/controller/main.go`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from measurement import Measurement
from task_runs import JOBS, Bench, Run

from localcluster import LocalCluster
from localcluster.goprogram import GoProgram, built
from stage import Emulator, add_finalizers_at_creation, install

TASKS = int(os.environ.get("BENCH_TASKS", "10000"))
CONTROLLER = GoProgram(
    Path(__file__).parent / "reference" / "controller", "the controller-runtime operator (about 3 minutes)"
)


def run() -> list[Measurement]:
    """The bare client first, then the others."""
    program = built(CONTROLLER) / CONTROLLER.folder.name

    def controller(
        cluster: LocalCluster, emulator: Emulator, namespace: str
    ) -> tuple[Sequence[str], Mapping[str, str]]:
        return (str(program), str(cluster.kubeconfig), namespace), emulator.environment

    with tempfile.TemporaryDirectory() as folder, LocalCluster(Path(folder) / "cluster") as cluster:
        install(cluster)
        bench = Bench(cluster, Path(folder), TASKS)
        bare = bench.bare()
        other = bench.other("controller-runtime", controller)
        by_patch = bench.operator("patch")
        add_finalizers_at_creation(cluster)
        at_creation = bench.operator("creation")
    return [
        *bare.measurements("bare client"),
        *other.measurements("controller-runtime"),
        *other.beside(bare, "controller-runtime"),
        *_operator("finalizer by patch", by_patch, bare, other, writes=2.1),
        *_operator("finalizer at creation", at_creation, bare, other, writes=1.1, time=1.25),
    ]


def _operator(
    way: str, done: Run, bare: Run, other: Run, *, writes: float, time: float | None = None
) -> list[Measurement]:
    calls = next(measured.value for measured in done.more if measured.what == "addtaskcollection calls")
    memory = next(measured.value for measured in done.more if measured.what == "operator's memory")
    return [
        *done.measurements(way),
        *done.beside(bare, way),
        Measurement(f"{way}: writes", done.writes, "per task", writes, smaller_is_better=True, counted=True),
        Measurement(f"{way}: calls for 100 tasks", calls, "", 1.05 * max(TASKS / 100, JOBS), smaller_is_better=True),
        Measurement(f"{way}: memory", memory, "MiB", 150.0, smaller_is_better=True),
        Measurement(f"{way}: time", done.seconds / bare.seconds, "× bare client", time, smaller_is_better=True),
        Measurement(f"{way}: rate", done.rate / other.rate, "× controller-runtime", 2.0),
    ]
