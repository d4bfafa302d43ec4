"""Jobs: one list for all, and per open job its task counts and its failed tasks (batch-semantics §4.3, §8)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Awaitable, Mapping
from dataclasses import replace
from typing import Any

from azure_batch_operator.batch import BatchClient, BatchError, NotFoundError
from azure_batch_operator.reconcile.failures import cause
from azure_batch_operator.sync.mirror import Interest, JobResults, JobWish, Mirror
from azure_batch_operator.sync.polls.base import News, Poll, clock, options
from azure_batch_operator.sync.polls.speed import Speed
from azure_batch_operator.sync.polls.tries import Tries, count

_JOB_MEMBERS = (
    "id", "eTag", "state", "previousState", "stateTransitionTime", "executionInfo", "metadata", "poolInfo", "priority",
    "maxParallelTasks", "allowTaskPreemption", "constraints", "onAllTasksComplete", "networkConfiguration",
    "usesTaskDependencies",
)  # fmt: skip
_FAILED = "executionInfo/result eq 'failure'"
_NODES_FAILED = "jobPreparationTaskExecutionInfo/result eq 'failure' or jobReleaseTaskExecutionInfo/result eq 'failure'"
_MOST_FAILED_KEPT = 200
_MOST_FAILED_LISTED = 2000
"""Beyond this the service's own count is taken while the job goes on; at its end they are counted."""
_MOST_TAILS = 20
_MOST_NODES = 20


