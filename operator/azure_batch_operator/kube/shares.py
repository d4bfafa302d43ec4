"""How shards are divided among replicas: which of them a replica takes, and which it gives up. Pure.

All replicas decide by the same rule from the Leases that they see, so they need not talk to each other. Their views differ for a
moment: then two want the same shard, and its Lease lets one have it. No shard moves without need: a replica gives up only what is
above its share, and takes only what nobody holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Shares:
    """What a replica sees of all shards.

    Attributes:
        holders: of each shard, by its number; empty if anybody may take it.
        members: the replicas that are alive.
    """

    holders: tuple[str, ...]
    members: frozenset[str]

    def held_by(self, replica: str) -> list[int]:
        """The shards of a replica."""
        return [shard for shard, holder in enumerate(self.holders) if holder == replica]

    def share_of(self, replica: str) -> int:
        """How many shards a replica should have: as many as any other one, or one more.

        The remainder goes to those that have the most, so that it need not move.
        """
        if replica not in self.members:
            return 0
        least, rest = divmod(len(self.holders), len(self.members))
        held = Counter(self.holders)
        order = sorted(self.members, key=lambda member: (-held[member], member))
        return least + (order.index(replica) < rest)


@dataclass(frozen=True)
class Moves:
    """What a replica does next."""

    take: tuple[int, ...] = ()
    give_up: tuple[int, ...] = ()


def moves(me: str, shares: Shares, leaving: Collection[int] = ()) -> Moves:
    """What a replica does next.

    Args:
        leaving: shards that it is giving up already, and whose Leases it still holds.
    """
    mine = [shard for shard in shares.held_by(me) if shard not in leaving]
    share = shares.share_of(me)
    if len(mine) > share:
        return Moves(give_up=tuple(mine[share:]))
    free = shares.held_by("")
    # Each replica begins at another shard, so that they seldom want the same one.
    place = sorted(shares.members).index(me) if me in shares.members else 0
    begin = place * len(shares.holders) // max(1, len(shares.members))
    free.sort(key=lambda shard: (shard - begin) % len(shares.holders))
    return Moves(take=tuple(free[: share - len(mine)]))
