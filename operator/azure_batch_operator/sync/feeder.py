"""Bringing a job's own tasks into Azure Batch as a stream, and bringing those that are there in line with a changed spec.

Two streams in the order of ids are joined, what the spec stands for and what the service lists: so it goes on after a restart, and
finds what was added, taken away or changed, in constant memory. "Exists" is ours here: the job carries the marker of its object.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from azure_batch_operator.api.resource import Key
from azure_batch_operator.api.task_body import Task
from azure_batch_operator.batch import AlreadyExistsError, BatchClient, BatchError, NotFoundError, Priority
from azure_batch_operator.reconcile import expand, normal
from azure_batch_operator.reconcile.ownership import claimed
from azure_batch_operator.reconcile.trouble import trouble

logger = logging.getLogger(__name__)

_CONCURRENCY = 4
_COMPARED = tuple(Task.wire_names())
_NAMED = 5

Body = Mapping[str, Any]


@dataclass(slots=True)
class FeedState:
    """How far the own tasks of a job are in.

    Attributes:
        fingerprint: of the sources that they are made from.
        submitted: how many are known to be in Azure Batch.
        complete: whether all are.
        refused, until: why it does not go on, and the loop's time before which it is not tried again.
        different, different_count: ids, at most five, and number of tasks that are there otherwise than wanted, and were left so.
    """

    fingerprint: str = ""
    submitted: int = 0
    complete: bool = False
    refused: BatchError | None = None
    until: float = 0.0
    different: list[str] = field(default_factory=list)
    different_count: int = 0


class Feeder:
    """Brings the own tasks of BatchJobs into Azure Batch.

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

    def feed(self, key: Key, uid: str, job_id: str, spec: Mapping[str, Any], fingerprint: str) -> None:
        """Bring the tasks in, unless that is under way; other sources than before are begun anew."""
        identity = (key, uid)
        if self._group is None:
            return
        state = self._states.get(identity)
        if state is not None and state.fingerprint == fingerprint:
            waits = state.refused is not None and asyncio.get_running_loop().time() < state.until
            if identity in self._running or state.complete or waits:
                return
        elif running := self._running.pop(identity, None):
            running.cancel()
        state = self._states[identity] = FeedState(fingerprint)
        self._running[identity] = self._group.create_task(self._feed(identity, job_id, spec, state))

    def busy(self, key: Key, uid: str) -> bool:
        """Whether tasks of this job are on their way."""
        return (key, uid) in self._running

    def hurry(self, key: Key, uid: str) -> None:
        """Somebody wants another try now."""
        if state := self._states.get((key, uid)):
            state.until = 0.0

    def forget(self, key: Key, uid: str) -> None:
        """The job is gone or done."""
        self._states.pop((key, uid), None)
        if running := self._running.pop((key, uid), None):
            running.cancel()

    async def run(self) -> None:
        """Feed until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await asyncio.Event().wait()

    async def _feed(self, identity: tuple[Key, str], job_id: str, spec: Mapping[str, Any], state: FeedState) -> None:
        try:
            listed = self._client.tasks.list(job_id, select=_COMPARED, priority=Priority.SUBMIT)
            wanted = expand.expand(spec, job_id)
            sieve = Sieve(state, Policies.of(spec), lambda id: self._delete(job_id, id))
            async for result in self._client.add_tasks(job_id, sieve.missing(wanted, listed), concurrency=_CONCURRENCY):
                # The job is ours, so a task of that id in it was added by us, by a call whose answer was lost.
                if result.error and not isinstance(result.error, AlreadyExistsError):
                    raise result.error
                state.submitted += 1
            state.complete = True
        except BatchError as error:
            logger.warning("Adding the tasks of %s stopped after %d: %s", identity[0], state.submitted, error)
            state.refused = error
            state.until = asyncio.get_running_loop().time() + trouble(error).wait
        finally:
            if self._running.get(identity) is asyncio.current_task():
                del self._running[identity]
                self._settled([identity[0]])

    async def _delete(self, job_id: str, task_id: str) -> None:
        try:
            await self._client.tasks.delete(job_id, task_id, priority=Priority.SUBMIT)
        except NotFoundError:
            logger.debug("Task %s of job %s has gone by itself", task_id, job_id)


@dataclass(frozen=True)
class Policies:
    """What becomes of tasks in Azure Batch that the spec no longer names (`prune`) or has otherwise (`replace`)."""

    prune: bool = False
    replace: bool = False

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Policies:
        """As the spec says; beside a job manager task nothing is pruned, since the tasks that it adds are not in the spec."""
        return cls(
            prune=spec.get("taskPrunePolicy") == "Delete" and not spec.get("jobManagerTask"),
            replace=spec.get("taskUpdatePolicy") == "Replace",
        )


class Sieve:
    """Joins what is wanted with what is there, both in the order of ids."""

    def __init__(self, state: FeedState, policies: Policies, delete: Callable[[str], Any]) -> None:
        self._state, self._policies, self._delete = state, policies, delete

    async def missing(self, wanted: Iterator[Body], listed: AsyncIterable[Body]) -> AsyncIterator[Body]:
        """Tasks to be added; what the policies say of the others is done on the way."""
        present = aiter(listed)
        there = await anext(present, None)
        for task in wanted:
            while there is not None and there["id"] < task["id"]:
                await self._superfluous(there)
                there = await anext(present, None)
            if there is None or there["id"] != task["id"]:
                yield task
                continue
            if normal.contains(there, task):
                self._state.submitted += 1
            elif self._policies.replace and not claimed(there):
                await self._delete(str(task["id"]))
                yield task
            else:
                self._state.submitted += 1
                self._state.different_count += 1
                if len(self._state.different) < _NAMED:
                    self._state.different.append(str(task["id"]))
            there = await anext(present, None)
        while there is not None:
            await self._superfluous(there)
            there = await anext(present, None)

    async def _superfluous(self, task: Body) -> None:
        # Tasks of BatchTasks say whose they are.
        if self._policies.prune and not claimed(task):
            await self._delete(str(task["id"]))
