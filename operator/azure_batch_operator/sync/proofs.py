"""Requests the proof that plans need: whether a job has ended, a task waits, or a resource is gone; once for thousands of tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Sequence
from functools import partial
from typing import Any, TypeVar

from azure_batch_operator import guard
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.reconcile import ownership
from azure_batch_operator.reconcile.plan import Absence, Ended, Table
from azure_batch_operator.sync import calls
from azure_batch_operator.sync.accounts import Session
from azure_batch_operator.sync.landing import Landing

_LIST_VALID_FOR = 5.0
"""Seconds for which the thousands of tasks of a job rely on one GET of it, or on one list of its tasks."""

Question = TypeVar("Question", bound=Hashable)
Answer = TypeVar("Answer")


class Proofs:
    """Asks Azure Batch.

    Args:
        cluster: id of this cluster, part of the ownership marker.
        landing: creates that may still take effect.
        now: the clock, in seconds since the epoch.
    """

    def __init__(self, cluster: str, landing: Landing, now: Callable[[], float]) -> None:
        self._cluster, self._landing, self._now = cluster, landing, now
        self._absent_jobs: dict[tuple[Key, Absence], tuple[float, asyncio.Task[bool]]] = {}
        self._ended: dict[tuple[Key, Ended], tuple[float, asyncio.Task[bool]]] = {}
        self._active: dict[tuple[Key, str], tuple[float, asyncio.Task[frozenset[str]]]] = {}

    async def has_ended(self, job: Ended, session: Session) -> bool:
        """Whether a job accepts no more tasks; one GET answers for all of its tasks."""
        return await _shared(self._ended, (session.key, job), lambda: calls.has_ended(session, job))

    async def is_active(self, task: Absence, session: Session) -> bool:
        """Whether a task waits in Azure Batch; one list answers for all tasks of a job that has ended."""
        job_id, now = task.parent or "", asyncio.get_running_loop().time()
        identity = (session.key, job_id.lower())
        active = await _shared(self._active, identity, lambda: calls.active_tasks(session, job_id))
        if task.id.lower() in active:
            return True
        session.mirror.tasks[job_id.lower()].touch(task.id, now)
        session.poller.request_poll()
        return False

    async def are_absent(self, resource: Resource, absences: Sequence[Absence], session: Session) -> bool:
        """Whether nothing of the object is there any more, what may have landed late included."""
        for absence in absences:
            if not await self.is_absent(resource, absence, session):
                return False
        without_job = any(absence.table is Table.JOBS for absence in absences)
        owned = partial(ownership.owns, resource=resource, cluster=self._cluster)
        for doubtful in self._landing.doubtful(resource.uid):
            # A task is nowhere if its job is not.
            known = doubtful in absences or (without_job and doubtful.table is Table.TASKS)
            if not known and not await calls.cleared(session, doubtful, owned, self._now):
                return False
        return True

    async def is_absent(self, resource: Resource, absence: Absence, session: Session) -> bool:
        """Whether something of an object is not there."""
        if absence.table is Table.TASKS and self._landing.surely_deleted(resource.uid):
            # The service deletes a task at once, and has said so.
            return True
        if resource.key.kind is not Kind.TASK or absence.table is not Table.JOBS:
            return await calls.is_absent(session, absence)
        # The same question for all tasks of the job.
        return await _shared(self._absent_jobs, (session.key, absence), lambda: calls.is_absent(session, absence))


async def _shared(
    asked: dict[Question, tuple[float, asyncio.Task[Answer]]],
    question: Question,
    ask: Callable[[], Coroutine[Any, Any, Answer]],
) -> Answer:
    """The answer to a question that thousands of tasks have, asked once in `_LIST_VALID_FOR` seconds."""
    now = asyncio.get_running_loop().time()
    for old in [old for old, (until, _) in asked.items() if until <= now]:
        del asked[old]
    if question not in asked:
        asked[question] = (now + _LIST_VALID_FOR, guard.shared(ask()))
    return await asyncio.shield(asked[question][1])
