"""Whether what was read of the tasks of a completed job is all there is, before its result is final.

The result of a job is never taken back. That no task has failed is proven by no list that lacks it: lists may lag, and counts do
(docs/azure-batch.md#jobs). So each task of the job must be seen somewhere: lists and counts say the same, or the tasks that have
succeeded are listed, too. Until then the job is read again, for as long as counts may lag (tests/quick/test_final_results.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from azure_batch_operator.batch.wire import TaskCounts
from azure_batch_operator.sync.polls.base import COUNTS_LAG

LISTED = 1000
"""Tasks of a job up to which those that have succeeded are listed: one page. Larger jobs wait until the counts have caught up."""
_FIRST = 5.0


@dataclass(frozen=True)
class Tasks:
    """The tasks of a completed job as they were read.

    Attributes:
        counts: as the service counts them.
        failed, unfinished: how many a list shows.
        known: how many tasks the job has at least.
    """

    counts: TaskCounts
    failed: int
    unfinished: int
    known: int

    @property
    def total(self) -> int:
        """How many there must be."""
        counts = self.counts
        return max(self.known, counts.active + counts.running + counts.completed)

    @property
    def agree(self) -> bool:
        """Whether the counts confirm the lists, and no task is missing."""
        counts = self.counts
        return (
            (counts.failed, counts.active + counts.running) == (self.failed, self.unfinished)
            and counts.completed == counts.succeeded + counts.failed
            and self.total == counts.active + counts.running + counts.completed
        )

    @property
    def lists_lag(self) -> bool:
        """Whether the counts show what the lists do not."""
        return self.counts.failed > self.failed or self.counts.active + self.counts.running < self.unfinished

    def add_up(self, succeeded: int) -> bool:
        """Whether these and so many that a list shows to have succeeded are all, and the counts know of no other failure."""
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

    def go_on(self, now: float) -> None:
        """They do not agree yet."""
        self._began = now if self._began is None else self._began
        self.again_at = min(now + self._seconds, self._began + COUNTS_LAG)
        self._seconds *= 2
