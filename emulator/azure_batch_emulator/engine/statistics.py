"""Lifetime statistics, for ``$expand=stats``: derived from what the resources know, never sampled."""

from __future__ import annotations

from typing import Any

from azure_batch_emulator.engine import pool_rules
from azure_batch_emulator.engine.entities import Job, JobSchedule, Pool, Task
from azure_batch_emulator.engine.state import AccountState
from azure_batch_emulator.wire.durations import format_duration
from azure_batch_emulator.wire.ticks import TICKS_PER_SECOND, format_timestamp


class Statistics:
    """Computes the ``stats`` member of pools, jobs, schedules and tasks."""

    def __init__(self, state: AccountState) -> None:
        self._state = state

    def pool(self, base: str, pool: Pool) -> dict[str, Any]:
        """Usage of a pool: core time of its present nodes since their allocation."""
        now = self._state.clock.now()
        cores = pool_rules.cores_of(pool.spec["vmSize"])
        used = sum((now - node.allocated) * cores for node in pool.nodes.values() if node.dedicated)
        span = {"startTime": format_timestamp(pool.created), "lastUpdateTime": format_timestamp(now)}
        usage = span | {"dedicatedCoreTime": format_duration(used)}
        return {"url": f"{base}/pools/{pool.id}/stats"} | span | {"usageStats": usage}

    def job(self, base: str, job: Job) -> dict[str, Any]:
        """Sums over the job's tasks."""
        return self._sum(f"{base}/jobs/{job.id}/stats", job.created, list(job.tasks.values()))

    def schedule(self, base: str, schedule: JobSchedule) -> dict[str, Any]:
        """Sums over all tasks of the schedule's jobs."""
        tasks = [task for job in self._state.jobs_of(schedule) for task in job.tasks.values()]
        return self._sum(f"{base}/jobschedules/{schedule.id}/stats", schedule.created, tasks)

    def task(self, base: str, task: Task) -> dict[str, Any]:
        """Times of one task."""
        body = self._sum(f"{base}/jobs/{task.job.id}/tasks/{task.id}/stats", task.created, [task])
        for name in ("numSucceededTasks", "numFailedTasks", "numTaskRetries"):
            del body[name]
        return body

    def _sum(self, url: str, created: int, tasks: list[Task]) -> dict[str, Any]:
        now = self._state.clock.now()
        running = waiting = 0
        for task in tasks:
            if task.start_time is not None:
                running += max(0, (task.end_time or now) - task.start_time)
            waiting += max(0, (task.start_time or task.end_time or now) - task.created)
        ended = [task for task in tasks if task.state == "completed"]
        return {
            "url": url,
            "startTime": format_timestamp(created),
            "lastUpdateTime": format_timestamp(now),
            # The emulator does not meter processors: a task is taken to have used one core while it ran.
            "userCPUTime": format_duration(running),
            "kernelCPUTime": "PT0S",
            "wallClockTime": format_duration(running),
            "readIOps": "0",
            "writeIOps": "0",
            "readIOGiB": 0.0,
            "writeIOGiB": 0.0,
            "numSucceededTasks": str(sum(task.result == "success" for task in ended)),
            "numFailedTasks": str(sum(task.result == "failure" for task in ended)),
            "numTaskRetries": str(sum(task.retry_count for task in tasks)),
            "waitTime": format_duration(waiting // TICKS_PER_SECOND * TICKS_PER_SECOND),
        }
