"""Objects as they stand, for a view that is shown live: one list, then only what changes.

A list of a whole cluster every two seconds would send all specs and statuses each time. A watch sends an object when it changes,
and of each object only what is shown is kept; tests/unit/kubectl/test_watching.py counts calls and bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
from kubernetes.aio.client.exceptions import ApiException

from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.objects import Object
from azure_batch_operator.api.kinds import Kind

PAUSE = 1.0
"""Seconds before another try where the API server does not answer; twice as long after each."""
_MAX_PAUSE = 30.0
_TOO_OLD = 410
_MAX_TOO_OLD = 8
"""Lists in a row that are too old at once to be watched: then it is no use to make another one."""
_MAX_DOUBLINGS = 8


class Watched:
    """The objects of a kind, cut down to what is shown."""

    def __init__(self, cluster: Cluster, kind: Kind, keep: Callable[[Object], Object], *, everywhere: bool) -> None:
        self._cluster = cluster
        self._kind = kind
        self._keep = keep
        self._everywhere = everywhere
        self._version = ""
        self._found: dict[str, Object] = {}
        self._failures = 0
        self._too_old = 0
        self.listed = asyncio.Event()

    @property
    def objects(self) -> list[Object]:
        """As they stand."""
        return [*self._found.values()]

    async def run(self) -> None:
        """Keep them as they are in the cluster, until it is canceled.

        Raises:
            ApiException: they may not be listed or watched, or each list is too old at once.
        """
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._follow()
                # The API server ends each watch after a while; what ends it at once must not be asked without a pause.
                self._works()
                await asyncio.sleep(PAUSE)
            except ApiException as error:
                # An outage ends with a version that is too old, however long it was: the two are counted apart.
                if error.status == _TOO_OLD and self._too_old < _MAX_TOO_OLD:
                    self._version = ""
                    self._too_old += 1
                elif error.status != 429 and (error.status or 500) < 500:
                    raise
                await self._wait()
            except (aiohttp.ClientError, TimeoutError):
                await self._wait()

    async def _wait(self) -> None:
        """Wait after a failure, longer after each that follows another one without an event between."""
        await asyncio.sleep(min(PAUSE * 2**self._failures, _MAX_PAUSE))
        self._failures = min(self._failures + 1, _MAX_DOUBLINGS)

    def _works(self) -> None:
        self._failures = self._too_old = 0

    async def _list(self) -> None:
        found: dict[str, Object] = {}
        version = ""
        async for page in self._cluster.pages(self._kind, everywhere=self._everywhere):
            version = page["metadata"]["resourceVersion"]
            found |= {each["metadata"]["uid"]: self._keep({"kind": self._kind.value, **each}) for each in page["items"]}
        self._found, self._version = found, version
        self.listed.set()

    async def _follow(self) -> None:
        async for type_, thing in self._cluster.events(self._kind, self._version, everywhere=self._everywhere):
            metadata: dict[str, Any] = thing["metadata"]
            self._works()
            if type_ == "DELETED":
                self._found.pop(metadata["uid"], None)
            elif type_ != "BOOKMARK":
                self._found[metadata["uid"]] = self._keep(thing)
            self._version = metadata["resourceVersion"]
