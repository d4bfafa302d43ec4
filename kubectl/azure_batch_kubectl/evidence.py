"""What `why` reads in Azure Batch of a job or a task that does not run: tasks as they are there, and not as a spec has them.

Everything is bounded: what is beyond the bounds was not looked at, and no cause is named for it. So is what a 404 without
a code says: it may come from a proxy, and is raised.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from azure_batch_kubectl.remote import owner_of
from azure_batch_operator.api.base import HELD_METADATA
from azure_batch_operator.batch import BatchClient, BatchError, JsonObject
from azure_batch_operator.batch.errors import NotFoundError, is_gone
from azure_batch_operator.batch.job_wire import Job
from azure_batch_operator.batch.task_wire import EndedTask
from azure_batch_operator.batch.wire import Node, build
from azure_batch_operator.causes import Evidence, NodeFailure, PoolEvidence, Unfinished, Unmet, WayOut
from azure_batch_operator.causes.dependencies import Waiting
from azure_batch_operator.causes.disabling import UNKNOWN, disabler
from azure_batch_operator.causes.reading import demand, node_failure, pool_evidence

_MAX_TASKS, _MAX_LOOKED_UP, _MAX_NODES = 2000, 50, 20
_ACTIVE = "state eq 'active'"
_RUNNING = "state eq 'running' or state eq 'preparing'"
_FAILED = "executionInfo/result eq 'failure'"
_PREPARATION_FAILED = "jobPreparationTaskExecutionInfo/result eq 'failure'"
_TROUBLED = {"startTaskFailed": "starttaskfailed", "unusable": "unusable"}
"""States of nodes whose causes are read, as the counts of nodes and as nodes themselves call them."""
_NEEDS = ("id", "requiredSlots", "multiInstanceSettings", "dependsOn")
_ENDED = ("id", "executionInfo", "exitConditions")
_ONE = ("id", "state", "environmentSettings", "executionInfo", *_NEEDS[1:])
_LOOKED_UP = ("state", *_ENDED)
_OPEN = "state ne 'completed'"
_DISABLED = frozenset({"disabling", "disabled"})
Item = TypeVar("Item")
Retried = Sequence[Mapping[str, Any]]
"""Errors of a resize that is being retried, which Azure Batch hides meanwhile."""


@dataclass(frozen=True)
class _Dependencies:
    """What the dependencies of tasks that wait show.

    Attributes:
        unmet: why none of them can run.
        has_ready: whether one can; None if that takes more tasks than are looked at.
    """

    unmet: Unmet | None = None
    has_ready: bool | None = None


@dataclass(frozen=True)
class _LookedUp:
    """Tasks that others depend on, one by one.

    Attributes:
        lost: lower-case IDs of those that the job does not have.
        failed, unfinished: those that were not listed as such.
        beyond: lower-case IDs of those that were not looked at.
    """

    lost: set[str] = field(default_factory=set)
    failed: list[JsonObject] = field(default_factory=list)
    unfinished: list[JsonObject] = field(default_factory=list)
    beyond: frozenset[str] = frozenset()


async def gather(client: BatchClient, job_id: str, way_out: WayOut, retried: Retried = ()) -> Evidence | None:
    """The evidence about a job; None if tasks run, if none wait, or if it is on its way to another state."""
    job = await client.jobs.get(job_id)
    if job.get("state") in _DISABLED:
        return Evidence(disabled=await _disabled(client, job))
    if job.get("state") != "active" or await _first(client.tasks.list(job_id, filter=_RUNNING, select=("id",)), 1):
        return None
    listed = await _first(client.tasks.list(job_id, filter=_ACTIVE, select=_NEEDS), _MAX_TASKS)
    if not listed:
        return None
    pool = await _pool(client, job, retried)
    dependencies = await _of_job(client, job_id, listed)
    demands = [demand(f"task {task['id']!r}", task) for task in listed]
    return Evidence(
        unmet=dependencies.unmet,
        preparation=await _preparation(client, job),
        pool=pool,
        way_out=way_out,
        has_ready=dependencies.has_ready,
        demands=demands,
        least_slots=min(needed.slots for needed in demands) if len(listed) < _MAX_TASKS else 1,
        least_nodes=min(needed.nodes for needed in demands) if len(listed) < _MAX_TASKS else 0,
        ahead=await _ahead(client, job, pool),
    )


async def task_of(client: BatchClient, job_id: str, task_id: str) -> JsonObject | None:
    """A task, with what `gather_task` reads of it; None if it, or its job, is not there."""
    try:
        return await client.tasks.get(job_id, task_id, select=_ONE)
    except NotFoundError as error:
        if not is_gone(error):
            raise
        return None


async def gather_task(
    client: BatchClient, job_id: str, task: JsonObject, way_out: WayOut, retried: Retried = ()
) -> Evidence | None:
    """The evidence about a single task that waits; None if its job is on its way to another state."""
    job = await client.jobs.get(job_id)
    if job.get("state") in _DISABLED:
        return Evidence(single=True, disabled=await _disabled(client, job))
    if job.get("state") != "active":
        return None
    dependencies = await _of_task(client, job_id, task) if task.get("dependsOn") else _Dependencies(has_ready=True)
    preparation = await _preparation(client, job)
    if preparation is not None and await _first(client.tasks.list(job_id, filter=_RUNNING, select=("id",)), 1):
        # It fails on some nodes only, and does not keep tasks from the others.
        preparation = None
    pool = await _pool(client, job, retried)
    needed = demand("the task", task)
    return Evidence(
        single=True,
        unmet=dependencies.unmet,
        preparation=preparation,
        pool=pool,
        way_out=way_out,
        has_ready=dependencies.has_ready,
        demands=[needed],
        least_slots=needed.slots,
        least_nodes=needed.nodes,
        ahead=await _ahead(client, job, pool),
    )


async def _disabled(client: BatchClient, job: JsonObject) -> str:
    """That a job is disabled, and by whom as far as that shows."""
    if any(item.get("name") == HELD_METADATA for item in job.get("metadata") or ()):
        whose = owner_of(job) or job["id"]
        return f"BatchJob {whose} is suspended, or is being moved to another pool, so no task of the job starts"
    failed = await _first(client.tasks.list(str(job["id"]), filter=_FAILED, select=_ENDED), _MAX_TASKS)
    known = disabler(build(Job, job), (build(EndedTask, task) for task in failed))
    return UNKNOWN if known is None else known.sentence


async def _first(listing: AsyncIterable[Item], most: int) -> list[Item]:
    found: list[Item] = []
    async for item in listing:
        found.append(item)
        if len(found) >= most:
            break
    return found


async def _of_job(client: BatchClient, job_id: str, listed: Sequence[JsonObject]) -> _Dependencies:
    """Whether one of a job's waiting tasks could run, while none runs."""
    if not all(task.get("dependsOn") for task in listed):
        return _Dependencies(has_ready=True)
    if len(listed) >= _MAX_TASKS:
        return _Dependencies()
    failed = await _first(client.tasks.list(job_id, filter=_FAILED, select=_ENDED), _MAX_TASKS)
    waiting = Waiting(listed, failed)
    if waiting.unmet is not None:
        return _Dependencies(waiting.unmet, has_ready=False)
    seen = await _look_up(client, job_id, waiting.to_look_up)
    waiting = Waiting(listed, [*failed, *seen.failed], seen.lost)
    if waiting.unmet is not None:
        return _Dependencies(waiting.unmet, has_ready=False)
    ready = {*waiting.ready}
    open_ids = seen.beyond | {str(task["id"]).lower() for task in seen.unfinished}
    certain = [
        task
        for task in listed
        if str(task["id"]).lower() in ready and _is_certain(task, open_ids, all_seen=len(failed) < _MAX_TASKS)
    ]
    return _Dependencies(has_ready=True if certain else None)


