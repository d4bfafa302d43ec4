"""The only writer of statuses: the latest one wins, only changes are written, few requests run at once, and failures are retried.

Reconcilers hand over the whole status that an object should have. What goes out is the merge patch from the status that the API
server last showed, so an unchanged status costs nothing, and several changes between two requests cost one.

A status is owed until the API server has taken it or the object is gone. Whatever the refusal was (a missing right, a webhook, a
conflict, a restart), the status is written when the cause has ended; each object backs off on its own.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from prometheus_client import Counter

from azure_batch_operator import guard
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch.redaction import safe
from azure_batch_operator.kube.api import Busy, Invalid, KubeApi, KubeError, NotFound
from azure_batch_operator.logs import Few

logger = logging.getLogger(__name__)

WRITES = Counter("azurebatch_status_writes_total", "Status patches sent to the API server", ["kind", "outcome"])
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_DENIED_WAIT = 600.0
"""Seconds at most between attempts in a namespace that is denied; once it is permitted again, nothing waits (`resume`)."""
_LONGEST_RETRY_AFTER = 60.0
"""Seconds. A status that is a minute late is wrong for a minute, so no response delays it longer."""


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
    waiters: list[asyncio.Future[None]] = field(default_factory=list)


class StatusWriter:
    """Brings the API server's view of statuses to what the reconcilers want.

    Args:
        api: the API server.
        known: what the API server last showed of an object.
        learned: is told of each object as it was before a patch and as it is after it.
        in_flight: most requests at once.
        denied: whether the operator has no permission in a namespace.
    """

    def __init__(
        self,
        api: KubeApi,
        known: Callable[[Key], Resource | None],
        learned: Callable[[Resource, Resource], None],
        in_flight: int = 16,
        denied: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._api = api
        self._known = known
        self._learned = learned
        self._in_flight, self._denied = in_flight, denied
        self._wanted: dict[Key, _Wanted] = {}
        self._busy: dict[Key, _Wanted] = {}
        self._few = Few()
        self._refusals: dict[Key, tuple[str, int]] = {}
        """Uid and number of refusals in a row of objects whose status is owed."""
        self._queue: asyncio.Queue[Key] = asyncio.Queue()
        self._delayed: dict[Key, asyncio.TimerHandle] = {}
        """What queues objects later whose status is owed: after a refusal, or since somebody else writes it, too."""
        self._patient: set[Key] = set()
        """Those of them whose status waits since somebody else writes it, too."""
        self._idle = asyncio.Event()
        self._idle.set()

    def write(self, resource: Resource, status: Mapping[str, Any], *, after: float = 0.0) -> None:
        """Make `status` the status of the object; returns at once.

        Args:
            after: seconds to wait before that; a status that is decided meanwhile is written at once.
        """
        wanted = self._wanted_of(resource, status)
        if wanted is not None:
            self._want(resource.key, wanted, after)

    def hasten(self, keys: Collection[Key]) -> None:
        """Write at once what waits since somebody else writes it, too."""
        for key in self._patient.intersection(keys):
            self._queue_after(key, 0.0)

    async def write_first(self, resource: Resource, status: Mapping[str, Any]) -> None:
        """Make `status` the status of the object, and wait until the API server has taken it.

        Raises:
            KubeError: if the first attempt is refused; the status stays owed.
        """
        wanted = self._wanted_of(resource, status)
        if wanted is None:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        wanted.waiters.append(done)
        self._want(resource.key, wanted)
        await done

    def _wanted_of(self, resource: Resource, status: Mapping[str, Any]) -> _Wanted | None:
        """What is to be written; None if the API server has it already."""
        key = resource.key
        # Handled one-shot annotations are compared with what the user wrote.
        status = safe(status, raw=("handled",))
        if key not in self._wanted and key not in self._busy and not merge_patch(resource.status, status):
            return None
        return _Wanted(resource.uid, status)

    def decided(self, resource: Resource) -> Resource:
        """The object with the status that it is about to get, so that nothing is decided twice while that is being written."""
        pending = self._wanted.get(resource.key) or self._busy.get(resource.key)
        if pending is None or pending.uid != resource.uid:
            return resource
        return replace(resource, status=pending.status)

    def owes(self, key: Key) -> bool:
        """Whether a status of this object is on its way, so that what the API server shows may be older or newer."""
        return key in self._wanted or key in self._busy

    def owed(self) -> Collection[Key]:
        """Objects whose status is not written yet, or is being written."""
        return {*self._wanted, *self._busy}

    def forget(self, key: Key) -> None:
        """A status that is not being written yet never will be: another replica decides about the object."""
        wanted = self._wanted.pop(key, None)
        if wanted is None:
            return
        self._refusals.pop(key, None)
        self._cancel(key)
        self._answer(wanted, NotFound("another replica reconciles the object", 404))
        if not self._wanted and not self._busy:
            self._idle.set()

    def resume(self, namespace: str) -> None:
        """The operator has permission in a namespace again: what is owed there is written now."""
        for key in [key for key in self._delayed if key.namespace == namespace]:
            self._refusals.pop(key, None)
            self._queue_after(key, 0.0)

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
        self.hasten(self._patient)
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            logger.warning("%d statuses were not written before shutdown", len(self._wanted))

    def _want(self, key: Key, wanted: _Wanted, after: float = 0.0) -> None:
        before = self._wanted.get(key)
        if before is not None:
            # One who waits for an older status waits for the newer one, which takes its place.
            wanted.waiters += before.waiters
        self._wanted[key] = wanted
        self._idle.clear()
        if before is None and key not in self._busy:
            self._queue_after(key, after, patient=after > 0)
        elif before is not None and key in self._patient and (wanted.waiters or wanted.status != before.status):
            self._queue_after(key, 0.0)

    def _queue_after(self, key: Key, wait: float, *, patient: bool = False) -> None:
        """Queue an object whose status is owed and that is not in the queue."""
        self._cancel(key)
        if patient:
            self._patient.add(key)
        if wait:
            self._delayed[key] = asyncio.get_running_loop().call_later(wait, self._queue_after, key, 0.0)
        else:
            self._queue.put_nowait(key)

    def _cancel(self, key: Key) -> None:
        self._patient.discard(key)
        if (timer := self._delayed.pop(key, None)) is not None:
            timer.cancel()

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            wanted = self._wanted.pop(key, None)
            if wanted is None:
                continue
            self._busy[key] = wanted
            refusal: Exception | None = None
            stored = False
            wait = 0.0
            try:
                stored = await self._write(key, wanted)
            except KubeError as error:
                # Also a 404: only the watch says that an object is gone, and then nothing is owed.
                refusal, wait = error, self._refused(key, wanted, error)
            except (Exception, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and guard.is_ending():
                    raise
                # A status that cannot even be sent is one object's; the others are written all the same.
                guard.report("status", key, error)
                self._count(key, "bug")
                # Those who wait for this write are not cancelled themselves.
                refusal = error if isinstance(error, Exception) else KubeError("the write was cancelled")
                wait = self._refused(key, wanted, KubeError(str(error)))
            finally:
                del self._busy[key]
            self._answer(wanted, refusal if refusal is not None or stored else NotFound("the object is gone", 404))
            if refusal is None:
                self._refusals.pop(key, None)
            elif key not in self._wanted:
                self._wanted[key] = _Wanted(wanted.uid, wanted.status)
            self._next(key, wait)

    def _next(self, key: Key, wait: float) -> None:
        """Queue what is still wanted of an object, at once or after its backoff."""
        if key not in self._wanted:
            if not self._wanted and not self._busy:
                self._idle.set()
        else:
            self._queue_after(key, wait)

    def _refused(self, key: Key, wanted: _Wanted, error: KubeError) -> float:
        """Count and log a refusal; seconds until the next attempt."""
        uid, number = self._refusals.get(key, (wanted.uid, 0))
        number = number + 1 if uid == wanted.uid else 1
        self._refusals[key] = (wanted.uid, number)
        self._count(key, "busy" if isinstance(error, Busy) else "invalid" if isinstance(error, Invalid) else "refused")
        if number == 1:
            what = f"statuses of {key.kind} objects that were not written: {type(error).__name__}"
            level = self._few.level(logging.WARNING, (key.kind, type(error).__name__), what, key)
            logger.log(level, "Status of %s was not written, and is retried: %s", key, error)
        longest = _DENIED_WAIT if self._denied(key.namespace) else _LONGEST_WAIT
        ceiling = min(longest, _FIRST_WAIT * 2.0 ** min(number, 30))
        asked = min(error.retry_after or 0.0, _LONGEST_RETRY_AFTER)
        return max(asked, random.uniform(ceiling / 2, ceiling))  # noqa: S311

    @staticmethod
    def _answer(wanted: _Wanted, refusal: Exception | None) -> None:
        for waiter in wanted.waiters:
            if waiter.done():
                continue
            if refusal is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(refusal)

    async def _write(self, key: Key, wanted: _Wanted) -> bool:
        """Send one patch, if one is needed; False if the object is gone.

        Raises:
            KubeError: if the API server did not take it.
        """
        known = self._known(key)
        if known is None or known.uid != wanted.uid:
            return False
        patch = merge_patch(known.status, wanted.status)
        if not patch:
            return True
        answer = await self._api.patch_status(key, wanted.uid, patch)
        self._count(key, "written")
        self._learned(known, Resource.parse(answer))
        return True

    @staticmethod
    def _count(key: Key, outcome: str) -> None:
        WRITES.labels(key.kind, outcome).inc()
