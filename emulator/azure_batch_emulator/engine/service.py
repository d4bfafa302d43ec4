"""One Batch account: its resources, and the managers that act on them.

Everything here runs on one thread. The managers know each other through this object only.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from azure_batch_emulator.config import COUNTS_LAG, Quotas
from azure_batch_emulator.engine import job_rules, machine_rules, pool_rules
from azure_batch_emulator.engine.auto_pools import AutoPools
from azure_batch_emulator.engine.auto_scale import AutoScale
from azure_batch_emulator.engine.jobs import Jobs
from azure_batch_emulator.engine.lag import CountsLag
from azure_batch_emulator.engine.limits import Limits
from azure_batch_emulator.engine.nodes import Nodes
from azure_batch_emulator.engine.pools import Pools
from azure_batch_emulator.engine.runs import Runs
from azure_batch_emulator.engine.scheduler import Scheduler
from azure_batch_emulator.engine.schedules import Schedules
from azure_batch_emulator.engine.statistics import Statistics
from azure_batch_emulator.engine.task_ages import TaskAges
from azure_batch_emulator.engine.tasks import Tasks
from azure_batch_emulator.engine.timeline import Timeline
from azure_batch_emulator.wire.errors import BatchError

if TYPE_CHECKING:
    from azure_batch_emulator.clock import Clock
    from azure_batch_emulator.engine.entities import Job, JobSchedule, Node, Pool, Task
    from azure_batch_emulator.executors.base import Executor


class BatchService:
    """The service as one account sees it.

    Args:
        account: its name.
        clock: the time.
        executor: what runs commands.
        quotas: limits; the object may be changed by the caller at any time.
        seed: makes ids of nodes repeatable.
        counts_lag: service seconds by which counts of tasks and nodes are behind.
        images: Marketplace images that pools may use; None for any.
        subscription: where subnets have to be; None for anywhere.
    """

    def __init__(
        self,
        account: str,
        clock: Clock,
        executor: Executor,
        quotas: Quotas | None = None,
        seed: int | None = None,
        counts_lag: float = COUNTS_LAG,
        images: machine_rules.Images | None = None,
        subscription: str | None = None,
    ) -> None:
        self.account = account
        self.clock = clock
        self.executor = executor
        self.quotas = quotas or Quotas()
        self._usual_quotas = replace(self.quotas)
        self.random = random.Random(seed)  # noqa: S311 - ids and samples, nothing secret
        self.serial = itertools.count(1)
        self.lag = CountsLag(counts_lag, clock.service_seconds)
        self._usual_lag = counts_lag
        self.images = images
        self.subscription = subscription
        self.endpoint = ""
        self.refuses_containers = False
        self.pool_table: dict[str, Pool] = {}
        self.job_table: dict[str, Job] = {}
        self.schedule_table: dict[str, JobSchedule] = {}
        self.applications: dict[str, dict[str, Any]] = {}
        self._make_managers()

    def _make_managers(self) -> None:
        self.timeline = Timeline()
        self.limits = Limits(self)
        self.runs = Runs(self)
        self.nodes = Nodes(self)
        self.pools = Pools(self)
        self.tasks = Tasks(self)
        self.task_ages = TaskAges(self)
        self.scheduler = Scheduler(self)
        self.jobs = Jobs(self)
        self.auto_pools = AutoPools(self)
        self.schedules = Schedules(self)
        self.statistics = Statistics(self)
        self.auto_scale = AutoScale(self)

    def pool(self, pool_id: str) -> Pool:
        """Raises BatchError 404 PoolNotFound."""
        pool = self.pool_table.get(pool_id.lower())
        if pool is None:
            raise BatchError("PoolNotFound")
        return pool

    def node(self, pool_id: str, node_id: str) -> Node:
        """Raises BatchError 404 PoolNotFound or NodeNotFound."""
        node = self.pool(pool_id).nodes.get(node_id.lower())
        if node is None:
            raise BatchError("NodeNotFound")
        return node

    def job(self, job_id: str) -> Job:
        """Raises BatchError 404 JobNotFound."""
        job = self.job_table.get(job_id.lower())
        if job is None:
            raise BatchError("JobNotFound")
        return job

    def task(self, job_id: str, task_id: str) -> Task:
        """Raises BatchError 404 JobNotFound or TaskNotFound."""
        task = self.job(job_id).tasks.get(task_id.lower())
        if task is None:
            raise BatchError("TaskNotFound")
        return task

    def schedule(self, schedule_id: str) -> JobSchedule:
        """Raises BatchError 404 JobScheduleNotFound."""
        schedule = self.schedule_table.get(schedule_id.lower())
        if schedule is None:
            raise BatchError("JobScheduleNotFound")
        return schedule

    def cores_used(self, *, dedicated: bool) -> int:
        """Cores of all nodes of one kind, in all pools."""
        return sum(
            pool_rules.cores_of(pool.spec["vmSize"]) * pool.count(dedicated=dedicated)
            for pool in self.pool_table.values()
        )

    def check_active_quota(self) -> None:
        """Raises BatchError 409 ActiveJobAndScheduleQuotaReached."""
        states = [job.state for job in self.job_table.values()]
        states += [schedule.state for schedule in self.schedule_table.values()]
        if sum(map(job_rules.counts_for_quota, states)) >= self.quotas.active_jobs_and_schedules:
            raise BatchError("ActiveJobAndScheduleQuotaReached")

    def close(self, *, keep_files: bool) -> None:
        """Stop everything: nothing planned happens any more, every run is killed."""
        self.clock.close()
        self.reset(keep_files=keep_files)

    def reset(self, *, keep_files: bool = False) -> None:
        """Back to an empty account, runs killed. Whoever calls this has called off the clock's timers."""
        for pool in self.pool_table.values():
            self.pools.settled(pool)
            for node in pool.nodes.values():
                for run in list(node.runs.values()):
                    run.detached = run.done = True
                    if run.handle is not None:
                        run.handle.kill()
                if not keep_files:
                    self.executor.remove_node(self.runs.place(node))
        self.pool_table.clear()
        self.job_table.clear()
        self.schedule_table.clear()
        self.applications.clear()
        self.lag.seconds = self._usual_lag
        for limit in fields(Quotas):
            setattr(self.quotas, limit.name, getattr(self._usual_quotas, limit.name))
        self._make_managers()
