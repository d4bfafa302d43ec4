"""Creates BatchJobs of a cron schedule, and deletes objects whose TTL has expired."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure_batch_operator.api.resource import Key
from azure_batch_operator.kube.api import AlreadyExists, Conflict, KubeApi, KubeError, NotFound, path_of


async def create(api: KubeApi, key: Key, body: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """Create an object, unless it is there already; a namesake with another owner is not it.

    Returns:
        The object as the API server has it, and whether this call has created it.

    Raises:
        KubeError: if the API server refuses or is unreachable, or if the name is taken.
    """
    try:
        return await api.request("POST", path_of(key.kind, key.namespace), body=body), True
    except AlreadyExists:
        there = await api.get(key)
        if _owners(there) != _owners(body):
            text = f"another {key.kind} {key.name!r} exists, which does not belong to this object: delete it, or rename one"
            raise KubeError(text, 409) from None
        return there, False


def _owners(body: Mapping[str, Any]) -> set[str]:
    owners = body["metadata"].get("ownerReferences") or ()
    return {str(owner["uid"]) for owner in owners if owner.get("controller")}


async def delete(api: KubeApi, key: Key, uid: str) -> None:
    """Delete an object; nothing if it is gone or a namesake stands in its place.

    Raises:
        KubeError: if the API server refuses or is unreachable.
    """
    options = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
    try:
        await api.request("DELETE", path_of(key.kind, key.namespace, key.name), body=options)
    except (NotFound, Conflict):
        return
