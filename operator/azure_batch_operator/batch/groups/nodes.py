"""Operations on nodes and on their users."""

from collections.abc import AsyncIterator, Sequence
from typing import Unpack

from azure_batch_operator.batch.caller import JsonBody, Listing, detail
from azure_batch_operator.batch.groups.base import Group, JsonObjects
from azure_batch_operator.batch.requests import CallOptions, PageOptions
from azure_batch_operator.batch.responses import JsonObject, Receipt


def _node(pool_id: str, node_id: str) -> dict[str, str]:
    return {"poolId": pool_id, "nodeId": node_id}


class Nodes(Group):
    """Nodes of a pool."""

    def list(
        self,
        pool_id: str,
        *,
        filter: str | None = None,
        select: Sequence[str] | None = None,
        **options: Unpack[PageOptions],
    ) -> Listing:
        """List the nodes of a pool, by id."""
        return self._caller.listing("Nodes_ListNodes", {"poolId": pool_id}, options, detail(select, filter=filter))

    def list_pages(
        self,
        pool_id: str,
        *,
        filter: str | None = None,
        select: Sequence[str] | None = None,
        **options: Unpack[PageOptions],
    ) -> AsyncIterator[JsonObjects]:
        """List the nodes of a pool, page by page."""
        return self.list(pool_id, filter=filter, select=select, **options).pages()

    async def get(
        self, pool_id: str, node_id: str, *, select: Sequence[str] | None = None, **options: Unpack[CallOptions]
    ) -> JsonObject:
        """Get a node."""
        return await self._caller.object("Nodes_GetNode", _node(pool_id, node_id), options, query={"$select": select})

    async def reboot(
        self, pool_id: str, node_id: str, body: JsonBody | None = None, **options: Unpack[CallOptions]
    ) -> Receipt:
        """Begin to restart a node; `nodeRebootOption` says what happens to its tasks (default: requeue)."""
        return await self._caller.receipt("Nodes_RebootNode", _node(pool_id, node_id), options, body=body)

    async def reimage(
        self, pool_id: str, node_id: str, body: JsonBody | None = None, **options: Unpack[CallOptions]
    ) -> Receipt:
        """Begin to install a node again; `nodeReimageOption` says what happens to its tasks (default: requeue)."""
        return await self._caller.receipt("Nodes_ReimageNode", _node(pool_id, node_id), options, body=body)

    async def start(self, pool_id: str, node_id: str, **options: Unpack[CallOptions]) -> Receipt:
        """Begin to start a node that was deallocated."""
        return await self._caller.receipt("Nodes_StartNode", _node(pool_id, node_id), options)

    async def deallocate(
        self, pool_id: str, node_id: str, body: JsonBody | None = None, **options: Unpack[CallOptions]
    ) -> Receipt:
        """Begin to deallocate a node; `nodeDeallocateOption` says what happens to its tasks (default: requeue)."""
        return await self._caller.receipt("Nodes_DeallocateNode", _node(pool_id, node_id), options, body=body)

    async def enable_scheduling(self, pool_id: str, node_id: str, **options: Unpack[CallOptions]) -> Receipt:
        """Let tasks start on a node again."""
        return await self._caller.receipt("Nodes_EnableNodeScheduling", _node(pool_id, node_id), options)

    async def disable_scheduling(
        self, pool_id: str, node_id: str, body: JsonBody | None = None, **options: Unpack[CallOptions]
    ) -> Receipt:
        """Let no more tasks start on a node; `nodeDisableSchedulingOption` is about those that run."""
        return await self._caller.receipt("Nodes_DisableNodeScheduling", _node(pool_id, node_id), options, body=body)

    async def get_remote_login_settings(self, pool_id: str, node_id: str, **options: Unpack[CallOptions]) -> JsonObject:
        """Get address and port for logging in to a node."""
        return await self._caller.object("Nodes_GetNodeRemoteLoginSettings", _node(pool_id, node_id), options)

    async def upload_logs(
        self, pool_id: str, node_id: str, body: JsonBody, **options: Unpack[CallOptions]
    ) -> JsonObject:
        """Begin to upload the service's logs from a node; returns the directory and the number of files."""
        return await self._caller.object("Nodes_UploadNodeLogs", _node(pool_id, node_id), options, body=body)

    def list_extensions(
        self, pool_id: str, node_id: str, *, select: Sequence[str] | None = None, **options: Unpack[PageOptions]
    ) -> Listing:
        """List the extensions of a node."""
        return self._caller.listing("Nodes_ListNodeExtensions", _node(pool_id, node_id), options, {"$select": select})

    async def get_extension(
        self,
        pool_id: str,
        node_id: str,
        extension_name: str,
        *,
        select: Sequence[str] | None = None,
        **options: Unpack[CallOptions],
    ) -> JsonObject:
        """Get one extension of a node."""
        arguments = {**_node(pool_id, node_id), "extensionName": extension_name}
        return await self._caller.object("Nodes_GetNodeExtension", arguments, options, query={"$select": select})


class NodeUsers(Group):
    """Users who may log in to a node."""

    async def create(self, pool_id: str, node_id: str, body: JsonBody, **options: Unpack[CallOptions]) -> Receipt:
        """Add a user to a node."""
        return await self._caller.receipt("Nodes_CreateNodeUser", _node(pool_id, node_id), options, body=body)

    async def replace(
        self, pool_id: str, node_id: str, user_name: str, body: JsonBody, **options: Unpack[CallOptions]
    ) -> Receipt:
        """Replace password, key and expiry of a user."""
        arguments = {**_node(pool_id, node_id), "userName": user_name}
        return await self._caller.receipt("Nodes_ReplaceNodeUser", arguments, options, body=body)

    async def delete(self, pool_id: str, node_id: str, user_name: str, **options: Unpack[CallOptions]) -> Receipt:
        """Delete a user."""
        arguments = {**_node(pool_id, node_id), "userName": user_name}
        return await self._caller.receipt("Nodes_DeleteNodeUser", arguments, options)
