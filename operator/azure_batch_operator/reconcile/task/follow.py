"""A BatchTask whose task is in Azure Batch: show its state, apply changes, and handle annotations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from msgspec import to_builtins

from azure_batch_operator.api.base import RETRY_FAILED, TERMINATE
from azure_batch_operator.batch.wire import TaskConstraints
from azure_batch_operator.reconcile import normalization as normal
from azure_batch_operator.reconcile.annotations import handled, is_later, pending_request, retried_until, retrying
from azure_batch_operator.reconcile.observed import ObservedTask
from azure_batch_operator.reconcile.plan import TAKES_NO_MORE, Absence, Call, Ended, Event, Plan, Table, without_etag
from azure_batch_operator.reconcile.status import Verdict
from azure_batch_operator.reconcile.steps import first_plan
from azure_batch_operator.reconcile.task.addition import never_ran
from azure_batch_operator.reconcile.task.scope import BLOCKED, LiveTask
from azure_batch_operator.reconcile.task.status import shown, status_of


def follow(task: LiveTask) -> Plan:
    """Decide about a task that exists and is ours.

    Each plan wants the finalizer, although the object may have it: one that was created with it has nothing in Azure Batch until a
    plan wants it.
    """
    return first_plan(STEPS, task)


def _ended_with_job(task: LiveTask) -> Plan | None:
    """Its job has ended before it."""
    resource, job = task.resource, task.job
    if task.ended or task.job_state != "completed":
        return None
    if task.state != "active":
        # The service has ended it with its job: the next list shows how.
        return Plan()
    plan = never_ran(task.scope, f"job {job.id!r} has ended ({_reason(task)})")
    left = Absence(Table.TASKS, resource.remote_id, job.id)
    gone = Ended(job.id, job.job.creation_time if job.job is not None else None)
    return replace(plan, finalizer="add", ended=gone, left_active=left)


def _run_again(task: LiveTask) -> Plan | None:
    """A user asks for another try of a task that has failed."""
    resource, job = task.resource, task.job
    if not pending_request(resource, RETRY_FAILED) or not _is_to_run_again(task):
        return None
    text = None
    if task.job_state in TAKES_NO_MORE:
        text = f"job {job.id!r} is {task.job_state}, so its tasks cannot be retried: create a new job"
    elif job.refusal is not None:
        text = f"the task cannot be retried: {job.refusal[1]}"
    if text is not None:
        refused = dict(resource.status) | {"handled": handled(resource, RETRY_FAILED)}
        return Plan("add", status=refused, events=(Event("RetryRefused", text, "Warning"),))
    verdict = Verdict("Pending", "Retrying", "the task is to run again", ready=True)
    after = shown(task.scope, None, verdict) | {"handled": handled(resource, RETRY_FAILED)}
    event = Event("Retrying", f"the task runs again, as requested by the annotation {RETRY_FAILED}")
    first = dict(resource.status)
    if retried_until(resource) is None:
        marks = retrying(resource, _end(task.remote))
        first = {**(status_of(task) or first), "handled": marks}
    return Plan("add", (call_to(task, "reactivate_task"),), first=first, status=after, events=(event,))


def _change(task: LiveTask) -> Plan | None:
    """It is to be ended, or its constraints differ."""
    if task.ended:
        return None
    if pending_request(task.resource, TERMINATE):
        call = call_to(task, "terminate_task")
    elif (constraints := _other_constraints(task)) is not None:
        call = call_to(task, "update_task", {"constraints": to_builtins(constraints)})
    else:
        return None
    return Plan("add", (call,), status=status_of(task))


def _show_blocked(task: LiveTask) -> Plan | None:
    """It never starts, since one that it depends on has failed."""
    blocked_by = task.scope.view.blocked_by
    if blocked_by is None or task.state != "active":
        return None
    text = (
        f"BatchTask {blocked_by!r} has failed or never starts, so this task never starts: retry the failed one with "
        f"the annotation {RETRY_FAILED} while the job is open, or delete this BatchTask"
    )
    verdict = Verdict("Pending", BLOCKED, text, ready=False, trend="Stalled")
    # No Event: there may be thousands of them for one that has failed.
    return Plan("add", status=shown(task.scope, task.remote, verdict))


def _show(task: LiveTask) -> Plan:
    """Nothing is to be done."""
    return Plan("add", status=status_of(task))


STEPS: tuple[Callable[[LiveTask], Plan | None], ...] = (
    _ended_with_job,
    _run_again,
    _change,
    _show_blocked,
    _show,
)
"""In this order; a step that does not apply returns None."""


def _is_to_run_again(task: LiveTask) -> bool:
    """Whether a task has failed and has not run since the annotation was first acted upon: a call may have had no response."""
    if not task.ended or task.remote.execution.result != "failure":
        return False
    until = retried_until(task.resource)
    return until is None or not is_later(_end(task.remote), until)


def _end(remote: ObservedTask) -> str:
    return remote.execution.end_time or ""


def call_to(task: LiveTask, verb: str, body: Mapping[str, object] | None = None) -> Call:
    """A call to the task, provided that it still is the one that was listed with the owner."""
    return Call(
        verb,
        Table.TASKS,
        task.resource.remote_id,
        parent=task.job.id,
        body=body,
        if_match=task.remote.etag,
        evidence=without_etag(task.remote),
    )


def _reason(task: LiveTask) -> str:
    job = task.job.job
    return str((job and job.execution.terminate_reason) or "for an unknown reason")


def _other_constraints(task: LiveTask) -> TaskConstraints | None:
    """The constraints that the task shall have, if it has others."""
    job, there = task.job.job, task.remote.constraints
    wanted = normal.task_constraints(task.spec.constraints, None if job is None else job.constraints)
    return None if there is None or normal.same_task_constraints(wanted, there) else wanted
