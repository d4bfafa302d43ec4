"""Operations on pools."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Unpack

from azure_batch_operator.batch.caller import JsonBody, Listing, detail
from azure_batch_operator.batch.groups.base import Group, JsonObjects
from azure_batch_operator.batch.requests import AllConditions, CallOptions, PageOptions
from azure_batch_operator.batch.responses import JsonObject, Receipt


class Pools(Group):
    """Pools of the account."""

    async def create(self, body: JsonBody, **options: Unpack[CallOptions]) -> Receipt:
        """Create a pool."""
        return await self._caller.receipt("Pools_CreatePool", {}, options, body=body)

    def list(
        self,
        *,
        filter: str | None = None,
        select: Sequence[str] | None = None,
        expand: Sequence[str] | None = None,
        **options: Unpack[PageOptions],
    ) -> Listing:
        """List pools, by id."""
        return self._caller.listing("Pools_ListPools", {}, options, detail(select, expand, filter))

    def list_pages(
        self,
        *,
        filter: str | None = None,
        select: Sequence[str] | None = None,
        expand: Sequence[str] | None = None,
        **options: Unpack[PageOptions],
    ) -> AsyncIterator[JsonObjects]:
        """List pools, page by page."""
        return self.list(filter=filter, select=select, expand=expand, **options).pages()

    async def get(
        self,
        pool_id: str,
        *,
        select: Sequence[str] | None = None,
        expand: Sequence[str] | None = None,
        **options: Unpack[AllConditions],
    ) -> JsonObject:
        """Get a pool."""
        return await self._caller.object("Pools_GetPool", {"poolId": pool_id}, options, query=detail(select, expand))

    async def exists(self, pool_id: str, **options: Unpack[AllConditions]) -> bool:
        """Ask whether a pool exists; one that is being deleted still does."""
        return await self._caller.exists("Pools_PoolExists", {"poolId": pool_id}, options)

    async def delete(self, pool_id: str, **options: Unpack[AllConditions]) -> Receipt:
        """Begin to delete a pool; it is gone when a GET returns 404."""
        return await self._caller.receipt("Pools_DeletePool", {"poolId": pool_id}, options)

    async def update(self, pool_id: str, body: JsonBody, **options: Unpack[AllConditions]) -> Receipt:
        """Change the members of a pool that the body names, each as a whole (PATCH)."""
        return await self._caller.receipt("Pools_UpdatePool", {"poolId": pool_id}, options, body=body)

    async def replace_properties(self, pool_id: str, body: JsonBody, **options: Unpack[CallOptions]) -> Receipt:
        """Replace start task, packages and metadata of a pool; what the body leaves out is removed."""
        return await self._caller.receipt("Pools_ReplacePoolProperties", {"poolId": pool_id}, options, body=body)

    async def resize(self, pool_id: str, body: JsonBody, **options: Unpack[AllConditions]) -> Receipt:
        """Begin to resize a pool of fixed size whose allocation is steady."""
        return await self._caller.receipt("Pools_ResizePool", {"poolId": pool_id}, options, body=body)

    async def stop_resize(self, pool_id: str, **options: Unpack[AllConditions]) -> Receipt:
        """Stop a resize that is in progress."""
        return await self._caller.receipt("Pools_StopPoolResize", {"poolId": pool_id}, options)

    async def remove_nodes(self, pool_id: str, body: JsonBody, **options: Unpack[AllConditions]) -> Receipt:
        """Remove named nodes, at most 100, from a pool."""
        return await self._caller.receipt("Pools_RemoveNodes", {"poolId": pool_id}, options, body=body)

    async def enable_autoscale(self, pool_id: str, body: JsonBody, **options: Unpack[AllConditions]) -> Receipt:
        """Switch autoscaling on, or change its formula or interval; at most once in 30 seconds."""
        return await self._caller.receipt("Pools_EnablePoolAutoScale", {"poolId": pool_id}, options, body=body)

    async def disable_autoscale(self, pool_id: str, **options: Unpack[CallOptions]) -> Receipt:
        """Switch autoscaling off; the pool keeps its size."""
        return await self._caller.receipt("Pools_DisablePoolAutoScale", {"poolId": pool_id}, options)

    async def evaluate_autoscale(self, pool_id: str, body: JsonBody, **options: Unpack[CallOptions]) -> JsonObject:
        """Evaluate a formula without applying it; an error of the formula is in the result's `error`."""
        return await self._caller.object("Pools_EvaluatePoolAutoScale", {"poolId": pool_id}, options, body=body)

    def list_usage_metrics(
        self,
        *,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        filter: str | None = None,
        **options: Unpack[PageOptions],
    ) -> Listing:
        """List core hours by pool and interval; both times must lie at least two hours back."""
        query = {"startTime": start_time, "endtime": end_time, "$filter": filter}
        return self._caller.listing("Pools_ListPoolUsageMetrics", {}, options, query)

    def list_node_counts(self, *, filter: str | None = None, **options: Unpack[PageOptions]) -> Listing:
        """List the numbers of nodes by state, for all pools at once."""
        return self._caller.listing("Pools_ListPoolNodeCounts", {}, options, {"$filter": filter})
