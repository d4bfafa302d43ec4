"""A BatchJob whose job does not exist in Azure Batch: what delays its creation, its creation, and its loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from azure_batch_operator.api.base import RECREATE, TASKS_METADATA, TERMINATE
from azure_batch_operator.api.job import JobSpec
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile import ownership
from azure_batch_operator.reconcile.annotations import handled, pending_request
from azure_batch_operator.reconcile.job import changes as job_changes
from azure_batch_operator.reconcile.job import end as job_end
from azure_batch_operator.reconcile.job import expand
from azure_batch_operator.reconcile.job import status as job_status
from azure_batch_operator.reconcile.job.finished import time_to_live
from azure_batch_operator.reconcile.job.retry import NOTHING_TO_RETRY
from azure_batch_operator.reconcile.job.scope import JobScope
from azure_batch_operator.reconcile.job.spec import JobTerms
from azure_batch_operator.reconcile.plan import Absence, Absent, Call, Event, Plan, Table
from azure_batch_operator.reconcile.standard_plans import (
    GRACE_SECONDS,
    ever_created,
    grace_left,
    once_absent,
    once_late,
    waiting,
    with_event,
)
from azure_batch_operator.reconcile.status import (
    ENDED_PHASES,
    Verdict,
    carry_over,
    ended_as,
    has_ended,
    seconds_since,
    status,
)
from azure_batch_operator.reconcile.target_pool import NO_POOL, NOT_ALLOWED
from azure_batch_operator.reconcile.value_references import ResolutionError

FOREIGN_LOOKED_AT_EVERY = 30.0
"""Seconds between two looks whether a pool of another namespace allows this one by now."""


def before_creation(scope: JobScope) -> Plan | None:
    """Suspended, ended or too late before anything was created: nothing is done in Azure Batch.

    A job that is somebody else's keeps this one from being created; what it says is more important than that this one is suspended.
    """
    resource, spec, remote, now = scope.resource, scope.spec, scope.remote, scope.now
    if not isinstance(remote, Absent) and not (scope.is_taken and not spec.suspend):
        return None
    if remote is Absent.UNKNOWN and _may_exist(scope):
        return None
    if pending_request(resource, TERMINATE):
        verdict = job_end.failure(job_end.ASKED, f"{job_end.ASKED.message} before it was created")
    elif spec.suspend:
        verdict = job_status.suspended("spec.suspend is true: nothing is created in Azure Batch")
    elif (left := job_end.pending_deadline(resource, spec, now)) is not None and left <= 0:
        verdict = job_end.failure(job_end.PENDING_TOO_LONG)
    elif remote is Absent.NOT_FOUND and not scope.named and expand.nothing_to_do(spec):
        if (left := GRACE_SECONDS - seconds_since(resource.created, now)) > 0:
            # BatchTasks of the same `apply` may follow; as this is the end of the job, a slow clock waits for longer.
            return Plan(requeue_after=left)
        verdict = job_end.NOTHING_TO_DO
    else:
        return None
    gone = Absence(Table.JOBS, resource.remote_id)
    shown = carry_over(resource, verdict, now)
    if marks := handled(resource, TERMINATE):
        shown["handled"] = marks
    ended = verdict.phase in ENDED_PHASES
    requeue_after = time_to_live(resource) if ended else job_end.pending_deadline(resource, spec, now)
    plan = Plan(status=shown, requeue_after=requeue_after, halts=scope.is_foreign)
    if remote is Absent.NOT_FOUND and scope.before.state:
        # Deleted outside the operator: the status no longer shows the state of a job that is gone.
        plan = replace(plan, status=job_status.without_remote(shown), confirm=(gone,))
    plan = with_event(resource, plan, verdict)
    return once_late(resource, plan, scope.late, gone, verdict.message, now) if ended else plan


def nothing_to_retry(resource: Resource, error: ResolutionError, now: float) -> Plan | None:
    """The end of a job with `retryOf` for which no task is left, by a complete list of the former one; None if that is not known.

    Nothing was created for an object without the finalizer. It has failed: nothing tells that what it was created for was done.
    """
    if error.reason != NOTHING_TO_RETRY or resource.has_finalizer or resource.deleting or has_ended(resource):
        return None
    verdict = job_end.failure(job_end.Ending(error.reason, "", str(error)))
    plan = Plan(status=carry_over(resource, verdict, now), requeue_after=time_to_live(resource))
    return with_event(resource, plan, verdict)


def _may_exist(scope: JobScope) -> bool:
    """Whether there may be a job that no poll has seen: its object has the finalizer before the first call.

    Without an account no poll comes. A finalizer from the manifest is no sign of a call; the account in the status is.
    """
    return scope.resource.has_finalizer and (not scope.account.gone or ever_created(scope.resource))


def lost(scope: JobScope) -> Plan | None:
    """The job was deleted outside the operator after tasks had started: a person decides, since running them again may repeat work.

    A job of which no task had started is created again, with all of its tasks.
    """
    resource, now, retried = scope.resource, scope.now, scope.spec.retry_of
    if (ended := ended_as(resource)) is not None and not pending_request(resource, RECREATE):
        # Somebody has written another phase into the status; its conditions still say what is true.
        return Plan(status={**resource.status, "phase": ended})
    if not scope.before.tasks_start_time or pending_request(resource, RECREATE):
        return None
    remedy = f"set the annotation {RECREATE} to a new value to run all tasks again, or delete this BatchJob"
    if retried is not None and scope.before.retry_of is not None:
        remedy = (
            f"if BatchJob {retried.name!r} and its job still exist, set the annotation {RECREATE} to a new "
            "value to run the same tasks again; otherwise delete this BatchJob, and create one with all of its tasks"
        )
    message = f"job {resource.remote_id!r} was deleted in Azure Batch after tasks had started, and their results with it: {remedy}"
    verdict = Verdict("Stalled", "JobGone", message, ready=False, trend="Stalled")
    plan = Plan(status=job_status.without_remote(carry_over(resource, verdict, now)))
    plan = once_absent(resource, plan, verdict, Absence(Table.JOBS, resource.remote_id))
    return with_event(resource, plan, verdict)


def create(scope: JobScope) -> Plan:
    """Create the job, or say what it waits for."""
    resource, pool, now = scope.resource, scope.pool, scope.now
    until = job_end.pending_deadline(resource, scope.spec, now)
    if pool.problem:
        plan = waiting(resource, *pool.problem, now)
        look = FOREIGN_LOOKED_AT_EVERY if pool.problem[0] in {NOT_ALLOWED, NO_POOL} else None
        return replace(
            plan,
            requeue_after=min((each for each in (plan.requeue_after, until, look) if each is not None), default=None),
        )
    if (stalled := wrong_tasks(resource, scope.spec, None, now)) is not None:
        return stalled
    if pool.no_fallback and (left := grace_left(resource, now)) > 0:
        # It may follow in the same `apply`; the job continues without it, so nothing but the Event tells of a typing error.
        return Plan(requeue_after=left)
    verdict = Verdict("Creating", "Creating", "the job is being created", ready=False, trend="Reconciling")
    call = Call("create_job", Table.JOBS, resource.remote_id, body=_body(resource, pool.id, scope))
    # A new incarnation begins with nothing remembered of one before it.
    url = f"{scope.account.url}/jobs/{resource.remote_id}"
    shown = status(resource, verdict, now, id=resource.remote_id, url=url, account=scope.account.name, poolId=pool.id)
    if marks := handled(resource, RECREATE):
        shown["handled"] = marks
    events = (Event(*pool.no_fallback, "Warning"),) if pool.no_fallback else ()
    return with_event(resource, Plan("add", (call,), status=shown, events=events, requeue_after=until), verdict)


def wrong_tasks(resource: Resource, spec: JobTerms, digits: int | None, now: float) -> Plan | None:
    """Stalled, if the tasks cannot be sent as they are."""
    # Those of a retry are looked through once, when they are found: there may be 100,000 of them (sync/retries.py).
    found = [] if spec.retry_of is not None else expand.problems(spec)
    if digits is not None and (needed := expand.id_width(spec)) > digits:
        text = (
            f"spec.taskFactory now needs IDs of {needed} digits, but those in Azure Batch have {digits}: remove tasks, "
            "or create a new BatchJob with taskFactory.idWidth"
        )
        found = [text]
    if not found:
        return None
    verdict = Verdict("Stalled", "InvalidTasks", "; ".join(found[:5]), ready=False, trend="Stalled")
    shown = status(resource, verdict, now) if digits is None else carry_over(resource, verdict, now)
    return with_event(resource, Plan(status=shown), verdict)


def _body(resource: Resource, pool_id: str | None, scope: JobScope) -> dict[str, Any]:
    """The job as it is created: never with terminatejob, since a job without tasks would end at once (docs/azure-batch.md#jobs)."""
    spec = scope.spec
    body = {"id": resource.remote_id} | JobSpec.rest_body(spec.whole)
    if pool_id is not None:
        body["poolInfo"] = {"poolId": pool_id}
    body["onAllTasksComplete"] = "noaction"
    if (constraints := job_changes.constraints(spec, None)) is not None:
        body["constraints"] = constraints
    # It costs nothing and cannot be set later, when a BatchTask or a changed spec may bring dependencies.
    body.setdefault("usesTaskDependencies", True)
    body = job_changes.with_note(ownership.with_marker(body, ownership.marker(scope.cluster, resource)), spec.whole)
    if expand.total(spec):
        body["metadata"].append({"name": TASKS_METADATA, "value": job_changes.new_note(spec, scope.fingerprint)})
    return body
