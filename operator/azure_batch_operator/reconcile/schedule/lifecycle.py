"""BatchJobSchedule: a schedule of Azure Batch at an interval, or a schedule of the operator by cron."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from azure_batch_operator.api.base import TERMINATE
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.reconcile import applied, ownership
from azure_batch_operator.reconcile import normalization as normal
from azure_batch_operator.reconcile import reconcile_policy as policy
from azure_batch_operator.reconcile import secret_versions as pool_values
from azure_batch_operator.reconcile.adoption import NO_OTHERS, Others
from azure_batch_operator.reconcile.job import suspension as job_hold
from azure_batch_operator.reconcile.job.creation import FOREIGN_LOOKED_AT_EVERY
from azure_batch_operator.reconcile.plan import (
    Absent,
    AccountView,
    Call,
    Evidence,
    Plan,
    Remote,
    Table,
    without_etag,
)
from azure_batch_operator.reconcile.schedule import changes as schedule_changes
from azure_batch_operator.reconcile.schedule import cron
from azure_batch_operator.reconcile.secret_versions import MISSING_LOOKED_AT_EVERY, NO_VALUES, ValueVersions
from azure_batch_operator.reconcile.standard_plans import (
    finalizer_on,
    waiting,
    with_event,
)
from azure_batch_operator.reconcile.status import Verdict, carry_over, pick, status
from azure_batch_operator.reconcile.steps import (
    first_plan,
    release,
    settle_ownership,
    wait_for_account_and_pool,
    wait_for_poll,
)
from azure_batch_operator.reconcile.target_pool import NO_POOL, NOT_ALLOWED, TargetPoolView

_ENDED = ("completed", "terminating")


@dataclass(frozen=True)
class JobsView:
    """The jobs of a schedule.

    Attributes:
        children: BatchJobs that a cron schedule has made.
        remote: jobs that a schedule of the service has made, newest first, with `taskCounts` where known; None before a look.
        kept: those of the children that a retry still needs, whatever the limits of the history are.
    """

    children: Sequence[Resource] = ()
    remote: Sequence[Mapping[str, Any]] | None = None
    kept: Collection[Key] = ()


VALUES_LOOKED_AT_EVERY = 300.0
"""Seconds between two looks whether Secrets and ConfigMaps that a schedule of the service takes values from have changed."""


def is_cron(resource: Resource) -> bool:
    """Whether the operator keeps the schedule, and nothing of it is in Azure but its jobs."""
    return bool(resource.spec.get("cron"))


def is_open(resource: Resource) -> bool:
    """Whether anything can still happen to it."""
    return resource.deleting or resource.status.get("phase") != "Completed"


@dataclass(frozen=True)
class ScheduleScope:
    """All that is known when a BatchJobSchedule is decided about.

    Attributes:
        pool: of its jobs.
        remote: the schedule as the last poll saw it.
        cluster: id of this cluster, part of the ownership marker.
        now: seconds since the epoch.
        others: what is known of other owners.
        values: what the jobs take from Secrets and ConfigMaps.
    """

    resource: Resource
    account: AccountView
    pool: TargetPoolView
    remote: Remote
    jobs: JobsView
    cluster: str
    now: float
    others: Others = NO_OTHERS
    values: ValueVersions = NO_VALUES


def plan(scope: ScheduleScope) -> Plan:
    """Decide about one BatchJobSchedule: the first step that has something to say does."""
    return first_plan(STEPS, scope)


def _by_cron(scope: ScheduleScope) -> Plan | None:
    """The operator keeps the schedule; in Azure Batch there are only its jobs."""
    return (
        cron.plan(scope.resource, scope.jobs.children, scope.now, scope.jobs.kept) if is_cron(scope.resource) else None
    )


def _read_after_its_end(scope: ScheduleScope) -> Plan | None:
    """A schedule that has ended is no longer checked; after a restart its spec counts as read all the same."""
    return None if scope.remote is not Absent.UNKNOWN or is_open(scope.resource) else _seen(scope.resource)


def _deleted(scope: ScheduleScope) -> Plan | None:
    """The object is being deleted: so is its schedule."""
    if not scope.resource.deleting:
        return None
    return policy.end(scope.resource, policy.SCHEDULE, scope.remote, scope.cluster, scope.now, scope.others)


def _absent(scope: ScheduleScope) -> Plan | None:
    """There is no schedule in Azure Batch."""
    return _create(scope) if scope.remote is Absent.NOT_FOUND else None


def _claimed(scope: ScheduleScope) -> Plan | None:
    """The schedule is somebody else's, or is to be adopted first."""
    return settle_ownership(scope, policy.SCHEDULE)


