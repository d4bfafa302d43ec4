"""Whether the lists of an account show that tasks of a job start or end, and so how long the counts of the job may be old.

Each poll lists the jobs, the pools and the node counts of the account. Most of what happens to a task changes one of these lists: a
task starts on a node that was idle, or ends on a node that ran nothing else. Where this is certain, the lists tell when to count.
Where a task can start or end while all lists stay equal, the job is counted at short intervals
(docs/decisions/0035-counts-follow-the-lists.md, tests/quick/test_polling_cost.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from azure_batch_operator.batch.pool_wire import NodeCounts
from azure_batch_operator.batch.wire import TaskCounts
from azure_batch_operator.reconcile.plan import Absent, Remote
from azure_batch_operator.reconcile.pool.scope import number_of


class Motion(Enum):
    """What the lists show of the tasks of one job."""

    HIDDEN_END = auto()
    """Tasks run, and one can end while all lists stay equal."""
    SHOWN_END = auto()
    """Each running task is alone on its node: a node count changes when one ends. A task that another client adds waits, unseen."""
    HIDDEN_START = auto()
    """No task of the job runs, but nodes of its pool run tasks: one can start on such a node while all lists stay equal."""
    SHOWN_START = auto()
    """No task runs on the pool, or the job is disabled: a list changes before a task runs, or when it does."""

    @property
    def is_shown(self) -> bool:
        """Whether a list changes when a task of the job starts or ends."""
        return self in {Motion.SHOWN_END, Motion.SHOWN_START}

    @property
    def is_running(self) -> bool:
        """Whether tasks of the job run."""
        return self in {Motion.HIDDEN_END, Motion.SHOWN_END}


@dataclass
class Load:
    """The tasks of all watched jobs on one pool, by their last counts.

    Attributes:
        running, active: how many.
        uncounted: whether there is a job whose tasks were not counted yet.
        others: whether tasks that nobody counts may wait for a node: of jobs that nobody watches, or of a job manager task.
    """

    running: int = 0
    active: int = 0
    uncounted: bool = False
    others: bool = False

    def add(self, counts: TaskCounts | None) -> None:
        """Take in the counts of one job."""
        if counts is None:
            self.uncounted = True
        else:
            self.running += counts.running
            self.active += counts.active


def motion(counts: TaskCounts, job: Mapping[str, Any], pool: Remote, nodes: NodeCounts | None, load: Load) -> Motion:
    """What the lists show of the tasks of a job.

    Args:
        counts: its last counts.
        pool, nodes: its pool and the node counts of it.
        load: the tasks of all watched jobs on the pool.
    """
    busy = None if nodes is None and pool is not Absent.NOT_FOUND else number_of(nodes, ("running",))
    if not counts.running:
        shown = busy == 0 or job.get("state") == "disabled"
        return Motion.SHOWN_START if shown else Motion.HIDDEN_START
    return Motion.SHOWN_END if is_alone(pool, nodes, load) and not load.others else Motion.HIDDEN_END


def is_alone(pool: Remote, nodes: NodeCounts | None, load: Load) -> bool:
    """Whether as many nodes run tasks as watched tasks run, one on each, and no watched task waits for the place of one that ends.

    Then only a task that nobody counts can hide such an end.
    """
    single = isinstance(pool, Mapping) and pool.get("taskSlotsPerNode", 1) == 1
    return single and number_of(nodes, ("running",)) == load.running > 0 and not load.active and not load.uncounted
