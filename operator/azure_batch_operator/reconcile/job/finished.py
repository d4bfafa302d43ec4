"""A BatchJob whose job has ended: its result, late changes, and the deletion after its TTL (docs/jobs.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from azure_batch_operator.api.base import RECREATE, RETRY_FAILED, TERMINATE
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.job_wire import Job
from azure_batch_operator.batch.wire import Body, build
from azure_batch_operator.reconcile import adoption
from azure_batch_operator.reconcile.annotations import handled, pending_request
from azure_batch_operator.reconcile.before import Before, status_before
from azure_batch_operator.reconcile.job import changes as job_changes
from azure_batch_operator.reconcile.job import end as job_end
from azure_batch_operator.reconcile.job import expand
from azure_batch_operator.reconcile.job import status as job_status
from azure_batch_operator.reconcile.job.scope import JobScope, LiveJob, TasksView
from azure_batch_operator.reconcile.job.spec import NO_COUNTS_BEFORE, outline
from azure_batch_operator.reconcile.plan import Absence, Absent, Call, Event, Evidence, ObjectChange, Plan, Table
from azure_batch_operator.reconcile.standard_plans import finalizer_on, with_event
from azure_batch_operator.reconcile.status import Verdict, carry_over, has_ended, seconds_since

_TOO_LATE = (
    "Azure Batch runs no task of a completed job again: create a new BatchJob with spec.retryOf, which runs the failed tasks with "
    "the same commands, or, if a command is wrong, a new job with the correct one. To be able to retry failed tasks in the same "
    "job next time, set failurePolicy.action: Hold"
)
_HELD_LOOKED_AT_EVERY = 15.0
"""Seconds between two looks whether a retry still needs a job; the status of the retry wakes it as well."""


def time_to_live(resource: Resource) -> float | None:
    """Seconds from the end of the job to the deletion of the object, or of its job alone."""
    ttl = outline(resource).ttl_seconds_after_finished
    return None if ttl is None else float(ttl)


def finished(scope: JobScope, held_by: str | None, tasks: TasksView | None) -> Plan:
    """The job is done: its object goes when its time is over, and verbs and changes of its tasks come too late.

    Args:
        held_by: as in `JobScope`; None where nothing holds the object.
        tasks: of its own job (`own_tasks`).
    """
    resource, now = scope.resource, scope.now
    before = status_before(resource)
    ttl, requeue_after = time_to_live(resource), None
    over = False
    if ttl is not None and (end := _end(before)) is not None and not outline(resource).keeps_object:
        requeue_after = ttl - seconds_since(end, now)
        over = requeue_after <= 0 and held_by is None
        if requeue_after <= 0 and held_by is not None:
            requeue_after = _HELD_LOOKED_AT_EVERY
    events: tuple[Event, ...] = ()
    if pending_request(resource, RETRY_FAILED):
        events = (Event("RetryRefused", _TOO_LATE, "Warning"),)
    shown = dict(resource.status) | _late_tries(tasks)
    conditions: Sequence[Body] = resource.listed_conditions
    if before.observed_generation != resource.generation:
        conditions = [dict(each) | {"observedGeneration": resource.generation} for each in conditions]
        shown |= {"observedGeneration": resource.generation, "conditions": conditions}
    if (changed := _tasks_changed(scope, scope.before.tasks_fingerprint)) is not None:
        shown["conditions"] = job_status.too_late(resource, conditions, changed=changed, now=now)
        if shown["conditions"] != resource.listed_conditions and changed:
            events = (*events, Event("TasksNotChanged", job_status.TASKS_TOO_LATE, "Warning"))
    if marks := handled(resource, RETRY_FAILED, TERMINATE):
        shown["handled"] = marks
    if over:
        # With the status: under the policy skip the object stays, and is to say that its spec was seen.
        gone = ObjectChange(resource.key, uid=resource.uid)
        return Plan(status=None if shown == resource.status else shown, events=events, objects=(gone,))
    # Somebody has taken it off by hand, but the job is there until it is deleted.
    finalizer = finalizer_on(resource) if before.state else None
    return Plan(
        finalizer, status=None if shown == resource.status else shown, events=events, requeue_after=requeue_after
    )


def _end(before: Before) -> str | None:
    """When the job has ended, by its conditions; None if they say nothing of an end."""
    done = before.condition("Complete") or before.condition("Failed")
    return None if done is None else done.last_transition_time


def own_tasks(scope: JobScope) -> TasksView | None:
    """What was read of the tasks of the object's own job; None if another job has its ID now, as after the own one was deleted."""
    if scope.job is None:
        return None
    return scope.tasks if adoption.ours(scope.job, scope.resource, scope.cluster, scope.others) else None


def _late_tries(tasks: TasksView | None) -> dict[str, Any]:
    """Retries and requeues of a large job, which are counted to the end after its result is known."""
    found = {} if tasks is None else {"retries": tasks.retries, "requeues": tasks.requeues}
    return {name: number for name, number in found.items() if number is not None}


