"""The work queue, with the semantics of controller-runtime in asyncio.

A key is in the queue once however often it is added, is never worked on twice in parallel, and comes back when it was added
while being worked on. Users' changes overtake the refresh of a restart, but a flood of them does not starve it. Keys are divided
into lanes, one for each Batch account: a worker that waits for a call to one account keeps no other account waiting. When
something refused may be retried is kept in `sync.backoff`.
"""

from __future__ import annotations

import asyncio
import heapq
import sys
import time
from collections.abc import Callable, Collection, Hashable
from enum import IntEnum
from typing import Generic, TypeVar

from prometheus_client import Histogram

from azure_batch_operator.sync.lanes import Lanes

WAITED = Histogram(
    "azurebatch_workqueue_wait_seconds",
    "Time that objects waited in the work queue",
    buckets=(0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300),
)

MAX_OVERTAKEN = 8
"""Users' changes that go before one waiting refresh; then it is served."""

K = TypeVar("K", bound=Hashable)


class Urgency(IntEnum):
    """Who goes first."""

    USER = 0
    REFRESH = 1


class WorkQueue(Generic[K]):
    """Keys to be looked at.

    Args:
        lane: of a key, as it is now.
        width: how many keys of a lane are worked on at once.
    """

    def __init__(self, lane: Callable[[K], Hashable] = lambda _: None, width: int = sys.maxsize) -> None:
        self._lane = lane
        self._ready: Lanes[K] = Lanes(len(Urgency), width, MAX_OVERTAKEN)
        self._lane_of: dict[K, Hashable] = {}
        """Of the keys that are worked on, since it may change meanwhile."""
        self._queued: dict[K, Urgency] = {}
        self._queued_at: dict[K, float] = {}
        self._active_since: dict[K, float] = {}
        self._active: dict[K, Urgency | None] = {}
        self._delayed: list[tuple[float, int, K, Urgency]] = []
        self._due: dict[K, float] = {}
        self._sequence = 0
        # A permit for each entry in `_ready` whose lane has room, or more: an entry wakes one worker, however many wait.
        self._entries = asyncio.Semaphore(0)
        self._alarm: asyncio.TimerHandle | None = None
        self.added_total = 0
        self.retries_total = 0

    def __len__(self) -> int:
        return len(self._queued)

    @property
    def delayed(self) -> int:
        """Keys that wait for their time."""
        return len(self._due)

    def waits_in(self, lane: Hashable) -> bool:
        """Whether a key of a lane is queued."""
        return self._ready.waits_in(lane)

    def active(self) -> Collection[K]:
        """The keys that are worked on."""
        return self._active.keys()

    def active_since(self) -> Collection[float]:
        """For each key that is worked on, since when (`time.monotonic`)."""
        return self._active_since.values()

    def add(self, key: K, urgency: Urgency = Urgency.USER) -> None:
        """Have the key looked at as soon as there is a free worker."""
        self.added_total += 1
        if key in self._active:
            before = self._active[key]
            self._active[key] = urgency if before is None else min(before, urgency)
            return
        before = self._queued.get(key)
        if before is not None and before <= urgency:
            return
        # A more urgent entry is added beside the old one, which `_pop` then passes over.
        self._queued[key] = urgency
        self._queued_at.setdefault(key, time.monotonic())
        self._ready.add(self._lane(key), urgency, key)
        self._entries.release()

    def add_after(self, key: K, seconds: float, urgency: Urgency = Urgency.REFRESH) -> None:
        """Have the key looked at in so many seconds; the earliest of several such wishes wins."""
        due = asyncio.get_running_loop().time() + seconds
        if key in self._due and self._due[key] <= due:
            return
        self._due[key] = due
        self._sequence += 1
        heapq.heappush(self._delayed, (due, self._sequence, key, urgency))
        self._set_alarm()

    def add_retry(self, key: K, seconds: float) -> None:
        """Have a key whose work was refused looked at again when its backoff is over."""
        self.retries_total += 1
        self.add_after(key, seconds)

    async def get(self) -> K:
        """The next key; `done` must follow."""
        while True:
            if not self._entries.locked():
                # Most passes wait for nothing, and thousands may be queued: whatever else happens comes between two of them.
                await asyncio.sleep(0)
            await self._entries.acquire()
            key = self._pop()
            if key is not None:
                self._active[key] = None
                self._active_since[key] = now = time.monotonic()
                WAITED.observe(now - self._queued_at.pop(key))
                return key

    def done(self, key: K) -> None:
        """The key was looked at; if it was added meanwhile it is queued again."""
        requeue_after = self._active.pop(key, None)
        self._active_since.pop(key, None)
        lane = self._lane_of.pop(key)
        self._ready.ended(lane)
        if self._ready.waits_in(lane):
            self._entries.release()
        if requeue_after is not None:
            self.add(key, requeue_after)

    def _promote(self) -> None:
        """Queue what is due, and have this called again when the next one is."""
        self._alarm = None
        now = asyncio.get_running_loop().time()
        while self._delayed:
            due, _, key, urgency = self._delayed[0]
            if self._due.get(key) == due:
                if due > now:
                    break
                del self._due[key]
                self.add(key, urgency)
            heapq.heappop(self._delayed)
        self._set_alarm()

    def _set_alarm(self) -> None:
        """Wake up when the first of the delayed keys is due."""
        if not self._delayed:
            return
        due = self._delayed[0][0]
        if self._alarm is not None:
            if self._alarm.when() <= due:
                return
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(due, self._promote)

    def _pop(self) -> K | None:
        for level in Urgency:
            while (found := self._ready.take(level)) is not None:
                urgency, lane, key = Urgency(found[0]), found[1], found[2]
                if self._queued.get(key) is not urgency:
                    continue
                if (moved := self._lane(key)) != lane:
                    # What it names has become known since, or is another one now.
                    self._ready.add(moved, urgency, key)
                    continue
                del self._queued[key]
                self._lane_of[key] = lane
                self._ready.started(lane)
                return key
        return None
