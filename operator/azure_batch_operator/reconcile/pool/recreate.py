"""`updateStrategy: Recreate`: creates a new pool, moves the jobs, and deletes the old pool when no job is left on it.

Two pools need two ids. The first pool has the id of the spec; each later one has it with the generation of the spec behind, such as
`render-g7`. Which pools are an object's is written in their ownership markers, so nothing is lost with the status: the newest
pool that is not being deleted is the one in use, all others run dry. See docs/decisions/0011.

A marker can be overwritten, and a list can lack a pool. So a pool that no marker shows is looked for, and created again, under the
id in the status: the service refuses an id that is taken, but not a second pool under another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count

from azure_batch_operator.api.base import RECONCILE_POLICY
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.pool_wire import Pool
from azure_batch_operator.reconcile import ownership
from azure_batch_operator.reconcile.before import status_before
from azure_batch_operator.reconcile.ownership import LONGEST_ID
from azure_batch_operator.reconcile.plan import Call, Evidence, Table
from azure_batch_operator.reconcile.pool.changes import Changes, with_note
from azure_batch_operator.reconcile.pool.desired import body_of
from azure_batch_operator.reconcile.pool.scope import PoolScope, PoolView, Step, moment, pool_before
from azure_batch_operator.words import listed

_LOOK_AGAIN = 2.0
BUSY_LOOKED_AT_EVERY = 60.0


def next_id(resource: Resource, owned: Iterable[str]) -> str:
    """Id of a pool that is made in place of an older one.

    Args:
        owned: ids of the object's pools. One may have been made for the same generation, as when a Secret has changed twice.
    """
    taken = {id.lower() for id in owned}
    for number in count(1):
        suffix = f"-g{resource.generation}" + (f"-{number}" if number > 1 else "")
        id = f"{resource.remote_id[: LONGEST_ID - len(suffix)]}{suffix}"
        if id.lower() not in taken:
            break
    return id


def id_in_use(resource: Resource) -> str:
    """Id of the pool in use as the status has it, else the object's own: where to look for a pool that no marker shows."""
    id = status_before(resource).id
    return id if id and ownership.has_id(resource, id) else resource.remote_id


def ids_once_used(resource: Resource) -> tuple[str, ...]:
    """Ids under which the object may have pools, as far as its status says; its own among them."""
    shown = (resource.remote_id, id_in_use(resource), *pool_before(resource).replaces)
    return tuple({id.lower(): id for id in shown if ownership.has_id(resource, id)}.values())


def in_use(owned: Sequence[Pool]) -> tuple[Pool | None, list[Pool]]:
    """The pool in use among those of one object, and the others, oldest first; those that are being deleted are none of both."""
    alive = sorted((pool for pool in owned if not pool.is_deleting), key=lambda pool: moment(pool.creation_time))
    return (alive[-1], alive[:-1]) if alive else (None, [])


def stays(resource: Resource, pool: Pool) -> bool:
    """Whether a pool that is replaced is not deleted: it was there before its object, and nobody said `manage` on the object."""
    return ownership.adopted(pool) and resource.annotations.get(RECONCILE_POLICY) != "manage"


def recreate(scope: PoolScope, found: Changes, agent: str | None, pool: Pool) -> Step | None:
    """Make the new pool."""
    resource, view = scope.resource, scope.view
    if not found.empty or not found.asked or scope.spec.update_strategy != "Recreate":
        return None
    owned = [*view.leaving, *(known.id for known in (pool, *view.older))]
    names, id = listed(found.empty), next_id(resource, owned)
    if view.next_taken:
        message = (
            f"a change of {names} needs a new pool, but pool {id!r} exists and has another owner: delete it, or change "
            "the spec"
        )
        return Step((), "Stalled", "OwnershipConflict", message, stalled=True)
    body = ownership.with_marker(body_of(id, resource.spec, agent), ownership.marker(scope.cluster, resource, id))
    body = with_note(body, resource.spec, view.values)
    call = Call("create_pool", Table.POOLS, id, body=body, digests=view.values.digests)
    message = f"pool {id!r} is being created, because {names} cannot be changed while the pool has nodes"
    if stays(resource, pool):
        message += f"; pool {pool.id!r} was adopted, so it stays in Azure Batch"
    # Nobody asks for news of the new id before it is seen.
    return Step((call,), "Replacing", "Replacing", message, requeue_after=_LOOK_AGAIN)


def clear(view: PoolView, now: float) -> Step | None:
    """Delete the oldest pool that runs dry, as soon as no job is on it and no job schedule names it."""
    if not view.older:
        return None
    id = view.older[0].id
    jobs = None if view.jobs_on is None else view.jobs_on.get(id.lower(), ())
    if jobs is None:
        return Step(
            (), "Replacing", "Replacing", f"pool {id!r} will be deleted when no job uses it", requeue_after=_LOOK_AGAIN
        )
    if jobs:
        message = f"pool {id!r} will be deleted when no job uses it: {', '.join(sorted(jobs)[:5])}"
        return Step((), "Replacing", "WaitingForJobs", message, requeue_after=_LOOK_AGAIN)
    call = Call("delete_pool", Table.POOLS, id, evidence=Evidence.of(view.older[0], idle=frozenset()))
    if view.older_busy is not None:
        since, why = view.older_busy
        message = f"pool {id!r} will be deleted when nothing uses it: {why}"
        left = since + BUSY_LOOKED_AT_EVERY - now
        calls, requeue_after = ((), left) if left > 0 else ((call,), BUSY_LOOKED_AT_EVERY)
        return Step(calls, "Replacing", "WaitingForJobs", message, requeue_after=requeue_after)
    return Step((call,), "Replacing", "Replacing", f"pool {id!r} is being deleted: its jobs have moved")
