"""Pools and their node counts: two lists, and a third when a pool has been changed (batch-semantics §4.1, §4.2).

What moves by itself is listed each time. The rest of a pool can change only with its ETag, so it is listed again only then, and
only for pools modified since (`lastModified`). Autoscale is the exception: enabling a formula may leave the ETag (§1.4).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from azure_batch_operator.batch import BatchClient
from azure_batch_operator.reconcile.ownership import Owned, owner_of
from azure_batch_operator.reconcile.plan import Absent
from azure_batch_operator.reconcile.pool_view import moment
from azure_batch_operator.sync.mirror import Interest, Mirror
from azure_batch_operator.sync.polls.base import News, Poll, clock, options

_MOVING = (
    "id", "eTag", "lastModified", "state", "allocationState", "allocationStateTransitionTime", "resizeErrors",
    "targetDedicatedNodes", "targetLowPriorityNodes", "currentDedicatedNodes", "currentLowPriorityNodes",
    "enableAutoScale", "autoScaleFormula", "autoScaleEvaluationInterval", "autoScaleRun",
)  # fmt: skip


class PoolPoll(Poll):
    """Pools and node counts."""

    def __init__(self, client: BatchClient, mirror: Mirror, interest: Interest) -> None:
        super().__init__(client, mirror, interest)
        self._whole: dict[str, Mapping[str, Any]] = {}

    async def poll(self, news: News) -> None:
        """One list of pools, one of node counts, and one of the pools that were changed, if any."""
        began = clock()
        table, interest = self._mirror.pools, self._interest.pools
        pools = await self._pools()
        counts = {str(each["poolId"]).lower(): each async for each in self._client.pools.list_node_counts(**options())}
        before, self._mirror.node_counts = self._mirror.node_counts, counts
        told = interest.keys() if table.first else ()
        known = {id: table.get(id) for id in interest}
        owners: defaultdict[Owned, list[Mapping[str, Any]]] = defaultdict(list)
        for pool in pools:
            if (owner := owner_of(pool)) is not None:
                owners[owner.object].append(pool)
        self._mirror.pools_of = owners
        for id in {*table.replace(began, pools), *told}:
            keys = interest.get(id, set())
            (news.moved if _moved(known.get(id, Absent.UNKNOWN), table.latest(id)) else news.changed).update(keys)
        for id, each in counts.items():
            if before.get(id) != each:
                news.changed |= interest.get(id, set())

    async def _pools(self) -> list[Mapping[str, Any]]:
        if not self._whole:
            found: list[Mapping[str, Any]] = [pool async for pool in self._client.pools.list(**options())]
            self._whole = {str(pool["id"]).lower(): pool for pool in found}
            return found
        found = [pool async for pool in self._client.pools.list(select=_MOVING, **options())]
        stale = [pool for pool in found if self._is_stale(pool)]
        if stale:
            since = min(str(pool.get("lastModified") or "0001-01-01T00:00:00Z")[:19] for pool in stale)
            changed = self._client.pools.list(filter=f"lastModified ge DateTime'{since}Z'", **options())
            self._whole |= {str(pool["id"]).lower(): pool async for pool in changed}
        here = {str(pool["id"]).lower() for pool in found}
        self._whole = {id: pool for id, pool in self._whole.items() if id in here}
        return [self._joined(pool) for pool in found]

    def _is_stale(self, pool: Mapping[str, Any]) -> bool:
        """Whether the rest of a pool must be listed again; what becomes of pools that nobody asks for does not matter."""
        id = str(pool["id"]).lower()
        known = self._whole.get(id)
        if known is None:
            return True
        return id in self._interest.pools and pool.get("state") != "deleting" and known.get("eTag") != pool.get("eTag")

    def _joined(self, pool: Mapping[str, Any]) -> Mapping[str, Any]:
        """What moves by itself as it was just listed, the rest as it was listed last."""
        whole = self._whole.get(str(pool["id"]).lower(), {})
        if moment(whole, "lastModified") > moment(pool, "lastModified"):
            return whole  # changed between the two lists
        return {name: value for name, value in whole.items() if name not in _MOVING} | dict(pool)


def _moved(before: Any, after: Mapping[str, Any] | None) -> bool:
    """Whether what lives in the pool must hear of it: it has come, gone, can be seen again, or has another state or owner."""
    if isinstance(before, Absent) or after is None:
        return True
    return any(before.get(name) != after.get(name) for name in ("state", "metadata"))
