"""Bringing tasks in: BatchTasks that appear together go out together, and a job's own tasks go in as a stream.

How tasks are packed into calls, what is halved and what is repeated is the client's business (`BatchClient.add_tasks`); here is
decided when a call goes out and what its results mean. "Exists" is never taken for "ours": that is left to the next list.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import AlreadyExistsError, BatchClient, BatchError, Priority
from azure_batch_operator.reconcile import expand
from azure_batch_operator.reconcile.trouble import trouble

logger = logging.getLogger(__name__)

MOST_TASKS = 100
"""Tasks that one call carries (batch-semantics §5)."""
_QUIET = 0.5
_LONGEST_WAIT = 30.0
_CONCURRENCY = 4

Body = Mapping[str, Any]


@dataclass(slots=True)
class _Item:
    key: Key
    body: Body
    owner: str


class Submitter:
    """Collects the tasks of BatchTasks per job and sends them when a call is full or no more come.

    Args:
        added: is told job id, task id and owner (None if the id was taken before) of each task that now exists.
        settled: is told the objects about whose task something is known now.
        more: tells whether objects wait to be reconciled, so that more tasks may come.
    """

    def __init__(
        self,
        client: BatchClient,
        added: Callable[[str, str, str | None], None],
        settled: Callable[[Sequence[Key]], None],
        more: Callable[[], bool],
    ) -> None:
        self._client = client
        self._more = more
        self._added = added
        self._settled = settled
        self._waiting: defaultdict[str, dict[str, _Item]] = defaultdict(dict)
        self._in_hand: set[Key] = set()
        self._refused: dict[Key, tuple[BatchError, float]] = {}
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._arrived: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._group: asyncio.TaskGroup | None = None

    def add(self, key: Key, job_id: str, body: Body, owner: str) -> None:
        """Have a task added soon."""
        if key in self._in_hand or self._group is None:
            return
        self._in_hand.add(key)
        self._refused.pop(key, None)
        self._waiting[job_id][str(body["id"]).lower()] = _Item(key, body, owner)
        self._arrived[job_id].set()
        if job_id not in self._jobs:
            self._jobs[job_id] = self._group.create_task(self._serve(job_id))

    def has(self, key: Key) -> bool:
        """Whether the task of this object is on its way."""
        return key in self._in_hand

    def refused(self, key: Key) -> BatchError | None:
        """Why the task of this object was not taken, until it is time to try again."""
        error, until = self._refused.get(key, (None, 0.0))
        return error if asyncio.get_running_loop().time() < until else None

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._refused.pop(key, None)

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await asyncio.Event().wait()

    async def _serve(self, job_id: str) -> None:
        """Send the tasks of one job until there are none left."""
        try:
            while self._waiting[job_id]:
                await self._gather(job_id)
                waiting = self._waiting[job_id]
                items = [waiting.pop(id) for id in list(waiting)[:MOST_TASKS]]
                await self._send(job_id, items)
        finally:
            del self._jobs[job_id]
            self._arrived.pop(job_id, None)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    async def _gather(self, job_id: str) -> None:
        """Wait until a call is full, or nothing has come for a moment and nothing is about to."""
        arrived, loop = self._arrived[job_id], asyncio.get_running_loop()
        deadline = loop.time() + _LONGEST_WAIT
        while len(self._waiting[job_id]) < MOST_TASKS and loop.time() < deadline:
            arrived.clear()
            try:
                async with asyncio.timeout(_QUIET):
                    await arrived.wait()
            except TimeoutError:
                if not self._more():
                    return

    async def _send(self, job_id: str, items: Sequence[_Item]) -> None:
        keys = [item.key for item in items]
        outcome: dict[str, BatchError | None] = {}
        unknown: BatchError | None = None
        try:
            async for result in self._client.add_tasks(job_id, [item.body for item in items], concurrency=1):
                outcome[result.task_id.lower()] = result.error
        except BatchError as error:
            logger.warning("%d tasks of job %s were not added: %s", len(items) - len(outcome), job_id, error)
            unknown = error
        finally:
            self._in_hand.difference_update(keys)
        for item in items:
            error_of_item = outcome.get(str(item.body["id"]).lower(), unknown)
            if error_of_item is None:
                self._added(job_id, str(item.body["id"]), item.owner)
            elif isinstance(error_of_item, AlreadyExistsError):
                self._added(job_id, str(item.body["id"]), None)
            else:
                until = asyncio.get_running_loop().time() + trouble(error_of_item).wait
                self._refused[item.key] = (error_of_item, until)
        self._settled(keys)


@dataclass(slots=True)
class FeedState:
    """How far the own tasks of a job are in."""

    submitted: int = 0
    complete: bool = False
    refused: BatchError | None = None


class Feeder:
    """Brings the own tasks of BatchJobs into Azure Batch, as streams that go on where they were after a restart.

    Args:
        settled: is told the jobs about which something is known now.
    """

    def __init__(self, client: BatchClient, settled: Callable[[Sequence[Key]], None]) -> None:
        self._client = client
        self._settled = settled
        self._states: dict[tuple[Key, str], FeedState] = {}
        self._running: dict[tuple[Key, str], asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def state(self, key: Key, uid: str) -> FeedState | None:
        """How far the tasks of this job are; None if this process has not looked."""
        return self._states.get((key, uid))

    def feed(self, key: Key, uid: str, job_id: str, spec: Mapping[str, Any]) -> None:
        """Bring the tasks in, unless that is under way."""
        identity = (key, uid)
        if identity in self._running or self._group is None:
            return
        state = self._states.setdefault(identity, FeedState())
        if state.complete:
            return
        state.refused = None
        self._running[identity] = self._group.create_task(self._feed(identity, job_id, spec, state))

    def forget(self, key: Key, uid: str) -> None:
        """The job is gone or done."""
        self._states.pop((key, uid), None)
        if running := self._running.get((key, uid)):
            running.cancel()

    async def run(self) -> None:
        """Feed until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await asyncio.Event().wait()

    async def _feed(self, identity: tuple[Key, str], job_id: str, spec: Mapping[str, Any], state: FeedState) -> None:
        try:
            state.submitted = 0
            listed = self._client.tasks.list(job_id, select=("id",), priority=Priority.SUBMIT)
            present = (str(task["id"]) async for task in listed)
            async for result in self._client.add_tasks(
                job_id, missing(expand.expand(spec), present, state), concurrency=_CONCURRENCY
            ):
                # The job is ours, so a task of that id in it was added by us, by a call whose answer was lost.
                if result.error and not isinstance(result.error, AlreadyExistsError):
                    raise result.error
                state.submitted += 1
            state.complete = True
        except BatchError as error:
            logger.warning("Adding the tasks of %s stopped after %d: %s", identity[0], state.submitted, error)
            state.refused = error
        finally:
            del self._running[identity]
            self._settled([identity[0]])


async def missing(tasks: Iterator[Body], present: AsyncIterator[str], state: FeedState) -> AsyncIterator[Body]:
    """Tasks that are not among `present`, both in the order of ids: how a stream goes on after a restart, in constant memory."""
    there = await anext(present, None)
    for task in tasks:
        while there is not None and there < task["id"]:
            there = await anext(present, None)
        if there == task["id"]:
            state.submitted += 1
        else:
            yield task
