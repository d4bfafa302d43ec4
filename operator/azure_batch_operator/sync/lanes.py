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
        overtaking: how many keys of a lane go before one that waits there and is less urgent; then that one is taken. Counted by
            lane, so that a flood in one is not hidden by what is taken from others.
    """

    def __init__(self, levels: int, width: int, overtaking: int) -> None:
        self._width, self._overtaking = width, overtaking
        self._passed: Counter[Hashable] = Counter()
        self._lines: tuple[dict[Hashable, deque[K]], ...] = tuple({} for _ in range(levels))
        # Lanes whose turn comes, the next one first. One that is full loses its turn, and `ended` gives it back.
        self._turns: tuple[dict[Hashable, None], ...] = tuple({} for _ in range(levels))
        self._active: Counter[Hashable] = Counter()

    def add(self, lane: Hashable, level: int, key: K) -> None:
        """Put a key at the end of its line."""
        self._lines[level].setdefault(lane, deque()).append(key)
        self._turns[level].setdefault(lane)

    def take(self, level: int) -> tuple[int, Hashable, K] | None:
        """The next key in a lane that has room and a key of a level; `started` follows if it is worked on.

        Returns:
            Its level, which may be a less urgent one whose turn it is, its lane, and the key.
        """
        turns = self._turns[level]
        while turns:
            lane = next(iter(turns))
            del turns[lane]
            if self._active[lane] >= self._width:
                continue
            at = self._level(level, lane)
            line = self._lines[at][lane]
            key = line.popleft()
            if not line:
                del self._lines[at][lane]
                self._turns[at].pop(lane, None)
            if lane in self._lines[level]:
                turns[lane] = None
            return at, lane, key
        return None

    def _level(self, level: int, lane: Hashable) -> int:
        """The level that is served when a lane has its turn at a level."""
        below = next((other for other in range(level + 1, len(self._lines)) if lane in self._lines[other]), None)
        if below is None:
            self._passed.pop(lane, None)
            return level
        self._passed[lane] += 1
        if self._passed[lane] <= self._overtaking:
            return level
        del self._passed[lane]
        return below

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
