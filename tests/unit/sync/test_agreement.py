"""Which readings of the tasks of a completed job account for all of them."""

from __future__ import annotations

import pytest

from azure_batch_operator.batch.wire import TaskCounts
from azure_batch_operator.sync.polls.agreement import Tasks, Wait
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
    ],
)
def test_tasks_add_up_if_each_was_listed_and_no_count_knows_of_another_failure(
    read: Tasks, succeeded: int, all_there: bool
) -> None:
    assert read.add_up(succeeded) is all_there


def test_a_wait_looks_less_and_less_often_and_ends_when_counts_have_caught_up() -> None:
    wait, now, looks = Wait(), 1000.0, 0
    while not wait.is_over(now):
        wait.go_on(now)
        assert wait.again_at > now
        now, looks = wait.again_at, looks + 1
    assert (now, looks) == (1000.0 + COUNTS_LAG, 6)
