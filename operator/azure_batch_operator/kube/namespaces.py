"""Labels and annotations of namespaces: labels select them for accounts, annotations set the policy of their objects.

Looked at every half minute rather than watched: in a cluster-wide installation that is one small list, in a namespaced one a GET
per namespace, and neither needs a right to watch.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from azure_batch_operator.api.base import GROUP
from azure_batch_operator.guard import keep
from azure_batch_operator.kube.access import Access
from azure_batch_operator.kube.api import KubeApi, KubeError, NotFound

logger = logging.getLogger(__name__)

LOOKED_AT_EVERY = 30.0
"""Seconds."""
_PAGE = 500


@dataclass(frozen=True)
class Namespace:
    """What matters of a namespace: its labels, its annotations of our group, and whether it is being deleted."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    terminating: bool = False


def _parsed(body: Mapping[str, Any]) -> Namespace:
    metadata = body["metadata"]
    annotations = metadata.get("annotations") or {}
    ours = {name: value for name, value in annotations.items() if name.startswith(f"{GROUP}/")}
    return Namespace(dict(metadata.get("labels") or {}), ours, "deletionTimestamp" in metadata)


class Namespaces:
    """What is known of namespaces.

    Args:
        access: which namespaces the operator watches, and may read.
        changed: is told a namespace whose labels or annotations differ from what was known.
    """

    def __init__(self, api: KubeApi, access: Access, changed: Callable[[str], None]) -> None:
        self._api, self.access, self._changed = api, access, changed
        self._known: dict[str, Namespace] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._begun: Counter[str] = Counter()
        self._read: dict[str, tuple[int, Namespace]] = {}

    def watches(self, name: str) -> bool:
        """Whether the operator sees the objects of a namespace."""
        return self.access.reads(name)

    def denies(self, name: str) -> bool:
        """Whether the operator watches a namespace, but has no permission to read it."""
        return name in self.access.denied

    def get(self, name: str) -> Namespace | None:
        """A namespace; None if it was not looked at yet."""
        return self._known.get(name)

    async def find(self, name: str) -> Namespace:
        """A namespace, asked for if it is new.

        Raises:
            KubeError: if the API server does not say.
        """
        known = self._known.get(name)
        if known is None:
            try:
                known = _parsed(await self._api.request("GET", f"/api/v1/namespaces/{name}"))
            except NotFound:
                return Namespace()
            self._known[name] = known
        return known

    async def fresh(self, name: str) -> Namespace:
        """A namespace by a read that began after this call: for what cannot be undone. Those that ask together share a read.

        Raises:
            KubeError: if the API server does not say.
        """
        asked = self._begun[name]
        async with self._locks[name]:
            number, found = self._read.get(name, (0, Namespace()))
            if number <= asked:
                number = self._begun[name] = self._begun[name] + 1
                found = await self._one(name)
                self._read[name] = number, found
                before, self._known[name] = self._known.get(name), found
                if before is not None and before != found:
                    self._changed(name)
            return found

    async def refresh(self) -> None:
        """Look at all of them.

        Raises:
            KubeError: if the API server does not say; what was known stays.
        """
        try:
            fresh = await self._watched() if self.access.only else await self._all()
        except KubeError:
            self.access.answers = False
            raise
        self.access.answers = True
        before, self._known = self._known, fresh
        for name, namespace in fresh.items():
            if name in before and before[name] != namespace:
                self._changed(name)

    async def run(self) -> None:
        """Keep looking until cancelled."""

        async def turn() -> None:
            await asyncio.sleep(LOOKED_AT_EVERY)
            await self.refresh()

        await keep("namespaces", turn, expected=(KubeError,))

    async def _watched(self) -> dict[str, Namespace]:
        found: dict[str, Namespace] = {}
        problem: KubeError | None = None
        for name in self.access.only:
            try:
                found[name] = await self._one(name)
            except KubeError as error:
                if not self.access.unanswered(name, error):
                    # Which of the others are denied is found out all the same.
                    problem = error
                elif name in self._known:
                    found[name] = self._known[name]
            else:
                self.access.answered(name)
        if problem is not None:
            raise problem
        return found

    async def _one(self, name: str) -> Namespace:
        try:
            return _parsed(await self._api.request("GET", f"/api/v1/namespaces/{name}"))
        except NotFound:
            return Namespace()

    async def _all(self) -> dict[str, Namespace]:
        found: dict[str, Namespace] = {}
        token = ""
        while True:
            params = {"limit": str(_PAGE)} | ({"continue": token} if token else {})
            page = await self._api.request("GET", "/api/v1/namespaces", params=params)
            found |= {item["metadata"]["name"]: _parsed(item) for item in page["items"]}
            token = page["metadata"].get("continue", "")
            if not token:
                return found
