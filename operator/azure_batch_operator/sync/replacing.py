"""Replaces tasks that differ from the spec: deletes a few of them and adds them again at once.

A task that is deleted is missing until it is added again. So nothing else happens in between: no list is read, no other tasks are
added, and whatever goes wrong, what was deleted is added before that is told. If the process ends in between, the next one finds
the tasks missing.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from azure_batch_operator.batch import AlreadyExistsError, BatchError, TaskAddResult, unanswered
from azure_batch_operator.sync.task_diff import FeedState, Sieve

_FEW = 10
_TOGETHER = 100
"""Tasks that one call adds (docs/azure-batch.md#task-collections)."""

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Replacer:
    """Replaces the tasks of one job.

    Attributes:
        delete: deletes a task as it was listed; False if it has changed since.
        add: adds tasks, and yields the result of each.
        done: is told the id of each task that was replaced.
    """

    state: FeedState
    delete: Callable[[Body], Awaitable[bool]]
    add: Callable[[list[Body]], AsyncIterator[TaskAddResult]]
    done: Callable[[str], None]

    async def replace(
        self, sieve: Sieve, differing: Mapping[str, Body], wanted: Callable[[set[str]], Iterator[Body]]
    ) -> bool:
        """Replace tasks; whether another look is needed, since something was not as it was listed.

        Args:
            differing: the tasks as they were listed, by id.
            wanted: makes the tasks with these ids (lower case), in the same order each time.

        Raises:
            BatchError: if a task cannot be deleted or added; those that follow stay as they are.
        """
        again, ids = False, {id.lower() for id in differing}
        for tasks in _batches(lambda: (task for task in wanted(ids) if task["id"] in differing)):
            again = await self._replace(sieve, tasks, differing) or again
            if self.state.stopped:
                break
        return again

    async def _replace(self, sieve: Sieve, tasks: list[Body], listed: Mapping[str, Body]) -> bool:
        deleted, again = list[Body](), False
        try:
            for task in tasks:
                if self.state.stopped:
                    break
                if await self.delete(listed[task["id"]]):
                    deleted.append(task)
                else:
                    again = True
        except BatchError as error:
            if unanswered(error):
                # It may be deleted. If it is not, or later, its ETag keeps it or the new one from harm.
                deleted.append(task)
            await self._add(sieve, deleted)
            raise
        return await self._add(sieve, deleted) or again

    async def _add(self, sieve: Sieve, tasks: list[Body]) -> bool:
        """Add what was deleted; whether some of it exists all the same."""
        again, refused = False, None
        if not tasks:
            return again
        self.state.submitted -= len(tasks)
        async for result in self.add(tasks):
            if result.error is None:
                self.state.submitted += 1
                sieve.added.add(result.task_id)
                self.done(result.task_id)
            elif isinstance(result.error, AlreadyExistsError):
                again = True
            else:
                refused = refused or result.error
        if refused is not None:
            raise refused
        return again


def _batches(tasks: Callable[[], Iterator[Body]]) -> Iterator[list[Body]]:
    """Tasks that depend on nothing, few at a time; then those that depend on others, as many as one call adds.

    One that is added again while a task that it depends on still has its former result would run at once, with that.
    """
    for depends, size in ((False, _FEW), (True, _TOGETHER)):
        some = (task for task in tasks() if bool(task.get("dependsOn")) is depends)
        while batch := list(itertools.islice(some, size)):
            yield batch
