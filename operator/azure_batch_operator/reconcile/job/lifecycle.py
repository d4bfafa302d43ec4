"""BatchJob: the job, its tasks, then `onAllTasksComplete`; success and failure from the tasks (docs/azure-batch.md#jobs).

The order of a job's life stands here; what each station decides is in `job_changes` (what to PATCH), `job_hold` (stopping and going
on), `job_end` (when it is over and how), `job_waits` and `job_status` (what to say).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from azure_batch_operator.api.base import RECREATE, RETRY_FAILED, TASKS_METADATA, TERMINATE
from azure_batch_operator.api.job import OPERATOR, JobSpec
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile import adoption, applied, ownership
from azure_batch_operator.reconcile import reconcile_policy as policy
from azure_batch_operator.reconcile.adoption import NO_OTHERS, Others
from azure_batch_operator.reconcile.annotations import handled, pending_request, retried_until, retrying
from azure_batch_operator.reconcile.error_classes import classify_error
from azure_batch_operator.reconcile.job import changes as job_changes
from azure_batch_operator.reconcile.job import end as job_end
from azure_batch_operator.reconcile.job import expand
from azure_batch_operator.reconcile.job import status as job_status
from azure_batch_operator.reconcile.job import suspension as job_hold
from azure_batch_operator.reconcile.job.failures import blocked
from azure_batch_operator.reconcile.job.scope import NOT_ALLOWED, TargetPoolView, TasksView
from azure_batch_operator.reconcile.job.waiting import waiting_for
from azure_batch_operator.reconcile.plan import (
    Absence,
    Absent,
    AccountView,
    Call,
    Event,
    Evidence,
    Feed,
    ObjectChange,
    Plan,
    Remote,
    Table,
    Unconfirmed,
    without_etag,
)
from azure_batch_operator.reconcile.standard_plans import (
    GRACE_SECONDS,
    beside,
    ever_created,
    failed,
    grace_left,
    once_absent,
    waiting,
    with_event,
    without_account,
)
from azure_batch_operator.reconcile.status import Verdict, carry_over, ended_as, has_ended, seconds_since, status

FOREIGN_LOOKED_AT_EVERY = 30.0
"""Seconds between two looks whether a pool of another namespace allows this one by now."""
FINAL = frozenset({"Succeeded", "Failed"})


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
    spec, status = resource.spec, resource.status
    wanted = _keeps_object(resource) and spec.get("ttlSecondsAfterFinished") is not None
    return wanted and bool(status.get("state")) and not status.get("cleanedUp")


def managed_elsewhere(resource: Resource) -> bool:
    """Whether another controller looks after the job (`spec.managedBy`), as batch/v1 Job and Kueue mean it."""
    return str(resource.spec.get("managedBy", OPERATOR)) != OPERATOR


def plan(
    resource: Resource,
    account: AccountView,
    pool: TargetPoolView,
    remote: Remote,
    tasks: TasksView | None,
    cluster: str,
    now: float,
    origin: str = "",
    others: Others = NO_OTHERS,
    *,
    named: bool = False,
    print_: str = "",
) -> Plan:
    """Decide about one BatchJob.

    Args:
        remote: the job as the last poll saw it.
        tasks: its tasks, None before the first look at them.
        cluster: id of this cluster, part of the ownership marker.
        origin: fingerprint of what fixed tasks would be made from; empty if it is not known.
        others: what is known of other owners.
        named: whether BatchTasks that have not ended name it as their job.
        print_: fingerprint of the sources of its tasks, for the note of a job that is created.
    """
    decided = _plan(resource, account, pool, remote, tasks, cluster, now, origin, others, named=named, print_=print_)
    return _with_pool(resource, pool, decided)


def _plan(
    resource: Resource,
    account: AccountView,
    pool: TargetPoolView,
    remote: Remote,
    tasks: TasksView | None,
    cluster: str,
    now: float,
    origin: str,
    others: Others,
    *,
    named: bool,
    print_: str,
) -> Plan:
    if resource.deleting and (not resource.has_finalizer or resource.released):
        return Plan(finalizer="remove", unconfirmed=Unconfirmed.RELEASED)
    if not resource.deleting:
        if managed_elsewhere(resource):
            return Plan()
        if not is_open(resource):
            return _finished(resource, origin, now)
        if has_ended(resource):
            return _clean_up(resource, account, remote, cluster, now, origin, others)
        if isinstance(remote, Absent) and (early := _before_creation(resource, remote, now, named=named)) is not None:
            return early
    if not account.usable:
        if pool.problem and account.gone and not resource.deleting and not ever_created(resource):
            return waiting(resource, *pool.problem, now)
        return without_account(resource, account, now)
    if remote is Absent.UNKNOWN:
        return Plan()
    if resource.deleting:
        verb = "delete_job"
        return policy.end(resource, remote, f"job {resource.remote_id!r}", verb, Table.JOBS, cluster, now, others)
    if remote is Absent.NOT_FOUND:
        return _lost(resource, now) or _create(resource, account, pool, cluster, now, print_)
    claimed = policy.claim(resource, "job", remote, cluster, "update_job", Table.JOBS, now, others)
    if claimed is not None:
        return claimed
    if tasks is None:
        return _stop_unseen(resource, remote, now)
    if remote.get("state") == "completed":
        decided = _finish(resource, account, remote, tasks, now, origin)
    else:
        decided = _converge(resource, account, pool, remote, tasks, now, origin)
    return policy.with_adoption(decided, resource, remote, cluster, others)


def _with_pool(resource: Resource, pool: TargetPoolView, plan: Plan) -> Plan:
    """A plan whose status names the pool also before the job exists in Azure Batch, such as while it is suspended.

    Until then the spec decides, whose reference may have been corrected; a job that exists may be on another pool.
    """
    name = pool.id or (resource.spec.get("poolRef") or {}).get("name")
    if plan.status is None or name is None or has_ended(resource):
        return plan
    if plan.status.get("poolId") and plan.status.get("state"):
        return plan
    return replace(plan, status={**plan.status, "poolId": name})


# --- before it exists, and after it is done ---


def _before_creation(resource: Resource, remote: Absent, now: float, *, named: bool) -> Plan | None:
    """Suspended, ended or too late before anything was created: nothing is done in Azure Batch."""
    if remote is Absent.UNKNOWN and resource.has_finalizer:
        return None
    if pending_request(resource, TERMINATE):
        verdict = job_end.failure(job_end.ASKED, f"{job_end.ASKED.message} before it was created")
    elif resource.spec.get("suspend"):
        verdict = job_status.suspended("spec.suspend is true: nothing is created in Azure Batch")
    elif (left := job_end.pending_deadline(resource, now)) is not None and left <= 0:
        verdict = job_end.failure(job_end.PENDING_TOO_LONG)
    elif remote is Absent.NOT_FOUND and not named and expand.nothing_to_do(resource.spec):
        if (left := GRACE_SECONDS - seconds_since(resource.created, now)) > 0:
            # BatchTasks of the same `apply` may follow; as this is the end of the job, a slow clock waits for longer.
            return Plan(requeue_after=left)
        verdict = job_end.NOTHING_TO_DO
    else:
        return None
    shown = carry_over(resource, verdict, now)
    if marks := handled(resource, TERMINATE):
        shown["handled"] = marks
    requeue_after = _time_to_live(resource) if verdict.phase in FINAL else job_end.pending_deadline(resource, now)
    plan = Plan(status=shown, requeue_after=requeue_after)
    if remote is Absent.NOT_FOUND and resource.status.get("state"):
        # Deleted outside the operator: the status no longer shows the state of a job that is gone.
        gone = Absence(Table.JOBS, resource.remote_id)
        plan = replace(plan, status=job_status.without_remote(shown), confirm=(gone,))
    return with_event(resource, plan, verdict)


def _time_to_live(resource: Resource) -> float | None:
    """Seconds from the end of the job to the deletion of the object, or of its job alone."""
    ttl = resource.spec.get("ttlSecondsAfterFinished")
    return None if ttl is None else float(ttl)


def _keeps_object(resource: Resource) -> bool:
    return resource.spec.get("ttlPolicy") == "KeepObject"


def _finished(resource: Resource, origin: str, now: float) -> Plan:
    """The job is done: its object goes when its time is over, and verbs and changes of its tasks come too late."""
    done = next((each for type_ in ("Complete", "Failed") if (each := resource.condition(type_))), None)
    ttl, requeue_after = _time_to_live(resource), None
    over = False
    if ttl is not None and done is not None and not _keeps_object(resource):
        requeue_after = ttl - seconds_since(done["lastTransitionTime"], now)
        over = requeue_after <= 0
    events: tuple[Event, ...] = ()
    if pending_request(resource, RETRY_FAILED):
        events = (Event("RetryRefused", _TOO_LATE, "Warning"),)
    shown = dict(resource.status)
    if shown.get("observedGeneration") != resource.generation:
        conditions = [
            dict(each) | {"observedGeneration": resource.generation} for each in shown.get("conditions") or ()
        ]
        shown |= {"observedGeneration": resource.generation, "conditions": conditions}
    if (changed := _tasks_changed(resource, origin)) is not None:
        shown["conditions"] = job_status.too_late(resource, shown, changed=changed, now=now)
        if shown["conditions"] != resource.status.get("conditions") and changed:
            events = (*events, Event("TasksNotChanged", job_status.TASKS_TOO_LATE, "Warning"))
    if marks := handled(resource, RETRY_FAILED, TERMINATE):
        shown["handled"] = marks
    if over:
        # With the status: under the policy skip the object stays, and is to say that its spec was seen.
        gone = ObjectChange(resource.key, uid=resource.uid)
        return Plan(status=None if shown == resource.status else shown, events=events, objects=(gone,))
    # Somebody has taken it off by hand, but the job is there until it is deleted.
    finalizer: Any = _finalizer(resource) if resource.status.get("state") else None
    return Plan(
        finalizer, status=None if shown == resource.status else shown, events=events, requeue_after=requeue_after
    )


def _tasks_changed(resource: Resource, origin: str) -> bool | None:
    """Whether the tasks of a finished job were changed afterwards; None if that is not known.

    Args:
        origin: as for `plan`. Without it, because a ConfigMap or Secret cannot be read, the spec alone still tells some changes.
    """
    made_from = resource.status.get("tasksFingerprint")
    if not made_from:
        return None
    if origin:
        return bool(origin != made_from)
    return job_changes.origin(resource.spec) != job_changes.without_contents(made_from) or None


def _clean_up(
    resource: Resource, account: AccountView, remote: Remote, cluster: str, now: float, origin: str, others: Others
) -> Plan:
    """Delete the job of a finished object in Azure Batch when its time is over; the object and its status stay."""
    plan, done = _finished(resource, origin, now), resource.condition("Complete") or resource.condition("Failed")
    left = 0.0
    if done is not None:
        left = float(resource.spec["ttlSecondsAfterFinished"]) - seconds_since(done["lastTransitionTime"], now)
    if left > 0:
        return replace(plan, requeue_after=left)
    if not account.usable or remote is Absent.UNKNOWN:
        return plan
    if remote is Absent.NOT_FOUND or not adoption.ours(remote, resource, cluster, others):
        shown = resource.status if plan.status is None else plan.status
        # It is the last look at the job.
        gone = (Absence(Table.JOBS, resource.remote_id),) if remote is Absent.NOT_FOUND else ()
        return replace(plan, status={**shown, "cleanedUp": True}, confirm=gone)
    if remote.get("state") == "deleting":
        return plan
    call = Call("delete_job", Table.JOBS, resource.remote_id, evidence=Evidence.of(remote))
    return replace(plan, finalizer=_finalizer(resource), calls=(call,))


_TOO_LATE = (
    "Azure Batch runs no task of a completed job again: create a new BatchJob; to be able to run failed tasks again, give "
    "the next one failurePolicy.action: Hold"
)


def _lost(resource: Resource, now: float) -> Plan | None:
    """The job was deleted outside the operator after tasks had started: a person decides, since running them again may repeat work.

    A job of which no task had started is created again, with all of its tasks.
    """
    if (ended := ended_as(resource)) is not None and not pending_request(resource, RECREATE):
        # Somebody has written another phase into the status; its conditions still say what is true.
        return Plan(status={**resource.status, "phase": ended})
    if not resource.status.get("tasksStartTime") or pending_request(resource, RECREATE):
        return None
    message = (
        f"job {resource.remote_id!r} was deleted in Azure Batch after tasks had started, and their results with it: set the "
        f"annotation {RECREATE} to a new value to run all tasks again, or delete this BatchJob"
    )
    verdict = Verdict("Stalled", "JobGone", message, ready=False, trend="Stalled")
    plan = Plan(status=job_status.without_remote(carry_over(resource, verdict, now)))
    plan = once_absent(resource, plan, verdict, Absence(Table.JOBS, resource.remote_id))
    return with_event(resource, plan, verdict)


def _create(
    resource: Resource, account: AccountView, pool: TargetPoolView, cluster: str, now: float, print_: str
) -> Plan:
    until = job_end.pending_deadline(resource, now)
    if pool.problem:
        plan = waiting(resource, *pool.problem, now)
        look = FOREIGN_LOOKED_AT_EVERY if pool.problem[0] == NOT_ALLOWED else None
        return replace(
            plan,
            requeue_after=min((each for each in (plan.requeue_after, until, look) if each is not None), default=None),
        )
    if (stalled := _wrong_tasks(resource, None, now)) is not None:
        return stalled
    if pool.no_fallback and (left := grace_left(resource, now)) > 0:
        # It may follow in the same `apply`; the job goes on without it, so nothing but the Event tells of a typing error.
        return Plan(requeue_after=left)
    verdict = Verdict("Creating", "Creating", "the job is being created", ready=False, trend="Reconciling")
    call = Call("create_job", Table.JOBS, resource.remote_id, body=_body(resource, pool.id, cluster, print_))
    # A new incarnation begins with nothing remembered of one before it.
    url = f"{account.url}/jobs/{resource.remote_id}"
    shown = status(resource, verdict, now, id=resource.remote_id, url=url, account=account.name, poolId=pool.id)
    if marks := handled(resource, RECREATE):
        shown["handled"] = marks
    events = (Event(*pool.no_fallback, "Warning"),) if pool.no_fallback else ()
    return with_event(resource, Plan("add", (call,), status=shown, events=events, requeue_after=until), verdict)


def _wrong_tasks(resource: Resource, digits: int | None, now: float) -> Plan | None:
    """Stalled, if the tasks cannot be sent as they are."""
    found = expand.problems(resource.spec)
    if digits is not None and (needed := expand.id_width(resource.spec)) > digits:
        text = (
            f"spec.taskFactory now needs ids of {needed} digits, but those in Azure Batch have {digits}: take tasks away, "
            "or create a new BatchJob with taskFactory.idWidth"
        )
        found = [text]
    if not found:
        return None
    verdict = Verdict("Stalled", "InvalidTasks", "; ".join(found[:5]), ready=False, trend="Stalled")
    shown = status(resource, verdict, now) if digits is None else carry_over(resource, verdict, now)
    return with_event(resource, Plan(status=shown), verdict)


def _body(resource: Resource, pool_id: str | None, cluster: str, print_: str) -> dict[str, Any]:
    """The job as it is created: never with terminatejob, since a job without tasks would end at once (docs/azure-batch.md#jobs)."""
    spec = resource.spec
    body = {"id": resource.remote_id} | JobSpec.rest_body(spec)
    if pool_id is not None:
        body["poolInfo"] = {"poolId": pool_id}
    body["onAllTasksComplete"] = "noaction"
    if (constraints := job_changes.constraints(spec, None)) is not None:
        body["constraints"] = constraints
    # It costs nothing and cannot be set later, when a BatchTask or a changed spec may bring dependencies.
    body.setdefault("usesTaskDependencies", True)
    body = job_changes.with_note(ownership.with_marker(body, ownership.marker(cluster, resource)), spec)
    if expand.total(spec):
        body["metadata"].append({"name": TASKS_METADATA, "value": job_changes.new_note(spec, print_)})
    return body


# --- while it lives ---


def _ends_now(resource: Resource, tasks: TasksView, own: int) -> bool:
    """Whether it is time for `terminatejob`: all tasks are in, and with action Hold all have ended well enough."""
    spec, present = resource.spec, tasks.number("active", "running", "completed")
    if not job_status.terminates(spec) or tasks.others_pending:
        return False
    if not (own or present or expand.nothing_to_do(spec)):
        return False
    if job_end.action(spec) != "Hold":
        return True
    ended = tasks.number("completed") >= max(own, 1) and not tasks.number("active", "running")
    total = job_status.total_of(resource, tasks)
    return (
        ended
        and tasks.failed_count == tasks.number("failed")
        and tasks.failed_count <= job_end.allowed_failures(spec, total)
    )


def _stop_unseen(resource: Resource, remote: Mapping[str, Any], now: float) -> Plan:
    """What stops does not wait for the first look at the tasks, which the service may refuse for long."""
    state, spec = remote.get("state"), resource.spec
    if pending_request(resource, TERMINATE) and state not in {"terminating", "completed"}:
        text = f"the job is being terminated because of the annotation {TERMINATE}"
        verdict = Verdict("Terminating", "Terminating", text, ready=False, trend="Reconciling")
        body = {"terminateReason": job_end.ASKED.terminate_reason}
        call = Call("terminate_job", Table.JOBS, resource.remote_id, body=body, evidence=Evidence.of(remote))
        shown = carry_over(resource, verdict, now) | {"handled": handled(resource, TERMINATE)}
        return with_event(resource, Plan(_finalizer(resource), (call,), status=shown), verdict)
    if not spec.get("suspend") or state not in {"active", "disabling", "disabled"}:
        return Plan()
    notes = job_hold.notes(spec, remote, "suspend")
    change = _to_be_stopped(remote, notes, job_changes.changes(spec, remote, notes)) if state == "active" else {}
    switch = job_hold.switch(resource.remote_id, spec, remote, "suspend")
    calls = [*([_update(resource, remote, change)] if change else []), *([switch] if switch else [])]
    verdict = job_status.verdict(resource, remote, TasksView(), complete=False, waits=None)
    plan = Plan(_finalizer(resource), tuple(calls), status=carry_over(resource, verdict, now))
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


def _converge(
    resource: Resource,
    account: AccountView,
    pool: TargetPoolView,
    remote: Mapping[str, Any],
    tasks: TasksView,
    now: float,
    origin: str,
) -> Plan:
    stopping = bool(pending_request(resource, TERMINATE) or resource.spec.get("suspend"))
    spec, own = resource.spec, expand.total(resource.spec)
    noted, digits = job_changes.noted_tasks(remote)
    complete = noted == tasks.fingerprint or tasks.complete
    wrong = None if complete or stopping else _foreign_pool(resource, pool, now) or _wrong_tasks(resource, digits, now)
    moves_to = job_hold.wanted_pool(spec, pool, remote, tasks)
    why = job_hold.why(spec, pool, moves_to)
    notes = job_hold.notes(spec, remote, why)
    if complete and noted != tasks.fingerprint:
        notes |= {TASKS_METADATA: job_changes.complete_note(spec, remote, tasks.fingerprint)}
    change = job_changes.changes(spec, remote, notes) | job_hold.move(remote, moves_to)
    held_back = str(remote.get("onAllTasksComplete", "noaction")).lower() == "noaction"
    if held_back and complete and _ends_now(resource, tasks, own):
        change["onAllTasksComplete"] = "terminatejob"
    transient = remote.get("state") in {"terminating", "disabling", "enabling"}
    switch = job_hold.switch(resource.remote_id, spec, remote, why)
    mark = {} if complete or stopping else job_changes.mark(spec, remote, tasks.fingerprint)
    if mark:
        # Alone, so that the tasks do not wait for what else the spec asks for, which the service may refuse.
        change = job_changes.with_notes(remote, {**notes, **mark})
    elif switch is not None and switch.verb == "disable_job":
        change = _to_be_stopped(remote, notes, change)
    calls = [_update(resource, remote, change)] if change and not transient else []
    if switch is not None:
        calls.append(switch)

    stuck = complete and blocked(spec, tasks.counts, tasks.failed, tasks.failed_count, tasks.others_blocked)
    # A job that is open for more BatchTasks goes on: the failed one may run again, or another one take its place.
    over = stuck and (not tasks.others_blocked or job_status.terminates(spec, remote))
    ending = _ending(resource, remote, tasks, stuck=over, now=now)
    if ending is not None:
        body = {"terminateReason": ending.terminate_reason}
        evidence = Evidence.of(remote, job_end.evidence(ending, tasks))
        calls = [Call("terminate_job", Table.JOBS, resource.remote_id, body=body, evidence=evidence)]
    known = origin if complete else ""
    plan = _shown(resource, account, pool, remote, tasks, calls, complete=complete, stuck=stuck, now=now, origin=known)
    if stopping:
        # Nor do failed tasks run again before the job goes on: what must be stored first could keep it from being stopped.
        return replace(plan, feed=None, tasks_of=None, retry=None, first=None)
    if pool.foreign is not None:
        # What is in the job stays there, and nothing is brought onto the pool any more.
        plan = replace(plan, feed=None, tasks_of=None, retry=None, first=None, halts=True)
    if mark and plan.feed is not None:
        # No task is deleted or added before the service has taken the mark.
        plan = replace(plan, feed=replace(plan.feed, marked=True))
        if transient or ending is not None:
            plan = replace(plan, feed=None, tasks_of=None)
    if ending is not None:
        return plan
    # The tasks that are there go on, and so does what is shown of them, and told of those that run again.
    told = tuple(each for each in plan.events if each.reason in _OF_RETRIES)
    if wrong is not None:
        shown = beside(plan.status, wrong.status)
        return replace(plan, feed=None, tasks_of=None, status=shown, events=(*told, *wrong.events))
    if tasks.refused is not None and not complete:
        refused = failed(resource, classify_error(tasks.refused), now, observed=plan.status)
        requeue_after = min((each for each in (plan.requeue_after, tasks.retry_in) if each is not None), default=None)
        return replace(plan, status=refused.status, events=(*told, *refused.events), requeue_after=requeue_after)
    return plan


def _foreign_pool(resource: Resource, pool: TargetPoolView, now: float) -> Plan | None:
    """Stalled, if the job is on a pool of another namespace."""
    if pool.foreign is None:
        return None
    verdict = Verdict("Stalled", NOT_ALLOWED, f"no more tasks are added: {pool.foreign}", ready=False, trend="Stalled")
    return with_event(
        resource, Plan(status=carry_over(resource, verdict, now), requeue_after=FOREIGN_LOOKED_AT_EVERY), verdict
    )


def _feed(remote: Mapping[str, Any], tasks: TasksView) -> Feed:
    exact = bool(job_changes.noted_tasks(remote)[0]) or not ownership.adopted(remote)
    return Feed(tasks.fingerprint, remote.get("creationTime"), exact)


def _finalizer(resource: Resource) -> Any:
    return None if resource.has_finalizer else "add"


def _ending(
    resource: Resource, remote: Mapping[str, Any], tasks: TasksView, *, stuck: bool, now: float
) -> job_end.Ending | None:
    """Why the operator ends the job now."""
    if remote.get("state") == "terminating":
        return None
    if pending_request(resource, TERMINATE):
        return job_end.ASKED
    if remote.get("state") != "active":
        return None
    nowhere = job_hold.requeue_limit_exceeded(resource.spec, remote, tasks)
    total = job_status.total_of(resource, tasks)
    return job_end.early(resource, total, tasks, blocked=stuck, requeues=nowhere, now=now)


def _shown(
    resource: Resource,
    account: AccountView,
    pool: TargetPoolView,
    remote: Mapping[str, Any],
    tasks: TasksView,
    calls: list[Call],
    *,
    complete: bool,
    stuck: bool,
    now: float,
    origin: str,
) -> Plan:
    waits = waiting_for(resource.spec, remote, pool, tasks, blocked=stuck) if complete else None
    verdict = _held(resource, remote, tasks, complete=complete, stuck=stuck) or job_status.verdict(
        resource, remote, tasks, complete=complete, waits=waits
    )
    more = {
        **job_status.resumed(resource),
        **job_status.in_sync(resource, tasks, complete=complete),
        **job_status.retry_refused(tasks),
        **job_changes.outdated(resource.spec, remote),
        **(verdict.more or {}),
    }
    tasks_left = bool(tasks.number("active", "running"))
    refused = job_changes.cannot_be_undone(resource.spec, remote, tasks_left=tasks_left)
    verdict = applied.told(replace(verdict, more=more), refused or job_hold.cannot_move(pool))
    retry = pending_request(resource, RETRY_FAILED)
    acted = [TERMINATE, *([RETRY_FAILED] if retry is None or retry == tasks.retried else [])]
    shown = job_status.job_status(
        resource, account, remote, tasks, verdict, now, handled=handled(resource, *acted), waits=waits, origin=origin
    )
    retry = None if retry == tasks.retried else retry
    until = tasks.retry_until if (stored := retried_until(resource)) is None else stored
    first = None
    if retry is not None and until is not None:
        shown["handled"] = retrying(resource, until)
        first = {**resource.status, "handled": shown["handled"]}
    started = tasks.number("running", "completed")
    requeue_after = [
        *([GRACE_SECONDS] if tasks.others_pending else []),
        # Once it is over, the job is being ended, and the poller tells when it has.
        *([left] if not started and (left := job_end.pending_deadline(resource, now) or 0.0) > 0 else []),
        # An expected end that comes without it is taken away again.
        *([end] if (end := job_status.seconds_to_end(shown, now)) is not None else []),
    ]
    plan = Plan(
        _finalizer(resource),
        tuple(calls),
        feed=None if complete else _feed(remote, tasks),
        tasks_of=None if complete else resource.spec,
        status=shown,
        requeue_after=min(requeue_after, default=None),
        first=first,
        retry=retry,
        retry_until=until,
        incarnation=remote.get("creationTime"),
        feeds_only=tasks.fingerprint,
        events=_retry_notices(resource, verdict, tasks),
    )
    return with_event(resource, plan, verdict)


_RETRIED = "TasksRetried"
_OF_RETRIES = frozenset({_RETRIED, job_status.RETRY_REFUSED})


def _retry_notices(resource: Resource, verdict: Verdict, tasks: TasksView) -> tuple[Event, ...]:
    """An Event when failed tasks run again, and for each new reason why they do not."""
    if (retry := pending_request(resource, RETRY_FAILED)) is not None and retry == tasks.retried:
        text = f"failed tasks that run again, as the annotation {RETRY_FAILED} asks: {tasks.retried_number}"
        if tasks.retried_others:
            text += f"; BatchTasks that have failed: {tasks.retried_others}: they run again if you set the annotation on them"
        return (Event(_RETRIED, text),)
    refused = (verdict.more or {}).get(job_status.RETRY_REFUSED)
    before = resource.condition(job_status.RETRY_REFUSED)
    if refused is None or (before is not None and before.get("reason") == refused[1]):
        return ()
    return (Event(job_status.RETRY_REFUSED, refused[2], "Warning"),)


def _held(
    resource: Resource, remote: Mapping[str, Any], tasks: TasksView, *, complete: bool, stuck: bool
) -> Verdict | None:
    """With action Hold: all has ended, or can never run, and too much has failed."""
    ended = tasks.number("completed") and not tasks.number("active", "running")
    if remote.get("state") != "active":
        return None
    if job_end.action(resource.spec) != "Hold" or not complete or not (ended or stuck):
        return None
    total = job_status.total_of(resource, tasks)
    if tasks.failed_count <= job_end.allowed_failures(resource.spec, total) and not stuck:
        return None
    return job_end.held(tasks.failed_count, total, tasks.failed[0]["id"] if tasks.failed else "?")


def _finish(
    resource: Resource, account: AccountView, remote: Mapping[str, Any], tasks: TasksView, now: float, origin: str
) -> Plan:
    """The job has ended in Azure Batch: what counts is how its tasks have."""
    if tasks.unfinished is None:
        verdict = Verdict("Completing", "Completing", "the results are being read", ready=False, trend="Reconciling")
        return Plan(status=job_status.job_status(resource, account, remote, tasks, verdict, now))
    total = job_status.total_of(resource, tasks)
    noted = job_changes.noted_tasks(remote)[0]
    all_in = tasks.complete or noted == tasks.fingerprint
    present = max(tasks.number("active", "running", "completed"), tasks.failed_count + tasks.unfinished)
    # The service's counts lag, so they are asked only where there may be tasks that were never added.
    unread = expand.unread(resource.spec)
    missing = 0 if all_in or not (unread or expand.total(resource.spec)) else max(0, total - present)
    if unread and not noted and not resource.status.get("taskCounts"):
        # Nothing tells how many there should be, but the note that all are in was never made.
        missing = max(1, missing)
        total = present + missing
    verdict = job_end.outcome(resource.spec, remote, tasks, total, missing, grown=bool(noted))
    marks = handled(resource, TERMINATE)
    plan = Plan(
        finalizer=_finalizer(resource),
        status=job_status.job_status(
            resource,
            account,
            remote,
            tasks,
            verdict,
            now,
            handled=marks,
            missing=missing,
            origin=origin if all_in else None,
        ),
        requeue_after=_time_to_live(resource),
    )
    return with_event(resource, plan, verdict)
