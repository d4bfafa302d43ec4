"""A BatchTask that is being deleted, and its task in Azure Batch."""

from __future__ import annotations

from azure_batch_operator.reconcile import adoption
from azure_batch_operator.reconcile.plan import Absence, Absent, Event, Evidence, Plan, Table, Unconfirmed
from azure_batch_operator.reconcile.standard_plans import ever_created, without_account
from azure_batch_operator.reconcile.task.follow import call_to
from azure_batch_operator.reconcile.task.scope import LiveTask, TaskScope


def delete(scope: TaskScope) -> Plan:
    """Delete the task, and let the object go once a GET does not find it, or its job, any more."""
    resource, job, view = scope.resource, scope.job, scope.view
    if not job.id:
        text = (
            f"BatchJob {scope.spec.job_ref.name!r} was deleted, and the ID of its job in Azure Batch is unknown: "
            f"if that job still exists, delete task {resource.remote_id!r} there"
        )
        events = (Event("TaskMayRemain", text, "Warning"),)
        return Plan(finalizer="remove", unconfirmed=Unconfirmed.NOWHERE, events=events)
    if not scope.account.usable and not job.used and not ever_created(resource):
        return Plan(finalizer="remove", unconfirmed=Unconfirmed.NEVER_CREATED)
    if not scope.account.usable:
        return without_account(resource, scope.account, scope.now)
    # While the submitter has it in hand the job may be made again, and the task with it.
    if job.remote is Absent.UNKNOWN or view.pending:
        return Plan()
    if job.remote is Absent.NOT_FOUND:
        return Plan(finalizer="remove", confirm=(Absence(Table.JOBS, job.id),))
    # Whose the job is does not matter: it may have been detached, and its name used again. The task's own marker decides.
    if job.state == "deleting":
        return Plan()
    if view.remote is Absent.UNKNOWN:
        return Plan()
    if view.remote is Absent.NOT_FOUND:
        return Plan(finalizer="remove", confirm=(Absence(Table.TASKS, resource.remote_id, job.id),))
    if not adoption.ours(view.remote, resource, scope.cluster, scope.others):
        foreign = Evidence.of(view.remote)
        return Plan(finalizer="remove", confirm=(Absence(Table.TASKS, resource.remote_id, job.id, foreign),))
    # A task is deleted at once, so a status that says so would be a write for nothing.
    return Plan(calls=(call_to(LiveTask(scope, view.remote), "delete_task"),))
