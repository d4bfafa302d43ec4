"""Counts that are behind the truth, as the service documents them: "may not always be up to date".

A count is kept as it was before each change, for as long as it may still be shown. Several changes within a fraction of
the lag share one record, so that a job with a million tasks keeps no more records than one with ten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
_STEPS = 4


@dataclass(slots=True)
class CountsLag:
    """How far the counts of an account are behind.

    Attributes:
        seconds: in service time; 0 for exact counts.
        now: service time that has passed, in seconds.
    """

    seconds: float
    now: Callable[[], float]


class Lagging(Generic[T]):
    """One value of which callers see the past.

    Args:
        lag: shared by everything that lags in an account, so that it can be changed at any time.
    """

    __slots__ = ("_lag", "_past")

    def __init__(self, lag: CountsLag) -> None:
        self._lag = lag
        self._past: deque[tuple[float, T]] = deque()

    def changes(self, value: Callable[[], T]) -> None:
        """Call before each change.

        Args:
            value: makes a copy of the value as it still is; called only when a record is due.
        """
        seconds = self._lag.seconds
        if not seconds:
            self._past.clear()
            return
        now = self._lag.now()
        past = self._past
        if past and now - past[-1][0] < seconds / _STEPS:
            return
        self._forget(now - seconds)
        past.append((now, value()))

    def shown(self, value: Callable[[], T]) -> T:
        """The value as callers see it.

        Args:
            value: makes a copy of the present value; called only when nothing older is to be shown.
        """
        if not self._lag.seconds:
            self._past.clear()
        elif self._past:
            self._forget(self._lag.now() - self._lag.seconds)
        return self._past[0][1] if self._past else value()

    def _forget(self, then: float) -> None:
        while self._past and self._past[0][0] <= then:
            self._past.popleft()
