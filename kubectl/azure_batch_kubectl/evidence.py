"""What `why` reads in Azure Batch of a job or a task that does not run: tasks as they are there, and not as a spec has them.

Everything is bounded: what is beyond the bounds was not looked at, and no cause is named for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from azure_batch_kubectl.remote import owner_of
from azure_batch_operator.api.base import HELD_METADATA
from azure_batch_operator.batch import BatchClient, BatchError, JsonObject, Listing
from azure_batch_operator.batch.errors import NotFoundError
from azure_batch_operator.batch.wire import Node
from azure_batch_operator.causes import Evidence, NodeFailure, PoolEvidence, WayOut
from azure_batch_operator.causes.dependencies import Waiting
from azure_batch_operator.causes.disabling import UNKNOWN, disabler
from azure_batch_operator.causes.reading import demand, node_failure, pool_evidence

_MAX_TASKS, _MAX_LOOKED_UP, _MAX_NODES = 2000, 50, 20
_ACTIVE = "state eq 'active'"
_RUNNING = "state eq 'running' or state eq 'preparing'"
_FAILED = "executionInfo/result eq 'failure'"
_PREPARATION_FAILED = "jobPreparationTaskExecutionInfo/result eq 'failure'"
_TROUBLED = "state eq 'starttaskfailed' or state eq 'unusable'"
_NEEDS = ("id", "requiredSlots", "multiInstanceSettings", "dependsOn")
_ENDED = ("id", "executionInfo", "exitConditions")
_ONE = ("id", "state", "environmentSettings", *_NEEDS[1:])
_OPEN = "state ne 'completed'"
_DISABLED = frozenset({"disabling", "disabled"})
Retried = Sequence[Mapping[str, Any]]
"""Errors of a resize that is being retried, which Azure Batch hides meanwhile."""


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
    waiting = await _waiting(client, job_id, listed)
    demands = [demand(f"task {task['id']!r}", task) for task in listed]
    return Evidence(
        unmet=waiting.unmet if waiting is not None else None,
        preparation=await _preparation(client, job),
        pool=pool,
        way_out=way_out,
        has_ready=waiting is None or bool(waiting.ready),
        demands=demands,
        least_slots=min(needed.slots for needed in demands),
        ahead=await _ahead(client, job, pool),
    )


async def task_of(client: BatchClient, job_id: str, task_id: str) -> JsonObject | None:
    """A task, with what `gather_task` reads of it; None if it, or its job, is not there."""
    try:
        return await client.tasks.get(job_id, task_id, select=_ONE)
    except NotFoundError:
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
    waiting = None
    if task.get("dependsOn"):
        listed = await _first(client.tasks.list(job_id, filter=_OPEN, select=("id", "state", "dependsOn")), _MAX_TASKS)
        waiting = await _waiting(client, job_id, Waiting.before(task, listed))
    pool = await _pool(client, job, retried)
    needed = demand("the task", task)
    return Evidence(
        single=True,
        unmet=waiting.unmet_of(str(task["id"])) if waiting is not None else None,
        preparation=await _preparation(client, job),
        pool=pool,
        way_out=way_out,
        has_ready=True,
        demands=[needed],
        least_slots=needed.slots,
        ahead=await _ahead(client, job, pool),
    )


async def _disabled(client: BatchClient, job: JsonObject) -> str:
    """That a job is disabled, and by whom as far as that shows."""
    if any(item.get("name") == HELD_METADATA for item in job.get("metadata") or ()):
        whose = owner_of(job) or job["id"]
        return f"BatchJob {whose} is suspended, or is being moved to another pool, so no task of the job starts"
    failed = await _first(client.tasks.list(str(job["id"]), filter=_FAILED, select=_ENDED), _MAX_TASKS)
    known = disabler(job, failed)
    return UNKNOWN if known is None else known.sentence


async def _first(listing: Listing, most: int) -> list[JsonObject]:
    found: list[JsonObject] = []
    async for item in listing:
        found.append(item)
        if len(found) >= most:
            break
    return found


async def _waiting(client: BatchClient, job_id: str, listed: Sequence[Mapping[str, Any]]) -> Waiting | None:
    """How the waiting tasks depend on others; None if not all of that can be seen, or none depends on any."""
    if len(listed) >= _MAX_TASKS or not any(task.get("dependsOn") for task in listed):
        return None
    failed = await _first(client.tasks.list(job_id, filter=_FAILED, select=_ENDED), _MAX_TASKS)
    if len(failed) >= _MAX_TASKS:
        return None
    waiting = Waiting(listed, failed)
    if len(waiting.to_look_up) > _MAX_LOOKED_UP:
        return None
    lost = set()
    for id in waiting.to_look_up:
        try:
            await client.tasks.get(job_id, id, select=("id",))
        except NotFoundError:
            lost.add(id.lower())
    return waiting.without(lost)


def _pool_id(job: Mapping[str, Any]) -> str | None:
    return (job.get("executionInfo") or {}).get("poolId") or (job.get("poolInfo") or {}).get("poolId")


async def _pool(client: BatchClient, job: Mapping[str, Any], retried: Retried) -> PoolEvidence | None:
    id = _pool_id(job)
    if id is None:
        return None
    try:
        pool = await client.pools.get(id)
        troubled = client.nodes.list(id, filter=_TROUBLED).of(Node)
        nodes = [node async for node in troubled]
    except NotFoundError:
        return PoolEvidence(id, is_missing=True)
    counts: Counter[str] = Counter()
    async for found in client.pools.list_node_counts(filter=f"poolId eq '{id}'"):
        for tier in ("dedicated", "lowPriority"):
            counts.update({state: number for state, number in (found.get(tier) or {}).items() if state != "total"})
    return pool_evidence(id, pool, counts, islice(nodes, _MAX_NODES), retried)


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
