"""To which shard an object belongs: by its Azure Batch account, and the same at every replica."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
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
    for each in (account("main"), third, resource(Kind.POOL, POOL_SPEC, name="cpu", uid="uid-2"), job):
        store.put(each)
    assert of(shards, job) == of(shards, third)


def test_an_account_stays_in_the_shard_of_the_endpoint_that_it_responded_at() -> None:
    store = Store()
    shards = Shards(store, COUNT)
    status = {"endpoint": "https://main.westeurope.batch.azure.com", "account": "main"}
    moved = account("main", "https://elsewhere.westeurope.batch.azure.com", status=status)
    other = account("other")
    store.put(moved)
    store.put(other)
    assert of(shards, moved) == of(shards, other) != of(shards, account("third", "https://elsewhere.batch.azure.com"))


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


def test_a_status_that_another_replica_wrote_wakes_whoever_looks_at_it() -> None:
    store, woken = Store(), list[Trigger]()
    wake = SimpleNamespace(wake=lambda trigger, *_: woken.append(trigger))
    writer = SimpleNamespace(owes=lambda key: False, write=lambda *_: pytest.fail("it is another replica's"))
    memory = SimpleNamespace(landing=SimpleNamespace(inherit=lambda resource: None))
    other: Any = SimpleNamespace(seen=lambda key: None)
    parts = Parts(wake, writer, other, memory, lambda resource: None, Shards(store, 6))  # type: ignore[arg-type]
    triggers = Triggers(store, other, parts)
    triggers.on_upsert(resource(Kind.JOB, JOB_SPEC, status={"phase": "Running"}))
    woken.clear()
    triggers.on_upsert(resource(Kind.JOB, JOB_SPEC, status={"phase": "Failed"}, version=2))
    assert Trigger.JOB_ENDED in woken
