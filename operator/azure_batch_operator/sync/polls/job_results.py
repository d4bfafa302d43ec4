"""The results of one job's tasks: counts, failed tasks, tries, nodes on which it fails; at its end also what has not ended."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterable, Awaitable, Mapping
from typing import Any

from azure_batch_operator.batch import BatchError, NotFoundError
from azure_batch_operator.reconcile.account.problems import judges_account
from azure_batch_operator.reconcile.job.failures import cause
from azure_batch_operator.sync.mirror import JobResults, JobSubscription
from azure_batch_operator.sync.polls.base import NEVER_STARTED, Poll, has_started, options
from azure_batch_operator.sync.polls.tries import Tries, count
from azure_batch_operator.sync.polls.watch import Watch

logger = logging.getLogger(__name__)

_FAILED = "executionInfo/result eq 'failure'"
_NODES_FAILED = "jobPreparationTaskExecutionInfo/result eq 'failure' or jobReleaseTaskExecutionInfo/result eq 'failure'"
_MAX_FAILED_KEPT = 200
_MAX_FAILED_LISTED = 2000
"""Beyond this the service's own count is taken while the job goes on; at its end they are counted."""
_MAX_FAILED_FOLLOWED = 100_000
"""Failed tasks that are kept in brief where tasks depend on others: whether the rest can ever run depends on each of them."""
_MAX_TAILS = 20
_MAX_NODES = 20
_PATIENCE = 3
"""Times that something may fail that no verdict depends on, before the job is read without it."""


