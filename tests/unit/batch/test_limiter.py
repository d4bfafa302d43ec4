"""The limiter under a clock of our own: rate, places, order, throttling, cancellation."""

import asyncio
import heapq
import math
from collections.abc import Callable

import pytest

from azure_batch_operator.batch import Limiter, Priority


class FakeClock:
    """Time that is stopped until it is moved."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._timers: list[tuple[float, int, FakeTimer]] = []

    def now(self) -> float:
        return self.time

    def call_at(self, when: float, callback: Callable[[], None]) -> "FakeTimer":
        timer = FakeTimer(callback)
        heapq.heappush(self._timers, (when, id(timer), timer))
        return timer

    async def advance(self, seconds: float) -> None:
        until = self.time + seconds
        await settle()
        while self._timers and self._timers[0][0] <= until:
            when, _, timer = heapq.heappop(self._timers)
            self.time = max(self.time, when)
            timer.fire()
            await settle()
        self.time = until
        await settle()


class FakeTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self._callback = None

    def fire(self) -> None:
        if self._callback is not None:
            self._callback()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Stage:
    """A limiter, its clock, and calls that write down when they got their turn and then stay until they are let go."""

    def __init__(self, calls_per_second: float, **arguments: float) -> None:
        self.clock = FakeClock()
        self.limiter = Limiter(calls_per_second, clock=self.clock, **arguments)  # type: ignore[arg-type]
        self.turns: list[tuple[str, float]] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def order(self) -> list[str]:
        return [name for name, _ in self.turns]

    def call(self, name: str, priority: Priority = Priority.USER, *, stay: bool = False) -> None:
        async def run() -> None:
            async with self.limiter.slot(priority):
                self.turns.append((name, self.clock.time - 1000.0))
                if stay:
                    await asyncio.Event().wait()

        self.tasks[name] = asyncio.create_task(run())

    async def drop(self, name: str) -> None:
        self.tasks[name].cancel()
        await settle()

    async def close(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def test_a_burst_goes_out_at_once_and_then_the_rate_holds() -> None:
    stage = Stage(2.0, burst=3)
    for number in range(7):
        stage.call(str(number))
    await settle()
    assert stage.order == ["0", "1", "2"]
    await stage.clock.advance(2.1)
    assert [round(at, 2) for _, at in stage.turns] == [0, 0, 0, 0.5, 1.0, 1.5, 2.0]


async def test_an_idle_limiter_saves_up_no_more_than_a_burst() -> None:
    stage = Stage(2.0, burst=3)
    stage.call("first")
    await stage.clock.advance(1000)
    for number in range(5):
        stage.call(str(number))
    await settle()
    assert stage.order == ["first", "0", "1", "2"]
    await stage.close()


async def test_places_in_flight_are_bounded_and_freed_in_order() -> None:
    stage = Stage(math.inf, max_in_flight=2)
    for name in ("a", "b", "c", "d"):
        stage.call(name, stay=True)
    await settle()
    assert (stage.order, stage.limiter.in_flight, stage.limiter.waiting) == (["a", "b"], 2, 2)
    await stage.drop("a")
    assert (stage.order, stage.limiter.in_flight, stage.limiter.waiting) == (["a", "b", "c"], 2, 1)
    await stage.close()
    assert (stage.limiter.in_flight, stage.limiter.waiting) == (0, 0)


async def test_the_more_urgent_goes_first() -> None:
    stage = Stage(1.0, burst=1)
    stage.call("first")
    await settle()
    for priority in reversed(Priority):
        stage.call(priority.name, priority)
    await stage.clock.advance(10)
    assert stage.order == ["first", "DELETE", "USER", "SUBMIT", "REFRESH"]


async def test_polling_gets_its_turn_under_a_flood_of_submissions() -> None:
    stage = Stage(1.0, burst=1, patience=5.0)
    stage.call("refresh", Priority.REFRESH)
    stage.call("first", Priority.DELETE)
    for second in range(30):
        for number in range(3):
            stage.call(f"submit-{second}-{number}", Priority.SUBMIT)
        await stage.clock.advance(1)
    turn = dict(stage.turns)["refresh"]
    assert turn <= 7
    await stage.close()


async def test_polls_with_deadlines_are_not_starved_by_a_flood_of_updates() -> None:
    """Two updates a second where one may go out, each given up after 30 s; a poll gives up after 20 s and asks again."""
    stage = Stage(1.0, burst=1, patience=5.0)
    polls, asked_at, answered = 0, -1, 0
    for second in range(240):
        for number in range(2):
            stage.call(f"update-{second}-{number}", Priority.USER)
        for number in range(2):
            if second >= 30 and f"update-{second - 30}-{number}" not in stage.order:
                await stage.drop(f"update-{second - 30}-{number}")
        if asked_at >= 0 and f"poll-{polls}" in stage.order:
            answered, asked_at = answered + 1, -1
        elif asked_at >= 0 and second - asked_at >= 20:
            await stage.drop(f"poll-{polls}")
            asked_at = -1
        if asked_at < 0:
            polls, asked_at = polls + 1, second
            stage.call(f"poll-{polls}", Priority.REFRESH)
        await stage.clock.advance(1)
    assert answered >= 20, "a ninth of 240 turns"
    assert answered <= 30, "updates have the rest"
    await stage.close()


async def test_throttling_halves_the_rate_once_per_burst_of_refusals_and_rests() -> None:
    stage = Stage(8.0, burst=8)
    for _ in range(5):
        stage.limiter.throttled(None)
    assert (stage.limiter.rate, stage.limiter.throttled_total) == (4.0, 5)
    assert stage.limiter.paused_until == pytest.approx(1001.0)
    stage.call("later")
    await stage.clock.advance(0.9)
    assert stage.order == []
    await stage.clock.advance(0.2)
    assert stage.order == ["later"]
    assert stage.limiter.paused_until is None


async def test_nothing_goes_out_before_retry_after_is_over_not_even_a_delete() -> None:
    stage = Stage(8.0)
    stage.limiter.throttled(60.0)
    stage.limiter.throttled(5.0)
    stage.call("delete", Priority.DELETE)
    await stage.clock.advance(59.9)
    assert stage.order == []
    await stage.clock.advance(0.2)
    assert stage.order == ["delete"]


async def test_the_end_of_a_pause_is_not_greeted_with_a_burst() -> None:
    stage = Stage(10.0, burst=10)
    stage.limiter.throttled(30.0)
    for number in range(20):
        stage.call(str(number))
    await stage.clock.advance(30.01)
    assert len(stage.turns) <= 2
    await stage.close()


async def test_the_rate_grows_back_a_little_each_second_up_to_the_ceiling() -> None:
    stage = Stage(10.0)
    stage.limiter.throttled(2.0)
    assert stage.limiter.rate == 5.0
    stage.call("a")
    await stage.clock.advance(4.0)
    stage.call("b")
    await settle()
    assert stage.limiter.rate == pytest.approx(6.0)
    await stage.clock.advance(1000)
    stage.call("c")
    await settle()
    assert stage.limiter.rate == 10.0


async def test_the_rate_never_falls_to_nothing() -> None:
    stage = Stage(10.0)
    for _ in range(50):
        stage.limiter.throttled(2.0)
        stage.clock.time += 1.5
    assert stage.limiter.rate >= 1.0


async def test_an_unlimited_limiter_still_obeys_retry_after() -> None:
    stage = Stage(math.inf, max_in_flight=100)
    for number in range(50):
        stage.call(str(number))
    await settle()
    assert len(stage.turns) == 50
    stage.limiter.throttled(3.0)
    stage.call("later")
    await stage.clock.advance(2.9)
    assert len(stage.turns) == 50
    await stage.clock.advance(0.2)
    assert stage.order[-1] == "later"


async def test_without_a_rate_the_first_refusal_sets_one_and_good_conduct_lifts_it() -> None:
    stage = Stage(math.inf, max_in_flight=1000)
    for number in range(40):
        stage.call(str(number))
    await settle()
    assert stage.limiter.rate == math.inf
    stage.limiter.throttled(1.0)
    assert stage.limiter.rate == 20.0
    await stage.clock.advance(1.0)
    for number in range(100):
        stage.call(f"later-{number}")
    await stage.clock.advance(1.0)
    assert 60 <= len(stage.turns) <= 64
    await stage.clock.advance(30.0)
    done = len(stage.turns)
    for number in range(100):
        stage.call(f"after a rest-{number}")
    await settle()
    assert len(stage.turns) - done < 80
    for _ in range(200):
        stage.call("now and then")
        await stage.clock.advance(1.0)
    assert stage.limiter.rate == math.inf


async def _sent_in(stage: Stage, seconds: int, waiting: int) -> list[int]:
    """Calls sent in each second, while so many always wait."""
    sent = []
    for _ in range(seconds):
        before = len(stage.turns)
        for _ in range(waiting - stage.limiter.waiting):
            stage.call(f"call {len(stage.tasks)}")
        await stage.clock.advance(1.0)
        sent.append(len(stage.turns) - before)
    return sent


async def test_the_ceiling_rises_while_calls_wait_and_none_is_throttled() -> None:
    stage = Stage(20.0, burst=1, most=40.0)
    sent = await _sent_in(stage, 25, 100)
    assert 19 <= sent[0] <= 21
    assert sent[10] in range(28, 33)
    assert sent[-1] in range(39, 42)
    await stage.close()


async def test_the_ceiling_does_not_rise_while_no_call_waits_for_the_rate() -> None:
    stage = Stage(20.0, burst=20, most=40.0)
    for _ in range(10):
        for _ in range(10):
            stage.call(f"call {len(stage.tasks)}")
        await stage.clock.advance(1.0)
    assert stage.limiter.rate == 20.0
    await stage.close()


async def test_a_rate_that_was_too_high_is_not_tried_again_soon() -> None:
    stage = Stage(5.0, burst=1, most=10.0)
    await _sent_in(stage, 25, 30)
    stage.limiter.throttled(1.0)
    await _sent_in(stage, 40, 30)
    assert stage.limiter.rate == 8.0
    stage.limiter.throttled(1.0)
    await _sent_in(stage, 40, 30)
    assert stage.limiter.rate == pytest.approx(6.4)
    await stage.clock.advance(600)
    await _sent_in(stage, 30, 30)
    assert stage.limiter.rate == 10.0
    await stage.close()


async def test_a_service_that_throttles_the_usual_rate_is_not_asked_for_more() -> None:
    stage = Stage(5.0, burst=1, most=10.0)
    await _sent_in(stage, 1, 30)
    stage.limiter.throttled(1.0)
    await _sent_in(stage, 40, 30)
    assert stage.limiter.rate == 5.0
    await stage.close()


async def test_a_cancelled_wait_takes_no_place_and_no_turn() -> None:
    stage = Stage(math.inf, max_in_flight=1)
    stage.call("a", stay=True)
    stage.call("b")
    stage.call("c", stay=True)
    await settle()
    await stage.drop("b")
    assert stage.limiter.waiting == 1
    await stage.drop("a")
    assert stage.order == ["a", "c"]
    await stage.close()


async def test_calls_that_give_up_in_a_pause_leave_nothing_behind() -> None:
    stage = Stage(8.0)
    stage.limiter.throttled(3600.0)
    stage.call("patient")
    for number in range(1000):
        stage.call(str(number))
        await asyncio.sleep(0)
        stage.tasks[str(number)].cancel()
    await settle()
    assert stage.limiter.waiting == 1
    assert sum(len(line) for line in stage.limiter._lines.values()) < 5
    await stage.clock.advance(3600.1)
    assert stage.order == ["patient"]


async def test_a_turn_granted_to_a_cancelled_call_is_given_back() -> None:
    stage = Stage(math.inf, max_in_flight=1)
    stage.call("a", stay=True)
    stage.call("b")
    stage.call("c")
    await settle()
    # `a` frees its place and `b` is cancelled in the same turn of the loop, after it was granted.
    stage.tasks["a"].cancel()
    await asyncio.sleep(0)
    stage.tasks["b"].cancel()
    await settle()
    assert stage.order[-1] == "c"
    assert stage.limiter.in_flight == 0


@pytest.mark.parametrize("arguments", [{"calls_per_second": 0}, {"calls_per_second": 1, "max_in_flight": 0}])
def test_a_limiter_that_lets_nothing_through_is_refused(arguments) -> None:
    with pytest.raises(ValueError, match="must be greater than 0"):
        Limiter(**arguments)


async def test_the_real_clock_grants_turns_too() -> None:
    limiter = Limiter(1000.0, burst=1)
    done = 0
    for _ in range(5):
        async with limiter.slot():
            done += 1
    assert (done, limiter.in_flight, limiter.paused_until) == (5, 0, None)


async def test_a_closed_limiter_waits_for_the_calls_in_flight_and_sends_no_more() -> None:
    limiter = Limiter(100.0)
    await limiter.acquire()
    await limiter.acquire()
    closing = asyncio.create_task(limiter.close())
    await settle()
    waiting = asyncio.create_task(limiter.acquire())
    limiter.release()
    await settle()
    assert not closing.done()
    limiter.release()
    await closing
    assert limiter.in_flight == 0
    assert not limiter.acquire_now()
    await settle()
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])
    await limiter.close()
