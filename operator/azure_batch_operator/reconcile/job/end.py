"""The end of a BatchJob: its result from the results of its tasks, and when the operator ends it early.

A completed job may have unfinished tasks and a job whose tasks failed is completed all the same (docs/azure-batch.md#jobs), so the
outcome comes from the tasks; the terminateReason tells the cases apart in which something else ended the job.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from azure_batch_operator.api.base import RETRY_FAILED, TERMINATE
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.job_wire import Job
from azure_batch_operator.reconcile.before import status_before
from azure_batch_operator.reconcile.job import expand
from azure_batch_operator.reconcile.job.failures import first_failed, how
from azure_batch_operator.reconcile.job.scope import TasksView
from azure_batch_operator.reconcile.job.spec import JobTerms, job_before
from azure_batch_operator.reconcile.plan import TaskEvidence
from azure_batch_operator.reconcile.status import SUSPENDED, Verdict, seconds_since
from azure_batch_operator.words import counted


@dataclass(frozen=True)
class Ending:
    """Why the operator ends a job.

    Attributes:
        reason: of the condition `Failed`.
        terminate_reason: how Azure Batch shows it, and how the operator knows it again.
        message: what it means.
    """

    reason: str
    terminate_reason: str
    message: str


DEPENDENCY_FAILED = Ending(
    "DependencyFailed",
    "azurebatch.io: the remaining tasks depend on failed tasks",
    "the remaining tasks depend on failed tasks",
)
TOO_MANY_FAILED = Ending(
    "TooManyTasksFailed",
    "azurebatch.io: more tasks failed than allowed",
    "more tasks failed than spec.failurePolicy allows",
)
PENDING_TOO_LONG = Ending(
    "PendingDeadlineExceeded",
    "azurebatch.io: no task started in time",
    "no task started within spec.pendingDeadlineSeconds",
)
TOO_MANY_REQUEUES = Ending(
    "TooManyRequeues",
    "azurebatch.io: a task was requeued too often",
    "a task was requeued more often than backoff.maxRequeues allows, and the job has no fallback pool",
)
ASKED = Ending("JobTerminated", "azurebatch.io: terminated by annotation", f"the annotation {TERMINATE} ended the job")
_ENDINGS = {
    each.terminate_reason: each
    for each in (DEPENDENCY_FAILED, TOO_MANY_FAILED, PENDING_TOO_LONG, TOO_MANY_REQUEUES, ASKED)
}
_DEADLINE = "MaxWallClockTimeExpiry"
_BY_ITSELF = frozenset({"", "AllTasksCompleted", "JMComplete", "TaskFailed"})
"""Reasons that lie in the job's own tasks; any other is somebody's who has ended it from outside."""


def failure(ending: Ending, message: str | None = None) -> Verdict:
    """The verdict of a job that has failed."""
    text = message or ending.message
    return Verdict(
        "Failed", ending.reason, text, ready=False, trend="Stalled", more={"Failed": (True, ending.reason, text)}
    )


_NOTHING = (
    "there was nothing to do: tasks, tasksFrom and taskFactory contain no tasks; remove all three for a job whose tasks are "
    "BatchTasks"
)
NOTHING_TO_DO = Verdict(
    "Succeeded", "NothingToDo", _NOTHING, ready=True, more={"Complete": (True, "NothingToDo", _NOTHING)}
)
"""The verdict of a job without tasks: it has come to its end, so that the next run of a schedule is not held up."""


def allowed_failures(spec: JobTerms, total: int) -> int:
    """How many failed tasks do not make the job fail."""
    policy = spec.failure_policy
    if policy.max_failed_tasks is not None:
        return policy.max_failed_tasks
    return math.floor(policy.max_failed_ratio * total + 1e-9)


def pending_deadline(resource: Resource, spec: JobTerms, now: float) -> float | None:
    """Seconds left for the first task to start, negative when they are over; None if there is no such limit any more."""
    limit = spec.pending_deadline_seconds
    if limit is None or spec.suspend or job_before(resource).tasks_start_time:
        return None
    suspended = status_before(resource).condition(SUSPENDED)
    waited = seconds_since(resource.created, now)
    if suspended is not None:
        # One that still says that it is suspended is being resumed right now.
        resumed = suspended.status == "False"
        waited = min(waited, seconds_since(suspended.last_transition_time, now) if resumed else 0.0)
    return float(limit) - waited


def early(
    spec: JobTerms, total: int, tasks: TasksView, *, blocked: bool, requeues: bool, left: float | None
) -> Ending | None:
    """Why a job that is active must be ended now; None if it continues.

    Args:
        blocked: whether all that is left depends on failed tasks.
        requeues: whether a task was put back too often and there is nowhere to go.
        left: seconds left for the first task to start (`pending_deadline`).
    """
    action = spec.failure_policy.action
    if blocked and spec.on_dependency_failure == "Fail" and action != "Hold":
        return DEPENDENCY_FAILED
    if action == "Stop" and tasks.failed_count > allowed_failures(spec, total):
        return TOO_MANY_FAILED
    if requeues:
        return TOO_MANY_REQUEUES
    if left is not None and left <= 0 and not (tasks.running or tasks.completed):
        return PENDING_TOO_LONG
    return None


def evidence(ending: Ending, tasks: TasksView) -> tuple[TaskEvidence, ...]:
    """What lists of the job's tasks must confirm before it is ended, since the counts that were decided from lag behind."""
    if ending is PENDING_TOO_LONG:
        return (TaskEvidence("state ne 'active'", most=0),)
    if ending is DEPENDENCY_FAILED:
        active = tasks.active
        return TaskEvidence("state eq 'active'", active, active), TaskEvidence(_ON_NODES, most=0)
    if ending is TOO_MANY_FAILED:
        return (TaskEvidence(_FAILED, tasks.failed_count),)
    return ()


