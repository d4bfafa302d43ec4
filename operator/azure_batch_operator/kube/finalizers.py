"""Adds and removes our finalizer by JSON patch, guarded so that finalizers of others are never lost."""

from __future__ import annotations

from typing import Any

from azure_batch_operator.api.base import FINALIZER
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.kube.api import Conflict, KubeApi, NotFound

_TRIES = 5


def added(resource: Resource) -> list[dict[str, Any]]:
    """JSON patch that adds the finalizer; empty if it is there."""
    if resource.has_finalizer:
        return []
    uid = {"op": "test", "path": "/metadata/uid", "value": resource.uid}
    if resource.finalizers:
        return [uid, {"op": "add", "path": "/metadata/finalizers/-", "value": FINALIZER}]
    # `add` would replace a list that somebody made meanwhile, so the version must still be the one we know.
    version = {"op": "test", "path": "/metadata/resourceVersion", "value": str(resource.version)}
    return [uid, version, {"op": "add", "path": "/metadata/finalizers", "value": [FINALIZER]}]


def removed(resource: Resource) -> list[dict[str, Any]]:
    """JSON patch that removes the finalizer; empty if it is not there."""
    if not resource.has_finalizer:
        return []
    path = f"/metadata/finalizers/{resource.finalizers.index(FINALIZER)}"
    return [
        {"op": "test", "path": "/metadata/uid", "value": resource.uid},
        {"op": "test", "path": path, "value": FINALIZER},
        {"op": "remove", "path": path},
    ]


async def set_finalizer(api: KubeApi, resource: Resource, present: bool) -> Resource | None:
    """Add or remove the finalizer.

    Returns:
        The object as it is now; None if it is gone, or if another one has taken its name.

    Raises:
        KubeError: if the API server cannot do it now.
    """
    current = resource
    for _ in range(_TRIES):
        operations = added(current) if present else removed(current)
        if not operations:
            return current
        try:
            return Resource.parse(await api.patch_json(current.key, operations))
        except NotFound:
            return None
        except Conflict as conflict:
            last = conflict
        try:
            current = Resource.parse(await api.get(resource.key))
        except NotFound:
            return None
        if current.uid != resource.uid:
            return None
    raise last
