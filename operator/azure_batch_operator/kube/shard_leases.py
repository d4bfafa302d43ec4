"""Leases of shards: each replica holds as many as its share, and acts for the accounts of those (docs/decisions/0037).

Three kinds of Leases, all by the protocol of `kube.leases`:

- one per shard: its holder acts for the accounts of the shard;
- one per live replica, by which all others count it; there are as many as shards, since more replicas would have nothing to do;
- the one that leader election uses, held by all replicas together in the name of their number of shards. A replica with another
  number, or one that elects a leader, would divide the accounts differently: it stands by as long as this Lease is renewed.

A replica acts only while all Leases that it holds are fresh. What was decided before one expired is no longer true, so the fence
ends the process, as it ends a leader. Shards that are given up on purpose are left first (`Handover`), and only then released.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from azure_batch_operator.kube.api import AlreadyExists, Conflict, KubeApi, KubeError, NotFound
from azure_batch_operator.kube.leases import SHARE, TURNS_PER_DURATION, Fence, Lease, Move, decide, held, now
from azure_batch_operator.kube.shares import Shares, moves

logger = logging.getLogger(__name__)

LABEL = "azurebatch.io/lease-of"
"""Of the Leases of shards and replicas, so that one list finds them; the value is the name in the settings."""
_TRIES = 5


class Handover(Protocol):
    """Begins and ends to act for shards, in the background."""

    def arrive(self, shards: Collection[int]) -> None:
        """Their Leases are held: begin to act."""

    def leave(self, shard: int) -> None:
        """Decide nothing more about its objects, and finish what is in progress."""

    def has_left(self, shard: int) -> bool:
        """Whether nothing more goes out for it."""


@dataclass(frozen=True)
class Ring:
    """What all replicas have in common.

    Attributes:
        name: of the Lease of leader election, from which the other names are made.
        count: the number of shards.
        duration: seconds that others wait for a holder that says nothing.
    """

    namespace: str
    name: str
    count: int
    duration: float

    @property
    def plan(self) -> str:
        """Who holds the common Lease."""
        return f"{self.count}-shards"

    def shard(self, number: int) -> str:
        """Name of the Lease of a shard."""
        return f"{self.name}-shard-{number}"

    def member(self, number: int) -> str:
        """Name of the Lease of a replica."""
        return f"{self.name}-member-{number}"

    @property
    def members(self) -> list[str]:
        """Names of the Leases of replicas."""
        return [self.member(number) for number in range(self.count)]


class ShardKeeper:
    """Takes Leases, keeps them, and releases what is above the share of this replica.

    Args:
        me: unique to this process, also among its own restarts.
        fence: extended to when the first of all held Leases must be renewed.
    """

    def __init__(self, api: KubeApi, ring: Ring, me: str, fence: Fence, clock: Callable[[], float] = now) -> None:
        self._api, self._ring, self._me, self._fence, self._clock = api, ring, me, fence, clock
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{ring.namespace}/leases"
        self._known: dict[str, tuple[Lease | None, float]] = {}
        """By name: a Lease as it was seen last, and when it was seen to change."""
        self._deadlines: dict[str, float] = {}
        """By name of a held Lease: until when it lets this replica act."""
        self._unlisted: set[str] = set()
        """Names of Leases that exist and that the list lacks, since somebody has taken the label off."""
        self._refused: dict[str, tuple[float, float]] = {}
        """By name of a Lease that this replica wants and does not get: since when, and when it last tried."""
        self._slot: str | None = None
        self._held: set[int] = set()
        self._leaving: set[int] = set()
        self._handover: Handover | None = None

    @property
    def held(self) -> Collection[int]:
        """Shards whose Leases this replica holds."""
        return frozenset(self._held)

    def hand_over_by(self, handover: Handover | None) -> None:
        """From now on take and give up shards; without a handover only keep what is held."""
        self._handover = handover

    async def acquire(self) -> None:
        """Return when this replica may take shards: all others have the same number of them, and there is room for it."""
        while not await self._turn() or not self._has_room():
            self._fence.check()
            await asyncio.sleep(self._ring.duration / TURNS_PER_DURATION * random.uniform(0.8, 1.2))  # noqa: S311

    def _has_room(self) -> bool:
        ring = self._ring
        free = any(self._holder(name) in {"", self._me} for name in ring.members)
        return free and self._move(ring.name) is not Move.WAIT

    async def keep(self) -> None:
        """Renew, take and give up forever; a Lease that cannot be renewed, or that another one has, ends the process."""
        while True:
            # Not all at the same time: they write the common Lease.
            await asyncio.sleep(self._ring.duration / TURNS_PER_DURATION * random.uniform(0.8, 1.2))  # noqa: S311
            await self._turn()
            self._fence.check()

    async def release(self) -> None:
        """Let others have everything at once; for a process that has finished."""
        own = [self._ring.shard(shard) for shard in sorted(self._held)] + [self._slot] * (self._slot is not None)
        self._held.clear()
        try:
            for name in filter(None, own):
                await self._let_go(name)
            await self._look()
            if not any(self._holder(name) for name in self._ring.members):
                # Replicas with another number of shards need not wait. One that has joined meanwhile has renewed it: a conflict.
                await self._let_go(self._ring.name)
        except KubeError as error:
            logger.info("Leases could not be released; they expire by themselves: %s", error)

    # --- one turn ---

    async def _turn(self) -> bool:
        """Look, and do what follows from it; whether that worked."""
        try:
            async with asyncio.timeout(self._ring.duration / 3):
                await self._look_and_act()
        except (KubeError, TimeoutError) as error:
            logger.warning("The Leases of %s/%s could not be renewed: %r", self._ring.namespace, self._ring.name, error)
            return False
        return True

    async def _look_and_act(self) -> None:
        ring = self._ring
        await self._look()
        for name in self._deadlines:
            if (holder := self._holder(name)) not in {self._owner(name), ""}:
                logger.error("Lease %s is now held by %s", name, holder)
                self._fence.extend(self._clock())
                return
        if self._move(ring.name) is Move.WAIT:
            return
        own = list(map(ring.shard, self._held))
        if self._slot is not None:
            own.append(self._slot)
        elif self._handover is None:
            # Whoever is counted is left shards: not before this replica can take them.
            return
        elif (slot := await self._first_of(ring.members)) is not None:
            self._slot = slot
        else:
            return
        # The common one after that of this replica: whoever releases it for all must see that there is one left.
        await self._renew(own)
        await self._take_common()
        self._extend()
        if self._handover is not None and ring.name in self._deadlines:
            await self._divide(self._handover)

    async def _renew(self, names: Iterable[str]) -> None:
        for result in await asyncio.gather(*map(self._take, names), return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _take_common(self) -> None:
        """Take or renew the Lease that all replicas write: a conflict may be one with another of them."""
        for _ in range(_TRIES):
            if await self._take(self._ring.name):
                return
            await self._look()
            if self._move(self._ring.name) is Move.WAIT:
                return

    async def _divide(self, handover: Handover) -> None:
        ring = self._ring
        for shard in [shard for shard in self._leaving if handover.has_left(shard)]:
            self._leaving.discard(shard)
            self._held.discard(shard)
            await self._let_go(ring.shard(shard))
            logger.info("Shard %d of %d is released", shard, ring.count)
        shares = self._shares()
        # Taken by a request whose response was lost.
        wanted = [shard for shard in shares.held_by(self._me) if shard not in self._held]
        if not wanted:
            next_ = moves(self._me, shares, self._leaving)
            wanted = list(next_.take)
            for shard in next_.give_up:
                logger.info("Shard %d of %d is given up, as other replicas have less", shard, ring.count)
                self._leaving.add(shard)
                handover.leave(shard)
        taken: list[int] = []
        try:
            for shard in wanted:
                if await self._take(ring.shard(shard)):
                    self._held.add(shard)
                    taken.append(shard)
                    self._extend()
                    logger.info("Shard %d of %d: this replica has acquired its Lease", shard, ring.count)
        finally:
            # Also if the turn is cut off. Together, since all objects are listed for each arrival.
            if taken:
                handover.arrive(taken)

    def _shares(self) -> Shares:
        holders = tuple(self._holder(self._ring.shard(shard)) for shard in range(self._ring.count))
        return Shares(holders, frozenset(filter(None, map(self._holder, self._ring.members))) | {self._me})

    def _extend(self) -> None:
        if self._deadlines:
            self._fence.extend(min(self._deadlines.values()))

    # --- Leases ---

    def _owner(self, name: str) -> str:
        return self._ring.plan if name == self._ring.name else self._me

    def _move(self, name: str) -> Move:
        lease, since = self._known.get(name, (None, self._clock()))
        return decide(lease, self._owner(name), self._clock() - since, self._ring.duration)

    def _holder(self, name: str) -> str:
        """Who holds a Lease; empty if anybody may take it."""
        lease, _ = self._known.get(name, (None, 0.0))
        free = lease is None or self._move(name) in {Move.CREATE, Move.TAKE}
        return "" if lease is None or free else lease.holder

    async def _look(self) -> None:
        """Read all Leases."""
        ring, found = self._ring, dict[str, Lease]()
        selected = {"labelSelector": f"{LABEL}={ring.name}"}
        for body in (await self._api.request("GET", self._path, params=selected))["items"]:
            found[body["metadata"]["name"]] = Lease.parse(body)
        found.pop(ring.name, None)
        self._unlisted -= found.keys()
        for name in self._names():
            lease = found.get(name)
            known, _ = self._known.get(name, (None, 0.0))
            if lease is None and (name == ring.name or known is not None or name in self._unlisted):
                # The common one has no label. Another one is gone, or has lost it, which is no reason to think that it is free.
                await self._read(name)
            else:
                self._learn(name, lease)

    async def _read(self, name: str) -> None:
        """Read a Lease that the list lacks; whoever writes it next puts the label on."""
        try:
            self._learn(name, Lease.parse(await self._api.request("GET", f"{self._path}/{name}")))
        except NotFound:
            self._learn(name, None)
            self._unlisted.discard(name)
        else:
            self._unlisted.add(name)

    def _learn(self, name: str, lease: Lease | None) -> None:
        if name not in self._known or self._known[name][0] != lease:
            self._known[name] = lease, self._clock()

    def _names(self) -> Iterable[str]:
        ring = self._ring
        return [ring.name, *ring.members, *(ring.shard(shard) for shard in range(ring.count))]

    async def _first_of(self, names: Iterable[str]) -> str | None:
        """The first of these Leases that can be had."""
        for name in names:
            if self._holder(name) in {"", self._me} and await self._take(name):
                return name
        return None

    async def _take(self, name: str) -> bool:
        """Take or renew a Lease; False if somebody else was faster.

        Raises:
            KubeError: if the API server does not say.
        """
        began = self._clock()
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        lease, _ = self._known.get(name, (None, began))
        try:
            written = await self._write(name, held(lease, self._owner(name), self._ring.duration, stamp))
        except AlreadyExists as error:
            self._note(name, error)
            await self._read(name)
            return False
        except Conflict as error:
            # The next look says who.
            self._note(name, error)
            return False
        self._refused.pop(name, None)
        self._known[name] = written, began
        # From before the request: others count from when they see it, which is later.
        self._deadlines[name] = began + self._ring.duration * SHARE
        return True

    def _note(self, name: str, error: Conflict) -> None:
        """Somebody else was faster, which is normal once, and not for a whole duration."""
        now, duration = self._clock(), self._ring.duration
        since, tried = self._refused.get(name, (now, now))
        if now - tried > duration / 2:
            since = now
        if now - since >= duration:
            place = f"{self._ring.namespace}/{name}"
            logger.warning(
                "Lease %s could not be written for %.0f s, since it changes meanwhile: %s", place, duration, error
            )
            since = now
        self._refused[name] = since, now

    async def _let_go(self, name: str) -> None:
        self._deadlines.pop(name, None)
        lease, _ = self._known.get(name, (None, 0.0))
        if lease is None or lease.holder != self._owner(name):
            return
        try:
            self._known[name] = await self._write(name, replace(lease, holder="", duration=1.0)), self._clock()
        except Conflict:
            return

    async def _write(self, name: str, lease: Lease) -> Lease:
        body = lease.body(self._ring.namespace, name)
        if name != self._ring.name:
            body["metadata"]["labels"] = {LABEL: self._ring.name}
        method, path = ("PUT", f"{self._path}/{name}") if lease.version else ("POST", self._path)
        return Lease.parse(await self._api.request(method, path, body=body, fenced=False))
