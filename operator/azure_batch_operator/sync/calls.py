"""Makes the calls of a plan: first the proof, then the call, then its effect on what was observed.

After a call that had, or may have had, an effect the mirror's entry is unknown until a later poll. A call that was refused has
changed nothing: the mirror stays valid and nothing is polled, so that a refusal never causes work by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from azure_batch_operator.batch import (
    BatchClient,
    BatchError,
    ConflictError,
    IncompleteListError,
    NotFoundError,
    is_gone,
    unanswered,
)
from azure_batch_operator.reconcile.error_classes import overtaken
from azure_batch_operator.reconcile.plan import Absence, Call, Ended, Table, without_etag
from azure_batch_operator.sync.accounts import Session
from azure_batch_operator.sync.sending import send

logger = logging.getLogger(__name__)


async def make(
    session: Session,
    call: Call,
    now: Callable[[], float],
    *,
    twice: bool = False,
    on_unanswered: Callable[[], None] | None = None,
) -> bool:
    """Make a call.

    Args:
        now: the clock, in seconds since the epoch.
        twice: whether the same call was refused before and has not succeeded since.
        on_unanswered: called for each attempt without a response, however the call ends.

    Returns:
        False if the observation that the plan was decided from is out of date: the poller looks again first.

    Raises:
        BatchError: if the call failed in another way.
    """
    try:
        proven = await _proven(session, call, now)
        if proven is None:
            return False
        call = proven
        answer = await send(session.client, call, on_unanswered)
    except BatchError as error:
        if unanswered(error):
            _observe_again(session, call)
            raise
        if call.table is Table.NODES and isinstance(error, ConflictError):
            # A node may be in no state for it; its pool is reconciled all the same.
            logger.info("%s %s: %s", call.verb, call.id, error)
            session.mirror.learn_refusal(call, error.code or "Refused", now())
            return True
        if not overtaken(error, twice=twice):
            raise
        logger.info("%s %s: %s", call.verb, call.id, error)
        if call.table is Table.TASKS and call.parent and isinstance(error, NotFoundError):
            session.mirror.jobs.touch(call.parent, asyncio.get_running_loop().time())
        _observe_again(session, call)
        return False
    session.mirror.learn(call, answer, now())
    _observe_again(session, call)
    return True


async def _proven(session: Session, call: Call, now: Callable[[], float]) -> Call | None:
    """The call with the ETag of what its evidence was seen of; None if the evidence does not hold, so that it must not be made.

    Raises:
        BatchError: if the service does not say.
    """
    if call.evidence is None:
        return call
    current = await _read(session.client, call.table, call.id, call.parent)
    if moved := await _moved_nodes(session.client, call, current):
        session.mirror.forget_nodes(call.parent or call.id, moved)
    is_same = not moved and call.evidence.holds(current)
    shown = is_same and await _tasks_hold(session.client, call)
    if is_same and not shown and call.verb == "update_job":
        logger.info("%s %s: not called, because lists show what its counts do not yet", call.verb, call.id)
        # The job itself is as it was observed, so nothing is polled for it.
        session.mirror.learn_unfinished(call, now())
        return None
    if not shown:
        logger.info("%s %s: not called, because the resource is not the one that was observed", call.verb, call.id)
        _observe_again(session, call)
        return None
    if (why := await _busy(session.client, call)) is not None:
        logger.info("%s %s: not called, because %s", call.verb, call.id, why)
        # The pool itself is as it was observed, so nothing is polled for it.
        session.mirror.learn_busy(call, why, now())
        return None
    # What an update writes was decided from a body, and is for that one alone.
    observed = call.if_match if call.verb.startswith("update_") else None
    return replace(call, if_match=observed or current.get("eTag"))


async def is_absent(session: Session, absence: Absence) -> bool:
    """Ask for the resource itself; if it is there after all, what was observed is out of date.

    Raises:
        BatchError: if the service does not say.
    """
    try:
        found = await _read(session.client, absence.table, absence.id, absence.parent)
    except NotFoundError as error:
        if not is_gone(error):
            raise
        return True
    if absence.foreign is not None and absence.foreign.holds(found):
        return True
    _touch(session, absence.table, absence.id, absence.parent)
    session.poller.request_poll()
    return False


async def has_ended(session: Session, job: Ended) -> bool:
    """Ask for the job itself; if it takes tasks after all, what was observed is out of date.

    Raises:
        BatchError: if the service does not say.
    """
    try:
        current = await _read(session.client, Table.JOBS, job.job, None)
    except NotFoundError as error:
        if not is_gone(error):
            raise
        current = {}
    if job.holds(current):
        return True
    _touch(session, Table.JOBS, job.job, None)
    session.poller.request_poll()
    return False


_DELETES = {
    Table.POOLS: "delete_pool",
    Table.JOBS: "delete_job",
    Table.SCHEDULES: "delete_schedule",
    Table.TASKS: "delete_task",
}


async def cleared(
    session: Session, late: Absence, owned: Callable[[Mapping[str, Any]], bool], now: Callable[[], float]
) -> bool:
    """Delete what a create of a deleted object has made late, where no plan looks any more.

    Args:
        owned: tells what counts; what somebody else has made there is as good as nothing.
        now: the clock, in seconds since the epoch.

    Returns:
        Whether nothing of the object is there.

    Raises:
        BatchError: if the service does not say, or refuses.
    """
    try:
        found = await _read(session.client, late.table, late.id, late.parent)
    except NotFoundError as error:
        if not is_gone(error):
            raise
        return True
    if not owned(found):
        return True
    if found.get("state") != "deleting":
        verb, etag, evidence = _DELETES[late.table], found.get("eTag"), without_etag(found)
        await make(session, Call(verb, late.table, late.id, late.parent, if_match=etag, evidence=evidence), now)
    return False


async def active_tasks(session: Session, job_id: str) -> frozenset[str]:
    """Ids (lower case) of the tasks of a job that wait; none if the job is gone.

    Raises:
        BatchError: if the service does not say.
    """
    listed = session.client.tasks.list(job_id, filter="state eq 'active'", select=("id",))
    try:
        return frozenset([str(task["id"]).lower() async for task in listed])
    except NotFoundError as error:
        if not is_gone(error):
            raise
        return frozenset()


async def _read(client: BatchClient, table: Table, id: str, parent: str | None) -> Mapping[str, Any]:
    """The resource as it is now."""
    match table:
        case Table.POOLS:
            return await client.pools.get(id)
        case Table.JOBS:
            return await client.jobs.get(id)
        case Table.SCHEDULES:
            return await client.job_schedules.get(id)
        case Table.TASKS:
            return await client.tasks.get(parent or "", id)
        case Table.NODES:
            return await client.nodes.get(parent or "", id)


async def _tasks_hold(client: BatchClient, call: Call) -> bool:
    """Whether lists of a job's tasks show what the call needs; none is read further than that takes."""
    for wanted in call.evidence.tasks if call.evidence else ():
        number, enough = 0, wanted.least if wanted.most is None else wanted.most + 1
        async for _ in client.tasks.list(call.id, filter=wanted.filter, select=("id",)):
            number += 1
            if number >= enough:
                break
        if number < wanted.least or (wanted.most is not None and number > wanted.most):
            return False
    return True


