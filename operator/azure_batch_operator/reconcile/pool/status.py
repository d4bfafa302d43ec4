"""The status of a BatchPool: the verdict if nothing is to be done, the other conditions, and the other members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

from azure_batch_operator.api.base import POOL_LABEL
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.pool_wire import AutoScaleRun, NodeCounts, NodeState, Pool, PoolError
from azure_batch_operator.reconcile.before import condition_of, has_condition, status_before
from azure_batch_operator.reconcile.plan import Absent, Event
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
    some_nodes,
)
from azure_batch_operator.reconcile.pool.spec import NodeRemediation, PoolBefore, RunBefore
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
_LASTING: tuple[NodeState, ...] = ("startTaskFailed", "unusable")
"""States of nodes that `spec.nodeRemediation` is about."""

Conditions = dict[str, tuple[bool, str, str]]


def verdict_of_step(step: Step, more: Conditions) -> Verdict:
    """How a pool stands on which something is being done."""
    trend: Literal["Reconciling", "Stalled"] = "Stalled" if step.stalled else "Reconciling"
    return Verdict(step.phase, step.reason, step.message, ready=False, trend=trend, more=more)


def verdict_at_rest(scope: PoolScope, size: Size, pool: Pool, more: Conditions, pending: Sequence[str]) -> Verdict:
    """The verdict on a pool on which nothing is to be done, also while something waits until it has no nodes."""
    verdict = _at_rest(scope.resource, size, pool, scope.view, more)
    if pool.is_steady and _useless(scope.view):
        verdict = _no_usable_nodes(scope.spec.node_remediation, scope.view, more)
    if not verdict.ready or "UpdatePending" not in more:
        return verdict
    names = ", ".join(pending)
    return replace(
        verdict, phase="UpdatePending", message=f"{verdict.message}; pending until the pool has no nodes: {names}"
    )


def _at_rest(resource: Resource, size: Size, pool: Pool, view: PoolView, more: Conditions) -> Verdict:
    counts, target = view.counts, wanted_nodes(size, pool)
    usable, coming, broken = (number_of(counts, states) for states in (USABLE, ON_THE_WAY, BROKEN))
    moving = not pool.is_steady
    if isinstance(size, Formula):
        phase, message = ("Resizing", f"the formula targets {some_nodes(target)}") if moving else ("Steady", "")
        text = message or f"{usable} of {some_nodes(target)} usable"
        return Verdict(phase, "AutoScaled", text, ready=True, more=more)
    before = condition_of(resource, "Ready")
    if moving and was_ready(resource) and before.reason == "ResizeIncomplete":
        # Asked again for what has been missing before: that is no step back.
        return Verdict("Resizing", "ResizeIncomplete", before.message, ready=True, more=more)
    if moving:
        message = f"resizing to {some_nodes(target)}, {usable} usable"
        return Verdict("Resizing", "Resizing", message, ready=False, trend="Reconciling", more=more)
    there = pool.present
    # Nodes that start for the first time are part of becoming ready; later restarts of single nodes are not.
    seen = usable + broken + number_of(counts, AWAY)
    if not was_ready(resource) and (coming or seen < min(target, there)):
        message = f"{usable} of {some_nodes(target)} usable, {max(coming, there - seen)} starting"
        return Verdict("Starting", "NodesStarting", message, ready=False, trend="Reconciling", more=more)
    if "ResizeFailed" in more:
        message = f"{there} of {some_nodes(target)}: {more['ResizeFailed'][2]}"
        if over(pool):
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


def _no_usable_nodes(policy: NodeRemediation, view: PoolView, more: Conditions) -> Verdict:
    """Single nodes in trouble do not make a pool unready, but with none left nothing can run on it."""
    lasting = [state for state in _LASTING if number_of(view.counts, (state,))]
    cared_for = all(pool_nodes.action_for(policy, state) != "None" for state in lasting)
    message = f"no node can take tasks: {more['NodesHealthy'][2]}"
    if cared_for:
        return Verdict("Steady", "NoUsableNodes", message, ready=False, trend="Reconciling", more=more)
    return Verdict("Stalled", "NoUsableNodes", message, ready=False, trend="Stalled", more=more)


def was_ready(resource: Resource) -> bool:
    """Whether the status already says that the present spec has been reached."""
    if status_before(resource).phase == HELD:
        return False
    ready = condition_of(resource, "Ready")
    return ready.is_true and ready.observed_generation == resource.generation


def wanted_nodes(size: Size, pool: Pool) -> int:
    """How many nodes there should be in all: by the spec, and where that is silent as it is in Batch."""
    return sum(size.over(pool).values()) if isinstance(size, Fixed) else pool.targeted


def conditions(scope: PoolScope, pool: Pool, image: Image | None, estimate: Cost | None) -> Conditions:
    """The conditions beside Ready, Reconciling and Stalled."""
    resource, view, now = scope.resource, scope.view, scope.now
    more: Conditions = {}
    errors = pool.resize_errors if pool.is_steady else ()
    if errors:
        since = pool.allocation_state_transition_time or ""
        text = "; ".join(f"{error.code}: {error.message}" for error in errors)
        more["ResizeFailed"] = (True, errors[0].code or "ResizeFailed", f"{text} (since {since})")
    elif not pool.is_steady and has_condition(resource, "ResizeFailed") and was_ready(resource):
        # The service hides errors while it resizes; this one is being retried.
        known = condition_of(resource, "ResizeFailed")
        more["ResizeFailed"] = (True, known.reason, known.message)
    if view.counts is not None and (pool.targeted or pool.present):
        more["NodesHealthy"] = _nodes(resource, view, scope.spec.node_remediation)
    if pool.enable_auto_scale and (run := pool.last_run) is not None:
        more["AutoScaleHealthy"] = _auto_scale(pool, run, now)
    if image is not None and (ends := _ends_soon(image, now)):
        more["ImageSupported"] = (False, "ImageSupportEnds", ends)
    if estimate is not None and estimate.problem is not None:
        more["CostEstimated"] = (False, *estimate.problem)
    return more


def _nodes(resource: Resource, view: PoolView, policy: NodeRemediation) -> tuple[bool, str, str]:
    if not number_of(view.counts, BROKEN):
        return True, "Healthy", "all nodes are healthy"
    text = _describe(view.counts, BROKEN)
    known = condition_of(resource, "NodesHealthy")
    if not view.looked and known.reason == "NodesInTrouble" and known.message.startswith((f"{text}; ", f"{text}. ")):
        # As before a restart: which nodes these are is not known yet.
        return False, "NodesInTrouble", known.message
    first = next((node for node in view.troubled if node.node.state != "preempted"), None)
    text = f"{text}; node {first.node.id}: {cause(first)}" if first else text
    if pool_nodes.useless(policy) and number_of(view.counts, ("unusable",)):
        text += ". Azure Batch refuses to reboot unusable nodes: set spec.nodeRemediation.unusable to Remove"
    return False, "NodesInTrouble", text


def _auto_scale(pool: Pool, run: AutoScaleRun, now: float) -> tuple[bool, str, str]:
    if error := run.error:
        return False, error.code or "AutoScaleFailed", f"{error_text(error)}; the pool keeps its size"
    if pool.is_steady and overdue(pool, now):
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
        holds, reason, message = more.get(type_, (True, "", ""))
        if not holds and (not has_condition(resource, type_) or condition_of(resource, type_).is_true):
            result.append(Event(reason, message, "Warning"))
    if "UpdatePending" in more and not has_condition(resource, "UpdatePending"):
        _, reason, message = more["UpdatePending"]
        result.append(Event(reason, message))
    return tuple(result)


def _describe(counts: NodeCounts | None, states: tuple[NodeState, ...]) -> str:
    return ", ".join(f"{number} {state}" for state in states if (number := number_of(counts, (state,))))


def shown(scope: PoolScope, pool: Pool, size: Size, verdict: Verdict, **fields: object) -> dict[str, object]:
    """The whole status."""
    resource, account, view, now = scope.resource, scope.account, scope.view, scope.now
    counts = view.counts
    tiers = {} if counts is None else {"dedicated": counts.dedicated, "lowPriority": counts.low_priority}
    by_tier = {tier: nodes.present for tier, nodes in tiers.items() if nodes.total}
    usable = number_of(counts, USABLE)
    machine = pool.virtual_machine_configuration
    body = {} if isinstance(scope.remote, Absent) else scope.remote
    return status(
        resource,
        verdict,
        now,
        id=pool.id,
        url=f"{account.url}/pools/{pool.id}",
        account=account.name,
        selector=f"{POOL_LABEL}={resource.uid}",
        **pick(body, _SHOWN),
        nodeAgentSKUId=machine.node_agent_sku_id if machine else None,
        nodes=f"{usable}/{wanted_nodes(size, pool)}",
        nodeCounts=by_tier or None,
        slots=_slots(scope.before, usable * pool.task_slots_per_node, view.slots_used),
        resizeErrors=_resize_errors(scope.before, pool, verdict),
        **(pick(body, _AUTO_SCALE) if pool.enable_auto_scale else {}),
        autoScaleRun=_run(scope.before, pool),
        nodesInTrouble=pool_nodes.shown(view.troubled) if view.looked else scope.before.nodes_in_trouble,
        **fields,
    )


def _resize_errors(before: PoolBefore, pool: Pool, verdict: Verdict) -> Sequence[Mapping[str, str]] | None:
    """The errors of the last resize; while it is retried, those that the condition still shows."""
    if not pool.is_steady:
        return before.resize_errors if "ResizeFailed" in (verdict.more or {}) else None
    return [_error(error) for error in pool.resize_errors[:10]] or None


def _error(error: PoolError) -> dict[str, str]:
    return {name: text for name, text in (("code", error.code), ("message", error.message)) if text is not None}


def _slots(before: PoolBefore, total: int, used: int | None) -> dict[str, int] | None:
    """Slots of the usable nodes; until the jobs have been counted, as after a restart, what was said of their use stays."""
    if not total:
        return None
    known = before.slots.used if used is None else used
    return {"total": total} | ({} if known is None else {"used": min(known, total)})


def _run(before: PoolBefore, pool: Pool) -> dict[str, str | None] | None:
    """The last run of the formula, with the time since when it has come to the same, so that an idle pool writes nothing."""
    run = pool.last_run
    if run is None or not pool.enable_auto_scale:
        return None
    told = RunBefore(
        timestamp=run.timestamp,
        results=(run.results or "")[:_LONGEST_TEXT],
        error=error_text(run.error)[:_LONGEST_TEXT] if run.error else None,
    )
    known = before.auto_scale_run
    if known is not None and known != _NO_RUN and known.error == told.error and _decided(known) == _decided(told):
        told = known
    shown = {"timestamp": told.timestamp, "results": told.results, "error": told.error}
    return {name: text for name, text in shown.items() if text is not None}


_NO_RUN = RunBefore()


def _decided(run: RunBefore) -> list[str]:
    """What a run has decided: its other variables, such as the time of day or a share of samples, differ from run to run."""
    return [part for part in (run.results or "").split(";") if part.startswith(("$Target", "$NodeDeallocation"))]
