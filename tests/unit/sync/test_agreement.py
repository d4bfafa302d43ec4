"""Which readings of the tasks of a completed job account for all of them."""

from __future__ import annotations

import pytest

from azure_batch_operator.batch.wire import TaskCounts
from azure_batch_operator.sync.polls.agreement import Tasks, Wait, age
from azure_batch_operator.sync.polls.base import COUNTS_LAG


def counts(active: int, running: int, succeeded: int, failed: int) -> TaskCounts:
    completed = succeeded + failed
    return TaskCounts(active=active, running=running, completed=completed, succeeded=succeeded, failed=failed)


@pytest.mark.parametrize(
    ("read", "agree"),
    [
        (Tasks(counts(0, 0, 3, 1), failed=1, unfinished=0, known=4), True),
        (Tasks(counts(1, 1, 1, 1), failed=1, unfinished=2, known=0), True),
        (Tasks(counts(0, 0, 0, 0), failed=0, unfinished=0, known=0), True),
        (Tasks(counts(0, 0, 3, 1), failed=0, unfinished=0, known=4), False),
        (Tasks(counts(0, 1, 3, 0), failed=0, unfinished=0, known=4), False),
        (Tasks(counts(0, 0, 3, 0), failed=0, unfinished=0, known=4), False),
        (Tasks(counts(0, 0, 0, 0), failed=0, unfinished=0, known=1), False),
        (Tasks(TaskCounts(completed=4, succeeded=3), failed=0, unfinished=0, known=4), False),
        (Tasks(counts(0, 0, 0, 0), failed=0, unfinished=0, known=0, may_grow=True), False),
        (Tasks(counts(0, 0, 2, 0), failed=0, unfinished=0, known=1, may_grow=True), True),
        (Tasks(counts(0, 1, 0, 0), failed=0, unfinished=1, known=1, all_ended=True), False),
        (Tasks(counts(1, 0, 1, 0), failed=0, unfinished=1, known=2, all_ended=True), False),
        (Tasks(counts(0, 0, 1, 0), failed=0, unfinished=0, known=1, all_ended=True), True),
    ],
)
def test_lists_and_counts_agree_if_no_task_is_missing(read: Tasks, agree: bool) -> None:
    assert read.agree is agree


@pytest.mark.parametrize(
    ("read", "succeeded", "all_there"),
    [
        (Tasks(counts(0, 2, 1, 0), failed=1, unfinished=0, known=3), 2, True),
        (Tasks(counts(0, 2, 1, 0), failed=0, unfinished=0, known=3), 2, False),
        (Tasks(counts(0, 0, 2, 1), failed=0, unfinished=0, known=3), 3, False),
        (Tasks(counts(0, 3, 2, 0), failed=0, unfinished=0, known=3), 3, False),
        (Tasks(counts(0, 0, 0, 0), failed=0, unfinished=0, known=1), 1, True),
        (Tasks(counts(0, 0, 0, 0), failed=0, unfinished=0, known=1, may_grow=True), 1, False),
        (Tasks(counts(0, 1, 0, 0), failed=0, unfinished=0, known=1, may_grow=True), 1, True),
        (Tasks(counts(0, 1, 0, 0), failed=0, unfinished=1, known=1, all_ended=True), 0, False),
        (Tasks(counts(0, 1, 0, 0), failed=0, unfinished=0, known=1, all_ended=True), 1, True),
    ],
)
def test_tasks_add_up_if_each_was_listed_and_no_count_knows_of_another_failure(
    read: Tasks, succeeded: int, all_there: bool
) -> None:
    assert read.add_up(succeeded) is all_there


def looks(wait: Wait, now: float) -> list[float]:
    """Seconds after the first look at which the job is looked at again, to the end of the wait."""
    first, found = now, list[float]()
    while not wait.is_over(now):
        wait.go_on(now)
        assert wait.again_at > now
        now = wait.again_at
        found.append(now - first)
    return found


def test_a_wait_looks_less_and_less_often_and_ends_when_counts_have_caught_up() -> None:
    wait = Wait()
    wait.begin(1000.0, 0.0)
    assert looks(wait, 1000.0) == [5, 15, 35, 65, 95, 125, 155, 185, 215, 245, 275, COUNTS_LAG]


@pytest.mark.parametrize(
    ("ago", "left"), [(-900.0, COUNTS_LAG), (0.0, COUNTS_LAG), (200.0, COUNTS_LAG - 200), (290.0, 30.0), (1e9, 30.0)]
)
def test_a_wait_begins_with_the_end_of_the_job_but_no_clock_ends_it_at_once(ago: float, left: float) -> None:
    wait = Wait()
    wait.begin(1000.0, ago)
    assert looks(wait, 1000.0)[-1] == left


def test_a_wait_begins_only_once() -> None:
    wait = Wait()
    wait.begin(1000.0, 200.0)
    wait.begin(1005.0, 0.0)
    assert wait.is_over(1100.0)
    assert not wait.is_over(1099.0)


@pytest.mark.parametrize(
    ("info", "seconds"),
    [
        ({"endTime": "1970-01-01T00:16:40Z"}, 60.0),
        ({"endTime": "1970-01-01T00:16:40.1234567Z"}, pytest.approx(59.87, abs=0.01)),
        ({"endTime": "soon"}, 0.0),
        ({}, 0.0),
        (None, 0.0),
    ],
)
def test_the_age_of_an_end_is_that_of_its_time(info: dict[str, str] | None, seconds: float) -> None:
    assert age({"executionInfo": info}, 1060.0) == seconds
