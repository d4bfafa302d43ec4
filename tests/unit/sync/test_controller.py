"""The controller: what it makes of refusals and of news, and that nothing is looked at in a circle. The world is the test's own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from azure_batch_operator.api.base import FINALIZER
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch import (
    BatchError,
    BeingResizedError,
    ConflictError,
    HostPolicy,
    InvalidRequestError,
    PreconditionFailedError,
)
from azure_batch_operator.kube.access import Access
from azure_batch_operator.kube.api import NotFound
from azure_batch_operator.kube.namespaces import Namespaces
from azure_batch_operator.reconcile.account.lifecycle import NO_METADATA, AccountMetadata, Health
from azure_batch_operator.reconcile.error_classes import classify_error
from azure_batch_operator.reconcile.ownership import Owned
from azure_batch_operator.reconcile.plan import Plan
from azure_batch_operator.reconcile.pool.changes import with_note
from azure_batch_operator.reconcile.reconcile_policy import Policy
from azure_batch_operator.sync import observe as views
from azure_batch_operator.sync.accounts import Listeners, Pacing
from azure_batch_operator.sync.cluster import Cluster
from azure_batch_operator.sync.controller import Controller, Options
from azure_batch_operator.sync.interest import Interest
from azure_batch_operator.sync.memory import intent_of
from azure_batch_operator.sync.mirror import Mirror
from azure_batch_operator.sync.queue import WorkQueue
from azure_batch_operator.sync.store import Store
from support import typed
from support.jumping_loop import run_jumping
from unit.objects import CLUSTER, JOB_SPEC, POOL_SPEC, TASK_SPEC, owned, resource

SPEC = POOL_SPEC | {"targetDedicatedNodes": 6}
AUTH = {"sharedKey": {"secretRef": {"name": "s", "key": "k"}}}
ACCOUNT = resource(Kind.ACCOUNT, {"endpoint": "https://a.example", "auth": AUTH}, name="main", uid="uid-account")
POOL = resource(Kind.POOL, SPEC, finalizer=True)
RESIZED_MEANWHILE = ConflictError("not being resized", code="OperationNotValidOnPool", status=409)


def remote(**members: Any) -> dict[str, Any]:
    """The pool of `POOL`, with fewer nodes than it wants."""
    body = {
        "id": "one", "state": "active", "allocationState": "steady", "vmSize": "standard_d4ads_v6",
        "targetDedicatedNodes": 4, "currentDedicatedNodes": 4, "eTag": "0x1",
        "virtualMachineConfiguration": SPEC["virtualMachineConfiguration"],
    }  # fmt: skip
    return with_note(owned(body | members, POOL), SPEC)


class Pools:
    """The client's group of pools: notes what it is asked for and answers with what it was told, else well."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refusals: list[BatchError] = []
        self.there: dict[str, Mapping[str, Any]] = {}

    def __getattr__(self, name: str) -> Any:
        async def method(*path: Any, **__: Any) -> Any:
            if name == "get":
                return self.there[path[0]]
            self.asked.append(name)
            if self.refusals:
                raise self.refusals.pop(0)
            return SimpleNamespace(etag=None)

        return method


async def _nothing(*_: Any, **__: Any) -> AsyncIterator[Mapping[str, Any]]:
    return
    yield


EMPTY = SimpleNamespace(list=_nothing)
"""A group of the client whose lists are empty."""


