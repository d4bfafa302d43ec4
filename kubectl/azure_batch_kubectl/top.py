"""`top`: pools and jobs in two tables, as they stand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from azure_batch_kubectl import objects
from azure_batch_kubectl.actions import ended
from azure_batch_kubectl.objects import Object, condition, status
from azure_batch_operator.api.kinds import Kind

POOLS = ("POOL", "READY", "PHASE", "NODES", "SLOTS", "COST/H", "AGE")
JOBS = ("JOB", "PHASE", "POOL", "TASKS", "RUNNING", "FAILED", "TASKS/MIN", "LEFT", "AGE")

Row = tuple[object, ...]
MORE_OF_POOLS = ("ID", "ACCOUNT", "VM-SIZE")
MORE_OF_JOBS = ("ID", "ACCOUNT", "WAITING-FOR")
_PARTS = objects.Parts(
    spec=("vmSize", "id"),
    status=(
        *("phase", "id", "account", "waitingFor", "nodes", "slots", "estimatedCostPerHour"),
        *("poolId", "progress", "taskCounts", "tasksPerMinute", "estimatedEndTime"),
    ),
    conditions=("Ready", "Complete", "Failed"),
)


def kept(thing: Object) -> Object:
    """What rows are made of, which is little of a large job; tests/unit/kubectl/test_watching.py."""
    return objects.cut(thing, _PARTS)


def pool_row(pool: Object, now: datetime) -> Row:
    """A row of `POOLS`."""
    found = status(pool)
    slots = found.get("slots") or {}
    used = f"{slots.get('used', 0)}/{slots['total']}" if "total" in slots else ""
    ready, age = condition(pool, "Ready").get("status", ""), objects.age(pool["metadata"]["creationTimestamp"], now)
    cost = found.get("estimatedCostPerHour", "")
    return (objects.name(pool), ready, objects.phase(pool), found.get("nodes", ""), used, cost, age)


def job_row(job: Object, now: datetime) -> Row:
    """A row of `JOBS`."""
    found = status(job)
    counts, speed = found.get("taskCounts") or {}, found.get("tasksPerMinute")
    return (
        objects.name(job),
        objects.phase(job),
        found.get("poolId", ""),
        found.get("progress", ""),
        counts.get("running", ""),
        counts.get("failed", ""),
        "" if speed is None else f"{speed:g}",
        left(found.get("estimatedEndTime"), now),
        objects.age(job["metadata"]["creationTimestamp"], now),
    )


def more_of_pool(pool: Object) -> Row:
    """Cells of `MORE_OF_POOLS`."""
    return objects.remote_id(pool), status(pool).get("account", ""), objects.spec(pool).get("vmSize", "")


def more_of_job(job: Object) -> Row:
    """Cells of `MORE_OF_JOBS`."""
    return objects.remote_id(job), status(job).get("account", ""), status(job).get("waitingFor", "")


def left(end: str | None, now: datetime) -> str:
    """Time until the estimated end; empty if there is none or if it is over."""
    if not end:
        return ""
    try:
        moment = datetime.fromisoformat(end)
    except ValueError:
        # A status that somebody has edited.
        return ""
    return objects.age(now.isoformat(), moment) if moment > now else ""


def shown(things: Sequence[Object], *, every: bool) -> list[Object]:
    """Objects by namespace and name; jobs that have ended only if `every`."""
    found = [each for each in things if every or each["kind"] != Kind.JOB or not ended(each)]
    return sorted(found, key=lambda each: (objects.namespace(each), objects.name(each)))


def placed(row: Row, thing: Object, *, everywhere: bool) -> Row:
    """A row, with the namespace before it if that is wanted."""
    return (objects.namespace(thing), *row) if everywhere else row
