"""A BatchTask whose task is not in Azure Batch: what delays it, what happened to its job, and what is sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from msgspec import structs

from azure_batch_operator.api.base import RETRY_FAILED, TERMINATE
from azure_batch_operator.api.task import TaskSpec
from azure_batch_operator.batch.errors import CompletedError
from azure_batch_operator.reconcile import ownership
from azure_batch_operator.reconcile.annotations import handled, pending_request
from azure_batch_operator.reconcile.error_classes import RetryClass, classify_error
from azure_batch_operator.reconcile.job import expand
from azure_batch_operator.reconcile.job.spec import TaskLinks
from azure_batch_operator.reconcile.plan import TAKES_NO_MORE, Absence, Absent, Ended, Plan, Table
from azure_batch_operator.reconcile.standard_plans import (
    once_absent,
    once_late,
    other_name,
    troubled,
    waiting,
    with_event,
)
from azure_batch_operator.reconcile.status import Verdict, carry_over
from azure_batch_operator.reconcile.steps import first_plan
from azure_batch_operator.reconcile.task.scope import TaskScope

_OWNER_LOOKED_AT_EVERY = 300.0


def without_job(scope: TaskScope) -> Plan:
    """There is no job in Azure Batch that the task could be in: none, or one of somebody else under its ID."""
    resource, job, now = scope.resource, scope.job, scope.now
    gone = (Absence(Table.JOBS, job.id),) if job.remote is Absent.NOT_FOUND else ()
    if job.finished:
        why = f"BatchJob {scope.spec.job_ref.name!r} has ended and its job was deleted"
        return replace(never_ran(scope, why), confirm=gone)
    if scope.before.state:
        message = (
            f"job {job.id!r} was deleted in Azure Batch, and the task with it; it is added again if the job comes back"
        )
        verdict = Verdict("Stalled", "JobGone", message, ready=False, trend="Stalled")
        plan = once_absent(resource, Plan(status=carry_over(resource, verdict, now)), verdict, *gone)
        return with_event(resource, plan, verdict)
    if scope.spec.job_id is not None:
        message = (
            f"spec.jobId names job {job.id!r}, which does not exist in Azure Batch: create it"
            f"{other_name(resource, 'spec.jobId')}"
        )
        return waiting(resource, "JobNotFound", message, now)
    message = f"waiting until BatchJob {scope.spec.job_ref.name!r} exists in Azure Batch"
    return waiting(resource, "WaitingForJob", message, now)


def not_allowed(scope: TaskScope, reason: str, message: str) -> Plan:
    """Nothing is added: the job, or its pool, is not for tasks of this namespace."""
    verdict = Verdict("Stalled", reason, message, ready=False, trend="Stalled")
    shown = carry_over(scope.resource, verdict, scope.now)
    return with_event(scope.resource, Plan(status=shown, requeue_after=_OWNER_LOOKED_AT_EVERY), verdict)


def never_ran(scope: TaskScope, why: str) -> Plan:
    """The task has not run and never will, since its job has ended."""
    message = f"{why}, so the task cannot run: delete this BatchTask, or create it again in another job"
    return _ended(scope, Verdict("Failed", "JobFinished", message, ready=False, trend="Stalled"))


def _ended(scope: TaskScope, verdict: Verdict) -> Plan:
    """The object is done although the task did not come to an end of its own."""
    verdict = replace(verdict, more={"Failed": (True, verdict.reason, verdict.message)})
    shown = carry_over(scope.resource, verdict, scope.now)
    if marks := handled(scope.resource, RETRY_FAILED, TERMINATE):
        shown["handled"] = marks
    return with_event(scope.resource, Plan(status=shown), verdict)


def add(scope: TaskScope) -> Plan:
    """The task is not in its job: add it, unless something keeps it out."""
    return first_plan(STEPS, scope)


def _ended_before(scope: TaskScope) -> Plan | None:
    """A user has ended it."""
    if not pending_request(scope.resource, TERMINATE):
        return None
    message = f"the task was terminated by the annotation {TERMINATE} before it was added"
    plan = _ended(scope, Verdict("Failed", "TaskEnded", message, ready=False, trend="Stalled"))
    gone = Absence(Table.TASKS, scope.resource.remote_id, scope.job.id)
    return once_late(scope.resource, plan, scope.late, gone, message, scope.now)


def _too_late(scope: TaskScope) -> Plan | None:
    """The job accepts no more tasks."""
    resource, job = scope.resource, scope.job
    if job.job is None or job.state not in TAKES_NO_MORE:
        return None
    plan = never_ran(scope, f"job {job.id!r} is {job.state} and accepts no more tasks")
    plan = replace(plan, ended=Ended(job.id, job.job.creation_time))
    # One that was seen there has ended with its job, if a list lacks it by mistake.
    was_there = scope.before.reason == "Queued" or scope.before.state
    seen = (Absence(Table.TASKS, resource.remote_id, job.id),) if was_there else ()
    return replace(plan, confirm=seen)


def _wait_for_dependency(scope: TaskScope) -> Plan | None:
    """A task that it depends on cannot be named."""
    return None if scope.view.problem is None else waiting(scope.resource, *scope.view.problem, scope.now)


def _may_not_act(scope: TaskScope) -> Plan | None:
    """The service would refuse the task, with no word about which member is wrong."""
    resource, job = scope.resource, scope.job
    if not scope.spec.exit_conditions.acts_on_job or job.job is None or job.job.lets_tasks_act:
        return None
    message = (
        f"spec.exitConditions has a jobAction, which job {job.id!r} does not allow because its onTaskFailure is not "
        "performexitoptionsjobaction: create this BatchTask again without jobAction, or in a job with that onTaskFailure"
    )
    verdict = Verdict("Stalled", "JobActionNotAllowed", message, ready=False, trend="Stalled")
    return with_event(resource, Plan(status=carry_over(resource, verdict, scope.now)), verdict)


def _refused(scope: TaskScope) -> Plan | None:
    """The submitter could not add it."""
    resource, error, now = scope.resource, scope.view.refused, scope.now
    if error is None:
        return None
    problem = classify_error(error)
    if isinstance(error, CompletedError):
        # The next list of jobs says the same, and then it is final.
        message = f"the job accepts no more tasks ({error}): create the BatchJob again, or delete this BatchTask"
        verdict = Verdict("Stalled", problem.reason, message, ready=False, trend="Stalled")
        return Plan(status=carry_over(resource, verdict, now), requeue_after=RetryClass.WRONG.seconds(1))
    return Plan(status=troubled(resource, problem, now), requeue_after=scope.view.retry_in)


def _submit(scope: TaskScope) -> Plan:
    """Hand it to the submitter."""
    resource, job, view = scope.resource, scope.job, scope.view
    body = {"id": resource.remote_id} | TaskSpec.rest_body(resource.spec)
    if view.depends_on:
        depends = TaskLinks.of(body).depends_on
        ids = tuple(dict.fromkeys([*depends.ids, *view.depends_on]))
        body["dependsOn"] = structs.replace(depends, task_ids=ids).body
    if job.goes_on:
        body = expand.regardless(body)
    upload = None if job.upload is None else expand.with_path(job.upload, job.id)
    owner = ownership.marker(scope.cluster, resource)
    return Plan("add", submit=ownership.task_with_marker(body, owner), submit_to=job.id, logs_to=upload)


STEPS: tuple[Callable[[TaskScope], Plan | None], ...] = (
    _ended_before,
    _too_late,
    _wait_for_dependency,
    _may_not_act,
    _refused,
    _submit,
)
"""In this order; a step that does not apply returns None."""
