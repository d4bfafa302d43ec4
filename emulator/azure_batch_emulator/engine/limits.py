"""Limits of wall-clock time: of the tries of tasks, and of jobs.

Where commands are processes, a limit counts real seconds, as they do; where they are simulated, service seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from azure_batch_emulator.clock import Timer
from azure_batch_emulator.engine.state import AccountState
from azure_batch_emulator.wire.durations import INFINITE, duration_seconds

# Of the machine's time. Beyond this a limit is no limit: no test lives that long, and the event loop could not wait for it.
_NO_LIMIT_SECONDS = 20 * 86_400.0


class Limits:
    """Watches over the limits of an account."""

    def __init__(self, state: AccountState) -> None:
        self._state = state

    def reading(self) -> float:
        """The present, in seconds of the time that limits count."""
        clock = self._state.clock
        return clock.real_seconds() if self._state.executor.real_time else clock.service_seconds()

    def watch(self, limit: str, since: float, callback: Callable[..., None], *args: Any) -> Timer | None:
        """Call back when a limit is over.

        Args:
            limit: as in ``maxWallClockTime``.
            since: the reading from which it counts.

        Returns:
            The timer; None when there is no limit.
        """
        if limit == INFINITE:
            return None
        clock, real = self._state.clock, self._state.executor.real_time
        seconds = duration_seconds(limit)
        if seconds >= _NO_LIMIT_SECONDS * (1.0 if real else clock.scale):
            return None
        later = clock.call_after_real if real else clock.call_later
        return later(max(0.0, since + seconds - self.reading()), callback, *args)
