"""An account whose commands end when the test says so, on a clock that moves when told."""

from __future__ import annotations

from typing import Any

from azure_batch_emulator.clock import ManualClock
from azure_batch_emulator.engine.entities import Task
from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.executors.base import RunHandle, RunObserver, RunRequest, RunResult
from azure_batch_emulator.executors.simulated import SimulatedExecutor
from azure_batch_emulator.schema.jobs import JOB
from azure_batch_emulator.schema.pools import POOL
from azure_batch_emulator.schema.tasks import TASK

MACHINE = {"imageReference": {"publisher": "p", "offer": "o", "sku": "s"}, "nodeAgentSKUId": "a"}


class OpenRun:
    """A run that ends when the test says so."""

    def __init__(self, request: RunRequest, observer: RunObserver) -> None:
        self.request, self._observer, self.over = request, observer, False

    def finish(self, result: RunResult) -> None:
        if self.request.leaves_services and result == DONE:
            self._observer.on_returned()
        elif not self.over:
            self.over = True
            self._observer.on_finished(result)

    def begin(self) -> None:
        self._observer.on_started()

    def kill(self) -> None:
        self.finish(RunResult(None))


class HandExecutor(SimulatedExecutor):
    """Leaves it to the test how runs end."""

    open: list[OpenRun]

    def start(self, request: RunRequest, observer: RunObserver) -> RunHandle:
        run = OpenRun(request, observer)
        self.open.append(run)
        self._clock.call_later(0.0, run.begin)
        return run


class Bench:
    """A pool of two nodes whose commands end by hand."""

    def __init__(self, **pool: Any) -> None:
        self.clock = ManualClock()
        self.executor = HandExecutor(self.clock, 1)
        self.executor.open = []
        self.service = BatchService("account", self.clock, self.executor, seed=1)
        body = {"id": "pool", "vmSize": "standard_d2s_v3", "virtualMachineConfiguration": MACHINE}
        body |= {"targetDedicatedNodes": 2, "enableInterNodeCommunication": True}
        self.pool = self.service.pools.create("pool", POOL.accept("", body | pool))
        self.clock.advance(120.0)

    def task(self, job: dict[str, Any] | None = None, **properties: Any) -> Task:
        spec = JOB.accept("", {"id": "job", "poolInfo": {"poolId": "pool"}} | (job or {}))
        found = self.service.jobs.create("job", spec)
        body = {"id": "t", "commandLine": "work", "constraints": {"maxTaskRetryCount": 0}} | properties
        task = self.service.tasks.add(found, TASK.accept("", body))
        self.clock.advance(1.0)
        return task

    def end_all(self, result: RunResult) -> list[str]:
        """End what runs; the command lines of it."""
        ended, self.executor.open = self.executor.open, []
        for run in ended:
            run.finish(result)
        self.clock.advance(1.0)
        return [run.request.command_line for run in ended]


LOST = RunResult(None, lost=True)
DONE = RunResult(0)
