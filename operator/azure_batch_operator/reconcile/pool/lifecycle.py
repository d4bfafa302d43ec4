"""BatchPool: from the spec and the last poll to calls and status (docs/azure-batch.md#pools).

The modules of this package: `desired` (what should be), `changes` (what differs), `update`, `recreate` and `scale` (the next step
towards it), `nodes` (nodes that do not work), `deletion` (the end), `status` (what to say). At most
one change is made at a time; the next follows from what a poll has seen of the last one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.pool_wire import Pool
from azure_batch_operator.batch.wire import Body
from azure_batch_operator.reconcile import applied, ownership
from azure_batch_operator.reconcile import reconcile_policy as policy
from azure_batch_operator.reconcile import secret_versions as pool_values
from azure_batch_operator.reconcile.before import status_before
from azure_batch_operator.reconcile.plan import Absent, Call, Event, Plan, Table
from azure_batch_operator.reconcile.pool import deletion as pool_delete
from azure_batch_operator.reconcile.pool import nodes as pool_nodes
from azure_batch_operator.reconcile.pool import recreate as pool_recreate
from azure_batch_operator.reconcile.pool import status as pool_status
from azure_batch_operator.reconcile.pool import update as pool_update
from azure_batch_operator.reconcile.pool.changes import Changes, changes, kept_image, with_note
from azure_batch_operator.reconcile.pool.cost import Cost, cost
from azure_batch_operator.reconcile.pool.desired import TARGETS, Image, body_of, image_of, size_of
from azure_batch_operator.reconcile.pool.nodes import Remediation
from azure_batch_operator.reconcile.pool.scale import ask_again_in, scale
from azure_batch_operator.reconcile.pool.scope import PoolScope, PoolView, Step, pool_before
from azure_batch_operator.reconcile.pool.spec import PoolSpec
from azure_batch_operator.reconcile.secret_versions import MISSING_LOOKED_AT_EVERY
from azure_batch_operator.reconcile.standard_plans import finalizer_on, waiting, with_event
from azure_batch_operator.reconcile.status import Verdict, carry_over, status
from azure_batch_operator.reconcile.steps import first_plan, release, settle_ownership, wait_for_account, wait_for_poll
from azure_batch_operator.words import listed

_VALUES_LOOKED_AT_EVERY = 300.0


def plan(scope: PoolScope) -> Plan:
    """Decide about one BatchPool: the first step that has something to say does."""
    return first_plan(STEPS, scope)


def _orphaned(scope: PoolScope) -> Plan | None:
    """The object is being deleted, and its pool is to stay."""
    return pool_delete.orphaned(scope)


def _deleted(scope: PoolScope) -> Plan | None:
    """The object is being deleted: so is its pool."""
    if not scope.resource.deleting or scope.remote is Absent.UNKNOWN:
        return None
    return pool_delete.delete(scope)


def _absent(scope: PoolScope) -> Plan | None:
    """There is no pool."""
    return _create(scope) if isinstance(scope.remote, Absent) else None


def _claimed(scope: PoolScope) -> Plan | None:
    """The pool is somebody else's, or is to be adopted first."""
    return settle_ownership(scope, policy.POOL)


def _alive(scope: PoolScope) -> Plan | None:
    """The pool is there, and ours."""
    remote, pool = scope.remote, scope.pool
    if isinstance(remote, Absent) or pool is None:
        return None
    found = _converge(scope, remote, pool)
    return policy.with_adoption(found, scope.resource, remote, scope.cluster, scope.others)


STEPS: tuple[Callable[[PoolScope], Plan | None], ...] = (
    release,
    _orphaned,
    wait_for_account,
    wait_for_poll,
    _deleted,
    _absent,
    _claimed,
    _alive,
)
"""In this order; a step that does not apply returns None."""


def _create(scope: PoolScope) -> Plan:
    resource, view, now = scope.resource, scope.view, scope.now
    id = pool_recreate.id_in_use(resource)
    image = image_of(scope.spec, None, view.images)
    if image is None:
        message = (
            "spec.virtualMachineConfiguration names no nodeAgentSKUId, and the list of images that the account supports cannot be "
            "read: add nodeAgentSKUId, or wait"
        )
        return waiting(resource, "ImagesUnknown", message, now)
    if image.problem is not None:
        verdict = Verdict("Stalled", "ImageNotSupported", image.problem, ready=False, trend="Stalled")
        return with_event(resource, Plan(status=carry_over(resource, verdict, now)), verdict)
    verdict = Verdict("Creating", "Creating", f"pool {id!r} is being created", ready=False, trend="Reconciling")
    body = ownership.with_marker(body_of(id, resource.spec, image.agent), ownership.marker(scope.cluster, resource, id))
    body = with_note(body, resource.spec, view.values)
    call = Call("create_pool", Table.POOLS, id, body=body, digests=view.values.digests)
    url = f"{scope.account.url}/pools/{id}"
    shown = status(resource, verdict, now, id=id, url=url, account=scope.account.name)
    return with_event(resource, Plan("add", (call,), status=shown), verdict)


