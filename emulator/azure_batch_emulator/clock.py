"""The one clock of an emulator: what time it is, and when the service does what it has planned.

Delays are given in service seconds, as the real service would take them; `LoopClock` divides them by the time scale.
Timestamps stay those of the wall clock whatever the scale. `ManualClock` moves only when told: tests of the engine run
hours of service time without waiting.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Any, Protocol

from azure_batch_emulator.wire.ticks import TICKS_PER_SECOND, UNIX_EPOCH_TICKS, from_unix_ns


class Timer(Protocol):
    """Something planned that can be called off."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Time as the engine sees it."""

    scale: float

    def now(self) -> int:
        """The present in ticks, strictly increasing: two changes never share an ETag."""

    def service_seconds(self) -> float:
        """Service time that has passed since the clock was made, in seconds."""

    def real_seconds(self) -> float:
        """Real time that has passed since some moment, in seconds."""

    def call_later(self, seconds: float, callback: Callable[..., None], *args: Any) -> Timer:
        """Call back after that many service seconds."""

    def call_after_real(self, seconds: float, callback: Callable[..., None], *args: Any) -> Timer:
        """Call back after that many seconds of real time: limits on what users' own processes may take."""

    def pause(self) -> None:
        """Stop service time: nothing planned happens until `resume`."""

    def resume(self) -> None:
        """Let service time go on."""

    def skew(self, seconds: float) -> None:
        """Let the service's clock differ from the machine's by that much, to test what clients do about it."""

    def close(self) -> None:
        """Call off everything planned."""


class LoopClock:
    """Wall-clock time, with service delays run `scale` times faster on the event loop.

    While it is paused nothing that the service times moves on, so that a test can look at what lasts milliseconds.
    """

    def __init__(self, scale: float = 1.0) -> None:
        if not scale > 0:
            raise ValueError("the time scale must be positive")
        self.scale = scale
        self.paused = False
        self._skew = 0
        self._last = 0
        self._passed = 0.0
        self._running_since = time.monotonic()
        self._timers: set[_LoopTimer] = set()

    def now(self) -> int:
        now = from_unix_ns(time.time_ns()) + self._skew
        if now <= self._last:
            now = self._last + 1
        self._last = now
        return now

    def service_seconds(self) -> float:
        since = 0.0 if self.paused else time.monotonic() - self._running_since
        return (self._passed + since) * self.scale

    def real_seconds(self) -> float:
        return time.monotonic()

    def call_later(self, seconds: float, callback: Callable[..., None], *args: Any) -> Timer:
        # What follows at once is no matter of service time and continues during a pause.
        timer = _LoopTimer(self._timers, seconds / self.scale, callback, args, pausable=seconds > 0)
        if self.paused:
            timer.hold()
        return timer

    def call_after_real(self, seconds: float, callback: Callable[..., None], *args: Any) -> Timer:
        return _LoopTimer(self._timers, seconds, callback, args, pausable=False)

    def pause(self) -> None:
        """Stop service time."""
        if not self.paused:
            self._passed += time.monotonic() - self._running_since
            self.paused = True
            for timer in self._timers:
                timer.hold()

    def resume(self) -> None:
        """Let service time go on."""
        if self.paused:
            self._running_since = time.monotonic()
            self.paused = False
            for timer in list(self._timers):
                timer.go_on()

    def skew(self, seconds: float) -> None:
        self._skew = int(seconds * TICKS_PER_SECOND)
        self._last = 0

    def close(self) -> None:
        for timer in list(self._timers):
            timer.cancel()


