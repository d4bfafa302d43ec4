"""Timers of the emulator's own clock that are further away than the event loop can wait for.

No test lasts more than 90 days: from day 97, doubles cannot tell the loop's time from its time and a nanosecond.
"""

from __future__ import annotations

import asyncio
import gc
import math
import weakref

import pytest

from azure_batch_emulator.clock import LoopClock, ManualClock, Timer
from support.jumping_loop import run_jumping

DAY = 86_400.0


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("days", [1, 24, 25, 60])
def test_a_timer_goes_off_once_and_when_it_is_due(days: int, *, real: bool) -> None:
    async def run() -> None:
        loop, clock, rung = asyncio.get_running_loop(), LoopClock(), []
        plan = clock.call_after_real if real else clock.call_later
        plan(days * DAY, lambda: rung.append(loop.time()))
        await asyncio.sleep(days * DAY - 1)
        assert rung == []
        await asyncio.sleep(2 * DAY)
        assert rung == [pytest.approx(days * DAY, abs=0.01)]

    run_jumping(run())


def test_a_pause_holds_up_all_that_is_left_of_a_timer() -> None:
    async def run() -> None:
        clock, rung = LoopClock(), []
        clock.call_later(40 * DAY, rung.append, "rung")
        await asyncio.sleep(10 * DAY)
        clock.pause()
        await asyncio.sleep(40 * DAY)
        clock.resume()
        await asyncio.sleep(30 * DAY - 1)
        assert rung == []
        await asyncio.sleep(2)
        assert rung == ["rung"]

    run_jumping(run())


@pytest.mark.parametrize("cancelled_after_days", [0, 30])
def test_a_cancelled_timer_does_not_go_off(cancelled_after_days: int) -> None:
    async def run() -> None:
        clock, rung = LoopClock(), []
        timer = clock.call_later(40 * DAY, rung.append, "rung")
        clock.call_later(math.inf, rung.append, "never")
        await asyncio.sleep(cancelled_after_days * DAY)
        timer.cancel()
        await asyncio.sleep(50 * DAY)
        assert rung == []

    run_jumping(run())


class Owner:
    """Keeps its timer."""

    timer: Timer


@pytest.mark.parametrize("kind", [LoopClock, ManualClock])
def test_a_cancelled_timer_holds_on_to_nothing(kind: type[LoopClock] | type[ManualClock]) -> None:
    async def run() -> None:
        clock = kind()
        # Such as a job that is gone; it has its timer, too, and nobody waits for the garbage collection.
        job = Owner()
        job.timer = clock.call_later(DAY, lambda each: None, job)
        job.timer.cancel()
        there = weakref.ref(job)
        gc.disable()
        try:
            del job
            assert there() is None
        finally:
            gc.enable()

    asyncio.run(run())
