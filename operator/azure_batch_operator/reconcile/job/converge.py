"""A BatchJob whose job exists: update job and tasks to match the spec, end the job when it is time, and compute its status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from azure_batch_operator.api.base import RETRY_FAILED, TASKS_METADATA, TERMINATE
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.job_wire import Job
from azure_batch_operator.batch.wire import Body
from azure_batch_operator.reconcile import applied, ownership
from azure_batch_operator.reconcile.annotations import handled, pending_request, retried_until, retrying
from azure_batch_operator.reconcile.before import condition_of
from azure_batch_operator.reconcile.error_classes import classify_error
from azure_batch_operator.reconcile.job import changes as job_changes
from azure_batch_operator.reconcile.job import end as job_end
from azure_batch_operator.reconcile.job import expand, suspension
from azure_batch_operator.reconcile.job import status as job_status
from azure_batch_operator.reconcile.job.creation import FOREIGN_LOOKED_AT_EVERY, wrong_tasks
from azure_batch_operator.reconcile.job.failures import first_failed
from azure_batch_operator.reconcile.job.scope import LiveJob, TasksView
from azure_batch_operator.reconcile.job.spec import JobTerms
from azure_batch_operator.reconcile.job.task_policies import Policies
from azure_batch_operator.reconcile.job.waiting import waiting_for
from azure_batch_operator.reconcile.plan import (
    Call,
    Event,
    Evidence,
    Feed,
    Plan,
    Retry,
    StopFeed,
    Table,
    TaskEvidence,
    without_etag,
)
from azure_batch_operator.reconcile.standard_plans import GRACE_SECONDS, beside, failed, finalizer_on, with_event
from azure_batch_operator.reconcile.status import Verdict, carry_over, seconds_since
from azure_batch_operator.reconcile.target_pool import NOT_ALLOWED, TargetPoolView

_RETRIED = "TasksRetried"
_OF_RETRIES = frozenset({_RETRIED, job_status.RETRY_REFUSED})
_LISTED_EVERY = 30.0
"""Seconds between two looks for unfinished tasks of a job whose counts, which lag, say that all have ended."""
_COUNTS_LAG = 300.0
"""The same where they show fewer tasks than the spec has, and seconds from the creation of the job to the first look."""


def converge(live: LiveJob) -> Plan:
    """The plan for a job that has not ended."""
    calls, ending, mark = _calls(live)
    foreign = live.scope.pool.foreign
    stays = [] if foreign is None else [call for call in calls if call.verb == "enable_job"]
    calls = [call for call in calls if call not in stays]
    plan = _shown(live, calls)
    if _is_stopping(live):
        # Nor do failed tasks run again before the job continues: what must be stored first could keep it from being stopped.
        return replace(plan, feed=None, retry=None, first=None)
    if foreign is not None:
        # What is in the job stays there, and nothing is brought onto the pool, or run on it again, any more.
        plan = replace(plan, feed=None, retry=None, first=None, halts=True)
    if mark and plan.feed is not None:
        # No task is deleted or added before the service has taken the mark.
        plan = replace(plan, feed=replace(plan.feed, marked=True))
        if _is_transient(live) or ending is not None:
            plan = replace(plan, feed=None)
    return plan if ending is not None else _with_problems(live, plan, stays=bool(stays))


def _is_stopping(live: LiveJob) -> bool:
    return bool(pending_request(live.resource, TERMINATE) or live.spec.suspend)


def _is_transient(live: LiveJob) -> bool:
    """Whether the service takes no PATCH now."""
    return live.state in {"terminating", "disabling", "enabling"}


def _calls(live: LiveJob) -> tuple[list[Call], job_end.Ending | None, bool]:
    """What is to be changed at the job.

    Returns:
        The calls; why they end the job, if they do; and whether the job is marked first, since its tasks change.
    """
    spec, job, remote, tasks, complete = live.spec, live.job, live.remote, live.tasks, live.is_complete
    if (ending := _ending(live)) is not None:
        body = {"terminateReason": ending.terminate_reason}
        evidence = Evidence.of(job, job_end.evidence(ending, tasks))
        call = Call("terminate_job", Table.JOBS, live.resource.remote_id, body=body, evidence=evidence)
        return [call], ending, bool(_mark(live))
    moves_to = suspension.wanted_pool(spec, live.scope.pool, job, tasks)
    why = suspension.why(spec, live.scope.pool, moves_to)
    notes = suspension.notes(spec, job, why)
    if complete and job_changes.noted_tasks(job)[0] != tasks.fingerprint:
        notes |= {TASKS_METADATA: job_changes.complete_note(spec, job, tasks.fingerprint)}
    change = job_changes.changes(spec, job, remote, notes) | suspension.move(job, moves_to)
    proof = _proof_of_end(live)
    if job.stays_open and complete and _ends_now(live) and not (proof and change):
        # What must be proved first goes alone: nothing else that the spec asks for waits for it.
        change["onAllTasksComplete"] = "terminatejob"
    switch = suspension.switch(live.resource.remote_id, spec, job, why)
    mark = _mark(live)
    if mark:
        # Alone, so that the tasks do not wait for what else the spec asks for, which the service may refuse.
        change = job_changes.with_notes(job, remote, {**notes, **mark})
    elif switch is not None and switch.verb == "disable_job":
        change = _to_be_stopped(job, remote, notes, change)
    proof = proof if "onAllTasksComplete" in change else ()
    calls = [_update(live.resource, job, change, proof)] if change and not _is_transient(live) else []
    if switch is not None:
        calls.append(switch)
    return calls, None, bool(mark)


def _mark(live: LiveJob) -> Mapping[str, str | None]:
    """The note at the job that its tasks change; empty if they do not, or are not touched now."""
    if live.is_complete or _is_stopping(live):
        return {}
    return job_changes.mark(live.spec, live.job, live.tasks.fingerprint)


def _with_problems(live: LiveJob, plan: Plan, *, stays: bool) -> Plan:
    """A plan that also says why tasks cannot be brought in; the tasks that are there go on, and so does what is shown of them.

    Args:
        stays: whether the job stays disabled, since its pool is not for this namespace.
    """
    resource, tasks, now = live.resource, live.tasks, live.scope.now
    # And told of those that run again.
    told = tuple(event for event in plan.events if event.reason in _OF_RETRIES)
    retries = pending_request(resource, RETRY_FAILED) not in (None, tasks.retried)
    held = [*(["the job stays disabled"] if stays else []), *(["no failed tasks run again"] if retries else [])]
    held += [] if live.is_complete else ["no more tasks are added"]
    wrong = _foreign_pool(resource, live.scope.pool, " and ".join(held), now) if held else None
    if wrong is None and not live.is_complete:
        wrong = wrong_tasks(resource, live.spec, job_changes.noted_tasks(live.job)[1], now)
    if wrong is not None:
        shown = beside(plan.status, wrong.status)
        return replace(plan, feed=None, status=shown, events=(*told, *wrong.events))
    if tasks.refused is not None and not live.is_complete:
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


def _ends_now(live: LiveJob) -> bool:
    """Whether it is time for `terminatejob`: all tasks are in, and no unfinished one is counted where their end is waited for.

    How many have ended does not matter: another client may have deleted some, so that there are never as many as in the spec.
    """
    spec, tasks = live.spec, live.tasks
    if not job_status.terminates(spec) or tasks.others_pending:
        return False
    if not (expand.total(spec) or tasks.present or expand.nothing_to_do(spec)):
        return False
    if not _waits_for_end(live):
        return True
    if not _none_is_counted(live) or _listed_in(live) > 0:
        return False
    allowed = job_end.allowed_failures(spec, job_status.total_of(live))
    failed = tasks.counts.failed if tasks.counts else 0
    return not _holds(spec) or tasks.failed_count == failed <= allowed


def _holds(spec: JobTerms) -> bool:
    return spec.failure_policy.action == "Hold"


def _waits_for_end(live: LiveJob) -> bool:
    """Whether the job gets `terminatejob` only when its tasks have ended.

    With action Hold they must have ended well enough. With Replace any of them may be deleted until then to be added again, and a
    job that has `terminatejob`, which nobody can take back, would end meanwhile (tests/quick/test_replaced_late.py).
    """
    spec, tasks = live.spec, live.tasks
    return _holds(spec) or (Policies.of(spec).replace and bool(expand.total(spec) or tasks.present))


def _proof_of_end(live: LiveJob) -> tuple[TaskEvidence, ...]:
    """What lists must show before such a job gets it, since the counts may be those of former tasks."""
    if not _waits_for_end(live):
        return ()
    return job_end.all_ended(live.spec, job_status.total_of(live))


def _awaits_list(live: LiveJob) -> bool:
    """Whether lists will be asked, although no counts change until then."""
    waits = live.job.stays_open and job_status.terminates(live.spec) and _waits_for_end(live)
    return waits and _none_is_counted(live) and _listed_in(live) > 0


def _none_is_counted(live: LiveJob) -> bool:
    """Whether the counts show no unfinished task."""
    tasks = live.tasks
    return tasks.counts is not None and not (tasks.active or tasks.running)


def _listed_in(live: LiveJob) -> float:
    """Seconds until lists are asked whether all tasks have ended; not positive if it is time.

    Counts that show fewer tasks than the spec has are rather late than right, so nobody asks because of them at once.
    """
    tasks, now = live.tasks, live.scope.now
    ages = [] if tasks.unfinished_at is None else [now - tasks.unfinished_at]
    if tasks.present >= expand.total(live.spec):
        return _LISTED_EVERY - min(ages, default=_LISTED_EVERY)
    if live.job.creation_time:
        ages.append(seconds_since(live.job.creation_time, now))
    return _COUNTS_LAG - min(ages, default=_COUNTS_LAG)


def stop_unseen(live: LiveJob) -> Plan:
    """What stops does not wait for the first look at the tasks, which the service may refuse for long."""
    resource, spec, job, remote, now = live.resource, live.spec, live.job, live.remote, live.scope.now
    state = job.state
    if pending_request(resource, TERMINATE) and state not in {"terminating", "completed"}:
        text = f"the job is being terminated because of the annotation {TERMINATE}"
        verdict = Verdict("Terminating", "Terminating", text, ready=False, trend="Reconciling")
        body = {"terminateReason": job_end.ASKED.terminate_reason}
        call = Call("terminate_job", Table.JOBS, resource.remote_id, body=body, evidence=Evidence.of(job))
        shown = carry_over(resource, verdict, now) | {"handled": handled(resource, TERMINATE)}
        return with_event(resource, Plan(finalizer_on(resource), (call,), status=shown), verdict)
    if not spec.suspend or state not in {"active", "disabling", "disabled"}:
        return Plan()
    notes = suspension.notes(spec, job, "suspend")
    change: Body = {}
    if state == "active":
        change = _to_be_stopped(job, remote, notes, job_changes.changes(spec, job, remote, notes))
    switch = suspension.switch(resource.remote_id, spec, job, "suspend")
    calls = [*([_update(resource, job, change)] if change else []), *([switch] if switch else [])]
    verdict = job_status.verdict(live, complete=False, waits=None)
    plan = Plan(finalizer_on(resource), tuple(calls), status=carry_over(resource, verdict, now))
    return with_event(resource, plan, verdict)


def _to_be_stopped(job: Job, remote: Body, notes: Mapping[str, str | None], change: Body) -> dict[str, Any]:
    """The part of a change that goes before disabling the job: nothing else that the spec asks for may keep it from being stopped.

    The rest follows when the job is disabled. Its deadline must be lifted first, since it would end the job while its tasks are
    waited for.
    """
    only = {name: change[name] for name in ("constraints",) if name in change}
    return job_changes.with_notes(job, remote, notes) | only


def _update(resource: Resource, job: Job, change: Body, proof: tuple[TaskEvidence, ...] = ()) -> Call:
    return Call(
        "update_job",
        Table.JOBS,
        resource.remote_id,
        body=change,
        if_match=job.etag,
        evidence=Evidence.of(job, proof) if proof else without_etag(job),
    )


def _feed(live: LiveJob) -> Feed:
    job = live.job
    exact = bool(job_changes.noted_tasks(job)[0]) or not ownership.adopted(job)
    return Feed(live.tasks.fingerprint, job.creation_time, exact, spec=live.spec.whole, ends=job.ends_with_its_tasks)


def _ending(live: LiveJob) -> job_end.Ending | None:
    """Why the operator ends the job now."""
    if live.state == "terminating":
        return None
    if pending_request(live.resource, TERMINATE):
        return job_end.ASKED
    if live.state != "active":
        return None
    tasks = live.tasks
    # A job that is open for more BatchTasks continues: the failed one may run again, or another one take its place.
    over = live.is_stuck and (not tasks.others_blocked or job_status.terminates(live.spec, live.job))
    nowhere = suspension.requeue_limit_exceeded(live.spec, live.job, tasks)
    total = job_status.total_of(live)
    left = job_end.pending_deadline(live.resource, live.spec, live.scope.now)
    return job_end.early(live.spec, total, tasks, blocked=over, requeues=nowhere, left=left)


def _verdict(live: LiveJob, waits: str | None) -> Verdict:
    """What the job says, with its further conditions."""
    resource, job, remote, tasks = live.resource, live.job, live.remote, live.tasks
    verdict = _held(live) or job_status.verdict(live, complete=live.is_complete, waits=waits)
    more = {
        **job_status.resumed(live),
        **job_status.in_sync(resource, tasks, complete=live.is_complete),
        **job_status.retry_refused(tasks),
        **job_changes.outdated(live.spec, remote),
        **(verdict.more or {}),
    }
    tasks_left = bool(tasks.active or tasks.running)
    refused = job_changes.cannot_be_undone(live.spec, job, remote, tasks_left=tasks_left)
    return applied.told(replace(verdict, more=more), refused or suspension.cannot_move(live.scope.pool))


def _shown(live: LiveJob, calls: list[Call]) -> Plan:
    """The calls, with what is said, what is brought in, and when to look again."""
    resource, tasks, complete = live.resource, live.tasks, live.is_complete
    waits = waiting_for(live.spec, live.job, live.scope.pool, tasks, blocked=live.is_stuck) if complete else None
    verdict = _verdict(live, waits)
    retry = pending_request(resource, RETRY_FAILED)
    acted = [TERMINATE, *([RETRY_FAILED] if retry is None or retry == tasks.retried else [])]
    origin = live.scope.origin if complete else ""
    shown = job_status.job_status(live, verdict, handled=handled(resource, *acted), waits=waits, origin=origin)
    retry = None if retry == tasks.retried else retry
    until = tasks.retry_until if (stored := retried_until(resource)) is None else stored
    first = None
    if retry is not None and until is not None:
        shown["handled"] = retrying(resource, until)
        first = {**resource.status, "handled": shown["handled"]}
    started = tasks.running or tasks.completed
    left = job_end.pending_deadline(resource, live.spec, live.scope.now) or 0.0
    requeue_after = [
        *([GRACE_SECONDS] if tasks.others_pending else []),
        # Once it is over, the job is being ended, and the poller tells when it has.
        *([left] if not started and left > 0 else []),
        *([_listed_in(live)] if complete and _awaits_list(live) else []),
        # An expected end that comes without it is taken away again.
        *([end] if (end := job_status.seconds_to_end(shown, live.scope.now)) is not None else []),
    ]
    plan = Plan(
        finalizer_on(resource),
        tuple(calls),
        feed=None if complete else _feed(live),
        status=shown,
        requeue_after=min(requeue_after, default=None),
        first=first,
        retry=None if retry is None else Retry(retry, until, live.job.creation_time),
        feeds_only=StopFeed(tasks.fingerprint, live.job.creation_time),
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
    if refused is None or condition_of(resource, job_status.RETRY_REFUSED).reason == refused[1]:
        return ()
    return (Event(job_status.RETRY_REFUSED, refused[2], "Warning"),)


def _held(live: LiveJob) -> Verdict | None:
    """With action Hold: all has ended, or can never run, and too much has failed."""
    tasks, stuck = live.tasks, live.is_stuck
    ended = tasks.completed and not (tasks.active or tasks.running)
    if live.state != "active":
        return None
    if live.spec.failure_policy.action != "Hold" or not live.is_complete or not (ended or stuck):
        return None
    total = job_status.total_of(live)
    if tasks.failed_count <= job_end.allowed_failures(live.spec, total) and not stuck:
        return None
    return job_end.held(tasks.failed_count, total, first_failed(tasks.failed))
