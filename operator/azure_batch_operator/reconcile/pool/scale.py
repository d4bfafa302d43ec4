"""Brings a pool to its size: resize, stop a resize, switch autoscale on and off, change a formula (docs/azure-batch.md#pools).

One call at a time: the next follows from what the next poll sees, so that a crash in between loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from azure_batch_operator.reconcile.normalization import ticks
from azure_batch_operator.reconcile.plan import Call, Evidence, Table, without_etag
from azure_batch_operator.reconcile.pool.desired import SERVICE_INTERVAL, TARGETS, Fixed, Formula, Size
from azure_batch_operator.reconcile.pool.scope import (
    PoolView,
    Step,
    present,
    scaled_by_formula,
    some_nodes,
    steady,
    targeted,
)
from azure_batch_operator.reconcile.status import seconds_since

ENABLE_PAUSE = 30.0
"""Seconds that the service wants between two calls that enable a formula."""
ASK_AGAIN = 900.0
"""Seconds after which a resize that fell short is asked for again."""
TRY_AGAIN = 900.0
"""Seconds after which a formula that failed is tried again."""
REMOVE_AGAIN, MAX_REMOVE_AGAIN = 300.0, 3600.0
"""Seconds after which a resize that left nodes behind is asked for again: first, and at most."""
STOP_PAUSE = 600.0
"""Seconds between two stops of a resize: an autoscaler that changes its mind must not keep a pool from ever getting nodes."""
_TIERS = tuple(zip(TARGETS, ("currentDedicatedNodes", "currentLowPriorityNodes"), strict=True))
_MISSED_INTERVALS = 3
_TICKS_PER_SECOND = 10_000_000


def scale(
    id: str, size: Size, options: Mapping[str, Any], view: PoolView, remote: Mapping[str, Any], now: float
) -> Step | None:
    """The next step towards a size.

    Args:
        options: `resizeTimeout` and `nodeDeallocationOption` of a resize.

    Returns:
        None if the pool has the size, or if what is missing is not ours to bring about.
    """
    if isinstance(size, Formula):
        return _by_formula(id, size, view, remote, now)
    return _by_number(id, size, options, view, remote, now)


def _by_number(
    id: str, size: Fixed, options: Mapping[str, Any], view: PoolView, remote: Mapping[str, Any], now: float
) -> Step | None:
    if scaled_by_formula(remote):
        call = Call("disable_pool_auto_scale", Table.POOLS, id, evidence=Evidence.of(remote))
        return _resizing("disabling autoscale", (call,), properties=("enableAutoScale",))
    wanted = size.over(remote)
    different = tuple(name for name in TARGETS if remote.get(name, 0) != wanted[name])
    total = sum(wanted.values())
    if different:
        resize = _resize(id, wanted, options, remote)
        adjustment = _Adjustment(resize, f"resizing to {some_nodes(total)}", different, wanted)
        return _when_steady(adjustment, view, remote, now)
    if steady(remote) and (short(remote) or over(remote)):
        stopped = any(error.get("code") == "ResizeStopped" for error in remote.get("resizeErrors") or ())
        if stopped or _wait(view, remote, now) <= 0:
            resize = _resize(id, wanted, options, remote)
            return Step((resize,), "Resizing", "Resizing", f"requesting {some_nodes(total)} again", quiet=True)
    return None


def _resize(id: str, wanted: Mapping[str, int], options: Mapping[str, Any], remote: Mapping[str, Any]) -> Call:
    body = {**wanted, **options}
    etag, evidence = remote.get("eTag"), without_etag(remote)
    return Call("resize_pool", Table.POOLS, id, body=body, if_match=etag, evidence=evidence)


def ask_again_in(view: PoolView, remote: Mapping[str, Any], now: float) -> float | None:
    """Seconds until a resize that did not get where it should is asked for again; None if there is none."""
    if scaled_by_formula(remote) or not steady(remote) or not (short(remote) or over(remote)):
        return None
    return max(1.0, _wait(view, remote, now))


def _wait(view: PoolView, remote: Mapping[str, Any], now: float) -> float:
    """Seconds before a resize is asked for again: more nodes as capacity comes, fewer at growing intervals."""
    pause = ASK_AGAIN
    if over(remote):
        targets = tuple(int(remote.get(name, 0)) for name in TARGETS)
        tries = view.history.tries if view.history.targets == targets else 1
        pause = min(REMOVE_AGAIN * 2 ** min(tries - 1, 10), MAX_REMOVE_AGAIN)
    return pause - seconds_since(remote.get("allocationStateTransitionTime", ""), now)


def short(remote: Mapping[str, Any]) -> bool:
    """Whether the last resize ended with fewer nodes than it should have brought."""
    return bool(remote.get("resizeErrors")) and _differs(remote, 1)


def over(remote: Mapping[str, Any]) -> bool:
    """Whether the last resize ended with nodes that it should have taken away: they are billed until it is asked for again."""
    return bool(remote.get("resizeErrors")) and _differs(remote, -1)


def _differs(remote: Mapping[str, Any], sign: int) -> bool:
    """Whether dedicated or Spot nodes are fewer (1) or more (-1) than Azure Batch works towards."""
    return any(sign * (int(remote.get(target, 0)) - int(remote.get(there, 0))) > 0 for target, there in _TIERS)


def _by_formula(id: str, size: Formula, view: PoolView, remote: Mapping[str, Any], now: float) -> Step | None:
    on = scaled_by_formula(remote)
    text_differs = not on or str(remote.get("autoScaleFormula", "")).strip() != size.text.strip()
    interval = remote.get("autoScaleEvaluationInterval") or SERVICE_INTERVAL
    interval_differs = not on or ticks(interval) != ticks(size.interval)
    if not (text_differs or interval_differs):
        return _kick(id, size, view, remote, now)
    properties = ("autoScaleFormula",) if text_differs else ("autoScaleEvaluationInterval",)
    if on and text_differs and (step := _tried(id, size, view, now)) is not None:
        return step
    body = ({"autoScaleFormula": size.text} if text_differs else {}) | (
        {"autoScaleEvaluationInterval": size.interval} if interval_differs else {}
    )
    if (wait := _pause(view, now)) > 0:
        return _resizing("waiting: Azure Batch accepts a formula only every 30 seconds", requeue_after=wait)
    call = Call(
        "enable_pool_auto_scale", Table.POOLS, id, body=body, if_match=remote.get("eTag"), evidence=without_etag(remote)
    )
    if text_differs:
        return _when_steady(_Adjustment(call, "enabling autoscale", properties), view, remote, now)
    return _unhurried(call, remote, "changing the evaluation interval", properties)


def _tried(id: str, size: Formula, view: PoolView, now: float) -> Step | None:
    """A formula that replaces another is tried first: a bad one would take the place of one that works.

    On a pool of fixed size the service tries nothing; there a bad formula does no harm, since the pool keeps its size. Some
    failures pass, such as too few samples, so it is tried again after a while.
    """
    text, run = view.evaluated or ("", {})
    error = run.get("error")
    if text == size.text and error is None:
        return None
    call = Call("evaluate_pool_auto_scale", Table.POOLS, id, body={"autoScaleFormula": size.text})
    if error is None or text != size.text:
        return _resizing("testing the formula", (call,))
    wait = TRY_AGAIN - seconds_since(str(run.get("timestamp") or ""), now)
    message = f"the formula is not applied because its evaluation failed: {error_text(error)}; the pool keeps the previous one"
    reason = str(error.get("code") or "FormulaInvalid")
    return Step((call,) if wait <= 0 else (), "Stalled", reason, message, stalled=True, requeue_after=max(wait, 1.0))


def _kick(id: str, size: Formula, view: PoolView, remote: Mapping[str, Any], now: float) -> Step | None:
    """A formula that the service has ceased to evaluate is handed in again.

    If that does not help, it is handed in again when as many intervals have been missed again.
    """
    lately = view.enabled is not None and now - view.enabled <= _most_late(remote)
    if not steady(remote) or not overdue(remote, now) or lately:
        return None
    body = {"autoScaleFormula": size.text, "autoScaleEvaluationInterval": size.interval}
    call = Call(
        "enable_pool_auto_scale", Table.POOLS, id, body=body, if_match=remote.get("eTag"), evidence=without_etag(remote)
    )
    return _resizing("Azure Batch no longer evaluates the formula: submitting it again", (call,))


def overdue(remote: Mapping[str, Any], now: float) -> bool:
    """Whether the service has missed several evaluations."""
    stamp = str((remote.get("autoScaleRun") or {}).get("timestamp") or "")
    return bool(stamp) and seconds_since(stamp, now) > _most_late(remote)


def _most_late(remote: Mapping[str, Any]) -> float:
    """Seconds after an evaluation within which the next one must come."""
    span = ticks(remote.get("autoScaleEvaluationInterval") or SERVICE_INTERVAL) / _TICKS_PER_SECOND
    return (_MISSED_INTERVALS + 1) * span


def _pause(view: PoolView, now: float) -> float:
    return 0.0 if view.enabled is None else ENABLE_PAUSE - (now - view.enabled)


@dataclass(frozen=True)
class _Adjustment:
    """A call that brings a pool nearer to its size.

    Attributes:
        wanted: the targets that are asked for; None for a formula.
    """

    call: Call
    message: str
    properties: tuple[str, ...]
    wanted: Mapping[str, int] | None = None


def _when_steady(adjustment: _Adjustment, view: PoolView, remote: Mapping[str, Any], now: float) -> Step | None:
    """Make the call, or first stop the resize that is under way, or let that end.

    What is under way can take long: until the timeout of a resize where capacity is missing, for hours where nodes wait for their
    tasks. Who asks for fewer nodes, or for another formula, no longer wants it, so it is stopped, although that leaves the error
    `ResizeStopped` until the next resize. Nodes that are on their way and still wanted are let come: else an autoscaler that
    raises a number every minute would stop each allocation, and the pool would never get a node. Two stops are ten minutes apart.
    """
    call, message, properties, wanted = adjustment.call, adjustment.message, adjustment.properties, adjustment.wanted
    match remote.get("allocationState"):
        case "steady":
            return _resizing(message, (call,), properties=properties)
        case "resizing" if wanted is not None and _on_the_way(remote, wanted):
            return _resizing(f"{message} after the allocation in progress", properties=properties)
        case "resizing" if (pause := _stop_pause(view, now)) > 0:
            text = f"{message} after the resize in progress, or once it can be stopped: one was stopped less than ten minutes ago"
            return _resizing(text, requeue_after=pause, properties=properties)
        case "resizing" if targeted(remote) or present(remote):
            stop = Call(
                "stop_pool_resize", Table.POOLS, call.id, if_match=remote.get("eTag"), evidence=without_etag(remote)
            )
            return _resizing(f"{message}; stopping the resize in progress first", (stop,))
        case _:
            # An empty pool settles in two seconds, which is no resize that could be stopped.
            return _resizing(f"{message} as soon as the pool is steady")


def _on_the_way(remote: Mapping[str, Any], wanted: Mapping[str, int]) -> bool:
    """Whether Azure Batch is allocating nodes, and all that it works towards are still wanted."""
    return (
        _differs(remote, 1)
        and not _differs(remote, -1)
        and all(wanted[target] >= int(remote.get(target, 0)) for target in TARGETS)
    )


def _stop_pause(view: PoolView, now: float) -> float:
    return 0.0 if view.history.stopped is None else STOP_PAUSE - (now - view.history.stopped)


def _unhurried(call: Call, remote: Mapping[str, Any], message: str, properties: tuple[str, ...]) -> Step:
    """Make the call when the pool is steady: the nodes that are coming or leaving are still wanted."""
    if steady(remote):
        return _resizing(message, (call,), properties=properties)
    return _resizing(f"{message} as soon as the pool is steady", properties=properties)


def _resizing(
    message: str, calls: tuple[Call, ...] = (), *, requeue_after: float | None = None, properties: tuple[str, ...] = ()
) -> Step:
    return Step(calls, "Resizing", "Resizing", message, requeue_after=requeue_after, properties=properties)


def error_text(error: Mapping[str, Any]) -> str:
    """An error inside a resource, with its values (docs/azure-batch.md#error-bodies)."""
    texts = [str(each.get("value")) for each in error.get("values") or error.get("details") or ()]
    values = "; ".join(text for text in texts if text != str(error.get("message")))
    text = f"{error.get('code')}: {error.get('message')}"
    return f"{text} ({values})" if values else text
