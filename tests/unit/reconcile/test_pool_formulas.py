"""The formulas that the operator writes, run by the emulator's interpreter of the service's language."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_batch_emulator.autoscale import evaluate
from azure_batch_emulator.autoscale.parser import MAX_BYTES, parse
from azure_batch_emulator.autoscale.samples import History, SampledMetric
from azure_batch_operator.batch.wire import build
from azure_batch_operator.reconcile.pool.formulas import idle_guard, of_profile
from azure_batch_operator.reconcile.pool.spec import AutoScaleProfile

FRIDAY = datetime(2025, 10, 3, 10, 30, tzinfo=UTC)
SUNDAY = datetime(2025, 10, 5, 10, 30, tzinfo=UTC)


def targets(formula: str, at: datetime = FRIDAY, **samples: list[float]) -> tuple[float, float, str]:
    """Dedicated and Spot targets and what becomes of tasks; samples are one per 30 s, the last one 30 s ago."""
    metrics: dict[str, Any] = {}
    for name in ("PendingTasks", "PreemptedNodeCount"):
        values = samples.get(name, [])
        history = History(100_000.0 - 30 * len(values))
        for place, value in enumerate(values):
            history.take(history.begin + 30 * place, {f"${name}": value})
        metrics[f"${name}"] = SampledMetric(f"${name}", history, 100_000.0, at.timestamp(), lambda: 0.0)
    scope = evaluate.Scope(metrics, at.timestamp(), random.Random(1), {})  # noqa: S311
    assert len(formula.encode()) < MAX_BYTES
    result = evaluate.run(parse(formula), scope)
    return result[evaluate.DEDICATED], result[evaluate.LOW_PRIORITY], result[evaluate.OPTION]


PENDING = {"maximum": 10, "pendingTasks": {}}


@pytest.mark.parametrize(
    ("profile", "slots", "pending", "nodes"),
    [
        (PENDING, 1, [4.0] * 40, 4),
        (PENDING, 2, [5.0] * 40, 3),
        (PENDING, 1, [50.0] * 40, 10),
        (PENDING, 1, [0.0] * 40, 0),
        (PENDING, 1, [], 0),
        (PENDING | {"minimum": 2}, 1, [], 2),
        (PENDING | {"minimum": 2}, 1, [0.0] * 40, 2),
        (PENDING, 1, [0.0] * 39 + [6.0], 6),
        (PENDING, 1, [8.0] * 39 + [0.0], 8),
        (PENDING, 1, [8.0] * 5 + [0.0] * 35, 0),
        ({"maximum": 10, "pendingTasks": {"lookback": "PT20M"}}, 1, [8.0] * 5 + [0.0] * 35, 1),
        ({"maximum": 10, "pendingTasks": {"tasksPerNode": 4}}, 1, [9.0] * 40, 3),
    ],
)
def test_nodes_follow_the_tasks(profile: dict[str, Any], slots: int, pending: list[float], nodes: int) -> None:
    assert targets(of_profile(build(AutoScaleProfile, profile), slots), PendingTasks=pending) == (
        nodes,
        0,
        "taskcompletion",
    )


@pytest.mark.parametrize(("preempted", "dedicated"), [([], 0), ([0.0] * 10, 0), ([3.0] * 10, 3), ([9.0] * 10, 4)])
def test_dedicated_nodes_stand_in_for_spot_nodes_that_were_taken(preempted: list[float], dedicated: int) -> None:
    formula = of_profile(build(AutoScaleProfile, PENDING | {"spotFirst": True}), 1)
    found = targets(formula, PendingTasks=[4.0] * 40, PreemptedNodeCount=preempted)
    assert found == (dedicated, 4, "taskcompletion")


@pytest.mark.parametrize(
    ("hours", "at", "nodes"),
    [
        ({"start": 8, "end": 18}, FRIDAY, 9),
        ({"start": 8, "end": 18}, SUNDAY, 1),
        ({"start": 8, "end": 18, "days": ["Sunday"]}, SUNDAY, 9),
        ({"start": 8, "end": 10}, FRIDAY, 1),
        ({"start": 8, "end": 10, "utcOffsetMinutes": -60}, FRIDAY, 9),
        ({"start": 11, "end": 24, "utcOffsetMinutes": 60}, FRIDAY, 9),
        ({"start": 0, "end": 24, "days": ["Saturday"], "utcOffsetMinutes": 840}, FRIDAY, 9),
    ],
)
def test_nodes_follow_the_clock(hours: dict[str, Any], at: datetime, nodes: int) -> None:
    formula = of_profile(build(AutoScaleProfile, {"maximum": 9, "minimum": 1, "workHours": hours}), 1)
    assert targets(formula, at)[0] == nodes


@pytest.mark.parametrize(
    ("pending", "busy"),
    [([], True), ([0.0] * 10, True), ([0.0] * 60, False), ([0.0] * 59 + [1.0], True), ([1.0] * 10 + [0.0] * 60, False)],
)
def test_an_idle_pool_releases_its_nodes(pending: list[float], busy: bool) -> None:
    """A new pool, of which too little is known, counts as busy."""
    expected = (4, 2, "taskcompletion") if busy else (0, 0, "taskcompletion")
    assert targets(idle_guard(4, 2, "PT30M"), PendingTasks=pending) == expected


@given(
    minimum=st.integers(0, 5),
    more=st.integers(0, 20),
    slots=st.integers(1, 256),
    spot=st.booleans(),
    pending=st.lists(st.integers(0, 10_000).map(float), max_size=60),
    preempted=st.lists(st.integers(0, 40).map(float), max_size=20),
)
def test_the_bounds_hold(
    minimum: int, more: int, slots: int, spot: bool, pending: list[float], preempted: list[float]
) -> None:
    profile = {"minimum": minimum, "maximum": minimum + more, "spotFirst": spot, "pendingTasks": {}}
    dedicated, low_priority, _ = targets(
        of_profile(build(AutoScaleProfile, profile), slots), PendingTasks=pending, PreemptedNodeCount=preempted
    )
    main, other = (low_priority, dedicated) if spot else (dedicated, low_priority)
    assert minimum <= main <= minimum + more
    assert main == int(main)
    assert 0 <= other <= (main if spot else 0)
