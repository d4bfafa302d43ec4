"""What a BatchPool's plan is decided from: the last list of pools and of node counts."""

from __future__ import annotations

from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile import pool as plans
from azure_batch_operator.reconcile.plan import AccountView, Plan
from azure_batch_operator.reconcile.pool_view import PoolView
from azure_batch_operator.sync.accounts import Session
from azure_batch_operator.sync.views.context import Context, interested


def plan(context: Context, resource: Resource, account: AccountView, session: Session | None, now: float) -> Plan:
    """Decide about one BatchPool."""
    if session is None:
        return plans.plan(resource, account, PoolView(), context.cluster, now)
    interested(session, resource, resource.remote_id)
    return plans.plan(resource, account, _view(session, resource), context.cluster, now)


def _view(session: Session, resource: Resource) -> PoolView:
    mirror, id = session.mirror, resource.remote_id.lower()
    return PoolView(
        remote=mirror.pools.get(id),
        counts=mirror.node_counts.get(id),
        images=mirror.images,
        accepted=mirror.accepted.get(id),
        evaluated=mirror.evaluated.get(id),
        enabled=mirror.enabled.get(id),
        troubled=mirror.troubled.get(id, ()),
    )