class Scene:
    """A controller and one account whose polls happen when the test says so."""

    def __init__(self) -> None:
        self.store, self.queue = Store(), WorkQueue[Key]()
        self.statuses: list[Mapping[str, Any]] = []
        self.events: list[str] = []
        self.account, self.refreshes = Health(True), 0
        self.pools, self.mirror, self.pokes = Pools(), Mirror(), 0
        self.mirror.images = []
        self.namespace: dict[str, str] = {}
        self.closed: list[Key] = []
        self.forgotten: list[Key] = []
        self.reads, self.patches = 0, list[str]()
        namespaces = Namespaces(self, Access(), lambda _: None)  # type: ignore[arg-type]
        self.controller = Controller(
            Cluster(CLUSTER, self, self, self, namespaces), self.store, self.queue,  # type: ignore[arg-type]
            Options(HostPolicy(), None, Pacing(), Policy.MANAGE),  # type: ignore[arg-type]
            self.accounts,  # type: ignore[arg-type]
        )  # fmt: skip
        nobody = SimpleNamespace(
            forget=lambda *_: None, withdraw=lambda *_: None, stop=lambda *_: None, looked_at=lambda *_: None
        )
        self._session = SimpleNamespace(
            key=ACCOUNT.key,
            client=SimpleNamespace(jobs=EMPTY, job_schedules=EMPTY, nodes=EMPTY, pools=self.pools),
            mirror=self.mirror, interest=Interest(), poller=self,
            submitter=nobody, feeder=nobody, retrier=nobody, operations=nobody, health=Health(True), url="https://a.example",
        )  # fmt: skip
        self.store.put(ACCOUNT)

    # --- in place of the world ---

    permit = None

    def accounts(self, listeners: Listeners) -> Scene:
        self.listeners = listeners
        return self

    async def request(self, method: str, path: str, **_: Any) -> dict[str, Any]:
        if "/secrets/" in path:
            raise NotFound("no such Secret", 404)
        self.reads += 1
        return {"metadata": {"name": path.rpartition("/")[2], "annotations": dict(self.namespace)}}

    def session(self, _: Key) -> Any:
        return self._session

    async def refresh(self, _: Resource, *, terminating: bool = False) -> None:
        self.refreshes += 1

    def offer(self, _: Key) -> AccountMetadata:
        return NO_METADATA

    def health(self, _: Key) -> Health:
        return self.account

    def write(self, one: Resource, status: Mapping[str, Any], *, after: float = 0.0) -> None:
        self.statuses.append(status)

    def decided(self, one: Resource) -> Resource:
        return one

    def owes(self, _: Key) -> bool:
        return False

    async def patch_json(self, key: Key, operations: Any) -> dict[str, Any]:
        self.patches.append(str(operations[-1]["op"]))
        one = self.store.get(key)
        if operations[-1]["op"] == "remove" or one is None:
            raise NotFound("gone")
        metadata = {
            "namespace": key.namespace, "name": key.name, "uid": one.uid, "generation": one.generation,
            "resourceVersion": str(one.version + 1), "finalizers": [FINALIZER],
        }  # fmt: skip
        return {"kind": key.kind.value, "metadata": metadata, "spec": dict(one.spec), "status": dict(one.status)}

    def record(self, _: Resource, type_: str, reason: str, message: str) -> None:
        self.events.append(f"{type_} {reason}: {message}")

    def request_poll(self) -> None:
        self.pokes += 1

    async def close(self, key: Key) -> None:
        self.closed.append(key)

    def interested(self, _: Key) -> Key | None:
        return None

    def forget(self, key: Key) -> None:
        self.forgotten.append(key)

    # --- what happens ---

    def poll(self, *pools: Mapping[str, Any]) -> None:
        """A poll sees these pools, and no job."""
        began = asyncio.get_running_loop().time() + 0.001
        self.pools.there = {str(pool["id"]): pool for pool in pools}
        self.mirror.pools_of = {Owned.by(CLUSTER, POOL): [typed.pool(pool) for pool in pools]}
        self.mirror.pools.replace(began, pools)
        self.mirror.jobs.replace(began, [])
        self.listeners.changed([POOL.key])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        work = asyncio.create_task(self.controller.run())
        try:
            yield
        finally:
            work.cancel()
            await asyncio.wait([work])

    async def quiet(self) -> None:
        """Until all that was queued is done."""
        while self.queue or self.queue.active_since():
            await asyncio.sleep(0.001)

    @property
    def reason(self) -> str:
        """Of the last `Ready` that was written."""
        conditions = self.statuses[-1]["conditions"]
        return str(next(each["reason"] for each in conditions if each["type"] == "Ready"))


@pytest.mark.parametrize(
    "refusal",
    [RESIZED_MEANWHILE, BeingResizedError("resized", code="PoolBeingResized"), PreconditionFailedError("changed")],
    ids=["no longer resized", "resized again", "changed"],
)
def test_a_refusal_that_a_newer_look_explains_is_nothing_to_show(refusal: BatchError) -> None:
    async def life() -> None:
        scene = Scene()
        async with scene.running():
            scene.poll(remote(allocationState="resizing"))
            scene.pools.refusals = [refusal]
            scene.controller.triggers.on_upsert(POOL)
            await scene.quiet()
            assert scene.pools.asked == ["stop_resize"]
            assert scene.reason == "Resizing"
            assert scene.pokes, "the pool is looked at again at once"
            assert not scene.queue.retries_total, "nothing is backed off"
            scene.poll(remote())
            await scene.quiet()
        assert scene.pools.asked == ["stop_resize", "resize"]
        assert scene.reason == "Resizing"
        assert not any(event.startswith("Warning") for event in scene.events)

    run_jumping(life())


