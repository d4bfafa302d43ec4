"""To which shard an object belongs: by its Azure Batch account, and the same at every replica."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.app import _assemble
from azure_batch_operator.kube.access import Access
from azure_batch_operator.metrics import LEADER
from azure_batch_operator.settings import Settings
from azure_batch_operator.sync.landing import Landing
from azure_batch_operator.sync.shards import Shards, number_of, place_of
from azure_batch_operator.sync.store import Store
from azure_batch_operator.sync.triggers import Parts, Triggers
from azure_batch_operator.sync.wake import Trigger
from unit.objects import JOB_SPEC, POOL_SPEC, TASK_SPEC, resource

AUTH = {"sharedKey": {"secretRef": {"name": "key", "key": "key"}}}
COUNT = 64
"""So many that two places are seldom in one shard."""


def account(name: str, endpoint: str = "https://main.westeurope.batch.azure.com", **more: Any) -> Resource:
    return resource(Kind.ACCOUNT, {"endpoint": endpoint, "auth": AUTH}, name=name, uid=f"uid-{name}", **more)


def of(shards: Shards, *resources: Resource) -> set[int]:
    return {shards.of(each) for each in resources}


@pytest.mark.parametrize(
    ("endpoint", "account", "place"),
    [
        ("https://main.westeurope.batch.azure.com", "main", "main.westeurope.batch.azure.com:443"),
        ("https://MAIN.westeurope.batch.azure.com:443/", "other", "main.westeurope.batch.azure.com:443"),
        ("http://127.0.0.1:10100", "One", "127.0.0.1:10100/one"),
        ("http://localhost", "one", "localhost:80/one"),
        ("http://[::1]:8080/", "one", "::1:8080/one"),
        ("https://[", "one", "https://["),
    ],
)
def test_place(endpoint: str, account: str, place: str) -> None:
    assert place_of(endpoint, account) == place


def test_a_shard_is_the_same_in_every_process_and_version() -> None:
    # Changing these would have two versions act for one account during a rollout.
    assert [number_of(place, 6) for place in ("a.batch.azure.com:443", "127.0.0.1:10100/blue", "team")] == [3, 0, 3]


def test_accounts_with_one_endpoint_are_in_one_shard_with_all_that_is_in_them() -> None:
    store = Store()
    pool = resource(Kind.POOL, POOL_SPEC, name="cpu", uid="uid-2")
    job = resource(Kind.JOB, JOB_SPEC, name="steps", uid="uid-3")
    task = resource(Kind.TASK, TASK_SPEC, uid="uid-4")
    again = resource(Kind.JOB, {"retryOf": {"name": "steps"}}, name="again", uid="uid-5")
    first, second = account("main"), account("other", "https://main.westeurope.batch.azure.com:443/")
    shards = Shards(store, COUNT)
    third = account("third", "https://third.westeurope.batch.azure.com")
    for each in (first, second, third, pool, job, task, again):
        store.put(each)
    assert of(shards, first, second, pool, job, task, again) == {
        number_of("main.westeurope.batch.azure.com:443", COUNT)
    }
    assert of(shards, third) == {number_of("third.westeurope.batch.azure.com:443", COUNT)} != of(shards, first)


def test_the_account_that_an_object_was_created_in_decides() -> None:
    store = Store()
    shards = Shards(store, COUNT)
    third = account("third", "https://third.westeurope.batch.azure.com")
    job = resource(Kind.JOB, JOB_SPEC, uid="uid-3", status={"account": "default/third"})
    main = account("main")
    for each in (main, third, resource(Kind.POOL, POOL_SPEC, name="cpu", uid="uid-2"), job):
        store.put(each)
    assert of(shards, job) == {number_of("third.westeurope.batch.azure.com:443", COUNT)} != of(shards, main)


def test_an_account_stays_in_the_shard_of_the_endpoint_that_it_responded_at() -> None:
    store = Store()
    shards = Shards(store, COUNT)
    status = {"endpoint": "https://main.westeurope.batch.azure.com", "account": "main"}
    moved = account("main", "https://elsewhere.westeurope.batch.azure.com", status=status)
    other = account("other")
    store.put(moved)
    store.put(other)
    assert of(shards, moved) == of(shards, other) != of(shards, account("third", "https://elsewhere.batch.azure.com"))


def test_an_endpoint_that_is_corrected_before_the_account_responded_moves_it() -> None:
    """At all replicas: also at one that knew the former endpoint."""
    store = Store()
    shards = Shards(store, COUNT)
    pool = resource(Kind.POOL, POOL_SPEC, name="cpu", uid="uid-2")
    store.put(account("main", "https://wrong.westeurope.batch.azure.com"))
    store.put(pool)
    assert of(shards, pool) == {number_of("wrong.westeurope.batch.azure.com:443", COUNT)}
    store.put(account("main", version=2, generation=2))
    assert of(shards, pool) == {number_of("main.westeurope.batch.azure.com:443", COUNT)}


def test_what_has_no_account_is_in_one_shard_too() -> None:
    shards = Shards(Store(), COUNT)
    pool, job = resource(Kind.POOL, POOL_SPEC), resource(Kind.JOB, JOB_SPEC, namespace="team")
    assert shards.of(pool) == number_of("BatchAccount default/main", COUNT)
    assert shards.of(job) == number_of("team", COUNT)
    url = "https://main.westeurope.batch.azure.com/jobs/steps/tasks/one"
    task = resource(Kind.TASK, TASK_SPEC, status={"url": url})
    assert shards.of(task) == number_of("main.westeurope.batch.azure.com:443", COUNT)


def test_a_spec_past_the_definitions_is_somebodys() -> None:
    shards = Shards(Store(), COUNT)
    assert shards.of(resource(Kind.POOL, {"accountRef": {}}, namespace="team")) == number_of("team", COUNT)


def test_without_shards_the_process_acts_for_everything() -> None:
    shards = Shards(Store())
    assert shards.decides(resource(Kind.POOL, POOL_SPEC))
    assert shards.finishes(resource(Kind.POOL, POOL_SPEC))
    assert shards.leads


def test_a_shard_that_is_left_is_only_finished() -> None:
    shards = Shards(Store(), 6)
    pool = resource(Kind.POOL, POOL_SPEC)
    assert (shards.decides(pool), shards.finishes(pool)) == (False, False)
    shards.acting.add(shards.of(pool))
    assert (shards.decides(pool), shards.finishes(pool)) == (True, True)
    shards.leaving, shards.acting = shards.acting, set()
    assert (shards.decides(pool), shards.finishes(pool)) == (False, True)
    shards.acting = {0}
    assert shards.leads


async def test_a_task_whose_job_is_gone_is_left_to_the_replica_that_knows_it_for_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, now = Store(), [100.0]
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0])
    store.put(account("main"))
    task = resource(Kind.TASK, TASK_SPEC, namespace="team", uid="uid-4", finalizer=True)
    knows, other = Shards(store, COUNT), Shards(store, COUNT)
    knows.interested = lambda key: Key(Kind.ACCOUNT, "default", "main")
    knows.acting = {number_of("main.westeurope.batch.azure.com:443", COUNT)}
    other.acting = {number_of("team", COUNT)}
    assert (knows.decides(task), other.decides(task), other.postponed(task)) == (True, False, 60.0)
    now[0] += 59
    assert (other.decides(task), other.finishes(task), other.postponed(task)) == (False, True, 1.0)
    now[0] += 1
    assert other.decides(task), "nobody knows it, such as after a restart"
    # Nothing was sent for it, or all know where it is.
    assert other.decides(resource(Kind.TASK, TASK_SPEC, namespace="team", uid="uid-5"))
    other.forget(task)
    assert not other.decides(task)


async def test_the_minute_begins_again_when_a_task_is_unknown_for_a_second_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In between it had an account: what sent it then may have sent it to a job that is gone now."""
    store, now = Store(), [100.0]
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0])
    task = resource(Kind.TASK, TASK_SPEC, namespace="team", uid="uid-4", finalizer=True)
    shards = Shards(store, COUNT)
    shards.acting = {number_of("team", COUNT)}
    assert shards.postponed(task) == 60.0
    url = "https://main.westeurope.batch.azure.com/jobs/steps/tasks/one"
    known = resource(Kind.TASK, TASK_SPEC, namespace="team", uid="uid-4", finalizer=True, status={"url": url})
    assert shards.postponed(known) == 0.0
    now[0] += 600
    assert shards.postponed(task) == 60.0


