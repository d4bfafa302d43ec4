"""What a BatchTask's plan is decided from: its job, the last list of the job's tasks, and whether the submitter has it in hand."""

from __future__ import annotations

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.reconcile import ownership
from azure_batch_operator.reconcile import task as plans
from azure_batch_operator.reconcile.plan import Absent, AccountView, Plan
from azure_batch_operator.reconcile.task import is_open
from azure_batch_operator.sync.accounts import Session
from azure_batch_operator.sync.views.context import Context, interested

__all__ = ["is_open", "plan"]


def plan(context: Context, resource: Resource, account: AccountView, session: Session | None, now: float) -> Plan:
    """Decide about one BatchTask."""
    job = context.store.get(Key(Kind.JOB, resource.key.namespace, resource.spec["jobRef"]["name"]))
    if job is None:
        view = plans.JobView(exists=False)
        return plans.plan(resource, account, view, plans.TaskView(), context.cluster, now)
    if session is None:
        view = plans.JobView(exists=True, id=job.remote_id)
        return plans.plan(resource, account, view, plans.TaskView(), context.cluster, now)
    id, job_id = resource.remote_id, job.remote_id
    remote = session.mirror.jobs.get(job_id)
    if is_open(resource):
        interested(session, resource, job_id, id)
    else:
        session.interest.drop(resource.key)
    ours = not isinstance(remote, Absent) and ownership.owner_of(remote) == ownership.marker(context.cluster, job)
    tasks = session.mirror.tasks.get(job_id.lower())
    return plans.plan(
        resource,
        account,
        plans.JobView(exists=True, id=job_id, remote=remote, ours=ours),
        plans.TaskView(
            remote=tasks.get(id) if tasks is not None else Absent.UNKNOWN,
            pending=session.submitter.has(resource.key),
            refused=session.submitter.refused(resource.key),
        ),
        context.cluster,
        now,
    )
