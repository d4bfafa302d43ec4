"""Which of several replicas acts for a shard, with a clock of the test's own: at no moment two of them, and in the end one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from azure_batch_operator.kube.api import AlreadyExists, Busy, Conflict, NotFound
from azure_batch_operator.kube.leases import Elector, Fence
from azure_batch_operator.kube.shard_leases import Ring, ShardKeeper
from support.jumping_loop import run_jumping

DURATION = 15.0
PATH = "/apis/coordination.k8s.io/v1/namespaces/ns/leases"


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Server:
    """An API server that holds Leases and refuses writes to another version than it has."""

    def __init__(self) -> None:
        self.bodies: dict[str, dict[str, Any]] = {}
        self.version = 0
        self.before_the_answer: Callable[[], Awaitable[object]] | None = None
        self.writes_before_it = 0

    async def request(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: Any = None, fenced: bool = True
    ) -> dict[str, Any]:
        name = path.removeprefix(PATH).removeprefix("/") or (body or {}).get("metadata", {}).get("name", "")
        if method == "GET" and not name:
            assert params == {"labelSelector": "azurebatch.io/lease-of=lease"}
            labeled = [each for each in self.bodies.values() if each["metadata"].get("labels")]
            return {"items": labeled}
        if method == "GET":
            if name not in self.bodies:
                raise NotFound("no lease", 404)
            return self.bodies[name]
        assert not fenced, "the Leases are what opens the fence"
        known = self.bodies[name]["metadata"]["resourceVersion"] if name in self.bodies else None
        if body["metadata"].get("resourceVersion") != known:
            raise (AlreadyExists if method == "POST" else Conflict)("changed", 409)
        self.version += 1
        answer = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        self.bodies[name] = answer
        self.writes_before_it -= 1
        if (wait := self.before_the_answer) is not None and self.writes_before_it < 0:
            self.before_the_answer = None
            await wait()
        return answer


class Connection:
    """The server as one replica reaches it, or does not."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cut = False
        self.looks = 0
        self.refused: set[str] = set()
        """Names of Leases that it may not write."""
        self.overtaken: set[str] = set()
        """Names of Leases that somebody else always writes first."""

    async def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        if self.cut or (method == "PUT" and path.rpartition("/")[2] in self.refused):
            raise Busy("out of reach")
        if method == "PUT" and path.rpartition("/")[2] in self.overtaken:
            raise Conflict("changed", 409)
        self.looks += method == "GET"
        return await self.server.request(method, path, **options)


class Replica:
    """A keeper that takes its turns when the test says so, and acts for shards as soon as it may."""

    def __init__(self, name: str, count: int, server: Server, clock: Clock) -> None:
        self.name, self.count, self.ended = name, count, False
        self.acting: set[int] = set()
        self.arrivals: list[list[int]] = []
        self.slow = False
        """Whether it still acts for the shards that it is to leave."""
        self.leaving: set[int] = set()
        self.connection = Connection(server)
        self.fence = Fence(self._end, clock)
        ring = Ring("ns", "lease", count, DURATION)
        self.keeper = ShardKeeper(self.connection, ring, name, self.fence, clock)  # type: ignore[arg-type]
        self.keeper.hand_over_by(self)

    def _end(self) -> None:
        self.ended = True

    def arrive(self, shards: Collection[int]) -> None:
        assert not self.acting & set(shards)
        self.acting |= set(shards)
        self.arrivals.append(sorted(shards))

    def leave(self, shard: int) -> None:
        self.leaving.add(shard)

    def has_left(self, shard: int) -> bool:
        if self.slow:
            return False
        self.leaving.discard(shard)
        self.acting.discard(shard)
        return True

    @property
    def acts_for(self) -> set[int]:
        """The shards for which something may go out now."""
        return self.acting if self.fence.open and not self.ended else set()

    async def turn(self) -> None:
        if not self.ended:
            await self.keeper._turn()
            self.fence.check()

    async def end(self) -> None:
        """An orderly end."""
        self.ended, self.acting = True, set()
        await self.keeper.release()


