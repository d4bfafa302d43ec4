"""BatchTask: submitted in bulk and observed by lists, with two status writes (docs/decisions/0002-status-of-a-task.md).

The steps of a task's life stand here, in their order. What each of them decides is in `addition` (before the task is in Azure
Batch), `follow` (while it is) and `deletion`; what is said is in `status`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from msgspec import structs

from azure_batch_operator.api.base import RETRY_FAILED, TERMINATE
from azure_batch_operator.reconcile import adoption
from azure_batch_operator.reconcile import reconcile_policy as policy
from azure_batch_operator.reconcile.annotations import handled, pending_request
from azure_batch_operator.reconcile.before import has_condition
from azure_batch_operator.reconcile.observed import NO_OUTPUT
from azure_batch_operator.reconcile.ownership import deletion, owner_elsewhere
from azure_batch_operator.reconcile.plan import Absent, Event, Plan
from azure_batch_operator.reconcile.standard_plans import finalizer_on, foreign, other_name, waiting, without_account
from azure_batch_operator.reconcile.status import has_ended
from azure_batch_operator.reconcile.steps import first_plan, release, wait_for_poll
from azure_batch_operator.reconcile.task.addition import add, not_allowed, without_job
from azure_batch_operator.reconcile.task.deletion import delete
from azure_batch_operator.reconcile.task.follow import follow
from azure_batch_operator.reconcile.task.scope import LiveTask, TaskScope, is_open


def plan(scope: TaskScope) -> Plan:
    """Decide about one BatchTask: the first step that has something to say does."""
    return first_plan(STEPS, scope)


def _deleted(scope: TaskScope) -> Plan | None:
    """The object is being deleted: so is its task."""
    return delete(scope) if scope.resource.deleting else None


def _unchanged(scope: TaskScope) -> Plan | None:
    """A task that has ended: only that its generation was read is new, or output that was read later."""
    resource, view = scope.resource, scope.view
    if is_open(resource):
        return None
    late = {name: text for name, text in view.late.shown.items() if resource.status.get(name) != text}
    # Somebody has taken it off by hand, but the task is there until it is deleted.
    finalizer = finalizer_on(resource) if scope.before.state else None
    # Nobody asks any more for what the policy has held back.
    held = has_condition(resource, policy.SKIPPED)
    if scope.before.observed_generation == resource.generation and not held:
        return Plan(finalizer, status={**resource.status, **late} if late else None)
    conditions = [
        dict(each) | {"observedGeneration": resource.generation}
        for each in resource.listed_conditions
        if each["type"] != policy.SKIPPED
    ]
    seen = {"observedGeneration": resource.generation, "conditions": conditions}
    return Plan(finalizer, status={**resource.status, **late, **seen})


def _refuse_request(scope: TaskScope) -> Plan | None:
    """A verb for a task that has ended and that it does not concern; None if a failed one is to run again."""
    resource = scope.resource
    if not has_ended(resource):
        return None
    retry = pending_request(resource, RETRY_FAILED)
    if retry and scope.before.phase == "Failed":
        return None
    shown = dict(resource.status) | {"handled": handled(resource, RETRY_FAILED, TERMINATE)}
    text = "the task has succeeded, so it is not run again: create a new BatchTask to run its command again"
    return Plan(status=shown, events=(Event("RetryRefused", text, "Warning"),) if retry else ())


def _wait_for_batch_job(scope: TaskScope) -> Plan | None:
    """There is no object for its job."""
    resource = scope.resource
    if scope.job.exists:
        return None
    message = (
        f"spec.jobRef names BatchJob {scope.spec.job_ref.name!r}, which does not exist in this namespace: create it"
        f"{other_name(resource, 'spec.jobRef')}"
    )
    return waiting(resource, "JobNotFound", message, scope.now)


def _wait_for_account(scope: TaskScope) -> Plan | None:
    """No call can be made.

    What waits in Azure Batch has no status yet and needs none now: the account says what is the matter, once for thousands.
    """
    account = scope.account
    if account.usable:
        return None
    in_hand = scope.view.pending or not isinstance(scope.remote, Absent)
    return Plan() if in_hand and not account.gone else without_account(scope.resource, account, scope.now)


def _wait_for_poll_of_jobs(scope: TaskScope) -> Plan | None:
    """Nothing is decided before the job has been looked at."""
    return Plan() if scope.job.remote is Absent.UNKNOWN else None


def _on_its_way(scope: TaskScope) -> Plan | None:
    """What waits to be added may still be kept from a job that is somebody else's by now."""
    job = scope.job
    if not scope.view.pending:
        return None
    if job.refusal is not None:
        return replace(not_allowed(scope, *job.refusal), halts=True)
    if job.remote is not Absent.NOT_FOUND and not job.ours:
        return replace(without_job(scope), halts=True)
    return Plan()


def _without_job(scope: TaskScope) -> Plan | None:
    """There is no job that it could be in."""
    return without_job(scope) if scope.job.remote is Absent.NOT_FOUND or not scope.job.ours else None


def _not_allowed(scope: TaskScope) -> Plan | None:
    """Tasks of this namespace may not be added; a task that is in already is followed to its end."""
    may_be_in = scope.resource.has_finalizer and not scope.view.unclaimed and scope.remote is not Absent.NOT_FOUND
    if scope.job.refusal is None or may_be_in:
        return None
    return not_allowed(scope, *scope.job.refusal)


def _new(scope: TaskScope) -> Plan | None:
    """It was never sent: no list has to say first that it is not there, since the service refuses an ID that is taken."""
    if scope.remote is not Absent.UNKNOWN or not scope.view.never_sent:
        return None
    plan = add(scope)
    # The service checks a submission only: what ends the object, or says why it waits, needs a list first. Its task may be there,
    # such as one of a lost cluster.
    return replace(plan, unseen=True) if plan.submit_to else None


def _absent(scope: TaskScope) -> Plan | None:
    """The task is not in Azure Batch."""
    return add(scope) if scope.remote is Absent.NOT_FOUND else None


def _foreign(scope: TaskScope) -> Plan | None:
    """The task is somebody else's."""
    if isinstance(scope.remote, Absent) or adoption.ours(scope.remote, scope.resource, scope.cluster, scope.others):
        return None
    there = owner_elsewhere(scope.resource, scope.remote)
    remedy = "or delete it there" if there is None else f"or {deletion(scope.resource, there)}"
    return foreign(scope.resource, "task", scope.remote, remedy, scope.now)


def _alive(scope: TaskScope) -> Plan | None:
    """The task is there, and ours."""
    if isinstance(scope.remote, Absent):
        return None
    task = LiveTask(scope, scope.remote)
    late = scope.view.late if task.ended else NO_OUTPUT
    return follow(task if late == NO_OUTPUT else LiveTask(scope, structs.replace(scope.remote, output=late)))


STEPS: tuple[Callable[[TaskScope], Plan | None], ...] = (
    release,
    _deleted,
    _unchanged,
    _refuse_request,
    _wait_for_batch_job,
    _wait_for_account,
    _wait_for_poll_of_jobs,
    _on_its_way,
    _without_job,
    _not_allowed,
    _new,
    wait_for_poll,
    _absent,
    _foreign,
    _alive,
)
"""In this order; a step that does not apply returns None."""
