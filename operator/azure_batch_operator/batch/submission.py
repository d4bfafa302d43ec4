"""Adds any number of tasks to a job: `BatchClient.add_tasks`.

Tasks are read from an iterable as needed, and packed into collections of at most 100 tasks and 1 MiB
(docs/azure-batch.md#task-collections). Several collections are sent concurrently; only those are in memory. Each task has one
result:

    the service added it                       a success
    it exists                                  `compare` decides: a success, or AlreadyExistsError
    it cannot be added (ClientError)           a failure with the service's error
    the service failed (ServerError)           retried with backoff; a failure after the last attempt
    the service did not mention it             the same
    it alone is too large for a call           a failure with TooLargeError

A collection that is too large for the service is halved, and later ones are smaller. If a whole call fails, for example because
the job is completed, the submission ends with its error. It can be repeated: tasks that were added before are reported as
existing.
"""

import asyncio
import itertools
import random
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
)
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, cast

from azure_batch_operator.batch.caller import Caller, Json, JsonBody
from azure_batch_operator.batch.errors import AlreadyExistsError, BatchError, ServerError, TooLargeError, UsageError
from azure_batch_operator.batch.models.base import Model
from azure_batch_operator.batch.models.enums import TaskAddStatus
from azure_batch_operator.batch.requests import encode
from azure_batch_operator.batch.responses import TaskAddResult
from azure_batch_operator.batch.retry import RetryPolicy

MAX_TASKS = 100
MAX_BYTES = 1 << 20
_OPERATION = "Tasks_CreateTaskCollection"
_ID_OF, _STATUS_OF = attrgetter("task_id"), attrgetter("status")

Compare = Callable[[Json], Awaitable[bool]]
"""Gets a task that exists already; returns whether the existing one is the one that was wanted."""


_Chunk = dict[str, Json]
"""Tasks of one call by id. A plain dict, because there are as many as tasks."""


@dataclass(slots=True)
class _Outcome:
    """The outcome of one round of calls: final results, and tasks to send again with the last error of each."""

    settled: list[TaskAddResult] = field(default_factory=list)
    again: dict[str, BatchError | None] = field(default_factory=dict)


def _sort(sent: Iterable[str], results: Iterable[TaskAddResult]) -> _Outcome:
    """Separate final results from tasks to send again: failures of the service, and tasks without a result."""
    results = list(results)
    missing = set(sent)
    # Fast path for the usual case: every task was added.
    all_added = len(results) == len(missing) and set(map(_STATUS_OF, results)) == {TaskAddStatus.SUCCESS}
    if all_added and set(map(_ID_OF, results)) == missing:
        return _Outcome(results)
    outcome = _Outcome()
    for result in results:
        if result.task_id not in missing:
            continue
        missing.remove(result.task_id)
        if result.status is TaskAddStatus.SERVER_ERROR:
            outcome.again[result.task_id] = result.error
        else:
            outcome.settled.append(result)
    outcome.again.update(dict.fromkeys(missing))
    return outcome


