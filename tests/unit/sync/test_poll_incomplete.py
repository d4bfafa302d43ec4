"""Lists with unreadable items, and lists with thousands of items of others: what a poll keeps of them, and what it asks for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from weakref import WeakSet

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import IncompleteListError, NotFoundError, ServerError
from azure_batch_operator.reconcile.plan import Absent
from unit.sync.test_poll_ours import entry
from unit.sync.test_poller import Scene, Service


class Item(dict[str, Any]):
    """An item of a list whose end is noticed."""

    __hash__ = object.__hash__  # type: ignore[assignment]


class Spoiled(Service):
    """A service whose lists have items that cannot be read; a GET shows them, unless it fails."""

    def __init__(self) -> None:
        super().__init__()
        self.spoiled: set[str] = set()
        self.live: WeakSet[Item] = WeakSet()
        self.most = self.listed = 0
        """Items that were kept at the same time, and all that were listed."""
        self.got: list[str] = []
        """What was asked for by id."""

    async def _answer(self, kind: str, what: str, filter: str | None) -> AsyncIterator[Any]:
        dropped = False
        async for body in super()._answer(kind, what, filter):
            if body.get("id", body.get("poolId")) in self.spoiled:
                dropped = True
                continue
            item = Item(body)
            self.live.add(item)
            self.listed += 1
            self.most = max(self.most, len(self.live))
            yield item
        if dropped:
            raise IncompleteListError("an item cannot be read")

    async def get(self, id: str, **options: Any) -> dict[str, Any]:
        """A pool or a job."""
        self.got.append(id)
        await self._reach(f"get {id}")
        for item in (*self.items["pools"], *self.items["jobs"]):
            if item["id"] == id:
                return item
        raise NotFoundError("gone", status=404, code="PoolNotFound")


def scene_with(pools: int, jobs: int) -> tuple[Scene, Spoiled]:
    service = Spoiled()
    scene = Scene(service)
    names = [f"p{number:03}" for number in range(pools)]
    service.items["pools"] = [
        {"id": id, "state": "active", "eTag": "0x1", "creationTime": "2026-01-01T00:00:00Z"} for id in names
    ]
    for id in names:
        scene.interest.add(Key(Kind.POOL, "n", id), id)
    for number in range(jobs):
        scene.interest.add(Key(Kind.JOB, "n", f"j{number:03}"), f"j{number:03}")
        service.items["jobs"].append(entry(f"j{number:03}"))
    return scene, service


@pytest.mark.parametrize("incomplete", [False, True])
async def test_items_of_others_are_dropped_as_they_are_read(incomplete: bool) -> None:
    scene, service = scene_with(pools=3, jobs=30)
    ids = [f"foreign{number}" for number in range(5000)]
    service.items["jobs"] += [entry(id) for id in ids]
    service.items["pools"] += [{"id": id, "state": "active", "vmSize": "a", "eTag": "0x1"} for id in ids]
    service.items["counts"] = [{"poolId": id} for id in ids]
    service.spoiled = {"foreign7"} if incomplete else set()
    for _ in range(3):
        service.listed, service.most = 0, 0
        service.items["pools"][0] = service.items["pools"][0] | {"eTag": f"0x{service.calls}"}
        await scene.poll()
        assert scene.health[-1] is None
        assert service.listed >= 3 * 4990, "jobs, pools, and numbers of nodes"
        assert service.most <= 100
    assert len(list(scene.mirror.jobs.entries())) == 30
    assert set(scene.mirror.node_counts) == set()


async def test_pools_that_an_incomplete_list_lacks_are_asked_for_in_turns() -> None:
    scene, service = scene_with(pools=90, jobs=0)
    names = sorted(scene.interest.pools)
    await scene.poll()
    service.spoiled = {*names[:50]}
    del service.items["pools"][7]
    changes = dict.fromkeys(names[:50], 0)
    for turn in range(10):
        service.got.clear()
        await scene.poll()
        assert len(service.got) == 20
        for id in service.got:
            changes[id] += 1
        assert all(not isinstance(scene.mirror.pools.get(id), Absent) for id in names if id != "p007")
        if turn == 2:
            assert set(changes.values()) <= {1, 2}, "each has had its turn"
    assert set(changes.values()) == {4}
    assert scene.mirror.pools.get("p007") is Absent.NOT_FOUND, "a GET has said so; those that follow do not forget it"
    service.spoiled = set()
    service.got.clear()
    await scene.poll()
    assert service.got == []


async def test_pools_that_a_complete_list_lacks_are_asked_for_in_turns() -> None:
    scene, service = scene_with(pools=50, jobs=0)
    await scene.poll()
    service.items["pools"] = []
    for left in (30, 10, 0):
        service.got.clear()
        await scene.poll()
        assert len(service.got) <= 20
        assert sum(not isinstance(scene.mirror.pools.get(id), Absent) for id in scene.interest.pools) == left


async def test_a_job_that_cannot_be_read_may_be_on_each_pool_that_is_searched() -> None:
    scene, service = scene_with(pools=1, jobs=1)
    service.items["jobs"].append(entry("theirs"))
    await scene.poller._jobs._search(["p", "q"])
    assert scene.poller._jobs._elsewhere == {"p"}
    service.spoiled = {"theirs"}
    await scene.poller._jobs._search(["p", "q"])
    assert scene.poller._jobs._elsewhere == {"p", "q"}


@pytest.mark.parametrize("number", [1, 30])
async def test_a_pool_that_was_changed_and_not_seen_since_stays_unknown(number: int) -> None:
    """As of before the write it is old news: neither a failed GET nor one that waits its turn makes it count again."""
    scene, service = scene_with(pools=number, jobs=0)
    names = sorted(scene.interest.pools)
    await scene.poll()
    service.spoiled = {*names}
    service.failing["get"] = ServerError("no", status=500, code="InternalError")
    for id in names:
        scene.mirror.pools.touch(id, scene.mirror.pools.seen_at or 0.0)
    await scene.poll()
    assert {scene.mirror.pools.get(id) for id in names} == {Absent.UNKNOWN}
    assert {(scene.mirror.pools.latest(id) or {}).get("id") for id in names} == {*names}
    assert not scene.mirror.pools.touched, "polls are as frequent as always"
    service.failing.clear()
    await scene.poll()
    await scene.poll()
    assert not any(isinstance(scene.mirror.pools.get(id), Absent) for id in names)


@pytest.mark.parametrize("number", [1, 30])
async def test_a_job_that_was_changed_and_cannot_be_read_since_stays_unknown(number: int) -> None:
    scene, service = scene_with(pools=0, jobs=number)
    await scene.poll()
    service.spoiled = {"j000"}
    service.failing["get"] = ServerError("no", status=500, code="InternalError")
    await scene.poll()
    assert not isinstance(scene.mirror.jobs.get("j000"), Absent), "nothing has happened to it"
    scene.mirror.jobs.touch("j000", scene.mirror.jobs.seen_at or 0.0)
    for _ in range(2):
        await scene.poll()
        assert scene.mirror.jobs.get("j000") is Absent.UNKNOWN
        assert scene.mirror.jobs.latest("j000") is not None
        assert not scene.mirror.jobs.touched
    assert scene.health[-1] is None
    service.failing.clear()
    await scene.poll()
    assert not isinstance(scene.mirror.jobs.get("j000"), Absent)


@pytest.mark.parametrize("number", [1, 30])
async def test_a_job_that_no_list_could_ever_show_is_asked_for(number: int) -> None:
    """A new process knows nothing of it: were it taken for gone, it would be created again."""
    scene, service = scene_with(pools=0, jobs=number)
    service.spoiled = {"j000"}
    await scene.poll()
    assert service.got == ["j000"]
    assert not isinstance(scene.mirror.jobs.get("j000"), Absent)
    fresh, broken = scene_with(pools=0, jobs=number)
    broken.spoiled = {"j000"}
    broken.failing["get"] = ServerError("no", status=500, code="InternalError")
    await fresh.poll()
    assert fresh.mirror.jobs.get("j000") is Absent.UNKNOWN