class World:
    """Replicas of one Deployment, and what may happen to them."""

    def __init__(self, counts: Collection[int]) -> None:
        self.server, self.clock = Server(), Clock()
        self.replicas = [Replica(f"r{number}", count, self.server, self.clock) for number, count in enumerate(counts)]

    def strip(self, name: str) -> None:
        """Somebody takes the label off a Lease."""
        body = self.server.bodies[name]
        self.server.version += 1
        metadata = {**body["metadata"], "labels": {}, "resourceVersion": str(self.server.version)}
        self.server.bodies[name] = {**body, "metadata": metadata}

    def check(self) -> None:
        """No two act for one account: shards of another number are others."""
        acting = [(each.count, shard) for each in self.replicas for shard in each.acts_for]
        assert max(Counter(acting).values(), default=0) <= 1, acting
        assert len({count for count, _ in acting}) <= 1, acting

    async def rounds(self, number: int) -> None:
        for _ in range(number):
            self.clock.seconds += 3
            for each in self.replicas:
                await each.turn()
                self.check()

    def shares(self) -> list[int]:
        return sorted(len(each.acts_for) for each in self.replicas if not each.ended)


async def test_one_has_all_then_two_share_and_then_the_other_one_has_all() -> None:
    world = World([4, 4])
    a, b = world.replicas
    b.connection.cut = True
    await world.rounds(2)
    assert (len(a.acts_for), len(b.acts_for)) == (4, 0)
    b.connection.cut = False
    await world.rounds(4)
    assert (len(a.acts_for), len(b.acts_for)) == (2, 2)
    await a.end()
    await world.rounds(3)
    assert (len(a.acts_for), len(b.acts_for)) == (0, 4)


async def test_shards_that_are_taken_in_one_turn_arrive_together() -> None:
    world = World([6])
    await world.rounds(3)
    assert world.replicas[0].arrivals == [[0, 1, 2, 3, 4, 5]]


async def test_shards_that_were_taken_arrive_although_the_turn_was_cut_off() -> None:
    world = World([4])
    (only,) = world.replicas
    # The Lease of the replica, the common one, and those of two shards; the response for the third is lost.
    world.server.before_the_answer, world.server.writes_before_it = _lose, 4
    await only.turn()
    assert only.arrivals == [[0, 1]]
    await world.rounds(2)
    assert only.arrivals == [[0, 1], [2], [3]]


async def test_a_replica_that_cannot_take_shards_yet_is_not_counted() -> None:
    world = World([4, 4])
    a, b = world.replicas
    b.keeper.hand_over_by(None)
    await asyncio.wait_for(b.keeper.acquire(), 5)
    await world.rounds(10)
    assert "lease-member-1" not in world.server.bodies
    assert (len(a.acts_for), len(a.leaving), len(b.acts_for)) == (4, 0, 0)
    b.keeper.hand_over_by(b)
    await world.rounds(4)
    assert (len(a.acts_for), len(b.acts_for)) == (2, 2)


async def test_a_replica_for_which_there_is_no_room_stays_on_standby() -> None:
    """It would list and watch all objects for nothing."""
    world = World([2, 2, 2])
    a, b, spare = world.replicas
    await world.rounds(2)
    spare = Replica("spare", 2, world.server, world.clock)
    world.replicas = [a, b, spare]
    spare.keeper.hand_over_by(None)
    waiting = asyncio.create_task(spare.keeper.acquire())
    while spare.connection.looks < 2 and not waiting.done():
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])
    await b.end()
    await asyncio.wait_for(spare.keeper.acquire(), 5)


def test_a_replica_whose_requests_get_no_response_ends() -> None:
    """It acts for nothing any more, and its restart is on standby; a request must not keep it for longer."""

    async def life() -> None:
        loop = asyncio.get_running_loop()
        world, began = World([2]), loop.time()
        (only,) = world.replicas
        only.fence._clock = only.keeper._clock = loop.time
        await only.turn()
        assert only.acts_for == {0, 1}

        async def silent(*_: Any, **__: Any) -> dict[str, Any]:
            await asyncio.sleep(3600)
            raise AssertionError

        only.connection.request = silent  # type: ignore[method-assign]
        keeping = asyncio.create_task(only.keeper.keep())
        while not only.ended and loop.time() - began < 60:
            await asyncio.sleep(0.5)
        # 10 s of the Lease, a pause of at most 3.6 s, and a third of the Lease for the request.
        assert 10 <= loop.time() - began <= 20
        keeping.cancel()

    run_jumping(life())