def all_ended(spec: JobTerms, total: int) -> tuple[TaskEvidence, ...]:
    """What lists must show before a job that waits for it is told to end with its tasks, which nobody can take back."""
    ended = TaskEvidence("state ne 'completed'", most=0)
    if spec.failure_policy.action != "Hold":
        return (ended,)
    return ended, TaskEvidence(_FAILED, most=allowed_failures(spec, total))


_FAILED = "executionInfo/result eq 'failure'"
_ON_NODES = "state eq 'preparing' or state eq 'running'"


def outcome(
    spec: JobTerms,
    job: Job,
    tasks: TasksView,
    total: int,
    missing: int = 0,
) -> Verdict:
    """The verdict on a job that is completed in Azure Batch and whose unfinished tasks were counted.

    Args:
        total: tasks that it has, or should have.
        missing: those of them that are not in the job, since they were never added, or deleted and not added again.
    """
    info = job.execution
    failed, unfinished = tasks.failed_count, tasks.unfinished or 0
    reason = str(info.terminate_reason or "")
    first = first_failed(tasks.failed)
    if (error := info.error) is not None:
        code = error.code or "SchedulingError"
        return failure(Ending(code, "", f"the job could not be scheduled: {error.message}"))
    well = failed <= allowed_failures(spec, total) and not unfinished
    gone = _gone(spec, tasks)
    if well and not (missing or gone) and (total or reason not in _ENDINGS):
        return _success(total, failed, tasks.lost, reason)
    succeeded = total - missing - failed - unfinished - tasks.lost
    so_far = f"{succeeded} of {counted(total, 'task')} had succeeded" if total else "it had no tasks"
    ending = _ENDINGS.get(reason)
    if ending is DEPENDENCY_FAILED:
        text = f"{failed} of {total} tasks failed, and {unfinished} could not run because they depend on a failed one{first}"
        return failure(ending, text)
    if ending is TOO_MANY_FAILED:
        return failure(ending, f"{ending.message}{first}; {so_far}")
    if ending is not None:
        return failure(ending, f"{ending.message}; {so_far}")
    if reason == _DEADLINE:
        which = "activeDeadlineSeconds" if spec.active_deadline_seconds is not None else "constraints.maxWallClockTime"
        return failure(Ending("DeadlineExceeded", reason, f"{which} was over when {so_far}"))
    if reason in _BY_ITSELF and failed > allowed_failures(spec, total):
        text = f"{failed} of {total} tasks failed{first}"
        if total == 1 and tasks.failed:
            way = how(tasks.failed[0])
            text = f"task {tasks.failed[0].id!r} failed{f' ({way})' if way else ''}"
        return failure(Ending("TasksFailed", "", text))
    if (missing or gone) and not unfinished and reason in _BY_ITSELF:
        return failure(Ending("TasksMissing", "", _missing(missing or gone, total, so_far, added=not missing)))
    return failure(Ending("JobTerminated", "", f"the job was ended ({reason}) when {so_far}"))


def _gone(spec: JobTerms, tasks: TasksView) -> int:
    """How many of the job's own tasks its lists prove to be gone, although all were added.

    Counts alone do not prove it, since they lag; nor where what is gone may be the task of a BatchTask, which has a status itself.
    """
    return tasks.lost if tasks.found is not None and expand.total(spec) and not tasks.others_in else 0


def _missing(number: int, total: int, so_far: str, *, added: bool) -> str:
    """What is said of a job whose own tasks are not all in it."""
    are = f"{number} of {counted(total, 'task')} {'is' if number == 1 else 'are'}"
    if added:
        return (
            f"{are} no longer in the job, so nobody knows whether {'it' if number == 1 else 'they'} succeeded: another client "
            f"has deleted {'it' if number == 1 else 'them'}; {so_far}. To run the tasks again, create a new BatchJob"
        )
    return (
        f"{are} not in the job, which ended before {'it was' if number == 1 else 'they were'} added; {so_far}. Azure Batch adds "
        "no tasks to a job that has ended: create a new BatchJob"
    )


def _success(total: int, failed: int, lost: int, reason: str) -> Verdict:
    if lost:
        of_them = f"{failed} failed, as failurePolicy allows, and " if failed else ""
        message = (
            f"{total - failed - lost} of {counted(total, 'task')} succeeded; {of_them}{_no_longer(lost)} in the job"
        )
    elif failed:
        message = f"{total - failed} of {total} tasks succeeded, {failed} failed, as failurePolicy allows"
    else:
        succeeded = "the task succeeded" if total == 1 else f"all {total} tasks succeeded"
        message = succeeded if total else f"the job ended ({reason}) without tasks"
    return Verdict("Succeeded", "Succeeded", message, ready=True, more={"Complete": (True, "Succeeded", message)})


def _no_longer(number: int) -> str:
    return f"{number} {'is' if number == 1 else 'are'} no longer"


def held(failed: int, total: int, first: str) -> Verdict:
    """The verdict on a job that is kept open although its tasks have ended, since some have failed."""
    text = (
        f"{failed} of {counted(total, 'task')} failed{first}; failurePolicy keeps the job open: run them again with a new value "
        f"of the annotation {RETRY_FAILED}, or end the job with {TERMINATE}"
    )
    return Verdict("Held", "TasksFailed", text, ready=False, trend="Stalled")
