"""An emulator that goes on with the state file of another."""

from __future__ import annotations

import json

from azure_batch_emulator.clock import ManualClock
from azure_batch_emulator.engine import snapshot
from azure_batch_emulator.engine.service import BatchService
from support.hand_executor import Bench, HandExecutor


def restarted(bench: Bench) -> Bench:
    """The account in another emulator that goes on with its state file."""
    again = Bench.__new__(Bench)
    again.clock = ManualClock()
    again.executor = HandExecutor(again.clock, 1)
    again.executor.open = []
    again.service = BatchService("account", again.clock, again.executor, seed=1)
    again.clock.advance(100_000.0)
    snapshot.load(again.service, json.loads(json.dumps(snapshot.dump(bench.service))))
    again.pool = again.service.pool_table["pool"]
    again.clock.advance(120.0)
    return again
