"""Observes the pool of a job or of the jobs of a schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch.pool_wire import Pool
from azure_batch_operator.reconcile import adoption, ownership
from azure_batch_operator.reconcile.adoption import Standing
from azure_batch_operator.reconcile.plan import Absent, Remote
from azure_batch_operator.reconcile.pool.recreate import id_in_use, in_use
from azure_batch_operator.reconcile.references import referenced
from azure_batch_operator.reconcile.standard_plans import other_name
from azure_batch_operator.reconcile.target_pool import IN_OTHER_ACCOUNT, NO_POOL, NOT_ALLOWED, TargetPoolView
from azure_batch_operator.sync.accounts import Session
from azure_batch_operator.sync.observe.context import Context
from azure_batch_operator.sync.store import pinned_account


def pool_view(context: Context, resource: Resource, session: Session | None) -> TargetPoolView:
    """The pool that `poolRef` or `poolInfo` names; its problem if it cannot be used yet."""
    path, spec = resource.job_spec
    named = referenced(spec)
    if named.pool_ref is None:
        id = None if named.pool_info is None else named.pool_info.pool_id
        return id_pool(context, resource, session, id, f"{path}.poolInfo.poolId")
    return batch_pool(context, resource, session, named.pool_ref.name, f"{path}.poolRef")


def id_pool(
    context: Context, resource: Resource, session: Session | None, id: str | None, field: str
) -> TargetPoolView:
    """The pool that `field` names by its ID; its problem if it is not for the namespace of `resource`, or not listed.

    Azure Batch accepts a job for a pool that does not exist, and runs it on whoever's pool then gets the ID: so a pool is used only
    once its owner is known (tests/quick/test_foreign_pools.py).
    """
    if session is None or id is None:
        return TargetPoolView(id)
    if session.mirror.pools.first:
        return TargetPoolView(None, ("WaitingForPool", "waiting until the pools of the account are listed"))
    if (why := foreign(context, resource, session, id)) is not None:
        return TargetPoolView(None, (NOT_ALLOWED, f"{field} names a pool that this object may not use: {why}"))
    if session.mirror.pools.latest(id) is None:
        message = (
            f"{field} names pool {id!r}, which is not in the Azure Batch account: create the pool, or correct the ID"
        )
        return TargetPoolView(None, (NO_POOL, message))
    return TargetPoolView(id)


def foreign(context: Context, resource: Resource, session: Session, id: str) -> str | None:
    """Why nothing of the namespace of `resource` may run on a pool; None if it may, also while there is no such pool.

    Whose a pool is, its marker says: a task acts with the identity and in the network of its pool.
    """
    pool = session.mirror.pools.latest(id)
    return None if pool is None else foreign_pool(context, resource.key.namespace, id, pool)


def foreign_pool(context: Context, namespace: str, id: str, pool: Mapping[str, Any]) -> str | None:
    """Why nothing of a namespace may run on a pool as Azure Batch shows it; None if it may."""
    if ownership.is_auto_pool(pool):
        text = f"pool {id!r} has the ID of a pool that Azure Batch makes for one job, and no owner"
        return f"{text}: adopt it with a BatchPool, and name that in poolRef"
    owner = ownership.owner_of(pool)
    whose = ownership.foreign_owner(pool, None, namespace, context.clusters)
    if whose is None or owner is None or owner.object.cluster != context.cluster:
        return whose and f"pool {id!r} {whose.removeprefix('it ')}: name a pool of this namespace"
    known = context.store.get(Key(Kind.POOL, owner.object.namespace, owner.object.name))
    if known is not None and known.uid == owner.object.uid and context.lets_in(known, namespace):
        return None
    text = f"pool {id!r} {whose.removeprefix('it ')}"
    if known is None and context.others.look(owner.object) is Standing.UNSEEN:
        # Nothing is concluded from what cannot be read, and least of all that a namespace was let in.
        return (
            f"{text}, which the operator cannot read, so it is not known whether it allows namespace {namespace!r}: create the "
            f"operator's Role and RoleBinding in namespace {owner.object.namespace!r}, have the operator watch it, or name "
            "another pool"
        )
    text += f", whose spec.allowedNamespaces does not allow namespace {namespace!r}"
    return f"{text}: add the namespace there, or name another pool"


def batch_pool(context: Context, resource: Resource, session: Session | None, name: str, field: str) -> TargetPoolView:
    """The pool of a BatchPool that `field` names in the namespace of `resource`; its problem if it cannot be used yet."""
    pool = context.store.get(Key(Kind.POOL, resource.key.namespace, name))
    if pool is None:
        message = f"{field} names BatchPool {name!r}, which does not exist in this namespace: create it"
        message += other_name(resource, field)
        account = referenced(resource.spec).account_ref
        elsewhere = account is not None and account.namespace not in (None, resource.key.namespace)
        if field.endswith(".poolRef") and elsewhere:
            message += (
                f"; for a pool of another namespace give its ID in {field.removesuffix('poolRef')}poolInfo.poolId"
            )
        return TargetPoolView(None, (NO_POOL, message))
    if session is not None and (pinned := pinned_account(pool)) is not None and pinned != session.key:
        message = (
            f"{field} names BatchPool {name!r} of BatchAccount {pinned.namespace}/{pinned.name}, but this object is in "
            f"BatchAccount {session.key.namespace}/{session.key.name}: name a pool of that account, or create a new object"
        )
        return TargetPoolView(None, (IN_OTHER_ACCOUNT, message))
    remote = pool_in_use(context, session, pool, brief=True) if session else Absent.UNKNOWN
    if isinstance(remote, Absent):
        return TargetPoolView(None, ("WaitingForPool", f"waiting until BatchPool {name!r} exists in Azure Batch"))
    if not adoption.ours(remote, pool, context.cluster, context.others):
        return TargetPoolView(
            None, ("WaitingForPool", f"BatchPool {name!r} does not own its pool; check its conditions")
        )
    if remote.get("state") == "deleting":
        # Azure Batch takes a job for such a pool, and its tasks then wait for a pool that is gone.
        message = f"pool {remote['id']!r} of BatchPool {name!r} is being deleted in Azure Batch; check its conditions"
        return TargetPoolView(None, ("WaitingForPool", message))
    return TargetPoolView(str(remote["id"]))


def pools_of(context: Context, session: Session, pool: Resource) -> list[Pool]:
    """All pools in Azure Batch that are a BatchPool's, those that its namesake in a lost cluster owned included."""
    found = list(session.mirror.pools_of.get(ownership.Owned.by(context.cluster, pool), ()))
    if context.others.lost:
        found += [
            candidate
            for owner, pools in session.mirror.pools_of.items()
            if owner.name == pool.key.name and owner.cluster in context.others.lost
            for candidate in pools
        ]
    unique = {candidate.id.lower(): candidate for candidate in found}
    return [
        candidate for candidate in unique.values() if adoption.ours(candidate, pool, context.cluster, context.others)
    ]


def pool_in_use(context: Context, session: Session, pool: Resource, *, brief: bool = False) -> Remote:
    """The pool of a BatchPool that jobs should be on; if it owns none, the one under the id that it used last.

    Args:
        brief: whether its id, state and owner are enough, so that nobody need have asked for all of it.
    """
    mirror = session.mirror
    get = mirror.pools.brief if brief else mirror.pools.get
    current, _ = in_use(pools_of(context, session, pool))
    if current is None or mirror.pools.first:
        return get(id_in_use(pool))
    return get(current.id)
