"""The deletion of a BatchPool, according to `spec.deletionPolicy` (docs/azure-batch.md#pools)."""

from __future__ import annotations

from dataclasses import replace

from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile import reconcile_policy as policy
from azure_batch_operator.reconcile.plan import Absence, Absent, Call, Event, Evidence, Plan, Table, Unconfirmed
from azure_batch_operator.reconcile.pool import recreate as pool_recreate
from azure_batch_operator.reconcile.pool.recreate import BUSY_LOOKED_AT_EVERY
from azure_batch_operator.reconcile.pool.scope import PoolScope, PoolView, number_of, some_nodes
from azure_batch_operator.reconcile.standard_plans import FORCE_HINT, deleting, still_there
from azure_batch_operator.reconcile.status import Verdict, carry_over
from azure_batch_operator.words import listed

_LOOK_AGAIN = 15.0


def orphaned(scope: PoolScope) -> Plan | None:
    """The plan for a deleted object whose pool is to stay, if so."""
    resource = scope.resource
    if not resource.deleting or scope.spec.deletion_policy != "Orphan":
        return None
    text = f"pool {resource.remote_id!r} is kept in Azure Batch, because of spec.deletionPolicy"
    events = (Event("Detached", text),) if resource.has_finalizer else ()
    return Plan(finalizer="remove", unconfirmed=Unconfirmed.DETACHED, events=events)


def delete(scope: PoolScope) -> Plan:
    """Delete the pool and what it has replaced, wait until they are gone, and let the object go."""
    resource, view, now, remote = scope.resource, scope.view, scope.now, scope.remote
    if not isinstance(remote, Absent):
        left = policy.left_alone(resource, remote, Table.POOLS, scope.cluster, scope.others)
        if left is not None:
            what = f"pool{'s' if len(view.leaving) > 1 else ''} {listed(map(repr, view.leaving))}"
            return still_there(resource, what, now) if view.leaving else left
    here = [] if scope.pool is None else [scope.pool]
    alive = [pool for pool in (*here, *view.older) if not pool.is_deleting]
    if not alive:
        gone = not here and not view.leaving
        stay = tuple(Absence(Table.POOLS, pool.id, foreign=Evidence.of(pool)) for pool in view.staying)
        unlisted = view.unlisted or (() if stay else (resource.remote_id,))
        confirm = (*(Absence(Table.POOLS, id) for id in unlisted), *stay)
        return (
            Plan(finalizer="remove", confirm=confirm)
            if gone
            else still_there(resource, f"pool {pool_recreate.id_in_use(resource)!r}", now)
        )
    id = alive[0].id
    what = f"pool {id!r}"
    idle = None
    seen = view.history.busy if here and alive[0] is here[0] else view.older_busy
    if scope.spec.deletion_policy == "DeleteWhenIdle":
        if busy := _busy(view, seen, now):
            return _waits(resource, what, busy, now)
        idle = view.idle
    call = Call("delete_pool", Table.POOLS, id, evidence=Evidence.of(alive[0], idle=idle))
    plan = deleting(resource, what, call, now)
    if idle is not None and seen is not None:
        # Lists were asked a while ago and are asked again; till they say otherwise the object says the same.
        return replace(plan, status=_waits(resource, what, seen[1], now).status)
    return plan


def _waits(resource: Resource, what: str, busy: str, now: float) -> Plan:
    message = f"{what} will be deleted when its tasks have ended: {busy}. {FORCE_HINT}"
    verdict = Verdict("Deleting", "WaitingForTasks", message, ready=False, trend="Reconciling")
    return Plan(status=carry_over(resource, verdict, now), requeue_after=_LOOK_AGAIN)


def _busy(view: PoolView, seen: tuple[float, str] | None, now: float) -> str:
    """Who uses the object's pools; the counts lag, so lists have the last word before the call (`Evidence.idle`).

    Args:
        seen: when and why lists last showed that the pool to delete is in use.
    """
    running = number_of(view.counts, ("running",))
    parts = [f"{some_nodes(running)} running tasks"] if running else []
    if view.jobs_on is None:
        parts.append("the operator is listing its jobs")
    elif view.busy:
        parts.append(f"jobs that have not ended: {', '.join(view.busy[:5])}{', …' if len(view.busy) > 5 else ''}")
    if not parts and seen is not None and now - seen[0] < BUSY_LOOKED_AT_EVERY:
        parts.append(seen[1])
    return "; ".join(parts)
