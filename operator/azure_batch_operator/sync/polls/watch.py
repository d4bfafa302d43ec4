"""What is remembered of one job between polls, and when its task counts need a call.

It belongs to one incarnation of the job, its id and its creationTime: a job made again under the same id starts with nothing
remembered. Counts are asked for when something about the job can have changed; a job at rest is checked less and less often.
How often depends on what the lists of the account would show (`motion`).
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

from azure_batch_operator.batch.wire import Task
from azure_batch_operator.reconcile.observed import ObservedTask
from azure_batch_operator.sync.mirror import JobResults
from azure_batch_operator.sync.polls.agreement import Wait
from azure_batch_operator.sync.polls.base import COUNTS_LAG
from azure_batch_operator.sync.polls.motion import Motion
from azure_batch_operator.sync.polls.speed import Speed
from azure_batch_operator.sync.polls.tries import Tries

_EAGER = 10.0
"""Seconds after a change in which each poll counts: what follows from it comes soon."""
_MAX_WAIT = {
    Motion.HIDDEN_END: 20.0,
    Motion.SHOWN_END: 600.0,
    Motion.HIDDEN_START: 600.0,
    Motion.SHOWN_START: 1800.0,
}
"""Most seconds between two counts of a job."""
_SPREAD = 0.75, 1.25
"""Factors of the longer intervals, so that jobs which came to rest at the same time are counted at different times."""


def incarnation(entry: Mapping[str, Any] | Task | ObservedTask | None) -> str:
    """What tells a resource from an earlier one of the same id; empty if it is not known."""
    if entry is None or isinstance(entry, Mapping):
        return str((entry or {}).get("creationTime") or "")
    return entry.creation_time or ""


class Watch:
    """What is remembered of one job.

    Attributes:
        created: its creationTime.
        failures: how often what no verdict depends on could not be read.
        counted_at: when its tasks were counted last, by the loop's time.
        wait: how its result is waited for once it is completed.
        end: the completed job and its last lists, while they are not its result.
    """

    def __init__(self, created: str) -> None:
        self.created = created
        self.speed, self.tries, self.wait = Speed(), Tries(), Wait()
        self.end: tuple[Mapping[str, Any], JobResults] | None = None
        self.failures: Counter[str] = Counter()
        self.counted_at = -math.inf
        self._changed_at = -math.inf
        self._spread = random.uniform(*_SPREAD)  # noqa: S311
        self._seen: Any = None
        self._stirred = False

    def stir(self) -> None:
        """Something was done to its tasks."""
        self._stirred = True

    def due(self, seen: Any, now: float, motion: Motion) -> bool:
        """Whether to count now.

        Args:
            seen: all that shows that counts may have changed: the job's entry, the states of its pool's nodes.
            motion: what the lists show of its tasks.
        """
        if self.counted_at == -math.inf or self._stirred or seen != self._seen:
            return True
        quiet, least = now - self._changed_at, self.counted_at - self._changed_at
        # At rest the interval doubles: what counts lag behind is found after at most twice the lag.
        wait = min(_MAX_WAIT[motion], quiet / 4 if motion.is_running else least)
        if wait > _MAX_WAIT[Motion.HIDDEN_START] / 2 and motion.is_shown:
            wait *= self._spread
        return quiet < _EAGER or now - self.counted_at >= wait

    def counted(self, seen: Any, now: float, motion: Motion, *, changed: bool) -> None:
        """Its tasks were counted.

        Args:
            seen: as for `due`, taken before the count.
            motion: what the lists show of its tasks, by this count.
            changed: whether the count, or something else, is different from what it was, or from what the status shows.
        """
        first, self.counted_at = self.counted_at == -math.inf, now
        if first:
            # After a start of the operator nothing need have changed.
            # A job that rested before a restart is counted a second time once the counts have caught up.
            self._changed_at = now - (COUNTS_LAG if motion.is_shown and not changed else _EAGER)
        elif changed or self._stirred or seen != self._seen:
            self._changed_at = now
        self._seen, self._stirred = seen, False
