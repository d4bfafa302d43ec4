"""Which task goes to which node, and when: jobs by priority, tasks in order, nodes by fill type."""

from __future__ import annotations

from azure_batch_emulator.engine import ports
from azure_batch_emulator.engine.entities import Job, Node, Pool, Task
from azure_batch_emulator.engine.placement import can_run, choose_node, misfit
from azure_batch_emulator.engine.state import AccountState
from azure_batch_emulator.isolation import for_each


class Scheduler:
    """Fills free slots. `wake` may be called as often as one likes: one pass follows."""

    def __init__(self, state: AccountState, tasks: ports.Tasks, multi_instance: ports.MultiInstance) -> None:
        self._state = state
        self._tasks = tasks
        self._multi_instance = multi_instance
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

    def wake_id(self, pool_id: str) -> None:
        """As `wake`, for a pool that may not exist."""
        pool = self._state.pool_table.get(pool_id.lower())
        if pool is not None:
            self.wake(pool)

    def wake(self, pool: Pool) -> None:
        """Something has changed: look for work soon."""
        if not pool.scheduling_pending:
            pool.scheduling_pending = True
            self._state.clock.call_later(0.0, self._pass, pool)

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
        for_each(self._state.clock, jobs, lambda job: self._serve(job, pool, nodes))

    def _serve(self, job: Job, pool: Pool, nodes: list[Node]) -> None:
        """Start as many tasks of a job as fit; full nodes are taken out of the list."""
        if not nodes:
            return
        skipped: list[Task] = []
        waiting = len(job.ready)
        try:
            self._fill(job, pool, nodes, skipped)
        except Exception:
            # The task that raised waits no more; those behind it have their turn in another pass, unless none was taken.
            if len(job.ready) + len(skipped) < waiting:
                self.wake(pool)
            raise
        finally:
            job.ready.give_back(skipped)
            nodes[:] = [node for node in nodes if node.free_slots > 0]

    def _fill(self, job: Job, pool: Pool, nodes: list[Node], skipped: list[Task]) -> None:
        """Start as many tasks of a job as fit.

        Args:
            skipped: gets those that cannot start now, and that others may overtake.
        """
        most = job.spec["maxParallelTasks"]
        pack = pool.spec["taskSchedulingPolicy"]["nodeFillType"] == "Pack"
        # Free slots by node, kept up to date by hand: asking all nodes again for each task would cost more than all else here.
        free = {node: node.free_slots for node in nodes if can_run(job, node)}
        while free and (most < 0 or job.counts.running < most):
            task = job.ready.take(max(free.values()))
            if task is None:
                break
            if (problem := misfit(task, pool, self._state.applications)) is not None:
                self._tasks.fail_launch(task, *problem)
            elif task.spec.get("multiInstanceSettings"):
                if not self._multi_instance.possible(task, pool):
                    # It stays active, and is in nobody's way.
                    skipped.append(task)
                elif not self._multi_instance.assign(task, pool, list(free)):
                    skipped.append(task)
                    break
                free = {node: left for node in free if (left := node.free_slots) > 0}
            elif (node := choose_node(task, free, pack=pack)) is not None:
                self._tasks.assign(task, node)
                free[node] = node.free_slots
                if free[node] <= 0:
                    del free[node]
            else:
                # Only a job manager task is choosy beyond slots, and there is one.
                skipped.append(task)
