"""Counts that are behind: what callers see, and how little is kept for it.

Source: REST reference of Jobs - Get Job Task Counts and of Pools - List Pool Node Counts: "the numbers returned may not
always be up to date".
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from azure_batch_emulator.engine.lag import CountsLag, Lagging


@dataclass
class Clock:
    second: float = 0.0


@dataclass
class Counter:
    """A number that lags by ten seconds."""

    clock: Clock = field(default_factory=Clock)
    lag: CountsLag = field(init=False)
    number: int = 0

    def __post_init__(self) -> None:
        self.lag = CountsLag(10.0, lambda: self.clock.second)
        self.past = Lagging[int](self.lag)

    def rise(self) -> None:
        self.past.changes(lambda: self.number)
        self.number += 1

    @property
    def shown(self) -> int:
        return self.past.shown(lambda: self.number)


def test_a_change_is_seen_after_the_lag_and_not_before() -> None:
    counter = Counter()
    counter.rise()
    counter.clock.second = 9.9
    assert counter.shown == 0
    counter.clock.second = 10.0
    assert counter.shown == 1


def test_counts_without_changes_are_exact() -> None:
    counter = Counter(number=7)
    assert counter.shown == 7
    counter.clock.second = 1e6
    assert counter.shown == 7


def test_the_lag_can_be_switched_off_and_on() -> None:
    counter = Counter()
    counter.rise()
    counter.lag.seconds = 0.0
    assert counter.shown == 1
    counter.rise()
    counter.lag.seconds = 10.0
    assert counter.shown == 2, "what came before the lag is no longer held back"


@given(st.lists(st.floats(0.01, 30.0), max_size=60))
def test_the_shown_number_is_one_of_the_last_ten_seconds(pauses: list[float]) -> None:
    counter = Counter()
    history: list[tuple[float, int]] = [(-1.0, 0)]
    for pause in pauses:
        counter.clock.second += pause
        then = counter.clock.second
        shown = counter.shown
        due = max(number for second, number in history if second <= then - 10.0 or second < 0)
        assert due <= shown <= counter.number, "never further back than the lag"
        counter.rise()
        history.append((then, counter.number))
        assert counter.shown < counter.number, "a change is not seen at once"


def test_a_million_changes_leave_a_handful_of_records() -> None:
    counter = Counter()
    for _ in range(10_000):
        counter.clock.second += 0.01
        counter.rise()
    assert len(counter.past._past) <= 5