async def test_a_replica_waits_for_one_with_another_number_before_it_is_counted() -> None:
    world = World([4, 6])
    a, new = world.replicas
    await a.turn()
    new.keeper.hand_over_by(None)
    waiting = asyncio.create_task(new.keeper.acquire())
    while not new.connection.looks:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])
    await a.end()
    await asyncio.wait_for(new.keeper.acquire(), 5)
    assert not [body for body in world.server.bodies.values() if body["spec"]["holderIdentity"]]


async def test_what_is_left_slowly_is_taken_only_when_it_was_left() -> None:
    world = World([4, 4])
    a, b = world.replicas
    await a.turn()
    a.slow = True
    await world.rounds(20)
    assert (len(a.acts_for), len(b.acts_for)) == (4, 0)
    assert len(a.leaving) == 2
    a.slow = False
    await world.rounds(3)
    assert (len(a.acts_for), len(b.acts_for)) == (2, 2)


async def test_shards_of_one_that_is_cut_off_are_taken_over_after_it_has_ended() -> None:
    world = World([6, 6, 6])
    await world.rounds(5)
    assert world.shares() == [2, 2, 2]
    world.replicas[1].connection.cut = True
    await world.rounds(8)
    assert world.replicas[1].ended
    assert world.shares() == [3, 3]


async def test_more_replicas_than_shards_stand_by() -> None:
    world = World([2, 2, 2])
    await world.rounds(10)
    assert world.shares() == [0, 1, 1]
    spare = next(each for each in world.replicas if not each.acts_for)
    dead = next(each for each in world.replicas if each.acts_for)
    dead.ended = True
    await world.rounds(10)
    assert len(spare.acts_for) == 1


async def test_a_replica_with_another_number_of_shards_waits_until_all_others_are_gone() -> None:
    world = World([4, 4, 6])
    a, b, new = world.replicas
    await world.rounds(10)
    assert (len(a.acts_for), len(b.acts_for), len(new.acts_for)) == (2, 2, 0)
    await a.end()
    await world.rounds(5)
    assert (len(b.acts_for), len(new.acts_for)) == (4, 0)
    await b.end()
    # The last one has released what all of them hold together.
    await world.rounds(3)
    assert len(new.acts_for) == 6


async def test_one_that_ends_leaves_the_common_lease_to_those_that_remain() -> None:
    """A replica with another number may look before any of them does."""
    world = World([4, 4, 6])
    a, b, new = world.replicas
    await world.rounds(10)
    await a.end()
    for _ in range(3):
        world.clock.seconds += 1
        await new.turn()
        world.check()
    assert (len(b.acts_for), len(new.acts_for)) == (2, 0)
    assert world.server.bodies["lease"]["spec"]["holderIdentity"] == "4-shards"


async def test_one_that_joins_while_the_last_one_ends_has_the_common_lease() -> None:
    """The last one releases it unless it sees another one: that one is there before it relies on it."""
    world = World([4, 4])
    a, b = world.replicas
    await a.turn()
    world.server.before_the_answer, world.server.writes_before_it = a.end, 0
    await b.turn()
    assert world.server.before_the_answer is None
    assert world.server.bodies["lease"]["spec"]["holderIdentity"] == "4-shards"
    await world.rounds(1)
    assert len(b.acts_for) == 4


async def test_of_two_that_begin_together_with_different_numbers_one_takes_no_shard() -> None:
    world = World([6, 4])
    a, b = world.replicas
    # Both have seen no Lease; the other one is done before this one asks for the common Lease.
    world.server.before_the_answer, world.server.writes_before_it = b.turn, 0
    await a.turn()
    assert world.server.before_the_answer is None
    world.check()
    # Both are counted until the Lease of the first one has expired.
    assert (len(a.acts_for), len(b.acts_for)) == (0, 2)
    await world.rounds(10)
    assert (len(a.acts_for), len(b.acts_for)) == (0, 4)


