"""The cost of a pool per hour, from prices in a ConfigMap of the user.

Azure has no price list that the operator could ask with its rights, and what a user pays depends on contracts. The text is YAML or
JSON: a VM size (in any casing) to the price of a node and hour, or to `{dedicated: …, spot: …}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from azure_batch_operator.batch.pool_wire import NO_NODES, NodeCounts, NodesByState, Pool
from azure_batch_operator.batch.wire import Body, build
from azure_batch_operator.reconcile.documents import loaded
from azure_batch_operator.reconcile.pool.spec import PoolSpec, Prices
from azure_batch_operator.reconcile.value_references import ResolutionError, Source

_DEFAULT_CURRENCY = "USD"
_MAX_PRICE = 1e9
"""Beyond this it is no price of a node and an hour. YAML has infinity, and integers that no float can hold."""


@dataclass(frozen=True)
class Cost:
    """An estimate, or why there is none.

    Attributes:
        per_hour: such as `1.20 EUR`.
        problem: reason and message.
    """

    per_hour: str | None = None
    problem: tuple[str, str] | None = None


def source_of(spec: Body) -> Source | None:
    """Where `pricesFrom` of the spec of a BatchPool points to; None if it is not given."""
    reference = build(PoolSpec, spec).prices_from
    return None if reference is None else Source("ConfigMap", reference.name, reference.key)


def cost(
    reference: Prices,
    prices: str | ResolutionError,
    pool: Pool,
    counts: NodeCounts | None,
) -> Cost:
    """Estimate from the nodes that there are and that are billed.

    Args:
        reference: `spec.pricesFrom`.
        prices: what stands there, or why it cannot be read.
    """
    if isinstance(prices, ResolutionError):
        return Cost(problem=(prices.reason, str(prices)))
    size = (pool.vm_size or "").lower()
    try:
        dedicated, spot = _prices(reference, prices, size)
    except ResolutionError as error:
        return Cost(problem=(error.reason, str(error)))
    total = dedicated * _billed(pool.current_dedicated_nodes, counts.dedicated if counts else NO_NODES)
    total += spot * _billed(pool.current_low_priority_nodes, counts.low_priority if counts else NO_NODES)
    return Cost(f"{total:.2f} {reference.currency or _DEFAULT_CURRENCY}")


def _billed(present: int, nodes: NodesByState) -> int:
    return max(0, present - nodes.preempted - nodes.deallocated)


def _prices(reference: Prices, text: str, size: str) -> tuple[float, float]:
    """Prices of a dedicated and of a Spot node.

    Raises:
        ResolutionError: if the text holds none for the size.
    """
    try:
        table = loaded(text)
    except ValueError as error:
        raise _invalid(reference, str(error)) from None
    if not isinstance(table, Mapping):
        raise _invalid(reference, "must contain VM sizes and prices")
    entry = next((value for name, value in table.items() if str(name).lower() == size), None)
    if entry is None:
        raise _invalid(reference, f"has no price for {size}: add it")
    pair = (entry.get("dedicated"), entry.get("spot")) if isinstance(entry, Mapping) else (entry, entry)
    dedicated, spot = (_number(value) for value in (pair[0], pair[1] if pair[1] is not None else pair[0]))
    if dedicated is None or spot is None:
        raise _invalid(reference, f"the price for {size} must be a number, or {{dedicated: number, spot: number}}")
    return dedicated, spot


def _number(value: Any) -> float | None:
    ok = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MAX_PRICE
    return float(value) if ok else None


def _invalid(reference: Prices, what: str) -> ResolutionError:
    place = f"spec.pricesFrom: key {reference.key!r} of ConfigMap {reference.name!r}"
    return ResolutionError("PricesInvalid", f"{place} {what}")