def triggers_of(store: Store, woken: list[Trigger], landing: Landing | None = None) -> Triggers:
    """Triggers of a replica that acts for no shard, and what they wake."""
    wake = SimpleNamespace(wake=lambda trigger, *_: woken.append(trigger))
    writer = SimpleNamespace(owes=lambda key: False, write=lambda *_: pytest.fail("it is another replica's"))
    memory = SimpleNamespace(landing=landing or SimpleNamespace(inherit=lambda resource: None))
    other: Any = SimpleNamespace(seen=lambda key: None, session=lambda resource: None)
    parts = Parts(wake, writer, other, other, memory, lambda resource: None, Shards(store, 6))  # type: ignore[arg-type]
    return Triggers(store, other, parts)


FAILED = {"conditions": [{"type": "Failed", "status": "True", "reason": "TaskFailed"}], "phase": "Failed"}


@pytest.mark.parametrize(
    ("kind", "spec", "after", "trigger"),
    [
        (Kind.JOB, JOB_SPEC, {"phase": "Failed"}, Trigger.JOB_ENDED),
        (Kind.TASK, TASK_SPEC, FAILED, Trigger.TASK_BLOCKS),
    ],
)
def test_a_status_that_another_replica_wrote_wakes_whoever_looks_at_it(
    kind: Kind, spec: dict[str, Any], after: dict[str, Any], trigger: Trigger
) -> None:
    store, woken = Store(), list[Trigger]()
    triggers = triggers_of(store, woken)
    triggers.on_upsert(resource(kind, spec, status={"phase": "Running"}))
    woken.clear()
    triggers.on_upsert(resource(kind, spec, status=after, version=2))
    assert trigger in woken