async def test_a_leader_and_replicas_with_shards_wait_for_each_other() -> None:
    world = World([4])
    (divided,) = world.replicas
    fence = Fence(lambda: None, world.clock)
    elector = Elector(world.server, "ns", "lease", "leader", DURATION, fence, world.clock)  # type: ignore[arg-type]
    assert await elector._turn()
    for _ in range(20):
        world.clock.seconds += 3
        await divided.turn()
        assert await elector._turn()
        assert not divided.acts_for
    await elector.release()
    await world.rounds(2)
    assert len(divided.acts_for) == 4
    for _ in range(20):
        world.clock.seconds += 3
        await divided.turn()
        assert not await elector._turn()
    await divided.end()
    assert await elector._turn()


async def test_a_lease_that_somebody_else_has_ends_the_process() -> None:
    world = World([2])
    (only,) = world.replicas
    await world.rounds(2)
    world.server.version += 1
    world.server.bodies["lease-shard-1"]["spec"]["holderIdentity"] = "somebody"
    await world.rounds(1)
    assert only.ended


@pytest.mark.parametrize("writes_before", range(6))
async def test_a_shard_is_acted_for_also_if_the_response_was_lost_when_its_lease_was_taken(writes_before: int) -> None:
    world = World([4])
    (only,) = world.replicas
    world.server.before_the_answer, world.server.writes_before_it = _lose, writes_before
    await world.rounds(4)
    assert world.server.before_the_answer is None
    assert only.acts_for == {0, 1, 2, 3}


async def test_a_replica_takes_one_place_although_the_response_to_the_first_request_was_lost() -> None:
    world = World([4])
    world.server.before_the_answer = _lose
    await world.rounds(3)
    holders = {name: body["spec"]["holderIdentity"] for name, body in world.server.bodies.items()}
    assert {name: holder for name, holder in holders.items() if "member" in name} == {"lease-member-0": "r0"}


async def test_a_lease_that_somebody_deletes_is_created_again() -> None:
    world = World([2])
    (only,) = world.replicas
    await world.rounds(2)
    del world.server.bodies["lease-shard-1"]
    await world.rounds(3)
    assert not only.ended
    assert world.server.bodies["lease-shard-1"]["spec"]["holderIdentity"] == "r0"


LABELS = {"azurebatch.io/lease-of": "lease"}


@pytest.mark.parametrize("name", ["lease-shard-0", "lease-member-0"])
async def test_a_lease_that_lost_its_label_stays_with_its_holder_and_gets_the_label_again(name: str) -> None:
    world = World([4, 4])
    await world.rounds(5)
    world.strip(name)
    await world.rounds(10)
    assert world.shares() == [2, 2]
    assert world.server.bodies[name]["metadata"]["labels"] == LABELS


async def test_a_lease_without_its_label_is_taken_over_when_it_has_expired() -> None:
    world = World([4, 4])
    await world.rounds(5)
    first, second = world.replicas
    name = "lease-shard-0"
    assert world.server.bodies[name]["spec"]["holderIdentity"] == "r0"
    world.strip(name)
    first.ended, first.acting = True, set()
    # Seen in the first round, and 15 seconds are over in the seventh.
    await world.rounds(10)
    assert second.acts_for == {0, 1, 2, 3}
    assert world.server.bodies[name]["metadata"]["labels"] == LABELS


async def test_a_lease_that_cannot_be_had_for_a_whole_duration_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    world = World([2])
    (only,) = world.replicas
    only.connection.overtaken = {"lease-shard-1"}
    world.server.bodies["lease-shard-1"] = {
        "metadata": {"name": "lease-shard-1", "labels": LABELS, "resourceVersion": "1"}, "spec": {},
    }  # fmt: skip

    def told() -> list[str]:
        return [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]

    await world.rounds(5)
    assert only.acts_for == {0}
    assert told() == []
    await world.rounds(1)
    assert len(told()) == 1
    assert "ns/lease-shard-1" in told()[0]
    # Once for each duration.
    await world.rounds(10)
    assert len(told()) == 3
    only.connection.overtaken = set()
    await world.rounds(10)
    assert only.acts_for == {0, 1}
    assert len(told()) == 3


