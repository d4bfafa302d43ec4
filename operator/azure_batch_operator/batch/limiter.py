"""Limits the rate of calls to an account: one `Limiter` per account, shared by all callers.

Four mechanisms together decide which call is sent next, and when: a token bucket (calls per second), a cap on calls in
flight, priorities, and the reaction to throttling (AIMD: 429 or 503 halves the rate, which then grows a little each
second; nothing is sent before Retry-After is over). The ceiling of the rate may itself rise while calls wait for it, until the
service throttles one.

Order: the place of a call is its arrival time plus `patience` for each step that its priority is below the highest. So
a delete overtakes polls that arrived a few seconds before it. Age alone does not prevent starvation: a poll that gives up
at its deadline starts to age again, so a flood that outlasts the deadline would starve it forever. Therefore no priority
is passed over more than `MAX_PASSED` times in a row while it has a call waiting
(tests/unit/batch/test_limiter.py, `test_polls_with_deadlines_are_not_starved_by_a_flood_of_updates`).

No task and no thread: waiting calls are futures, and one timer of the event loop grants them.
"""

import asyncio
import itertools
import math
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from azure_batch_operator.batch.requests import Priority

MAX_PASSED = 8
"""Maximum number of consecutive calls of other priorities while one of a priority waits."""
_BELOW_TOO_MUCH = 0.8
_RAISED_AGAIN_AFTER = 600.0
"""A raised ceiling falls to this share of a rate that was too high, and stays there for so many seconds."""

_Entry = tuple[float, int, asyncio.Future[None]]
"""Place in the queue, order of arrival, and the future to grant."""


class Handle(Protocol):
    """A timer that can be cancelled."""

    def cancel(self) -> None:
        """Cancel the timer."""
        ...


class Clock(Protocol):
    """The clock, which tests replace."""

    def now(self) -> float:
        """Seconds of a monotonic clock."""
        ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        """Call back at a time of that clock."""
        ...


class LoopClock:
    """The running event loop's time."""

    def now(self) -> float:
        """Seconds of the loop's clock."""
        return asyncio.get_running_loop().time()

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        """A timer of the loop."""
        return asyncio.get_running_loop().call_at(when, callback)


