"""A BatchJob whose job exists: update job and tasks to match the spec, end the job when it is time, and compute its status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from azure_batch_operator.api.base import RETRY_FAILED, TASKS_METADATA, TERMINATE
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile import applied, ownership
from azure_batch_operator.reconcile.annotations import handled, pending_request, retried_until, retrying
from azure_batch_operator.reconcile.error_classes import classify_error
from azure_batch_operator.reconcile.job import changes as job_changes
from azure_batch_operator.reconcile.job import end as job_end
from azure_batch_operator.reconcile.job import expand, suspension
from azure_batch_operator.reconcile.job import status as job_status
from azure_batch_operator.reconcile.job.creation import FOREIGN_LOOKED_AT_EVERY, wrong_tasks
from azure_batch_operator.reconcile.job.failures import first_failed
from azure_batch_operator.reconcile.job.scope import LiveJob, TasksView
from azure_batch_operator.reconcile.job.waiting import waiting_for
from azure_batch_operator.reconcile.plan import Call, Event, Evidence, Feed, Plan, Table, without_etag
from azure_batch_operator.reconcile.standard_plans import GRACE_SECONDS, beside, failed, finalizer_on, with_event
from azure_batch_operator.reconcile.status import Verdict, carry_over
from azure_batch_operator.reconcile.target_pool import NOT_ALLOWED, TargetPoolView

_RETRIED = "TasksRetried"
_OF_RETRIES = frozenset({_RETRIED, job_status.RETRY_REFUSED})


def converge(job: LiveJob) -> Plan:
    """The plan for a job that has not ended."""
    calls, ending, mark = _calls(job)
    foreign = job.scope.pool.foreign
    stays = [] if foreign is None else [call for call in calls if call.verb == "enable_job"]
    calls = [call for call in calls if call not in stays]
    plan = _shown(job, calls)
    if _is_stopping(job.resource):
        # Nor do failed tasks run again before the job continues: what must be stored first could keep it from being stopped.
        return replace(plan, feed=None, tasks_of=None, retry=None, first=None)
    if foreign is not None:
        # What is in the job stays there, and nothing is brought onto the pool, or run on it again, any more.
        plan = replace(plan, feed=None, tasks_of=None, retry=None, first=None, halts=True)
    if mark and plan.feed is not None:
        # No task is deleted or added before the service has taken the mark.
        plan = replace(plan, feed=replace(plan.feed, marked=True))
        if _is_transient(job) or ending is not None:
            plan = replace(plan, feed=None, tasks_of=None)
    return plan if ending is not None else _with_problems(job, plan, stays=bool(stays))


def _is_stopping(resource: Resource) -> bool:
    return bool(pending_request(resource, TERMINATE) or resource.spec.get("suspend"))


def _is_transient(job: LiveJob) -> bool:
    """Whether the service takes no PATCH now."""
    return job.state in {"terminating", "disabling", "enabling"}


def _calls(job: LiveJob) -> tuple[list[Call], job_end.Ending | None, bool]:
    """What is to be changed at the job.

    Returns:
        The calls; why they end the job, if they do; and whether the job is marked first, since its tasks change.
    """
    spec, remote, tasks, complete = job.spec, job.remote, job.tasks, job.is_complete
    if (ending := _ending(job)) is not None:
        body = {"terminateReason": ending.terminate_reason}
        evidence = Evidence.of(remote, job_end.evidence(ending, tasks))
        call = Call("terminate_job", Table.JOBS, job.resource.remote_id, body=body, evidence=evidence)
        return [call], ending, bool(_mark(job))
    moves_to = suspension.wanted_pool(spec, job.scope.pool, remote, tasks)
    why = suspension.why(spec, job.scope.pool, moves_to)
    notes = suspension.notes(spec, remote, why)
    if complete and job_changes.noted_tasks(remote)[0] != tasks.fingerprint:
        notes |= {TASKS_METADATA: job_changes.complete_note(spec, remote, tasks.fingerprint)}
    change = job_changes.changes(spec, remote, notes) | suspension.move(remote, moves_to)
    held_back = str(remote.get("onAllTasksComplete", "noaction")).lower() == "noaction"
    if held_back and complete and _ends_now(job):
        change["onAllTasksComplete"] = "terminatejob"
    switch = suspension.switch(job.resource.remote_id, spec, remote, why)
    mark = _mark(job)
    if mark:
        # Alone, so that the tasks do not wait for what else the spec asks for, which the service may refuse.
        change = job_changes.with_notes(remote, {**notes, **mark})
    elif switch is not None and switch.verb == "disable_job":
        change = _to_be_stopped(remote, notes, change)
    calls = [_update(job.resource, remote, change)] if change and not _is_transient(job) else []
    if switch is not None:
        calls.append(switch)
    return calls, None, bool(mark)


def _mark(job: LiveJob) -> Mapping[str, str | None]:
    """The note at the job that its tasks change; empty if they do not, or are not touched now."""
    if job.is_complete or _is_stopping(job.resource):
        return {}
    return job_changes.mark(job.spec, job.remote, job.tasks.fingerprint)


def _with_problems(job: LiveJob, plan: Plan, *, stays: bool) -> Plan:
    """A plan that also says why tasks cannot be brought in; the tasks that are there go on, and so does what is shown of them.

    Args:
        stays: whether the job stays disabled, since its pool is not for this namespace.
    """
    resource, tasks, now = job.resource, job.tasks, job.scope.now
    # And told of those that run again.
    told = tuple(event for event in plan.events if event.reason in _OF_RETRIES)
    retries = pending_request(resource, RETRY_FAILED) not in (None, tasks.retried)
    held = [*(["the job stays disabled"] if stays else []), *(["no failed tasks run again"] if retries else [])]
    held += [] if job.is_complete else ["no more tasks are added"]
    wrong = _foreign_pool(resource, job.scope.pool, " and ".join(held), now) if held else None
    if wrong is None and not job.is_complete:
        wrong = wrong_tasks(resource, job_changes.noted_tasks(job.remote)[1], now)
    if wrong is not None:
        shown = beside(plan.status, wrong.status)
        return replace(plan, feed=None, tasks_of=None, status=shown, events=(*told, *wrong.events))
    if tasks.refused is not None and not job.is_complete:
        refused = failed(resource, classify_error(tasks.refused), now, observed=plan.status)
        waits = [seconds for seconds in (plan.requeue_after, tasks.retry_in) if seconds is not None]
        return replace(
            plan, status=refused.status, events=(*told, *refused.events), requeue_after=min(waits, default=None)
        )
    return plan


def _foreign_pool(resource: Resource, pool: TargetPoolView, held: str, now: float) -> Plan | None:
    """Stalled, if the job is on a pool of another namespace.

    Args:
        held: what therefore does not happen.
    """
    if pool.foreign is None:
        return None
    verdict = Verdict("Stalled", NOT_ALLOWED, f"{held}: {pool.foreign}", ready=False, trend="Stalled")
    return with_event(
        resource, Plan(status=carry_over(resource, verdict, now), requeue_after=FOREIGN_LOOKED_AT_EVERY), verdict
    )


def _ends_now(job: LiveJob) -> bool:
    """Whether it is time for `terminatejob`: all tasks are in, and with action Hold all have ended well enough."""
    spec, tasks, own = job.spec, job.tasks, expand.total(job.spec)
    present = tasks.present
    if not job_status.terminates(spec) or tasks.others_pending:
        return False
    if not (own or present or expand.nothing_to_do(spec)):
        return False
    if job_end.action(spec) != "Hold":
        return True
    ended = tasks.completed >= max(own, 1) and not (tasks.active or tasks.running)
    total = job_status.total_of(job.resource, tasks)
    return (
        ended
        and tasks.failed_count == (tasks.counts.failed if tasks.counts else 0)
        and tasks.failed_count <= job_end.allowed_failures(spec, total)
    )


def stop_unseen(resource: Resource, remote: Mapping[str, Any], now: float) -> Plan:
    """What stops does not wait for the first look at the tasks, which the service may refuse for long."""
    state, spec = remote.get("state"), resource.spec
    if pending_request(resource, TERMINATE) and state not in {"terminating", "completed"}:
        text = f"the job is being terminated because of the annotation {TERMINATE}"
        verdict = Verdict("Terminating", "Terminating", text, ready=False, trend="Reconciling")
        body = {"terminateReason": job_end.ASKED.terminate_reason}
        call = Call("terminate_job", Table.JOBS, resource.remote_id, body=body, evidence=Evidence.of(remote))
        shown = carry_over(resource, verdict, now) | {"handled": handled(resource, TERMINATE)}
        return with_event(resource, Plan(finalizer_on(resource), (call,), status=shown), verdict)
    if not spec.get("suspend") or state not in {"active", "disabling", "disabled"}:
        return Plan()
    notes = suspension.notes(spec, remote, "suspend")
    change = _to_be_stopped(remote, notes, job_changes.changes(spec, remote, notes)) if state == "active" else {}
    switch = suspension.switch(resource.remote_id, spec, remote, "suspend")
    calls = [*([_update(resource, remote, change)] if change else []), *([switch] if switch else [])]
    verdict = job_status.verdict(resource, remote, TasksView(), complete=False, waits=None)
    plan = Plan(finalizer_on(resource), tuple(calls), status=carry_over(resource, verdict, now))
    return with_event(resource, plan, verdict)


def _to_be_stopped(
    remote: Mapping[str, Any], notes: Mapping[str, str | None], change: Mapping[str, Any]
) -> dict[str, Any]:
    """The part of a change that goes before disabling the job: nothing else that the spec asks for may keep it from being stopped.

    The rest follows when the job is disabled. Its deadline must be lifted first, since it would end the job while its tasks are
    waited for.
    """
    return job_changes.with_notes(remote, notes) | {name: change[name] for name in ("constraints",) if name in change}


def _update(resource: Resource, remote: Mapping[str, Any], change: Mapping[str, Any]) -> Call:
    return Call(
        "update_job",
        Table.JOBS,
        resource.remote_id,
        body=change,
        if_match=remote.get("eTag"),
        evidence=without_etag(remote),
    )


def _feed(remote: Mapping[str, Any], tasks: TasksView) -> Feed:
    exact = bool(job_changes.noted_tasks(remote)[0]) or not ownership.adopted(remote)
    return Feed(tasks.fingerprint, remote.get("creationTime"), exact)


def _ending(job: LiveJob) -> job_end.Ending | None:
    """Why the operator ends the job now."""
    if job.state == "terminating":
        return None
    if pending_request(job.resource, TERMINATE):
        return job_end.ASKED
    if job.state != "active":
        return None
    tasks = job.tasks
    # A job that is open for more BatchTasks continues: the failed one may run again, or another one take its place.
    over = job.is_stuck and (not tasks.others_blocked or job_status.terminates(job.spec, job.remote))
    nowhere = suspension.requeue_limit_exceeded(job.spec, job.remote, tasks)
    total = job_status.total_of(job.resource, tasks)
    return job_end.early(job.resource, total, tasks, blocked=over, requeues=nowhere, now=job.scope.now)


def _verdict(job: LiveJob, waits: str | None) -> Verdict:
    """What the job says, with its further conditions."""
    resource, remote, tasks = job.resource, job.remote, job.tasks
    verdict = _held(job) or job_status.verdict(resource, remote, tasks, complete=job.is_complete, waits=waits)
    more = {
        **job_status.resumed(resource),
        **job_status.in_sync(resource, tasks, complete=job.is_complete),
        **job_status.retry_refused(tasks),
        **job_changes.outdated(job.spec, remote),
        **(verdict.more or {}),
    }
    tasks_left = bool(tasks.active or tasks.running)
    refused = job_changes.cannot_be_undone(job.spec, remote, tasks_left=tasks_left)
    return applied.told(replace(verdict, more=more), refused or suspension.cannot_move(job.scope.pool))


def _shown(job: LiveJob, calls: list[Call]) -> Plan:
    """The calls, with what is said, what is brought in, and when to look again."""
    resource, tasks, complete = job.resource, job.tasks, job.is_complete
    waits = waiting_for(job.spec, job.remote, job.scope.pool, tasks, blocked=job.is_stuck) if complete else None
    verdict = _verdict(job, waits)
    retry = pending_request(resource, RETRY_FAILED)
    acted = [TERMINATE, *([RETRY_FAILED] if retry is None or retry == tasks.retried else [])]
    origin = job.scope.origin if complete else ""
    shown = job_status.job_status(job, verdict, handled=handled(resource, *acted), waits=waits, origin=origin)
    retry = None if retry == tasks.retried else retry
    until = tasks.retry_until if (stored := retried_until(resource)) is None else stored
    first = None
    if retry is not None and until is not None:
        shown["handled"] = retrying(resource, until)
        first = {**resource.status, "handled": shown["handled"]}
    started = tasks.running or tasks.completed
    requeue_after = [
        *([GRACE_SECONDS] if tasks.others_pending else []),
        # Once it is over, the job is being ended, and the poller tells when it has.
        *([left] if not started and (left := job_end.pending_deadline(resource, job.scope.now) or 0.0) > 0 else []),
        # An expected end that comes without it is taken away again.
        *([end] if (end := job_status.seconds_to_end(shown, job.scope.now)) is not None else []),
    ]
    plan = Plan(
        finalizer_on(resource),
        tuple(calls),
        feed=None if complete else _feed(job.remote, tasks),
        tasks_of=None if complete else job.spec,
        status=shown,
        requeue_after=min(requeue_after, default=None),
        first=first,
        retry=retry,
        retry_until=until,
        incarnation=job.remote.get("creationTime"),
        feeds_only=tasks.fingerprint,
        events=_retry_events(resource, verdict, tasks),
    )
    return with_event(resource, plan, verdict)


def _retry_events(resource: Resource, verdict: Verdict, tasks: TasksView) -> tuple[Event, ...]:
    """An Event when failed tasks run again, and for each new reason why they do not."""
    if (retry := pending_request(resource, RETRY_FAILED)) is not None and retry == tasks.retried:
        text = f"failed tasks that run again, as requested by the annotation {RETRY_FAILED}: {tasks.retried_number}"
        if tasks.retried_others:
            text += f"; BatchTasks that have failed: {tasks.retried_others}: they run again if you set the annotation on them"
        return (Event(_RETRIED, text),)
    refused = (verdict.more or {}).get(job_status.RETRY_REFUSED)
    before = resource.condition(job_status.RETRY_REFUSED)
    if refused is None or (before is not None and before.get("reason") == refused[1]):
        return ()
    return (Event(job_status.RETRY_REFUSED, refused[2], "Warning"),)


def _held(job: LiveJob) -> Verdict | None:
    """With action Hold: all has ended, or can never run, and too much has failed."""
    resource, tasks, stuck = job.resource, job.tasks, job.is_stuck
    ended = tasks.completed and not (tasks.active or tasks.running)
    if job.state != "active":
        return None
    if job_end.action(resource.spec) != "Hold" or not job.is_complete or not (ended or stuck):
        return None
    total = job_status.total_of(resource, tasks)
    if tasks.failed_count <= job_end.allowed_failures(resource.spec, total) and not stuck:
        return None
    return job_end.held(tasks.failed_count, total, first_failed(tasks.failed))
