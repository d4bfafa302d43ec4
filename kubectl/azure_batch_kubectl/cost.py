"""What pools cost in an hour, and which share of it each job uses: an estimate of the moment, from the prices of the user.

Azure Batch does not tell which job used which node for how long. So a job's share is that of the task slots that its running tasks
occupy now, and what no task occupies is nobody's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from azure_batch_kubectl import objects
from azure_batch_kubectl.actions import ended
from azure_batch_kubectl.objects import Object, condition, status
from azure_batch_operator.api.base import GROUP
from azure_batch_operator.api.kinds import Kind

HEADER = ("POOL", "JOB", "SLOTS", "COST/H", "NOTE")
IDLE = "(idle)"
Row = tuple[object, ...]
_PARTS = objects.Parts(
    spec=("vmSize", "id", "accountRef", "pricesFrom"),
    status=("account", "id", "nodes", "slots", "estimatedCostPerHour", "poolId", "taskCounts", "taskSlotCounts"),
    conditions=("CostEstimated", "Complete", "Failed"),
    of_condition=("type", "status", "message"),
)


@dataclass(frozen=True)
class Table:
    """The rows, and the sum by currency."""

    rows: tuple[Row, ...]
    sums: Mapping[str, float]


def kept(thing: Object) -> Object:
    """What rows are made of."""
    return objects.cut(thing, _PARTS)


def table(pools: Iterable[Object], jobs: Sequence[Object]) -> Table:
    """Each pool, and below it its open jobs and what is idle."""
    rows: list[Row] = []
    sums: dict[str, float] = {}
    for pool in sorted(pools, key=lambda each: (objects.namespace(each), objects.name(each))):
        found = _price(pool)
        rows.append(_pool_row(pool))
        if found is None:
            continue
        amount, currency = found
        sums[currency] = sums.get(currency, 0.0) + amount
        rows += _shares(pool, [each for each in jobs if _runs_on(each, pool)], amount, currency)
    return Table(tuple(rows), sums)


def items(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The rows as objects, each with its pool."""
    made, pool = [], ""
    for own, job, slots, price, note in rows:
        pool = str(own) or pool
        amount, _, currency = str(price).partition(" ")
        item: dict[str, Any] = {"pool": pool, "job": job, "slots": slots, "note": note}
        if amount:
            item |= {"costPerHour": float(amount), "currency": currency}
        made.append({name: value for name, value in item.items() if value not in ("", None)})
    return made


def name(item: Mapping[str, Any]) -> str:
    """The name of an item: that of a job, or of a pool."""
    kind, called = (Kind.JOB, item["job"]) if "job" in item else (Kind.POOL, item["pool"])
    return f"{kind.lower()}.{GROUP}/{called}"


def _price(pool: Object) -> tuple[float, str] | None:
    """Amount and currency of an hour, as the operator says it; None if it does not."""
    amount, _, currency = str(status(pool).get("estimatedCostPerHour") or "").partition(" ")
    try:
        return float(amount), currency
    except ValueError:
        return None


def _pool_row(pool: Object) -> Row:
    slots = status(pool).get("slots") or {}
    used = f"{slots.get('used', 0)}/{slots['total']}" if "total" in slots else ""
    return (objects.name(pool), "", used, status(pool).get("estimatedCostPerHour", ""), _problem(pool))


def _problem(pool: Object) -> str:
    if "pricesFrom" not in objects.spec(pool):
        return "no prices: set spec.pricesFrom"
    estimated = condition(pool, "CostEstimated")
    return str(estimated.get("message") or "") if estimated.get("status") == "False" else ""


def _runs_on(job: Object, pool: Object) -> bool:
    same_pool = status(job).get("poolId") == (status(pool).get("id") or objects.remote_id(pool))
    same_account = objects.account_of(job, pool) == objects.account_of(pool)
    return same_pool and same_account and not ended(job)


def _shares(pool: Object, jobs: Sequence[Object], amount: float, currency: str) -> list[Row]:
    total = int((status(pool).get("slots") or {}).get("total") or 0)
    if total == 0:
        return []
    used = {objects.name(each): _slots(each) for each in jobs}
    # Two views of the same pool may be a poll apart.
    whole = max(total, sum(used.values()))
    rows: list[Row] = [
        ("", name, slots, f"{amount * slots / whole:.2f} {currency}", "")
        for name, slots in sorted(used.items())
        if slots
    ]
    idle = whole - sum(used.values())
    return [*rows, ("", IDLE, idle, f"{amount * idle / whole:.2f} {currency}", "")] if idle else rows


def _slots(job: Object) -> int:
    counts = status(job).get("taskSlotCounts") or status(job).get("taskCounts") or {}
    return int(counts.get("running") or 0)