class Submission:
    """One run of `add_tasks`."""

    def __init__(
        self,
        caller: Caller,
        job_id: str,
        tasks: Iterable[JsonBody] | AsyncIterable[JsonBody],
        *,
        retry: RetryPolicy,
        concurrency: int,
        compare: Compare | None,
        options: Mapping[str, Any],
    ) -> None:
        if concurrency < 1:
            raise UsageError("concurrency must be at least 1", operation=_OPERATION)
        self._caller = caller
        self._arguments = {"jobId": job_id}
        self._source = _Source(tasks)
        self._retry = retry
        self._concurrency = concurrency
        self._compare = compare
        self._options = options
        self._taking = asyncio.Lock()
        self._max_tasks = MAX_TASKS
        self._average_bytes = 1.0

    async def results(self) -> AsyncGenerator[TaskAddResult, None]:
        """Submit, and yield the results as they come.

        Raises:
            BatchError: a whole call failed; calls in progress are cancelled.
        """
        done: asyncio.Queue[list[TaskAddResult] | Exception | None] = asyncio.Queue(1)
        workers = [asyncio.create_task(self._work(done)) for _ in range(self._concurrency)]
        running = len(workers)
        try:
            while running:
                outcome = await done.get()
                if outcome is None:
                    running -= 1
                elif isinstance(outcome, Exception):
                    raise outcome
                else:
                    for result in outcome:
                        yield result
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, done: "asyncio.Queue[list[TaskAddResult] | Exception | None]") -> None:
        """One of several workers: take tasks and submit them until there are no more."""
        try:
            while True:
                async with self._taking:
                    chunk = await self._source.take(self._next_size())
                if not chunk:
                    break
                await done.put(await self._submit(chunk))
        except Exception as error:
            # The consumer of the results gets errors of the source and of calls.
            await done.put(error)
        else:
            await done.put(None)

    async def _submit(self, chunk: _Chunk) -> list[TaskAddResult]:
        """Send tasks until each has a result."""
        finished: list[TaskAddResult] = []
        attempt = 0
        while chunk:
            attempt += 1
            outcome = await self._send(chunk)
            finished += await self._compared(chunk, outcome.settled) if self._compare else outcome.settled
            if outcome.again and attempt >= self._retry.attempts:
                return finished + [_gave_up(id, error, attempt) for id, error in outcome.again.items()]
            if outcome.again:
                await asyncio.sleep(random.random() * min(self._retry.cap, self._retry.base * 2**attempt))  # noqa: S311
            chunk = {id: task for id, task in chunk.items() if id in outcome.again}
        return finished

    async def _send(self, chunk: _Chunk) -> _Outcome:
        """Send tasks in one call, or in several if one turns out to be too large."""
        body = _encoded(chunk)
        self._average_bytes = len(body) / len(chunk)
        half = len(chunk) // 2
        try:
            if len(body) > MAX_BYTES:
                raise TooLargeError(f"the task is larger than the {MAX_BYTES} bytes of a call", operation=_OPERATION)
            return _sort(chunk, await self._caller.add_tasks(self._arguments, body, self._options))
        except TooLargeError as error:
            if not half:
                return _Outcome([TaskAddResult(id, TaskAddStatus.CLIENT_ERROR, error=error) for id in chunk])
            if error.status is not None:
                self._max_tasks = min(self._max_tasks, half)
        entries = list(chunk.items())
        first, second = await self._send(dict(entries[:half])), await self._send(dict(entries[half:]))
        return _Outcome(first.settled + second.settled, first.again | second.again)

    async def _compared(self, chunk: _Chunk, results: list[TaskAddResult]) -> list[TaskAddResult]:
        """Compare tasks that exist already."""
        return [
            result._replace(status=TaskAddStatus.SUCCESS, error=None, existed=True)
            if isinstance(result.error, AlreadyExistsError) and await self._is_same(chunk[result.task_id])
            else result
            for result in results
        ]

    async def _is_same(self, task: Json) -> bool:
        return self._compare is not None and await self._compare(task)

    def _next_size(self) -> int:
        """Number of tasks for the next call, estimated from the last ones."""
        return min(self._max_tasks, max(1, int(MAX_BYTES / self._average_bytes)))


class _Source:
    """Tasks from an iterable of either kind, as collections."""

    def __init__(self, tasks: Iterable[JsonBody] | AsyncIterable[JsonBody]) -> None:
        self._later = aiter(tasks) if isinstance(tasks, AsyncIterable) else None
        self._now = iter(()) if isinstance(tasks, AsyncIterable) else iter(tasks)
        self._held: list[Json] = []
        self._ended = False

    async def take(self, count: int) -> _Chunk:
        """The next tasks, at most `count`, each ID once; empty at the end.

        Raises:
            UsageError: a task has no ID, or the same object was passed twice, changed in between.
        """
        tasks, self._held = self._held[:count], self._held[count:]
        if len(tasks) < count and not self._ended:
            tasks += await self._read(count - len(tasks))
        try:
            chunk: _Chunk = {task["id"]: task for task in tasks}
        except (KeyError, TypeError):
            raise UsageError("a task needs an id", operation=_OPERATION) from None
        if not set(map(type, chunk)) <= {str} or "" in chunk:
            raise UsageError("a task needs an id", operation=_OPERATION)
        if len(chunk) < len(tasks):
            if len(set(map(id, tasks))) < len(tasks):
                raise UsageError(
                    "the same task object was passed twice: pass a separate object for each task", operation=_OPERATION
                )
            self._held = [task for task in tasks if chunk[task["id"]] is not task] + self._held
        return chunk

    async def _read(self, count: int) -> list[Json]:
        if self._later is None:
            tasks = list(itertools.islice(self._now, count))
        else:
            tasks = []
            while len(tasks) < count and (task := await anext(self._later, None)) is not None:
                tasks.append(task)
        self._ended = len(tasks) < count
        if set(map(type, tasks)) <= {dict}:
            return cast("list[Json]", tasks)
        return [task.write() if isinstance(task, Model) else dict(task) for task in tasks]


def _encoded(chunk: _Chunk) -> bytes:
    try:
        return encode({"value": list(chunk.values())})
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"a task cannot be written as JSON: {error.__cause__ or error}", operation=_OPERATION
        ) from None


def _gave_up(id: str, error: BatchError | None, attempts: int) -> TaskAddResult:
    why = error or ServerError(f"{attempts} responses did not contain the result of the task", operation=_OPERATION)
    return TaskAddResult(id, TaskAddStatus.SERVER_ERROR, error=why)
