"""How a replica begins and ends to act for shards: in which order, and what it waits for. The world is the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.kube.api import Busy
from azure_batch_operator.sync.handover import Progress, ShardHandover
from azure_batch_operator.sync.queue import WorkQueue
from azure_batch_operator.sync.shards import Shards
from azure_batch_operator.sync.store import Store
from support.jumping_loop import run_jumping
from unit.objects import POOL_SPEC, resource

COUNT = 6
AUTH = {"sharedKey": {"secretRef": {"name": "key", "key": "key"}}}
HOSTS = ("a", "blue")
"""Of accounts in two shards."""


def account(name: str) -> Resource:
    return resource(
        Kind.ACCOUNT,
        {"endpoint": f"https://{name}.batch.azure.com", "auth": AUTH},
        name=name,
        uid=f"uid-{name}",
    )


def pool(name: str) -> Resource:
    """A pool in the account of that name."""
    return resource(Kind.POOL, POOL_SPEC | {"accountRef": {"name": name}}, name=name, uid=f"uid-pool-{name}")


class Scene:
    """A handover, with what it asks noted in order."""

    def __init__(self) -> None:
        self.store, self.queue = Store(), WorkQueue[Key]()
        self.shards = Shards(self.store, COUNT)
        self.noted: list[str] = []
        self.listing: list[asyncio.Future[None]] = []
        self.answers = asyncio.Event()
        self.owed: set[Key] = set()
        for host in HOSTS:
            self.store.put(account(host))
            self.store.put(pool(host))
        self.one, self.other = (self.shards.of(account(host)) for host in HOSTS)
        assert self.one != self.other
        controller: Any = SimpleNamespace(take_over=self._take_over, accounts=SimpleNamespace(finish=self._finish))
        writer: Any = SimpleNamespace(
            hasten=lambda _: None, owed=lambda: set(self.owed), forget=lambda key: self.note(f"forget {key.name}")
        )
        self.handover = ShardHandover(
            self.shards, controller, Progress(self.store, self.queue, writer), self._list_all, self._changed
        )

    def note(self, what: str) -> None:
        self.noted.append(what)

    def _take_over(self, resource: Resource) -> None:
        assert self.shards.of(resource) not in self.shards.acting, "it acts with what is no longer true"
        self.note(f"take over {resource.key.kind} {resource.key.name}")

    def _changed(self) -> None:
        self.note(f"acting {sorted(self.shards.acting)}")

    async def _finish(self, key: Key) -> None:
        self.note(f"finish {key.name}")
        await self.answers.wait()
        self.note(f"finished {key.name}")

    async def _list_all(self) -> int:
        self.note("list")
        self.listing.append(asyncio.get_running_loop().create_future())
        await self.listing[-1]
        return 4

    def listed(self) -> None:
        """The list that is read has come to its end."""
        self.listing[-1].set_result(None)

    async def arrived(self, *shards: int) -> None:
        self.handover.arrive(shards)
        await asyncio.sleep(0.01)
        self.listed()
        await asyncio.sleep(0.01)

    def queued(self) -> set[Key]:
        return set(self.queue._queued)


def play(life: Coroutine[Any, Any, None], scene: Scene) -> None:
    async def played() -> None:
        running = asyncio.create_task(scene.handover.run())
        await asyncio.sleep(0)
        await life
        assert not running.done()
        running.cancel()
        await asyncio.wait([running])

    run_jumping(played())


def test_a_shard_that_arrives_begins_as_after_a_restart() -> None:
    """Its objects are as a list shows them that began after the Lease was acquired, and nothing is remembered of them."""
    scene = Scene()

    async def life() -> None:
        scene.handover.arrive([scene.one])
        await asyncio.sleep(60)
        assert scene.noted == ["list"]
        assert scene.shards.acting == set()
        scene.listed()
        await asyncio.sleep(0.01)
        assert scene.noted == ["list", "take over BatchAccount a", "take over BatchPool a", f"acting [{scene.one}]"]
        assert scene.shards.acting == {scene.one}
        assert scene.queued() == {account("a").key, pool("a").key}

    play(life(), scene)


def test_shards_that_are_acquired_while_objects_are_listed_wait_for_the_next_list() -> None:
    """What their former holder wrote last may not be in the first one."""
    scene = Scene()

    async def life() -> None:
        scene.handover.arrive([scene.one])
        await asyncio.sleep(1)
        scene.handover.arrive([scene.other])
        await asyncio.sleep(1)
        assert len(scene.listing) == 1
        scene.listed()
        await asyncio.sleep(1)
        assert len(scene.listing) == 2
        assert scene.shards.acting == {scene.one}
        scene.listed()
        await asyncio.sleep(1)
        assert scene.shards.acting == {scene.one, scene.other}
        assert scene.noted.count("list") == 2

    play(life(), scene)


def test_a_refused_list_is_repeated_and_nothing_is_decided_until_one_succeeds() -> None:
    scene = Scene()

    async def life() -> None:
        scene.handover.arrive([scene.one])
        for number in range(1, 4):
            await asyncio.sleep(60)
            assert len(scene.listing) == number
            assert scene.shards.acting == set()
            scene.listing[-1].set_exception(Busy("try again", 503))
        await asyncio.sleep(60)
        scene.listed()
        await asyncio.sleep(0.01)
        assert scene.shards.acting == {scene.one}

    play(life(), scene)


def test_a_shard_is_left_when_passes_calls_and_statuses_are_finished() -> None:
    """Its Lease is released then, and the next replica may be quicker than anything that is still on its way."""
    scene = Scene()
    scene.answers = asyncio.Event()

    async def life() -> None:
        await scene.arrived(scene.one, scene.other)
        active = [await scene.queue.get() for _ in range(4)]
        scene.owed = {pool("a").key, pool("blue").key}
        scene.noted.clear()
        scene.handover.leave(scene.one)
        await asyncio.sleep(1)
        assert scene.noted == [f"acting [{scene.other}]"]
        assert (scene.shards.acting, scene.shards.leaving) == ({scene.other}, {scene.one})
        for key in active:
            # A pass of another shard is not waited for.
            if key.name == "a":
                scene.queue.done(key)
        await asyncio.sleep(1)
        assert scene.noted[1:] == ["finish a"]
        scene.owed.discard(pool("a").key)
        await asyncio.sleep(1)
        assert not scene.handover.has_left(scene.one), "a call is in flight"
        scene.owed.add(pool("a").key)
        scene.answers.set()
        await asyncio.sleep(1)
        assert scene.noted[1:] == ["finish a", "finished a"]
        assert not scene.handover.has_left(scene.one), "a status is being written"
        assert scene.shards.finishes(pool("a"))
        scene.owed.discard(pool("a").key)
        await asyncio.sleep(1)
        assert scene.handover.has_left(scene.one)
        assert (scene.shards.acting, scene.shards.leaving) == ({scene.other}, set())
        assert "forget a" not in scene.noted
        assert "forget blue" not in scene.noted

    play(life(), scene)


def test_a_pass_of_an_object_that_is_gone_may_be_of_any_shard() -> None:
    scene = Scene()

    async def life() -> None:
        await scene.arrived(scene.one)
        for _ in range(2):
            key = await scene.queue.get()
            scene.queue.done(key)
        scene.queue.add(Key(Kind.POOL, "default", "gone"))
        gone = await scene.queue.get()
        scene.answers.set()
        scene.handover.leave(scene.one)
        await asyncio.sleep(60)
        assert not scene.handover.has_left(scene.one)
        scene.queue.done(gone)
        await asyncio.sleep(1)
        assert scene.handover.has_left(scene.one)

    play(life(), scene)


def test_a_status_that_cannot_be_written_does_not_keep_a_shard() -> None:
    """The next replica decides it again. A patch that has been sent is waited for, however long that takes."""
    scene = Scene()

    async def life() -> None:
        await scene.arrived(scene.one)
        scene.answers.set()
        scene.owed = {pool("a").key, pool("blue").key}
        scene.queue.done(await scene.queue.get())
        scene.queue.done(await scene.queue.get())
        scene.handover.leave(scene.one)
        await asyncio.sleep(14)
        assert "forget a" not in scene.noted
        await asyncio.sleep(2)
        assert "forget a" in scene.noted
        assert "forget blue" not in scene.noted
        assert scene.shards.leaving == set()
        await asyncio.sleep(60)
        assert not scene.handover.has_left(scene.one), "the patch has been sent"
        scene.owed.clear()
        await asyncio.sleep(1)
        assert scene.handover.has_left(scene.one)

    play(life(), scene)


def test_a_shard_that_is_given_up_while_it_arrives_is_left_afterwards() -> None:
    scene = Scene()

    async def life() -> None:
        scene.answers.set()
        scene.handover.arrive([scene.one])
        await asyncio.sleep(1)
        scene.handover.leave(scene.one)
        await asyncio.sleep(60)
        assert not scene.handover.has_left(scene.one)
        work = asyncio.create_task(working(scene))
        scene.listed()
        await asyncio.sleep(1)
        assert scene.handover.has_left(scene.one)
        assert (scene.shards.acting, scene.shards.leaving) == (set(), set())
        work.cancel()
        # And taken again.
        await scene.arrived(scene.one)
        assert scene.shards.acting == {scene.one}
        assert scene.noted.count("list") == 2

    play(life(), scene)


async def working(scene: Scene) -> None:
    """A worker whose passes wait for nothing."""
    while True:
        scene.queue.done(await scene.queue.get())


def test_a_process_that_ends_acts_for_no_shard_that_arrives_meanwhile() -> None:
    scene = Scene()

    async def life() -> None:
        scene.answers.set()
        scene.handover.arrive([scene.one])
        await asyncio.sleep(1)
        ending = asyncio.create_task(scene.handover.leave_all(20.0))
        await asyncio.sleep(1)
        assert not ending.done()
        work = asyncio.create_task(working(scene))
        scene.listed()
        await asyncio.sleep(1)
        assert ending.done()
        assert scene.handover.has_left(scene.one)
        assert scene.shards.acting == set()
        work.cancel()

    play(life(), scene)


def test_a_process_that_ends_leaves_all_its_shards_but_waits_only_so_long() -> None:
    scene = Scene()

    async def life() -> None:
        await scene.arrived(scene.one, scene.other)
        work = asyncio.create_task(working(scene))
        began = asyncio.get_running_loop().time()
        await scene.handover.leave_all(20.0)
        assert asyncio.get_running_loop().time() - began == 20
        assert {"finish a", "finish blue"} <= set(scene.noted)
        assert scene.shards.acting == set()
        scene.answers.set()
        await scene.handover.leave_all(20.0)
        assert asyncio.get_running_loop().time() - began < 22, "what was left already is not left again"
        assert scene.noted.count("finish a") == 1
        assert scene.handover.has_left(scene.one)
        assert scene.handover.has_left(scene.other)
        work.cancel()

    play(life(), scene)
