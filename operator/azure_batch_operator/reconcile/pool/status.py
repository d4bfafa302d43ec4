"""What a BatchPool says of itself: the verdict where nothing is to be done, the further conditions, the members of the status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from azure_batch_operator.api.base import POOL_LABEL
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.plan import Event
from azure_batch_operator.reconcile.pool import nodes as pool_nodes
from azure_batch_operator.reconcile.pool.cost import Cost
from azure_batch_operator.reconcile.pool.desired import Fixed, Formula, Image, Size
from azure_batch_operator.reconcile.pool.nodes import cause
from azure_batch_operator.reconcile.pool.scale import error_text, over, overdue
from azure_batch_operator.reconcile.pool.scope import (
    AWAY,
    BROKEN,
    ON_THE_WAY,
    USABLE,
    PoolScope,
    PoolView,
    Step,
    number_of,
    present,
    scaled_by_formula,
    some_nodes,
    steady,
    targeted,
)
from azure_batch_operator.reconcile.reconcile_policy import HELD
from azure_batch_operator.reconcile.status import Verdict, pick, status

_SHOWN = (
    "state", "allocationState", "allocationStateTransitionTime", "vmSize",
    "targetDedicatedNodes", "targetLowPriorityNodes", "currentDedicatedNodes", "currentLowPriorityNodes",
)  # fmt: skip
_AUTO_SCALE = ("enableAutoScale", "autoScaleFormula", "autoScaleEvaluationInterval")
_WARNED_BEFORE = 90 * 86400.0
"""Seconds before the end of an image's support from which on it is warned of."""
_LONGEST_TEXT = 4000

Conditions = dict[str, tuple[bool, str, str]]


def verdict_of_step(step: Step, more: Conditions) -> Verdict:
    """How a pool stands on which something is being done."""
    trend: Any = "Stalled" if step.stalled else "Reconciling"
    return Verdict(step.phase, step.reason, step.message, ready=False, trend=trend, more=more)


def verdict_at_rest(
    resource: Resource,
    size: Size,
    remote: Mapping[str, Any],
    view: PoolView,
    more: Conditions,
    pending: Sequence[str],
) -> Verdict:
    """The verdict on a pool on which nothing is to be done, also while something waits until it has no nodes."""
    verdict = _at_rest(resource, size, remote, view, more)
    if steady(remote) and _useless(view):
        verdict = _no_usable_nodes(resource, view, more)
    if not verdict.ready or "UpdatePending" not in more:
        return verdict
    names = ", ".join(pending)
    return replace(
        verdict, phase="UpdatePending", message=f"{verdict.message}; pending until the pool has no nodes: {names}"
    )


def _at_rest(resource: Resource, size: Size, remote: Mapping[str, Any], view: PoolView, more: Conditions) -> Verdict:
    counts, target = view.counts, wanted_nodes(size, remote)
    usable, coming, broken = (number_of(counts, states) for states in (USABLE, ON_THE_WAY, BROKEN))
    moving = not steady(remote)
    if isinstance(size, Formula):
        phase, message = ("Resizing", f"the formula targets {some_nodes(target)}") if moving else ("Steady", "")
        text = message or f"{usable} of {some_nodes(target)} usable"
        return Verdict(phase, "AutoScaled", text, ready=True, more=more)
    before = resource.condition("Ready")
    if moving and was_ready(resource) and before is not None and before["reason"] == "ResizeIncomplete":
        # Asked again for what has been missing before: that is no step back.
        return Verdict("Resizing", "ResizeIncomplete", before["message"], ready=True, more=more)
    if moving:
        message = f"resizing to {some_nodes(target)}, {usable} usable"
        return Verdict("Resizing", "Resizing", message, ready=False, trend="Reconciling", more=more)
    there = present(remote)
    # Nodes that start for the first time are part of becoming ready; later restarts of single nodes are not.
    seen = usable + broken + number_of(counts, AWAY)
    if not was_ready(resource) and (coming or seen < min(target, there)):
        message = f"{usable} of {some_nodes(target)} usable, {max(coming, there - seen)} starting"
        return Verdict("Starting", "NodesStarting", message, ready=False, trend="Reconciling", more=more)
    if "ResizeFailed" in more:
        message = f"{there} of {some_nodes(target)}: {more['ResizeFailed'][2]}"
        if over(remote):
            message = (
                f"{some_nodes(there)} instead of {target}: nodes that were not removed in time are billed, and the operator "
                "requests their removal again. Running tasks may block it: see resizeTimeout, nodeDeallocationOption. "
                f"{more['ResizeFailed'][2]}"
            )
        return Verdict("Steady", "ResizeIncomplete", message, ready=True, more=more)
    return Verdict("Steady", "Steady", f"{usable} of {some_nodes(target)} usable", ready=True, more=more)


