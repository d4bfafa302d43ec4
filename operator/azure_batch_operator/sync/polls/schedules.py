"""Job schedules and their last jobs, which are found by number, so the length of the history does not matter."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

from azure_batch_operator.batch import BatchClient
from azure_batch_operator.reconcile.plan import Absent
from azure_batch_operator.reconcile.schedule.lifecycle import STATISTICS
from azure_batch_operator.shapes import whole_number
from azure_batch_operator.sync.interest import Interest
from azure_batch_operator.sync.mirror import Mirror
from azure_batch_operator.sync.polls.absences import Absences
from azure_batch_operator.sync.polls.base import COUNTS_LAG, News, Poll, clock, options
from azure_batch_operator.sync.polls.roll import Roll, id_filter
from azure_batch_operator.sync.polls.steps import Scope, Step, keys_of
from azure_batch_operator.sync.polls.watch import incarnation

_MEMBERS = (
    "id", "eTag", "creationTime", "state", "schedule", "jobSpecification", "executionInfo", "metadata", "stats",
)  # fmt: skip
_JOB_MEMBERS = ("id", "creationTime", "state", "executionInfo")
_NUMBERED = re.compile(r"(.*:job-)([0-9]{1,18})")
JOBS = "the jobs of schedule"
SCHEDULE = "job schedule"
HISTORY = 10
"""Jobs of a schedule that are kept."""


def _serial(job: Mapping[str, Any]) -> int:
    """Ids are `<schedule>:job-<n>`; later jobs have higher numbers."""
    return whole_number(str(job["id"]).rpartition("-")[2]) or 0


def last_ids(recent: str) -> list[str]:
    """Ids of the last jobs of a schedule whose most recent one is `recent`, newest first; none if it has no such number."""
    match = _NUMBERED.fullmatch(recent)
    if match is None:
        return []
    newest = int(match[2])
    return [f"{match[1]}{number}" for number in range(newest, max(0, newest - HISTORY), -1)]


class SchedulePoll(Poll):
    """Schedules and their last jobs."""

    def __init__(self, client: BatchClient, mirror: Mirror, interest: Interest) -> None:
        super().__init__(client, mirror, interest)
        self._roll = Roll(mirror.schedules, self._listed, self._got)
        # Jobs of a schedule go, too, between the list of them and the count of their tasks.
        self._absences = Absences(mirror.schedules, "jobschedulenotfound", "jobnotfound")
        self._created: dict[str, str] = {}
        self._read: dict[str, str | None] = {}
        self._ended: dict[str, dict[str, float]] = {}
        """By schedule and job: when a completed job was first seen whose counts may still change."""

    async def _listed(self, filter: str) -> AsyncIterator[Mapping[str, Any]]:
        async for schedule in self._client.job_schedules.list(
            filter=filter, select=_MEMBERS, expand=("stats",), **options()
        ):
            yield _counted(schedule)

    async def _got(self, id: str) -> Mapping[str, Any]:
        return _counted(await self._client.job_schedules.get(id, select=_MEMBERS, expand=("stats",), **options()))

    async def poll(self, news: News) -> None:
        """Find the schedules."""
        interest = self._interest.schedules
        for id in await self._roll.call(frozenset(interest)):
            news.moved |= interest.get(id, set())

    def steps(self) -> list[Step]:
        """Schedules whose jobs are to be read: nothing, while none of them comes or ends."""
        schedules, interest = self._mirror.schedules, self._interest.schedules
        for id in self._mirror.schedule_jobs.keys() - interest.keys():
            del self._mirror.schedule_jobs[id]
            self._read.pop(id, None)
            self._ended.pop(id, None)
            self._mirror.recounted.discard(id)
        for id in interest:
            created = incarnation(schedules.latest(id))
            if created and self._created.get(id, created) != created:
                # Its numbers begin again, and what its jobs are given is in its own notes.
                self._mirror.schedule_jobs.pop(id, None)
                self._mirror.recounted.discard(id)
                self._ended.pop(id, None)
                self._mirror.forget_schedule(id)
            if schedules.get(id) is Absent.NOT_FOUND:
                # Nothing is counted any more, and whoever follows it only for that may stop.
                self._mirror.recounted.discard(id)
                self._ended.pop(id, None)
            self._created[id] = created or self._created.get(id, "")
        self._created = {id: self._created[id] for id in interest}
        self._absences.keep(interest)
        jobs = [
            Step(Scope(JOBS, id), partial(self._jobs, id), keys_of(interest, id))
            for id in list(interest)
            if self._to_be_read(id)
        ]
        return [*self._roll.steps(SCHEDULE, lambda id: keys_of(interest, id)), *jobs]

    def _to_be_read(self, id: str) -> bool:
        schedule, known = self._mirror.schedules.latest(id), self._mirror.schedule_jobs.get(id)
        if schedule is None or schedule.get("state") == "deleting":
            return False
        if known is None or _recent(schedule) != self._read.get(id):
            return True
        if any(clock() - at >= COUNTS_LAG for at in self._ended.get(id, {}).values()):
            return True
        # The open ones are in the list of open jobs, as long as they are open.
        return any(
            (self._mirror.jobs.latest(str(job["id"])) or {}).get("state") != job.get("state")
            for job in known
            if job.get("state") != "completed"
        )

    async def _jobs(self, id: str, news: News) -> None:
        before = {job["id"]: job for job in self._mirror.schedule_jobs.get(id, ())}
        recent = _recent(self._mirror.schedules.latest(id) or {})
        with self._absences.noted(Scope(JOBS, id)):
            jobs = sorted(await self._last(id, recent), key=_serial, reverse=True)[:HISTORY]
            entries = [await self._entry(id, job, before.get(job["id"])) for job in jobs]
            kept, ended = {job["id"] for job in jobs}, self._ended.get(id, {})
            self._ended[id] = {job: at for job, at in ended.items() if job in kept}
            self._read[id] = recent
            # A schedule that has ended is polled until its counts are settled, so that they are is news.
            settled = id in self._mirror.recounted and not self._ended[id]
            if self._ended[id]:
                self._mirror.recounted.add(id)
            else:
                self._mirror.recounted.discard(id)
            if settled or entries != self._mirror.schedule_jobs.get(id):
                self._mirror.schedule_jobs[id] = entries
                news.changed |= self._interest.schedules.get(id, set())

    async def _last(self, id: str, recent: str | None) -> list[Mapping[str, Any]]:
        """The last jobs: by their ids, or all of them where those cannot be told from the most recent one."""
        if recent is None:
            return []
        ids = last_ids(recent)
        if not ids:
            return [job async for job in self._client.jobs.list_from_schedule(id, select=_JOB_MEMBERS, **options())]
        return [job async for job in self._client.jobs.list(filter=id_filter(ids), select=_JOB_MEMBERS, **options())]

    async def _entry(self, id: str, job: Mapping[str, Any], before: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """A job with the results of its tasks, which are asked for when it has ended, and again when counts have caught up."""
        if job.get("state") != "completed":
            return job
        ended, name = self._ended.setdefault(id, {}), job["id"]
        settled = name in ended and clock() - ended[name] >= COUNTS_LAG
        if not settled and before is not None and "taskCounts" in before and incarnation(before) == incarnation(job):
            return dict(job) | {"taskCounts": before["taskCounts"]}
        counts = await self._client.jobs.get_task_counts(name, **options())
        if settled:
            del ended[name]
        else:
            ended[name] = clock()
        return dict(job) | {"taskCounts": counts["taskCounts"]}


def _counted(schedule: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schedule with those of its statistics that are shown: times move whenever somebody looks, so it would never be at rest
    (tests/histories/stored/schedule-at-rest.json)."""
    stats = schedule.get("stats")
    if not isinstance(stats, Mapping):
        return schedule
    return dict(schedule) | {"stats": {name: stats[name] for name in STATISTICS if name in stats}}


def _recent(schedule: Mapping[str, Any]) -> str | None:
    return ((schedule.get("executionInfo") or {}).get("recentJob") or {}).get("id")
