"""How shards are divided: balanced, without a move that is not needed, and in a few rounds, whatever the replicas begin with."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_batch_operator.kube.shares import Moves, Shares, moves

NAMES = ("a", "b", "c", "d", "e")


def shares(holders: str, members: str) -> Shares:
    """`-` is nobody."""
    return Shares(tuple("" if each == "-" else each for each in holders), frozenset(members))


@pytest.mark.parametrize(
    ("holders", "members", "me", "leaving", "take", "give_up"),
    [
        ("----", "a", "a", (), (0, 1, 2, 3), ()),
        ("----", "ab", "a", (), (0, 1), ()),
        ("----", "ab", "b", (), (2, 3), ()),
        ("aaaa", "ab", "a", (), (), (2, 3)),
        ("aaaa", "ab", "b", (), (), ()),
        ("aaaa", "ab", "a", (2, 3), (), ()),
        ("aa--", "ab", "a", (), (), ()),
        ("aa--", "ab", "b", (), (2, 3), ()),
        # A dead one has left its shards; three are for two.
        ("ab-", "ab", "a", (), (2,), ()),
        ("ab-", "ab", "b", (), (), ()),
        # The one with more keeps it.
        ("aabbb", "ab", "a", (), (), ()),
        ("aabbb", "ab", "b", (), (), ()),
        ("aabb", "abc", "a", (), (), ()),
        ("aabb", "abc", "b", (), (), (3,)),
        # More replicas than shards.
        ("ab", "abc", "c", (), (), ()),
        # One that nobody counts takes nothing, and gives up what it has.
        ("--", "b", "a", (), (), ()),
        ("a-", "b", "a", (), (), (0,)),
    ],
)
def test_moves(
    holders: str, members: str, me: str, leaving: tuple[int, ...], take: tuple[int, ...], give_up: tuple[int, ...]
) -> None:
    assert moves(me, shares(holders, members), leaving) == Moves(take, give_up)


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Shards with any holders, dead ones included, and the replicas that live."""
    count = draw(st.integers(2, 20))
    holders = draw(st.lists(st.sampled_from(("", *NAMES)), min_size=count, max_size=count))
    return holders, draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))


@given(situations(), st.randoms(use_true_random=False))
def test_shards_come_to_rest_balanced_and_no_more_of_them_move_than_must(
    situation: tuple[list[str], list[str]], chance: object
) -> None:
    holders, members = situation
    # The Leases of the dead have expired.
    holders = [holder if holder in members else "" for holder in holders]
    before = list(holders)
    for _ in range(4 * len(holders)):
        order = sorted(members, key=lambda _: chance.random())  # type: ignore[attr-defined]
        moved = False
        for me in order:
            next_ = moves(me, Shares(tuple(holders), frozenset(members)))
            for shard in next_.take:
                assert holders[shard] == "", "taken from another one"
                holders[shard] = me
            for shard in next_.give_up:
                assert holders[shard] == me
                holders[shard] = ""
            moved = moved or next_ != Moves()
        if not moved:
            break
    else:
        raise AssertionError("they do not come to rest")
    counts = Counter(holders)
    assert "" not in counts
    assert max(counts[each] for each in members) - min(counts[each] for each in members) <= 1
    least, rest = divmod(len(holders), len(members))
    had = sorted((Counter(before)[each] for each in members), reverse=True)
    needed = sum(max(0, number - least - (place < rest)) for place, number in enumerate(had))
    given_up = sum(1 for was, is_ in zip(before, holders, strict=True) if was and was != is_)
    assert given_up <= needed


@given(situations(), st.sampled_from(NAMES))
def test_nobody_takes_what_another_one_holds_or_takes_and_gives_up_at_once(
    situation: tuple[list[str], list[str]], me: str
) -> None:
    holders, members = situation
    next_ = moves(me, Shares(tuple(holders), frozenset(members)))
    assert all(holders[shard] == "" for shard in next_.take)
    assert all(holders[shard] == me for shard in next_.give_up)
    assert not (next_.take and next_.give_up)
