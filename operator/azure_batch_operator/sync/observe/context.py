"""What every kind's view needs: the other objects, and the name of this cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.reconcile.adoption import NO_OTHERS, Others
from azure_batch_operator.reconcile.plan import Call
from azure_batch_operator.reconcile.secret_versions import Taken
from azure_batch_operator.reconcile.value_references import ResolutionError
from azure_batch_operator.sync.accounts import Session
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
    unfit: dict[Key, tuple[str, int, list[str]]] = field(default_factory=dict)


def interested(session: Session, resource: Resource, *path: str) -> None:
    """Have the poller tell the object what becomes of `path`: the id of a pool or job, or of a job and its task."""
    if session.interest.add(resource.key, *path):
        session.poller.request_poll()