class _LoopTimer:
    """A handle of the loop that leaves the clock's books when it is done, and can be held up."""

    __slots__ = ("_args", "_callback", "_handle", "_left", "_pausable", "_rest", "_timers")

    # epoll cannot wait longer than this. What is further away is waited for in several steps; "no limit" is centuries.
    _LONGEST = 86_400 * 24.0

    def __init__(
        self,
        timers: set[_LoopTimer],
        seconds: float,
        callback: Callable[..., None],
        args: tuple[Any, ...],
        *,
        pausable: bool,
    ) -> None:
        self._timers = timers
        self._callback = callback
        self._args = args
        self._pausable = pausable
        self._left: float | None = None
        self._rest = 0.0
        timers.add(self)
        self._handle: asyncio.Handle | None = self._plan(seconds)

    def _plan(self, seconds: float) -> asyncio.Handle:
        loop = asyncio.get_running_loop()
        if seconds <= 0 and not self._pausable:
            # Most of what is planned is due at once, and the loop's queue is several times as cheap as its heap.
            return loop.call_soon(self._run)
        step = min(seconds, self._LONGEST)
        self._rest = seconds - step
        return loop.call_later(step, self._run)

    def _run(self) -> None:
        if self._rest > 0:
            self._handle = self._plan(self._rest)
            return
        self._timers.discard(self)
        callback, args = self._callback, self._args
        # What is over holds on to nothing: timers and those who keep them refer to each other.
        self._handle, self._callback, self._args = None, _nothing, ()
        callback(*args)

    def hold(self) -> None:
        if self._pausable and self._left is None and isinstance(self._handle, asyncio.TimerHandle):
            self._left = max(0.0, self._handle.when() - asyncio.get_running_loop().time()) + self._rest
            self._handle.cancel()

    def go_on(self) -> None:
        if self._left is not None:
            self._handle, self._left = self._plan(self._left), None

    def cancel(self) -> None:
        self._timers.discard(self)
        if self._handle is not None:
            self._handle.cancel()
        self._handle, self._callback, self._args = None, _nothing, ()


def _nothing() -> None:
    """What a timer that has gone off would call."""


class ManualClock:
    """A clock that is stopped until `advance`; service time and real time are the same."""

    scale = 1.0

    def __init__(self) -> None:
        self._seconds = 0.0
        self._last = 0
        self._order = itertools.count()
        self._heap: list[tuple[float, int, _ManualTimer]] = []
        self._epoch = UNIX_EPOCH_TICKS + 1_750_000_000 * TICKS_PER_SECOND

    def now(self) -> int:
        self._last = max(self._last + 1, self._epoch + int(self._seconds * TICKS_PER_SECOND))
        return self._last

    def service_seconds(self) -> float:
        return self._seconds

    real_seconds = service_seconds

    def call_later(self, seconds: float, callback: Callable[..., None], *args: Any) -> Timer:
        timer = _ManualTimer(callback, args)
        heapq.heappush(self._heap, (self._seconds + max(seconds, 0.0), next(self._order), timer))
        return timer

    call_after_real = call_later

    def advance(self, seconds: float) -> None:
        """Let time pass, and everything happen that falls due meanwhile, in order."""
        end = self._seconds + seconds
        while self._heap and self._heap[0][0] <= end:
            self._seconds, _, timer = heapq.heappop(self._heap)
            timer.run()
        self._seconds = end

    def run_until(self, condition: Callable[[], bool], limit: float = 1e7) -> None:
        """Advance from one planned event to the next until the condition holds.

        Raises:
            TimeoutError: nothing is planned any more, or more than `limit` seconds passed.
        """
        end = self._seconds + limit
        while not condition():
            if not self._heap or self._heap[0][0] > end:
                raise TimeoutError("the condition is not met and nothing more will happen")
            self.advance(self._heap[0][0] - self._seconds)

    def pause(self) -> None:
        """Nothing to do: it is stopped anyway."""

    def resume(self) -> None:
        """Nothing to do."""

    def skew(self, seconds: float) -> None:
        self._epoch += int(seconds * TICKS_PER_SECOND)

    def close(self) -> None:
        self._heap.clear()


class _ManualTimer:
    __slots__ = ("_args", "_callback")

    def __init__(self, callback: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._callback = callback
        self._args = args

    def run(self) -> None:
        self._callback(*self._args)

    def cancel(self) -> None:
        # It stays in the heap until it is due, and holds on to nothing.
        self._callback, self._args = _nothing, ()
