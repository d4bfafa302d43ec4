"""Joins the tasks of a spec with the tasks that Azure Batch lists, and decides what to do with each.

Deleting needs proof: only a task of the job itself (not of a BatchTask), as it was listed with its ETag, and only if the whole spec
does not stand for it. The join supposes that ids are listed in ordinal order; a list in another order is noticed, never believed.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from azure_batch_operator.batch import BatchError
from azure_batch_operator.batch.wire import Body
from azure_batch_operator.reconcile import normalization as normal
from azure_batch_operator.reconcile.job.task_policies import Policies
from azure_batch_operator.reconcile.ownership import claimed

_NAMED = 5
_MAX_SUPERFLUOUS = 10_000
"""Tasks that one round may delete for `taskPrunePolicy`; more of them are left to the next one, so that memory stays bounded."""


class UnorderedError(Exception):
    """The service does not list tasks in the order of their ids, so two streams cannot be joined."""


@dataclass(slots=True)
class FeedState:
    """How far the own tasks of a job are in.

    Attributes:
        fingerprint: of the sources that they are made from.
        submitted: how many are known to be in Azure Batch.
        complete: whether all are.
        stopped: whether other sources have taken their place, so that no more of them are added.
        refused: why it does not go on.
        different: tasks that differ from the spec and were left so, at most five: id, and in which members.
        different_count: how many of them there are.
        kept: whether one of them was to be replaced, but the job would have ended without it.
    """

    fingerprint: str = ""
    submitted: int = 0
    complete: bool = False
    stopped: bool = False
    refused: BatchError | None = None
    different: list[str] = field(default_factory=list)
    different_count: int = 0
    kept: bool = False

    def begin(self) -> None:
        """A list is read from its start."""
        self.submitted = self.different_count = 0
        self.different = []
        self.kept = False


class Sieve:
    """One pass over what is wanted and what is there.

    Args:
        delete: deletes a task as it was listed; False if it has changed since.
        spares: whether a task must stay, since the job would end between its deletion and its addition.
    """

    def __init__(
        self,
        state: FeedState,
        policies: Policies,
        delete: Callable[[Body], Awaitable[bool]],
        spares: Callable[[Body], Awaitable[bool]] | None = None,
    ) -> None:
        self._state, self._policies, self._delete, self._spares = state, policies, delete, spares
        self.capped = False
        """Whether there are more superfluous tasks than are kept."""
        self.superfluous: dict[str, Body] = {}
        """Tasks of the job that the pass did not find in the spec."""

    async def missing(self, wanted: Iterator[Body], listed: AsyncIterable[Body]) -> AsyncIterator[Body]:
        """Tasks to be added, by joining two ordered streams.

        Raises:
            UnorderedError: if the list is not in the order of ids.
        """
        present = _ordered(listed)
        there = await anext(present, None)
        for task in wanted:
            if self._state.stopped:
                return
            while there is not None and there["id"] < task["id"]:
                self._keep(there)
                there = await anext(present, None)
            if there is None or there["id"] != task["id"]:
                yield task
                continue
            if await self._is_replaced(there, task):
                yield task
            there = await anext(present, None)
        while there is not None:
            self._keep(there)
            there = await anext(present, None)

    async def missing_from(self, wanted: Iterator[Body], present: dict[str, Body]) -> AsyncIterator[Body]:
        """The same where all that is there is known, by id."""
        self.superfluous.clear()
        self.capped = False
        for task in wanted:
            if self._state.stopped:
                return
            there = present.pop(str(task["id"]), None)
            if there is None or await self._is_replaced(there, task):
                yield task
        for there in present.values():
            self._keep(there)

    async def prune(self, wanted: Iterator[Body]) -> tuple[int, int]:
        """Delete what no task of the whole spec stands for.

        Args:
            wanted: all tasks of the spec, again.

        Returns:
            How many tasks were deleted, and how many were not, since they have changed since they were listed.
        """
        deleted = changed = 0
        if not self.superfluous or self._state.stopped:
            return deleted, changed
        for task in wanted:
            self.superfluous.pop(str(task["id"]), None)
        for unwanted in self.superfluous.values():
            # The next spec may stand for it again.
            if self._state.stopped:
                break
            if await self._delete(unwanted):
                deleted += 1
            else:
                changed += 1
        return deleted, changed

    async def _is_replaced(self, there: Body, task: Body) -> bool:
        """Whether the task was deleted to be added again as it is wanted."""
        own = not claimed(there)
        if own and normal.contains(there, task) and (not self._policies.exact or normal.has_no_more(there, task)):
            self._state.submitted += 1
            return False
        if own and self._policies.replace and not await self._is_spared(there) and await self._delete(there):
            return True
        self._state.submitted += 1
        self._state.different_count += 1
        if len(self._state.different) < _NAMED:
            members = normal.unlike(there, task, exact=self._policies.exact) if own else ["a BatchTask owns it"]
            self._state.different.append(f"{task['id']} ({', '.join(members)})")
        return False

    async def _is_spared(self, there: Body) -> bool:
        spared = self._spares is not None and await self._spares(there)
        self._state.kept = self._state.kept or spared
        return spared

    def _keep(self, there: Body) -> None:
        # Tasks of BatchTasks say whose they are.
        if not self._policies.prune or claimed(there):
            return
        self.capped = len(self.superfluous) >= _MAX_SUPERFLUOUS
        if not self.capped:
            self.superfluous[str(there["id"])] = {"id": there["id"], "eTag": there.get("eTag")}


async def _ordered(listed: AsyncIterable[Body]) -> AsyncIterator[Body]:
    last = ""
    async for task in listed:
        id = str(task["id"])
        if id <= last:
            raise UnorderedError
        last = id
        yield task