def _tasks_changed(scope: JobScope, made_from: str | None) -> bool | None:
    """Whether the tasks of a job that has ended were changed too late for it; None if that is not known.

    Args:
        made_from: fingerprint of the sources of the tasks that it has; empty if that is not known.
    """
    if not made_from:
        return None
    spec = scope.resource.spec if scope.manifest is None else scope.manifest
    same = job_changes.is_made_from(spec, made_from, scope.origin)
    return None if same is None else not same


def clean_up(scope: JobScope) -> Plan:
    """Delete the job of a finished object in Azure Batch when its time is over; the object and its status stay."""
    resource, remote, job = scope.resource, scope.remote, scope.job
    plan = finished(scope, None, own_tasks(scope))
    ttl, end, left = time_to_live(resource), _end(status_before(resource)), 0.0
    if ttl is not None and end is not None:
        left = ttl - seconds_since(end, scope.now)
    if left > 0:
        return replace(plan, requeue_after=left)
    if not scope.account.usable or remote is Absent.UNKNOWN:
        return plan
    if job is None or not adoption.ours(job, resource, scope.cluster, scope.others):
        shown = resource.status if plan.status is None else plan.status
        # It is the last look at the job.
        gone = (Absence(Table.JOBS, resource.remote_id),) if remote is Absent.NOT_FOUND else ()
        return replace(plan, status={**shown, "cleanedUp": True}, confirm=gone)
    if job.state == "deleting":
        return plan
    if scope.held_by is not None:
        return replace(plan, requeue_after=_HELD_LOOKED_AT_EVERY)
    call = Call("delete_job", Table.JOBS, resource.remote_id, evidence=Evidence.of(job))
    return replace(plan, finalizer=finalizer_on(resource), calls=(call,))


def held(scope: JobScope) -> Plan:
    """The job is to be deleted, but a retry has not taken all of its tasks from it yet."""
    message = (
        f"BatchJob {scope.held_by!r} runs tasks of this job again (spec.retryOf) and has not added all of them yet: the job is "
        "deleted when it has, or when you delete that BatchJob"
    )
    verdict = Verdict("Deleting", "NeededByRetry", message, ready=False, trend="Reconciling")
    return Plan(status=carry_over(scope.resource, verdict, scope.now), requeue_after=_HELD_LOOKED_AT_EVERY)


def finish(live: LiveJob) -> Plan:
    """The job has ended in Azure Batch: what counts is how its tasks have."""
    resource, spec, job, tasks = live.resource, live.spec, live.job, live.tasks
    if tasks.unfinished is None:
        doing = "waiting until the task counts are up to date" if tasks.awaits_counts else "the results are being read"
        verdict = Verdict("Completing", "Completing", doing, ready=False, trend="Reconciling")
        return Plan(status=job_status.job_status(live, verdict))
    total = job_status.total_of(live)
    noted, all_in = job_changes.noted_tasks(job)[0], live.is_complete
    counted = max(tasks.present, tasks.failed_count + tasks.unfinished)
    present = counted if tasks.found is None else tasks.found
    # The service's counts lag, so they are asked only where there may be tasks that were never added.
    unread = expand.unread(spec)
    missing = 0 if all_in or not (unread or expand.total(spec)) else max(0, total - present)
    if unread and not noted and live.scope.before.task_counts == NO_COUNTS_BEFORE:
        # Nothing tells how many there should be, but the note that all are in was never made.
        missing = max(1, missing)
        total = present + missing
    # Tasks that were never added are not lost as well.
    tasks = replace(tasks, lost=min(tasks.lost, max(0, total - missing - present)))
    live = replace(live, tasks=tasks)
    verdict = job_end.outcome(spec, job, tasks, total, missing)
    # What its tasks have run stays other than what the spec says.
    differ = job_status.in_sync(resource, replace(tasks, unread=None), complete=all_in)
    verdict = replace(verdict, more={**differ, **(verdict.more or {})})
    # By the note, where no status has said before which tasks the job has: their sources may have changed since.
    made_from = live.scope.origin if all_in else live.scope.before.tasks_fingerprint or job_changes.made_from(job)
    marks = handled(resource, TERMINATE)
    shown = job_status.job_status(live, verdict, handled=marks, missing=missing, origin=made_from)
    if too_late := _tasks_changed(live.scope, made_from) is True:
        shown["conditions"] = job_status.too_late(resource, shown["conditions"], changed=True, now=live.scope.now)
    plan = Plan(finalizer=finalizer_on(resource), status=shown, requeue_after=time_to_live(resource))
    if too_late:
        plan = replace(plan, events=(Event("TasksNotChanged", job_status.TASKS_TOO_LATE, "Warning"),))
    return with_event(resource, plan, verdict)


def gone(scope: JobScope) -> Plan | None:
    """The job was deleted after its end, before its result was certain: the last lists of its tasks are all that can be known."""
    resource = scope.resource
    if scope.end is None or has_ended(resource) or pending_request(resource, RECREATE):
        return None
    remote, tasks = scope.end
    plan = finish(LiveJob(scope, build(Job, remote), remote, tasks))
    shown = None if plan.status is None else job_status.without_remote(plan.status)
    return replace(plan, finalizer=None, status=shown, confirm=(Absence(Table.JOBS, resource.remote_id),))
