"""What the metrics of the fleet say of objects."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.fleet import Fleet
from azure_batch_operator.reconcile.status import timestamp
from azure_batch_operator.sync.queue import WorkQueue
from azure_batch_operator.sync.shards import Shards
from azure_batch_operator.sync.store import Store
from azure_batch_operator.tally import FINISHED, KEPT_FOR
from unit.objects import JOB_SPEC, POOL_SPEC, resource


def collected(*resources: Resource) -> dict[tuple[str, ...], float]:
    """Metric, then the values of its labels → value, of an operator that knows these objects and no account."""
    store, nothing = Store(), cast("Any", SimpleNamespace(waiting=0))
    for each in resources:
        store.put(each)

    async def collect() -> dict[tuple[str, ...], float]:
        fleet = Fleet(store, nothing, WorkQueue(), nothing)
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in fleet.collect()
            for sample in family.samples
        }

    return asyncio.run(collect())


def test_with_shards_one_replica_tells_of_objects_and_each_of_its_accounts() -> None:
    store = Store()
    health = SimpleNamespace(checked=True, reason="")
    accounts = SimpleNamespace(health=lambda _: health, session=lambda _: None)
    spec = {"endpoint": "https://main.westeurope.batch.azure.com"}
    for each in (resource(Kind.ACCOUNT, spec, name="main"), resource(Kind.POOL, POOL_SPEC, uid="uid-2")):
        store.put(each)

    async def names(acting: set[int]) -> set[str]:
        shards = Shards(store, 64)
        shards.acting = acting
        fleet = Fleet(store, cast("Any", accounts), WorkQueue(), cast("Any", SimpleNamespace(waiting=0)), shards)
        told = {"azurebatch_objects", "azurebatch_account_up"}
        return {sample.name for family in fleet.collect() for sample in family.samples} & told

    (own,) = {Shards(store, 64).of(each) for each in store.of_kind(Kind.POOL)}
    assert own != 0
    assert asyncio.run(names(set())) == set()
    assert asyncio.run(names({0})) == {"azurebatch_objects"}
    assert asyncio.run(names({own})) == {"azurebatch_account_up"}


def test_a_job_that_ends_while_its_shard_is_left_is_counted_by_the_replica_that_writes_it() -> None:
    """The next holder only sees that the job has ended."""
    store, nothing = Store(), cast("Any", SimpleNamespace(waiting=0))
    leaves, takes = Shards(store, 64), Shards(store, 64)
    running = resource(Kind.JOB, JOB_SPEC, status={"phase": "Running"})
    ended = {"conditions": [{"type": "Complete", "status": "True", "reason": "Completed", "message": ""}]}

    async def run() -> None:
        for shards in (leaves, takes):
            Fleet(store, nothing, WorkQueue(), nothing, shards)
        store.put(running)
        leaves.leaving.add(leaves.of(running))
        store.put(resource(Kind.JOB, JOB_SPEC, status=ended, version=2))

    before = FINISHED.labels("default", "succeeded")._value.get()
    asyncio.run(run())
    assert FINISHED.labels("default", "succeeded")._value.get() == before + 1


def test_with_shards_one_replica_counts_the_end_of_a_job() -> None:
    """All of them see it."""
    store, nothing = Store(), cast("Any", SimpleNamespace(waiting=0))
    spec = {"endpoint": "https://main.westeurope.batch.azure.com"}
    runs = resource(Kind.JOB, JOB_SPEC, namespace="shared")
    store.put(resource(Kind.ACCOUNT, spec, name="main", namespace="shared", uid="uid-account"))
    store.put(resource(Kind.POOL, POOL_SPEC, name="cpu", namespace="shared", uid="uid-pool"))
    store.put(runs)
    own = Shards(store, 64).of(runs)

    async def replicas() -> None:
        for acting in ({own}, {own + 1}, {own - 1}):
            shards = Shards(store, 64)
            shards.acting = acting
            Fleet(store, nothing, WorkQueue(), nothing, shards)

    asyncio.run(replicas())
    ended = {"conditions": [{"type": "Complete", "status": "True", "reason": "Succeeded"}]}
    store.put(resource(Kind.JOB, JOB_SPEC, namespace="shared", status=ended, version=2))
    counted = [
        each.value for family in FINISHED.collect() for each in family.samples if each.labels["namespace"] == "shared"
    ]
    assert counted[0] == 1


def leaving(name: str, seconds: float) -> Resource:
    body = {"namespace": "default", "name": name, "uid": name, "deletionTimestamp": timestamp(time.time() - seconds)}
    return Resource.parse({"kind": "BatchPool", "metadata": body, "spec": POOL_SPEC})


def test_many_short_deletions_are_no_long_one() -> None:
    found = collected(leaving("a", 30), leaving("b", 4000), resource(Kind.POOL, POOL_SPEC))
    assert found["azurebatch_objects_deleting", "BatchPool", "default"] == 2
    assert found["azurebatch_objects_deleting_longest_seconds", "BatchPool", "default"] >= 3999
    assert not [each for each in found if each[:2] == ("azurebatch_objects_deleting", "BatchJob")]


def test_a_pool_is_told_from_others_by_account_and_namespace() -> None:
    status = {"targetDedicatedNodes": 4, "nodeCounts": {"dedicated": {"idle": 3, "total": 3}}}
    found = collected(resource(Kind.POOL, POOL_SPEC, status=status))
    assert found["azurebatch_pool_nodes", "default", "main", "one", "dedicated", "idle"] == 3
    assert found["azurebatch_pool_target_nodes", "default", "main", "one", "dedicated"] == 4
    assert found["azurebatch_pool_resize_failed", "default", "main", "one"] == 0


def test_counters_of_a_namespace_go_with_its_last_object_and_come_again() -> None:
    """A namespace for each run of a pipeline left 14 series of each result behind."""
    store, nothing, now = Store(), cast("Any", SimpleNamespace(waiting=0)), [1000.0]

    async def run() -> None:
        fleet = Fleet(store, nothing, WorkQueue(), nothing)
        fleet._tally._clock = lambda: now[0]
        one = replace(resource(Kind.POOL, POOL_SPEC), version=1)
        store.put(one)
        FINISHED.labels("default", "failed").inc()
        store.remove(one.key)
        for passed, there in ((0.0, True), (KEPT_FOR, True), (1.0, False)):
            now[0] += passed
            list(fleet.collect())
            known = {each.labels["namespace"] for family in FINISHED.collect() for each in family.samples}
            assert ("default" in known) is there

    asyncio.run(run())