def _useless(view: PoolView) -> bool:
    """Whether there are nodes, none of them can take tasks, and none will by itself."""
    usable, coming, broken = (number_of(view.counts, states) for states in (USABLE, ON_THE_WAY, BROKEN))
    return bool(broken) and not usable and not coming


def _no_usable_nodes(resource: Resource, view: PoolView, more: Conditions) -> Verdict:
    """Single nodes in trouble do not make a pool unready, but with none left nothing can run on it."""
    policy = resource.spec.get("nodeRemediation") or {}
    lasting = [state for state in ("startTaskFailed", "unusable") if number_of(view.counts, (state,))]
    cared_for = all(pool_nodes.action_for(policy, state) != "None" for state in lasting)
    message = f"no node can take tasks: {more['NodesHealthy'][2]}"
    if cared_for:
        return Verdict("Steady", "NoUsableNodes", message, ready=False, trend="Reconciling", more=more)
    return Verdict("Stalled", "NoUsableNodes", message, ready=False, trend="Stalled", more=more)


def was_ready(resource: Resource) -> bool:
    """Whether the status already says that the present spec has been reached."""
    if resource.status.get("phase") == HELD:
        return False
    ready = resource.condition("Ready")
    return ready is not None and ready["status"] == "True" and ready.get("observedGeneration") == resource.generation


def wanted_nodes(size: Size, remote: Mapping[str, Any]) -> int:
    """How many nodes there should be in all: by the spec, and where that is silent as it is in Batch."""
    return sum(size.over(remote).values()) if isinstance(size, Fixed) else targeted(remote)


def conditions(
    resource: Resource,
    remote: Mapping[str, Any],
    view: PoolView,
    image: Image | None,
    estimate: Cost | None,
    now: float,
) -> Conditions:
    """The conditions beside Ready, Reconciling and Stalled."""
    more: Conditions = {}
    errors = remote.get("resizeErrors") or () if steady(remote) else ()
    if errors:
        since = remote.get("allocationStateTransitionTime", "")
        text = "; ".join(f"{error.get('code')}: {error.get('message')}" for error in errors)
        more["ResizeFailed"] = (True, str(errors[0].get("code") or "ResizeFailed"), f"{text} (since {since})")
    elif not steady(remote) and (known := resource.condition("ResizeFailed")) is not None and was_ready(resource):
        # The service hides errors while it resizes; this one is being tried again.
        more["ResizeFailed"] = (True, known["reason"], known["message"])
    if view.counts is not None and (targeted(remote) or present(remote)):
        more["NodesHealthy"] = _nodes(view, resource.spec.get("nodeRemediation") or {})
    if scaled_by_formula(remote) and (run := remote.get("autoScaleRun")):
        more["AutoScaleHealthy"] = _auto_scale(remote, run, now)
    if image is not None and (ends := _ends_soon(image, now)):
        more["ImageSupported"] = (False, "ImageSupportEnds", ends)
    if estimate is not None and estimate.problem is not None:
        more["CostEstimated"] = (False, *estimate.problem)
    return more


def _nodes(view: PoolView, policy: Mapping[str, Any]) -> tuple[bool, str, str]:
    if not number_of(view.counts, BROKEN):
        return True, "Healthy", "all nodes are healthy"
    text = _describe(view.counts, BROKEN)
    first = next((node for node in view.troubled if node.node.state != "preempted"), None)
    text = f"{text}; node {first.node.id}: {cause(first)}" if first else text
    if pool_nodes.useless(policy) and number_of(view.counts, ("unusable",)):
        text += ". Azure Batch refuses to reboot unusable nodes: set spec.nodeRemediation.unusable to Remove"
    return False, "NodesInTrouble", text


