"""BatchJobSchedule: a schedule of Azure Batch at an interval, or a schedule of the operator by cron."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from azure_batch_operator.api.base import TERMINATE
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch.schedule_wire import JobSchedule, ScheduledJob
from azure_batch_operator.batch.wire import Body, build, convert
from azure_batch_operator.reconcile import applied, ownership
from azure_batch_operator.reconcile import normalization as normal
from azure_batch_operator.reconcile import reconcile_policy as policy
from azure_batch_operator.reconcile import secret_versions as pool_values
from azure_batch_operator.reconcile.adoption import NO_OTHERS, Others
from azure_batch_operator.reconcile.before import status_before
from azure_batch_operator.reconcile.job import suspension as job_hold
from azure_batch_operator.reconcile.job.creation import FOREIGN_LOOKED_AT_EVERY
from azure_batch_operator.reconcile.plan import (
    Absence,
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
from azure_batch_operator.reconcile.schedule.spec import Before, ScheduleSpec
from azure_batch_operator.reconcile.secret_versions import MISSING_LOOKED_AT_EVERY, NO_VALUES, ValueVersions
from azure_batch_operator.reconcile.standard_plans import (
    finalizer_on,
    once_late,
    waiting,
    with_event,
)
from azure_batch_operator.reconcile.status import Verdict, carry_over, status, whole_seconds
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
    remote: Sequence[Body] | None = None
    kept: Collection[Key] = ()


VALUES_LOOKED_AT_EVERY = 300.0
"""Seconds between two looks whether Secrets and ConfigMaps that a schedule of the service takes values from have changed."""


def is_cron(resource: Resource) -> bool:
    """Whether the operator keeps the schedule, and nothing of it is in Azure but its jobs."""
    return resource.is_cron


def is_open(resource: Resource) -> bool:
    """Whether anything can still happen to it."""
    return resource.deleting or status_before(resource).phase != "Completed"


def has_open_jobs(resource: Resource) -> bool:
    """Whether the status does not say of all jobs of a schedule in Azure Batch that they have ended."""
    return status_before(resource).state is not None and convert(Before, resource.status).active != 0


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
        late: as for `JobScope`.
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
    late: float | None = None

    @cached_property
    def spec(self) -> ScheduleSpec:
        """What is decided from of the spec."""
        return convert(ScheduleSpec, self.resource.spec)

    @cached_property
    def schedule(self) -> JobSchedule | None:
        """What is decided from of the schedule in Azure Batch; None if there is none to see."""
        return None if isinstance(self.remote, Absent) else build(JobSchedule, self.remote)

    @cached_property
    def created_jobs(self) -> tuple[ScheduledJob, ...] | None:
        """The jobs that a schedule of the service has created, newest first; None before a look."""
        return None if self.jobs.remote is None else tuple(build(ScheduledJob, job) for job in self.jobs.remote)


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
    """The schedule is somebody else's, is to be adopted first, or is being deleted; what follows one that has ended is not."""
    found = settle_ownership(scope, policy.SCHEDULE)
    return found if found is None or is_open(scope.resource) else _over(scope)


def _alive(scope: ScheduleScope) -> Plan | None:
    """The schedule is there, and ours."""
    remote, schedule = scope.remote, scope.schedule
    if isinstance(remote, Absent) or schedule is None:
        return None
    decided = _converge(scope, remote, schedule)
    return policy.with_adoption(decided, scope.resource, remote, scope.cluster, scope.others)


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
    if status_before(resource).observed_generation == resource.generation:
        return Plan()
    conditions = [dict(each) | {"observedGeneration": resource.generation} for each in resource.listed_conditions]
    return Plan(status={**resource.status, "observedGeneration": resource.generation, "conditions": conditions})


def _over(scope: ScheduleScope) -> Plan:
    """The schedule has ended and is gone, or goes."""
    resource = scope.resource
    verdict = Verdict("Completed", "Completed", "the schedule has ended and was deleted in Azure Batch", ready=True)
    # Its jobs are deleted with it.
    jobs = {"active": 0} if status_before(resource).state is not None else {}
    return Plan(status=carry_over(resource, verdict, scope.now) | jobs)


def _create(scope: ScheduleScope) -> Plan:
    resource, pool, now, values = scope.resource, scope.pool, scope.now, scope.values
    if status_before(resource).phase == "Completed":
        return _over(scope)
    if (stopped := _before_creation(scope)) is not None:
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


def _before_creation(scope: ScheduleScope) -> Plan | None:
    """Suspended or ended before it was created: nothing is done in Azure Batch, where a schedule makes its first job at once."""
    resource, spec, now = scope.resource, scope.spec, scope.now
    more: dict[str, tuple[bool, str, str]]
    if resource.annotations.get(TERMINATE):
        message = f"the schedule was terminated by the annotation {TERMINATE} before it was created"
        phase, more = "Completed", {"Complete": (True, "Completed", message)}
    elif spec.suspend:
        message = "spec.suspend is true: nothing is created in Azure Batch"
        phase, more = "Suspended", {"Suspended": (True, "Suspended", message)}
    else:
        return None
    verdict = Verdict(phase, phase, message, ready=True, more=more)
    plan = with_event(resource, Plan(status=carry_over(resource, verdict, now)), verdict)
    if phase != "Completed":
        return plan
    return once_late(resource, plan, scope.late, Absence(Table.SCHEDULES, resource.remote_id), message, now)


