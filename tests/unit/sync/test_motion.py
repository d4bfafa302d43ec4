"""What the lists of an account show of the tasks of a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from azure_batch_operator.batch.pool_wire import NodeCounts
from azure_batch_operator.batch.wire import TaskCounts
from azure_batch_operator.reconcile.plan import Absent, Remote
from azure_batch_operator.sync.polls.motion import Load, Motion, motion
from support import typed

ACTIVE, DISABLED = {"state": "active"}, {"state": "disabled"}
ONE, TWO = {"id": "p", "taskSlotsPerNode": 1}, {"id": "p", "taskSlotsPerNode": 2}


def nodes(**numbers: int) -> NodeCounts:
    return typed.nodes({"dedicated": numbers})


@pytest.mark.parametrize(
    ("running", "active", "job", "pool", "counts", "expected"),
    [
        # No task runs.
        (0, 2, ACTIVE, ONE, nodes(), Motion.SHOWN_START),
        (0, 2, ACTIVE, ONE, nodes(starting=2), Motion.SHOWN_START),
        (0, 0, ACTIVE, TWO, nodes(idle=2), Motion.SHOWN_START),
        (0, 2, ACTIVE, TWO, nodes(idle=1, running=1), Motion.HIDDEN_START),
        (0, 0, ACTIVE, ONE, nodes(running=1), Motion.HIDDEN_START),
        (0, 2, DISABLED, ONE, nodes(running=1), Motion.SHOWN_START),
        (0, 2, ACTIVE, Absent.NOT_FOUND, None, Motion.SHOWN_START),
        (0, 2, ACTIVE, Absent.UNKNOWN, None, Motion.HIDDEN_START),
        (0, 2, ACTIVE, ONE, None, Motion.HIDDEN_START),
        # Tasks run.
        (1, 0, ACTIVE, ONE, nodes(running=1), Motion.SHOWN_END),
        (1, 0, ACTIVE, {"id": "p"}, nodes(running=1, idle=3), Motion.SHOWN_END),
        (1, 0, ACTIVE, TWO, nodes(running=1), Motion.HIDDEN_END),
        (1, 1, ACTIVE, ONE, nodes(running=1), Motion.HIDDEN_END),
        (1, 0, ACTIVE, ONE, nodes(running=2), Motion.HIDDEN_END),
        (2, 0, ACTIVE, ONE, nodes(running=1), Motion.HIDDEN_END),
        (1, 0, DISABLED, TWO, nodes(running=1), Motion.HIDDEN_END),
        (1, 0, ACTIVE, Absent.UNKNOWN, nodes(running=1), Motion.HIDDEN_END),
        (1, 0, ACTIVE, ONE, None, Motion.HIDDEN_END),
    ],
)
def test_of_one_job_alone(
    running: int, active: int, job: Mapping[str, Any], pool: Remote, counts: NodeCounts | None, expected: Motion
) -> None:
    its, load = TaskCounts(running=running, active=active), Load()
    load.add(its)
    assert motion(its, job, pool, counts, load) is expected


@pytest.mark.parametrize(
    ("other", "running", "expected"),
    [
        (TaskCounts(running=1), 2, Motion.SHOWN_END),
        (TaskCounts(running=1), 1, Motion.HIDDEN_END),
        # What waits elsewhere takes the place of what ends.
        (TaskCounts(running=1, active=1), 2, Motion.HIDDEN_END),
        # What was never counted may wait.
        (None, 1, Motion.HIDDEN_END),
    ],
)
def test_other_jobs_on_the_pool_count(other: TaskCounts | None, running: int, expected: Motion) -> None:
    its, load = TaskCounts(running=1), Load()
    load.add(its)
    load.add(other)
    assert motion(its, ACTIVE, ONE, nodes(running=running), load) is expected
