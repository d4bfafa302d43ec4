"""How fast the tasks of a job end, and when the last one will end: from counts alone, updated only if a count changes.

So neither number is a reason to write a status that would not be written anyway, and both are rounded, as they are guesses.
"""

from __future__ import annotations

import math
from collections import deque

_WINDOW = 300.0
_FEWEST = 2


class Speed:
    """The counts of one job over the last five minutes."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self.per_minute: float | None = None
        self.estimated_end: float | None = None

    def add(self, at: float, ended: int, total: int) -> None:
        """Take in a count.

        Args:
            at: seconds since the epoch.
            ended: tasks that have ended.
            total: all tasks.
        """
        if self._seen and self._seen[-1][1] == ended:
            return
        if self._seen and ended < self._seen[-1][1]:
            # Tasks run again.
            self._seen.clear()
        self._seen.append((at, ended))
        while len(self._seen) > _FEWEST and at - self._seen[0][0] > _WINDOW:
            self._seen.popleft()
        began, before = self._seen[0]
        if at <= began or ended <= before:
            self.per_minute = self.estimated_end = None
            return
        per_minute = (ended - before) / (at - began) * 60
        self.per_minute = _rounded(per_minute)
        left = max(0, total - ended) / per_minute * 60
        step = 60.0 if left > 600 else 10.0
        self.estimated_end = math.ceil((at + left) / step) * step


def _rounded(value: float) -> float:
    """Two significant digits."""
    digits = 1 - math.floor(math.log10(value)) if value > 0 else 0
    return float(round(value, digits))
