"""Speed of a job's tasks: from counts and lists alone, and said again only with a reason."""

from __future__ import annotations

from azure_batch_operator.sync.polls.speed import Speed


def test_a_job_has_a_speed_once_something_has_ended() -> None:
    speed = Speed()
    speed.add(0.0, 0, 100)
    assert (speed.per_minute, speed.estimated_end) == (None, None)
    speed.add(60.0, 10, 100)
    assert (speed.per_minute, speed.estimated_end) == (10.0, 600.0)
    speed.add(90.0, 10, 100)
    assert (speed.per_minute, speed.estimated_end) == (10.0, 600.0)


def test_only_the_last_minutes_count() -> None:
    speed = Speed()
    for minute in range(10):
        speed.add(minute * 60.0, minute * minute, 1000)
    # From 16 ended at minute 4 to 81 at minute 9.
    assert speed.per_minute == 13.0


def test_tasks_that_run_again_begin_a_new_count() -> None:
    speed = Speed()
    speed.add(0.0, 0, 10)
    speed.add(60.0, 10, 10)
    speed.add(70.0, 5, 10)
    assert speed.per_minute is None
    speed.add(130.0, 6, 10)
    assert speed.per_minute == 1.0
