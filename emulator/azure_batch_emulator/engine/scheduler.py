"""Which task goes to which node, and when: jobs by priority, tasks in order, nodes by fill type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from azure_batch_emulator.engine.entities import Job, Node, Pool, Task

if TYPE_CHECKING:
    from azure_batch_emulator.engine.service import BatchService


class Scheduler:
    """Fills free slots. `wake` may be called as often as one likes: one pass follows."""

    def __init__(self, service: BatchService) -> None:
        self._service = service
        self.jobs_of_pool: dict[str, dict[str, Job]] = {}

    def enter(self, job: Job) -> None:
        """The job's tasks want the nodes of its pool."""
        self.jobs_of_pool.setdefault(job.pool_id.lower(), {})[job.id.lower()] = job
        self.wake_id(job.pool_id)

    def leave(self, job: Job) -> None:
        """The job runs nothing any more, or moves to another pool."""
        jobs = self.jobs_of_pool.get(job.pool_id.lower(), {})
        jobs.pop(job.id.lower(), None)
        if not jobs:
            self.jobs_of_pool.pop(job.pool_id.lower(), None)

    def withdraw(self, task: Task) -> None:
        """Take an active task out of its job's queue."""
        task.job.ready.discard(task)

    def wake_id(self, pool_id: str) -> None:
        """As `wake`, for a pool that may not exist."""
        pool = self._service.pool_table.get(pool_id.lower())
        if pool is not None:
            self.wake(pool)

    def wake(self, pool: Pool) -> None:
        """Something has changed: look for work soon."""
        if not pool.scheduling_pending:
            pool.scheduling_pending = True
            self._service.clock.call_later(0.0, self._pass, pool)

    def _pass(self, pool: Pool) -> None:
        pool.scheduling_pending = False
        if pool.state != "active":
            return
        nodes = [node for node in pool.nodes.values() if node.free_slots > 0]
        if not nodes:
            return
        jobs = [
            job for job in self.jobs_of_pool.get(pool.id.lower(), {}).values() if job.ready and job.state == "active"
        ]
        jobs.sort(key=lambda job: (-job.spec["priority"], job.created))
        for job in jobs:
            self._serve(job, pool, nodes)
            if not nodes:
                return

    def _serve(self, job: Job, pool: Pool, nodes: list[Node]) -> None:
        """Start as many tasks of a job as fit; full nodes are taken out of the list."""
        most = job.spec["maxParallelTasks"]
        pack = pool.spec["taskSchedulingPolicy"]["nodeFillType"] == "Pack"
        # Free slots by node, kept up to date by hand: asking all nodes again for each task would cost more than all else here.
        free = {node: node.free_slots for node in nodes if can_run(job, node)}
        skipped: list[Task] = []
        while free and (most < 0 or job.counts.running < most):
            task = job.ready.take(max(free.values()))
            if task is None:
                break
            if (problem := self._service.tasks.misfit(task, pool)) is not None:
                self._service.tasks.fail_launch(task, *problem)
            elif task.spec.get("multiInstanceSettings"):
                if not self._service.jobs.multi_instance.possible(task, pool):
                    # It stays active, and stands in nobody's way.
                    skipped.append(task)
                elif not self._service.jobs.multi_instance.assign(task, pool, list(free)):
                    skipped.append(task)
                    break
                free = {node: left for node in free if (left := node.free_slots) > 0}
            elif (node := choose_node(task, free, pack=pack)) is not None:
                self._service.tasks.assign(task, node)
                free[node] = node.free_slots
                if free[node] <= 0:
                    del free[node]
            else:
                # Only a job manager task is choosy beyond slots, and there is one.
                skipped.append(task)
        job.ready.give_back(skipped)
        nodes[:] = [node for node in nodes if node.free_slots > 0]


def can_run(job: Job, node: Node) -> bool:
    """Whether a node takes tasks of a job: not after its job preparation task has failed there."""
    if "jobPreparationTask" not in job.spec:
        return True
    prepared = node.job_tasks.get(job.id.lower())
    return prepared is None or not prepared.failed


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
