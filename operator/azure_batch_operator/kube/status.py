"""The one writer of status: latest wins, only what changed, a bounded number of requests at once, patient with a busy API server.

Reconcilers hand over the whole status that an object should have. What goes out is the merge patch from the status that the API
server last showed, so an unchanged status costs nothing, and several changes between two requests cost one.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from prometheus_client import Counter

from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch.redaction import safe
from azure_batch_operator.kube.api import Busy, Conflict, Invalid, KubeApi, KubeError, NotFound

logger = logging.getLogger(__name__)

WRITES = Counter("azurebatch_status_writes_total", "Status patches sent to the API server", ["kind", "outcome"])
_LONGEST_WAIT = 30.0


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """JSON merge patch (RFC 7386) that turns `old` into `new`: removed members become null, lists are replaced whole."""
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            if inner := merge_patch(before, value):
                patch[name] = inner
        elif value != before or name not in old:
            patch[name] = value
    return patch


@dataclass(slots=True)
class _Wanted:
    uid: str
    status: Mapping[str, Any]


class StatusWriter:
    """Brings the API server's view of statuses to what the reconcilers want.

    Args:
        api: the API server.
        known: what the API server last showed of an object.
        learned: is told of each object as it is after a patch.
        in_flight: most requests at once.
    """

    def __init__(
        self,
        api: KubeApi,
        known: Callable[[Key], Resource | None],
        learned: Callable[[Resource], None],
        in_flight: int = 16,
    ) -> None:
        self._api = api
        self._known = known
        self._learned = learned
        self._in_flight = in_flight
        self._wanted: dict[Key, _Wanted] = {}
        self._busy: dict[Key, _Wanted] = {}
        self._queue: asyncio.Queue[Key] = asyncio.Queue()
        self._idle = asyncio.Event()
        self._idle.set()

    def write(self, resource: Resource, status: Mapping[str, Any]) -> None:
        """Make `status` the status of the object; returns at once."""
        key = resource.key
        # Handled one-shot annotations are compared with what the user wrote.
        status = safe(status, raw=("handled",))
        if key not in self._wanted and key not in self._busy and not merge_patch(resource.status, status):
            return
        queued = key in self._wanted
        self._wanted[key] = _Wanted(resource.uid, status)
        self._idle.clear()
        if not queued and key not in self._busy:
            self._queue.put_nowait(key)

    def decided(self, resource: Resource) -> Resource:
        """The object with the status that it is about to get, so that nothing is decided twice while that is being written."""
        pending = self._wanted.get(resource.key) or self._busy.get(resource.key)
        if pending is None or pending.uid != resource.uid:
            return resource
        return replace(resource, status=pending.status)

    @property
    def waiting(self) -> int:
        """Objects whose status is not written yet."""
        return len(self._wanted)

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._in_flight):
                group.create_task(self._work())

    async def drain(self, seconds: float) -> None:
        """Wait until all is written, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            logger.warning("%d statuses were not written before the end", len(self._wanted))

    async def _work(self) -> None:
        failures = 0
        while True:
            key = await self._queue.get()
            wanted = self._wanted.pop(key, None)
            if wanted is None:
                continue
            self._busy[key] = wanted
            try:
                failures = 0 if await self._write(key, wanted) else failures + 1
            finally:
                del self._busy[key]
            if key in self._wanted:
                self._queue.put_nowait(key)
            elif not self._wanted and not self._busy:
                self._idle.set()
            if failures:
                await asyncio.sleep(random.uniform(0, min(_LONGEST_WAIT, 0.25 * 2**failures)))  # noqa: S311

    async def _write(self, key: Key, wanted: _Wanted) -> bool:
        """Send one patch; False if the API server was busy and the status waits for its next turn."""
        known = self._known(key)
        if known is None or known.uid != wanted.uid:
            return True
        patch = merge_patch(known.status, wanted.status)
        if not patch:
            return True
        try:
            answer = await self._api.patch_status(key, wanted.uid, patch)
        except (NotFound, Conflict):
            self._count(key, "gone")
        except Invalid as error:
            self._count(key, "invalid")
            logger.error("The API server refuses the status of %s: %s", key, error)  # noqa: TRY400
        except Busy as error:
            self._count(key, "busy")
            logger.warning("Status of %s waits for the API server: %s", key, error)
            self._wanted.setdefault(key, wanted)
            await asyncio.sleep(error.retry_after or 0)
            return False
        except KubeError as error:
            self._count(key, "refused")
            logger.error("Status of %s was not written: %s", key, error)  # noqa: TRY400
        else:
            self._count(key, "written")
            self._learned(Resource.parse(answer))
        return True

    @staticmethod
    def _count(key: Key, outcome: str) -> None:
        WRITES.labels(key.kind, outcome).inc()
