"""Converts specs and responses of Azure Batch to the same form, so that comparing them converges.

Source: docs/azure-batch.md#json, docs/azure-batch.md#defaults."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from msgspec import structs

from azure_batch_operator.api.base import GROUP
from azure_batch_operator.api.task_body import Task
from azure_batch_operator.batch.job_wire import JobConstraints
from azure_batch_operator.batch.pool_wire import MetadataItem
from azure_batch_operator.batch.wire import Body, TaskConstraints, convert

_DURATION = re.compile(
    r"P(?:(?P<y>\d+)Y)?(?:(?P<mo>\d+)M)?(?:(?P<w>\d+)W)?(?:(?P<d>\d+)D)?"
    r"(?:T(?:(?P<h>\d+)H)?(?:(?P<m>\d+)M)?(?:(?P<s>\d+)(?:\.(?P<f>\d{1,7})\d*)?S)?)?"
)
SECOND = 10_000_000
"""Units of 100 ns in a second."""
UNLIMITED = "P10675199DT2H48M5.4775807S"
"""What the service returns for a time limit that was not set (docs/azure-batch.md#defaults)."""
_RETENTION = "P7D"
"""How long the service keeps the files of a task that says nothing of it."""


def ticks(duration: str) -> int:
    """An ISO 8601 duration in units of 100 ns, a year of 365 and a month of 30 days as the service counts.

    Raises:
        ValueError: if it is not a duration.
    """
    match = _DURATION.fullmatch(duration)
    if match is None or duration.endswith(("P", "T")):
        raise ValueError(f"not an ISO 8601 duration: {duration!r}")
    part = {name: int(value or 0) for name, value in match.groupdict().items() if name != "f"}
    days = part["y"] * 365 + part["mo"] * 30 + part["w"] * 7 + part["d"]
    seconds = ((days * 24 + part["h"]) * 60 + part["m"]) * 60 + part["s"]
    return seconds * SECOND + int((match["f"] or "").ljust(7, "0"))


_UNLIMITED_TICKS = ticks(UNLIMITED)


def duration_limit(value: str | None) -> int:
    """A time limit in units of 100 ns; everything from days short of `UNLIMITED` on means without limit."""
    return _UNLIMITED_TICKS if value is None else min(ticks(value), _UNLIMITED_TICKS)


def seconds_ticks(seconds: int) -> int:
    """Seconds in units of 100 ns."""
    return seconds * SECOND


def seconds_between(start: str, end: str) -> int:
    """Whole seconds from one time of the service to another, rounded up; 0 if it is the earlier one."""
    # Seven digits after the point are more than datetime reads.
    earlier, later = (datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", each)) for each in (start, end))
    return max(0, math.ceil((later - earlier).total_seconds()))


def job_constraints(constraints: JobConstraints | None) -> tuple[int, int]:
    """Time limit in units of 100 ns and retries, with the service's defaults (docs/azure-batch.md#defaults)."""
    given = constraints or JobConstraints()
    return duration_limit(given.max_wall_clock_time), given.max_task_retry_count or 0


def moment(value: str | None) -> datetime | None:
    """A time, whatever its offset and its number of digits."""
    return None if value is None else datetime.fromisoformat(value)


def same_schedule(wanted: Body, found: Body, *, lenient: bool = False) -> bool:
    """Whether two `schedule` members of a job schedule mean the same; the service turns offsets into `Z`.

    Args:
        lenient: whether members that are not wanted may be there.
    """
    there = {name: value for name, value in found.items() if name in wanted} if lenient else found
    return _schedule(wanted) == _schedule(there)


def _schedule(value: Body) -> dict[str, Any]:
    times = {name: moment(value.get(name)) for name in ("doNotRunUntil", "doNotRunAfter")}
    lengths = {name: value.get(name) and ticks(value[name]) for name in ("startWindow", "recurrenceInterval")}
    return times | lengths


def task_constraints(wanted: TaskConstraints, job: JobConstraints | None) -> TaskConstraints:
    """The constraints that a task shall have: without a wish for retries those of its job count, as when a task is added.

    Args:
        wanted: of the spec.
        job: constraints of the job; None if they are not known.
    """
    if wanted.max_task_retry_count is not None or job is None:
        return wanted
    return structs.replace(wanted, max_task_retry_count=job.max_task_retry_count)


def same_task_constraints(given: TaskConstraints, there: TaskConstraints) -> bool:
    """Whether a task's constraints are as wanted; retries that are not known count as they are."""
    return (
        duration_limit(given.max_wall_clock_time) == duration_limit(there.max_wall_clock_time)
        and ticks(given.retention_time or _RETENTION) == ticks(there.retention_time or _RETENTION)
        and given.max_task_retry_count in {None, there.max_task_retry_count or 0}
    )


def metadata(items: Iterable[Body] | None) -> dict[str, str]:
    """Metadata by name, without our own markers."""
    found = (convert(MetadataItem, item) for item in items or ())
    pairs = ((item.name or "", item.value or "") for item in found)
    return {name: value for name, value in pairs if not name.startswith(f"{GROUP}/")}


ANY_CASE = frozenset(
    {
        "elevationLevel",
        "scope",
        "uploadCondition",
        "jobAction",
        "dependencyAction",
        "workingDirectory",
        "source",
        "access",
    }
)
DURATIONS = frozenset({"maxWallClockTime", "retentionTime"})
NEVER_RETURNED = frozenset({"password"})


def contains(there: Body, wanted: Body) -> bool:
    """Whether a task that the service lists is as wanted; what it has beyond that are defaults (docs/azure-batch.md#defaults)."""
    return all(name in NEVER_RETURNED or _same(name, there.get(name), value) for name, value in wanted.items())


_TASK_MEMBERS = frozenset(Task.wire_names())
TASK_DEFAULTS: Mapping[tuple[str, str], Any] = {
    ("task", "requiredSlots"): 1,
    ("constraints", "maxWallClockTime"): UNLIMITED,
    ("constraints", "retentionTime"): "P7D",
    ("autoUser", "scope"): "pool",
    ("autoUser", "elevationLevel"): "nonadmin",
    ("multiInstanceSettings", "numberOfInstances"): 1,
    ("resourceFiles", "fileMode"): "0770",
    ("commonResourceFiles", "fileMode"): "0770",
    ("containerSettings", "workingDirectory"): "taskWorkingDirectory",
    ("registry", "registryServer"): "docker.io",
}
"""What the service fills in, by parent and member (docs/azure-batch.md#defaults); empty, false and missing are the same.

All others are shown only if they were sent: tests/unit/reconcile/test_task_members.py has one or the other for each member.
"""
OF_THE_JOB = ("constraints", "maxTaskRetryCount")
"""A task without retries of its own has those of its job as they were when it was added, which nothing tells from its own."""


def has_no_more(there: Body, wanted: Body) -> bool:
    """Whether a task that `contains` what is wanted has only defaults beyond that: nothing that the spec has ceased to mention."""
    return all(_adds_nothing("task", name, there[name], wanted.get(name)) for name in _TASK_MEMBERS & there.keys())


def unlike(there: Body, wanted: Body, *, exact: bool) -> list[str]:
    """Names of the members in which a task that the service lists differs from the wanted one, in alphabetical order.

    Args:
        exact: whether a member counts that the service has and `wanted` has not, unless it is a default (`has_no_more`).
    """
    differing = {name for name, value in wanted.items() if not contains(there, {name: value})}
    if exact:
        differing |= {
            name
            for name in _TASK_MEMBERS & there.keys()
            if not _adds_nothing("task", name, there[name], wanted.get(name))
        }
    return sorted(differing)


def _adds_nothing(parent: str, name: str, there: Any, wanted: Any) -> bool:
    if name in NEVER_RETURNED or (parent, name) == OF_THE_JOB:
        return True
    if isinstance(there, Mapping):
        inner = wanted if isinstance(wanted, Mapping) else {}
        return all(_adds_nothing(name, each, value, inner.get(each)) for each, value in there.items())
    if wanted is not None:
        if not (isinstance(there, list) and isinstance(wanted, list)):
            return True
        return len(there) == len(wanted) and all(
            _adds_nothing(parent, name, *pair)
            for pair in zip(there, wanted, strict=True)
            if isinstance(pair[0], Mapping)
        )
    default = TASK_DEFAULTS.get((parent, name))
    return not there or (default is not None and _same(name, there, default))


def _same(name: str, there: Any, wanted: Any) -> bool:
    if there is None:
        return wanted in (None, "", [], {})
    if isinstance(wanted, Mapping):
        return isinstance(there, Mapping) and contains(there, wanted)
    if isinstance(wanted, list):
        return (
            isinstance(there, list)
            and len(there) == len(wanted)
            and all(_same(name, one, other) for one, other in zip(there, wanted, strict=True))
        )
    if name in DURATIONS:
        return duration_limit(there) == duration_limit(wanted)
    if name in ANY_CASE:
        return str(there).lower() == str(wanted).lower()
    return bool(there == wanted)
