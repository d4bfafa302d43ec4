"""Autoscale formulas that the operator generates: for profiles, and for `maxIdle` of a pool with a fixed size.

Each is plain to read, since a user finds it in `status.autoScaleFormula` and may take it as the start of an own one. They count
`$PendingTasks`, so that running tasks are not scaled away, and let nodes finish what they do. Grammar and functions:
docs/azure-batch.md#autoscale-formulas.
"""

from __future__ import annotations

import math

from azure_batch_operator.reconcile.normalization import ticks
from azure_batch_operator.reconcile.pool.spec import AutoScaleProfile, WorkHours

_WORKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
_DAYS = {day: number for number, day in enumerate((*_WORKDAYS, "Saturday", "Sunday"), start=1)}
_TICKS_PER_SECOND = 10_000_000
_FINISH = "$NodeDeallocationOption = taskcompletion;"
DEFAULT_INTERVAL = "PT5M"
"""How often formulas of ours are evaluated: as often as the service does it."""


def of_profile(profile: AutoScaleProfile, slots: int) -> str:
    """The formula of `spec.autoScaleProfile`; `slots` are the task slots of a node."""
    minimum, maximum = profile.minimum, profile.maximum
    if (hours := profile.work_hours) is not None:
        lines = [*_working(hours), f"nodes = working ? {maximum} : {minimum};"]
    else:
        per_node = profile.pending_tasks.tasks_per_node or slots
        lines = [
            *_pending(profile.pending_tasks.lookback),
            f"nodes = min({maximum}, max({minimum}, ceil(pending / {per_node})));",
        ]
    return "\n".join([*lines, *_targets(spot_first=profile.spot_first), _FINISH])


def idle_guard(dedicated: int, low_priority: int, max_idle: str) -> str:
    """The formula of a pool of fixed size with `spec.maxIdle`: all nodes or none.

    While most samples of the time are missing, as on a new pool, it counts as busy.
    """
    span = f"TimeInterval_Second * {_seconds(max_idle)}"
    return "\n".join(
        [
            f"seen = $PendingTasks.GetSamplePercent({span});",
            f"busy = seen < 70 ? 1 : max($PendingTasks.GetSample({span}));",
            f"$TargetDedicatedNodes = busy > 0 ? {dedicated} : 0;",
            f"$TargetLowPriorityNodes = busy > 0 ? {low_priority} : 0;",
            _FINISH,
        ]
    )


def _pending(lookback: str) -> list[str]:
    """The most of now and of the last minutes' average; a pool without samples counts as one without tasks."""
    span = f"TimeInterval_Second * {_seconds(lookback)}"
    return [
        f"seen = $PendingTasks.GetSamplePercent({span});",
        "latest = seen < 1 ? 0 : max(0, $PendingTasks.GetSample(1));",
        f"pending = seen < 70 ? latest : max(latest, avg($PendingTasks.GetSample({span})));",
    ]


def _working(hours: WorkHours) -> list[str]:
    days = [_DAYS[day] for day in hours.days or _WORKDAYS]
    # Sunday is 0 or 7, by which end of the week one counts from.
    chosen = " || ".join(f"local.weekday == {day}" for day in sorted({*days, *([0] if 7 in days else [])}))
    offset = hours.utc_offset_minutes
    return [
        f"local = time() + TimeInterval_Minute * {offset};" if offset >= 0 else
        f"local = time() - TimeInterval_Minute * {-offset};",
        f"day = {chosen};",
        f"working = day && local.hour >= {hours.start} && local.hour < {hours.end};",
    ]  # fmt: skip


def _targets(*, spot_first: bool) -> list[str]:
    if not spot_first:
        return ["$TargetDedicatedNodes = nodes;", "$TargetLowPriorityNodes = 0;"]
    seen = "$PreemptedNodeCount.GetSamplePercent(TimeInterval_Minute * 3)"
    return [
        "$TargetLowPriorityNodes = nodes;",
        f"taken = {seen} < 1 ? 0 : max(0, $PreemptedNodeCount.GetSample(1));",
        "$TargetDedicatedNodes = min(nodes, taken);",
    ]


def _seconds(duration: str) -> int:
    return math.ceil(ticks(duration) / _TICKS_PER_SECOND)
