"""Whether what was read of the tasks of a completed job is all there is, before its result is final.

The result of a job is never taken back. That no task has failed is proven by no list that lacks it: lists may lag, and counts do
(docs/azure-batch.md#jobs). So each task of the job must be seen somewhere: lists and counts say the same, or the tasks that have
succeeded are listed, too. Until then the job is read again, for as long as counts may lag (tests/quick/test_final_results.py).
Counts and a list may lag in the same way: of a job that ended because all of its tasks had, neither may show an unfinished one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from azure_batch_operator.batch.wire import TaskCounts
from azure_batch_operator.reconcile.status import seconds_since
from azure_batch_operator.sync.polls.base import COUNTS_LAG

LISTED = 1000
"""Tasks of a job up to which those that have succeeded are listed: one page. Larger jobs wait until the counts have caught up."""
_FIRST, _MAX_PAUSE = 5.0, 30.0
"""Seconds between two looks."""
_MIN_WAIT = 30.0
"""Seconds that lists and counts are given by each process, however long ago the job ended: clocks differ."""


@dataclass(frozen=True)
class Tasks:
    """The tasks of a completed job as they were read.

    Attributes:
        counts: as the service counts them.
        failed, unfinished: how many a list shows.
        known: how many tasks the job has at least.
        may_grow: whether its tasks add others, so that nobody knows how many there are.
        all_ended: whether the job ended because all of its tasks had, so that none can be unfinished.
    """

    counts: TaskCounts
    failed: int
    unfinished: int
    known: int
    may_grow: bool = False
    all_ended: bool = False

    @property
    def there(self) -> int:
        """How many the service counts."""
        return self.counts.active + self.counts.running + self.counts.completed

    @property
    def total(self) -> int:
        """How many there must be."""
        return max(self.known, self.there)

    @property
    def agree(self) -> bool:
        """Whether the counts confirm the lists, and no task is missing."""
        return self._fit and self.total == self.there and not self._is_blank

    @property
    def seen(self) -> int:
        """How many there are by counts that have caught up with the lists; as many as there must be, if they have not."""
        return self.there if self._fit and self.there else self.total

    @property
    def _fit(self) -> bool:
        """Whether the counts say the same as the lists."""
        counts, open_ = self.counts, self.counts.active + self.counts.running
        return (
            (counts.failed, open_) == (self.failed, self.unfinished)
            and counts.completed == counts.succeeded + counts.failed
            and not (self.all_ended and open_)
        )

    @property
    def _is_blank(self) -> bool:
        """Whether counts that show no task at all say nothing."""
        return self.may_grow and not self.there

    @property
    def lists_lag(self) -> bool:
        """Whether the counts show what the lists do not."""
        return self.counts.failed > self.failed or self.counts.active + self.counts.running < self.unfinished

    def add_up(self, succeeded: int) -> bool:
        """Whether these and so many that a list shows to have succeeded are all, and the counts know of no other failure."""
        if self._is_blank or (self.all_ended and self.unfinished):
            return False
        return self.counts.failed <= self.failed and succeeded + self.failed + self.unfinished >= self.total


@dataclass
class Wait:
    """How long a completed job has been read without agreement.

    Attributes:
        unfinished: by the last list; None before the first.
        again_at: when it is worth another look, by the loop's time.
    """

    unfinished: int | None = None
    again_at: float = 0.0
    _began: float | None = None
    _seconds: float = _FIRST

    def is_over(self, now: float) -> bool:
        """Whether counts and lists have had their time: then the lists count as they are."""
        return self._began is not None and now - self._began >= COUNTS_LAG

    def begin(self, now: float, age: float = 0.0) -> float:
        """The lists of the completed job are about to be read.

        Args:
            age: seconds since its end: a restart continues the wait; as clocks differ, some of the time is always left.
        """
        if self._began is None:
            self._began = now - min(max(age, 0.0), COUNTS_LAG - _MIN_WAIT)
        return self._began

    def is_settled(self, now: float) -> bool:
        """Whether lists no longer lag: they are the result if the job is deleted before its counts have caught up."""
        return self._began is not None and now - self._began >= _MIN_WAIT

    def go_on(self, now: float) -> None:
        """They do not agree yet."""
        self.again_at = min(now + self._seconds, self.begin(now) + COUNTS_LAG)
        self._seconds = min(2 * self._seconds, _MAX_PAUSE)


def age(job: Mapping[str, Any], now: float) -> float:
    """Seconds since the end of a completed job; 0 if it does not say when that was.

    Args:
        now: seconds since the epoch.
    """
    end = (job.get("executionInfo") or {}).get("endTime")
    try:
        return seconds_since(str(end or ""), now)
    except ValueError:
        return 0.0