def test_the_same_refusal_after_a_newer_look_is_trouble() -> None:
    async def life() -> None:
        scene = Scene()
        scene.pools.refusals = [RESIZED_MEANWHILE] * 3
        async with scene.running():
            scene.poll(remote(allocationState="resizing"))
            scene.controller.triggers.on_upsert(POOL)
            await scene.quiet()
            scene.poll(remote(allocationState="resizing"))
            await scene.quiet()
            assert scene.pools.asked == ["stop_resize"] * 2
            assert scene.reason == "OperationNotValidOnPool"
            assert "Normal OperationNotValidOnPool: OperationNotValidOnPool: not being resized" in scene.events
            assert scene.queue.retries_total == 1, "it is tried again in a while"

    run_jumping(life())


def test_a_stall_is_one_warning_and_polls_do_not_bypass_its_backoff() -> None:
    async def life() -> None:
        scene = Scene()
        scene.pools.refusals = [InvalidRequestError("wrong size", code="InvalidPropertyValue", status=400)] * 2
        async with scene.running():
            scene.controller.triggers.on_upsert(POOL)
            for tries in (1, 2):
                for _ in range(10):
                    scene.poll(remote())
                    await scene.quiet()
                assert scene.pools.asked == ["resize"] * tries
                scene.controller.triggers.on_upsert(replace(POOL, status=dict(scene.statuses[-1]), version=tries + 1))
                await asyncio.sleep(70.0 if tries == 1 else 100.0)
        warnings = [event for event in scene.events if event.startswith("Warning")]
        assert warnings == ["Warning InvalidPropertyValue: InvalidPropertyValue: wrong size"]
        assert scene.pools.asked == ["resize", "resize"]

    run_jumping(life())


def test_successes_in_between_count() -> None:
    async def life() -> None:
        scene = Scene()
        async with scene.running():
            scene.controller.triggers.on_upsert(POOL)
            for _ in range(3):
                scene.pools.refusals = [RESIZED_MEANWHILE]
                for state in ("resizing", "steady"):
                    scene.poll(remote(allocationState=state))
                    await scene.quiet()
        assert scene.pools.asked == ["stop_resize", "resize"] * 3
        assert scene.reason == "Resizing"

    run_jumping(life())


def test_a_pool_that_was_replaced_is_deleted_once() -> None:
    """The pool in use is another one, so that nothing but the list can tell that the old one is going."""

    async def life() -> None:
        scene = Scene()
        replaced = remote(creationTime="2026-01-01T00:00:00Z")
        new = remote(id="one-g2", creationTime="2026-01-02T00:00:00Z", targetDedicatedNodes=6, currentDedicatedNodes=6)
        async with scene.running():
            scene.controller.triggers.on_upsert(replace(POOL, spec=SPEC | {"updateStrategy": "Recreate"}))
            scene.poll(replaced, new)
            await scene.quiet()
            assert scene.pools.asked == ["delete"]
            scene.controller.wake.changed([POOL.key])
            await scene.quiet()
            scene.poll(replaced | {"state": "deleting"}, new)
            await scene.quiet()
            scene.poll(new)
            await scene.quiet()
        assert scene.pools.asked == ["delete"]

    run_jumping(life())


@pytest.mark.parametrize(("reason", "least", "most"), [("", 1, 3), ("KeyRefused", 10, 14), ("Throttled", 1, 3)])
def test_a_secret_that_is_wrong_is_looked_at_every_few_seconds(reason: str, least: int, most: int) -> None:
    async def life() -> None:
        scene = Scene()
        scene.account = Health(True, reason, "to be done")
        async with scene.running():
            scene.controller.triggers.on_upsert(replace(ACCOUNT, version=2, generation=2))
            await asyncio.sleep(59.0)
        assert least <= scene.refreshes <= most

    run_jumping(life())


