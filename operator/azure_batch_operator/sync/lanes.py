"""Lines of keys side by side: each takes its turn, and only so many keys of one are worked on at once.

Each Batch account is a lane of the work queue, so a dead or throttled account cannot occupy the workers of all others. Nothing here
knows what a key is, or how urgent one is.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Lanes(Generic[K]):
    """Keys by level, the most urgent at 0, and lane.

    Args:
        levels: number of levels.
        width: how many keys of a lane may be worked on at once.
    """

    def __init__(self, levels: int, width: int) -> None:
        self._width = width
        self._lines: tuple[dict[Hashable, deque[K]], ...] = tuple({} for _ in range(levels))
        # Lanes whose turn comes, the next one first. One that is full loses its turn, and `ended` gives it back.
        self._turns: tuple[dict[Hashable, None], ...] = tuple({} for _ in range(levels))
        self._active: Counter[Hashable] = Counter()

    def add(self, lane: Hashable, level: int, key: K) -> None:
        """Put a key at the end of its line."""
        self._lines[level].setdefault(lane, deque()).append(key)
        self._turns[level].setdefault(lane)

    def take(self, level: int) -> tuple[Hashable, K] | None:
        """The next key of a level in a lane that has room, and that lane; `started` follows if it is worked on."""
        turns, lines = self._turns[level], self._lines[level]
        while turns:
            lane = next(iter(turns))
            del turns[lane]
            if self._active[lane] >= self._width:
                continue
            line = lines[lane]
            key = line.popleft()
            if line:
                turns[lane] = None
            else:
                del lines[lane]
            return lane, key
        return None

    def waits(self, level: int) -> bool:
        """Whether any key of a level waits."""
        return bool(self._lines[level])

    def waits_in(self, lane: Hashable) -> bool:
        """Whether any key waits in a lane."""
        return any(lane in lines for lines in self._lines)

    def started(self, lane: Hashable) -> None:
        """A key of a lane is worked on."""
        self._active[lane] += 1

    def ended(self, lane: Hashable) -> None:
        """It is no longer."""
        self._active[lane] -= 1
        if not self._active[lane]:
            del self._active[lane]
        for turns, lines in zip(self._turns, self._lines, strict=True):
            if lane in lines:
                turns.setdefault(lane)