def _converge(scope: ScheduleScope, remote: Body, schedule: JobSchedule) -> Plan:
    resource, pool, values, suspend = scope.resource, scope.pool, scope.values, scope.spec.suspend
    state = schedule.state
    calls: list[Call] = []
    if state not in _ENDED:
        # Nothing else that the spec asks for may keep the schedule from being stopped; it follows afterwards.
        if resource.annotations.get(TERMINATE):
            calls.append(_switch("terminate_schedule", resource, schedule))
        elif suspend and state == "active":
            calls.append(_switch("disable_schedule", resource, schedule))
        elif change := {} if pool.problem else schedule_changes.changes(resource.spec, pool.id, remote, values):
            calls.append(_update(resource, schedule, change, values))
        allowed = pool.problem is None or pool.problem[0] != NOT_ALLOWED
        if not calls and allowed and not suspend and state == "disabled":
            calls.append(_switch("enable_schedule", resource, schedule))
    unread = {} if state in _ENDED else schedule_changes.unread(resource.spec, pool.id, remote, values)
    verdict = pool_values.told(_verdict(schedule, bool(calls)), unread)
    # Without its pool nothing of a changed spec is applied: the schedule continues as it was.
    verdict = applied.told(verdict, {} if state in _ENDED else job_hold.cannot_move(pool))
    look = MISSING_LOOKED_AT_EVERY if unread else VALUES_LOOKED_AT_EVERY if values.taken else None
    plan = Plan(
        finalizer=finalizer_on(resource),
        calls=tuple(calls),
        status=_status(scope, schedule, verdict),
        requeue_after=look if state not in _ENDED else None,
    )
    return with_event(resource, plan, verdict)


def _update(resource: Resource, schedule: JobSchedule, change: Body, values: ValueVersions) -> Call:
    return Call(
        "update_schedule",
        Table.SCHEDULES,
        resource.remote_id,
        body=change,
        if_match=schedule.etag,
        evidence=without_etag(schedule),
        digests=values.digests if "jobSpecification" in change else None,
    )


def _switch(verb: str, resource: Resource, schedule: JobSchedule) -> Call:
    return Call(verb, Table.SCHEDULES, resource.remote_id, evidence=Evidence.of(schedule))


def _next_run(schedule: JobSchedule) -> str | None:
    following = schedule.execution.next_run_time
    return following and whole_seconds(following)


def _verdict(schedule: JobSchedule, changing: bool) -> Verdict:
    state, following = schedule.state, _next_run(schedule)
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
    message = f"next job at {following}" if following else "no further job is due"
    if _never_ends(schedule):
        message += (
            "; its jobs never end automatically, so no second job is created: set jobSpecification.onAllTasksComplete "
            "to terminatejob"
        )
        return Verdict("Active", "JobsNeverEnd", message, ready=True, warning=True)
    return Verdict("Active", "Scheduled", message, ready=True)


def _never_ends(schedule: JobSchedule) -> bool:
    """The usual mistake: jobs that stay active forever, so that the schedule makes only one."""
    template = schedule.template
    return (
        schedule.recurs
        and template.on_all_tasks_complete.lower() == "noaction"
        and not template.ends_with_manager
        and normal.duration_limit(template.wall_clock_limit) == normal.duration_limit(None)
    )


def _status(scope: ScheduleScope, schedule: JobSchedule, verdict: Verdict) -> dict[str, Any]:
    resource, account, jobs = scope.resource, scope.account, scope.created_jobs
    recent, before = schedule.recent_job, convert(Before, resource.status)
    return status(
        resource,
        verdict,
        scope.now,
        id=resource.remote_id,
        url=f"{account.url}/jobschedules/{resource.remote_id}",
        account=account.name,
        state=schedule.state,
        nextRunTime=_next_run(schedule),
        endTime=schedule.execution.end_time,
        recentJob={"id": recent} if recent else None,
        active=before.active if jobs is None else sum(job.state != "completed" for job in jobs),
        history=before.history if jobs is None else [_run(job) for job in jobs] or None,
        stats=_statistics(schedule),
    )


STATISTICS = ("numSucceededTasks", "numFailedTasks", "numTaskRetries")


def _statistics(schedule: JobSchedule) -> dict[str, int] | None:
    if (stats := schedule.stats) is None:
        return None
    numbers = (stats.num_succeeded_tasks, stats.num_failed_tasks, stats.num_task_retries)
    shown = zip(STATISTICS, numbers, strict=True)
    return {name: int(number) for name, number in shown if number is not None} or None


def _run(job: ScheduledJob) -> dict[str, Any]:
    run, results = job.execution, job.results
    known = {
        "startTime": run.start_time,
        "endTime": run.end_time,
        "terminateReason": run.terminate_reason,
        "succeeded": results.succeeded,
        "failed": results.failed,
    }
    return {"id": job.id, "state": job.state} | {name: value for name, value in known.items() if value is not None}
