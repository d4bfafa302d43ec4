"""How an operator hears of changes: in order and soon, unless a test delays, drops, repeats or reorders what it hears."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from azure_batch_operator.kube.access import Access
from support.stage.apiserver import OURS, ApiServer, Event, copied
from support.stage.faults import Hold

MEDDLED_SECONDS = 45.0
"""Virtual seconds by which a meddler delays or repeats a notification."""
Observe = Callable[..., Any]
"""The operator's handler of raw events."""


class Watching:
    """The watches of all operators of a stage; what a test orders here holds for all of them."""

    def __init__(self, server: ApiServer, latency: Callable[[], float]) -> None:
        self._server, self._latency = server, latency
        self._holds: list[Hold] = []
        self._drops: list[tuple[Callable[[Event], bool], int]] = []
        self._delays: list[tuple[Callable[[Event], bool], float]] = []
        self._streams: list[_Stream] = []
        self._reversed = False
        self.dropped: list[Event] = []
        self.told = 0
        """How many notifications have been due so far, what was listed at a start not counted."""
        self.meddlers: list[Callable[[int, Event], str]] = []
        """Asked about each notification, by its number from 1 on: "drop" loses it, "replay" tells it again later, and "delay"
        tells it later, with all that follows of its kind; "" leaves it."""
        server.listeners.append(self._happened)

    # --- orders of a test ---

    def hold(self, plural: str = "", name: str = "") -> Hold:
        """Let nothing of a kind, or of an object, be heard until `release`; the order stays."""
        hold = Hold(lambda its_plural, its_name: plural in {"", its_plural} and name in {"", its_name})
        self._holds.append(hold)
        return hold

    def drop(self, plural: str, name: str = "", *, type: str = "", count: int = 1) -> None:
        """Lose the next events of an object for good."""

        def picks(event: Event) -> bool:
            return event.id.plural == plural and name in {"", event.id.name} and type in {"", event.type}

        self._drops.append((picks, count))

    def delay(self, seconds: float, plural: str = "", name: str = "") -> None:
        """Have events arrive later from now on; those of other kinds overtake them. 0 ends it."""

        def picks(event: Event) -> bool:
            return plural in {"", event.id.plural} and name in {"", event.id.name}

        self._delays = [(picks, seconds)] if seconds else []

    def replay(self, plural: str, name: str) -> None:
        """Tell all that ever happened to an object again, in order, as a watch that was begun too early does."""
        for event in [each for each in self._server.log if each.id.plural == plural and each.id.name == name]:
            for stream in self._streams:
                stream.add(event)

    def shuffle(self, on: bool = True) -> None:
        """Tell the newest first of what waits, as when a list's page was older than the watch."""
        self._reversed = on

    # --- the operators' side ---

    async def serve(self, observe: Observe, access: Access, stop: asyncio.Event) -> None:
        """Tell one operator everything until it stops: first what there is, but for denied namespaces, then what happens."""
        streams = [_Stream(plural, access.only) for plural in sorted(OURS)]
        for stream in streams:
            for body in self._server.all(stream.plural):
                if access.reads(body["metadata"]["namespace"]):
                    stream.listed.append(body)
        self._streams += streams
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._tell(stream, observe)) for stream in streams]
                await stop.wait()
                for task in tasks:
                    task.cancel()
        finally:
            for stream in streams:
                self._streams.remove(stream)

    async def _tell(self, stream: _Stream, observe: Observe) -> None:
        for body in stream.listed:
            await observe(event={"type": None, "object": copied(body)})
        while True:
            event = await stream.next(newest=self._reversed)
            if self._meddled(stream, event):
                continue
            await asyncio.sleep(self._latency() + sum(seconds for picks, seconds in self._delays if picks(event)))
            hold = next((each for each in self._holds if each.takes(event.id.plural, event.id.name)), None)
            if hold is not None:
                hold.keep(partial(stream.add, event))
                continue
            if self._lost(event):
                self.dropped.append(event)
                continue
            await observe(event={"type": event.type, "object": copied(event.body)})

    def _meddled(self, stream: _Stream, event: Event) -> bool:
        """Whether a notification is dropped or delayed."""
        self.told += 1
        orders = [each(self.told, event) for each in self.meddlers]
        loop = asyncio.get_running_loop()
        if "replay" in orders:
            loop.call_later(MEDDLED_SECONDS, stream.add, event)
        if "delay" in orders:
            stream.pause(event)
            loop.call_later(MEDDLED_SECONDS, stream.go_on)
        return "drop" in orders or "delay" in orders

    def _lost(self, event: Event) -> bool:
        for index, (picks, count) in enumerate(self._drops):
            if count > 0 and picks(event):
                self._drops[index] = (picks, count - 1)
                return True
        return False

    def _happened(self, event: Event) -> None:
        for stream in self._streams:
            stream.add(event)


class _Stream:
    """What one operator has yet to hear of one kind."""

    def __init__(self, plural: str, namespaces: Collection[str]) -> None:
        self.plural = plural
        self.listed: list[Any] = []
        self._namespaces = namespaces
        self._events: deque[Event] = deque()
        self._more = asyncio.Event()
        self._paused = False

    def add(self, event: Event) -> None:
        if event.id.plural == self.plural and (not self._namespaces or event.id.namespace in self._namespaces):
            self._events.append(event)
            self._more.set()

    def pause(self, first: Event) -> None:
        """Tell nothing until `go_on`, and then this one first."""
        self._events.appendleft(first)
        self._paused = True

    def go_on(self) -> None:
        """Tell what waits."""
        self._paused = False
        self._more.set()

    async def next(self, *, newest: bool) -> Event:
        while self._paused or not self._events:
            self._more.clear()
            await self._more.wait()
        return self._events.pop() if newest else self._events.popleft()
