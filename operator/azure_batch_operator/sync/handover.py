"""Begins and ends to act for shards while the process runs (docs/decisions/0037).

A shard that arrives begins as after a restart: everything is listed after its Lease was acquired, what is remembered of its
objects is forgotten, and its accounts get new sessions, so each call again needs its proof. A shard that is left is finished first:
nothing is decided any more, calls in flight are awaited, statuses are written, and only then its Lease is released.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass

from azure_batch_operator import guard
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.kube.api import KubeError
from azure_batch_operator.kube.status import StatusWriter
from azure_batch_operator.sync.controller import Controller
from azure_batch_operator.sync.open_group import OpenGroup
from azure_batch_operator.sync.queue import Urgency, WorkQueue
from azure_batch_operator.sync.shards import Shards
from azure_batch_operator.sync.store import Store

logger = logging.getLogger(__name__)

_LOOKED_AT_EVERY = 0.1
"""Seconds between two looks whether what is in progress has ended."""
_STATUS_SECONDS = 15.0
"""Seconds for which statuses may take to be written; the next replica decides them again."""


@dataclass(frozen=True)
class Progress:
    """Where work on objects is in progress, apart from the sessions of accounts."""

    store: Store
    queue: WorkQueue[Key]
    writer: StatusWriter


class ShardHandover:
    """Takes shards over, and leaves them; both in the background.

    Args:
        list_all: compares everything with the API server.
        changed: is called when this replica acts for other shards than before.
    """

    def __init__(
        self,
        shards: Shards,
        controller: Controller,
        progress: Progress,
        list_all: Callable[[], Awaitable[int]],
        changed: Callable[[], None],
    ) -> None:
        self._shards, self._controller, self._list_all, self._changed = shards, controller, list_all, changed
        self._store, self._queue, self._writer = progress.store, progress.queue, progress.writer
        self._group = OpenGroup()
        self._ended = False
        self._waiting: set[int] = set()
        self._arriving: asyncio.Task[None] | None = None
        self._arrivals: dict[int, asyncio.Task[None]] = {}
        self._departures: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            await self._group.run()
        finally:
            self._ended = True

    def arrive(self, shards: Collection[int]) -> None:
        """Act for these shards, as soon as all objects were listed."""
        self._waiting |= set(shards)
        if self._arriving is None or self._arriving.done():
            self._arriving = self._group.start(self._arrive_all(), name="shards arrive")
        for shard in shards:
            self._arrivals[shard] = self._arriving
            self._departures.pop(shard, None)

    def leave(self, shard: int) -> None:
        """Stop acting for a shard."""
        self._departures[shard] = self._group.start(self._leave(shard), name=f"shard {shard} leaves")

    def has_left(self, shard: int) -> bool:
        """Whether nothing more goes out for a shard that was left."""
        return self._departures[shard].done()

    async def leave_all(self, within: float) -> None:
        """Stop acting, as the process ends; what takes longer than that is cut off."""
        if self._ended:
            return
        for shard in {*self._shards.acting, *self._arrivals} - self._departures.keys():
            self.leave(shard)
        if self._departures:
            await asyncio.wait(self._departures.values(), timeout=within)

    async def _arrive_all(self) -> None:
        """One list serves all shards whose Leases were acquired before it."""
        while self._waiting:
            shards = frozenset(self._waiting)
            self._waiting.clear()
            await self._arrive(shards)

    async def _arrive(self, shards: frozenset[int]) -> None:
        backoff = guard.Backoff()
        while True:
            try:
                await self._list_all()
                break
            except KubeError as error:
                logger.warning("Shards %s wait for a list of all objects: %s", _named(shards), error)
                await asyncio.sleep(backoff.failed())
        found = [resource for resource in self._objects() if self._shards.of(resource) in shards]
        for resource in found:
            self._controller.take_over(resource)
        self._shards.acting |= shards
        self._changed()
        for resource in found:
            self._queue.add(resource.key, Urgency.REFRESH)
        for shard in shards:
            self._arrivals.pop(shard, None)
        logger.info("Shards %s of %d are taken over: %d objects", _named(shards), self._shards.count, len(found))

    async def _leave(self, shard: int) -> None:
        if (arrival := self._arrivals.get(shard)) is not None:
            await asyncio.wait([arrival])
        shards = self._shards
        shards.acting.discard(shard)
        shards.leaving.add(shard)
        self._changed()
        await self._until(lambda: not self._has_any(shard, self._queue.active()))
        accounts = [account.key for account in self._store.of_kind(Kind.ACCOUNT) if shards.of(account) == shard]
        await asyncio.gather(*(self._controller.accounts.finish(key) for key in accounts))
        self._writer.hasten([key for key in self._writer.owed() if self._has_any(shard, [key])])
        with suppress(TimeoutError):
            async with asyncio.timeout(_STATUS_SECONDS):
                await self._until(lambda: not self._has_any(shard, self._writer.owed()))
        shards.leaving.discard(shard)
        for key in self._writer.owed():
            if self._has_any(shard, [key]):
                self._writer.forget(key)
        # A patch that has been sent.
        await self._until(lambda: not self._has_any(shard, self._writer.owed()))
        logger.info("Shard %d of %d is left", shard, shards.count)

    def _objects(self) -> Iterable[Resource]:
        keys = self._store.keys()
        return [found for key in keys if (found := self._store.get(key)) is not None]

    def _has_any(self, shard: int, keys: Collection[Key]) -> bool:
        """Whether one of these objects may be in a shard; of one that is gone nobody knows."""
        known = (self._store.get(key) for key in list(keys))
        return any(resource is None or self._shards.of(resource) == shard for resource in known)

    async def _until(self, done: Callable[[], bool]) -> None:
        while not done():  # noqa: ASYNC110 - what it asks has many ends, and it is seldom asked
            await asyncio.sleep(_LOOKED_AT_EVERY)


def _named(shards: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(shards)))
