"""Recent requests to a pool and their results, which no list contains and the next step depends on.

Kept in memory per pool. What must survive a restart goes into the status from here (`status.remediations`), and only after the
service has answered: what it refused is never noted as done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from azure_batch_operator.batch.wire import Wire, build
from azure_batch_operator.reconcile.plan import Call
from azure_batch_operator.reconcile.pool.spec import PoolSpec
from azure_batch_operator.reconcile.status import timestamp

_MAX_ENTRIES = 100


class Remediated(Wire, frozen=True, gc=False):
    """What was asked for a node and how it was answered, as in `status.remediations`."""

    time: str = ""
    node: str = ""
    action: str = ""
    reason: str | None = None
    since: str | None = None
    start_task: str | None = None
    boot: str | None = None
    refusal: str | None = None


@dataclass(frozen=True)
class History:
    """What was asked of one pool.

    Attributes:
        targets: numbers of nodes that the last resize asked for.
        tries: how many resizes in a row have asked for them.
        stopped: when a resize was stopped last, in seconds since the epoch.
        busy: when lists last showed that the pool is in use, so that it was not deleted, and how.
        remediations: what was asked for nodes and how it was answered, as for `status.remediations`, oldest first.
    """

    targets: tuple[int, int] | None = None
    tries: int = 0
    stopped: float | None = None
    busy: tuple[float, str] | None = None
    remediations: tuple[Mapping[str, str], ...] = ()


NO_HISTORY = History()


def after(history: History, call: Call, now: float) -> History:
    """The history after the service has taken a call.

    Args:
        now: seconds since the epoch.
    """
    if call.verb == "resize_pool" and call.body is not None:
        size = build(PoolSpec, call.body)
        targets = (size.target_dedicated_nodes or 0, size.target_low_priority_nodes or 0)
        return replace(history, targets=targets, tries=history.tries + 1 if targets == history.targets else 1)
    if call.verb == "stop_pool_resize":
        return replace(history, stopped=now)
    return _noted(history, [{**entry, "time": timestamp(now)} for entry in call.nodes])


def after_refusal(history: History, call: Call, why: str, now: float) -> History:
    """The history after the service has refused a call for a node."""
    return _noted(history, [{**entry, "time": timestamp(now), "refusal": why} for entry in call.nodes])


def _noted(history: History, entries: list[dict[str, str]]) -> History:
    if not entries:
        return history
    return replace(history, remediations=(*history.remediations, *entries)[-_MAX_ENTRIES:])
