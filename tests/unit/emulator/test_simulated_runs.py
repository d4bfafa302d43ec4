"""Simulated runs share timers, and yet each begins, ends and is killed by itself."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from azure_batch_emulator.clock import ManualClock, Timer
from azure_batch_emulator.executors.base import NodePlace, RunHandle, RunRequest, RunResult
from azure_batch_emulator.executors.simulated import SimulatedExecutor

PLACE = NodePlace("account", "pool", "node")


class CountingClock(ManualClock):
    """Keeps what was planned."""

    def __init__(self) -> None:
        super().__init__()
        self.planned: list[float] = []

    def call_later(self, seconds: float, callback: object, *args: object) -> Timer:
        self.planned.append(seconds)
        return super().call_later(seconds, callback, *args)  # type: ignore[arg-type]


@dataclass
class Observer:
    """Notes what it hears, and kills runs when it hears that its own has started; may raise when it hears something."""

    name: str
    heard: list[str]
    to_kill: list[RunHandle] = field(default_factory=list)
    raises_when: str | None = None

    def _hear(self, what: str) -> None:
        self.heard.append(f"{self.name} {what}")
        if what == self.raises_when:
            raise LookupError(f"the observer of {self.name}")

    def on_started(self) -> None:
        self._hear("started")
        for handle in self.to_kill:
            handle.kill()

    def on_returned(self) -> None:
        self._hear("returned")

    def on_finished(self, result: RunResult) -> None:
        self._hear(f"{result.exit_code}")


def stage() -> tuple[CountingClock, SimulatedExecutor, list[str]]:
    clock = CountingClock()
    return clock, SimulatedExecutor(clock, 1), []


def start(
    executor: SimulatedExecutor,
    heard: list[str],
    name: str,
    command: str,
    *,
    raises_when: str | None = None,
    stays: bool = False,
) -> tuple[RunHandle, Observer]:
    observer = Observer(name, heard, raises_when=raises_when)
    request = RunRequest(PLACE, f"w/{name}", command, lambda root: {}, f"job/{name}", leaves_services=stays)
    return executor.start(request, observer), observer


def test_a_thousand_equal_runs_need_two_timers() -> None:
    clock, executor, heard = stage()
    for number in range(1000):
        start(executor, heard, f"{number}", "sleep 5")
    clock.advance(4.0)
    assert heard == [f"{number} started" for number in range(1000)]
    clock.advance(1.0)
    assert heard[1000:] == [f"{number} 0" for number in range(1000)]
    assert clock.planned == [0.0, 5.0]


def test_each_run_takes_its_own_time_and_has_its_own_end() -> None:
    clock, executor, heard = stage()
    for name, command in (("a", "sleep 2; exit 3"), ("b", "sleep 1"), ("c", "true"), ("d", "sleep 2")):
        start(executor, heard, name, command)
    clock.advance(0.0)
    assert heard == ["a started", "b started", "c started", "d started", "c 0"]
    clock.advance(5.0)
    assert heard[5:] == ["b 0", "a 3", "d 0"]


def test_a_run_is_killed_before_it_begins_while_it_runs_and_when_it_is_over() -> None:
    clock, executor, heard = stage()
    early, _ = start(executor, heard, "early", "sleep 5")
    late, _ = start(executor, heard, "late", "sleep 5")
    start(executor, heard, "other", "sleep 5")
    early.kill()
    clock.advance(1.0)
    late.kill()
    late.kill()
    clock.advance(10.0)
    late.kill()
    clock.advance(1.0)
    assert heard == ["late started", "other started", "early None", "late None", "other 0"]


def test_runs_that_are_killed_by_what_another_one_tells() -> None:
    clock, executor, heard = stage()
    before, _ = start(executor, heard, "before", "sleep 5")
    _, killer = start(executor, heard, "killer", "sleep 5")
    after, _ = start(executor, heard, "after", "sleep 5")
    killer.to_kill = [before, after]
    clock.advance(10.0)
    assert heard == ["before started", "killer started", "before None", "after None", "killer 0"]


def test_runs_begin_also_after_the_timers_of_the_clock_were_called_off() -> None:
    clock, executor, heard = stage()
    lost, _ = start(executor, heard, "lost", "true")
    clock.close()
    lost.kill()
    clock.close()
    start(executor, heard, "new", "true")
    clock.advance(1.0)
    assert heard == ["new started", "new 0"]


@pytest.mark.parametrize("says", ["started", "0", "returned"])
def test_a_run_whose_observer_raises_does_not_stop_those_of_the_same_time(says: str) -> None:
    clock, executor, heard = stage()
    for name in ("before", "broken", "after"):
        start(
            executor, heard, name, "sleep 5", raises_when=says if name == "broken" else None, stays=says == "returned"
        )
    with pytest.raises(LookupError, match="the observer of broken") as caught:
        clock.advance(10.0)
    assert caught.value.__notes__ == ["The error concerns the run job/broken; the others continue."]
    clock.advance(10.0)
    last = "returned" if says == "returned" else "0"
    assert heard == [f"{name} {word}" for word in ("started", last) for name in ("before", "broken", "after")]
