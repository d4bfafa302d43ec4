"""Whether an object may adopt an existing resource: never from an object that exists (docs/decisions/0023).

`azurebatch.io/adopt` on the object asks for it. `true` takes what nobody owns, and what an earlier object of the same namespace,
kind and name has left. Anything else that is left behind is taken only by naming its owner, from the same namespace. What a lost
cluster owned (`--adopt-from-cluster`) continues with the namesake of its owner, without an annotation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from azure_batch_operator.api.base import ADOPT, OWNER_METADATA, RECONCILE_POLICY
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.ownership import Marked, Owned, Owner, deletion, marker_of, owner_of, owns


class Standing(Enum):
    """What is known of an object of this cluster."""

    LIVES = "lives"
    GONE = "gone"
    UNSEEN = "unseen"
    """Its namespace is not watched, so it may live."""


@dataclass(frozen=True)
class Others:
    """What is known of other owners. Without a look-up every object of this cluster may live.

    Attributes:
        look: tells how it stands with an object of this cluster.
        lost: ids of clusters that this one takes the place of.
    """

    look: Callable[[Owned], Standing] = lambda _: Standing.UNSEEN
    lost: frozenset[str] = frozenset()


NO_OTHERS = Others()


@dataclass(frozen=True)
class OwnerAnswer:
    """Whether an object may take a resource.

    Attributes:
        granted: whether it may.
        inherited: whether it continues with what its namesake owned, so that it is the object's as if it had made it.
        remedy: what a user can do if it may not.
    """

    granted: bool
    inherited: bool = False
    remedy: str = ""


def answer(remote: Marked, resource: Resource, cluster: str, others: Others) -> OwnerAnswer:
    """Decide about a resource that the object does not own."""
    asked = resource.annotations.get(ADOPT, "").strip()
    asks = asked.lower() not in {"", "false"}
    text, owner = marker_of(remote), owner_of(remote)
    if text is None or (owner is not None and not owner.counts_for(remote)):
        return OwnerAnswer(asks, remedy=f"delete it there, or adopt it with the annotation {ADOPT}=true")
    if owner is None:
        return OwnerAnswer(asked == text, remedy=f"or adopt it with the annotation {ADOPT}={text[:200]}")
    if owner.object.cluster == cluster and (refusal := _held(owner, resource, others)) is not None:
        return OwnerAnswer(False, remedy=refusal)
    if inherits(owner, resource, others):
        return OwnerAnswer(True, inherited=True)
    mine = Owned.by(cluster, resource)
    if asks and owner.object[:4] == mine[:4]:
        return OwnerAnswer(True)
    name = "/".join(owner.object[:4])
    if owner.object.namespace != mine.namespace and owner.object.cluster not in others.lost:
        remedy = (
            f"or, if its owner no longer needs it, remove the metadata item {OWNER_METADATA} from it in Azure Batch "
            f"and adopt it with the annotation {ADOPT}=true"
        )
        return OwnerAnswer(False, remedy=remedy)
    if asks and _names(asked, owner):
        return OwnerAnswer(True)
    value = "true" if owner.object[:4] == mine[:4] else name
    return OwnerAnswer(False, remedy=f"or, if its owner is gone for good, adopt it with the annotation {ADOPT}={value}")


def ours(remote: Marked, resource: Resource, cluster: str, others: Others) -> bool:
    """Whether a resource is the object's: it owns it, or continues with what its namesake in a lost cluster owned."""
    if owns(remote, resource, cluster):
        return True
    owner = owner_of(remote)
    if owner is None or not owner.counts_for(remote):
        return False
    if owner.object.cluster == cluster and others.look(owner.object) is not Standing.GONE:
        return False
    return inherits(owner, resource, others)


def is_foreign(remote: Marked, resource: Resource, cluster: str, others: Others) -> bool:
    """Whether a resource is somebody else's, so that the object waits for its ID to be free."""
    return not owns(remote, resource, cluster) and not answer(remote, resource, cluster, others).granted


def stands_for(remote: Marked, resource: Resource, cluster: str, others: Others, *, ended: bool) -> bool:
    """Whether an object is about a resource: it is the object's, or it has ended, so that it never gets the object's marker.

    Args:
        ended: whether the resource has.
    """
    return ours(remote, resource, cluster, others) or (ended and answer(remote, resource, cluster, others).granted)


def inherits(owner: Owner, resource: Resource, others: Others) -> bool:
    """Whether an owner is the object's namesake in a lost cluster."""
    key = resource.key
    return owner.object.cluster in others.lost and owner.object[1:4] == (key.namespace, key.kind.value, key.name)


def _held(owner: Owner, resource: Resource, others: Others) -> str | None:
    """Why something of this cluster cannot be taken; None if its owner is gone."""
    _, namespace, kind, name, _ = owner.object
    match others.look(owner.object):
        case Standing.LIVES:
            return (
                f"or {deletion(resource, owner.object)}, annotated with {RECONCILE_POLICY}=detach-on-delete if the resource must "
                "be kept"
            )
        case Standing.UNSEEN:
            return (
                f"or make sure that {kind} {name!r} does not exist in namespace {namespace!r}, which this operator does not "
                f"watch, remove the metadata item {OWNER_METADATA} from it in Azure Batch, and adopt it with the annotation "
                f"{ADOPT}=true"
            )
        case Standing.GONE:
            return None


def _names(asked: str, owner: Owner) -> bool:
    """Whether the value of the annotation is the owner's marker, or a beginning of it that ends with a member."""
    return f"{owner}/".startswith(f"{asked.rstrip('/')}/")
