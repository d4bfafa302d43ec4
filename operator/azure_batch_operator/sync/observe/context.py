"""The input and result of every observation. Observing changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.reconcile.adoption import NO_OTHERS, Others
from azure_batch_operator.reconcile.plan import Call, Plan
from azure_batch_operator.reconcile.secret_versions import Taken
from azure_batch_operator.reconcile.value_references import ResolutionError
from azure_batch_operator.sync.interest import JobSubscription
from azure_batch_operator.sync.store import Store
from azure_batch_operator.sync.task_sources import Sourced


@dataclass(frozen=True)
class Context:
    """Where views look.

    Attributes:
        store: all objects of the cluster.
        cluster: id of this cluster, part of the ownership marker.
        others: what is known of other owners.
        taken: what properties of pools and schedules take from Secrets and ConfigMaps.
        missing: which of these are not available now, and why.
        prices: what `spec.pricesFrom` of pools points to, or why it cannot be read.
        sourced: what jobs have taken from their ConfigMaps.
        fingerprints: of the sources of jobs' tasks, with uid and generation of the object: in all, and for fixed tasks.
        held: whether a call of an object was refused and waits for its next try.
        lets_in: whether an object allows another namespace, by its `spec.allowedNamespaces`.
        unclaimed: whether an object was created with the finalizer, and nothing was done for it yet.
        late: seconds for which a create of an unknown outcome may still take effect (`sync.landing`).
        unfit: what the CRD does not allow in specs, with uid and generation of the object.
    """

    store: Store
    cluster: str
    prices: Mapping[Key, str | ResolutionError] = field(default_factory=dict)
    taken: Mapping[Key, Mapping[str, Taken]] = field(default_factory=dict)
    missing: Mapping[Key, Mapping[str, ResolutionError]] = field(default_factory=dict)
    sourced: Mapping[Key, Sourced] = field(default_factory=dict)
    fingerprints: dict[Key, tuple[str, int, str, str]] = field(default_factory=dict)
    others: Others = NO_OTHERS
    held: Callable[[Resource, Call], bool] = lambda *_: False
    lets_in: Callable[[Resource, str], bool] = lambda *_: False
    unclaimed: Callable[[Resource], bool] = lambda _: False
    late: Callable[[Resource], float | None] = lambda _: None
    unfit: dict[Key, tuple[str, int, list[str]]] = field(default_factory=dict)

    @property
    def clusters(self) -> frozenset[str]:
        """Ids of this cluster and of those that it takes the place of: namesakes in their namespaces are the same to a user."""
        return self.others.lost | {self.cluster}


@dataclass(frozen=True)
class Remembered:
    """What an object's pool or schedule is known to have from now on.

    Attributes:
        id: of the pool or schedule.
        digests: of values from Secrets and ConfigMaps, by property.
        start_task: the start task that all nodes of a pool should have run, if the object wants to know which have not.
    """

    id: str
    digests: Mapping[str, str]
    start_task: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Subscription:
    """What an object needs to be told from now on; `sync.subscriptions` has the services of its account follow it.

    Attributes:
        path: the ids of pools, the id of a job or schedule, or job id and task id; empty if that stays as it was.
        ended: whether nothing of it is polled or done any more.
        job: what is to be asked of its job besides.
        ours: whether that job is known to be the object's.
        tail_lines: last lines of both outputs of its task, whatever the result; None for the usual.
        jobs_of_pools: whether the jobs on its pools are to be listed.
        remembered: what its pool or schedule has.
        output_shown: whether the output that came after its task's end is in the plan.
    """

    path: tuple[str, ...] = ()
    ended: bool = False
    job: JobSubscription | None = None
    ours: bool = False
    tail_lines: int | None = None
    jobs_of_pools: bool = False
    remembered: Remembered | None = None
    output_shown: bool = False


NOTHING_NEW = Subscription()


@dataclass(frozen=True)
class Decision:
    """What is to be done about an object, and what it needs to be told from now on."""

    plan: Plan
    subscription: Subscription = NOTHING_NEW
