"""The call rate of one account, rounded for its status."""

from __future__ import annotations

from collections.abc import Callable

_STEPS = (10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000)
_SPAN = 50.0


class Traffic:
    """Counts calls.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._calls = 0
        self._since = clock()
        self._shown = 0

    def count(self) -> None:
        """There was a call."""
        self._calls += 1

    def per_minute(self) -> int:
        """Calls per minute, rounded up to one of a few steps; 0 before they were counted for most of a minute."""
        seconds = self._clock() - self._since
        if seconds >= _SPAN:
            rate = self._calls * 60 / seconds
            self._calls, self._since = 0, self._clock()
            self._shown = next((step for step in _STEPS if rate <= step), _STEPS[-1])
        return self._shown
