"""Leader election: the replica that holds the Lease reconciles. The decision is pure, the loop around it thin.

Two things keep two replicas from acting at once. Others wait a whole `duration` from when they last saw the Lease change, by
their own clock, so clocks need not agree. And the holder acts only for two thirds of it after a renewal that it has sent: the
`Fence` is asked at the last moment before anything goes out, because a process that was stopped, or whose machine was, wakes up
in the middle of what it was doing and knows nothing of the time that went by.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from azure_batch_operator.kube.api import Conflict, KubeApi, KubeError, NotFound

logger = logging.getLogger(__name__)

SHARE = 2 / 3
TURNS_PER_DURATION = 5


def now() -> float:
    """Seconds that go on while the process, or the machine, sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(frozen=True)
class Lease:
    """What matters of a coordination.k8s.io/v1 Lease."""

    holder: str
    duration: float
    transitions: int
    version: str
    renewed: str = ""
    acquired: str = ""

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Lease:
        """From the API server."""
        spec = body.get("spec") or {}
        return cls(
            holder=spec.get("holderIdentity") or "",
            duration=float(spec.get("leaseDurationSeconds") or 0),
            transitions=int(spec.get("leaseTransitions") or 0),
            version=body["metadata"]["resourceVersion"],
            renewed=spec.get("renewTime") or "",
            acquired=spec.get("acquireTime") or "",
        )

    def body(self, namespace: str, name: str) -> dict[str, Any]:
        """For the API server."""
        metadata = {"namespace": namespace, "name": name} | ({"resourceVersion": self.version} if self.version else {})
        spec = {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": math.ceil(self.duration),
            "leaseTransitions": self.transitions,
            "acquireTime": self.acquired or None,
            "renewTime": self.renewed or None,
        }
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


class Move(Enum):
    """What to do about the Lease."""

    CREATE = "create"
    TAKE = "take"
    RENEW = "renew"
    WAIT = "wait"


def decide(lease: Lease | None, me: str, unchanged_for: float, duration: float) -> Move:
    """What a replica does.

    Args:
        lease: as the API server shows it; None if there is none.
        unchanged_for: seconds since this replica saw it change, by its own clock.
        duration: seconds that this replica's own Lease would last. A holder that has renewed acts for its own, whatever somebody
            has made of the Lease since, so the longer of the two counts.
    """
    if lease is None:
        return Move.CREATE
    if lease.holder == me:
        return Move.RENEW
    if not lease.holder or unchanged_for > max(lease.duration, duration):
        return Move.TAKE
    return Move.WAIT


def held(lease: Lease | None, me: str, duration: float, stamp: str) -> Lease:
    """The Lease as it is to be written by the one that takes or renews it; `stamp` is the time in RFC 3339."""
    if lease is None:
        return Lease(me, duration, 0, "", stamp, stamp)
    if lease.holder == me:
        return replace(lease, duration=duration, renewed=stamp)
    return replace(
        lease, holder=me, duration=duration, transitions=lease.transitions + 1, renewed=stamp, acquired=stamp
    )


class Fence:
    """Whether this process may still act; asked before everything that goes out.

    Args:
        expired: is called, once, when it is asked after its time. It must end the process: what was decided before the pause
            is no longer true.
    """

    def __init__(self, expired: Callable[[], None], clock: Callable[[], float] = now) -> None:
        self._expired, self._clock = expired, clock
        self._until: float | None = None

    @property
    def open(self) -> bool:
        """Whether it may."""
        return self._until is not None and self._clock() < self._until

    def extend(self, until: float) -> None:
        """Allow it up to a time of the clock."""
        self._until = until

    def check(self) -> None:
        """Call `expired` if the time is over."""
        if self._until is not None and not self.open:
            self._until = None
            self._expired()


class Elector:
    """Takes the Lease and keeps it.

    Args:
        me: unique to this process, also among its own restarts.
        duration: seconds that others wait for a holder that says nothing.
        fence: extended with each renewal.
    """

    def __init__(
        self,
        api: KubeApi,
        namespace: str,
        name: str,
        me: str,
        duration: float,
        fence: Fence,
        clock: Callable[[], float] = now,
    ) -> None:
        self._api, self._namespace, self._name = api, namespace, name
        self._me, self._duration, self._fence, self._clock = me, duration, fence, clock
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._seen: Lease | None = None
        self._seen_at = clock()
        self._leader = ""
        self._sure = False

    async def acquire(self) -> None:
        """Return when this process holds the Lease."""
        while True:
            if await self._turn():
                return
            await asyncio.sleep(self._duration / TURNS_PER_DURATION * random.uniform(0.8, 1.2))  # noqa: S311

    async def keep(self) -> None:
        """Renew forever; once that has failed for too long, or another one has it, the fence ends the process."""
        while True:
            await asyncio.sleep(self._duration / TURNS_PER_DURATION)
            if not await self._turn() and self._leader not in {self._me, ""}:
                logger.error("The Lease is now held by %s", self._leader)
                self._fence.extend(self._clock())
            self._fence.check()

    async def release(self) -> None:
        """Let another one have it at once; for a process that has finished."""
        lease = self._seen
        if lease is None or lease.holder != self._me:
            return
        try:
            await self._write(replace(lease, holder="", duration=1.0))
        except KubeError as error:
            logger.info("The Lease could not be released; it expires by itself: %s", error)

    async def _turn(self) -> bool:
        """One look and what follows from it; whether this process holds the Lease now."""
        try:
            async with asyncio.timeout(self._duration / 3):
                return await self._look_and_act()
        except (Conflict, NotFound):
            self._sure = False
        except (KubeError, TimeoutError) as error:
            logger.warning("The Lease %s/%s could not be renewed: %r", self._namespace, self._name, error)
        return False

    async def _look_and_act(self) -> bool:
        # One's own Lease need not be read: if somebody has changed it, the write is a conflict.
        lease = self._seen if self._sure else await self._read()
        if lease != self._seen:
            self._seen, self._seen_at = lease, self._clock()
        move = decide(lease, self._me, self._clock() - self._seen_at, self._duration)
        self._leader = lease.holder if lease else ""
        if move is Move.WAIT:
            return False
        # The fence counts from before the request: others count from when they see it, which is later.
        began = self._clock()
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self._seen = await self._write(held(lease, self._me, self._duration, stamp))
        self._seen_at, self._leader, self._sure = began, self._me, True
        self._fence.extend(began + self._duration * SHARE)
        if move is not Move.RENEW:
            logger.info("%s is now the leader", self._me)
        return True

    async def _read(self) -> Lease | None:
        try:
            return Lease.parse(await self._api.request("GET", f"{self._path}/{self._name}"))
        except NotFound:
            return None

    async def _write(self, lease: Lease) -> Lease:
        body = lease.body(self._namespace, self._name)
        method, path = ("PUT", f"{self._path}/{self._name}") if lease.version else ("POST", self._path)
        return Lease.parse(await self._api.request(method, path, body=body, fenced=False))
