"""BatchJobSchedule with `cron`: when a run is due, and which older BatchJobs are deleted. It works like a CronJob.

The name of a BatchJob consists of the schedule's name and the minute that was due (`<name>-<minutes since 1970>`, as for CronJob),
so a run is never started twice, even if the status is lost.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from azure_batch_operator.api.base import API_VERSION, SCHEDULE_LABEL
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch.wire import Body, convert
from azure_batch_operator.reconcile.before import condition_of
from azure_batch_operator.reconcile.job import lifecycle as jobs
from azure_batch_operator.reconcile.plan import Event, ObjectChange, Plan, Unconfirmed
from azure_batch_operator.reconcile.schedule.spec import Before, Cron, RunStatus, ScheduleSpec
from azure_batch_operator.reconcile.standard_plans import with_event
from azure_batch_operator.reconcile.status import (
    ENDED_PHASES,
    Verdict,
    carry_over,
    ended_as,
    pick,
    seconds_since,
    status,
    timestamp,
)
from azure_batch_operator.shapes import whole_number
from azure_batch_operator.words import counted

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS = ("minute", "hour", "day", "month", "weekday")
HISTORY_SHOWN = 10
_MAX_COLLIDED = 3
"""Consecutive runs whose IDs have other owners, after which no more are created: nobody would ever end or delete them."""
_LONGEST_SLEEP = 3600.0
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Times:
    """The last and the next run, in seconds since the epoch.

    Attributes:
        last: the latest run that is due; None if there is none after `since`.
        next: the next run; None if there is none.
    """

    last: float | None
    next: float | None


def times(expression: str, zone: str, since: float, now: float) -> Times:
    """When a cron expression is due.

    Args:
        since: runs that were due at or before this time are over.

    Raises:
        ValueError: if the expression or the zone is invalid; the text names the field and the problem.
    """
    try:
        place = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"spec.cron.timeZone {zone!r} is not a time zone: use a name such as Europe/Berlin") from None
    text = _MACROS.get(expression.strip(), expression)
    here = datetime.fromtimestamp(now, place)
    try:
        upcoming = next(CronSim(text, here), None)
        # The reverse iteration excludes its start, but a run that is due now counts.
        past = next(CronSim(text, datetime.fromtimestamp(now + 1, place), reverse=True), None)
    except CronSimError as error:
        if _has_no_date(text):
            raise ValueError(
                f"spec.cron.expression {expression!r} never comes due: no such date; correct the day or the month"
            ) from None
        raise ValueError(
            f"spec.cron.expression {expression!r} is not a cron expression ({error}): use five fields, such as '0 2 * * *'"
        ) from None
    last = None if past is None else past.timestamp()
    return Times(
        last if last is not None and since < last <= now else None, None if upcoming is None else upcoming.timestamp()
    )


def _has_no_date(text: str) -> bool:
    """Whether an expression is refused only since no month that it names has such a day, as on 30 February."""
    fields = text.split()
    if len(fields) != len(_FIELDS):
        return False
    fields[_FIELDS.index("month")] = "*"
    try:
        CronSim(" ".join(fields), datetime.fromtimestamp(0, UTC))
    except CronSimError:
        return False
    month = text.split()[_FIELDS.index("month")]
    try:
        CronSim(f"* * * {month} *", datetime.fromtimestamp(0, UTC))
    except CronSimError:
        return False
    return True


def plan(resource: Resource, children: Sequence[Resource], now: float, kept: Collection[Key] = ()) -> Plan:
    """Decide about one BatchJobSchedule with `spec.cron`.

    Args:
        children: the BatchJobs that it has created.
        kept: BatchJobs that a retry still needs.
    """
    if resource.deleting:
        return Plan(finalizer="remove", unconfirmed=Unconfirmed.OF_KUBERNETES)
    spec = convert(ScheduleSpec, resource.spec)
    cron = spec.cron or Cron()
    last = _last_run(resource, children)
    since = -seconds_since(resource.created, 0.0) if last is None else last
    try:
        due = times(cron.expression, cron.time_zone or "Etc/UTC", since, now)
    except ValueError as error:
        verdict = Verdict("Stalled", "InvalidSchedule", str(error), ready=False, trend="Stalled")
        return with_event(resource, Plan(status=carry_over(resource, verdict, now)), verdict)
    old = tuple(_beyond_history(cron, children, kept))
    if spec.suspend:
        verdict = Verdict(
            "Suspended", "Suspended", "spec.suspend is true: no BatchJob is created", ready=True, more=_SUSPENDED
        )
        verdict = _with_hindrance(verdict, children)
        plan = Plan(finalizer="add", objects=old, status=_status(resource, verdict, children, None, last, now))
        return with_event(resource, plan, verdict)
    active = [child for child in children if _is_active(child)]
    run = _run_due(resource, cron, due.last, active, now)
    running = len(active) + len(run.started)
    message = run.message or f"{running} active" + (
        f", next at {timestamp(due.next)}" if due.next else ", no further run"
    )
    verdict = Verdict("Active", run.reason, message, ready=True, warning=run.reason == "MissedRun")
    gone = {change.key for change in run.changes if change.body is None}
    verdict = _with_hindrance(verdict, [child for child in children if child.key not in gone])
    waits = min(_LONGEST_SLEEP, due.next - now) if due.next else None
    shown = _status(
        resource, verdict, [*children, *run.started], due.next, due.last if run.over and due.last else last, now
    )
    plan = Plan(
        finalizer="add",
        objects=(*run.changes, *old),
        status=shown,
        events=run.events,
        requeue_after=None if waits is None else max(0.5, waits),
    )
    return with_event(resource, plan, verdict)


class Hindrance(NamedTuple):
    """Why a run makes no progress.

    Attributes:
        stalled: whether a person must act.
        reason, message: of the BatchJob's own condition.
    """

    stalled: bool
    reason: str
    message: str


def hindrance(child: Resource) -> Hindrance | None:
    """Why a BatchJob that has not ended makes no progress; None if it does, or if it is suspended or being deleted.

    A BatchJob without a job in Azure Batch waits, for example for its pool or quota, unless it is just being created.
    """
    if child.deleting or not _is_active(child):
        return None
    stalled, ready = condition_of(child, "Stalled"), condition_of(child, "Ready")
    if stalled.is_true:
        return Hindrance(True, stalled.reason, stalled.message)
    if ready.status != "False" or ready.reason == "Creating" or convert(RunStatus, child.status).state:
        return None
    return Hindrance(False, ready.reason, ready.message)


def _with_hindrance(verdict: Verdict, children: Sequence[Resource]) -> Verdict:
    """The verdict for a schedule: it is not Ready while one of its runs is stalled."""
    found = [(child, why) for child in _newest_first(children) if (why := hindrance(child)) is not None]
    if not found:
        return verdict
    child, why = next((each for each in found if each[1].stalled), found[0])
    others = f", and {len(found) - 1} more" if len(found) > 1 else ""
    how = "is stalled" if why.stalled else "is waiting"
    message = f"BatchJob {child.key.name!r} {how} ({why.reason}){others}: {why.message}; {verdict.message}"
    if not why.stalled:
        return replace(verdict, reason="JobWaiting", message=message, warning=True)
    return replace(verdict, reason="JobStalled", message=message, ready=False, trend="Stalled", warning=True)


_SUSPENDED = {"Suspended": (True, "Suspended", "spec.suspend is true")}


def _last_run(resource: Resource, children: Iterable[Resource]) -> float | None:
    """The last run that is over, in seconds since the epoch: from the status and the names of the BatchJobs."""
    stamp = convert(Before, resource.status).last_schedule_time
    known = [-seconds_since(stamp, 0.0)] if stamp else []
    runs = [float(minute) * 60 for minute in (_minute(resource, child) for child in children) if minute is not None]
    return max([*known, *runs], default=None)


def _minute(resource: Resource, child: Resource) -> int | None:
    suffix = child.key.name.removeprefix(f"{resource.key.name}-")
    return whole_number(suffix)


@dataclass(frozen=True)
class _Run:
    """The decision about a run that is due.

    Attributes:
        over: whether the run needs no further decision.
        started: the new BatchJob, as the API server will return it.
    """

    over: bool = True
    reason: str = "Scheduled"
    message: str = ""
    changes: tuple[ObjectChange, ...] = ()
    events: tuple[Event, ...] = ()
    started: tuple[Resource, ...] = ()


def _run_due(resource: Resource, cron: Cron, due: float | None, active: Sequence[Resource], now: float) -> _Run:
    if due is None:
        return _Run(over=False)
    when = timestamp(due)
    deadline = cron.starting_deadline_seconds
    if deadline is not None and now - due > deadline:
        late = counted(deadline, "second")
        return _Run(
            reason="MissedRun",
            message=f"the run of {when} is skipped: it is more than {late} late (startingDeadlineSeconds)",
        )
    policy = cron.concurrency_policy or "Allow"
    if policy == "Forbid" and active:
        # As with CronJob, the run starts when the other one ends, unless it is too late then.
        text = f"the run of {when} waits until BatchJob {active[0].key.name!r} has ended, then starts (concurrencyPolicy: Forbid)"
        if deadline is not None:
            text += f"; it is skipped if the BatchJob has not ended by {timestamp(due + deadline)} (startingDeadlineSeconds)"
        return _Run(over=False, reason="JobAlreadyActive", message=text)
    collided = [child for child in _newest_first(active)[:_MAX_COLLIDED] if _collided(child)]
    if policy == "Allow" and len(collided) == _MAX_COLLIDED:
        text = (
            f"the run of {when} waits: the IDs of the last {_MAX_COLLIDED} runs have other owners, and the next one may, too. "
            f"It starts after you delete one of their BatchJobs, such as {collided[0].key.name!r}"
        )
        return _Run(over=False, message=text)
    replaced = [_deletion(child) for child in active if not child.deleting] if policy == "Replace" else []
    child = _child(resource, due)
    name = child["metadata"]["name"]
    change = ObjectChange(Key(Kind.JOB, resource.key.namespace, name), body=child)
    event = Event("JobCreated", f"BatchJob {name!r} for {when}")
    return _Run(changes=(*replaced, change), events=(event,), started=(Resource.parse(_as_shown(child)),))


def _is_active(child: Resource) -> bool:
    """Whether the work of a run is not over; that of a run which has ended is, even while the run is being deleted."""
    return jobs.is_active(child) and ended_as(child) is None


def _collided(child: Resource) -> bool:
    """Whether a run cannot be created in Azure Batch, because its ID belongs to another owner."""
    why = hindrance(child)
    return why is not None and why.stalled and why.reason == "OwnershipConflict"


def _child(resource: Resource, due: float) -> dict[str, Any]:
    """The BatchJob for one run; the schedule owns it, so it is deleted with the schedule."""
    key = resource.key
    owner = {
        "apiVersion": API_VERSION, "kind": key.kind.value, "name": key.name, "uid": resource.uid,
        "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip
    minute = int(due // 60)
    name = f"{key.name}-{minute}"
    return {
        "apiVersion": API_VERSION,
        "kind": Kind.JOB.value,
        "metadata": {
            "name": name,
            "namespace": key.namespace,
            "labels": {SCHEDULE_LABEL: key.name},
            "ownerReferences": [owner],
        },
        "spec": pick(resource.spec, ("accountRef",)) | _id_of(resource, minute) | dict(resource.job_spec[1]),
    }


def _id_of(resource: Resource, minute: int) -> dict[str, str]:
    """`spec.id` of a BatchJob, if the schedule has one or the name is not a valid ID: names may contain dots, IDs must not.

    Part of a hash distinguishes `a.b` from `a-b`, and IDs that are truncated.
    """
    name = f"{resource.remote_id}-{minute}"
    if _ID.fullmatch(name):
        return {"id": name} if "id" in resource.spec else {}
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", name)
    return {"id": f"{plain[-58:]}-{hashlib.sha256(name.encode()).hexdigest()[:5]}"}


def _as_shown(child: Body) -> dict[str, Any]:
    """A BatchJob that will be created, as the API server will return it."""
    return {
        **child,
        "metadata": {**child["metadata"], "uid": "", "resourceVersion": "0"},
        "status": {"phase": "Pending"},
    }


def _deletion(child: Resource) -> ObjectChange:
    return ObjectChange(child.key, uid=child.uid)


def _beyond_history(cron: Cron, children: Sequence[Resource], kept: Collection[Key]) -> list[ObjectChange]:
    """Deletions of ended BatchJobs beyond the history limits, oldest first."""
    limits = {
        "Succeeded": cron.successful_jobs_history_limit,
        "Failed": cron.failed_jobs_history_limit,
    }
    old = []
    for phase, limit in limits.items():
        ended = [child for child in _newest_first(children) if convert(RunStatus, child.status).phase == phase]
        old += [_deletion(child) for child in reversed(ended[limit:]) if not child.deleting and child.key not in kept]
    return old


def _newest_first(children: Iterable[Resource]) -> list[Resource]:
    return sorted(children, key=lambda child: (len(child.key.name), child.key.name), reverse=True)


def _status(
    resource: Resource,
    verdict: Verdict,
    children: Sequence[Resource],
    next_run: float | None,
    last: float | None,
    now: float,
) -> dict[str, Any]:
    newest = _newest_first(children)
    recent = newest[0].remote_id if newest else convert(Before, resource.status).recent_job.id
    return status(
        resource,
        verdict,
        now,
        nextRunTime=timestamp(next_run) if next_run else None,
        lastScheduleTime=None if last is None else timestamp(last),
        recentJob={"id": recent} if recent else None,
        active=sum(_is_active(child) for child in children),
        history=[_run(child) for child in newest[:HISTORY_SHOWN]] or None,
    )


def _run(child: Resource) -> dict[str, Any]:
    run = convert(RunStatus, child.status)
    ended = run.phase in ENDED_PHASES
    fields = {
        "id": child.remote_id,
        "name": child.key.name,
        "state": run.phase,
        "startTime": run.start_time,
        "endTime": run.end_time,
        # While the job runs, its own status has the counts: copying them would be a write per task.
        "succeeded": run.task_counts.succeeded if ended else None,
        "failed": run.task_counts.failed if ended else None,
    }
    return {name: value for name, value in fields.items() if value is not None}
