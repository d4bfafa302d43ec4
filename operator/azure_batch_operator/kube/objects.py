"""Creates and deletes objects of ours: the BatchJobs of a cron schedule, and what has outlived its time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure_batch_operator.api.resource import Key
from azure_batch_operator.kube.api import Conflict, KubeApi, NotFound, path_of


async def create(api: KubeApi, key: Key, body: Mapping[str, Any]) -> None:
    """Create an object, unless there is one of that name.

    Raises:
        KubeError: if the API server refuses or is out of reach.
    """
    try:
        await api.request("POST", path_of(key.kind, key.namespace), body=body)
    except Conflict:
        return


async def delete(api: KubeApi, key: Key, uid: str) -> None:
    """Delete an object; nothing if it is gone or a namesake stands in its place.

    Raises:
        KubeError: if the API server refuses or is out of reach.
    """
    options = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
    try:
        await api.request("DELETE", path_of(key.kind, key.namespace, key.name), body=options)
    except (NotFound, Conflict):
        return
