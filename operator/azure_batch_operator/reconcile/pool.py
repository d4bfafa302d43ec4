"""BatchPool: from the spec and the last poll to calls and status (batch-semantics §4.1, §4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure_batch_operator.api.pool import PoolSpec
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile import ownership, policy
from azure_batch_operator.reconcile.common import (
    deleting,
    still_there,
    with_notice,
    without_account,
)
from azure_batch_operator.reconcile.plan import Absent, AccountView, Call, Plan, Remote, Table
from azure_batch_operator.reconcile.status import Verdict, picked, status

_TARGETS = ("targetDedicatedNodes", "targetLowPriorityNodes")
_USABLE = ("idle", "running")
_ON_THE_WAY = ("creating", "starting", "waitingForStartTask", "rebooting", "reimaging", "upgradingOS")
_BROKEN = ("startTaskFailed", "unusable", "unknown")
_SHOWN = (
    "state", "allocationState", "allocationStateTransitionTime", "vmSize",
    "targetDedicatedNodes", "targetLowPriorityNodes", "currentDedicatedNodes", "currentLowPriorityNodes",
)  # fmt: skip


def plan(
    resource: Resource,
    account: AccountView,
    remote: Remote,
    counts: Mapping[str, Any] | None,
    cluster: str,
    now: float,
) -> Plan:
    """Decide about one BatchPool.

    Args:
        remote: the pool as the last poll saw it.
        counts: its item of `nodecounts`, None if there is none yet.
        cluster: id of this cluster, part of the ownership marker.
    """
    if resource.deleting and (not resource.has_finalizer or resource.released):
        return Plan(finalizer="remove")
    if not account.usable:
        return without_account(resource, account, now)
    if remote is Absent.UNKNOWN:
        return Plan()
    what = f"pool {resource.remote_id!r}"
    if resource.deleting:
        if remote is Absent.GONE:
            return Plan(finalizer="remove")
        if (left := policy.left_alone(resource, remote, cluster)) is not None:
            return left
        if remote.get("state") == "deleting":
            return still_there(resource, what, now)
        return deleting(resource, what, Call("delete_pool", Table.POOLS, resource.remote_id), now)
    if remote is Absent.GONE:
        verdict = Verdict("Creating", "Creating", f"{what} is being created", ready=False, trend="Reconciling")
        call = Call("create_pool", Table.POOLS, resource.remote_id, body=_body(resource, cluster))
        return with_notice(
            resource, Plan("add", (call,), status=status(resource, verdict, now, id=resource.remote_id)), verdict
        )
    claimed = policy.claim(resource, "pool", remote, cluster, "update_pool", Table.POOLS, now)
    if claimed is not None:
        return claimed
    if remote.get("state") == "deleting":
        verdict = Verdict(
            "Deleting", "DeletedByOthers", f"{what} is being deleted by somebody else; it is created anew afterwards",
            ready=False, trend="Reconciling",
        )  # fmt: skip
        return with_notice(resource, Plan(status=_status(resource, remote, counts, account, verdict, now)), verdict)
    return _converge(resource, account, remote, counts, now)


def _body(resource: Resource, cluster: str) -> dict[str, Any]:
    body = {"id": resource.remote_id} | PoolSpec.rest_body(resource.spec)
    return ownership.with_marker(body, ownership.marker(cluster, resource))


def _converge(
    resource: Resource, account: AccountView, remote: Mapping[str, Any], counts: Mapping[str, Any] | None, now: float
) -> Plan:
    calls = _resize(resource, remote)
    steady = remote.get("allocationState") == "steady"
    verdict = _verdict(resource, remote, counts, resizing=bool(calls) or not steady)
    plan = Plan(
        finalizer=None if resource.has_finalizer else "add",
        calls=calls,
        status=_status(resource, remote, counts, account, verdict, now),
    )
    return with_notice(resource, plan, verdict)


def _resize(resource: Resource, remote: Mapping[str, Any]) -> tuple[Call, ...]:
    """The call that brings the targets to the spec: resize, or first stop the resize under way (batch-semantics §4.1)."""
    wanted = {name: resource.spec[name] for name in _TARGETS if name in resource.spec}
    if all(remote.get(name, 0) == value for name, value in wanted.items()):
        return ()
    match remote.get("allocationState"):
        case "steady":
            options = picked(resource.spec, ("resizeTimeout", "nodeDeallocationOption"))
            # A resize sets both targets; one that the spec leaves alone keeps its value.
            body = {name: remote.get(name, 0) for name in _TARGETS} | wanted | options
            return (Call("resize_pool", Table.POOLS, resource.remote_id, body=body),)
        case "resizing":
            return (Call("stop_pool_resize", Table.POOLS, resource.remote_id),)
        case _:
            return ()


def _verdict(
    resource: Resource, remote: Mapping[str, Any], counts: Mapping[str, Any] | None, *, resizing: bool
) -> Verdict:
    target = _wanted(resource, remote)
    usable, coming, broken = (_sum(counts, states) for states in (_USABLE, _ON_THE_WAY, _BROKEN))
    errors = [] if resizing else remote.get("resizeErrors") or []
    more: dict[str, tuple[bool, str, str]] = {}
    if errors:
        since = remote.get("allocationStateTransitionTime", "")
        text = "; ".join(f"{error.get('code')}: {error.get('message')}" for error in errors)
        more["ResizeFailed"] = (True, str(errors[0].get("code") or "ResizeFailed"), f"{text} (since {since})")
    if counts is not None and target:
        more["NodesHealthy"] = (
            (False, "NodesInTrouble", _describe(counts, _BROKEN))
            if broken
            else (True, "Healthy", "no node is in trouble")
        )
    if resizing:
        message = f"resizing to {target} nodes, {usable} usable"
        return Verdict("Resizing", "Resizing", message, ready=False, trend="Reconciling", more=more)
    ready = resource.condition("Ready")
    was_ready = (
        ready is not None and ready["status"] == "True" and ready.get("observedGeneration") == resource.generation
    )
    present = sum(remote.get(name, 0) for name in ("currentDedicatedNodes", "currentLowPriorityNodes"))
    # Nodes that start for the first time are part of becoming ready; later restarts of single nodes are not.
    if not was_ready and (coming or usable + broken < min(target, present)):
        message = f"{usable} of {target} nodes usable, {max(coming, present - usable - broken)} starting"
        return Verdict("Starting", "NodesStarting", message, ready=False, trend="Reconciling", more=more)
    if errors:
        message = f"{present} of {target} nodes: {more['ResizeFailed'][2]}"
        return Verdict("Steady", "ResizeIncomplete", message, ready=True, more=more)
    return Verdict("Steady", "Steady", f"{usable} of {target} nodes usable", ready=True, more=more)


def _wanted(resource: Resource, remote: Mapping[str, Any]) -> int:
    """How many nodes there should be in all: by the spec, and where that is silent as it is in Batch."""
    return sum(resource.spec.get(name, remote.get(name, 0)) for name in _TARGETS)


def _sum(counts: Mapping[str, Any] | None, states: tuple[str, ...]) -> int:
    tiers = [(counts or {}).get(tier) or {} for tier in ("dedicated", "lowPriority")]
    return sum(int(tier.get(state, 0)) for tier in tiers for state in states)


def _describe(counts: Mapping[str, Any], states: tuple[str, ...]) -> str:
    return ", ".join(f"{number} {state}" for state in states if (number := _sum(counts, (state,))))


def _status(
    resource: Resource,
    remote: Mapping[str, Any],
    counts: Mapping[str, Any] | None,
    account: AccountView,
    verdict: Verdict,
    now: float,
) -> dict[str, Any]:
    target = _wanted(resource, remote)
    by_tier = {
        tier: {state: number for state, number in counts[tier].items() if number}
        for tier in ("dedicated", "lowPriority")
        if counts is not None and counts.get(tier, {}).get("total")
    }
    return status(
        resource,
        verdict,
        now,
        id=resource.remote_id,
        url=f"{account.url}/pools/{resource.remote_id}",
        **picked(remote, _SHOWN),
        nodes=f"{_sum(counts, _USABLE)}/{target}",
        nodeCounts=by_tier or None,
        resizeErrors=[picked(error, ("code", "message")) for error in (remote.get("resizeErrors") or ())[:10]] or None,
    )
