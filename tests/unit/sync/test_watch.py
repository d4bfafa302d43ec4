"""When a job's task counts are asked for: soon after a change, then at intervals that grow with the time without one."""

from __future__ import annotations

from itertools import pairwise

import pytest

from azure_batch_operator.sync.polls.motion import Motion
from azure_batch_operator.sync.polls.watch import Watch


def counted(until: float, every: float, motion: Motion) -> list[float]:
    """When a job that was changed at 1000 is counted, if it is polled so often and its counts stay."""
    watch = Watch("2026-01-01T00:00:00Z")
    watch.counted("as it was", 0.0, motion, changed=True)
    watch.stir()
    return polled(watch, until, every, motion)


def polled(watch: Watch, until: float, every: float, motion: Motion) -> list[float]:
    """When a job is counted from 1000 on."""
    times, now = [], 1000.0
    while now <= 1000 + until:
        if watch.due("as it was", now, motion):
            watch.counted("as it was", now, motion, changed=False)
            times.append(now - 1000)
        now += every
    return times


def test_counts_that_lag_are_found_by_a_job_at_rest() -> None:
    assert counted(3000, 5, Motion.HIDDEN_START) == [0, 5, 10, 20, 40, 80, 160, 320, 640, 1240, 1840, 2440]


def test_a_job_whose_tasks_start_in_sight_is_counted_every_half_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda _, most: most)
    assert counted(7000, 5, Motion.SHOWN_START) == [0, 5, 10, 20, 40, 80, 160, 320, 720, 1620, 3645, 5895]


@pytest.mark.parametrize("every", [1, 5])
def test_running_tasks_that_end_unseen_are_counted_often(every: float) -> None:
    times = counted(600, every, Motion.HIDDEN_END)
    assert max(later - former for former, later in pairwise(times)) == 20


def test_running_tasks_whose_end_is_visible_are_counted_at_growing_intervals() -> None:
    times = counted(7200, 5, Motion.SHOWN_END)
    assert len(times) < 40
    assert max(later - former for former, later in pairwise(times)) <= 600 * 1.25 + 5


@pytest.mark.parametrize(
    ("motion", "changed", "next_"),
    [
        (Motion.SHOWN_START, False, 300),
        (Motion.SHOWN_START, True, 10),
        (Motion.HIDDEN_START, False, 10),
        (Motion.SHOWN_END, False, 100),
        (Motion.HIDDEN_END, False, 5),
    ],
)
def test_idle_jobs_are_counted_once_after_a_restart(
    motion: Motion, changed: bool, next_: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda _, most: 1.0)
    watch = Watch("2026-01-01T00:00:00Z")
    watch.counted("as it was", 1000.0, motion, changed=changed)
    assert polled(watch, 600, 5, motion)[0] == next_
