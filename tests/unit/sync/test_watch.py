"""When a job's task counts are asked for: soon after a change, then at intervals that grow with the time without one."""

from __future__ import annotations

from itertools import pairwise

import pytest

from azure_batch_operator.sync.polls.watch import Watch


def counted(until: float, every: float, *, running: bool = False) -> list[float]:
    """When a job that was changed at 1000 is counted, if it is polled so often and its counts stay."""
    watch = Watch("2026-01-01T00:00:00Z")
    watch.counted("as it was", 0.0, changed=True)
    watch.stir()
    times, now = [], 1000.0
    while now <= 1000 + until:
        if watch.due("as it was", now, running=running):
            watch.counted("as it was", now, changed=False)
            times.append(now - 1000)
        now += every
    return times


def test_counts_that_lag_are_found_by_a_job_at_rest() -> None:
    assert counted(3000, 5) == [0, 5, 10, 20, 40, 80, 160, 320, 640, 1240, 1840, 2440]


@pytest.mark.parametrize("every", [1, 5])
def test_running_tasks_are_counted_often(every: float) -> None:
    times = counted(600, every, running=True)
    assert max(later - former for former, later in pairwise(times)) == 20
