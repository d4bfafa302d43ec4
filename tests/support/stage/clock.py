"""One virtual clock for the operator and the emulator: time passes only when everybody waits, and then at once.

The loop's own clock, `time.time`, `time.monotonic`, `datetime.now`, random numbers and uuids of both programs follow the stage
while `virtual` is open. Nothing else in the process notices: only modules of the two programs are given other clocks.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import random
import selectors
import sys
import time as real_time
import uuid as real_uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from types import SimpleNamespace
from typing import Any, Self

EPOCH = 1_780_000_000.0
"""Unix time at which each stage begins."""
_BEGIN = 10_000.0
"""The loop's own clock at that moment: like a machine that has been up for a while, so nothing can take 0 for never."""


class _Selector(selectors.DefaultSelector):
    """Does not wait for the time that it is given, but says that it has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = _BEGIN
        self.rounds = 0
        self.quiet: Callable[[bool], bool] = lambda _: False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.rounds += 1
        if timeout is not None and timeout <= 0:
            return []
        if self.quiet(False):
            return []
        if timeout is None:
            raise AssertionError("everybody waits, and for nothing that time would bring")
        self.now += timeout
        self.quiet(True)
        # No file is ever ready: the stage's network has no sockets, and no thread wakes the loop.
        return []


class StageLoop(asyncio.SelectorEventLoop):
    """An event loop with virtual time. Threads are not started: what was meant for one runs at once."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)
        self._virtual.quiet = self._at_rest
        self._waiting: list[tuple[asyncio.Future[None], bool]] = []
        self._parked: _Parked | None = None

    def time(self) -> float:
        """Virtual seconds; only differences mean something."""
        return self._virtual.now

    @property
    def rounds(self) -> int:
        """Rounds of the loop so far: a finer measure of progress than time."""
        return self._virtual.rounds

    async def rest(self, *, later: bool) -> None:
        """Return when nobody can go on without time passing; with `later` not before some has passed."""
        waiter = self.create_future()
        self._waiting.append((waiter, later))
        await waiter

    def _at_rest(self, passed: bool) -> bool:
        """At the end of a round with nothing left to do: whether somebody waited for just that."""
        if passed:
            self._waiting = [(waiter, False) for waiter, _ in self._waiting]
            return False
        ready = [waiter for waiter, later in self._waiting if not later]
        self._waiting = [each for each in self._waiting if each[1]]
        for waiter in ready:
            if not waiter.done():
                waiter.set_result(None)
        return bool(ready)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Run it here and now; `asyncio.to_thread` ends here, too."""
        del executor
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    # --- freezing ---

    def park(self, belongs: Callable[[contextvars.Context], bool]) -> None:
        """Let nothing run in contexts that `belongs` picks until `unpark`, as SIGSTOP does to a process."""
        if self._parked is not None:
            raise AssertionError("somebody is frozen already")
        parked = self._parked = _Parked(belongs)
        state: Any = self
        for handle in list(state._ready):
            if parked.takes(handle):
                state._ready.remove(handle)
                parked.ready.append(handle)
        parked.timers = [each for each in state._scheduled if parked.takes(each)]
        state._scheduled = [each for each in state._scheduled if not parked.takes(each)]
        heapq.heapify(state._scheduled)
        usual = super().call_soon

        def call_soon(
            callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
        ) -> asyncio.Handle:
            if not belongs(context or contextvars.copy_context()):
                return usual(callback, *args, context=context)
            handle = asyncio.Handle(callback, args, self, context)
            parked.ready.append(handle)
            return handle

        self.call_soon = call_soon  # type: ignore[method-assign,assignment]

    def unpark(self) -> None:
        """Go on, with all that has come due meanwhile."""
        parked, self._parked = self._parked, None
        if parked is None:
            return
        del self.call_soon
        state: Any = self
        state._ready.extend(parked.ready)
        for timer in parked.timers:
            heapq.heappush(state._scheduled, timer)


class _Parked:
    def __init__(self, belongs: Callable[[contextvars.Context], bool]) -> None:
        self.belongs = belongs
        self.ready: list[asyncio.Handle] = []
        self.timers: list[asyncio.TimerHandle] = []

    def takes(self, handle: asyncio.Handle) -> bool:
        context: contextvars.Context = handle._context  # type: ignore[attr-defined]
        return not handle.cancelled() and self.belongs(context)


@dataclass
class VirtualClock:
    """What time it is on the stage.

    Attributes:
        skew: seconds by which the wall clocks of all are off.
        operator_skew: seconds by which the operator's wall clock is off from that of all others.
    """

    loop: StageLoop
    skew: float = 0.0
    operator_skew: float = 0.0

    def time(self) -> float:
        """Seconds since 1970."""
        return EPOCH + self.skew + self.loop.time() - _BEGIN

    def operator_time(self) -> float:
        """The same as the operator's machine has it."""
        return self.time() + self.operator_skew

    def now(self, zone: tzinfo | None = None) -> datetime:
        """The same as a datetime."""
        return datetime.fromtimestamp(self.time(), zone)

    def stamp(self) -> str:
        """The same as Kubernetes writes it."""
        return self.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def virtual(loop: StageLoop, seed: int) -> Iterator[VirtualClock]:
    """Give both programs virtual clocks and repeatable chance until the end of ``with``."""
    clock = VirtualClock(loop)
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose

    def uuid4() -> real_uuid.UUID:
        return real_uuid.UUID(int=chance.getrandbits(128), version=4)

    dice = SimpleNamespace(
        **{**vars(random), "random": chance.random, "uniform": chance.uniform, "choice": chance.choice}
    )
    uuid = SimpleNamespace(**{**vars(real_uuid), "uuid4": uuid4})
    shared: list[tuple[Any, Any]] = [(random, dice), (real_uuid, uuid), (real_uuid.uuid4, uuid4)]
    others = {
        "azure_batch_operator": [*shared, *_clocks(loop, clock.operator_time)],
        "azure_batch_emulator": [*shared, *_clocks(loop, clock.time)],
    }
    changed: list[tuple[Any, str, Any]] = []
    for name, module in list(sys.modules.items()):
        replaced = others.get(name.partition(".")[0])
        if replaced is None:
            continue
        for attribute in _attributes(module):
            value = getattr(module, attribute)
            other = next((other for usual, other in replaced if value is usual), None)
            if other is not None:
                setattr(module, attribute, other)
                changed.append((module, attribute, value))
    try:
        yield clock
    finally:
        for module, attribute, usual in changed:
            setattr(module, attribute, usual)


