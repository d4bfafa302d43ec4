"""The rules, in order of priority: the first one that finds a cause wins, so the cause nearest to the user comes first.

A rule is a pure function of the evidence. It says nothing where its evidence is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from azure_batch_operator.causes.evidence import (
    Circle,
    Demand,
    Evidence,
    Failed,
    Lost,
    PoolEvidence,
    Unfinished,
    WayOut,
)
from azure_batch_operator.causes.remedies import of_code, of_resize

STARTING = ("creating", "starting", "waitingForStartTask", "rebooting", "reimaging")
BROKEN = ("unusable", "startTaskFailed", "unknown", "leavingPool", "preempted", "upgradingOS")
_OFFLINE = "offline"
"""The state of a node whose scheduling somebody has disabled (docs/azure-batch.md#nodes)."""
_MORE_SLOTS = "lower requiredSlots in a new job, or use a pool with a larger taskSlotsPerNode"
_MORE_NODES = "wait, or scale the pool up"
_WIDER = "scale it up, or lower numberOfInstances in a new job"
_CORRECT_FORMULA = "wait until it is evaluated again, or correct it"
_SHOWN = 8


@dataclass(frozen=True)
class Cause:
    """Why nothing runs.

    Attributes:
        rule: name of the rule that found it.
        text: the cause; it holds no number that changes by itself, since a status that says nothing new is not written.
        remedy: what to do, if there is something.
        detail: what else is known and changes by itself, such as a time; not part of a status.
    """

    rule: str
    text: str
    remedy: str | None = None
    detail: str | None = None

    @property
    def sentence(self) -> str:
        """Cause and remedy in one sentence."""
        return f"{self.text}: {self.remedy}" if self.remedy else self.text


Found = tuple[str, str | None] | tuple[str, str | None, str | None] | None
"""Text, remedy and detail of a cause."""
Rule = Callable[[Evidence], Found]


def judge(evidence: Evidence) -> Cause | None:
    """The cause nearest to the user; None if the evidence shows none."""
    for name, rule in RULES.items():
        if (found := rule(evidence)) is not None:
            return Cause(name, *found)
    return None


# --- the job, dependencies and preparation ---


def _job_disabled(evidence: Evidence) -> Found:
    return None if evidence.disabled is None else (evidence.disabled, None)


def _depends_on_failed(evidence: Evidence) -> Found:
    if not isinstance(evidence.unmet, Failed):
        return None
    first = f" (first: {evidence.unmet.first})" if evidence.unmet.first else ""
    otherwise = "delete this task" if evidence.single else "end the job"
    return (
        f"{_depends(evidence)} on failed tasks{first}",
        f"run them again with `kubectl azure-batch retry`, or {otherwise}",
    )


def _depends(evidence: Evidence) -> str:
    return "the task depends" if evidence.single else "the remaining tasks depend"


def _preparation_fails(evidence: Evidence) -> Found:
    failure = evidence.preparation
    if failure is None:
        return None
    text = f"the job preparation task fails on the nodes (first: {failure.node}, {failure.how})"
    return text, "correct jobPreparationTask in a new BatchJob"


def _depends_on_missing(evidence: Evidence) -> Found:
    if not isinstance(evidence.unmet, Lost):
        return None
    text = f"{_depends(evidence)} on a task that the job does not have (first: {evidence.unmet.id!r})"
    return text, "add it, or delete this task" if evidence.single else "add it, or end the job"


def _depends_on_itself(evidence: Evidence) -> Found:
    if not isinstance(evidence.unmet, Circle):
        return None
    ids = evidence.unmet.ids
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    circle = f"{' → '.join(ids[:_SHOWN])}{more} → {ids[0]}"
    text = f"{_depends(evidence)} on tasks that form a dependency cycle ({circle}), so none of them ever starts"
    return text, "delete one of these tasks and add it without the dependency, or end the job"


def _depends_on_unfinished(evidence: Evidence) -> Found:
    if not isinstance(evidence.unmet, Unfinished):
        return None
    return f"{_depends(evidence)} on tasks that have not ended (first: {evidence.unmet.first})", None


# --- the pool ---


def _pool_missing(evidence: Evidence) -> Found:
    pool = evidence.pool
    if pool is None or not pool.is_missing:
        return None
    move = _move(evidence.way_out)
    return (
        f"pool {pool.id!r} does not exist in Azure Batch",
        f"create it, or {move}" if evidence.way_out.field else move,
    )


def _pool_deleted(evidence: Evidence) -> Found:
    pool = evidence.pool
    if pool is None or not pool.is_deleting:
        return None
    return f"pool {pool.id!r} is being deleted", _move(evidence.way_out)


def _move(way_out: WayOut) -> str:
    return f"move the job to another pool with {way_out.field}" if way_out.field else "create a new BatchJob"


def _without_usable(evidence: Evidence) -> PoolEvidence | None:
    """The pool, if it has no node that takes tasks."""
    pool = evidence.pool
    return None if pool is None or pool.nodes.get("idle") or pool.nodes.get("running") else pool


def _nodes_start(evidence: Evidence) -> Found:
    pool = _without_usable(evidence)
    if pool is None or not (any(pool.nodes.get(state) for state in STARTING) or _is_coming_up(pool)):
        return None
    return f"the nodes of pool {pool.id!r} are starting", None


def _is_coming_up(pool: PoolEvidence) -> bool:
    """Whether nodes were ordered that no count shows yet: counts and pool are read one after the other."""
    allocated = pool.current or (pool.is_steady and not pool.resize_errors)
    return bool(pool.target and allocated) and not any(pool.nodes.values())


def _start_task_fails(evidence: Evidence) -> Found:
    pool = _without_usable(evidence)
    if pool is None or pool.start_task is None or not pool.nodes.get("startTaskFailed"):
        return None
    first = f"first: {pool.start_task.node}, {pool.start_task.how}"
    return (
        f"the start task fails on the nodes of pool {pool.id!r} ({first}), so they take no tasks",
        "correct startTask of its BatchPool",
    )


def _nodes_unusable(evidence: Evidence) -> Found:
    pool = _without_usable(evidence)
    if pool is None or not any(pool.nodes.get(state) for state in BROKEN):
        return None
    states = " or ".join(state for state in BROKEN if pool.nodes.get(state))
    error = pool.node_error if pool.nodes.get("unusable") else None
    first = f"; first: {error.node}, {error.how}" if error else ""
    return (
        f"no node of pool {pool.id!r} can run tasks ({states}{first})",
        (of_code(error.how.partition(":")[0]) if error else None) or "see the condition NodesHealthy of its BatchPool",
    )


def _nodes_offline(evidence: Evidence) -> Found:
    pool = _without_usable(evidence)
    if pool is None or not pool.nodes.get(_OFFLINE):
        return None
    return (
        f"the nodes of pool {pool.id!r} take no tasks ({_OFFLINE})",
        "scheduling is disabled on them; enable it, for example by a BatchOperation with enableNodeScheduling",
    )


def _resize_failed(evidence: Evidence) -> Found:
    pool = _without_usable(evidence)
    if pool is None or not pool.resize_errors:
        return None
    error = pool.resize_errors[0]
    what = ": ".join(filter(None, (error.code, error.message)))
    return f"pool {pool.id!r} has no nodes: {what}", of_resize(error.code)


def _resizes(evidence: Evidence) -> Found:
    pool = _without_usable(evidence)
    return None if pool is None or pool.is_steady else (f"pool {pool.id!r} is being resized and has no nodes yet", None)


def _formula_fails(evidence: Evidence) -> Found:
    pool = _without_usable(evidence)
    if pool is None or pool.auto_scale is None or not pool.auto_scale.error:
        return None
    return (
        f"pool {pool.id!r} has no nodes, and its autoscale formula fails: {pool.auto_scale.error}",
        "correct autoScaleFormula of its BatchPool",
    )


def _formula_at_zero(evidence: Evidence) -> Found:
    pool = _without_usable(evidence)
    if pool is None or pool.auto_scale is None:
        return None
    soon = pool.auto_scale.next_run
    detail = f"Azure Batch evaluates the formula next at about {soon}" if soon else None
    return (
        f"pool {pool.id!r} has no nodes: its autoscale formula sets the number of nodes to 0",
        _CORRECT_FORMULA,
        detail,
    )


def _no_nodes(evidence: Evidence) -> Found:
    pool = _without_usable(evidence)
    return None if pool is None else (f"pool {pool.id!r} has no nodes", "scale it up")


# --- tasks that the pool cannot take ---


def _all_too_large(evidence: Evidence) -> Found:
    pool = evidence.pool
    if pool is None or evidence.least_slots <= pool.slots_per_node:
        return None
    who = "the task" if evidence.single else "each task"
    needs = f"{who} needs {evidence.least_slots} task slots"
    return f"{needs}, but the nodes of pool {pool.id!r} have {pool.slots_per_node}", _MORE_SLOTS


def _all_too_wide(evidence: Evidence) -> Found:
    """While all nodes are busy; idle ones are told by `_too_many_nodes`, which names the task."""
    pool = evidence.pool
    if pool is None or pool.nodes.get("idle") or not pool.nodes.get("running"):
        return None
    if pool.auto_scale is not None or not pool.is_steady or evidence.least_nodes <= pool.target:
        return None
    who = "the task" if evidence.single else "each task"
    needs = f"{who} needs {evidence.least_nodes} nodes at the same time"
    return f"{needs}, but the target size of pool {pool.id!r} is {pool.target}", _WIDER


def _nodes_busy(evidence: Evidence) -> Found:
    pool = evidence.pool
    if pool is None or pool.nodes.get("idle") or not pool.nodes.get("running"):
        return None
    busy = f"the nodes of pool {pool.id!r} are busy with other {'tasks' if evidence.single else 'jobs'}"
    if evidence.has_ready:
        return busy, _MORE_NODES, evidence.ahead
    # Only counts are known: a task that depends on nothing and has not ended could run at once.
    return f"{busy}, unless the remaining tasks wait for tasks that they depend on", _MORE_NODES


def _too_many_slots(evidence: Evidence) -> Found:
    pool = evidence.pool
    if pool is None:
        return None
    largest = max(
        (demand for demand in evidence.demands if demand.slots > pool.slots_per_node), key=_slots, default=None
    )
    if largest is None:
        return None
    needs = f"{largest.which} needs {largest.slots} task slots"
    return _perhaps(evidence, f"{needs}, but the nodes of pool {pool.id!r} have {pool.slots_per_node}"), _MORE_SLOTS


def _too_many_nodes(evidence: Evidence) -> Found:
    pool = evidence.pool
    if pool is None or pool.auto_scale is not None:
        return None
    errors = pool.resize_errors
    nodes = pool.target if pool.is_steady and not errors else pool.current
    largest = max((demand for demand in evidence.demands if demand.nodes > nodes), key=_nodes, default=None)
    if largest is None:
        return None
    needs = f"{largest.which} needs {largest.nodes} nodes at the same time"
    if not errors and largest.nodes <= pool.target:
        return _perhaps(evidence, f"{needs}, but pool {pool.id!r} is being resized and has fewer"), None
    size, remedy = f"the target size of pool {pool.id!r} is {pool.target}", "scale it up"
    if errors:
        size = f"pool {pool.id!r} reached only a size of {nodes} ({errors[0].code})"
        remedy = of_resize(errors[0].code)
    return _perhaps(evidence, f"{needs}, but {size}"), f"{remedy}, or lower numberOfInstances in a new job"


def _slots(demand: Demand) -> int:
    return demand.slots


def _nodes(demand: Demand) -> int:
    return demand.nodes


def _perhaps(evidence: Evidence, text: str) -> str:
    """Which tasks have ended may not be known, only how many: another pool, or more nodes, may have taken the large one."""
    return text if evidence.exact else f"unless it has ended, {text}"


RULES: dict[str, Rule] = {
    "JobDisabled": _job_disabled,
    "DependencyFailed": _depends_on_failed,
    "PreparationFails": _preparation_fails,
    "DependencyMissing": _depends_on_missing,
    "DependencyCycle": _depends_on_itself,
    "DependencyUnfinished": _depends_on_unfinished,
    "PoolMissing": _pool_missing,
    "PoolDeleted": _pool_deleted,
    "NodesStarting": _nodes_start,
    "StartTaskFails": _start_task_fails,
    "NodesUnusable": _nodes_unusable,
    "NodesOffline": _nodes_offline,
    "ResizeFailed": _resize_failed,
    "Resizing": _resizes,
    "FormulaFails": _formula_fails,
    "FormulaAtZero": _formula_at_zero,
    "NoNodes": _no_nodes,
    "TasksTooLarge": _all_too_large,
    "TasksTooWide": _all_too_wide,
    "NodesBusy": _nodes_busy,
    "TooManySlots": _too_many_slots,
    "TooManyNodes": _too_many_nodes,
}
"""By name, in order."""
