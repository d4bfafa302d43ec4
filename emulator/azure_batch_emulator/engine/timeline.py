"""What ran where and when, for people and tests that ask afterwards: the latest commands that have ended, in a ring."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from azure_batch_emulator.engine.entities import Run
from azure_batch_emulator.executors.base import RunResult
from azure_batch_emulator.wire.ticks import format_timestamp

MAX_ENTRIES = 10_000
_Entry = tuple[str, str, str, str, int | None, int, int | None, str | None]


class Timeline:
    """Tries of commands: of tasks and subtasks, coordination commands of primaries, start, job preparation and release tasks."""

    def __init__(self) -> None:
        self._ended: deque[_Entry] = deque(maxlen=MAX_ENTRIES)
        self._count = 0

    def ended(self, run: Run, now: int, result: RunResult) -> None:
        """Note a run that is over.

        Args:
            now: in ticks.
        """
        failure = result.failure[1] if result.failure is not None else None
        node = run.node
        self._count += 1
        self._ended.append((run.kind, run.name, node.pool.id, node.id, run.started, now, result.exit_code, failure))

    def as_json(self, under_way: Iterable[Run]) -> dict[str, Any]:
        """All that is known, oldest first: ``{"value": [{"kind", "run", "poolId", "nodeId", "startTime"?, "endTime"?,
        "exitCode"?, "failure"?}], "forgotten"}``.

        Args:
            under_way: runs that have not ended.
        """
        value = [_shown(*entry) for entry in self._ended]
        value += [
            _shown(run.kind, run.name, run.node.pool.id, run.node.id, run.started, None, None, None)
            for run in under_way
            if run.name
        ]
        value.sort(key=lambda entry: entry.get("startTime") or entry.get("endTime") or "9")
        return {"value": value, "forgotten": self._count - len(self._ended)}


def _shown(
    kind: str,
    name: str,
    pool_id: str,
    node_id: str,
    started: int | None,
    ended: int | None,
    exit_code: int | None,
    failure: str | None,
) -> dict[str, Any]:
    entry: dict[str, Any] = {"kind": kind, "run": name, "poolId": pool_id, "nodeId": node_id}
    if started is not None:
        entry["startTime"] = format_timestamp(started)
    if ended is not None:
        entry["endTime"] = format_timestamp(ended)
    if exit_code is not None:
        entry["exitCode"] = exit_code
    if failure is not None:
        entry["failure"] = failure
    return entry
