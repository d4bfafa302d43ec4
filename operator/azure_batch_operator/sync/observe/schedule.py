"""Observes a BatchJobSchedule: its pool, the last list of schedules, and the jobs that it created."""

from __future__ import annotations

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.api.schedule import JobScheduleSpec
from azure_batch_operator.reconcile import adoption
from azure_batch_operator.reconcile.plan import Absent, AccountView, Remote
from azure_batch_operator.reconcile.schedule import lifecycle as plans
from azure_batch_operator.reconcile.schedule.lifecycle import has_open_jobs, is_open
from azure_batch_operator.reconcile.secret_versions import ValueVersions, compared, plain
from azure_batch_operator.reconcile.status import has_ended
from azure_batch_operator.sync.accounts import Session
from azure_batch_operator.sync.observe.context import Context, Decision, Remembered, Subscription
from azure_batch_operator.sync.observe.job import held_by
from azure_batch_operator.sync.observe.pools import pool_view
from azure_batch_operator.sync.store import Store

__all__ = ["has_open_jobs", "is_open", "plan"]


def reads_on(resource: Resource, session: Session) -> bool:
    """Whether jobs of a schedule that has ended are still being read: they may end after it, and counts of tasks lag."""
    return has_open_jobs(resource) or resource.remote_id.lower() in session.mirror.recounted


def runs_of(store: Store, schedule: Resource) -> list[Resource]:
    """The BatchJobs that a cron schedule has created."""
    jobs = store.dependents(schedule.key, Kind.JOB)
    return [job for job in jobs if job.controller and job.controller.uid == schedule.uid]


def plan(context: Context, resource: Resource, account: AccountView, session: Session | None, now: float) -> Decision:
    """Decide about one BatchJobSchedule."""
    children = runs_of(context.store, resource)
    pool = pool_view(context, resource, session)
    if session is None or plans.is_cron(resource):
        kept = {job.key for job in children if has_ended(job) and held_by(context, job, waiting=True)}
        jobs = plans.JobsView(children, kept=kept)
        scope = plans.ScheduleScope(resource, account, pool, Absent.UNKNOWN, jobs, context.cluster, now)
        return Decision(plans.plan(scope))
    id = resource.remote_id
    jobs = plans.JobsView(children, session.mirror.schedule_jobs.get(id.lower()))
    remote = session.mirror.schedules.get(id)
    values = _values(context, resource, session, remote)
    scope = plans.ScheduleScope(
        resource, account, pool, remote, jobs, context.cluster, now, context.others, values, context.late(resource)
    )
    known = None
    if not isinstance(remote, Absent) and adoption.ours(remote, resource, context.cluster, context.others):
        known = Remembered(id, values.held)
    followed = is_open(resource) or reads_on(resource, session)
    return Decision(plans.plan(scope), Subscription((id,) if followed else (), ended=not followed, remembered=known))


def seen(context: Context, resource: Resource, session: Session) -> tuple[Remote, None, tuple[str, ...]]:
    """The schedule as the last poll saw it, whatever the spec says of it; none of a cron schedule is in Azure Batch."""
    if plans.is_cron(resource):
        return Absent.UNKNOWN, None, ()
    return session.mirror.schedules.get(resource.remote_id), None, (resource.remote_id,)


def _values(context: Context, resource: Resource, session: Session, remote: Remote) -> ValueVersions:
    """What its jobs take from Secrets and ConfigMaps, compared with what the schedule was given."""
    taken, missing = context.taken.get(resource.key, {}), context.missing.get(resource.key, {})
    given = session.mirror.schedule_digests.get(resource.remote_id.lower(), {})
    return compared(taken, given, remote, missing, plain(JobScheduleSpec, resource.spec))
