"""What a BatchPool's plan is decided from: the last list of pools and of node counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile import pool as plans
from azure_batch_operator.reconcile.job import is_open
from azure_batch_operator.reconcile.plan import Absent, AccountView, Plan
from azure_batch_operator.reconcile.pool_recreate import in_use, next_id
from azure_batch_operator.reconcile.pool_values import compared
from azure_batch_operator.reconcile.pool_view import PoolView
from azure_batch_operator.sync.accounts import Session
from azure_batch_operator.sync.mirror import RemoteTable
from azure_batch_operator.sync.polls.jobs import pool_of
from azure_batch_operator.sync.views.context import Context, interested
from azure_batch_operator.sync.views.pools import pool_in_use, pools_of

_LOOK_AGAIN = 1.0


def plan(context: Context, resource: Resource, account: AccountView, session: Session | None, now: float) -> Plan:
    """Decide about one BatchPool."""
    if session is None:
        return plans.plan(resource, account, PoolView(), context.cluster, now)
    result = plans.plan(resource, account, _view(context, session, resource), context.cluster, now, context.others)
    if result == Plan() and _recreates(resource) and session.mirror.pools.touched:
        # What is being looked at may be under an id that nobody has asked news of yet.
        return replace(result, again=_LOOK_AGAIN)
    return result


def _recreates(resource: Resource) -> bool:
    return resource.spec.get("updateStrategy") == "Recreate"


def _unseen(pools: RemoteTable, base: str, others: Sequence[str], following: str) -> bool:
    """Whether one of the pools that take turns for an object was written to since the last list.

    A pool that was just made, under whatever generation, must be seen before another one is made; one that was just deleted,
    before it is deleted again. A single pool needs no such care, since then the one in use is the one that was written to.
    """
    family = following.rpartition("-g")[0] + "-g"
    return pools.get(base) is Absent.UNKNOWN or any(pools.pending(each) for each in (*others, family))


def _view(context: Context, session: Session, resource: Resource) -> PoolView:
    mirror, base = session.mirror, resource.remote_id
    owned = pools_of(context, session, resource)
    ids = sorted({base.lower(), *(str(pool["id"]).lower() for pool in owned)} - {base.lower()})
    interested(session, resource, base, *ids)
    _, older = in_use(owned)
    leaving = [str(pool["id"]) for pool in owned if pool.get("state") == "deleting"]
    session.interest.watch_jobs(resource.key, wanted=bool(older))
    jobs_on = _jobs_on(session) if older else None
    remote = pool_in_use(context, session, resource)
    following = next_id(resource, (str(pool["id"]) for pool in owned))
    if _recreates(resource) and _unseen(mirror.pools, base, ids, following):
        remote = Absent.UNKNOWN
    id = base.lower() if isinstance(remote, Absent) else str(remote["id"]).lower()
    notes = mirror.notes[id]
    jobs = _jobs(context, session, resource)
    values = compared(context.taken.get(resource.key, {}), notes.digests, remote)
    if not isinstance(remote, Absent):
        # What the pool has is remembered by value from now on.
        notes.digests |= {name: digest for name, digest in values.digests.items() if name not in values.changed}
    notes.start_task = resource.spec.get("startTask") if resource.spec.get("startTaskUpdate") == "Reboot" else None
    return PoolView(
        remote=remote,
        older=older,
        leaving=leaving,
        next_taken=mirror.pools.latest(following) is not None and following.lower() not in ids,
        jobs_on=jobs_on,
        counts=mirror.node_counts.get(id),
        images=mirror.images,
        accepted=notes.accepted,
        values=values,
        evaluated=notes.evaluated,
        enabled=notes.enabled,
        troubled=notes.troubled,
        outdated=notes.outdated if notes.outdated_for == notes.start_task else (),
        history=notes.history,
        busy=_busy(jobs),
        slots_used=_slots_used(jobs),
        prices=context.prices.get(resource.key),
    )


def _jobs_on(session: Session) -> Mapping[str, Sequence[str]] | None:
    """Jobs by the pool that they are on, if they were listed together with the pools."""
    mirror = session.mirror
    if mirror.jobs.seen_at is None or mirror.pools.seen_at is None or mirror.jobs.seen_at < mirror.pools.seen_at:
        session.poller.poke()
        return None
    found: defaultdict[str, list[str]] = defaultdict(list)
    for job in mirror.jobs.entries():
        if job.get("state") not in {"completed", "deleting"}:
            found[pool_of(job).lower()].append(str(job["id"]))
    return found


def _jobs(
    context: Context, session: Session, pool: Resource
) -> list[tuple[Resource, Mapping[str, int] | None, Mapping[str, int] | None]]:
    """The open BatchJobs on a pool, each with its counts of tasks and of task slots as far as they are known."""
    jobs = [each for each in context.store.dependents(pool.key, Kind.JOB) if is_open(each) and not each.deleting]
    results = [session.mirror.results.get(each.remote_id.lower()) for each in jobs]
    return [
        (job, known.counts if known else None, known.slots if known else None)
        for job, known in zip(jobs, results, strict=True)
    ]


def _slots_used(jobs: Sequence[tuple[Resource, object, Mapping[str, int] | None]]) -> int | None:
    """Task slots that the jobs occupy; None if that is not known of all of them."""
    known = [slots for _, _, slots in jobs if slots is not None]
    return sum(int(slots.get("running", 0)) for slots in known) if len(known) == len(jobs) else None


def _busy(jobs: Sequence[tuple[Resource, Mapping[str, int] | None, object]]) -> list[str]:
    """Names of jobs with tasks that have not ended; one whose tasks are not known yet counts."""
    return sorted(
        job.key.name
        for job, counts, _ in jobs
        if counts is None or int(counts.get("active", 0)) + int(counts.get("running", 0))
    )
