"""Pools and the nodes in them: two lists, whatever their number (batch-semantics §4.1, §4.2)."""

from __future__ import annotations

from azure_batch_operator.sync.polls.base import News, Poll, clock, options

_POOL_MEMBERS = (
    "id", "state", "allocationState", "allocationStateTransitionTime", "vmSize", "metadata", "resizeErrors",
    "targetDedicatedNodes", "targetLowPriorityNodes", "currentDedicatedNodes", "currentLowPriorityNodes",
)  # fmt: skip


class PoolPoll(Poll):
    """Pools and node counts."""

    async def poll(self, news: News) -> None:
        """One list of pools, one of node counts."""
        began = clock()
        pools = [pool async for pool in self._client.pools.list(select=_POOL_MEMBERS, **options())]
        counts = {str(each["poolId"]).lower(): each async for each in self._client.pools.list_node_counts(**options())}
        before, self._mirror.node_counts = self._mirror.node_counts, counts
        different = {id for id, each in counts.items() if before.get(id) != each}
        told = self._interest.pools.keys() if self._mirror.pools.first else ()
        for id in {*self._mirror.pools.replace(began, pools), *told}:
            news.moved |= self._interest.pools.get(id, set())
        for id in different:
            news.changed |= self._interest.pools.get(id, set())
