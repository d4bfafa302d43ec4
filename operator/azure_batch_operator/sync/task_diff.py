"""Joins the tasks of a spec with the tasks that Azure Batch lists, and decides what to do with each.

Deleting needs proof: only a task of the job itself (not of a BatchTask), as it was listed with its ETag, and only if the whole spec
does not stand for it, or is to be added again in its place. The join supposes that ids are listed in ordinal order; a list in
another order is noticed, never believed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Container, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from azure_batch_operator.batch import BatchError
from azure_batch_operator.batch.wire import Body
from azure_batch_operator.reconcile import normalization as normal
from azure_batch_operator.reconcile.job.task_policies import Policies
from azure_batch_operator.reconcile.ownership import claimed

_NAMED = 5
_MAX_NOTED = 10_000
"""Tasks that one round may delete for `taskPrunePolicy`, and as many for `taskUpdatePolicy`; more of them are left to the next one,
so that memory stays bounded."""


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
        kept: whether one of them was to be replaced, but the job ends with its tasks.
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
    """What is wanted beside what is there. It adds and replaces nothing itself.

    Args:
        delete: deletes a superfluous task as it was listed; False if it has changed since.
        ends: whether the service ends the job when its tasks have ended, which nobody can take back: it could end between the
            deletion of a task and its addition, so none is replaced.
        before: ids of tasks that were replaced before for the same sources. Were there a default that nobody knows of, they would
            differ again and again.
    """

    def __init__(
        self,
        state: FeedState,
        policies: Policies,
        delete: Callable[[Body], Awaitable[bool]],
        *,
        ends: bool = False,
        before: Container[str] = (),
    ) -> None:
        self._state, self._policies, self._delete, self._ends, self._before = state, policies, delete, ends, before
        self.replaces = policies.replace and not ends
        """Whether tasks that differ are to be replaced."""
        self.capped = False
        """Whether there are more superfluous tasks than are kept."""
        self.superfluous: dict[str, Body] = {}
        """Tasks of the job that the last pass did not find in the spec."""
        self.differing: dict[str, Body] = {}
        """Tasks of the job, as they were listed, that are to be replaced."""
        self.left = False
        """Whether there are more of them than are kept."""
        self.added = set[str]()
        """Ids of tasks that were added, or added again, before the last pass. Its list may not show that yet."""
        self.saw_any = self.saw_all = False
        """Whether the last pass has seen a task that is there, and whether it has seen all of them."""

    async def missing(self, wanted: Iterator[Body], listed: AsyncIterable[Body]) -> AsyncGenerator[Body, None]:
        """Tasks to be added, by joining two ordered streams.

        Raises:
            UnorderedError: if the list is not in the order of ids.
        """
        self._begin()
        present = _ordered(listed)
        there = await anext(present, None)
        self.saw_any = there is not None
        for task in wanted:
            if self._state.stopped:
                return
            while there is not None and there["id"] < task["id"]:
                self._keep(there)
                there = await anext(present, None)
            self.saw_all = there is None
            if there is not None and there["id"] == task["id"]:
                self._compare(there, task)
                there = await anext(present, None)
            elif task["id"] in self.added:
                self._state.submitted += 1
            else:
                yield task
        while there is not None:
            self._keep(there)
            there = await anext(present, None)

    async def missing_from(self, wanted: Iterator[Body], present: Mapping[str, Body]) -> AsyncGenerator[Body, None]:
        """The same where all that is there is known, by id."""
        self._begin()
        rest = dict(present)
        self.saw_any = bool(rest)
        for task in wanted:
            if self._state.stopped:
                return
            there, self.saw_all = rest.pop(str(task["id"]), None), not rest
            if there is not None:
                self._compare(there, task)
            elif task["id"] in self.added:
                self._state.submitted += 1
            else:
                yield task
        for there in rest.values():
            self._keep(there)

    async def look(self, missing: AsyncGenerator[Body, None]) -> tuple[set[str], bool]:
        """Read a pass for what is to be replaced, and add nothing.

        Returns:
            Ids of tasks that are missing and depend on nothing, and whether others are missing.
        """
        free, others = set[str](), False
        async with aclosing(missing):
            async for task in missing:
                if task.get("dependsOn") or len(free) >= _MAX_NOTED:
                    others = True
                else:
                    free.add(str(task["id"]))
                if self.saw_all and (not self.differing or len(free) >= _MAX_NOTED):
                    return free, True
        return free, others

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

    def _begin(self) -> None:
        self._state.begin()
        self.superfluous.clear()
        self.differing.clear()
        self.capped = self.left = self.saw_any = self.saw_all = False

    def _compare(self, there: Body, task: Body) -> None:
        """Note a task that is not as it is wanted: to be replaced, or to be told of."""
        id = str(task["id"])
        own = not claimed(there)
        self._state.submitted += 1
        if id in self.added:
            return
        exact = self._policies.exact and id not in self._before
        if own and normal.contains(there, task) and (not exact or normal.has_no_more(there, task)):
            return
        if own and self.replaces and id not in self._before:
            self.left = len(self.differing) >= _MAX_NOTED
            if not self.left:
                self.differing[id] = _as_listed(there)
            return
        self._state.kept = self._state.kept or (own and self._policies.replace and self._ends)
        self._state.different_count += 1
        if len(self._state.different) < _NAMED:
            members = normal.unlike(there, task, exact=exact) if own else ["a BatchTask owns it"]
            self._state.different.append(f"{task['id']} ({', '.join(members)})")

    def _keep(self, there: Body) -> None:
        # Tasks of BatchTasks say whose they are.
        if not self._policies.prune or claimed(there):
            return
        self.capped = len(self.superfluous) >= _MAX_NOTED
        if not self.capped:
            self.superfluous[str(there["id"])] = _as_listed(there)


def _as_listed(there: Body) -> Body:
    """What a deletion needs of a task."""
    return {"id": there["id"], "eTag": there.get("eTag")}


async def _ordered(listed: AsyncIterable[Body]) -> AsyncGenerator[Body, None]:
    last = ""
    async for task in listed:
        id = str(task["id"])
        if id <= last:
            raise UnorderedError
        last = id
        yield task