def _alive(scope: ScheduleScope) -> Plan | None:
    """The schedule is there, and ours."""
    if isinstance(scope.remote, Absent):
        return None
    decided = _converge(scope, scope.remote)
    return policy.with_adoption(decided, scope.resource, scope.remote, scope.cluster, scope.others)


STEPS: tuple[Callable[[ScheduleScope], Plan | None], ...] = (
    release,
    _by_cron,
    wait_for_account_and_pool,
    _read_after_its_end,
    wait_for_poll,
    _deleted,
    _absent,
    _claimed,
    _alive,
)
"""In this order; a step that does not apply returns None."""


def _seen(resource: Resource) -> Plan:
    """Only that the generation was read is new."""
    if resource.status.get("observedGeneration") == resource.generation:
        return Plan()
    conditions = [
        dict(each) | {"observedGeneration": resource.generation} for each in resource.status.get("conditions") or ()
    ]
    return Plan(status={**resource.status, "observedGeneration": resource.generation, "conditions": conditions})


def _create(scope: ScheduleScope) -> Plan:
    resource, pool, now, values = scope.resource, scope.pool, scope.now, scope.values
    if resource.status.get("phase") == "Completed":
        verdict = Verdict("Completed", "Completed", "the schedule has ended and was deleted in Azure Batch", ready=True)
        return Plan(status=carry_over(resource, verdict, now))
    if (stopped := _before_creation(resource, now)) is not None:
        return stopped
    if pool.problem:
        waits = waiting(resource, *pool.problem, now)
        return (
            replace(waits, requeue_after=waits.requeue_after or FOREIGN_LOOKED_AT_EVERY)
            if pool.problem[0] in {NOT_ALLOWED, NO_POOL}
            else waits
        )
    body = {"id": resource.remote_id} | schedule_changes.body_of(resource.spec, pool.id)
    body = ownership.with_marker(body, ownership.marker(scope.cluster, resource))
    body = schedule_changes.with_note(body, resource.spec, pool.id, values)
    calls = [Call("create_schedule", Table.SCHEDULES, resource.remote_id, body=body, digests=values.digests)]
    verdict = Verdict("Creating", "Creating", "the job schedule is being created", ready=False, trend="Reconciling")
    url = f"{scope.account.url}/jobschedules/{resource.remote_id}"
    shown = status(resource, verdict, now, id=resource.remote_id, url=url, account=scope.account.name)
    return with_event(resource, Plan("add", tuple(calls), status=shown), verdict)


def _before_creation(resource: Resource, now: float) -> Plan | None:
    """Suspended or ended before it was created: nothing is done in Azure Batch, where a schedule makes its first job at once."""
    more: dict[str, tuple[bool, str, str]]
    if resource.annotations.get(TERMINATE):
        message = f"the schedule was terminated by the annotation {TERMINATE} before it was created"
        phase, more = "Completed", {"Complete": (True, "Completed", message)}
    elif resource.spec.get("suspend"):
        message = "spec.suspend is true: nothing is created in Azure Batch"
        phase, more = "Suspended", {"Suspended": (True, "Suspended", message)}
    else:
        return None
    verdict = Verdict(phase, phase, message, ready=True, more=more)
    return with_event(resource, Plan(status=carry_over(resource, verdict, now)), verdict)


def _converge(scope: ScheduleScope, remote: Mapping[str, Any]) -> Plan:
    resource, pool, values = scope.resource, scope.pool, scope.values
    state = str(remote.get("state"))
    calls: list[Call] = []
    if state not in _ENDED:
        # Nothing else that the spec asks for may keep the schedule from being stopped; it follows afterwards.
        if resource.annotations.get(TERMINATE):
            calls.append(_switch("terminate_schedule", resource, remote))
        elif resource.spec.get("suspend") and state == "active":
            calls.append(_switch("disable_schedule", resource, remote))
        elif change := {} if pool.problem else schedule_changes.changes(resource.spec, pool.id, remote, values):
            calls.append(_update(resource, remote, change, values))
        allowed = pool.problem is None or pool.problem[0] != NOT_ALLOWED
        if not calls and allowed and not resource.spec.get("suspend") and state == "disabled":
            calls.append(_switch("enable_schedule", resource, remote))
    unread = {} if state in _ENDED else schedule_changes.unread(resource.spec, pool.id, remote, values)
    verdict = pool_values.told(_verdict(resource, remote, bool(calls)), unread)
    # Without its pool nothing of a changed spec is applied: the schedule continues as it was.
    verdict = applied.told(verdict, {} if state in _ENDED else job_hold.cannot_move(pool))
    look = MISSING_LOOKED_AT_EVERY if unread else VALUES_LOOKED_AT_EVERY if values.taken else None
    plan = Plan(
        finalizer=finalizer_on(resource),
        calls=tuple(calls),
        status=_status(resource, scope.account, remote, scope.jobs, verdict, scope.now),
        requeue_after=look if state not in _ENDED else None,
    )
    return with_event(resource, plan, verdict)


