"""The evidence about a job, as observed in Azure Batch. What was not observed is None or empty, and no rule reads it.

The operator knows single tasks only by the spec that it added them from, so it gives the demands of all, and `exact` is False
as soon as one has ended: it does not know which. The plugin lists the tasks that wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class NodeFailure:
    """How a command failed on a node.

    Attributes:
        node: ID of the first such node.
        how: exit code or code of the failure, in words.
    """

    node: str
    how: str


@dataclass(frozen=True)
class ResizeError:
    """Why a pool did not reach its size."""

    code: str
    message: str = ""


@dataclass(frozen=True)
class AutoScale:
    """The formula of a pool.

    Attributes:
        error: why the last evaluation failed.
        next_run: when Azure Batch evaluates it next; None if that is not known.
    """

    error: str | None = None
    next_run: str | None = None


@dataclass(frozen=True)
class PoolEvidence:
    """The pool that a job is on.

    Attributes:
        is_missing: whether Azure Batch has no such pool; nothing else is known then.
        is_steady: whether it is not being resized.
        nodes: numbers of nodes by state, with the names of `nodecounts`.
        target, current: numbers of nodes, dedicated and Spot together.
        resize_errors: why the last resize did not reach its target; while that resize is retried, those of the try before.
        start_task: the first node that runs no tasks since its start task failed.
        node_error: the first node that is unusable, with its error.
    """

    id: str
    is_missing: bool = False
    is_deleting: bool = False
    is_steady: bool = True
    nodes: Mapping[str, int] = field(default_factory=dict)
    slots_per_node: int = 1
    target: int = 0
    current: int = 0
    resize_errors: tuple[ResizeError, ...] = ()
    auto_scale: AutoScale | None = None
    start_task: NodeFailure | None = None
    node_error: NodeFailure | None = None


@dataclass(frozen=True)
class Demand:
    """What a task needs.

    Attributes:
        which: how to call the task, such as "task 'big'".
        nodes: nodes at the same time; 0 for a task of one node.
    """

    which: str
    nodes: int = 0
    slots: int = 1


@dataclass(frozen=True)
class Lost:
    """All that waits depends on a task that the job does not have."""

    id: str


@dataclass(frozen=True)
class Circle:
    """All that waits depends on tasks that depend on each other: their IDs, in order."""

    ids: tuple[str, ...]


@dataclass(frozen=True)
class Failed:
    """All that waits depends on failed tasks.

    Attributes:
        first: one of them, and how it failed; empty if it is not known.
    """

    first: str = ""


@dataclass(frozen=True)
class Unfinished:
    """A single task depends on tasks that have not ended, but can.

    Attributes:
        first: one of them, and its state.
    """

    first: str


Unmet = Lost | Circle | Failed | Unfinished
"""Why no task that waits can run; unless it is `Unfinished`, none ever can."""


@dataclass(frozen=True)
class WayOut:
    """How the user can bring the job to another pool.

    Attributes:
        field: of the spec that names the pool; None for a pool that Azure Batch makes for the job, which cannot be changed.
    """

    field: str | None = None


@dataclass(frozen=True)
class Evidence:
    """A job of which tasks wait and none runs, or a single task that waits, as Azure Batch shows it.

    Attributes:
        single: whether this is about a single task; others of its job may run.
        disabled: that the job is disabled, and by whom.
        unmet: why none of its waiting tasks can run, if that is known.
        preparation: the first node on which the preparation task failed.
        pool: None if it is not known.
        has_ready: whether a task waits that depends on nothing unfinished; None if that is not known.
        demands: of the tasks that wait; read only if nodes are idle.
        least_slots: the fewest slots that a waiting task needs.
        least_nodes: the fewest nodes at the same time that a waiting task needs; 0 for a task of one node, or if not known.
        exact: whether `demands` are those of waiting tasks only; else of all tasks, and some may have ended.
        ahead: a job of higher priority on the same pool, in words, with its priority.
    """

    single: bool = False
    disabled: str | None = None
    unmet: Unmet | None = None
    preparation: NodeFailure | None = None
    pool: PoolEvidence | None = None
    way_out: WayOut = WayOut()
    has_ready: bool | None = None
    demands: Iterable[Demand] = ()
    least_slots: int = 1
    least_nodes: int = 0
    exact: bool = True
    ahead: str | None = None