async def _of_task(client: BatchClient, job_id: str, task: JsonObject) -> _Dependencies:
    """Whether a task could run as far as it depends on others, which may run."""
    id = str(task["id"])
    listed = await _first(client.tasks.list(job_id, filter=_OPEN, select=("id", "state", "dependsOn")), _MAX_TASKS)
    before = Waiting.before(task, listed)
    failed = await _first(client.tasks.list(job_id, filter=_FAILED, select=_ENDED), _MAX_TASKS)
    waiting = Waiting(before, failed)
    unmet = waiting.unmet_of(id)
    if unmet is not None and not isinstance(unmet, Unfinished):
        return _Dependencies(unmet, has_ready=False)
    seen = await _look_up(client, job_id, waiting.to_look_up)
    unmet = Waiting([*before, *seen.unfinished], [*failed, *seen.failed], seen.lost).unmet_of(id)
    if unmet is not None:
        return _Dependencies(unmet, has_ready=False)
    all_seen = len(listed) < _MAX_TASKS and len(failed) < _MAX_TASKS
    return _Dependencies(has_ready=True if _is_certain(task, seen.beyond, all_seen=all_seen) else None)


def _is_certain(task: JsonObject, unknown: Collection[str], *, all_seen: bool) -> bool:
    """Whether all was looked at that a task depends on; the tasks of a range are known only by lists of all."""
    depends = task.get("dependsOn") or {}
    named = {str(id).lower() for id in depends.get("taskIds") or ()}
    return named.isdisjoint(unknown) and (all_seen or not depends.get("taskIdRanges"))


