"""What the metrics of the fleet say of objects."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.fleet import Fleet
from azure_batch_operator.reconcile.status import timestamp
from azure_batch_operator.sync.queue import WorkQueue
from azure_batch_operator.sync.store import Store
from unit.objects import POOL_SPEC, resource


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
