"""Observes a BatchPool: the last list of pools and of node counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.pool import PoolSpec
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.pool_wire import Pool
from azure_batch_operator.batch.wire import TaskCounts
from azure_batch_operator.reconcile import adoption
from azure_batch_operator.reconcile.job.lifecycle import is_active
from azure_batch_operator.reconcile.plan import Absent, AccountView, Plan
from azure_batch_operator.reconcile.pool import lifecycle as plans
from azure_batch_operator.reconcile.pool.recreate import id_in_use, ids_once_used, in_use, next_id, stays
from azure_batch_operator.reconcile.pool.scope import PoolScope, PoolView
from azure_batch_operator.reconcile.references import AccountRef, referenced
from azure_batch_operator.reconcile.secret_versions import compared, plain
from azure_batch_operator.sync.accounts import Session
from azure_batch_operator.sync.mirror import PoolNotes
from azure_batch_operator.sync.observe.context import Context, Decision, Remembered, Subscription
from azure_batch_operator.sync.observe.pools import pool_in_use, pools_of
from azure_batch_operator.sync.polls.jobs import pool_of
from azure_batch_operator.sync.remote_table import RemoteTable

_LOOK_AGAIN = 1.0
_UPDATES = frozenset({"update_pool", "replace_pool_properties"})


def plan(context: Context, resource: Resource, account: AccountView, session: Session | None, now: float) -> Decision:
    """Decide about one BatchPool."""
    if session is None:
        return Decision(plans.plan(PoolScope(resource, account, PoolView(), context.cluster, now)))
    owned = pools_of(context, session, resource)
    view = _view(context, session, resource, owned)
    scope = PoolScope(resource, account, view, context.cluster, now, context.others)
    return Decision(_decide(context, session, scope), _subscription(context, session, resource, owned, view))


def _decide(context: Context, session: Session, scope: PoolScope) -> Plan:
    resource, view, result = scope.resource, scope.view, plans.plan(scope)
    if any(context.held(resource, call) for call in result.calls if call.verb in _UPDATES):
        # Nodes that are to go cost money, whatever the service refuses to change meanwhile.
        beside = plans.plan(replace(scope, view=replace(view, update_refused=True)))
        if beside.calls and not any(context.held(resource, call) for call in beside.calls):
            return beside
    if result == Plan() and _recreates(resource) and session.mirror.pools.touched:
        # What is being looked at may be under an id that nobody has asked news of yet.
        return replace(result, requeue_after=_LOOK_AGAIN)
    return result


def _recreates(resource: Resource) -> bool:
    return resource.spec.get("updateStrategy") == "Recreate"


def _unseen(pools: RemoteTable[Mapping[str, Any]], base: str, others: Sequence[str], following: str) -> bool:
    """Whether one of the pools that take turns for an object was written to since the last list.

    A pool that was just made, under whatever generation, must be seen before another one is made; one that was just deleted,
    before it is deleted again. A single pool needs no such care, since then the one in use is the one that was written to.
    """
    family = following.rpartition("-g")[0] + "-g"
    return pools.get(base) is Absent.UNKNOWN or any(pools.pending(id) for id in (*others, family))


def _others(resource: Resource, owned: Sequence[Pool]) -> list[str]:
    """Ids (lower case) of the pools of an object but the one that is named like it."""
    return sorted({pool.id.lower() for pool in owned} - {resource.remote_id.lower()})


def _leaves_when_idle(resource: Resource) -> bool:
    return resource.deleting and resource.spec.get("deletionPolicy") == "DeleteWhenIdle"


def _subscription(
    context: Context, session: Session, resource: Resource, owned: Sequence[Pool], view: PoolView
) -> Subscription:
    others = {*_others(resource, owned), id_in_use(resource).lower()} - {resource.remote_id.lower()}
    known = None
    if not isinstance(view.remote, Absent) and adoption.ours(view.remote, resource, context.cluster, context.others):
        # What an object says that names somebody else's pool does not count.
        known = Remembered(str(view.remote["id"]), view.values.held, _watched_start_task(resource))
    return Subscription(
        (resource.remote_id, *sorted(others)),
        jobs_of_pools=bool(view.older) or _leaves_when_idle(resource),
        remembered=known,
    )


def _watched_start_task(resource: Resource) -> Mapping[str, Any] | None:
    """The start task that all nodes should have run, if the object wants to know which have not."""
    found = resource.spec.get("startTask") if resource.spec.get("startTaskUpdate") == "Reboot" else None
    return found if isinstance(found, Mapping) else None


def _view(context: Context, session: Session, resource: Resource, owned: Sequence[Pool]) -> PoolView:
    mirror, base = session.mirror, resource.remote_id
    ids = _others(resource, owned)
    _, replaced = in_use(owned)
    older = [pool for pool in replaced if not stays(resource, pool)]
    leaving = [pool.id for pool in owned if pool.is_deleting]
    leaves_when_idle = _leaves_when_idle(resource)
    jobs_on = _jobs_on(session) if older or leaves_when_idle else None
    remote = pool_in_use(context, session, resource)
    following = next_id(resource, (pool.id for pool in owned))
    if _recreates(resource) and _unseen(mirror.pools, base, ids, following):
        remote = Absent.UNKNOWN
    id = (id_in_use(resource) if isinstance(remote, Absent) else str(remote["id"])).lower()
    notes = mirror.notes.get(id) or PoolNotes()
    jobs = _jobs(context, session, resource)
    taken, missing = context.taken.get(resource.key, {}), context.missing.get(resource.key, {})
    values = compared(taken, notes.digests, remote, missing, plain(PoolSpec, resource.spec))
    start_task = notes.start_task
    if not isinstance(remote, Absent) and adoption.ours(remote, resource, context.cluster, context.others):
        start_task = _watched_start_task(resource)
    return PoolView(
        remote=remote,
        older=older,
        older_busy=_busy(session, older[0].id) if older else None,
        staying=[pool for pool in replaced if stays(resource, pool)],
        leaving=leaving,
        unlisted=[id for id in ids_once_used(resource) if isinstance(mirror.pools.brief(id), Absent)],
        next_taken=mirror.pools.latest(following) is not None and following.lower() not in ids,
        jobs_on=jobs_on,
        counts=mirror.node_counts.get(id),
        images=mirror.images,
        accepted=notes.accepted,
        values=values,
        evaluated=notes.evaluated,
        enabled=notes.enabled,
        looked=notes.looked,
        troubled=notes.troubled,
        outdated=notes.outdated if notes.outdated_for == start_task else (),
        compared=notes.outdated_for == start_task,
        history=notes.history,
        **_users(context, session, resource, [base, *ids], jobs_on) if leaves_when_idle else {},
        slots_used=_slots_used(jobs),
        prices=context.prices.get(resource.key),
    )


def _busy(session: Session, pool: str) -> tuple[float, str] | None:
    """When and why lists last showed that a pool is in use."""
    notes = session.mirror.notes.get(pool.lower())
    return notes.history.busy if notes else None


def _jobs_on(session: Session) -> Mapping[str, Sequence[str]] | None:
    """Jobs by the pool that they are on, if they were listed together with the pools."""
    mirror = session.mirror
    if mirror.jobs.seen_at is None or mirror.pools.seen_at is None or mirror.jobs.seen_at < mirror.pools.seen_at:
        return None
    found: defaultdict[str, list[str]] = defaultdict(list)
    for job in mirror.jobs.entries():
        if job.get("state") not in {"completed", "deleting"}:
            found[pool_of(job).lower()].append(str(job["id"]))
    return found


def _jobs(
    context: Context, session: Session, pool: Resource
) -> list[tuple[Resource, TaskCounts | None, TaskCounts | None]]:
    """The open BatchJobs on a pool, each with its counts of tasks and of task slots as far as they are known."""
    jobs = [job for job in context.store.dependents(pool.key, Kind.JOB) if is_active(job) and not job.deleting]
    results = [session.mirror.results.get(job.remote_id.lower()) for job in jobs]
    return [
        (job, known.counts if known else None, known.slots if known else None)
        for job, known in zip(jobs, results, strict=True)
    ]


def _slots_used(jobs: Sequence[tuple[Resource, object, TaskCounts | None]]) -> int | None:
    """Task slots that the jobs occupy; None if that is not known of all of them."""
    known = [slots for _, _, slots in jobs if slots is not None]
    return sum(slots.running for slots in known) if len(known) == len(jobs) else None


def _users(
    context: Context, session: Session, pool: Resource, ids: Sequence[str], jobs_on: Mapping[str, Sequence[str]] | None
) -> dict[str, Any]:
    """Who keeps the object's pools from being deleted: `busy` and `idle` of the view.

    A job on them, whoever made it, is idle if the operator counts its tasks and none is unfinished. A BatchJob of any namespace
    that names one of them waits for it even if it is not in Azure Batch yet.
    """
    pools = {id.lower() for id in ids}
    on_them = {job.lower(): job for id in pools for job in (jobs_on or {}).get(id, ())}
    named = {
        job.remote_id.lower(): job
        for job in context.store.of_kind(Kind.JOB)
        if is_active(job) and not job.deleting and _names(job, pool, pools)
    }
    busy = {id: f"{job.key.namespace}/{job.key.name}" for id, job in named.items()} | {
        id: job for id, job in on_them.items() if id not in named
    }
    idle = {id for id in on_them if _no_tasks_left(session, id)}
    return {"busy": sorted(name for id, name in busy.items() if id not in idle), "idle": frozenset(idle)}


def _no_tasks_left(session: Session, job: str) -> bool:
    known = session.mirror.results.get(job)
    counts = known.counts if known else None
    return counts is not None and not counts.active and not counts.running


def _names(job: Resource, pool: Resource, pools: set[str]) -> bool:
    """Whether a BatchJob names this BatchPool, or one of its pools in the same account."""
    named = referenced(job.job_spec[1])
    if named.pool_ref is not None:
        return job.key.namespace == pool.key.namespace and named.pool_ref.name == pool.key.name
    id = "" if named.pool_info is None else (named.pool_info.pool_id or "").lower()
    return id in pools and _account(job) == _account(pool)


def _account(resource: Resource) -> tuple[str, str]:
    account = referenced(resource.spec).account_ref or AccountRef()
    return account.namespace or resource.key.namespace, account.name
