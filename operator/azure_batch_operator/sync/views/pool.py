"""What a BatchPool's plan is decided from: the last list of pools and of node counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile import pool as plans
from azure_batch_operator.reconcile.job import is_open
from azure_batch_operator.reconcile.plan import AccountView, Plan
from azure_batch_operator.reconcile.pool_view import PoolView
from azure_batch_operator.sync.accounts import Session
from azure_batch_operator.sync.views.context import Context, interested


def plan(context: Context, resource: Resource, account: AccountView, session: Session | None, now: float) -> Plan:
    """Decide about one BatchPool."""
    if session is None:
        return plans.plan(resource, account, PoolView(), context.cluster, now)
    interested(session, resource, resource.remote_id)
    return plans.plan(resource, account, _view(context, session, resource), context.cluster, now)


def _view(context: Context, session: Session, resource: Resource) -> PoolView:
    mirror, id = session.mirror, resource.remote_id.lower()
    notes = mirror.notes[id]
    jobs = _jobs(context, session, resource)
    notes.start_task = resource.spec.get("startTask") if resource.spec.get("startTaskUpdate") == "Reboot" else None
    return PoolView(
        remote=mirror.pools.get(id),
        counts=mirror.node_counts.get(id),
        images=mirror.images,
        accepted=notes.accepted,
        evaluated=notes.evaluated,
        enabled=notes.enabled,
        troubled=notes.troubled,
        outdated=notes.outdated,
        busy=_busy(jobs),
        slots_used=sum(int((slots or {}).get("running", 0)) for _, _, slots in jobs) if jobs else None,
        prices=context.prices.get(resource.key),
    )


def _jobs(
    context: Context, session: Session, pool: Resource
) -> list[tuple[Resource, Mapping[str, int] | None, Mapping[str, int] | None]]:
    """The open BatchJobs on a pool, each with its counts of tasks and of task slots as far as they are known."""
    jobs = [each for each in context.store.dependents(pool.key, Kind.JOB) if is_open(each) and not each.deleting]
    results = [session.mirror.results.get(each.remote_id.lower()) for each in jobs]
    return [
        (job, known.counts if known else None, known.slots if known else None)
        for job, known in zip(jobs, results, strict=True)
    ]


def _busy(jobs: Sequence[tuple[Resource, Mapping[str, int] | None, object]]) -> list[str]:
    """Names of jobs with tasks that have not ended; one whose tasks are not known yet counts."""
    return sorted(
        job.key.name
        for job, counts, _ in jobs
        if counts is None or int(counts.get("active", 0)) + int(counts.get("running", 0))
    )
