"""Adds and removes the operator's finalizer on Secrets by JSON patch; changes nothing else in a Secret.

Only metadata are asked for, so that no secret value passes through here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from azure_batch_operator.api.base import FINALIZER
from azure_batch_operator.kube.api import JSON_PATCH, METADATA_ONLY, Conflict, KubeApi, NotFound

_TRIES = 5


@dataclass(frozen=True)
class SecretMetadata:
    """What matters of a Secret's metadata."""

    uid: str
    version: str
    finalizers: tuple[str, ...]
    deleting: bool

    @property
    def kept(self) -> bool:
        """Whether the operator's finalizer is on it."""
        return FINALIZER in self.finalizers


async def read(api: KubeApi, namespace: str, name: str) -> SecretMetadata | None:
    """A Secret's metadata; None if there is no such Secret.

    Raises:
        KubeError: if the API server does not say, or the operator may not read it.
    """
    try:
        body = await api.request("GET", _path(namespace, name), accept=METADATA_ONLY)
    except NotFound:
        return None
    metadata = body["metadata"]
    return SecretMetadata(
        metadata["uid"],
        str(metadata.get("resourceVersion", "")),
        tuple(metadata.get("finalizers") or ()),
        "deletionTimestamp" in metadata,
    )


async def set_kept(api: KubeApi, namespace: str, name: str, known: SecretMetadata, *, present: bool) -> None:
    """Put the finalizer on, or take it off; finalizers of others are never lost, and a namesake is left alone.

    Raises:
        KubeError: if the API server refuses, as where RBAC does not grant `patch`.
    """
    current: SecretMetadata | None = known
    for _ in range(_TRIES):
        if current is None or current.uid != known.uid or current.kept == present or (present and current.deleting):
            return
        try:
            await api.request("PATCH", _path(namespace, name), body=_patch(current, present), content_type=JSON_PATCH)
        except NotFound:
            return
        except Conflict as conflict:
            last = conflict
        else:
            return
        current = await read(api, namespace, name)
    raise last


def _patch(known: SecretMetadata, present: bool) -> list[dict[str, Any]]:
    kept = [finalizer for finalizer in known.finalizers if finalizer != FINALIZER] + ([FINALIZER] if present else [])
    return [
        {"op": "test", "path": "/metadata/uid", "value": known.uid},
        {"op": "test", "path": "/metadata/resourceVersion", "value": known.version},
        {"op": "add", "path": "/metadata/finalizers", "value": kept},
    ]


def _path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets/{quote(name, safe='')}"
