"""Decisions about nodes for tasks: whether one takes tasks of a job, and which one a task gets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from azure_batch_emulator.engine import machine_rules, packages
from azure_batch_emulator.engine.entities import Job, Node, Pool, Task
from azure_batch_emulator.wire.errors import BatchError


def can_run(job: Job, node: Node) -> bool:
    """Whether a node takes tasks of a job: not after its job preparation task has failed there."""
    if "jobPreparationTask" not in job.spec:
        return True
    prepared = node.job_tasks.get(job.id.lower())
    return prepared is None or not prepared.failed


def misfit(task: Task, pool: Pool, applications: packages.Applications) -> tuple[str, str] | None:
    """Why a task can run on no node of a pool: a code and a message, None if it can."""
    if (problem := machine_rules.user_problem(task.spec, pool.spec)) is not None:
        return problem
    if "containerSettings" in task.spec and not machine_rules.takes_containers(pool.spec):
        return "ContainerPoolNotSupported", "The pool of the task does not support containers"
    if "applicationPackageReferences" in task.spec:
        try:
            packages.check(applications, task.spec["applicationPackageReferences"])
        except BatchError:
            # They were there when the task was added.
            return "ApplicationPackageError", "One or more application packages specified for the task are invalid"
    return None


def choose_node(task: Task, free: Mapping[Node, int], *, pack: bool) -> Node | None:
    """The node for a task: the one it asks for if that is free, else the fullest or the emptiest that fits.

    Args:
        free: slots of the nodes that take tasks of its job and have free ones.
    """
    needed: int = task.spec["requiredSlots"]
    fitting: Iterable[Node] = free if needed == 1 else [node for node, slots in free.items() if slots >= needed]
    if task.is_job_manager:
        manager = task.job.spec["jobManagerTask"]
        if not manager["allowLowPriorityNode"]:
            fitting = [node for node in fitting if node.dedicated]
        if manager["runExclusive"]:
            fitting = [node for node in fitting if not node.working]
    affinity = task.spec.get("affinityInfo", {}).get("affinityId", "")
    if affinity:
        for node in fitting:
            if affinity in (f"TVM:{node.id}", node.id):
                return node
    return min(fitting, key=lambda node: (free[node] if pack else -free[node], node.index), default=None)