async def test_with_shards_a_creation_that_was_seen_does_not_prove_that_nothing_was_sent() -> None:
    """Another replica may have acted for the object before this one does."""
    task = resource(Kind.TASK, TASK_SPEC, finalizer=True)
    for count, unclaimed in ((1, True), (6, False)):
        store, landing = Store(), Landing()
        triggers = triggers_of(store, [], landing)
        triggers._shards.count = count
        triggers.begin()
        triggers.on_created(task)
        assert landing.is_unclaimed(task) is unclaimed


class Api:
    """An API server without objects, that takes each status."""

    def __init__(self) -> None:
        self.patched: list[str] = []

    async def patch_status(self, key: Key, uid: str, patch: dict[str, Any]) -> dict[str, Any]:
        self.patched.append(key.name)
        metadata = {"namespace": key.namespace, "name": key.name, "uid": uid, "resourceVersion": "2"}
        return {"kind": key.kind.value, "metadata": metadata, "spec": POOL_SPEC, "status": patch}

    async def list(self, *_: Any) -> AsyncIterator[dict[str, Any]]:
        return
        yield


async def test_a_status_of_a_shard_that_is_neither_held_nor_left_is_not_written() -> None:
    """One that was decided before: its new holder has written another one meanwhile."""
    api: Any = Api()
    parts = _assemble(api, "cluster", Settings(shards=6), Access())
    pools = {name: resource(Kind.POOL, POOL_SPEC, name=name, namespace=name, uid=name) for name in ("a", "b", "c")}
    of = {name: parts.shards.of(pool) for name, pool in pools.items()}
    assert len(set(of.values())) == 3
    parts.shards.acting, parts.shards.leaving = {of["a"]}, {of["b"]}
    for pool in pools.values():
        parts.store.put(pool)
        parts.cluster.writer.write(pool, {"phase": "Steady"})
    writing = asyncio.create_task(parts.cluster.writer.run())
    await parts.cluster.writer.drain(30)
    writing.cancel()
    assert sorted(api.patched) == ["a", "b"]


async def test_the_metric_of_the_leader_follows_the_first_shard() -> None:
    """Rules take what all replicas know from the one that leads."""
    api: Any = Api()
    parts = _assemble(api, "cluster", Settings(shards=6), Access())
    LEADER.set(0)
    running = asyncio.create_task(parts.handover.run())
    await asyncio.sleep(0)

    def told() -> list[float]:
        return [sample.value for metric in LEADER.collect() for sample in metric.samples]

    async def leads(value: float) -> None:
        async with asyncio.timeout(30):
            while told() != [value]:
                await asyncio.sleep(0.01)

    parts.handover.arrive([3])
    while 3 not in parts.shards.acting:
        await asyncio.sleep(0.01)
    assert told() == [0]
    parts.handover.arrive([0])
    await leads(1)
    parts.handover.leave(0)
    await leads(0)
    running.cancel()
    await asyncio.wait([running])