@pytest.mark.parametrize("writes_before", range(5))
async def test_a_response_that_takes_long_does_not_make_the_time_of_the_holder_longer(writes_before: int) -> None:
    world = World([3, 3])
    a, b = world.replicas
    await a.turn()
    assert len(a.acts_for) == 3

    async def seen_by_the_other() -> None:
        b.connection.cut = False
        await b.turn()
        world.clock.seconds += 9

    b.connection.cut = True
    world.clock.seconds += 3
    # The Leases of the replica, of its three shards, and the common one.
    world.server.before_the_answer, world.server.writes_before_it = seen_by_the_other, writes_before
    await a.turn()
    assert world.server.before_the_answer is None
    a.connection.cut = True
    for _ in range(60):
        world.clock.seconds += 0.5
        await b.turn()
        world.check()
    assert len(b.acts_for) == 3


async def test_the_time_of_a_lease_counts_from_before_the_request() -> None:
    world = World([2])
    (only,) = world.replicas

    async def late() -> None:
        world.clock.seconds += 9

    world.server.before_the_answer = late
    await only.turn()
    # Two thirds of 15 seconds after 100.
    assert only.keeper._deadlines["lease-member-0"] == 110


@pytest.mark.parametrize("name", ["lease-shard-0", "lease-member-0", "lease"])
async def test_a_replica_ends_in_time_if_it_cannot_renew_one_of_its_leases(name: str) -> None:
    world = World([4, 4])
    await world.rounds(5)
    first = world.replicas[0]
    assert first.acts_for == {0, 1}
    first.connection.refused = {name}
    await world.rounds(5)
    assert first.ended
    await world.rounds(6)
    assert len(world.replicas[1].acts_for) == 4


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ("turn", "turn", "turn", "cut", "mend", "slow", "quick", "freeze", "end", "late", "lost", "strip")
        ),
        st.integers(0, 3),
        st.floats(0, 6),
    ),
    max_size=60,
)


async def _lose() -> None:
    raise Busy("the connection was closed")


async def _play(counts: list[int], steps: list[tuple[str, int, float]]) -> None:
    world = World(counts)
    frozen: set[int] = set()
    for what, number, seconds in steps:
        index = number % len(counts)
        one = world.replicas[index]
        world.clock.seconds += seconds
        world.check()
        match what:
            case "turn" if index not in frozen:
                await one.turn()
            case "cut" | "mend":
                one.connection.cut = what == "cut"
            case "slow" | "quick":
                one.slow = what == "slow"
            case "freeze":
                frozen ^= {index}
            case "end" if not one.ended and index not in frozen:
                await one.end()
                world.replicas[index] = Replica(f"{one.name}x", one.count, world.server, world.clock)
            case "strip" if world.server.bodies:
                world.strip(sorted(world.server.bodies)[number % len(world.server.bodies)])
            case "late" | "lost" if index not in frozen:
                others = [each for place, each in enumerate(world.replicas) if place not in {index, *frozen}]

                async def meanwhile(others: list[Replica] = others, seconds: float = seconds) -> None:
                    for other in others:
                        world.clock.seconds += seconds
                        world.check()
                        await other.turn()
                        world.check()

                wait = meanwhile if what == "late" else _lose
                world.server.before_the_answer, world.server.writes_before_it = wait, int(10 * seconds) % 5
                await one.turn()
                world.server.before_the_answer = None
        world.check()
    for place, one in enumerate(world.replicas):
        one.connection.cut, one.slow = False, False
        if one.ended:
            # The kubelet starts the container again.
            world.replicas[place] = Replica(f"{one.name}y", one.count, world.server, world.clock)
    await world.rounds(30)
    world.replicas = [each for each in world.replicas if not each.ended] + [
        Replica(f"{each.name}z", each.count, world.server, world.clock) for each in world.replicas if each.ended
    ]
    await world.rounds(30)
    acting = [each for each in world.replicas if each.acts_for]
    assert len({each.count for each in acting}) == 1
    (count,) = {each.count for each in acting}
    shares = [len(each.acts_for) for each in world.replicas if each.count == count]
    assert sum(shares) == count
    assert max(shares) - min(shares) <= 1


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from((2, 3, 3, 3, 5)), min_size=1, max_size=4), STEPS)
def test_never_two_act_for_one_shard_and_in_the_end_one_does(
    counts: list[int], steps: list[tuple[str, int, float]]
) -> None:
    asyncio.run(_play(counts, steps))