def _auto_scale(remote: Mapping[str, Any], run: Mapping[str, Any], now: float) -> tuple[bool, str, str]:
    if error := run.get("error"):
        return False, str(error.get("code") or "AutoScaleFailed"), f"{error_text(error)}; the pool keeps its size"
    if steady(remote) and overdue(remote, now):
        return False, "AutoScaleStalled", "Azure Batch has not evaluated the formula for several intervals"
    return True, "Evaluated", "the formula is evaluated without errors"


def _ends_soon(image: Image, now: float) -> str:
    if image.end_of_life is None:
        return ""
    end = datetime.fromisoformat(image.end_of_life).timestamp()
    if end - now > _WARNED_BEFORE:
        return ""
    return f"Azure Batch supports the image until {image.end_of_life[:10]}: change virtualMachineConfiguration.imageReference"


def events(resource: Resource, more: Conditions) -> tuple[Event, ...]:
    """An Event for each condition that has just become one to know of."""
    result = []
    for type_ in ("NodesHealthy", "AutoScaleHealthy", "ImageSupported", "CostEstimated"):
        before = resource.condition(type_)
        holds, reason, message = more.get(type_, (True, "", ""))
        if not holds and (before is None or before["status"] == "True"):
            result.append(Event(reason, message, "Warning"))
    if "UpdatePending" in more and resource.condition("UpdatePending") is None:
        _, reason, message = more["UpdatePending"]
        result.append(Event(reason, message))
    return tuple(result)


def _describe(counts: Mapping[str, Any] | None, states: tuple[str, ...]) -> str:
    return ", ".join(f"{number} {state}" for state in states if (number := number_of(counts, (state,))))


def shown(scope: PoolScope, remote: Mapping[str, Any], size: Size, verdict: Verdict, **fields: Any) -> dict[str, Any]:
    """The whole status."""
    resource, account, view, now = scope.resource, scope.account, scope.view, scope.now
    counts = view.counts
    by_tier = {
        tier: {state: number for state, number in counts[tier].items() if number}
        for tier in ("dedicated", "lowPriority")
        if counts is not None and counts.get(tier, {}).get("total")
    }
    usable = number_of(counts, USABLE)
    machine = remote.get("virtualMachineConfiguration") or {}
    return status(
        resource,
        verdict,
        now,
        id=str(remote["id"]),
        url=f"{account.url}/pools/{remote['id']}",
        account=account.name,
        selector=f"{POOL_LABEL}={resource.uid}",
        **pick(remote, _SHOWN),
        nodeAgentSKUId=machine.get("nodeAgentSKUId"),
        nodes=f"{usable}/{wanted_nodes(size, remote)}",
        nodeCounts=by_tier or None,
        slots=_slots(resource, usable * int(remote.get("taskSlotsPerNode", 1)), view.slots_used),
        resizeErrors=[pick(error, ("code", "message")) for error in (remote.get("resizeErrors") or ())[:10]] or None,
        **(pick(remote, _AUTO_SCALE) if scaled_by_formula(remote) else {}),
        autoScaleRun=_run(resource, remote),
        nodesInTrouble=pool_nodes.shown(view.troubled),
        **fields,
    )


def _slots(resource: Resource, total: int, used: int | None) -> dict[str, int] | None:
    """Slots of the usable nodes; until the jobs have been counted, as after a restart, what was said of their use stays."""
    if not total:
        return None
    known = (resource.status.get("slots") or {}).get("used") if used is None else used
    return {"total": total} | ({} if known is None else {"used": min(int(known), total)})


def _run(resource: Resource, remote: Mapping[str, Any]) -> dict[str, Any] | None:
    """The last run of the formula, with the time since when it has come to the same, so that an idle pool writes nothing."""
    run = remote.get("autoScaleRun")
    if not run or not scaled_by_formula(remote):
        return None
    told = {"results": str(run.get("results", ""))[:_LONGEST_TEXT]}
    if error := run.get("error"):
        told["error"] = error_text(error)[:_LONGEST_TEXT]
    before = resource.status.get("autoScaleRun") or {}
    if before and before.get("error") == told.get("error") and _decided(before) == _decided(told):
        return dict(before)
    return {"timestamp": run.get("timestamp")} | told


def _decided(run: Mapping[str, Any]) -> list[str]:
    """What a run has decided: its other variables, such as the time of day or a share of samples, differ from run to run."""
    return [
        each for each in str(run.get("results", "")).split(";") if each.startswith(("$Target", "$NodeDeallocation"))
    ]
