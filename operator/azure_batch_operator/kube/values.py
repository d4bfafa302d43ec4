"""Values in Secrets and ConfigMaps that specs reference, read by name and cached for moments only.

Ten thousand tasks that name the same Secret cost a few requests; a Secret that was corrected is seen within seconds. Values never
appear in messages, logs or reprs.

Who applies a Secret and then an object that names it expects the object to get the new value. So a reader passes `since`, the
moment (`Values.moment`) at which the operator saw the object, and gets what was read after it. Objects of one burst share a read:
all of them that were seen before it began.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal
from urllib.parse import quote

from azure_batch_operator import guard
from azure_batch_operator.kube.api import METADATA_ONLY, KubeApi, KubeError, NotFound

REMEMBERED_FOR = 10.0
"""Seconds."""
READS_APART = 0.5
"""Seconds between the beginnings of two reads of one object; those who need a later one wait for it together."""
LONG_AGO = 0
"""A moment before all others: what is remembered will do."""
_PLURALS = {"Secret": "secrets", "ConfigMap": "configmaps"}
_MAX_KNOWN = 256

ValueKind = Literal["Secret", "ConfigMap"]


class ValueMissingError(Exception):
    """There is no such value; `reason` is a condition reason, the text says what to do."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Found:
    """What a read has found, out of sight: asyncio shows the results of tasks.

    Attributes:
        body: the object, or the status of a refusal.
    """

    body: Mapping[str, Any] | int = field(repr=False)


@dataclass
class _Reading:
    """One read of an object.

    Attributes:
        begins: when its request is sent, by the loop's clock.
        answer: what it finds.
        moment: when the request was sent, among the moments of `Values`; None before.
    """

    begins: float
    answer: asyncio.Task[_Found]
    moment: int | None = None


class ValueReader:
    """Reads keys of Secrets and ConfigMaps."""

    def __init__(self, api: KubeApi, remembered_for: float = REMEMBERED_FOR) -> None:
        self._api = api
        self._remembered_for = remembered_for
        self._known: dict[tuple[str, ValueKind, str], _Reading] = {}
        # Numbers and not times: two events can fall into one tick of a clock, and their order matters.
        self._moments = count(LONG_AGO + 1)

    def moment(self) -> int:
        """Now, for `since`."""
        return next(self._moments)

    async def text(self, kind: ValueKind, namespace: str, name: str, key: str, *, since: int = LONG_AGO) -> str:
        """The text under `key`, as it was after the moment `since`.

        Raises:
            ValueMissingError: if the object or the key is missing, may not be read, or is not text.
            KubeError: if the API server is unreachable.
        """
        found = (await self._object(kind, namespace, name, since)).body
        if found == 404:
            raise ValueMissingError(
                f"{kind}NotFound",
                f"{kind} {name!r} does not exist in namespace {namespace!r}: create it with key {key!r}, or correct the name",
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
                f"{kind}KeyNotFound",
                f"{kind} {name!r} has no key {key!r} with text in it (it has: {present}): add it, or correct the key",
            )
        return text

    async def version(self, kind: ValueKind, namespace: str, name: str, *, since: int = LONG_AGO) -> str:
        """Which version of the object `text` reads: its uid and resourceVersion; empty if there is none.

        Raises:
            KubeError: if the API server is unreachable.
        """
        return _version(await self._object(kind, namespace, name, since))

    async def version_now(self, kind: ValueKind, namespace: str, name: str) -> str:
        """The same by a look at the object's metadata alone; what was remembered of another version is forgotten.

        Raises:
            KubeError: if the API server is unreachable.
        """
        identity = (namespace, kind, name)
        found = _version(await self._read(kind, namespace, name, accept=METADATA_ONLY))
        known = self._known.get(identity)
        answer = None if known is None else known.answer
        if answer is not None and (not answer.done() or answer.exception() or _version(answer.result()) != found):
            self.forget(kind, namespace, name)
        return found

    def forget(self, kind: ValueKind, namespace: str, name: str) -> None:
        """Read the object again when somebody asks for it."""
        self._known.pop((namespace, kind, name), None)

    async def _object(self, kind: ValueKind, namespace: str, name: str, since: int) -> _Found:
        identity, now = (namespace, kind, name), asyncio.get_running_loop().time()
        reading = self._known.get(identity)
        if reading is not None and now >= reading.begins + self._remembered_for:
            reading = None
        if reading is None:
            if len(self._known) >= _MAX_KNOWN:
                oldest = now - self._remembered_for
                self._known = {source: entry for source, entry in self._known.items() if oldest < entry.begins}
            reading = self._start(identity, now)
        elif reading.moment is not None and reading.moment <= since:
            reading = self._start(identity, max(now, reading.begins + READS_APART))
        # One who gives up must not cancel the read for the others that wait for it.
        return await asyncio.shield(reading.answer)

    def _start(self, identity: tuple[str, ValueKind, str], begins: float) -> _Reading:
        namespace, kind, name = identity

        async def read() -> _Found:
            if (wait := begins - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(wait)
            reading.moment = self.moment()
            try:
                return await self._read(kind, namespace, name)
            except KubeError:
                # Also if nobody waits for it any more: the next one asks again.
                if self._known.get(identity) is reading:
                    del self._known[identity]
                raise

        reading = _Reading(begins, guard.shared(read()))
        self._known[identity] = reading
        return reading

    async def _read(self, kind: ValueKind, namespace: str, name: str, accept: str = "application/json") -> _Found:
        path = f"/api/v1/namespaces/{namespace}/{_PLURALS[kind]}/{quote(name, safe='')}"
        try:
            return _Found(await self._api.request("GET", path, accept=accept))
        except NotFound:
            return _Found(404)
        except KubeError as error:
            if error.status == 403:
                return _Found(403)
            raise


def _version(found: _Found) -> str:
    metadata = {} if isinstance(found.body, int) else found.body.get("metadata") or {}
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
    except ValueError:
        return None