async def _moved_nodes(client: BatchClient, call: Call, current: Mapping[str, Any]) -> set[str]:
    """Ids of the nodes that the call is about and that have another state by now, or are gone."""
    if call.evidence is None:
        return set()
    if call.table is Table.NODES:
        return set() if call.evidence.holds(current) else {call.id}
    moved = set()
    for id, stamp in call.evidence.nodes:
        try:
            node = await client.nodes.get(call.id, id)
        except NotFoundError as error:
            if not is_gone(error):
                raise
            node = {}
        if str(node.get("stateTransitionTime", "")) != stamp:
            moved.add(id)
    return moved


async def _busy(client: BatchClient, call: Call) -> str | None:
    """Why a pool is not idle, by lists that are read to their ends; None if it is, or need not be.

    What cannot be read may use the pool, whoever it belongs to. It keeps the pool for as long as it is there, so that is said.
    """
    try:
        return await _user(client, call)
    except IncompleteListError as error:
        return f"what Azure Batch lists cannot be read in full, so something that is not shown may use it ({error})"


async def _user(client: BatchClient, call: Call) -> str | None:
    allowed = call.evidence.idle if call.evidence else None
    if allowed is None:
        return None
    pool = call.id.replace("'", "''")
    on_it = f"state ne 'completed' and executionInfo/poolId eq '{pool}'"
    jobs = [
        str(job["id"])
        async for job in client.jobs.list(filter=on_it, select=("id", "state"))
        if job.get("state") not in {"completed", "deleting"}
    ]
    for job in jobs:
        if job.lower() not in allowed:
            return f"job {job!r} is open on it"
        async for _ in client.tasks.list(job, filter="state ne 'completed'", select=("id",)):
            return f"job {job!r} has unfinished tasks"
    async for node in client.nodes.list(call.id, filter="state eq 'running'", select=("id",)):
        return f"node {node['id']!r} runs a task"
    # Its next job would wait for a pool that is gone.
    listed = client.job_schedules.list(filter="state ne 'completed'", select=("id", "state", "jobSpecification"))
    async for schedule in listed:
        names = ((schedule.get("jobSpecification") or {}).get("poolInfo") or {}).get("poolId") or ""
        if names.lower() == call.id.lower() and schedule.get("state") not in {"completed", "terminating", "deleting"}:
            return f"job schedule {schedule['id']!r} creates its jobs on it"
    return None


def _observe_again(session: Session, call: Call) -> None:
    _touch(session, call.table, call.id, call.parent)
    session.poller.request_poll()


def _touch(session: Session, table: Table, id: str, parent: str | None) -> None:
    now, mirror = asyncio.get_running_loop().time(), session.mirror
    match table:
        case Table.POOLS:
            mirror.pools.touch(id, now)
        case Table.JOBS:
            mirror.jobs.touch(id, now)
        case Table.SCHEDULES:
            mirror.schedules.touch(id, now)
        case Table.NODES:
            mirror.pools.touch(parent or "", now)
        case Table.TASKS:
            mirror.tasks[(parent or "").lower()].touch(id, now)