def _converge(scope: PoolScope, remote: Body, pool: Pool) -> Plan:
    resource, view, now = scope.resource, scope.view, scope.now
    image = image_of(scope.spec, kept_image(resource.spec, remote), view.images)
    size = size_of(scope.spec)
    nodes = pool_nodes.plan_remediation(resource, scope.spec.node_remediation, view, pool, now)
    step, found = _step(scope, remote, pool, image, nodes.hold)
    if step is not None and step.calls and step is not nodes.hold:
        # One change of the pool at a time; the nodes' turn comes when it is done, and till then what was done is kept.
        before = scope.before
        kept = {"remediations": before.remediations, "nodesWithOldStartTask": before.nodes_with_old_start_task}
        nodes = Remediation(fields=kept)
    estimate = _cost(scope.spec, view, pool)
    more = pool_status.conditions(scope, pool, image, estimate)
    if (held_up := pool_update.held_up(scope.spec, found, pool)) is not None:
        more["UpdatePending"] = (True, "WaitingForEmptyPool", held_up)
    more |= applied.cannot_be_unset(found.stuck, resource.key.kind)
    if step is None or step.quiet:
        verdict = pool_status.verdict_at_rest(scope, size, pool, more, found.names)
    else:
        verdict = pool_status.verdict_of_step(step, more)
    verdict = pool_values.told(verdict, found.unread)
    shown = pool_status.shown(
        scope, pool, size, verdict,
        pendingChanges=found.names or None,
        reachedGeneration=_reached(resource, verdict, step),
        imageEndOfLife=image.end_of_life if image else None,
        replaces=[former.id for former in (*view.older, *view.staying)][:10] or None,
        estimatedCostPerHour=estimate.per_hour if estimate else None,
        **{name: nodes.fields.get(name) for name in ("remediations", "nodesWithOldStartTask")},
    )  # fmt: skip
    drift = _drift(resource, view, step, now)
    look = MISSING_LOOKED_AT_EVERY if found.unread else _VALUES_LOOKED_AT_EVERY if view.values.taken else None
    asked = step.requeue_after if step else None
    waits = (asked, nodes.requeue_after, ask_again_in(view, pool, now), look)
    result = Plan(
        finalizer=finalizer_on(resource),
        calls=(*(step.calls if step else ()), *nodes.calls),
        status=shown,
        events=(*_drift_notice(drift), *pool_status.events(resource, more), *nodes.events),
        requeue_after=min((seconds for seconds in waits if seconds), default=None),
        drift=drift,
    )
    return with_event(resource, result, verdict)


def _cost(spec: PoolSpec, view: PoolView, pool: Pool) -> Cost | None:
    if view.prices is None or spec.prices_from is None:
        return None
    return cost(spec.prices_from, view.prices, pool, view.counts)


def _step(
    scope: PoolScope, remote: Body, pool: Pool, image: Image | None, hold: Step | None
) -> tuple[Step | None, Changes]:
    """The next step, and what is still to be changed; `hold` is what the care for nodes needs first."""
    resource, spec, view, now = scope.resource, scope.spec, scope.view, scope.now
    agent = image.agent if image else None
    unknown = image is None or image.problem is not None
    found = changes(resource.spec, agent, remote, view.accepted, view.values, without_image=unknown)
    if not view.update_refused and (step := pool_update.change(pool, remote, found, view)) is not None:
        # The operator's own note on a pool that is as wanted is nothing to tell.
        return replace(step, quiet=found.note_alone and pool_status.was_ready(resource)), found
    if (step := pool_recreate.recreate(scope, found, agent, pool)) is not None:
        return step, found
    dry = pool_recreate.clear(view, now)
    if dry is not None and dry.calls:
        return dry, found
    if (step := pool_update.drain(spec, found, view, pool, now)) is not None:
        return step, found
    if hold is not None:
        return hold, found
    leaving = (
        pool_nodes.removed_lately(resource, view, now)
        and status_before(resource).observed_generation == resource.generation
    )
    if leaving and not pool.is_steady:
        # What is in progress is the leaving of nodes that were removed: it is not stopped to bring others.
        return Step((), "Resizing", "Resizing", "removing nodes"), found
    step = scale(pool.id, size_of(spec), spec.resize_options, view, pool, now)
    if step is None and image is not None and image.problem is not None:
        step = Step((), "Stalled", "ImageNotSupported", image.problem, stalled=True)
    return step or dry, found


def _reached(resource: Resource, verdict: Verdict, step: Step | None) -> int | None:
    """The generation that the pool was brought to last; forgotten when the operator itself leads away from it."""
    if verdict.ready:
        return resource.generation
    away = step is not None and step.phase not in {"Updating", "Resizing"}
    return None if away else pool_before(resource).reached_generation


def _drift(resource: Resource, view: PoolView, step: Step | None, now: float) -> tuple[str, ...]:
    """What somebody else has changed: the spec was reached before, and is the same."""
    if step is None or not step.calls or pool_before(resource).reached_generation != resource.generation:
        return ()
    ours = (*TARGETS, "enableAutoScale", "autoScaleFormula") if pool_nodes.removed_lately(resource, view, now) else ()
    return tuple(name for name in step.properties if name not in ours)


def _drift_notice(drift: tuple[str, ...]) -> tuple[Event, ...]:
    if not drift:
        return ()
    return (Event("DriftCorrected", f"another client has changed {listed(drift)} in Azure Batch; restoring the spec"),)
