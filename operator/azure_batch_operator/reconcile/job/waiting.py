"""What a job waits for when none of its tasks runs, in one sentence; decided from what lists show, never asked for.

The sentence holds no number that changes by itself: it is part of the status, and a status that says nothing new is not written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from azure_batch_operator.reconcile.job import dependencies, expand
from azure_batch_operator.reconcile.job.failures import first_failed
from azure_batch_operator.reconcile.job.scope import TargetPoolView, TasksView
from azure_batch_operator.reconcile.job.streamed import Streamed
from azure_batch_operator.reconcile.job.suspension import pool_id
from azure_batch_operator.reconcile.plan import Absent

_STARTING = ("creating", "starting", "waitingForStartTask", "rebooting", "reimaging")
_MORE_SLOTS = "lower requiredSlots in a new job, or use a pool with a larger taskSlotsPerNode"
_BROKEN = ("unusable", "startTaskFailed", "unknown", "leavingPool", "preempted", "upgradingOS")

_OFFLINE = "offline"
"""The state of a node whose scheduling somebody has disabled (docs/azure-batch.md#nodes)."""


def waiting_for(
    spec: Mapping[str, Any], remote: Mapping[str, Any], pool: TargetPoolView, tasks: TasksView, *, blocked: bool
) -> str | None:
    """The sentence; None while tasks run, or if there are none that could.

    Args:
        blocked: whether all that is left depends on failed tasks.
    """
    if tasks.running or not tasks.active or remote.get("state") != "active":
        return None
    if blocked:
        return f"the remaining tasks depend on failed tasks{first_failed(tasks.failed)}"
    failed = [each for each in tasks.node_failures if each.get("task") == "preparation"]
    if failed:
        how = (
            f"exit code {failed[0]['exitCode']}" if "exitCode" in failed[0] else failed[0].get("code") or "no exit code"
        )
        return f"the job preparation task fails on the nodes (first: {failed[0]['nodeId']}, {how})"
    return _of_missing(spec, tasks) or _of_pool(spec, remote, pool, tasks) or _of_dependencies(spec, tasks)


def _of_missing(spec: Mapping[str, Any], tasks: TasksView) -> str | None:
    """All that is left waits for a task that the job does not have; said only where no task of somebody else can be that one."""
    if not expand.needs_dependencies(spec) or tasks.present != expand.total(spec):
        return None
    number, first = dependencies.missing(spec, expand.lists(spec))
    # One that has failed may be one of them that somebody has ended.
    if not number or tasks.active > number - tasks.failed_count:
        return None
    return f"the remaining tasks depend on a task that the job does not have (first: {first!r}): add it, or end the job"


def _of_pool(spec: Mapping[str, Any], remote: Mapping[str, Any], pool: TargetPoolView, tasks: TasksView) -> str | None:
    name = pool_id(remote) or (remote.get("executionInfo") or {}).get("poolId")
    if pool.remote is Absent.UNKNOWN or name is None:
        return None
    if pool.remote is Absent.NOT_FOUND:
        return f"pool {name!r} does not exist in Azure Batch: {_create_or_move(spec)}"
    if pool.remote.get("state") == "deleting":
        return f"pool {name!r} is being deleted: {_move(spec)}"
    return _of_nodes(name, pool.remote, pool.nodes or {}) or _of_slots(spec, name, pool, tasks)


def _create_or_move(spec: Mapping[str, Any]) -> str:
    return f"create it, or {_move(spec)}" if _pool_field(spec) else _move(spec)


def _move(spec: Mapping[str, Any]) -> str:
    field = _pool_field(spec)
    return f"move the job to another pool with {field}" if field else "create a new BatchJob"


def _pool_field(spec: Mapping[str, Any]) -> str | None:
    """Where the spec names its pool; None for an auto pool, which cannot be changed."""
    if spec.get("poolRef"):
        return "spec.poolRef"
    return "spec.poolInfo.poolId" if (spec.get("poolInfo") or {}).get("poolId") else None


def _of_nodes(name: str, pool: Mapping[str, Any], nodes: Mapping[str, int]) -> str | None:
    if nodes.get("idle") or nodes.get("running"):
        return None
    if any(nodes.get(state) for state in _STARTING):
        return f"the nodes of pool {name!r} are starting"
    if any(nodes.get(state) for state in _BROKEN):
        states = " or ".join(state for state in _BROKEN if nodes.get(state))
        return f"no node of pool {name!r} can run tasks ({states}): see the condition NodesHealthy of its BatchPool"
    if nodes.get(_OFFLINE):
        return (
            f"the nodes of pool {name!r} take no tasks ({_OFFLINE}): scheduling is disabled on them; enable it, for example by a "
            "BatchOperation with enableNodeScheduling"
        )
    errors = pool.get("resizeErrors") or ()
    if errors and pool.get("allocationState") == "steady":
        return f"pool {name!r} has no nodes: {errors[0].get('code')}: {errors[0].get('message', '')}"
    if pool.get("allocationState") == "resizing":
        return f"pool {name!r} is being resized and has no nodes yet"
    how = "its autoscale formula sets the number of nodes to 0" if pool.get("enableAutoScale") else "scale it up"
    return f"pool {name!r} has no nodes: {how}"


def _of_slots(spec: Mapping[str, Any], name: str, pool: TargetPoolView, tasks: TasksView) -> str | None:
    remote = pool.remote if isinstance(pool.remote, Mapping) else {}
    offered, needed = int(remote.get("taskSlotsPerNode") or 1), least_slots(spec)
    if needed > offered:
        return f"each task needs {needed} task slots, but the nodes of pool {name!r} have {offered}: {_MORE_SLOTS}"
    if pool.nodes and pool.nodes.get("running") and not pool.nodes.get("idle"):
        busy = f"the nodes of pool {name!r} are busy with other jobs"
        # Only counts are known: a task that depends on nothing and has not ended could run at once.
        ready = not expand.needs_dependencies(spec) or tasks.completed < expand.independent(spec)
        return busy if ready else f"{busy}, unless the remaining tasks wait for tasks that they depend on"
    said = _too_large(spec, name, remote, offered)
    # Which tasks have ended is not known, only how many: another pool, or more nodes, may have taken the large one.
    return f"unless it has ended, {said}" if said and tasks.completed else said


def _too_large(spec: Mapping[str, Any], name: str, pool: Mapping[str, Any], offered: int) -> str | None:
    """Of the tasks that the pool cannot run, the one that wants most: more slots than a node has, or more nodes than there are."""
    sized = [(slots, which) for which, task in _sizes(spec) if (slots := int(task.get("requiredSlots") or 1)) > offered]
    if sized:
        slots, which = max(sized, key=lambda each: each[0])
        return f"{which} needs {slots} task slots, but the nodes of pool {name!r} have {offered}: {_MORE_SLOTS}"
    if pool.get("enableAutoScale"):
        return None
    errors = pool.get("resizeErrors") if pool.get("allocationState") == "steady" else None
    which_nodes = "current" if errors else "target"
    nodes = sum(int(pool.get(f"{which_nodes}{tier}Nodes") or 0) for tier in ("Dedicated", "LowPriority"))
    wide = [(number, which) for which, task in _sizes(spec) if (number := _instances(task)) > nodes]
    if wide:
        number, which = max(wide, key=lambda each: each[0])
        size, remedy = f"the target size of pool {name!r} is {nodes}", "scale it up"
        if errors:
            size = f"pool {name!r} reached only a size of {nodes} ({errors[0].get('code')})"
            remedy = "see the condition ResizeFailed of its BatchPool"
        return f"{which} needs {number} nodes at the same time, but {size}: {remedy}, or lower numberOfInstances in a new job"
    return None


def _instances(task: Mapping[str, Any]) -> int:
    settings = task.get("multiInstanceSettings")
    return int(settings.get("numberOfInstances") or 1) if settings else 0


def _sizes(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The tasks of a spec by what to call them; all those of a factory are one."""
    tasks = spec.get("tasks") or ()
    if isinstance(tasks, Streamed):
        # All those of a factory are one here as well.
        given = [each for each in tasks.source.get("tasks") or () if str(each.get("id")).lower() in tasks.only]
        yield from _sizes({**tasks.source, "tasks": given})
        return
    yield from ((f"task {task.get('id')!r}", task) for task in tasks)
    factory = spec.get("taskFactory") or {}
    for name, which in (("repeatTask", "each task of the factory"), ("mergeTask", "task 'merge'")):
        if factory.get(name):
            yield which, factory[name]


def least_slots(spec: Mapping[str, Any]) -> int:
    """The fewest slots that a task of the spec takes; 1 if it has no tasks of its own."""
    given = spec.get("tasks") or ()
    if isinstance(given, Streamed):
        return given.least_slots
    tasks = [*given]
    if template := (spec.get("taskFactory") or {}).get("repeatTask"):
        tasks.append(template)
    return min((int(task.get("requiredSlots") or 1) for task in tasks), default=1)


def _of_dependencies(spec: Mapping[str, Any], tasks: TasksView) -> str | None:
    if tasks.failed_count and spec.get("usesTaskDependencies"):
        return "the remaining tasks depend on tasks that did not succeed"
    return None