def test_few_passes_that_wait_for_nothing_share_a_turn_of_the_event_loop_also_after_a_burst_that_waited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of them takes milliseconds, and a change waits for all of those in its turn."""

    async def life() -> None:
        scene, turns, turn = Scene(), Counter[int](), [0]
        responds = asyncio.Event()

        async def one_pass(key: Key) -> None:
            if key.name.startswith("waits"):
                await responds.wait()
            else:
                turns[turn[0]] += 1
            scene.queue.done(key)

        async def others() -> None:
            while True:
                turn[0] += 1
                await asyncio.sleep(0)

        monkeypatch.setattr(scene.controller, "_process", one_pass)
        async with scene.running():
            for number in range(40):
                scene.queue.add(Key(Kind.POOL, "default", f"waits{number}"))
            await asyncio.sleep(1)
            assert len(scene.queue.active()) == 40
            responds.set()
            await scene.quiet()
            counting = asyncio.create_task(others())
            for number in range(200):
                scene.queue.add(Key(Kind.POOL, "default", f"quick{number}"))
            while scene.queue or scene.queue.active():
                await asyncio.sleep(0)
            counting.cancel()
        assert sum(turns.values()) == 200
        assert max(turns.values()) <= 2

    run_jumping(life())


def test_an_account_does_not_wait_behind_its_own_users() -> None:
    """Its pass says why they wait: where they occupy all workers of their lane, it has another one."""

    async def life() -> None:
        scene = Scene()
        scene.store.put(POOL)
        scene.store.put(resource(Kind.JOB, JOB_SPEC | {"poolRef": {"name": "one"}}, name="steps", uid="uid-job"))
        lane = scene.controller.lane
        assert lane(POOL.key) == lane(Key(Kind.JOB, "default", "steps"))
        assert lane(ACCOUNT.key) != lane(POOL.key)
        assert lane(ACCOUNT.key) != lane(Key(Kind.ACCOUNT, "default", "other"))

    run_jumping(life())


@pytest.mark.parametrize(("leaving", "closed"), [(False, [ACCOUNT.key]), (True, [])])
def test_the_session_of_an_account_that_is_in_another_shard_now_is_closed(leaving: bool, closed: list[Key]) -> None:
    """Its endpoint was corrected before it responded. What is being left is closed by the handover, after its last calls."""

    async def life() -> None:
        scene = Scene()
        shards = scene.controller._shards
        shards.count = 6
        shards.leaving = {shards.of(ACCOUNT)} if leaving else set()
        scene.store.put(POOL)
        async with scene.running():
            scene.queue.add(POOL.key)
            scene.queue.add(ACCOUNT.key)
            await scene.quiet()
        assert scene.closed == closed
        assert scene.statuses == []

    run_jumping(life())


def test_a_task_that_another_replica_may_know_is_looked_at_when_that_one_has_had_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def life() -> None:
        scene, passes = Scene(), list[float]()
        task = resource(Kind.TASK, TASK_SPEC, name="t", uid="uid-task", finalizer=True)
        scene.store.put(task)
        shards = scene.controller._shards
        shards.count = 6
        shards.acting = {shards.of(task)}

        async def one_pass(key: Key) -> None:
            passes.append(asyncio.get_running_loop().time())
            scene.queue.done(key)

        monkeypatch.setattr(scene.controller, "_process", one_pass)
        async with scene.running():
            began = asyncio.get_running_loop().time()
            scene.queue.add(task.key)
            await asyncio.sleep(59)
            assert passes == []
            await asyncio.sleep(600)
        assert len(passes) == 1
        assert 60 <= passes[0] - began <= 61

    run_jumping(life())


def test_nothing_is_believed_of_an_object_for_which_another_replica_has_acted() -> None:
    """That one may have sent a create, so a deletion waits as after a restart; refusals of long ago hold nothing up."""

    async def life() -> None:
        scene = Scene()
        taken = replace(POOL, status={"account": "default/main", "poolId": "one"})
        scene.store.put(taken)
        memory = scene.controller._memory
        refused = InvalidRequestError("wrong", code="InvalidPropertyValue", status=400)
        intent = intent_of(taken)
        memory.backoff.refused(taken.key, "reconcile", intent, refused, classify_error(refused))
        memory.landing.deleted(taken.uid)
        await asyncio.sleep(1000)
        scene.controller.take_over(taken)
        assert scene.forgotten == [taken.key], "a status that was not written yet"
        assert memory.backoff.held(taken.key, "reconcile", intent) is None
        assert not memory.landing.surely_deleted(taken.uid)
        assert memory.landing.left(taken) == 60
        await asyncio.sleep(45)
        assert memory.landing.left(taken) == 15

    run_jumping(life())


def test_nothing_is_looked_at_in_a_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = 0

    def at_once(*_: Any) -> views.Decision:
        nonlocal passes
        passes += 1
        assert passes < 1000
        return views.Decision(Plan(requeue_after=0.0))

    monkeypatch.setattr(views, "plan", at_once)

    async def life() -> None:
        scene = Scene()
        async with scene.running():
            scene.controller.triggers.on_upsert(POOL)
            await asyncio.sleep(10.0)

    run_jumping(life())
    assert 50 <= passes <= 101, "looked at again, but not more than ten times a second"


def test_a_cancelled_wait_of_a_pass_does_not_end_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A TaskGroup lets a worker that ends by a CancelledError go without a word."""
    passes = 0

    def cancelled(*_: Any) -> views.Decision:
        nonlocal passes
        passes += 1
        raise asyncio.CancelledError

    monkeypatch.setattr(views, "plan", cancelled)

    async def life() -> None:
        scene = Scene()
        async with scene.running():
            scene.controller.triggers.on_upsert(POOL)
            await asyncio.sleep(60.0)
        assert scene.reason == "InternalError"

    run_jumping(life())
    assert 2 <= passes <= 10, "by the only worker, with a growing wait"


