"""Jobs: one list for all, and per open job its task counts and its failed tasks (batch-semantics §4.3, §8)."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from azure_batch_operator.batch import NotFoundError
from azure_batch_operator.reconcile.failures import cause
from azure_batch_operator.sync.mirror import JobResults
from azure_batch_operator.sync.polls.base import News, Poll, clock, options

_JOB_MEMBERS = (
    "id", "state", "executionInfo", "metadata", "poolInfo", "priority", "maxParallelTasks", "allowTaskPreemption",
    "constraints", "onAllTasksComplete",
)  # fmt: skip
_FAILED = "executionInfo/result eq 'failure'"
_MOST_FAILED_KEPT = 200
_MOST_TAILS = 20


class JobPoll(Poll):
    """Jobs, and the results of those that somebody watches."""

    async def poll(self, news: News) -> None:
        """One list of jobs."""
        began = clock()
        interest = self._interest
        jobs = [job async for job in self._client.jobs.list(select=_JOB_MEMBERS, **options())]
        told = interest.jobs.keys() if self._mirror.jobs.first else ()
        if self._mirror.jobs.first:
            news.changed |= {key for tasks in interest.tasks.values() for keys in tasks.values() for key in keys}
        for id in {*self._mirror.jobs.replace(began, jobs), *told}:
            news.moved |= interest.jobs.get(id, set())

    def steps(self, news: News) -> list[Awaitable[None]]:
        """What has to be asked for each job by itself."""
        steps: list[Awaitable[None]] = []
        for id in list(self._interest.jobs):
            if self._mirror.jobs.alive(id):
                steps.append(self._results(id, news))
            else:
                self._mirror.results.pop(id, None)
        return steps

    async def _results(self, id: str, news: News) -> None:
        """Counts of a job, and its failed tasks if their number has grown; at the end also what has not ended."""
        job, known = self._mirror.jobs.latest(id) or {}, self._mirror.results[id]
        ended = job.get("state") == "completed"
        if ended and known.unfinished is not None:
            return
        try:
            counts = (await self._client.jobs.get_task_counts(id, **options()))["taskCounts"]
            results = JobResults(counts, known.failed, known.failed_count)
            if ended or counts.get("failed", 0) != known.failed_count:
                results.failed, results.failed_count = await self._failed_tasks(id, known.failed)
            if ended:
                pending = self._client.tasks.list(id, filter="state ne 'completed'", select=("id",), **options())
                results.unfinished = len([task async for task in pending])
        except NotFoundError:
            return
        if results != known:
            self._mirror.results[id] = results
            news.changed |= self._interest.jobs.get(id, set())

    async def _failed_tasks(self, job_id: str, known: list[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], int]:
        tails = {task["id"]: task["stderrTail"] for task in known if "stderrTail" in task}
        causes: set[tuple[Any, ...]] = set()
        failed: list[Mapping[str, Any]] = []
        number = 0
        async for task in self._client.tasks.list(job_id, filter=_FAILED, select=("id", "executionInfo"), **options()):
            number += 1
            if len(failed) >= _MOST_FAILED_KEPT:
                continue
            entry = {"id": task["id"], "executionInfo": task.get("executionInfo") or {}}
            if cause(entry) not in causes and len(causes) < _MOST_TAILS:
                causes.add(cause(entry))
                tail = tails.get(task["id"])
                entry["stderrTail"] = await self._stderr(job_id, task["id"]) if tail is None else tail
            failed.append(entry)
        return failed, number
