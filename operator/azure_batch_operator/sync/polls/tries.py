"""Retries and requeues of the tasks of a job, summed from lists of tasks whose state changed (docs/azure-batch.md#tasks).

The service neither counts them per job nor filters by them, but a task's own counts only grow and every try changes its state. So
one list of what has changed since the last one is enough, however late it comes: for most jobs once a minute while tasks start
and end, and once when the job has ended. Tasks that wait are left out until then, since most of them have never been tried.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable

from prometheus_client import Counter

from azure_batch_operator.batch.wire import Task, TaskCounts
from azure_batch_operator.sync.polls.base import Since, clock

RETRIES = Counter(
    "azurebatch_task_retries",
    "Retries of tasks of BatchJobs after a non-zero exit code",
    ["namespace"],
)
REQUEUES = Counter(
    "azurebatch_task_requeues",
    "Requeues of tasks of BatchJobs that lost their node",
    ["namespace"],
)

EVERY = 60.0
"""Seconds between two lists of a job, unless a limit of requeues makes it urgent."""
_MAX_AT_ONCE = 20_000
"""Tasks of one list that a poll reads; the rest comes with the next one, so that a large job does not hold up the others."""
_MAX_AT_END = 5000
"""The same for a job that has ended, whose result waits for that: what is left is read afterwards."""

ListSince = Callable[[str], AsyncIterable[Task]]
"""Lists the tasks for which a filter holds."""


class Tries:
    """What is known of one job."""

    def __init__(self) -> None:
        self.retries = self.requeues = self.most_requeues = 0
        self._by_task: dict[str, tuple[int, int]] = {}
        self._ended: dict[str, str] = {}
        self._since, self._seen = Since(), Since()
        self._listing: AsyncIterator[Task] | None = None
        self._final = False
        self._began = 0.0
        self._counts: TaskCounts | None = None

    def due(self, counts: TaskCounts, *, shown: bool = False) -> bool:
        """Whether it is time for a list: one is in progress, or the job's counts have changed since the last one.

        Args:
            shown: whether the status shows tries from before this process, so that nothing is due before something changes.
        """
        if self._listing is not None:
            return True
        if self._counts is None and shown:
            self._counts, self._began = counts, -math.inf
        if self._counts is None:
            return bool(counts.running or counts.completed)
        return counts != self._counts and clock() - self._began >= EVERY

    async def read(self, tasks: ListSince, counts: TaskCounts, *, waiting: bool, ended: bool) -> bool:
        """Take in what has changed since the last list, or continue with a long one.

        Args:
            counts: the job's counts as they were before.
            waiting: include tasks that wait.
            ended: the job has ended: read what is left, tasks that wait forever included.

        Returns:
            Whether all that can still be learned of an ended job is known.
        """
        most = _MAX_AT_END if ended else _MAX_AT_ONCE
        if self._listing is None:
            self._began, self._counts, self._seen, self._final = clock(), counts, Since(), ended
            since = self._since.filter
            waits = f"{since} or state eq 'active'" if ended else f"{since} and state ne 'active'"
            self._listing = aiter(tasks(since if waiting else waits))
        listing, self._listing, number = self._listing, None, 0
        async for task in listing:
            self.add(task)
            number += 1
            if number >= most:
                self._listing = listing
                return False
        # What has changed while the pages were read may have been missed.
        self._since.advance(self._seen, clock() - self._began)
        self._drop()
        return self._final

    def add(self, task: Task) -> None:
        """Take in a task as a list shows it."""
        self._seen.saw(task)
        info, id = task.execution, task.id
        now = (info.retry_count or 0, info.requeue_count or 0)
        before = self._by_task.get(id, (0, 0))
        if now == before:
            return
        # A reactivated task counts from 0 again; what was before stays counted.
        self.retries += max(0, now[0] - before[0])
        self.requeues += max(0, now[1] - before[1])
        self.most_requeues = max(self.most_requeues, now[1])
        self._by_task[id] = now
        if info.end_time is not None:
            self._ended[id] = task.state_transition_time or ""
        else:
            self._ended.pop(id, None)

    def _drop(self) -> None:
        """Forget tasks that no list shows again, unless they run again and so count from 0."""
        for id in [id for id, stamp in self._ended.items() if self._since.is_past(stamp)]:
            del self._ended[id], self._by_task[id]


def count(namespaces: Iterable[str], retries: int, requeues: int) -> None:
    """Add to the metrics what was not known before."""
    for namespace in namespaces:
        RETRIES.labels(namespace).inc(retries)
        REQUEUES.labels(namespace).inc(requeues)
