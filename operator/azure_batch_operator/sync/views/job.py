"""What a BatchJob's plan is decided from: its pool, the last list of jobs, the results of its tasks, and how far they are in."""

from __future__ import annotations

import time

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile import expand
from azure_batch_operator.reconcile import job as plans
from azure_batch_operator.reconcile import task as task_plans
from azure_batch_operator.reconcile.common import PATIENCE
from azure_batch_operator.reconcile.job import is_open
from azure_batch_operator.reconcile.plan import Absent, AccountView, Plan
from azure_batch_operator.reconcile.status import seconds_since
from azure_batch_operator.sync.accounts import Session
from azure_batch_operator.sync.views.context import Context, interested
from azure_batch_operator.sync.views.pools import pool_view

__all__ = ["is_open", "plan"]


def plan(context: Context, resource: Resource, account: AccountView, session: Session | None, now: float) -> Plan:
    """Decide about one BatchJob."""
    pool = pool_view(context, resource, session)
    if session is None:
        return plans.plan(resource, account, pool, Absent.UNKNOWN, None, context.cluster, now)
    id = resource.remote_id
    if is_open(resource):
        interested(session, resource, id)
    else:
        session.interest.drop(resource.key)
        session.feeder.forget(resource.key, resource.uid)
    remote = session.mirror.jobs.get(id)
    tasks = _tasks(context, resource, session)
    return plans.plan(resource, account, pool, remote, tasks, context.cluster, now)


def _tasks(context: Context, resource: Resource, session: Session) -> plans.TasksView | None:
    results = session.mirror.results.get(resource.remote_id.lower())
    if results is None:
        return None
    feed = session.feeder.state(resource.key, resource.uid)
    own = expand.total(resource.spec)
    return plans.TasksView(
        counts=results.counts,
        failed=results.failed,
        failed_count=results.failed_count,
        unfinished=results.unfinished,
        submitted=feed.submitted if feed else None,
        complete=feed.complete if feed else False,
        refused=feed.refused if feed else None,
        others_pending=not own and _tasks_pending(context, resource, session),
    )


def _tasks_pending(context: Context, job: Resource, session: Session) -> bool:
    """Whether BatchTasks of the job are not in yet, or may still be on their way from the same `apply`."""
    table, now = session.mirror.tasks.get(job.remote_id.lower()), time.time()
    return any(
        seconds_since(task.created, now) < PATIENCE
        or (task_plans.is_open(task) and (table is None or isinstance(table.get(task.remote_id), Absent)))
        for task in context.store.dependents(job.key, Kind.TASK)
        if not task.deleting
    )
