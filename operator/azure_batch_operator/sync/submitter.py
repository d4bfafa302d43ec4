"""Adding tasks in bulk: BatchTasks that appear together go out together, and a job's own tasks as a stream (batch-semantics §5).

Both ways end in `addtaskcollection` with up to 100 tasks and 1 MB a call, look at the result of each task, and never take "exists"
for "ours": that is left to the next list.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import (
    AlreadyExistsError,
    BatchClient,
    BatchError,
    Priority,
    TaskAddStatus,
    TooLargeError,
    TransientError,
)
from azure_batch_operator.reconcile import expand
from azure_batch_operator.reconcile.trouble import trouble

logger = logging.getLogger(__name__)

MOST_TASKS = 100
MOST_BYTES = 1_000_000
_ENVELOPE = 64
_QUIET = 0.5
_LONGEST_WAIT = 10.0
_CONCURRENCY = 4
_MOST_TRIES = 5

Body = Mapping[str, Any]


class Packer:
    """Fills calls: up to 100 tasks and 1 MB each; a task that is too large by itself goes alone."""

    def __init__(self, most: int = MOST_TASKS, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._group: list[Body] = []
        self._size = _ENVELOPE

    def put(self, task: Body) -> list[Body] | None:
        """Take a task in; the tasks of a full call if there was no more room for it."""
        weight = len(orjson.dumps(task)) + 1
        full = None
        if self._group and (len(self._group) >= self._most or self._size + weight > self._most_bytes):
            full = self.rest()
        self._group.append(task)
        self._size += weight
        return full

    def rest(self) -> list[Body]:
        """The tasks of the last call."""
        group, self._group, self._size = self._group, [], _ENVELOPE
        return group


async def add(
    client: BatchClient, job_id: str, tasks: Sequence[Body], priority: Priority
) -> dict[str, BatchError | None]:
    """Add tasks; halve what is too large, repeat what the service failed at.

    Returns:
        Per task id None if the service took it, else why not; `AlreadyExistsError` if there is one of that id.

    Raises:
        BatchError: if a call as a whole failed; some of the tasks may be there.
    """
    outcome: dict[str, BatchError | None] = {}
    pending = [list(tasks)]
    tries = 0
    while pending:
        group = pending.pop(0)
        by_id = {str(task["id"]).lower(): task for task in group}
        try:
            results = await client.tasks.create_collection(job_id, group, priority=priority)
        except TooLargeError as error:
            if len(group) == 1:
                outcome[group[0]["id"]] = error
            else:
                pending[:0] = [group[: len(group) // 2], group[len(group) // 2 :]]
            continue
        again = []
        for result in results:
            task = by_id.pop(result.task_id.lower(), None)
            if task is None:
                continue
            if result.status is TaskAddStatus.SERVER_ERROR and tries < _MOST_TRIES:
                again.append(task)
            else:
                outcome[task["id"]] = None if result.added else result.error
        again += by_id.values()  # the answer did not mention them
        if again:
            tries += 1
            if tries > _MOST_TRIES:
                raise TransientError("the service fails again and again at adding these tasks", code="ServerError")
            await asyncio.sleep(0.1 * 2**tries)
            pending.append(again)
    return outcome


@dataclass(slots=True)
class _Item:
    key: Key
    body: Body = field(repr=False)
    owner: str


class Submitter:
    """Collects the tasks of BatchTasks per job and sends them when a call is full or no more come.

    Args:
        added: is told job id, task id and owner (None if the id was taken before) of each task that now exists.
        settled: is told the objects about whose task something is known now.
    """

    def __init__(
        self,
        client: BatchClient,
        added: Callable[[str, str, str | None], None],
        settled: Callable[[Sequence[Key]], None],
    ) -> None:
        self._client = client
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
                packer = Packer()
                groups = [full for item in items if (full := packer.put(item.body))]
                by_id = {str(item.body["id"]).lower(): item for item in items}
                for group in [*groups, packer.rest()]:
                    await self._send(job_id, [by_id[str(body["id"]).lower()] for body in group])
        finally:
            del self._jobs[job_id]
            self._arrived.pop(job_id, None)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    async def _gather(self, job_id: str) -> None:
        """Wait until a call is full, or nothing has come for a moment."""
        arrived = self._arrived[job_id]
        try:
            async with asyncio.timeout(_LONGEST_WAIT):
                while len(self._waiting[job_id]) < MOST_TASKS:
                    arrived.clear()
                    async with asyncio.timeout(_QUIET):
                        await arrived.wait()
        except TimeoutError:
            return

    async def _send(self, job_id: str, items: Sequence[_Item]) -> None:
        keys = [item.key for item in items]
        outcome: dict[str, BatchError | None] = {}
        try:
            outcome = await add(self._client, job_id, [item.body for item in items], Priority.SUBMIT)
        except BatchError as error:
            logger.warning("%d tasks of job %s were not added: %s", len(items), job_id, error)
            outcome = {str(item.body["id"]): error for item in items}
        finally:
            self._in_hand.difference_update(keys)
        for item in items:
            error_of_item = outcome.get(str(item.body["id"]))
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
            await self._send_all(
                job_id, missing(expand.expand(spec), (str(task["id"]) async for task in listed), state), state
            )
            state.complete = True
        except BatchError as error:
            logger.warning("Adding the tasks of %s stopped after %d: %s", identity[0], state.submitted, error)
            state.refused = error
        finally:
            del self._running[identity]
            self._settled([identity[0]])

    async def _send_all(self, job_id: str, tasks: AsyncIterator[Body], state: FeedState) -> None:
        gate = asyncio.Semaphore(_CONCURRENCY)
        failure: BatchError | None = None

        async def send(group: Sequence[Body]) -> None:
            nonlocal failure
            try:
                outcome = await add(self._client, job_id, group, Priority.SUBMIT)
                # The job is ours, so a task of that id in it was added by us, by a call whose answer was lost.
                refused = [error for error in outcome.values() if error and not isinstance(error, AlreadyExistsError)]
                state.submitted += len(group) - len(refused)
                if refused:
                    failure = refused[0]
            except BatchError as error:
                failure = error
            finally:
                gate.release()

        async with asyncio.TaskGroup() as senders:
            async for group in _calls(tasks):
                await gate.acquire()
                if failure is not None:
                    gate.release()
                    break
                senders.create_task(send(group))
        if failure is not None:
            raise failure


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


async def _calls(tasks: AsyncIterator[Body]) -> AsyncIterator[list[Body]]:
    packer = Packer()
    async for task in tasks:
        if full := packer.put(task):
            yield full
    if rest := packer.rest():
        yield rest