class JobReader(Poll):
    """Reads what has become of a job's tasks."""

    async def read(self, id: str, job: Mapping[str, Any], results: JobResults, watch: Watch) -> None:
        """Counts of a job, and its failed tasks if their number has grown; at its end also how many have not ended.

        Args:
            results: what was known; what is read goes there as it comes, so it counts although a later call fails.

        Raises:
            BatchError: if a call failed; NotFoundError if the job is gone.
        """
        wish = self._interest.wishes.get(id, JobSubscription())
        ended = job.get("state") == "completed"
        answer = await self._client.jobs.get_task_counts(id, **options())
        counts = results.counts = answer["taskCounts"]
        results.slots = answer.get("taskSlotCounts")
        there = sum(int(counts.get(state, 0)) for state in ("active", "running", "completed"))
        watch.speed.add(time.time(), int(counts.get("completed", 0)), max(there, wish.total))
        results.per_minute, results.estimated_end = watch.speed.per_minute, watch.speed.estimated_end
        await self._failures(id, wish, results, watch, ended=ended)
        await self._optional(watch, "tries", self._count_tries(id, wish, results, watch.tries, ended=ended))
        if wish.preparation and (ended or results.waiting):
            await self._optional(watch, "preparation", self._failed_nodes(id, results))
        if ended:
            pending = self._client.tasks.list(id, filter="state ne 'completed'", select=("id",), **options())
            number = 0
            async for _ in pending:
                number += 1
            results.unfinished = number

    async def _optional(self, watch: Watch, what: str, asking: Awaitable[None]) -> str:
        """Ask for something that no verdict depends on; after a few failures go on without it, and return why.

        Raises:
            BatchError: for the first failures, and if the job is gone or the account does not answer.
        """
        try:
            await asking
        except BatchError as error:
            watch.failures[what] += 1
            if isinstance(error, NotFoundError) or judges_account(error) or watch.failures[what] < _PATIENCE:
                raise
            logger.info("Went on without it: %s", error)
            return f"it could not be read ({error.code or type(error).__name__})"
        watch.failures.pop(what, None)
        return ""

    async def _failures(
        self, id: str, wish: JobSubscription, results: JobResults, watch: Watch, *, ended: bool
    ) -> None:
        number = int((results.counts or {}).get("failed", 0))
        # When nothing runs any more, what is left may depend on any of them.
        known = min(results.failed_count, _MAX_FAILED_FOLLOWED if wish.dependencies and results.waiting else 0)
        if not ended and number == results.failed_count and len(results.failed) >= known:
            return
        many = min(number, results.failed_count) > _MAX_FAILED_LISTED
        if not ended and many and not (wish.dependencies and results.waiting):
            results.failed_count = number
            return
        found = await self._failed_tasks(id, results.failed, wish, watch)
        results.failed, results.failed_count = found

    async def _failed_tasks(
        self, job_id: str, known: list[Mapping[str, Any]], wish: JobSubscription, watch: Watch
    ) -> tuple[list[Mapping[str, Any]], int]:
        tails = {task["id"]: task for task in known if "stderrTail" in task}
        causes: set[tuple[Any, ...]] = set()
        failed: list[Mapping[str, Any]] = []
        number = 0
        async for task in self._client.tasks.list(job_id, filter=_FAILED, select=("id", "executionInfo"), **options()):
            number += 1
            if len(failed) >= _MAX_FAILED_KEPT:
                if wish.dependencies and len(failed) < _MAX_FAILED_FOLLOWED:
                    failed.append(_brief(task))
                continue
            entry = {"id": task["id"], "executionInfo": task.get("executionInfo") or {}}
            if cause(entry) not in causes and len(causes) < _MAX_TAILS:
                causes.add(cause(entry))
                before = tails.get(task["id"])
                if before is not None and before["executionInfo"] == entry["executionInfo"]:
                    entry = dict(before)
                elif wish.tail_lines:
                    tail = self._stderr(job_id, entry, wish.tail_lines)
                    if problem := await self._optional(watch, f"output of {task['id']}", tail):
                        entry |= {"stderrTail": "", "stderrProblem": problem}
            failed.append(entry)
        return failed, number

    async def _count_tries(
        self, id: str, wish: JobSubscription, results: JobResults, tries: Tries, *, ended: bool
    ) -> None:
        counts = results.counts or {}
        if not (ended or wish.tries or tries.due(counts, shown=wish.tries_shown)):
            return
        members = ("id", "stateTransitionTime", "executionInfo")

        def since(filter: str) -> AsyncIterable[Mapping[str, Any]]:
            return self._client.tasks.list(id, filter=filter, select=members, **options())

        # After a restart it is counted again; the status and the metric go on from what was known.
        before = max(wish.retries, tries.retries), max(wish.requeues, tries.requeues)
        await tries.read(since, counts, waiting=wish.tries and not ended, ended=ended)
        results.retries, results.requeues = max(before[0], tries.retries), max(before[1], tries.requeues)
        results.most_requeues = tries.most_requeues
        namespaces = {key.namespace for key in self._interest.jobs.get(id, ())}
        count(namespaces, results.retries - before[0], results.requeues - before[1])

    async def _stderr(self, job_id: str, entry: dict[str, Any], lines: int) -> None:
        if not has_started(entry):
            entry |= {"stderrTail": "", "stderrProblem": NEVER_STARTED}
            return
        entry["stderrTail"], problem = await self._tail(job_id, entry["id"], "stderr.txt", lines)
        if problem:
            entry["stderrProblem"] = problem

    async def _failed_nodes(self, id: str, results: JobResults) -> None:
        """Nodes on which the preparation or release task has failed, the first twenty of them."""
        found: list[Mapping[str, Any]] = []
        try:
            listed = self._client.jobs.list_preparation_and_release_status(id, filter=_NODES_FAILED, **options())
            async for node in listed:
                for task in ("preparation", "release"):
                    info = node.get(f"job{task.capitalize()}TaskExecutionInfo") or {}
                    if info.get("result") == "failure" and len(found) < _MAX_NODES:
                        found.append(_node_failure(task, node, info))
        except NotFoundError:
            raise
        except BatchError as error:
            if error.status != 409:
                raise
        results.node_failures = found


def _brief(task: Mapping[str, Any]) -> dict[str, Any]:
    """What decides of a failed task whether others that depend on it can run, and to which group it belongs."""
    info = task.get("executionInfo") or {}
    failure = info.get("failureInfo") or {}
    said = {"failureInfo": {name: failure[name] for name in ("category", "code") if name in failure}}
    return {"id": task["id"], "executionInfo": said | {name: info[name] for name in ("exitCode",) if name in info}}


def _node_failure(task: str, node: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    failure = info.get("failureInfo") or {}
    entry = {
        "task": task, "nodeId": node.get("nodeId"), "exitCode": info.get("exitCode"), "code": failure.get("code"),
        "message": failure.get("message"),
    }  # fmt: skip
    return {name: value for name, value in entry.items() if value is not None}
