"""Tasks that are not finished 180 days after they were added are ended by the service (docs/azure-batch.md#tasks).

One mark per job and day of service time, not one timer per task: a task is ended within a day after its time is over.
"""

from __future__ import annotations

import math

from azure_batch_emulator.engine import ports, task_rules, timings
from azure_batch_emulator.engine.entities import Job, Task
from azure_batch_emulator.engine.state import AccountState
from azure_batch_emulator.isolation import for_each

DAY = 86_400.0
_LIFE = (timings.TASK_LIFE_DAYS + 1) * DAY


class TaskAges:
    """Watches the ages of the tasks of all jobs of an account."""

    def __init__(self, state: AccountState, tasks: ports.Tasks) -> None:
        self._state = state
        self._tasks = tasks

    def added(self, job: Job, created: int) -> None:
        """A task has been added.

        Args:
            created: ticks.
        """
        now = self._state.clock.service_seconds()
        if job.age_marks and now < job.age_marks[-1][0] + DAY:
            return
        job.age_marks.append((now, created))
        if job.age_timer is None:
            self._plan(job, now)

    def forget(self, job: Job) -> None:
        """The job has ended, and all its tasks with it."""
        job.age_marks.clear()
        if job.age_timer is not None:
            job.age_timer.cancel()
            job.age_timer = None

    def _plan(self, job: Job, now: float) -> None:
        job.age_timer = self._state.clock.call_later(job.age_marks[0][0] + _LIFE - now, self._look, job)

    def _look(self, job: Job) -> None:
        job.age_timer = None
        now = self._state.clock.service_seconds()
        while job.age_marks and job.age_marks[0][0] + _LIFE <= now:
            job.age_marks.popleft()
            self._end_before(job, job.age_marks[0][1] if job.age_marks else math.inf)
        if job.age_marks:
            self._plan(job, now)

    def _end_before(self, job: Job, created: float) -> None:
        """End what is unfinished of the tasks that were added before a tick."""
        old = []
        for task in job.tasks.values():
            if task.created >= created:
                break
            if task.state != "completed":
                old.append(task)
        for_each(self._state.clock, old, self._end)

    def _end(self, task: Task) -> None:
        # The end of another one may have ended it.
        if task.state != "completed":
            self._tasks.end(task, task_rules.TOO_OLD)
