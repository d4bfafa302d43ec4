"""Observes a BatchOperation: the object that it references, and the progress of its calls."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch.wire import build
from azure_batch_operator.reconcile.operation import lifecycle as plans
from azure_batch_operator.reconcile.operation.lifecycle import is_open
from azure_batch_operator.reconcile.operation.spec import OperationSpec
from azure_batch_operator.reconcile.operation_order import Reach, Request
from azure_batch_operator.reconcile.operation_verbs import verb_of
from azure_batch_operator.reconcile.plan import AccountView
from azure_batch_operator.reconcile.pool.recreate import id_in_use
from azure_batch_operator.reconcile.references import referenced
from azure_batch_operator.reconcile.standard_plans import other_name
from azure_batch_operator.sync.accounts import Session
from azure_batch_operator.sync.observe.context import Context, Decision, Subscription
from azure_batch_operator.sync.observe.pools import foreign_pool

__all__ = ["is_open", "plan"]

_MISSING = {Kind.POOL: "PoolNotFound", Kind.JOB: "JobNotFound", Kind.SCHEDULE: "ScheduleNotFound"}


def plan(context: Context, resource: Resource, account: AccountView, session: Session | None, now: float) -> Decision:
    """Decide about one BatchOperation."""
    view = _view(context, resource)
    if session is not None:
        progress = session.operations.progress(resource.key, resource.uid)
        view = plans.View(view.request, view.missing, progress)
    return Decision(plans.plan(resource, account, view, now), Subscription(ended=not is_open(resource)))


def _view(context: Context, resource: Resource) -> plans.View:
    spec, verb = resource.spec, verb_of(resource.spec)
    if not verb:
        return plans.View(missing=("InvalidSpec", "the spec has no verb: create a new BatchOperation with one"))
    named = referenced(spec)
    given = (
        ("poolRef", Kind.POOL, named.pool_ref),
        ("jobRef", Kind.JOB, named.job_ref),
        ("scheduleRef", Kind.SCHEDULE, named.schedule_ref),
    )
    field, kind, reference = next((way for way in given if way[2] is not None), (None, None, None))
    owner, missing = None, None
    if kind is not None and reference is not None:
        name = reference.name
        owner = context.store.get(Key(kind, resource.key.namespace, name))
        if owner is None and "startTime" in resource.status:
            # What was begun is ended, and for that its resource has an ID.
            missing = (_MISSING[kind], f"{kind} {name!r} was deleted")
        elif owner is None:
            what = f"spec.{field} names {kind} {name!r}, which does not exist in this namespace"
            return plans.View(missing=(_MISSING[kind], f"{what}: create it{other_name(resource, f'spec.{field}')}"))
    # The one that the targets were chosen in: a BatchPool may have another one by now.
    id = str(resource.status.get("id") or "")
    if owner is not None and not id:
        id = id_in_use(owner) if owner.key.kind is Kind.POOL else owner.remote_id
    typed, inputs = build(OperationSpec, spec), spec[verb]
    place = plans.place_of(typed, kind, id)
    created = str(resource.status.get("created") or "")
    reach = Reach(
        owner, resource.key.namespace, context.cluster, context.others, created,
        partial(foreign_pool, context, resource.key.namespace),
    )  # fmt: skip
    return plans.View(
        Request(verb, inputs if isinstance(inputs, Mapping) else {}, place, reach, plans.size_of(typed, verb)), missing
    )
