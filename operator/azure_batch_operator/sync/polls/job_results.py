"""The results of one job: counts, failed tasks, retries, nodes on which it fails; at its end also unfinished tasks."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterable, Awaitable, Mapping
from dataclasses import replace as replace_results
from typing import Any, NamedTuple

from msgspec.structs import replace

from azure_batch_operator.batch import BatchError, NotFoundError
from azure_batch_operator.batch.job_wire import Job
from azure_batch_operator.batch.wire import (
    NO_COUNTS,
    Task,
    TaskCountsResult,
    TaskExecution,
    TaskFailure,
    build,
)
from azure_batch_operator.reconcile.account.problems import judges_account
from azure_batch_operator.reconcile.job.changes import are_changing, noted_tasks
from azure_batch_operator.reconcile.job.failures import cause
from azure_batch_operator.reconcile.observed import FailedNode, FailedTask
from azure_batch_operator.reconcile.plan import Absent
from azure_batch_operator.sync.interest import JobSubscription
from azure_batch_operator.sync.mirror import JobResults
from azure_batch_operator.sync.polls.agreement import LISTED, Tasks, age
from azure_batch_operator.sync.polls.base import COUNTS_LAG, NEVER_STARTED, Poll, clock, options
from azure_batch_operator.sync.polls.tries import Tries, count
from azure_batch_operator.sync.polls.watch import Watch

logger = logging.getLogger(__name__)

_FAILED, _SUCCEEDED = "executionInfo/result eq 'failure'", "executionInfo/result eq 'success'"
_UNFINISHED = "state ne 'completed'"
_ALL_ENDED = "AllTasksCompleted"
_NODES_FAILED = "jobPreparationTaskExecutionInfo/result eq 'failure' or jobReleaseTaskExecutionInfo/result eq 'failure'"
_MAX_FAILED_KEPT = 200
_MAX_FAILED_LISTED = 2000
"""Beyond this the service's own count is taken while the job continues; at its end they are counted."""
_MAX_FAILED_FOLLOWED = 100_000
"""Failed tasks that are kept in brief where tasks depend on others: whether the rest can ever run depends on each of them."""
_MAX_SUCCEEDED_LISTED = 20_000
"""Tasks that have succeeded are listed up to this, once, where counts and lists have not agreed in time."""
_MAX_TAILS = 20
_MAX_NODES = 20
_PATIENCE = 3
"""Times that something may fail that no verdict depends on, before the job is read without it."""


