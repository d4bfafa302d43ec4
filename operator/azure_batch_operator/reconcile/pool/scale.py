"""Scales a pool: resize, stop a resize, enable and disable autoscale, change a formula (docs/azure-batch.md#pools).

One call at a time: the next follows from what the next poll sees, so that a crash in between loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from azure_batch_operator.batch.pool_wire import AutoScaleRun, Pool, PoolError
from azure_batch_operator.reconcile.normalization import ticks
from azure_batch_operator.reconcile.plan import Call, Evidence, Table, without_etag
from azure_batch_operator.reconcile.pool.desired import SERVICE_INTERVAL, Fixed, Formula, Size, targets_of
from azure_batch_operator.reconcile.pool.scope import PoolView, Step, some_nodes
from azure_batch_operator.reconcile.status import seconds_since

ENABLE_PAUSE = 30.0
"""Seconds that the service wants between two calls that enable a formula."""
ASK_AGAIN = 900.0
"""Seconds after which a resize that fell short is asked for again."""
TRY_AGAIN = 900.0
"""Seconds after which a formula that failed is retried."""
REMOVE_AGAIN, MAX_REMOVE_AGAIN = 300.0, 3600.0
"""Seconds after which a resize that left nodes behind is asked for again: first, and at most."""
STOP_PAUSE = 600.0
"""Seconds between two stops of a resize: an autoscaler that changes its mind must not keep a pool from ever getting nodes."""
_MISSED_INTERVALS = 3
_TICKS_PER_SECOND = 10_000_000


def scale(id: str, size: Size, options: Mapping[str, str], view: PoolView, pool: Pool, now: float) -> Step | None:
    """The next step towards a size.

    Args:
        options: `resizeTimeout` and `nodeDeallocationOption` of a resize.

    Returns:
        None if the pool has the size, or if what is missing is not ours to bring about.
    """
    if isinstance(size, Formula):
        return _by_formula(id, size, view, pool, now)
    return _by_number(id, size, options, view, pool, now)


def _by_number(id: str, size: Fixed, options: Mapping[str, str], view: PoolView, pool: Pool, now: float) -> Step | None:
    if pool.enable_auto_scale:
        call = Call("disable_pool_auto_scale", Table.POOLS, id, evidence=Evidence.of(pool))
        return _resizing("disabling autoscale", (call,), properties=("enableAutoScale",))
    wanted = size.over(pool)
    different = tuple(name for name, number in targets_of(pool).items() if number != wanted[name])
    total = sum(wanted.values())
    if different:
        resize = _resize(id, wanted, options, pool)
        adjustment = _Adjustment(resize, f"resizing to {some_nodes(total)}", different, wanted)
        return _when_steady(adjustment, view, pool, now)
    if pool.is_steady and (short(pool) or over(pool)):
        stopped = any(error.code == "ResizeStopped" for error in pool.resize_errors)
        if stopped or _wait(view, pool, now) <= 0:
            resize = _resize(id, wanted, options, pool)
            return Step((resize,), "Resizing", "Resizing", f"requesting {some_nodes(total)} again", quiet=True)
    return None


def _resize(id: str, wanted: Mapping[str, int], options: Mapping[str, str], pool: Pool) -> Call:
    body: dict[str, int | str] = {**wanted, **options}
    etag, evidence = pool.etag, without_etag(pool)
    return Call("resize_pool", Table.POOLS, id, body=body, if_match=etag, evidence=evidence)


def ask_again_in(view: PoolView, pool: Pool, now: float) -> float | None:
    """Seconds until a resize that did not get where it should is asked for again; None if there is none."""
    if pool.enable_auto_scale or not pool.is_steady or not (short(pool) or over(pool)):
        return None
    return max(1.0, _wait(view, pool, now))


def _wait(view: PoolView, pool: Pool, now: float) -> float:
    """Seconds before a resize is asked for again: more nodes as capacity comes, fewer at growing intervals."""
    pause = ASK_AGAIN
    if over(pool):
        targets = (pool.target_dedicated_nodes, pool.target_low_priority_nodes)
        tries = view.history.tries if view.history.targets == targets else 1
        pause = min(REMOVE_AGAIN * 2.0 ** min(tries - 1, 10), MAX_REMOVE_AGAIN)
    return pause - seconds_since(pool.allocation_state_transition_time or "", now)


def short(pool: Pool) -> bool:
    """Whether the last resize ended with fewer nodes than it should have brought."""
    return bool(pool.resize_errors) and _differs(pool, 1)


def over(pool: Pool) -> bool:
    """Whether the last resize ended with nodes that it should have taken away: they are billed until it is asked for again."""
    return bool(pool.resize_errors) and _differs(pool, -1)


def _differs(pool: Pool, sign: int) -> bool:
    """Whether dedicated or Spot nodes are fewer (1) or more (-1) than Azure Batch works towards."""
    dedicated = pool.target_dedicated_nodes - pool.current_dedicated_nodes
    spot = pool.target_low_priority_nodes - pool.current_low_priority_nodes
    return sign * dedicated > 0 or sign * spot > 0


def _by_formula(id: str, size: Formula, view: PoolView, pool: Pool, now: float) -> Step | None:
    on = pool.enable_auto_scale
    text_differs = not on or (pool.auto_scale_formula or "").strip() != size.text.strip()
    interval = pool.auto_scale_evaluation_interval or SERVICE_INTERVAL
    interval_differs = not on or ticks(interval) != ticks(size.interval)
    if not (text_differs or interval_differs):
        return _kick(id, size, view, pool, now)
    properties = ("autoScaleFormula",) if text_differs else ("autoScaleEvaluationInterval",)
    if on and text_differs and (step := _tried(id, size, view, now)) is not None:
        return step
    body = ({"autoScaleFormula": size.text} if text_differs else {}) | (
        {"autoScaleEvaluationInterval": size.interval} if interval_differs else {}
    )
    if (wait := _pause(view, now)) > 0:
        return _resizing("waiting: Azure Batch accepts a formula only every 30 seconds", requeue_after=wait)
    call = Call("enable_pool_auto_scale", Table.POOLS, id, body=body, if_match=pool.etag, evidence=without_etag(pool))
    if text_differs:
        return _when_steady(_Adjustment(call, "enabling autoscale", properties), view, pool, now)
    return _unhurried(call, pool, "changing the evaluation interval", properties)


def _tried(id: str, size: Formula, view: PoolView, now: float) -> Step | None:
    """A formula that replaces another is tried first: a bad one would take the place of one that works.

    On a pool of fixed size the service tries nothing; there a bad formula does no harm, since the pool keeps its size. Some
    failures pass, such as too few samples, so it is retried after a while.
    """
    text, run = view.evaluated or ("", AutoScaleRun())
    error = run.error
    if text == size.text and error is None:
        return None
    body = {"autoScaleFormula": size.text}
    call = Call("evaluate_pool_auto_scale", Table.POOLS, id, body=body)
    if error is None or text != size.text:
        return _resizing("testing the formula", (call,))
    wait = TRY_AGAIN - seconds_since(run.timestamp or "", now)
    message = f"the formula is not applied because its evaluation failed: {error_text(error)}; the pool keeps the previous one"
    reason = error.code or "FormulaInvalid"
    return Step((call,) if wait <= 0 else (), "Stalled", reason, message, stalled=True, requeue_after=max(wait, 1.0))


def _kick(id: str, size: Formula, view: PoolView, pool: Pool, now: float) -> Step | None:
    """A formula that the service has ceased to evaluate is handed in again.

    If that does not help, it is handed in again when as many intervals have been missed again.
    """
    lately = view.enabled is not None and now - view.enabled <= _most_late(pool)
    if not pool.is_steady or not overdue(pool, now) or lately:
        return None
    body = {"autoScaleFormula": size.text, "autoScaleEvaluationInterval": size.interval}
    call = Call("enable_pool_auto_scale", Table.POOLS, id, body=body, if_match=pool.etag, evidence=without_etag(pool))
    return _resizing("Azure Batch no longer evaluates the formula: submitting it again", (call,))


def overdue(pool: Pool, now: float) -> bool:
    """Whether the service has missed several evaluations."""
    stamp = pool.last_run.timestamp if pool.last_run else None
    return bool(stamp) and seconds_since(stamp or "", now) > _most_late(pool)


def _most_late(pool: Pool) -> float:
    """Seconds after an evaluation within which the next one must come."""
    span = ticks(pool.auto_scale_evaluation_interval or SERVICE_INTERVAL) / _TICKS_PER_SECOND
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


def _when_steady(adjustment: _Adjustment, view: PoolView, pool: Pool, now: float) -> Step | None:
    """Make the call, or first stop the resize that is in progress, or let that end.

    What is in progress can take long: until the timeout of a resize where capacity is missing, for hours where nodes wait for their
    tasks. Who asks for fewer nodes, or for another formula, no longer wants it, so it is stopped, although that leaves the error
    `ResizeStopped` until the next resize. Nodes that are on their way and still wanted are let come: else an autoscaler that
    raises a number every minute would stop each allocation, and the pool would never get a node. Two stops are ten minutes apart.
    """
    call, message, properties, wanted = adjustment.call, adjustment.message, adjustment.properties, adjustment.wanted
    match pool.allocation_state:
        case "steady":
            return _resizing(message, (call,), properties=properties)
        case "resizing" if wanted is not None and _on_the_way(pool, wanted):
            return _resizing(f"{message} after the allocation in progress", properties=properties)
        case "resizing" if (pause := _stop_pause(view, now)) > 0:
            text = f"{message} after the resize in progress, or once it can be stopped: one was stopped less than ten minutes ago"
            return _resizing(text, requeue_after=pause, properties=properties)
        case "resizing" if pool.targeted or pool.present:
            stop = Call("stop_pool_resize", Table.POOLS, call.id, if_match=pool.etag, evidence=without_etag(pool))
            return _resizing(f"{message}; stopping the resize in progress first", (stop,))
        case _:
            # An empty pool settles in two seconds, which is no resize that could be stopped.
            return _resizing(f"{message} as soon as the pool is steady")


def _on_the_way(pool: Pool, wanted: Mapping[str, int]) -> bool:
    """Whether Azure Batch is allocating nodes, and all that it works towards are still wanted."""
    return (
        _differs(pool, 1)
        and not _differs(pool, -1)
        and all(wanted[name] >= number for name, number in targets_of(pool).items())
    )


def _stop_pause(view: PoolView, now: float) -> float:
    return 0.0 if view.history.stopped is None else STOP_PAUSE - (now - view.history.stopped)


def _unhurried(call: Call, pool: Pool, message: str, properties: tuple[str, ...]) -> Step:
    """Make the call when the pool is steady: the nodes that are coming or leaving are still wanted."""
    if pool.is_steady:
        return _resizing(message, (call,), properties=properties)
    return _resizing(f"{message} as soon as the pool is steady", properties=properties)


def _resizing(
    message: str, calls: tuple[Call, ...] = (), *, requeue_after: float | None = None, properties: tuple[str, ...] = ()
) -> Step:
    return Step(calls, "Resizing", "Resizing", message, requeue_after=requeue_after, properties=properties)


def error_text(error: PoolError) -> str:
    """An error inside a resource, with its values (docs/azure-batch.md#error-bodies)."""
    texts = [str(pair.value) for pair in error.values]
    values = "; ".join(text for text in texts if text != str(error.message))
    return f"{error.text} ({values})" if values else error.text