class JobPoll(Poll):
    """Jobs, and the results of those that somebody watches."""

    def __init__(self, client: BatchClient, mirror: Mirror, interest: Interest) -> None:
        super().__init__(client, mirror, interest)
        self._speeds: dict[str, Speed] = {}
        self._tries: dict[str, Tries] = {}
        self._pools: dict[str, Any] = {}
        self._states: dict[str, Any] = {}

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
        self._tell_tasks(news)
        self._tell_waiting(news)

    def _tell_tasks(self, news: News) -> None:
        """Tasks are told when their job comes, goes or changes its state: where it has no BatchJob, nobody else would."""
        states = {id: (self._mirror.jobs.latest(id) or {}).get("state") for id in self._interest.tasks}
        for id, state in states.items():
            if id in self._states and self._states[id] != state:
                news.changed |= {key for keys in self._interest.tasks[id].values() for key in keys}
        self._states = states

    def _tell_waiting(self, news: News) -> None:
        """Jobs none of whose tasks runs say why, so they are told when their pool looks different."""
        mirror, now = self._mirror, {}
        for id, keys in self._interest.jobs.items():
            results, job = mirror.results.get(id), mirror.jobs.latest(id)
            if results is None or job is None or not results.waiting:
                continue
            pool = pool_of(job).lower()
            if pool not in now:
                now[pool] = (mirror.pools.latest(pool), mirror.node_counts.get(pool))
            if self._pools.get(pool) != now[pool]:
                news.changed |= keys
        self._pools = now

    def steps(self, news: News) -> list[Awaitable[None]]:
        """What has to be asked for each job by itself."""
        steps: list[Awaitable[None]] = []
        for known in (self._speeds, self._tries):
            for id in known.keys() - self._interest.jobs.keys():
                del known[id]
        for id in list(self._interest.jobs):
            if self._mirror.jobs.alive(id):
                steps.append(self._results(id, news))
            else:
                self._mirror.results.pop(id, None)
        return steps

    async def _results(self, id: str, news: News) -> None:
        """Counts of a job, and its failed tasks if their number has grown; at the end also what has not ended."""
        job, known = self._mirror.jobs.latest(id) or {}, self._mirror.results[id]
        wish = self._interest.wishes.get(id, JobWish())
        ended = job.get("state") == "completed"
        if ended and known.unfinished is not None:
            return
        try:
            answer = await self._client.jobs.get_task_counts(id, **options())
            counts = answer["taskCounts"]
            results = replace(known, counts=counts, slots=answer.get("taskSlotCounts"))
            await self._failures(id, wish, results, ended=ended)
            await self._count_tries(id, wish, results, ended=ended)
            if wish.preparation and (ended or results.waiting):
                results.node_failures = await self._failed_nodes(id)
            if ended:
                pending = self._client.tasks.list(id, filter="state ne 'completed'", select=("id",), **options())
                results.unfinished = len([task async for task in pending])
        except NotFoundError:
            return
        speed = self._speeds.setdefault(id, Speed())
        there = sum(int(counts.get(state, 0)) for state in ("active", "running", "completed"))
        speed.add(time.time(), int(counts.get("completed", 0)), max(there, wish.total))
        results.per_minute, results.estimated_end = speed.per_minute, speed.estimated_end
        if results.slots != known.slots:
            news.changed |= self._interest.pools.get(pool_of(job).lower(), set())
        if results != known:
            self._mirror.results[id] = results
            news.changed |= self._interest.jobs.get(id, set())

    async def _failures(self, id: str, wish: JobWish, results: JobResults, *, ended: bool) -> None:
        number = int((results.counts or {}).get("failed", 0))
        if not ended and number == results.failed_count:
            return
        if not ended and min(number, results.failed_count) > _MOST_FAILED_LISTED:
            results.failed_count = number
            return
        results.failed, results.failed_count = await self._failed_tasks(id, results.failed, wish.tail_lines)

    async def _failed_tasks(
        self, job_id: str, known: list[Mapping[str, Any]], lines: int
    ) -> tuple[list[Mapping[str, Any]], int]:
        tails = {task["id"]: task for task in known if "stderrTail" in task}
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
                before = tails.get(task["id"])
                if before is not None and before["executionInfo"] == entry["executionInfo"]:
                    entry = dict(before)
                elif lines:
                    entry["stderrTail"], problem = await self._tail(job_id, task["id"], "stderr.txt", lines)
                    entry |= {"stderrProblem": problem} if problem else {}
            failed.append(entry)
        return failed, number

    async def _count_tries(self, id: str, wish: JobWish, results: JobResults, *, ended: bool) -> None:
        tries, counts = self._tries.setdefault(id, Tries()), results.counts or {}
        if not (ended or wish.tries or tries.due(counts, shown=wish.tries_shown)):
            return
        members = ("id", "stateTransitionTime", "executionInfo")

        def since(filter: str) -> AsyncIterable[Mapping[str, Any]]:
            return self._client.tasks.list(id, filter=filter, select=members, **options())

        # After a restart it is counted anew; the status and the metric go on from what was known.
        before = max(wish.retries, tries.retries), max(wish.requeues, tries.requeues)
        await tries.read(since, counts, waiting=wish.tries and not ended, ended=ended)
        results.retries, results.requeues = max(before[0], tries.retries), max(before[1], tries.requeues)
        results.most_requeues = tries.most_requeues
        namespaces = {key.namespace for key in self._interest.jobs.get(id, ())}
        count(namespaces, results.retries - before[0], results.requeues - before[1])

    async def _failed_nodes(self, id: str) -> list[Mapping[str, Any]]:
        """Nodes on which the preparation or release task has failed, the first twenty of them."""
        found: list[Mapping[str, Any]] = []
        try:
            listed = self._client.jobs.list_preparation_and_release_status(id, filter=_NODES_FAILED, **options())
            async for node in listed:
                for task in ("preparation", "release"):
                    info = node.get(f"job{task.capitalize()}TaskExecutionInfo") or {}
                    if info.get("result") == "failure" and len(found) < _MOST_NODES:
                        found.append(_node_failure(task, node, info))
        except NotFoundError:
            raise
        except BatchError as error:
            if error.status != 409:
                raise
        return found


def pool_of(job: Mapping[str, Any]) -> str:
    """Id of the pool that a job runs on; empty if it is not known."""
    return str((job.get("poolInfo") or {}).get("poolId") or (job.get("executionInfo") or {}).get("poolId") or "")


def _node_failure(task: str, node: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    failure = info.get("failureInfo") or {}
    entry = {
        "task": task, "nodeId": node.get("nodeId"), "exitCode": info.get("exitCode"), "code": failure.get("code"),
        "message": failure.get("message"),
    }  # fmt: skip
    return {name: value for name, value in entry.items() if value is not None}
