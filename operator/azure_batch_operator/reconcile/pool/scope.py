"""The input of decisions about a BatchPool, and the small steps that its parts decide on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.account_wire import SupportedImage
from azure_batch_operator.batch.pool_wire import AutoScaleRun, NodeCounts, NodeState, Pool
from azure_batch_operator.batch.wire import Node, build, convert
from azure_batch_operator.reconcile.adoption import NO_OTHERS, Others
from azure_batch_operator.reconcile.observed import ObservedNode
from azure_batch_operator.reconcile.plan import Absent, Accepted, AccountView, Call, Remote
from azure_batch_operator.reconcile.pool.history import NO_HISTORY, History
from azure_batch_operator.reconcile.pool.spec import PoolBefore, PoolSpec
from azure_batch_operator.reconcile.secret_versions import NO_VALUES, ValueVersions
from azure_batch_operator.reconcile.value_references import ResolutionError
from azure_batch_operator.words import counted


@dataclass(frozen=True)
class PoolView:
    """What is known of a pool.

    Attributes:
        remote: the pool in use as the last poll saw it.
        counts: its numbers of nodes; None if there are none yet.
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
        evaluated: the formula that was tried last, and what it came to.
        enabled: when this process has enabled a formula last, in seconds since the epoch.
        looked: whether it is known which nodes do not work.
        troubled: nodes that do not work, a bounded number.
        outdated: nodes that have run another start task than the spec's, as far as `startTaskUpdate` asks for it.
        compared: whether it is known which these are: not before they were listed, such as after a restart.
        busy: BatchJobs and ids of other jobs that are on the object's pools or wait for them, and are not known to be idle.
        idle: ids (lower case) of the open jobs on them all of whose tasks have ended, as far as the counts say.
        slots_used: task slots that running tasks of the BatchJobs occupy; None if that is not known.
        history: what was asked of the pool lately.
        update_refused: whether a change of properties was refused and waits, so that the next step goes before it.
        prices: what `spec.pricesFrom` points to, or why it cannot be read; None if it is not given.
    """

    remote: Remote = Absent.UNKNOWN
    counts: NodeCounts | None = None
    older: Sequence[Pool] = ()
    older_busy: tuple[float, str] | None = None
    staying: Sequence[Pool] = ()
    leaving: Sequence[str] = ()
    unlisted: Sequence[str] = ()
    next_taken: bool = False
    jobs_on: Mapping[str, Sequence[str]] | None = None
    images: Sequence[SupportedImage] | None = None
    accepted: Accepted | None = None
    values: ValueVersions = NO_VALUES
    evaluated: tuple[str, AutoScaleRun] | None = None
    enabled: float | None = None
    looked: bool = True
    troubled: Sequence[ObservedNode] = ()
    outdated: Sequence[Node] = ()
    compared: bool = True
    busy: Sequence[str] = ()
    idle: frozenset[str] = frozenset()
    slots_used: int | None = None
    history: History = NO_HISTORY
    update_refused: bool = False
    prices: str | ResolutionError | None = None


def pool_before(resource: Resource) -> PoolBefore:
    """What the status of a BatchPool says already."""
    return convert(PoolBefore, resource.status)


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

    @cached_property
    def spec(self) -> PoolSpec:
        """What is decided from of the spec."""
        return convert(PoolSpec, self.resource.spec)

    @cached_property
    def before(self) -> PoolBefore:
        """What the status says already."""
        return pool_before(self.resource)

    @cached_property
    def pool(self) -> Pool | None:
        """What is decided from of the pool; None if there is none to see."""
        return None if isinstance(self.remote, Absent) else build(Pool, self.remote)


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


USABLE: tuple[NodeState, ...] = ("idle", "running")
ON_THE_WAY: tuple[NodeState, ...] = (
    "creating",
    "starting",
    "waitingForStartTask",
    "rebooting",
    "reimaging",
    "upgradingOS",
)
AWAY: tuple[NodeState, ...] = ("preempted", "offline", "leavingPool", "deallocating", "deallocated")
BROKEN: tuple[NodeState, ...] = ("startTaskFailed", "unusable", "unknown")


def number_of(counts: NodeCounts | None, states: Sequence[NodeState]) -> int:
    """How many nodes are in these states, dedicated and Spot together."""
    return 0 if counts is None else sum(counts.number(state) for state in states)


def some_nodes(number: int) -> str:
    """A number of nodes in words."""
    return counted(number, "node")


def moment(text: str | None) -> str:
    """A time of the service in a form that can be ordered: trailing zeros are dropped on the wire, so the Z must go, too."""
    return (text or "").rstrip("Z")
