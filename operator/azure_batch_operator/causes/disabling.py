"""Who has disabled a job: an exit condition of a failed task, or another client. Said only where Azure Batch shows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from azure_batch_operator.batch.job_wire import Job
from azure_batch_operator.batch.task_wire import EndedTask
from azure_batch_operator.causes.exits import disables_job, words

_SOON = timedelta(minutes=5)
"""How long after the end of the task its job may be `disabling` before it is `disabled`: running tasks are stopped meanwhile."""
_ENABLE = "enable it in Azure Batch, or set spec.suspend to true and then to false"
UNKNOWN = f"the job is disabled in Azure Batch, by an exit condition or by another client, so no task starts: {_ENABLE}"
"""What is said if nothing shows who did it."""


@dataclass(frozen=True)
class Disabler:
    """Who has disabled a job.

    Attributes:
        task: the task whose exit condition did it, and how it failed; None for another client.
    """

    task: str | None = None

    @property
    def sentence(self) -> str:
        """What has happened, and what to do."""
        if self.task is None:
            return f"another client has disabled the job in Azure Batch, so no task starts: {_ENABLE}"
        text = f"an exit condition of task {self.task} has disabled the job, so no task starts"
        return f"{text}: correct the cause, then {_ENABLE}"


def disabler(job: Job, failed: Iterable[EndedTask]) -> Disabler | None:
    """Who has disabled a job; None if that cannot be told.

    Args:
        job: in the state `disabled` or `disabling`.
        failed: its failed tasks, as far as they are known.
    """
    if not job.lets_tasks_act:
        return Disabler()
    for task in failed:
        execution = task.execution_info
        code, reason = execution.exit_code, execution.failure.code
        if _fits(execution.end_time, job.state_transition_time) and disables_job(task.exit_conditions, code, reason):
            failure = words(code, reason)
            return Disabler(f"{task.id!r} ({failure})" if failure else repr(task.id))
    return None


def _fits(end: str | None, disabled: str | None) -> bool:
    """Whether a job was disabled when a task ended: a task that ended long before is not the one."""
    if not end or not disabled:
        return False
    later = datetime.fromisoformat(disabled) - datetime.fromisoformat(end)
    return timedelta(seconds=-1) <= later <= _SOON
