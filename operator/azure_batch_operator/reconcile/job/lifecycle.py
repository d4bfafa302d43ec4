"""BatchJob: the job, its tasks, then `onAllTasksComplete`; success and failure from the tasks (docs/azure-batch.md#jobs).

The steps of a job's life stand here, in their order. What each of them decides is in `creation` (before there is a job), `converge`
(while it lives, with `changes`, `suspension` and `end`) and `finished`; what is said is in `status` and `waiting`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.wire import convert
from azure_batch_operator.reconcile import reconcile_policy as policy
from azure_batch_operator.reconcile.job import end as job_end
from azure_batch_operator.reconcile.job.converge import converge, stop_unseen
from azure_batch_operator.reconcile.job.creation import before_creation, create, lost
from azure_batch_operator.reconcile.job.finished import clean_up, finish, finished, gone, held, own_tasks
from azure_batch_operator.reconcile.job.scope import JobScope, LiveJob, TasksView
from azure_batch_operator.reconcile.job.spec import JobBefore, job_before, outline, retry_noted
from azure_batch_operator.reconcile.plan import Absent, Plan
from azure_batch_operator.reconcile.status import has_ended
from azure_batch_operator.reconcile.steps import (
    first_plan,
    release,
    settle_ownership,
    wait_for_account_and_pool,
    wait_for_poll,
)


def is_open(resource: Resource) -> bool:
    """Whether the job still has to be watched in Azure Batch."""
    if resource.deleting:
        return True
    return not managed_elsewhere(resource) and (not has_ended(resource) or cleans_up(resource))


def is_active(resource: Resource) -> bool:
    """Whether its work is not over; one that has ended and whose job in Azure Batch is to be deleted later (`ttlPolicy`) is."""
    return is_open(resource) and (resource.deleting or not has_ended(resource))


def cleans_up(resource: Resource) -> bool:
    """Whether the job of an object that stays is to be deleted in Azure Batch after its end."""
    spec = outline(resource)
    if not spec.keeps_object or spec.ttl_seconds_after_finished is None:
        return False
    before = job_before(resource)
    return bool(before.state) and not before.cleaned_up


def managed_elsewhere(resource: Resource) -> bool:
    """Whether another controller looks after the job (`spec.managedBy`), as batch/v1 Job and Kueue mean it."""
    return outline(resource).managed_elsewhere


def plan(scope: JobScope) -> Plan:
    """Decide about one BatchJob: the first step that has something to say does."""
    decided = first_plan(STEPS, scope)
    return _until_deadline(scope, _with_pool(scope, _with_retry(scope, decided)))


def _left_to_others(scope: JobScope) -> Plan | None:
    """Another controller looks after the job."""
    return Plan() if not scope.resource.deleting and managed_elsewhere(scope.resource) else None


def _ended(scope: JobScope) -> Plan | None:
    """The job has ended, and its status says how."""
    resource = scope.resource
    if resource.deleting or not has_ended(resource):
        return None
    if is_open(resource):
        return clean_up(scope)
    return finished(scope, scope.held_by, own_tasks(scope))


def _before_creation(scope: JobScope) -> Plan | None:
    """Something keeps the job from being created at all."""
    return None if scope.resource.deleting else before_creation(scope)


def _deleted(scope: JobScope) -> Plan | None:
    """The object is being deleted: so is its job."""
    resource = scope.resource
    if not resource.deleting:
        return None
    if scope.held_by is not None and not isinstance(scope.remote, Absent):
        return held(scope)
    return policy.end(resource, policy.JOB, scope.remote, scope.cluster, scope.now, scope.others)


def _absent(scope: JobScope) -> Plan | None:
    """There is no job."""
    if scope.remote is Absent.NOT_FOUND:
        return gone(scope) or lost(scope) or create(scope)
    return None


def _claimed(scope: JobScope) -> Plan | None:
    """The job is somebody else's, or is to be adopted first."""
    return settle_ownership(scope, policy.JOB)


def _alive(scope: JobScope) -> Plan | None:
    """The job is there, and ours."""
    remote, job = scope.remote, scope.job
    if isinstance(remote, Absent) or job is None:
        return None
    if scope.tasks is None:
        return stop_unseen(LiveJob(scope, job, remote, TasksView()))
    live = LiveJob(scope, job, remote, scope.tasks)
    decided = finish(live) if live.state == "completed" else converge(live)
    return policy.with_adoption(decided, scope.resource, remote, scope.cluster, scope.others)


STEPS: tuple[Callable[[JobScope], Plan | None], ...] = (
    release,
    _left_to_others,
    _ended,
    _before_creation,
    wait_for_account_and_pool,
    wait_for_poll,
    _deleted,
    _absent,
    _claimed,
    _alive,
)
"""In this order; a step that does not apply returns None. No step makes a call: each returns what is to be done."""


def _with_retry(scope: JobScope, plan: Plan) -> Plan:
    """A plan whose status stores what a retry has taken from the former job."""
    noted = retry_noted(scope.resource) or scope.retry
    if plan.status is None or noted is None:
        return plan
    return replace(plan, status={**plan.status, "retryOf": noted})


def _until_deadline(scope: JobScope, plan: Plan) -> Plan:
    """A plan of a job that is not there yet, or whose ID is taken, requeued when its pending deadline is over.

    What it waits for may never come, and nothing else would wake it (tests/quick/test_pending_deadline.py).
    """
    resource, there = scope.resource, not isinstance(scope.remote, Absent) and not scope.is_taken
    if resource.deleting or managed_elsewhere(resource) or has_ended(resource) or there:
        return plan
    left = job_end.pending_deadline(resource, scope.spec, scope.now)
    if left is None or left <= 0:
        return plan
    return replace(plan, requeue_after=left if plan.requeue_after is None else min(left, plan.requeue_after))


def _with_pool(scope: JobScope, plan: Plan) -> Plan:
    """A plan whose status names the pool also before the job exists in Azure Batch, such as while it is suspended.

    Until then the spec decides, whose reference may have been corrected; a job that exists may be on another pool.
    """
    resource = scope.resource
    name = scope.pool.id or (scope.spec.pool_ref and scope.spec.pool_ref.name)
    if plan.status is None or name is None or has_ended(resource):
        return plan
    shown = convert(JobBefore, plan.status)
    if shown.pool_id and shown.state:
        return plan
    return replace(plan, status={**plan.status, "poolId": name})
