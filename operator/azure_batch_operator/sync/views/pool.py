"""What a BatchPool's plan is decided from: the last list of pools and of node counts."""

from __future__ import annotations

from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile import pool as plans
from azure_batch_operator.reconcile.plan import Absent, AccountView, Plan
from azure_batch_operator.sync.accounts import Session
from azure_batch_operator.sync.views.context import Context, interested


def plan(context: Context, resource: Resource, account: AccountView, session: Session | None, now: float) -> Plan:
    """Decide about one BatchPool."""
    if session is None:
        return plans.plan(resource, account, Absent.UNKNOWN, None, context.cluster, now)
    id = resource.remote_id
    interested(session, resource, id)
    counts = session.mirror.node_counts.get(id.lower())
    return plans.plan(resource, account, session.mirror.pools.get(id), counts, context.cluster, now)
