"""What is remembered of one job from poll to poll, and when its task counts are worth a call.

It belongs to one incarnation of the job, its id and its creationTime: a job made again under the same id starts with nothing
remembered. Counts are asked for when something about the job can have changed; one at rest is looked at ever more seldom.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from azure_batch_operator.batch.wire import Task
from azure_batch_operator.reconcile.observed import ObservedTask
from azure_batch_operator.sync.polls.speed import Speed
from azure_batch_operator.sync.polls.tries import Tries

_EAGER = 10.0
"""Seconds after a change in which each poll counts: what follows from it comes soon."""
_MAX_WAIT_RUNNING = 20.0
_MAX_WAIT_AT_REST = 600.0
"""Most seconds between two counts while tasks run, which may end unseen, and while none does."""


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
    """

    def __init__(self, created: str) -> None:
        self.created = created
        self.speed, self.tries = Speed(), Tries()
        self.failures: Counter[str] = Counter()
        self.counted_at = -math.inf
        self._changed_at = -math.inf
        self._seen: Any = None
        self._stirred = False

    def stir(self) -> None:
        """Something was done to its tasks."""
        self._stirred = True

    def due(self, seen: Any, now: float, *, running: bool) -> bool:
        """Whether to count now.

        Args:
            seen: all that shows that counts may have changed: the job's entry, the states of its pool's nodes.
            running: whether tasks ran when they were counted last.
        """
        if self.counted_at == -math.inf or self._stirred or seen != self._seen:
            return True
        since = max(self._changed_at, 0.0)
        quiet = now - since
        # At rest the interval doubles: what counts lag behind is found after at most twice the lag.
        wait = min(_MAX_WAIT_RUNNING, quiet / 4) if running else min(_MAX_WAIT_AT_REST, self.counted_at - since)
        return quiet < _EAGER or now - self.counted_at >= wait

    def counted(self, seen: Any, now: float, *, changed: bool) -> None:
        """Its tasks were counted.

        Args:
            seen: as for `due`, taken before the count.
            changed: whether the count, or something else, is different from what it was.
        """
        first, self.counted_at = self.counted_at == -math.inf, now
        if first:
            # After a start of the operator nothing need have changed.
            self._changed_at = now - _EAGER
        elif changed or self._stirred or seen != self._seen:
            self._changed_at = now
        self._seen, self._stirred = seen, False
