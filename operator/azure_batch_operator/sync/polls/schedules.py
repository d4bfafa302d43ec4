"""Job schedules: one list for all; per schedule that has open jobs one list of its jobs (batch-semantics §4.5)."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from azure_batch_operator.batch import NotFoundError
from azure_batch_operator.sync.polls.base import News, Poll, clock, options

_MEMBERS = ("id", "eTag", "state", "schedule", "jobSpecification", "executionInfo", "metadata", "stats")
_JOB_MEMBERS = ("id", "state", "executionInfo")
HISTORY = 10
"""Jobs of a schedule that are kept."""


def _serial(job: Mapping[str, Any]) -> int:
    """Ids are `<schedule>:job-<n>`; later jobs have higher numbers."""
    number = str(job["id"]).rpartition("-")[2]
    return int(number) if number.isdigit() else 0


class SchedulePoll(Poll):
    """Schedules and their last jobs."""

    async def poll(self, news: News) -> None:
        """One list of schedules."""
        began = clock()
        table, interest = self._mirror.schedules, self._interest.schedules
        found = self._client.job_schedules.list(select=_MEMBERS, expand=("stats",), **options())
        schedules = [schedule async for schedule in found]
        told = interest.keys() if table.first else ()
        for id in {*table.replace(began, schedules), *told}:
            news.moved |= interest.get(id, set())

    def steps(self, news: News) -> list[Awaitable[None]]:
        """What has to be asked for each schedule by itself: nothing, once all of its jobs have ended."""
        for id in self._mirror.schedule_jobs.keys() - self._interest.schedules.keys():
            del self._mirror.schedule_jobs[id]
        return [self._jobs(id, news) for id in list(self._interest.schedules) if self._to_be_read(id)]

    def _to_be_read(self, id: str) -> bool:
        schedule, known = self._mirror.schedules.latest(id), self._mirror.schedule_jobs.get(id)
        if schedule is None or schedule.get("state") == "deleting":
            return False
        recent = ((schedule.get("executionInfo") or {}).get("recentJob") or {}).get("id")
        newest = known[0]["id"] if known else None
        return known is None or recent != newest or any(job.get("state") != "completed" for job in known)

    async def _jobs(self, id: str, news: News) -> None:
        before = {job["id"]: job for job in self._mirror.schedule_jobs.get(id, ())}
        try:
            found = self._client.jobs.list_from_schedule(id, select=_JOB_MEMBERS, **options())
            jobs = sorted([job async for job in found], key=_serial, reverse=True)[:HISTORY]
            entries = [await self._entry(job, before.get(job["id"])) for job in jobs]
        except NotFoundError:
            return
        if entries != self._mirror.schedule_jobs.get(id):
            self._mirror.schedule_jobs[id] = entries
            news.changed |= self._interest.schedules.get(id, set())

    async def _entry(self, job: Mapping[str, Any], before: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """A job with the results of its tasks, which are asked for once it has ended."""
        if job.get("state") != "completed":
            return job
        if before is not None and "taskCounts" in before:
            return dict(job) | {"taskCounts": before["taskCounts"]}
        counts = await self._client.jobs.get_task_counts(job["id"], **options())
        return dict(job) | {"taskCounts": counts["taskCounts"]}
