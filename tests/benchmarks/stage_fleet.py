"""What the benchmarks on the quick stage have in common: a service without quotas, and counts between two moments.

On the quick stage (`tests/quick/README.md`) the real operator runs on virtual time, without a control plane. So what is counted
there (calls, writes, passes) hardly depends on the machine. Virtual seconds contain the latencies of the stage and all waits of
the operator, but no CPU time.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from azure_batch_emulator.config import Quotas
from azure_batch_operator.sync.controller import RECONCILES
from support.stage import Stage
from support.stage.azure import Azure

_READS = {"get", "list"}
_PLENTY = Quotas(pools=10**6, active_jobs_and_schedules=10**6, dedicated_cores=10**7, low_priority_cores=10**7)


def lift_quotas(azure: Azure) -> None:
    """Let each account have as many resources as a benchmark needs."""
    for service in azure.services.values():
        service.quotas = _PLENTY


@dataclass(frozen=True)
class Count:
    """What has happened so far, or between two moments.

    Attributes:
        calls: of the operator to Azure Batch, by operation.
        writes: of the operator to the API server.
        passes: over objects.
        seconds: of virtual time.
        cpu: of this process: operator, emulator and the stage's own API server.
    """

    calls: Counter[str]
    writes: int
    passes: float
    seconds: float
    cpu: float

    @classmethod
    def of(cls, stage: Stage, *others: Azure) -> Count:
        """From the beginning of the stage until now; `others` are further emulators."""
        calls = sum((azure.by_operation() for azure in (stage.azure, *others)), Counter[str]())
        writes = sum(call.verb not in _READS for call in stage.api.log)
        samples = (sample for family in RECONCILES.collect() for sample in family.samples)
        passes = sum(sample.value for sample in samples if sample.name.endswith("_total"))
        return cls(calls, writes, passes, stage.now, time.process_time())

    def __sub__(self, before: Count) -> Count:
        return Count(
            self.calls - before.calls,
            self.writes - before.writes,
            self.passes - before.passes,
            self.seconds - before.seconds,
            self.cpu - before.cpu,
        )