class Limiter:
    """Decides when calls may be sent. Must not be shared between event loops."""

    def __init__(
        self,
        calls_per_second: float = math.inf,
        *,
        burst: float | None = None,
        max_in_flight: int = 32,
        patience: float = 5.0,
        most: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Create a limiter.

        Args:
            calls_per_second: the highest rate; unlimited by default until the service throttles calls.
            burst: calls that may be sent together after a pause; by default those of one second.
            max_in_flight: maximum number of concurrent calls.
            patience: seconds that a step of priority counts in the queue.
            most: up to which the highest rate rises while calls wait for it and the service throttles none; by default not at all.
        """
        if calls_per_second <= 0 or max_in_flight < 1:
            raise ValueError("calls_per_second must be greater than 0, and max_in_flight at least 1")
        self._ceiling = self._usual = calls_per_second
        self._most = max(calls_per_second, calls_per_second if most is None else most)
        self._raised_from = -math.inf
        self._short = False
        self._rate = calls_per_second
        self._burst = max(1.0, calls_per_second if burst is None else burst)
        self._max_in_flight = max_in_flight
        self._patience = patience
        self._clock: Clock = clock or LoopClock()
        self._tokens = self._burst
        self._filled_at: float | None = None
        self._halved_at = -math.inf
        self._paused_until = 0.0
        self._in_flight = 0
        self._throttled_total = 0
        self._lines: dict[Priority, deque[_Entry]] = {priority: deque() for priority in Priority}
        self._passed = dict.fromkeys(Priority, 0)
        self._order = itertools.count()
        self._timer: Handle | None = None
        self._cancelled = 0
        self._growth = calls_per_second / 20
        self._free_at = math.inf
        # Calls that were sent in the last whole second and in this one, and the start of this one.
        self._granted = (0, 0)
        self._second = 0.0
        self._closed = False
        self._last_released: asyncio.Event | None = None

    @property
    def waiting(self) -> int:
        """Calls in the queue."""
        return sum(1 for line in self._lines.values() for _, _, turn in line if not turn.done())

    @property
    def in_flight(self) -> int:
        """Calls in flight."""
        return self._in_flight

    @property
    def throttled_total(self) -> int:
        """Number of throttled calls (429 and 503)."""
        return self._throttled_total

    @property
    def paused_until(self) -> float | None:
        """Time of the clock until which nothing is sent, or None."""
        return self._paused_until if self._paused_until > self._clock.now() else None

    @property
    def rate(self) -> float:
        """Current limit in calls per second."""
        return self._rate

    @asynccontextmanager
    async def slot(self, priority: Priority = Priority.USER) -> AsyncIterator[None]:
        """Wait for a slot, and hold it inside of the block."""
        await self.acquire(priority)
        try:
            yield
        finally:
            self.release()

    async def close(self) -> None:
        """Give no more slots, and wait until all calls in flight have ended."""
        self._closed = True
        if self._in_flight:
            self._last_released = asyncio.Event()
            await self._last_released.wait()

    def acquire_now(self) -> bool:
        """Take a slot if one is free; return it with `release`."""
        if self._closed or any(self._lines.values()):
            return False
        now = self._clock.now()
        self._refill(now)
        if self._in_flight >= self._max_in_flight or self._ready_at(now) > now:
            return False
        self._grant(now)
        return True

    async def acquire(self, priority: Priority = Priority.USER) -> None:
        """Wait for a slot; return it with `release`."""
        if self.acquire_now():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Calls of one priority arrive in the order of their places, so each queue is sorted.
        self._lines[priority].append((self._clock.now() + priority * self._patience, next(self._order), turn))
        self._dispatch()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()
            else:
                self._forget_cancelled()
            raise

    def release(self) -> None:
        """Return a slot."""
        self._in_flight -= 1
        if self._last_released is not None and not self._in_flight:
            self._last_released.set()
        self._dispatch()

    def throttled(self, retry_after: float | None) -> None:
        """Record that the service throttled a call; without Retry-After, pause for a second."""
        now = self._clock.now()
        self._refill(now)
        self._throttled_total += 1
        self._paused_until = max(self._paused_until, now + (1.0 if retry_after is None else retry_after))
        # The responses to one burst arrive together: they count once.
        if now - self._halved_at >= 1.0:
            # If there was no limit, the rate that was too high is the recent one.
            too_much = max(self._granted) if math.isinf(self._rate) else self._rate
            self._growth = (too_much if math.isinf(self._ceiling) else self._ceiling) / 20
            self._free_at = 4 * too_much if math.isinf(self._ceiling) else math.inf
            self._rate = max(too_much / 2, min(1.0, self._ceiling))
            if self._most > self._usual:
                self._ceiling = max(self._usual, too_much * _BELOW_TOO_MUCH)
                self._raised_from = now + _RAISED_AGAIN_AFTER
            self._halved_at = now
        self._tokens = min(self._tokens, 1.0)
        self._dispatch()

    def _forget_cancelled(self) -> None:
        """Remove cancelled calls from the queue once they are the majority: a pause may be long."""
        self._cancelled += 1
        if self._cancelled * 2 > sum(len(line) for line in self._lines.values()):
            for priority, line in self._lines.items():
                self._lines[priority] = deque(entry for entry in line if not entry[2].done())
            self._cancelled = 0

    def _next(self) -> Priority | None:
        """The next call: the first in the queue, unless a priority was passed over too often."""
        for priority, line in self._lines.items():
            while line and line[0][2].done():
                line.popleft()
            if not line:
                self._passed[priority] = 0
        waiting = [priority for priority, line in self._lines.items() if line]
        if not waiting:
            return None
        longest = max(waiting, key=self._passed.__getitem__)
        if self._passed[longest] >= MAX_PASSED:
            return longest
        return min(waiting, key=lambda candidate: self._lines[candidate][0][:2])

    def _dispatch(self) -> None:
        """Grant slots while there are calls, slots and tokens; set the timer for the next token."""
        if self._closed:
            return
        now = self._clock.now()
        self._refill(now)
        while self._in_flight < self._max_in_flight and (priority := self._next()) is not None:
            ready_at = self._ready_at(now)
            if ready_at > now:
                self._short = ready_at > self._paused_until
                self._wake_at(ready_at)
                return
            _, _, turn = self._lines[priority].popleft()
            for other in self._passed:
                self._passed[other] = 0 if other is priority else self._passed[other] + 1
            self._grant(now)
            turn.set_result(None)

    def _grant(self, now: float) -> None:
        self._tokens -= 1.0
        self._in_flight += 1
        if now - self._second >= 1.0:
            self._granted = (self._granted[1] if now - self._second < 2.0 else 0, 0)
            self._second = now
        self._granted = (self._granted[0], self._granted[1] + 1)

    def _ready_at(self, now: float) -> float:
        missing = max(0.0, 1.0 - self._tokens)
        # Slightly more than needed, so that rounding cannot make the timer fire too early forever.
        return max(self._paused_until, now + missing / self._rate + 1e-6 if missing else now)

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_at(when, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._dispatch()

    def _refill(self, now: float) -> None:
        """Add the tokens for the elapsed time, and increase a reduced rate by a twentieth of the former one per second.

        A pause adds no tokens, so no burst follows it. If no rate was configured, the limit is removed when four times the rate
        that was too high has been reached.
        """
        passed = 0.0 if self._filled_at is None else max(0.0, now - max(self._filled_at, self._paused_until))
        self._filled_at = now
        if math.isinf(self._rate):
            self._tokens = self._burst
            return
        burst = max(1.0, self._rate) if math.isinf(self._burst) else self._burst
        self._tokens = min(burst, self._tokens + passed * self._rate)
        if self._short and now >= self._raised_from:
            self._ceiling = min(self._most, self._ceiling + passed * self._growth)
        self._short = False
        self._rate = min(self._ceiling, self._rate + passed * self._growth)
        if self._rate >= self._free_at:
            self._rate = math.inf
