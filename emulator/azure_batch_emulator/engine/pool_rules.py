"""Decisions about pools: which nodes come and go, how many cores a size has, what a quota lets through. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from azure_batch_emulator.wire.errors import BatchError, resource_error

# The D, DS and A series of old name a size by its rank and not by its cores.
_RANKED = {"1": 1, "2": 2, "3": 4, "4": 8, "5": 16, "11": 2, "12": 4, "13": 8, "14": 16, "15": 20}
_SIZE = re.compile(r"(?:standard_|basic_)?([a-z]+)([0-9]{1,4})(?:-[0-9]{1,4})?([a-z]*)(?:_([a-z0-9_]+))?")


def cores_of(vm_size: str) -> int:
    """Cores of a VM size by its name: ``standard_d4ads_v6`` has 4, ``standard_d3_v2`` has 4."""
    match = _SIZE.fullmatch(vm_size.lower())
    if not match:
        return 1
    family, number, _, version = match.groups()
    if family in ("d", "ds") and version in (None, "v2", "v2_promo") and number in _RANKED:
        return _RANKED[number]
    return max(1, int(number))


def check_active(state: str) -> None:
    """Raises BatchError 409 PoolBeingDeleted."""
    if state == "deleting":
        raise BatchError("PoolBeingDeleted")


class NodeView(Protocol):
    """What the choice of leaving nodes looks at."""

    id: str
    index: int
    dedicated: bool
    state: str

    @property
    def busy(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class ResizePlan:
    """What a resize will do: how many nodes to add of each kind, which to let go, and what stands in the way."""

    add_dedicated: int
    add_low_priority: int
    remove: tuple[str, ...]
    errors: tuple[dict[str, Any], ...] = ()


def plan_resize(
    nodes: Iterable[NodeView],
    target_dedicated: int,
    target_low_priority: int,
    room_dedicated: int,
    room_low_priority: int,
) -> ResizePlan:
    """Compare nodes with targets.

    Args:
        nodes: present nodes; those that leave already are not counted again.
        room_dedicated: nodes that the core quota still allows.
    """
    staying = [node for node in nodes if node.state != "leavingpool"]
    remove: list[str] = []
    added = []
    errors: list[dict[str, Any]] = []
    for dedicated, target, room in (
        (True, target_dedicated, room_dedicated),
        (False, target_low_priority, room_low_priority),
    ):
        kind = [node for node in staying if node.dedicated is dedicated]
        surplus = len(kind) - target
        if surplus > 0:
            remove += [node.id for node in sorted(kind, key=_readiness_to_leave)[:surplus]]
        wanted = max(0, -surplus)
        granted = min(wanted, max(0, room))
        added.append(granted)
        if granted < wanted:
            errors.append(quota_error(dedicated=dedicated))
    return ResizePlan(added[0], added[1], tuple(remove), tuple(errors))


def limit(plan: ResizePlan, room_dedicated: int, room_low_priority: int, error: dict[str, Any]) -> ResizePlan:
    """The plan when there is capacity for so many more nodes of each kind only; the error says why, if that is felt."""
    dedicated = min(plan.add_dedicated, max(0, room_dedicated))
    low_priority = min(plan.add_low_priority, max(0, room_low_priority))
    if (dedicated, low_priority) == (plan.add_dedicated, plan.add_low_priority):
        return plan
    return ResizePlan(dedicated, low_priority, plan.remove, (*plan.errors, error))


def _readiness_to_leave(node: NodeView) -> tuple[int, int]:
    """Nodes that do nothing useful go first, then the youngest."""
    unusable = node.state in ("unusable", "starttaskfailed", "preempted", "unknown", "offline", "deallocated")
    return (0 if unusable else 2 if node.busy else 1, -node.index)


def quota_error(*, dedicated: bool) -> dict[str, Any]:
    """The resize error of a core quota."""
    if dedicated:
        return resource_error("AccountCoreQuotaReached", "The specified account has reached core quota")
    return resource_error(
        "AccountLowPriorityCoreQuotaReached", "The specified account has reached low priority core quota"
    )


_NODE_KINDS = ("dedicated", "low priority")


def stop_errors(current: Sequence[int], targets: Sequence[int]) -> list[dict[str, Any]]:
    """Resize errors after a stopped resize, for (dedicated, low priority); the text is recorded."""
    text = "Desired number of {} nodes could not be allocated due to a stop resize operation"
    return _errors_of_kinds("ResizeStopped", text, current, targets)


def timeout_errors(current: Sequence[int], targets: Sequence[int]) -> list[dict[str, Any]]:
    """Resize errors when the resize timeout is over.

    The text is reported, and is the same when nodes could not be removed in time (Azure/BatchExplorer issue 2085).
    """
    text = "Desired number of {} nodes could not be allocated as the resize timeout was reached"
    return _errors_of_kinds("AllocationTimedout", text, current, targets)


def _errors_of_kinds(code: str, text: str, current: Sequence[int], targets: Sequence[int]) -> list[dict[str, Any]]:
    return [
        resource_error(code, text.format(kind))
        for kind, have, want in zip(_NODE_KINDS, current, targets, strict=True)
        if have != want
    ]
