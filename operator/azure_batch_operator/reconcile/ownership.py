"""Whose a resource in Azure Batch is: the marker that the operator leaves there, and reading it back (design §4, Lifecycle).

Pools and jobs carry it in `metadata`. Tasks have no metadata, so a task that stands for a BatchTask carries it in an environment
variable (docs/decisions/0003).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure_batch_operator.api.base import ADOPT, ADOPTED_METADATA, APPLIED_METADATA, OWNER_METADATA, VALUES_METADATA
from azure_batch_operator.api.resource import Resource

MARKERS = frozenset({OWNER_METADATA, ADOPTED_METADATA, APPLIED_METADATA, VALUES_METADATA})
"""Metadata items that are ours and not the user's."""
OWNER_VARIABLE = "AZUREBATCH_IO_OWNER"


def marker(cluster: str, resource: Resource) -> str:
    """`cluster id/namespace/kind/name/uid`."""
    key = resource.key
    return f"{cluster}/{key.namespace}/{key.kind}/{key.name}/{resource.uid}"


def with_marker(body: Mapping[str, Any], owner: str, *, adopted: bool = False) -> dict[str, Any]:
    """A pool or job body with the marker among its metadata, and with a note if it was there before its object."""
    items = [item for item in body.get("metadata") or () if item["name"] not in MARKERS]
    note = [{"name": ADOPTED_METADATA, "value": "true"}] if adopted else []
    return dict(body) | {"metadata": [*items, {"name": OWNER_METADATA, "value": owner}, *note]}


def adopted(remote: Mapping[str, Any]) -> bool:
    """Whether a pool or job was there before its object."""
    return any(item.get("name") == ADOPTED_METADATA for item in remote.get("metadata") or ())


def owner_of(remote: Mapping[str, Any]) -> str | None:
    """Marker of a pool or job; None if it has none."""
    return next((item["value"] for item in remote.get("metadata") or () if item.get("name") == OWNER_METADATA), None)


def task_with_marker(body: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """A task body with the marker among its environment variables."""
    settings = [each for each in body.get("environmentSettings") or () if each["name"] != OWNER_VARIABLE]
    return dict(body) | {"environmentSettings": [*settings, {"name": OWNER_VARIABLE, "value": owner}]}


def task_owner_of(remote: Mapping[str, Any]) -> str | None:
    """Marker of a task; None if it has none."""
    settings = remote.get("environmentSettings") or ()
    return next((each.get("value") for each in settings if each.get("name") == OWNER_VARIABLE), None)


def conflict_message(what: str, id: str, owner: str | None) -> str:
    """What to tell a user whose id is taken."""
    if owner is None:
        whose = "it was not created by an object of Kubernetes"
    else:
        cluster, _, rest = owner.partition("/")
        namespace, kind, name, uid = (*rest.split("/"), "", "", "", "")[:4]
        whose = f"it belongs to {kind} {namespace}/{name} (uid {uid}) of cluster {cluster}"
    return (
        f"{what} {id!r} exists in the account and {whose}: choose another spec.id, delete it there, "
        f"or take it over with the annotation {ADOPT}=true"
    )
