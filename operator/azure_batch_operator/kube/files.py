"""ConfigMaps with files that a BatchOperation has read: created once, never changed, and deleted with their owner."""

from __future__ import annotations

import base64
import codecs
from typing import Any

from azure_batch_operator.api.base import API_VERSION
from azure_batch_operator.api.resource import Key
from azure_batch_operator.kube.api import AlreadyExists, KubeApi, KubeError

CONTENT = "content"
"""The key within the ConfigMap."""
_CUT = 3
"""Bytes of a character in UTF-8 that may be left where a file was cut."""


async def keep(api: KubeApi, owner: Key, uid: str, name: str, content: bytes) -> None:
    """Create a ConfigMap, unless it is there already; one that belongs to somebody else is left alone.

    Raises:
        KubeError: if the API server refuses or is unreachable, or if the name is taken.
    """
    path = f"/api/v1/namespaces/{owner.namespace}/configmaps"
    reference = {
        "apiVersion": API_VERSION, "kind": owner.kind.value, "name": owner.name, "uid": uid, "controller": True,
    }  # fmt: skip
    body: dict[str, Any] = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "ownerReferences": [reference]},
    }  # fmt: skip
    text = as_text(content)
    body |= {"binaryData": {CONTENT: base64.b64encode(content).decode()}} if text is None else {"data": {CONTENT: text}}
    try:
        await api.request("POST", path, body=body)
    except AlreadyExists:
        there = await api.request("GET", f"{path}/{name}")
        owners = there["metadata"].get("ownerReferences") or ()
        if all(owner.get("uid") != uid for owner in owners):
            text = f"another ConfigMap {name!r} exists, which does not belong to this object: name another one in readFile.into"
            raise KubeError(text, 409) from None


def as_text(content: bytes) -> str | None:
    """Bytes as text, without the part of a character at either end that a cut has left; None if they are none."""
    head = 0
    while head < _CUT < len(content) and content[head] & 0xC0 == 0x80:
        head += 1
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(content[head:])
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
