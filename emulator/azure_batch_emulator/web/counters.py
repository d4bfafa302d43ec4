"""What has been called how often, and with what result: the witness of tests about load."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from azure_batch_emulator.wire.ticks import format_timestamp

_LOG_LENGTH = 2000


class Counters:
    """Calls per operation and status, and the latest ones one by one. Status 0 is a call that got no response."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, int]] = Counter()
        self._calls: deque[dict[str, Any]] = deque(maxlen=_LOG_LENGTH)

    def note(self, operation: str, status: int, method: str, path: str, account: str, now: int) -> None:
        """Count one call; the query is left out, as it may hold a signature."""
        self._counts[operation, status] += 1
        self._calls.append(
            {
                "time": format_timestamp(now),
                "operation": operation,
                "method": method,
                "path": path,
                "status": status,
                "account": account,
            }
        )

    def clear(self) -> None:
        """Begin again."""
        self._counts.clear()
        self._calls.clear()

    def as_json(self) -> dict[str, Any]:
        """``{"total", "operations": {operation: {status: count}}}``."""
        operations: dict[str, dict[str, int]] = {}
        for (operation, status), count in sorted(self._counts.items()):
            operations.setdefault(operation, {})[str(status)] = count
        return {"total": self._counts.total(), "operations": operations}

    def calls(self) -> list[dict[str, Any]]:
        """The latest calls, oldest first."""
        return list(self._calls)
