"""Texts in Secrets and ConfigMaps that specs refer to, read by name and remembered for moments only.

Ten thousand tasks that name the same Secret cost one request; a Secret that was corrected is seen within seconds. Values never
appear in messages, logs or reprs.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping
from typing import Any, Literal

from azure_batch_operator.kube.api import METADATA_ONLY, KubeApi, KubeError, NotFound

REMEMBERED_FOR = 10.0
"""Seconds."""
_PLURALS = {"Secret": "secrets", "ConfigMap": "configmaps"}
_MOST = 256

ValueKind = Literal["Secret", "ConfigMap"]


class ValueMissingError(Exception):
    """There is no such value; `reason` is a condition reason, the text says what to do."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Values:
    """Reads keys of Secrets and ConfigMaps."""

    def __init__(self, api: KubeApi, remembered_for: float = REMEMBERED_FOR) -> None:
        self._api = api
        self._remembered_for = remembered_for
        self._known: dict[tuple[str, ValueKind, str], tuple[float, asyncio.Task[Mapping[str, Any] | int]]] = {}

    async def text(self, kind: ValueKind, namespace: str, name: str, key: str) -> str:
        """The text under `key`.

        Raises:
            ValueMissingError: if the object or the key is missing, may not be read, or is not text.
            KubeError: if the API server is out of reach.
        """
        found = await self._object(kind, namespace, name)
        if found == 404:
            raise ValueMissingError(
                f"{kind}NotFound",
                f"{kind} {name!r} does not exist in namespace {namespace!r}: create it with key {key!r}",
            )
        if isinstance(found, int):
            raise ValueMissingError(
                f"{kind}Forbidden",
                f"the operator may not read {kind} {name!r} in namespace {namespace!r}: "
                f"grant it `get` on {_PLURALS[kind]} there",
            )
        text = _text(kind, found, key)
        if text is None:
            present = ", ".join(sorted({**(found.get("data") or {}), **(found.get("binaryData") or {})})) or "none"
            raise ValueMissingError(
                f"{kind}KeyNotFound", f"{kind} {name!r} has no key {key!r} with text in it (it has: {present}): add it"
            )
        return text

    async def version(self, kind: ValueKind, namespace: str, name: str) -> str:
        """Which version of the object `text` reads: its uid and resourceVersion; empty if there is none.

        Raises:
            KubeError: if the API server is out of reach.
        """
        return _version(await self._object(kind, namespace, name))

    async def version_now(self, kind: ValueKind, namespace: str, name: str) -> str:
        """The same by a look at the object's metadata alone; what was remembered of another version is forgotten.

        Raises:
            KubeError: if the API server is out of reach.
        """
        identity = (namespace, kind, name)
        found = _version(await self._read(kind, namespace, name, accept=METADATA_ONLY))
        _, reading = self._known.get(identity, (0.0, None))
        if reading is not None and (not reading.done() or reading.exception() or _version(reading.result()) != found):
            self.forget(kind, namespace, name)
        return found

    def forget(self, kind: ValueKind, namespace: str, name: str) -> None:
        """Read the object anew when somebody asks for it."""
        self._known.pop((namespace, kind, name), None)

    async def _object(self, kind: ValueKind, namespace: str, name: str) -> Mapping[str, Any] | int:
        identity = (namespace, kind, name)
        now = asyncio.get_running_loop().time()
        until, reading = self._known.get(identity, (0.0, None))
        if reading is None or now >= until:
            if len(self._known) >= _MOST:
                self._known = {each: entry for each, entry in self._known.items() if now < entry[0]}
            reading = asyncio.create_task(self._read(kind, namespace, name))
            self._known[identity] = (now + self._remembered_for, reading)
        try:
            # One who gives up must not take the answer away from the others that wait for it.
            return await asyncio.shield(reading)
        except KubeError:
            self._known.pop(identity, None)
            raise

    async def _read(
        self, kind: ValueKind, namespace: str, name: str, accept: str = "application/json"
    ) -> Mapping[str, Any] | int:
        path = f"/api/v1/namespaces/{namespace}/{_PLURALS[kind]}/{name}"
        try:
            return await self._api.request("GET", path, accept=accept)
        except NotFound:
            return 404
        except KubeError as error:
            if error.status == 403:
                return 403
            raise


def _version(found: Mapping[str, Any] | int) -> str:
    metadata = {} if isinstance(found, int) else found.get("metadata") or {}
    return f"{metadata['uid']}/{metadata['resourceVersion']}" if metadata else ""


def _text(kind: ValueKind, found: Mapping[str, Any], key: str) -> str | None:
    plain = (found.get("data") or {}).get(key)
    encoded = plain if kind == "Secret" else (found.get("binaryData") or {}).get(key)
    if plain is not None and kind == "ConfigMap":
        return str(plain)
    if encoded is None:
        return None
    try:
        return base64.b64decode(encoded).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