DETACH = {"azurebatch.io/reconcile-policy": "detach-on-delete"}


def test_a_namespace_that_was_annotated_just_before_a_deletion_keeps_the_pool() -> None:
    """The documented migration: annotate the namespace, then delete its objects."""

    async def life() -> None:
        scene = Scene()
        async with scene.running():
            scene.controller.triggers.on_upsert(POOL)
            scene.poll(remote())
            await scene.quiet()
            scene.pools.asked.clear()
            scene.namespace = DETACH
            scene.controller.triggers.on_upsert(replace(POOL, deleting=True, version=2))
            scene.poll(remote())
            await scene.quiet()
        assert scene.pools.asked == []
        assert scene.patches == ["remove"], "the object is let go"

    run_jumping(life())


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        (Kind.POOL, SPEC),
        (Kind.JOB, JOB_SPEC),
        (
            Kind.SCHEDULE,
            {"schedule": {"recurrenceInterval": "PT60M"}, "jobSpecification": {"poolRef": {"name": "cpu"}}},
        ),
        (Kind.TASK, {"jobId": "theirs", "accountRef": {"name": "main"}, "commandLine": "true"}),
    ],
    ids=["pool", "job", "schedule", "task"],
)
def test_what_is_detached_does_not_wait_for_an_account_that_cannot_be_used(kind: Kind, spec: dict[str, Any]) -> None:
    status = {"phase": "Ready", "id": "one", "account": "default/main"}

    async def life() -> None:
        scene = Scene()
        scene.session(ACCOUNT.key).health = Health(True, "AccessDenied", "no connection")
        scene.namespace = DETACH
        async with scene.running():
            scene.controller.triggers.on_upsert(resource(kind, spec, finalizer=True, deleting=True, status=status))
            await scene.quiet()
        assert (scene.patches, scene.statuses) == (["remove"], [])

    run_jumping(life())


def test_a_namespace_whose_annotation_was_removed_just_before_a_deletion_does_not_leave_the_pool() -> None:
    async def life() -> None:
        scene = Scene()
        scene.namespace = DETACH
        async with scene.running():
            scene.controller.triggers.on_upsert(POOL)
            scene.poll(remote())
            await scene.quiet()
            scene.pools.asked.clear()
            scene.namespace = {}
            scene.controller.triggers.on_upsert(replace(POOL, deleting=True, version=2))
            scene.poll(remote())
            await scene.quiet()
        assert scene.pools.asked == ["delete"]
        assert scene.patches == []

    run_jumping(life())


def test_a_namespace_is_read_again_only_for_what_cannot_be_undone() -> None:
    async def life() -> None:
        scene = Scene()
        wanted = SPEC["targetDedicatedNodes"]
        renamed = remote(targetDedicatedNodes=wanted, currentDedicatedNodes=wanted, displayName="theirs")
        async with scene.running():
            scene.controller.triggers.on_upsert(POOL)
            for _ in range(5):
                scene.poll(renamed)
                await scene.quiet()
        assert set(scene.pools.asked) == {"update"}
        assert scene.reads == 1

    run_jumping(life())


async def test_what_is_first_listed_after_the_start_may_have_a_create_of_an_earlier_process_in_flight() -> None:
    """As in a namespace that could not be read when this process began."""
    scene = Scene()
    scene.controller.triggers.begin()
    landing = scene.controller._memory.landing
    listed = resource(
        Kind.POOL, SPEC, name="listed", uid="uid-listed", finalizer=True, status={"account": "default/main"}
    )
    scene.controller.triggers.on_upsert(listed)
    assert landing.left(listed) > 0
    watched = resource(Kind.POOL, SPEC, name="new", uid="uid-new", finalizer=True, status={"account": "default/main"})
    scene.controller.triggers.on_created(watched)
    assert landing.left(watched) <= 0


async def test_what_is_remembered_of_the_secret_of_an_account_that_is_taken_over_is_forgotten() -> None:
    scene = Scene()
    keeper = scene.controller._account_decider.keeper
    keeper._known[ACCOUNT.key] = SimpleNamespace(secret="key")  # type: ignore[assignment]
    scene.controller.take_over(ACCOUNT)
    assert keeper.secret(ACCOUNT.key) is None