def _clocks(loop: StageLoop, wall: Callable[[], float]) -> list[tuple[Any, Any]]:
    """What a program gets in place of `time` and `datetime`, with a wall clock of its own."""

    class Datetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(wall(), tz)

    time = SimpleNamespace(**{**vars(real_time), "time": wall, "monotonic": loop.time})
    time.time_ns = lambda: int(wall() * 1e9)
    time.clock_gettime = lambda _: loop.time()
    return [(real_time, time), (datetime, Datetime)]


_found: dict[Any, tuple[str, ...]] = {}


def _attributes(module: Any) -> tuple[str, ...]:
    """Names by which a module knows clocks and chance; found once, because each stage of a process asks.

    A module that does not call `datetime.now` keeps the class itself, of which it may ask `isinstance`.
    """
    if module not in _found:
        usual = [random, real_uuid, real_uuid.uuid4, real_time, *([datetime] if "now" in _names_in(module) else [])]
        names = (name for name, value in vars(module).items() if any(value is each for each in usual))
        _found[module] = tuple(names)
    return _found[module]


def _names_in(module: Any) -> set[str]:
    names: set[str] = set()
    pending = [value.__code__ for value in vars(module).values() if hasattr(value, "__code__")]
    for value in vars(module).values():
        if isinstance(value, type):
            functions = (getattr(each, "__func__", each) for each in vars(value).values())
            pending += [each.__code__ for each in functions if hasattr(each, "__code__")]
    while pending:
        code = pending.pop()
        names.update(code.co_names)
        pending += [each for each in code.co_consts if hasattr(each, "co_names")]
    return names