async def _look_up(client: BatchClient, job_id: str, ids: Sequence[str]) -> _LookedUp:
    found = _LookedUp(beyond=frozenset(id.lower() for id in ids[_MAX_LOOKED_UP:]))
    for id in ids[:_MAX_LOOKED_UP]:
        try:
            task = await client.tasks.get(job_id, id, select=_LOOKED_UP)
        except NotFoundError as error:
            if not is_gone(error, {"tasknotfound"}):
                raise
            found.lost.add(id.lower())
            continue
        if task.get("state") != "completed":
            found.unfinished.append(task)
        elif (task.get("executionInfo") or {}).get("result") == "failure":
            found.failed.append(task)
    return found


def _pool_id(job: Mapping[str, Any]) -> str | None:
    return (job.get("executionInfo") or {}).get("poolId") or (job.get("poolInfo") or {}).get("poolId")


async def _pool(client: BatchClient, job: Mapping[str, Any], retried: Retried) -> PoolEvidence | None:
    id = _pool_id(job)
    if id is None:
        return None
    try:
        pool = await client.pools.get(id)
    except NotFoundError as error:
        if not is_gone(error):
            raise
        return PoolEvidence(id, is_missing=True)
    counts: Counter[str] = Counter()
    async for found in client.pools.list_node_counts(filter=f"poolId eq '{id}'"):
        for tier in ("dedicated", "lowPriority"):
            counts.update({state: number for state, number in (found.get(tier) or {}).items() if state != "total"})
    try:
        troubled = [node for state in _TROUBLED if counts[state] for node in await _nodes(client, id, state)]
    except NotFoundError as error:
        if not is_gone(error):
            raise
        return PoolEvidence(id, is_missing=True)
    return pool_evidence(id, pool, counts, troubled, retried)


async def _nodes(client: BatchClient, pool_id: str, state: str) -> list[Node]:
    return await _first(client.nodes.list(pool_id, filter=f"state eq '{_TROUBLED[state]}'").of(Node), _MAX_NODES)


async def _preparation(client: BatchClient, job: Mapping[str, Any]) -> NodeFailure | None:
    if not job.get("jobPreparationTask"):
        return None
    listing = client.jobs.list_preparation_and_release_status(str(job["id"]), filter=_PREPARATION_FAILED)
    try:
        found = await _first(listing, 1)
    except BatchError as error:
        if error.status != 409:
            raise
        return None
    return node_failure(found[0]["nodeId"], found[0]["jobPreparationTaskExecutionInfo"]) if found else None


async def _ahead(client: BatchClient, job: Mapping[str, Any], pool: PoolEvidence | None) -> str | None:
    """The job of the highest priority on the same pool, if that is higher than its own; asked only if all nodes are busy."""
    if pool is None or pool.nodes.get("idle") or not pool.nodes.get("running"):
        return None
    own = int(job.get("priority") or 0)
    listing = client.jobs.list(filter=f"{_ACTIVE}", select=("id", "priority", "poolInfo", "executionInfo"))
    others = [
        other
        for other in await _first(listing, _MAX_TASKS)
        if str(_pool_id(other)).lower() == pool.id.lower() and int(other.get("priority") or 0) > own
    ]
    if not others:
        return None
    first = max(others, key=_priority)
    return f"job {first['id']!r} on the same pool has the priority {_priority(first)}, this job {own}: its tasks start first"


def _priority(job: Mapping[str, Any]) -> int:
    return int(job.get("priority") or 0)
