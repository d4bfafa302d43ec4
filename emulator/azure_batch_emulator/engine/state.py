"""What an account has and is, in one place: its resources by id, its limits, its time, and what runs its commands.

The managers act on it. None of them knows another one's state, and whoever only reads needs nothing but this.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import fields, replace
from typing import Any, TypedDict, Unpack

from azure_batch_emulator.clock import Clock
from azure_batch_emulator.config import COUNTS_LAG, Quotas
from azure_batch_emulator.engine import job_rules, machine_rules, pool_rules
from azure_batch_emulator.engine.entities import Job, JobSchedule, Node, Pool, Task
from azure_batch_emulator.engine.lag import CountsLag
from azure_batch_emulator.engine.timeline import Timeline
from azure_batch_emulator.executors.base import Executor, NodePlace
from azure_batch_emulator.wire.errors import BatchError


class AccountSettings(TypedDict, total=False):
    """What an account may be given besides.

    Attributes:
        quotas: limits; the object may be changed by the caller at any time.
        seed: makes ids of nodes repeatable.
        counts_lag: service seconds by which counts of tasks and nodes are behind.
        images: Marketplace images that pools may use; None for any.
        subscription: where subnets have to be; None for anywhere.
    """

    quotas: Quotas | None
    seed: int | None
    counts_lag: float
    images: machine_rules.Images | None
    subscription: str | None


class AccountState:
    """The resources of one account, and what it was given to work with.

    Args:
        account: its name.
        clock: the time.
        executor: what runs commands.
        settings: the others.
    """

    def __init__(self, account: str, clock: Clock, executor: Executor, **settings: Unpack[AccountSettings]) -> None:
        self.account = account
        self.clock = clock
        self.executor = executor
        self.quotas = settings.get("quotas") or Quotas()
        self._usual_quotas = replace(self.quotas)
        self.random = random.Random(settings.get("seed"))  # noqa: S311 - ids and samples, nothing secret
        self.serial = itertools.count(1)
        self._usual_lag = settings.get("counts_lag", COUNTS_LAG)
        self.lag = CountsLag(self._usual_lag, clock.service_seconds)
        self.images = settings.get("images")
        self.subscription = settings.get("subscription")
        self.endpoint = ""
        self.refuses_containers = False
        self.pool_table: dict[str, Pool] = {}
        self.job_table: dict[str, Job] = {}
        self.schedule_table: dict[str, JobSchedule] = {}
        self.applications: dict[str, dict[str, Any]] = {}
        self.timeline = Timeline()

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

    def jobs_of(self, schedule: JobSchedule) -> list[Job]:
        """The jobs that a schedule has made and that still exist."""
        return [job for job in self.job_table.values() if job.schedule_id == schedule.id]

    def place(self, node: Node) -> NodePlace:
        """The node's place for the executor."""
        return NodePlace(self.account, node.pool.id, node.id)

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

    def clear(self) -> None:
        """Forget all resources, and take limits back to what they were at first."""
        self.pool_table.clear()
        self.job_table.clear()
        self.schedule_table.clear()
        self.applications.clear()
        self.timeline = Timeline()
        self.lag.seconds = self._usual_lag
        for limit in fields(Quotas):
            setattr(self.quotas, limit.name, getattr(self._usual_quotas, limit.name))
