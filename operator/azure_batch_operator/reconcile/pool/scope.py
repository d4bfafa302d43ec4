"""What a BatchPool's plan is decided from, and the small steps that its parts decide on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.wire import Node
from azure_batch_operator.reconcile.adoption import NO_OTHERS, Others
from azure_batch_operator.reconcile.observed import ObservedNode
from azure_batch_operator.reconcile.plan import Absent, Accepted, AccountView, Call, Remote
from azure_batch_operator.reconcile.pool.history import NO_HISTORY, History
from azure_batch_operator.reconcile.secret_versions import NO_VALUES, ValueVersions
from azure_batch_operator.reconcile.value_references import ResolutionError
from azure_batch_operator.words import counted


@dataclass(frozen=True)
class PoolView:
    """What is known of a pool.

    Attributes:
        remote: the pool in use as the last poll saw it.
        counts: its item of `nodecounts`; None if there is none yet.
        older: other pools of the same object, oldest first (`updateStrategy: Recreate`).
        older_busy: when and why lists last showed that the first of them is in use, so that it was not deleted.
        staying: other pools of the same object that were adopted, so that they are not deleted.
        leaving: ids of pools of the same object that are being deleted.
        unlisted: ids under which the object may have had pools and that the last list did not show.
        next_taken: whether the id of a next pool is somebody else's.
        jobs_on: ids of the jobs that are not completed, by id of their pool (lower case); None if they were not listed lately.
        images: what the account supports; None if that is not known yet.
        accepted: what this process has changed by PATCH.
        values: what properties take from Secrets and ConfigMaps, and whether the pool has it.
        evaluated: the formula that was tried last, and what it came to (an AutoScaleRun).
        enabled: when this process has enabled a formula last, in seconds since the epoch.
        troubled: nodes that do not work, a bounded number.
        outdated: nodes that have run another start task than the spec's, as far as `startTaskUpdate` asks for it.
        busy: BatchJobs and ids of other jobs that are on the object's pools or wait for them, and are not known to be idle.
        idle: ids (lower case) of the open jobs on them all of whose tasks have ended, as far as the counts say.
        slots_used: task slots that running tasks of the BatchJobs occupy; None if that is not known.
        history: what was asked of the pool lately.
        update_refused: whether a change of properties was refused and waits, so that the next step goes before it.
        prices: what `spec.pricesFrom` points to, or why it cannot be read; None if it is not given.
    """

    remote: Remote = Absent.UNKNOWN
    counts: Mapping[str, Any] | None = None
    older: Sequence[Mapping[str, Any]] = ()
    older_busy: tuple[float, str] | None = None
    staying: Sequence[Mapping[str, Any]] = ()
    leaving: Sequence[str] = ()
    unlisted: Sequence[str] = ()
    next_taken: bool = False
    jobs_on: Mapping[str, Sequence[str]] | None = None
    images: Sequence[Mapping[str, Any]] | None = None
    accepted: Accepted | None = None
    values: ValueVersions = NO_VALUES
    evaluated: tuple[str, Mapping[str, Any]] | None = None
    enabled: float | None = None
    troubled: Sequence[ObservedNode] = ()
    outdated: Sequence[Node] = ()
    busy: Sequence[str] = ()
    idle: frozenset[str] = frozenset()
    slots_used: int | None = None
    history: History = NO_HISTORY
    update_refused: bool = False
    prices: str | ResolutionError | None = None


@dataclass(frozen=True)
class PoolScope:
    """All that is known when a BatchPool is decided about.

    Attributes:
        view: the pool as the last poll saw it, and what else is known.
        cluster: id of this cluster, part of the ownership marker.
        now: seconds since the epoch.
        others: what is known of other owners.
    """

    resource: Resource
    account: AccountView
    view: PoolView
    cluster: str
    now: float
    others: Others = NO_OTHERS

    @property
    def remote(self) -> Remote:
        """The pool as the last poll saw it."""
        return self.view.remote


@dataclass(frozen=True)
class Step:
    """One thing to do, or to wait for, on the way to what the spec asks for.

    Attributes:
        calls: what to do now; empty while waiting.
        phase, reason, message: what to say.
        stalled: whether a person must act.
        again: seconds until it must be looked at without any event.
        quiet: whether the pool is as wanted as it can be all the same, so that nothing is said of it.
        properties: what is being changed, for Events and metrics about drift.
    """

    calls: tuple[Call, ...]
    phase: str
    reason: str
    message: str
    stalled: bool = False
    quiet: bool = False
    requeue_after: float | None = None
    properties: tuple[str, ...] = ()


USABLE = ("idle", "running")
ON_THE_WAY = ("creating", "starting", "waitingForStartTask", "rebooting", "reimaging", "upgradingOS")
AWAY = ("preempted", "offline", "leavingPool", "deallocating", "deallocated")
BROKEN = ("startTaskFailed", "unusable", "unknown")


def number_of(counts: Mapping[str, Any] | None, states: Sequence[str]) -> int:
    """How many nodes are in these states, by the names of `nodecounts`."""
    return sum(number_of_tier(counts, tier, states) for tier in ("dedicated", "lowPriority"))


def number_of_tier(counts: Mapping[str, Any] | None, tier: str, states: Sequence[str]) -> int:
    """The same among dedicated or among Spot (`lowPriority`) nodes."""
    present = (counts or {}).get(tier) or {}
    return sum(int(present.get(state, 0)) for state in states)


def some_nodes(number: int) -> str:
    """A number of nodes in words."""
    return counted(number, "node")


def present(remote: Mapping[str, Any]) -> int:
    """How many nodes there are."""
    return sum(int(remote.get(name, 0)) for name in ("currentDedicatedNodes", "currentLowPriorityNodes"))


def targeted(remote: Mapping[str, Any]) -> int:
    """How many nodes Azure Batch works towards."""
    return sum(int(remote.get(name, 0)) for name in ("targetDedicatedNodes", "targetLowPriorityNodes"))


def moment(resource: Mapping[str, Any], name: str) -> str:
    """A time of the service in a form that can be ordered: trailing zeros are dropped on the wire, so the Z must go, too."""
    return str(resource.get(name, "")).rstrip("Z")


def steady(remote: Mapping[str, Any]) -> bool:
    """Whether the service is done with the last change of size."""
    return remote.get("allocationState") == "steady"


def scaled_by_formula(remote: Mapping[str, Any]) -> bool:
    """Whether autoscale is on."""
    return bool(remote.get("enableAutoScale"))
