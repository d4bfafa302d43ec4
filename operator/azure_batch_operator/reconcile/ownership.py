"""Ownership of resources in Azure Batch: the marker that the operator writes, and the predicate that reads it.

Pools, jobs and job schedules carry the marker in `metadata`. Tasks have no metadata, so the task of a BatchTask carries it in an
environment variable (docs/decisions/0003).

A marker names the object and the id of the resource that it was written for. A copy made outside Kubernetes (`az batch pool show`,
another ID, create) has the marker of the original, which names another ID, so nobody owns it. Only `owns` decides whether an object
owns a resource: tests/unit/reconcile/test_ownership.py refuses comparisons of markers elsewhere. The rules are in
docs/decisions/0023.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from msgspec import field, to_builtins

from azure_batch_operator.api.base import ADOPTED_METADATA, APPLIED_METADATA, GROUP, OWNER_METADATA, VALUES_METADATA
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch import job_wire, pool_wire, schedule_wire, wire
from azure_batch_operator.batch.wire import Body, convert
from azure_batch_operator.reconcile.observed import ObservedTask

MARKERS = frozenset({OWNER_METADATA, ADOPTED_METADATA, APPLIED_METADATA, VALUES_METADATA})
"""Metadata items of the operator, not of the user."""
OWNER_VARIABLE = "AZUREBATCH_IO_OWNER"
LONGEST_ID = 64
"""Characters of the id of a pool."""
RUN_DIGITS = 10
"""Characters that the IDs of the jobs of a cron schedule have in addition to its own ID."""
_ID = re.compile(r"[A-Za-z0-9_-]+")
_KINDS = frozenset(kind.value for kind in Kind)
_AUTO_POOL = re.compile(r"(?:.*_)?[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}", re.IGNORECASE)
"""Ids of auto pools: a GUID, perhaps after a prefix (docs/azure-batch.md#jobs)."""
_GENERATION = re.compile(r"-g[0-9]+(-[0-9]+)?$")


class MarkedBody(wire.Wire, frozen=True, gc=False):
    """What identifies a resource, and what carries its marker, of a body as it is received or sent."""

    id: str = ""
    etag: str | None = field(default=None, name="eTag")
    creation_time: str | None = None
    state: str | None = None
    state_transition_time: str | None = None
    metadata: tuple[pool_wire.MetadataItem, ...] = ()
    environment_settings: tuple[wire.EnvironmentSetting, ...] = ()

    @classmethod
    def of(cls, body: Body) -> MarkedBody:
        """From a body."""
        return convert(cls, body)

    @property
    def user_metadata(self) -> dict[str, str]:
        """The metadata of the user, by name."""
        found = {item.name or "": item.value or "" for item in self.metadata}
        return {name: value for name, value in found.items() if not name.startswith(f"{GROUP}/")}

    def note(self, name: str) -> str | None:
        """The value of a metadata item, empty if it has none; None without the item."""
        return next((item.value or "" for item in self.metadata if item.name == name), None)


Marked: TypeAlias = Body | pool_wire.Pool | job_wire.Job | schedule_wire.JobSchedule | wire.Task | ObservedTask
"""A resource that can carry a marker: a pool, job or schedule, or a task."""


class Owned(NamedTuple):
    """An object of a cluster, without the ids of its resources: what `Mirror.pools_of` is keyed by."""

    cluster: str
    namespace: str
    kind: str
    name: str
    uid: str

    @classmethod
    def by(cls, cluster: str, resource: Resource) -> Owned:
        """The object itself."""
        key = resource.key
        return cls(cluster, key.namespace, key.kind.value, key.name, resource.uid)


@dataclass(frozen=True, slots=True)
class Owner:
    """A marker.

    Attributes:
        object: the object that it names.
        id: of the resource that it was written for; empty in markers of versions before the id was part of it.
    """

    object: Owned
    id: str = ""

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """From `cluster/namespace/kind/name/uid/id`, or without `/id`; None if the text is no marker.

        The id of a cluster may contain slashes, nothing else may. No name or uid is spelled like a kind, so the kind shows which
        of the two forms it is.
        """
        parts = text.split("/")
        for members in (6, 5):
            cluster, rest = parts[: 1 - members], parts[1 - members :]
            if len(rest) == members - 1 and rest[1] in _KINDS and all((cluster, *rest)):
                return cls(Owned("/".join(cluster), *rest[:4]), "".join(rest[4:]))
        return None

    def __str__(self) -> str:
        return "/".join((*self.object, *([self.id] if self.id else ())))

    def counts_for(self, remote: Marked) -> bool:
        """Whether the marker was written for this resource, as far as it shows that."""
        return not self.id or self.id.lower() == _id(remote).lower()


def _id(remote: Marked) -> str:
    return MarkedBody.of(remote).id if isinstance(remote, Mapping) else remote.id


def marker(cluster: str, resource: Resource, id: str | None = None) -> str:
    """The marker for a resource of an object; `id` if it is not the object's own `remote_id`."""
    return str(Owner(Owned.by(cluster, resource), id or resource.remote_id))


def with_marker(body: Body, owner: str, *, adopted: bool = False) -> dict[str, Any]:
    """The body of a pool, job or schedule with the marker in its metadata, and with a note if it was adopted."""
    found = MarkedBody.of(body).metadata
    items = [to_builtins(item) for item in found if item.name not in MARKERS]
    note = [{"name": ADOPTED_METADATA, "value": "true"}] if adopted else []
    return dict(body) | {"metadata": [*items, {"name": OWNER_METADATA, "value": owner}, *note]}


def with_same_marker(body: Body, remote: Body) -> dict[str, Any]:
    """A body with the marker and the note of adoption of `remote`, which is known to be the object's.

    A marker without an id gets the id of `remote`, so that those of earlier versions are renewed when metadata are written anyway.
    """
    owner = owner_of(remote)
    text = marker_of(remote) or "" if owner is None else str(Owner(owner.object, owner.id or _id(remote)))
    return with_marker(body, text, adopted=adopted(remote))


def task_with_marker(body: Body, owner: str) -> dict[str, Any]:
    """A task body with the marker among its environment variables."""
    given: Sequence[Body] = body.get("environmentSettings") or ()
    settings = [each for each in given if each["name"] != OWNER_VARIABLE]
    return dict(body) | {"environmentSettings": [*settings, {"name": OWNER_VARIABLE, "value": owner}]}


def adopted(remote: Body | pool_wire.Pool | job_wire.Job) -> bool:
    """Whether a pool or job existed before its object."""
    metadata = MarkedBody.of(remote).metadata if isinstance(remote, Mapping) else remote.metadata
    return any(item.name == ADOPTED_METADATA for item in metadata)


def marker_of(remote: Marked) -> str | None:
    """The marker as it is in a pool, job or schedule, in a task, or in what the mirror keeps of a task; None without one."""
    if isinstance(remote, ObservedTask):
        return remote.owner
    if isinstance(remote, wire.Task):
        return _variable(remote.environment_settings)
    if not isinstance(remote, Mapping):
        return next((item.value or "" for item in remote.metadata if item.name == OWNER_METADATA), None)
    body = MarkedBody.of(remote)
    noted = body.note(OWNER_METADATA)
    return _variable(body.environment_settings) if noted is None else noted


def _variable(settings: Iterable[wire.EnvironmentSetting]) -> str | None:
    return next((each.value or "" for each in settings if each.name == OWNER_VARIABLE), None)


def has_marker(remote: Marked, text: str | None) -> bool:
    """Whether the marker is still the text that was observed, so the owner has not changed."""
    return marker_of(remote) == text


def owner_of(remote: Marked) -> Owner | None:
    """The parsed marker of a resource; None if it has none, or one that cannot be read."""
    text = marker_of(remote)
    return None if text is None else Owner.parse(text)


def owns(remote: Marked, resource: Resource, cluster: str) -> bool:
    """Whether a pool, job, schedule or task in Azure Batch belongs to this object.

    The marker names the object, it was written for this very resource, and the id is one that the object can have.
    """
    owner = owner_of(remote)
    return (
        owner is not None
        and owner.object == Owned.by(cluster, resource)
        and owner.counts_for(remote)
        and has_id(resource, _id(remote))
    )


def claimed(remote: Marked) -> bool:
    """Whether a resource has any marker, so that only its owner may change or delete it. Tasks of BatchTasks have one."""
    return marker_of(remote) is not None


def foreign_owner(job: Body, schedule: Body | None, namespace: str, clusters: frozenset[str]) -> str | None:
    """Why objects of a namespace may not add tasks to a job; None if they may: nobody or an object of the namespace owns it.

    Args:
        schedule: the job schedule that created the job, if any; such a job has no marker of its own.
        clusters: whose namespaces count as those of this cluster: itself, and the lost ones that it takes the place of.
    """
    for remote in (job, schedule or {}):
        owner = owner_of(remote)
        if not claimed(remote) or (owner is not None and not owner.counts_for(remote)):
            continue
        if owner is None or owner.object.cluster not in clusters or owner.object.namespace != namespace:
            what = "it" if remote is job else "its schedule"
            return f"{what} {described(remote)}"
    return None


def is_auto_pool(pool: Body) -> bool:
    """Whether a pool looks like an auto pool, which the service created for a job: such a pool has no marker."""
    owner = owner_of(pool)
    marked = owner is not None and owner.counts_for(pool)
    return not marked and _AUTO_POOL.fullmatch(_id(pool)) is not None


def has_id(resource: Resource, id: str) -> bool:
    """Whether a resource of this object can have this id: its own, or for a pool one of `updateStrategy: Recreate`."""
    id, own = id.lower(), resource.remote_id.lower()
    if id == own:
        return True
    found = _GENERATION.search(id) if resource.key.kind is Kind.POOL else None
    return found is not None and id[: found.start()] == own[: LONGEST_ID - len(found.group())]


def conflict_message(what: str, resource: Resource, remote: Marked, remedy: str) -> str:
    """The message for an ID that is already used.

    Args:
        what: the kind of resource.
        remedy: what to do besides choosing another id.
    """
    head = f"{what} {_id(remote)!r} exists in the account and {described(remote)}"
    if owner_elsewhere(resource, remote) is None:
        return f"{head}: {_another_id(resource, '')}, {remedy}"
    # Users of Kubernetes expect that names belong to a namespace.
    head += ". IDs are those of the account, which all namespaces that use it share"
    return f"{head}: {_another_id(resource, f'{resource.key.namespace}-')}, {remedy}"


def owner_elsewhere(resource: Resource, remote: Marked) -> Owned | None:
    """The object in another namespace that owns a resource, so that other people decide about it; None if there is none."""
    owner = owner_of(remote)
    if owner is None or not owner.counts_for(remote) or owner.object.namespace == resource.key.namespace:
        return None
    return owner.object


def deletion(resource: Resource, owner: Owned) -> str:
    """How to remove the object that owns a resource: `delete …`, or ask its owner."""
    name = f"{owner.kind} {owner.namespace}/{owner.name}"
    return f"delete {name}" if owner.namespace == resource.key.namespace else f"ask the owner of {name} to delete it"


def _another_id(resource: Resource, prefix: str) -> str:
    """How to get another ID, which is immutable, with an example if one with the prefix is valid."""
    schedule = resource.scheduled_by
    which = "this object" if schedule is None else f"{schedule.kind} {schedule.name!r}"
    room = LONGEST_ID if schedule is None else LONGEST_ID - RUN_DIGITS
    example = f"{prefix}{resource.remote_id if schedule is None else schedule.name}"
    fits = bool(prefix) and _ID.fullmatch(example) is not None and len(example) <= room
    # A schedule whose spec.id is the example already has runs of that id.
    fits &= schedule is None or not resource.remote_id.startswith(f"{example}-")
    return f"create {which} again with another spec.id" + (f", such as {example!r}" if fits else "")


def described(remote: Marked) -> str:
    """The owner of a resource, as text that follows "it exists and"."""
    text, owner = marker_of(remote), owner_of(remote)
    if text is None:
        return "was not created by this operator"
    if owner is None:
        return f"has an ownership marker that cannot be read ({text[:200]!r})"
    cluster, namespace, kind, name, uid = owner.object
    who = f"{kind} {namespace}/{name} (uid {uid}) of cluster {cluster}"
    if not owner.counts_for(remote):
        return f"is a copy: its marker was written for {owner.id!r}, which belongs to {who}"
    return f"belongs to {who}"