def _update(resource: Resource, remote: Mapping[str, Any], change: Mapping[str, Any], values: ValueVersions) -> Call:
    return Call(
        "update_schedule",
        Table.SCHEDULES,
        resource.remote_id,
        body=change,
        if_match=remote.get("eTag"),
        evidence=without_etag(remote),
        digests=values.digests if "jobSpecification" in change else None,
    )


def _switch(verb: str, resource: Resource, remote: Mapping[str, Any]) -> Call:
    return Call(verb, Table.SCHEDULES, resource.remote_id, evidence=Evidence.of(remote))


def _verdict(resource: Resource, remote: Mapping[str, Any], changing: bool) -> Verdict:
    state = str(remote.get("state"))
    info = remote.get("executionInfo") or {}
    if state == "completed":
        message = "the schedule has ended: no more jobs are created"
        return Verdict("Completed", "Completed", message, ready=True, more={"Complete": (True, "Completed", message)})
    if state == "terminating":
        return Verdict(
            "Terminating", "Terminating", "the schedule is being terminated", ready=False, trend="Reconciling"
        )
    if changing:
        return Verdict("Updating", "Updating", "updating the schedule", ready=False, trend="Reconciling")
    if state == "disabled":
        message = "the schedule is disabled in Azure Batch and creates no jobs"
        more = {"Suspended": (True, "Suspended", message)}
        return Verdict("Suspended", "Suspended", message, ready=True, more=more)
    message = f"next job at {info['nextRunTime']}" if info.get("nextRunTime") else "no further job is due"
    if _never_ends(remote):
        message += (
            "; its jobs never end automatically, so no second job is created: set jobSpecification.onAllTasksComplete "
            "to terminatejob"
        )
        return Verdict("Active", "JobsNeverEnd", message, ready=True, warning=True)
    return Verdict("Active", "Scheduled", message, ready=True)


def _never_ends(remote: Mapping[str, Any]) -> bool:
    """The usual mistake: jobs that stay active forever, so that the schedule makes only one."""
    specification = remote.get("jobSpecification") or {}
    if not (remote.get("schedule") or {}).get("recurrenceInterval"):
        return False
    limit = (specification.get("constraints") or {}).get("maxWallClockTime")
    manager = specification.get("jobManagerTask")
    return (
        str(specification.get("onAllTasksComplete", "noaction")).lower() == "noaction"
        and not (manager and manager.get("killJobOnCompletion", True))
        and normal.duration_limit(limit) == normal.duration_limit(None)
    )


def _status(
    resource: Resource,
    account: AccountView,
    remote: Mapping[str, Any],
    jobs: JobsView,
    verdict: Verdict,
    now: float,
) -> dict[str, Any]:
    info = remote.get("executionInfo") or {}
    recent = (info.get("recentJob") or {}).get("id")
    known = jobs.remote
    stats = remote.get("stats") or {}
    return status(
        resource,
        verdict,
        now,
        id=resource.remote_id,
        url=f"{account.url}/jobschedules/{resource.remote_id}",
        account=account.name,
        state=remote.get("state"),
        **pick(info, ("nextRunTime", "endTime")),
        recentJob={"id": recent} if recent else None,
        active=None if known is None else sum(job.get("state") != "completed" for job in known),
        history=resource.status.get("history") if known is None else [_run(job) for job in known] or None,
        stats={name: int(stats[name]) for name in STATISTICS if name in stats} or None,
    )


STATISTICS = ("numSucceededTasks", "numFailedTasks", "numTaskRetries")


def _run(job: Mapping[str, Any]) -> dict[str, Any]:
    info, counts = job.get("executionInfo") or {}, job.get("taskCounts") or {}
    return (
        {"id": job["id"], "state": job.get("state")}
        | pick(info, ("startTime", "endTime", "terminateReason"))
        | pick(counts, ("succeeded", "failed"))
    )