class JobReader(Poll):
    """Reads what has become of a job's tasks."""

    async def read(self, id: str, job: Mapping[str, Any], results: JobResults, watch: Watch) -> None:
        """Counts of a job, and its failed tasks if their number has grown; at its end until lists and counts agree (`agreement`).

        Args:
            results: what was known; what is read goes there as it comes, so it counts although a later call fails.

        Raises:
            BatchError: if a call failed; NotFoundError if the job is gone.
        """
        wish = self._interest.wishes.get(id, JobSubscription())
        ended = job.get("state") == "completed"
        answer = await self._client.jobs.get_task_counts(id, **options())
        found = build(TaskCountsResult, answer)
        counts = results.counts = found.task_counts
        results.slots = found.task_slot_counts
        there = counts.active + counts.running + counts.completed
        watch.speed.add(time.time(), counts.completed, max(there, wish.total))
        results.per_minute, results.estimated_end = watch.speed.per_minute, watch.speed.estimated_end
        if ended:
            await self._read_end(id, job, wish, results, watch)
            return
        await self._failures(id, wish, results, watch, ended=False)
        await self._tries(id, results, watch, ended=False)
        if wish.preparation and results.waiting:
            await self._optional(watch, "preparation", self._failed_nodes(id, results))

    async def _read_end(
        self, id: str, job: Mapping[str, Any], wish: JobSubscription, results: JobResults, watch: Watch
    ) -> None:
        """The lists of a job that has ended; they are its result once every task of it is accounted for (`agreement`)."""
        counts, wait = results.counts or NO_COUNTS, watch.wait
        wait.begin(clock(), age(job, time.time()))
        over, known = wait.is_over(clock()), self._known(id, job, wish)
        all_ended = (job.get("executionInfo") or {}).get("terminateReason") == _ALL_ENDED

        def tasks() -> Tasks:
            return Tasks(counts, results.failed_count, wait.unfinished or 0, known.number, wish.has_added, all_ended)

        first = wait.unfinished is None
        if first or over or tasks().total <= LISTED or tasks().lists_lag:
            await self._failures(id, wish, results, watch, ended=True)
            if first:
                await self._tries(id, results, watch, ended=True)
                if wish.preparation:
                    await self._optional(watch, "preparation", self._failed_nodes(id, results))
            wait.unfinished = await self._number(id, _UNFINISHED)
        read = tasks()
        agree = read.agree and (not known.changing or await self._is_found(id, read, results))
        if over and not agree:
            results.lost = max(0, read.total - await self._seen(id, read, results, watch))
            logger.warning(
                "The tasks of job %r do not add up %.0f s after its end: its result is that of the lists, %d failed, %d "
                "unfinished and %d not found of at least %d",
                id, COUNTS_LAG, read.failed, read.unfinished, results.lost, read.total,
            )  # fmt: skip
        elif not (agree or (not known.changing and await self._add_up(id, read))):
            wait.go_on(clock())
            results.awaits_counts = True
            if wait.is_settled(clock()):
                watch.end = job, replace_results(results, unfinished=wait.unfinished, awaits_counts=False)
            return
        results.unfinished, results.awaits_counts = wait.unfinished, False
        watch.end = None

    def _known(self, id: str, job: Mapping[str, Any], wish: JobSubscription) -> _Known:
        """How many tasks the job has at least: its own, its job manager task, and BatchTasks that have run or may be in it."""
        table, wanted = self._mirror.tasks.get(id), self._interest.tasks.get(id, {})
        there = {task for task in wanted if table is None or table.get(task) is not Absent.NOT_FOUND}
        seen = build(Job, job)
        # One that was being replaced may be missing for good: no counts will ever show it.
        changing = are_changing(seen) and wish.total <= LISTED
        own = wish.total if noted_tasks(seen)[0] and not changing else 0
        return _Known(own + wish.has_manager + len(there | wish.ran(job.get("creationTime"))), changing=changing)

    async def _is_found(self, id: str, read: Tasks, results: JobResults) -> bool:
        """Whether lists show as many tasks as the service counts, where the operator does not know how many there are."""
        if read.total > LISTED:
            return True
        succeeded = await self._number(id, _SUCCEEDED, most=LISTED)
        results.found = succeeded + read.failed + read.unfinished
        return results.found == read.there

    async def _add_up(self, id: str, read: Tasks) -> bool:
        """Whether the tasks that have succeeded are all others; listed only where that takes one page."""
        if read.total > LISTED:
            return False
        try:
            return read.add_up(await self._number(id, _SUCCEEDED, most=LISTED))
        except BatchError as error:
            # The counts may still confirm the result, and when the time is over it does not depend on the list.
            logger.info("The tasks of job %r that have succeeded could not be listed: %s", id, error)
            return False

    async def _seen(self, id: str, read: Tasks, results: JobResults, watch: Watch) -> int:
        """How many tasks are there when the time is over; no task is missing if neither a list nor the counts can tell."""
        listed: list[int] = []

        async def ask() -> None:
            listed.append(await self._number(id, _SUCCEEDED, most=_MAX_SUCCEEDED_LISTED))

        await self._optional(watch, "succeeded", ask())
        if not listed or listed[0] >= _MAX_SUCCEEDED_LISTED:
            results.found = None
            return read.seen
        results.found = max(read.there, read.failed + read.unfinished + listed[0])
        return results.found

    async def _number(self, id: str, filter: str, *, most: int | None = None) -> int:
        """How many tasks a list shows; it is read no further than to `most`."""
        number = 0
        async for _ in self._client.tasks.list(id, filter=filter, select=("id",), **options()).of(Task):
            number += 1
            if number == most:
                break
        return number

    async def read_rest(self, id: str, results: JobResults, watch: Watch) -> None:
        """Go on with retries and requeues of a job that has ended and whose result is known.

        Raises:
            BatchError: as `read` does.
        """
        await self._tries(id, results, watch, ended=True)

    async def _tries(self, id: str, results: JobResults, watch: Watch, *, ended: bool) -> None:
        wish, left = self._interest.wishes.get(id, JobSubscription()), list[bool]()
        await self._optional(watch, "tries", self._count_tries(id, wish, results, watch.tries, left, ended=ended))
        # No result depends on them: what could not be read after a few failures is left out.
        results.tries_left = ended and bool(left and left[0])

    async def _optional(self, watch: Watch, what: str, asking: Awaitable[None]) -> str:
        """Ask for something that no verdict depends on; after a few failures continue without it, and return why.

        Raises:
            BatchError: for the first failures, and if the job is gone or the account does not answer.
        """
        try:
            await asking
        except BatchError as error:
            watch.failures[what] += 1
            if isinstance(error, NotFoundError) or judges_account(error) or watch.failures[what] < _PATIENCE:
                raise
            logger.info("Continuing without optional data: %s", error)
            return f"it could not be read ({error.code or type(error).__name__})"
        watch.failures.pop(what, None)
        return ""

    async def _failures(
        self, id: str, wish: JobSubscription, results: JobResults, watch: Watch, *, ended: bool
    ) -> None:
        number = (results.counts or NO_COUNTS).failed
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
        self, job_id: str, known: list[FailedTask], wish: JobSubscription, watch: Watch
    ) -> tuple[list[FailedTask], int]:
        tails = {task.id: task for task in known if task.stderr_tail is not None}
        causes: set[tuple[int | None, str | None, str | None]] = set()
        failed: list[FailedTask] = []
        number = 0
        listed = self._client.tasks.list(job_id, filter=_FAILED, select=("id", "executionInfo"), **options())
        async for task in listed.of(Task):
            number += 1
            if len(failed) >= _MAX_FAILED_KEPT:
                if wish.dependencies and len(failed) < _MAX_FAILED_FOLLOWED:
                    failed.append(_brief(task))
                continue
            entry = FailedTask(task.id, task.execution)
            if cause(entry) not in causes and len(causes) < _MAX_TAILS:
                causes.add(cause(entry))
                before = tails.get(task.id)
                if before is not None and before.execution == entry.execution:
                    entry = before
                elif wish.tail_lines:
                    entry = await self._with_stderr(job_id, entry, wish.tail_lines, watch)
            failed.append(entry)
        return failed, number

    async def _count_tries(
        self, id: str, wish: JobSubscription, results: JobResults, tries: Tries, left: list[bool], *, ended: bool
    ) -> None:
        counts = results.counts or NO_COUNTS
        if not (ended or wish.tries or tries.due(counts, shown=wish.tries_shown)):
            return
        members = ("id", "stateTransitionTime", "executionInfo")

        def since(filter: str) -> AsyncIterable[Task]:
            return self._client.tasks.list(id, filter=filter, select=members, **options()).of(Task)

        # After a restart it is counted again; the status and the metric continue from what was known.
        before = max(wish.retries, tries.retries), max(wish.requeues, tries.requeues)
        left.append(not await tries.read(since, counts, waiting=wish.tries and not ended, ended=ended))
        results.retries, results.requeues = max(before[0], tries.retries), max(before[1], tries.requeues)
        results.most_requeues = tries.most_requeues
        namespaces = {key.namespace for key in self._interest.jobs.get(id, ())}
        count(namespaces, results.retries - before[0], results.requeues - before[1])

    async def _with_stderr(self, job_id: str, task: FailedTask, lines: int, watch: Watch) -> FailedTask:
        if not task.execution.has_started:
            return replace(task, stderr_tail="", stderr_problem=NEVER_STARTED)
        read: list[tuple[str, str | None]] = []

        async def ask() -> None:
            read.append(await self._tail(job_id, task.id, "stderr.txt", lines))

        problem = await self._optional(watch, f"output of {task.id}", ask())
        tail, why = read[0] if read else ("", problem)
        return replace(task, stderr_tail=tail, stderr_problem=why or None)

    async def _failed_nodes(self, id: str, results: JobResults) -> None:
        """Nodes on which the preparation or release task has failed, the first twenty of them."""
        found: list[FailedNode] = []
        try:
            listed = self._client.jobs.list_preparation_and_release_status(id, filter=_NODES_FAILED, **options())
            async for node in listed:
                for task in ("preparation", "release"):
                    info = node.get(f"job{task.capitalize()}TaskExecutionInfo") or {}
                    if info.get("result") == "failure" and len(found) < _MAX_NODES:
                        found.append(_failed_node(task, str(node.get("nodeId", "")), info))
        except NotFoundError:
            raise
        except BatchError as error:
            if error.status != 409:
                raise
        results.node_failures = found


class _Known(NamedTuple):
    """What is known of the tasks of a completed job before they are read.

    Attributes:
        number: how many it has at least.
        changing: whether its own tasks were being brought in line with other sources, so that lists alone tell which there are.
    """

    number: int
    changing: bool


def _brief(task: Task) -> FailedTask:
    """What decides of a failed task whether others that depend on it can run, and to which group it belongs."""
    info, failure = task.execution, task.execution.failure
    said = TaskFailure(category=failure.category, code=failure.code)
    return FailedTask(task.id, TaskExecution(exit_code=info.exit_code, failure_info=said))


def _failed_node(task: str, node_id: str, info: Mapping[str, Any]) -> FailedNode:
    failure = info.get("failureInfo") or {}
    return FailedNode(task, node_id, info.get("exitCode"), failure.get("code"), failure.get("message"))
