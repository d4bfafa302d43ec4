"""What a BatchPool's plan is decided from, and the small steps that its parts decide on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from azure_batch_operator.reconcile.plan import Absent, Accepted, Call, Notice, Remote


@dataclass(frozen=True)
class PoolView:
    """What is known of a pool.

    Attributes:
        remote: the pool as the last poll saw it.
        counts: its item of `nodecounts`; None if there is none yet.
        images: what the account supports; None if that is not known yet.
        accepted: what this process has changed by PATCH.
        evaluated: the formula that was tried last, and what it came to (an AutoScaleRun).
        enabled: when this process has enabled a formula last, in seconds since the epoch.
        troubled: nodes that do not work, a bounded number.
        busy: names of what keeps the pool from being idle: open jobs of this cluster.
    """

    remote: Remote = Absent.UNKNOWN
    counts: Mapping[str, Any] | None = None
    images: Sequence[Mapping[str, Any]] | None = None
    accepted: Accepted | None = None
    evaluated: tuple[str, Mapping[str, Any]] | None = None
    enabled: float | None = None
    troubled: Sequence[Mapping[str, Any]] = ()
    busy: Sequence[str] = ()


@dataclass(frozen=True)
class Step:
    """One thing to do, or to wait for, on the way to what the spec asks for.

    Attributes:
        calls: what to do now; empty while waiting.
        phase, reason, message: what to say.
        stalled: whether a person must act.
        again: seconds until it must be looked at without any event.
        properties: what is being changed, for Events and metrics about drift.
        fields: members of the status that this step decides.
    """

    calls: tuple[Call, ...]
    phase: str
    reason: str
    message: str
    stalled: bool = False
    again: float | None = None
    properties: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()


USABLE = ("idle", "running")
ON_THE_WAY = ("creating", "starting", "waitingForStartTask", "rebooting", "reimaging", "upgradingOS")
BROKEN = ("startTaskFailed", "unusable", "unknown")


def number_of(counts: Mapping[str, Any] | None, states: Sequence[str]) -> int:
    """How many nodes are in these states, by the names of `nodecounts`."""
    tiers = [(counts or {}).get(tier) or {} for tier in ("dedicated", "lowPriority")]
    return sum(int(tier.get(state, 0)) for tier in tiers for state in states)


def present(remote: Mapping[str, Any]) -> int:
    """How many nodes there are."""
    return sum(int(remote.get(name, 0)) for name in ("currentDedicatedNodes", "currentLowPriorityNodes"))


def targeted(remote: Mapping[str, Any]) -> int:
    """How many nodes Azure Batch works towards."""
    return sum(int(remote.get(name, 0)) for name in ("targetDedicatedNodes", "targetLowPriorityNodes"))


def steady(remote: Mapping[str, Any]) -> bool:
    """Whether the service is done with the last change of size."""
    return remote.get("allocationState") == "steady"


def scaled_by_formula(remote: Mapping[str, Any]) -> bool:
    """Whether autoscale is on."""
    return bool(remote.get("enableAutoScale"))
