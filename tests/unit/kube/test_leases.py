"""Who of several replicas acts, with a clock of the test's own: at no moment two of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from azure_batch_operator.kube.api import Busy, Conflict, NotFound
from azure_batch_operator.kube.leases import Elector, Fence, Lease, Move, decide, held

DURATION = 15.0


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Server:
    """An API server that holds one Lease and refuses writes to another version than it has."""

    def __init__(self) -> None:
        self.body: dict[str, Any] | None = None
        self.version = 0
        self.out_of_reach: set[str] = set()
        self.before_the_answer: Callable[[], Awaitable[object]] | None = None
        self.requests: list[str] = []

    async def request(self, method: str, path: str, *, body: Any = None, fenced: bool = True) -> dict[str, Any]:
        self.requests.append(method)
        if self.out_of_reach & {method, "all"}:
            raise Busy("out of reach")
        if method == "GET":
            if self.body is None:
                raise NotFound("no lease", 404)
            return self.body
        assert not fenced, "the Lease is what opens the fence"
        known = self.body["metadata"]["resourceVersion"] if self.body else None
        if body["metadata"].get("resourceVersion") != known:
            raise Conflict("changed", 409)
        self.version += 1
        answer = self.body = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        if (wait := self.before_the_answer) is not None:
            self.before_the_answer = None
            await wait()
        return answer


class Replica:
    """An elector that takes its turns when the test says so."""

    def __init__(self, name: str, server: Server, clock: Clock) -> None:
        self.ended = False
        self.fence = Fence(self._end, clock)
        self.elector = Elector(server, "ns", "lease", name, DURATION, self.fence, clock)  # type: ignore[arg-type]

    def _end(self) -> None:
        self.ended = True

    async def turn(self) -> bool:
        return await self.elector._turn()

    @property
    def acts(self) -> bool:
        return self.fence.open


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def two(server: Server, clock: Clock) -> tuple[Replica, Replica]:
    return Replica("a", server, clock), Replica("b", server, clock)


@pytest.mark.parametrize(
    ("holder", "unchanged_for", "move"),
    [
        ("me", 0, Move.RENEW),
        ("me", 1000, Move.RENEW),
        ("other", 0, Move.WAIT),
        ("other", DURATION, Move.WAIT),
        ("other", DURATION + 0.1, Move.TAKE),
        ("", 0, Move.TAKE),
    ],
)
def test_decision(holder: str, unchanged_for: float, move: Move) -> None:
    assert decide(Lease(holder, DURATION, 3, "7"), "me", unchanged_for, DURATION) is move


@pytest.mark.parametrize("edited", [0, -1, 1])
def test_a_lease_with_an_edited_duration_is_not_acquired_earlier(edited: float) -> None:
    assert decide(Lease("other", edited, 3, "7"), "me", DURATION, DURATION) is Move.WAIT
    assert decide(Lease("other", edited, 3, "7"), "me", DURATION + 0.1, DURATION) is Move.TAKE


def test_a_holder_with_a_longer_duration_has_it() -> None:
    assert decide(Lease("other", 2 * DURATION, 3, "7"), "me", DURATION + 0.1, DURATION) is Move.WAIT


def test_decision_without_a_lease() -> None:
    assert decide(None, "me", 0, DURATION) is Move.CREATE


def test_the_lease_counts_its_holders_and_is_read_as_it_is_written() -> None:
    first = held(None, "a", 1.2, "t1")
    assert first.body("ns", "x")["spec"]["leaseDurationSeconds"] == 2
    stored = first.body("ns", "x")
    stored["metadata"]["resourceVersion"] = "9"
    lease = Lease.parse(stored)
    assert (lease.holder, lease.version, lease.transitions, lease.acquired) == ("a", "9", 0, "t1")
    assert held(lease, "a", 1.2, "t2").acquired == "t1"
    other = held(lease, "b", 1.2, "t2")
    assert (other.transitions, other.acquired, other.version) == (1, "t2", "9")


async def test_the_first_one_takes_it_and_the_other_waits(two: tuple[Replica, Replica]) -> None:
    a, b = two
    assert await a.turn()
    assert not await b.turn()
    assert (a.acts, b.acts) == (True, False)


async def test_renewing_takes_one_request(two: tuple[Replica, Replica], server: Server) -> None:
    a, _ = two
    await a.turn()
    server.requests.clear()
    assert await a.turn()
    assert server.requests == ["PUT"]


async def test_one_that_cannot_renew_ceases_to_act_before_the_other_may(
    two: tuple[Replica, Replica], server: Server, clock: Clock
) -> None:
    a, b = two
    await a.turn()
    for _ in range(40):
        clock.seconds += 0.5
        server.out_of_reach = {"PUT"}
        if not a.ended:
            assert not await a.turn()
            a.fence.check()
        server.out_of_reach = set()
        await b.turn()
        assert not (a.acts and b.acts)
        if b.acts:
            break
    assert b.acts
    assert a.ended


async def test_a_response_that_takes_long_does_not_make_the_time_of_the_holder_longer(
    two: tuple[Replica, Replica], server: Server, clock: Clock
) -> None:
    a, b = two

    async def seen_by_the_other() -> None:
        await b.turn()
        clock.seconds += 9

    server.before_the_answer = seen_by_the_other
    assert await a.turn()
    while not b.acts:
        clock.seconds += 0.5
        await b.turn()
        assert not (a.acts and b.acts)
    assert clock.seconds <= 100 + DURATION + 1


async def test_one_that_slept_through_its_time_is_ended_by_its_first_action(
    two: tuple[Replica, Replica], clock: Clock
) -> None:
    a, b = two
    await a.turn()
    await b.turn()
    clock.seconds += DURATION + 1
    assert await b.turn()
    a.fence.check()
    assert a.ended
    assert not a.acts
    assert b.acts


async def test_a_leader_that_renews_is_never_overtaken(two: tuple[Replica, Replica], clock: Clock) -> None:
    a, b = two
    for _ in range(50):
        assert await a.turn()
        assert not await b.turn()
        clock.seconds += DURATION / 5


async def test_of_two_that_take_it_at_once_one_gets_it(server: Server, clock: Clock) -> None:
    gone = Replica("gone", server, clock)
    await gone.turn()
    replicas = [Replica(name, server, clock) for name in "abc"]
    for each in replicas:
        await each.turn()
    clock.seconds += DURATION + 1
    # All have read the same version; the server lets one of the writes through.
    leases = [await each.elector._read() for each in replicas]
    assert len({lease.version for lease in leases if lease}) == 1
    await asyncio.gather(*(each.turn() for each in replicas))
    assert sum(each.acts for each in replicas) == 1


async def test_a_lease_that_is_given_back_is_free_at_once(two: tuple[Replica, Replica]) -> None:
    a, b = two
    await a.turn()
    await b.turn()
    await a.elector.release()
    assert await b.turn()


async def test_a_lease_taken_by_another_ends_the_one_that_had_it(
    two: tuple[Replica, Replica], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _ = two
    await a.turn()
    assert server.body
    server.body["spec"]["holderIdentity"] = "b"
    server.body["metadata"]["resourceVersion"] = "99"

    async def at_once(_: float) -> None:
        if a.ended:
            raise asyncio.CancelledError

    monkeypatch.setattr("azure_batch_operator.kube.leases.asyncio.sleep", at_once)
    with pytest.raises(asyncio.CancelledError):
        await a.elector.keep()
    assert a.ended


async def test_a_deleted_lease_is_recreated(two: tuple[Replica, Replica], server: Server) -> None:
    a, _ = two
    await a.turn()
    server.body = None
    assert not await a.turn()
    assert await a.turn()


def test_without_election_nothing_is_fenced() -> None:
    fence = Fence(lambda: pytest.fail("ended"))
    fence.check()
