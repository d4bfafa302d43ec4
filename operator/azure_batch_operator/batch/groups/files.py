"""Files on nodes, of a task or of the node itself.

Paths use `/` and are relative to the task's directory or to the node's root. Byte ranges are `(first, last)`, both
included, as in the protocol. A file may grow between two calls.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Unpack

from azure_batch_operator.batch.caller import Caller, Listing
from azure_batch_operator.batch.errors import BatchError
from azure_batch_operator.batch.groups.base import Group
from azure_batch_operator.batch.requests import CallOptions, PageOptions, TimeConditions
from azure_batch_operator.batch.responses import FileProperties, Receipt
from azure_batch_operator.batch.transport import FileStream

ByteRange = tuple[int, int]
READ_LIMIT = 1 << 20
"""Bytes that `read` returns at most, unless told otherwise."""


async def _read(
    caller: Caller,
    operation: str,
    arguments: Mapping[str, str],
    options: Mapping[str, Any],
    byte_range: ByteRange | None,
    limit: int,
) -> bytes:
    async with caller.stream(operation, arguments, options, byte_range) as file:
        return await file.read(limit)


def _last_bytes(length: int | None, limit: int) -> ByteRange | None:
    """The range of the last `limit` bytes of a file of this length; None for all of it."""
    return (length - limit, length - 1) if length is not None and length > limit else None


class TaskFiles(Group):
    """Files in a task's directory."""

    def list(
        self,
        job_id: str,
        task_id: str,
        *,
        filter: str | None = None,
        recursive: bool | None = None,
        **options: Unpack[PageOptions],
    ) -> Listing:
        """List files; those in subdirectories only if `recursive`."""
        arguments = {"jobId": job_id, "taskId": task_id}
        query = {"$filter": filter, "recursive": recursive}
        return self._caller.listing("Tasks_ListTaskFiles", arguments, options, query)

    def get(
        self,
        job_id: str,
        task_id: str,
        path: str,
        *,
        range: ByteRange | None = None,  # noqa: A002
        **options: Unpack[TimeConditions],
    ) -> AbstractAsyncContextManager[FileStream]:
        """Open a file: `async with … as file: async for chunk in file: …`."""
        return self._caller.stream("Tasks_GetTaskFile", _task_file(job_id, task_id, path), options, range)

    async def read(
        self,
        job_id: str,
        task_id: str,
        path: str,
        *,
        range: ByteRange | None = None,  # noqa: A002
        limit: int = READ_LIMIT,
        **options: Unpack[TimeConditions],
    ) -> bytes:
        """Read the first `limit` bytes of a file or of a part of it; less if there are not so many."""
        arguments = _task_file(job_id, task_id, path)
        return await _read(self._caller, "Tasks_GetTaskFile", arguments, options, range, limit)

    async def tail(
        self, job_id: str, task_id: str, path: str, *, limit: int = READ_LIMIT, **options: Unpack[CallOptions]
    ) -> bytes:
        """Read the last `limit` bytes of a file as it is at this moment; the whole file if there are not so many."""
        return await _tail(self._caller, "Tasks_GetTaskFile", _task_file(job_id, task_id, path), options, limit)

    async def properties(
        self, job_id: str, task_id: str, path: str, **options: Unpack[TimeConditions]
    ) -> FileProperties:
        """Get length, type and times of a file."""
        return await self._caller.properties("Tasks_GetTaskFileProperties", _task_file(job_id, task_id, path), options)

    async def delete(
        self, job_id: str, task_id: str, path: str, *, recursive: bool | None = None, **options: Unpack[CallOptions]
    ) -> Receipt:
        """Delete a file, or a directory; one with something in it only if `recursive`."""
        arguments = _task_file(job_id, task_id, path)
        return await self._caller.receipt("Tasks_DeleteTaskFile", arguments, options, query={"recursive": recursive})


class NodeFiles(Group):
    """Files under a node's root directory."""

    def list(
        self,
        pool_id: str,
        node_id: str,
        *,
        filter: str | None = None,
        recursive: bool | None = None,
        **options: Unpack[PageOptions],
    ) -> Listing:
        """List files; those in subdirectories only if `recursive`."""
        arguments = {"poolId": pool_id, "nodeId": node_id}
        query = {"$filter": filter, "recursive": recursive}
        return self._caller.listing("Nodes_ListNodeFiles", arguments, options, query)

    def get(
        self,
        pool_id: str,
        node_id: str,
        path: str,
        *,
        range: ByteRange | None = None,  # noqa: A002
        **options: Unpack[TimeConditions],
    ) -> AbstractAsyncContextManager[FileStream]:
        """Open a file: `async with … as file: async for chunk in file: …`."""
        return self._caller.stream("Nodes_GetNodeFile", _node_file(pool_id, node_id, path), options, range)

    async def read(
        self,
        pool_id: str,
        node_id: str,
        path: str,
        *,
        range: ByteRange | None = None,  # noqa: A002
        limit: int = READ_LIMIT,
        **options: Unpack[TimeConditions],
    ) -> bytes:
        """Read the first `limit` bytes of a file or of a part of it; less if there are not so many."""
        arguments = _node_file(pool_id, node_id, path)
        return await _read(self._caller, "Nodes_GetNodeFile", arguments, options, range, limit)

    async def tail(
        self, pool_id: str, node_id: str, path: str, *, limit: int = READ_LIMIT, **options: Unpack[CallOptions]
    ) -> bytes:
        """Read the last `limit` bytes of a file as it is at this moment; the whole file if there are not so many."""
        return await _tail(self._caller, "Nodes_GetNodeFile", _node_file(pool_id, node_id, path), options, limit)

    async def properties(
        self, pool_id: str, node_id: str, path: str, **options: Unpack[TimeConditions]
    ) -> FileProperties:
        """Get length, type and times of a file."""
        return await self._caller.properties("Nodes_GetNodeFileProperties", _node_file(pool_id, node_id, path), options)

    async def delete(
        self, pool_id: str, node_id: str, path: str, *, recursive: bool | None = None, **options: Unpack[CallOptions]
    ) -> Receipt:
        """Delete a file, or a directory; one with something in it only if `recursive`."""
        arguments = _node_file(pool_id, node_id, path)
        return await self._caller.receipt("Nodes_DeleteNodeFile", arguments, options, query={"recursive": recursive})


_UNEXPLAINED = frozenset({404, 409})


async def _tail(
    caller: Caller, operation: str, arguments: Mapping[str, str], options: CallOptions, limit: int
) -> bytes:
    try:
        described = await caller.properties(f"{operation}Properties", arguments, options)
    except BatchError as error:
        if error.code or error.status not in _UNEXPLAINED:
            raise
        # The response to a HEAD has no body, so it does not say what is missing, and it may come from a proxy: a GET says it.
        await _read(caller, operation, arguments, options, None, 1)
        raise
    if not described.content_length:
        return b""
    return await _read(caller, operation, arguments, options, _last_bytes(described.content_length, limit), limit)


def _task_file(job_id: str, task_id: str, path: str) -> dict[str, str]:
    return {"jobId": job_id, "taskId": task_id, "filePath": path}


def _node_file(pool_id: str, node_id: str, path: str) -> dict[str, str]:
    return {"poolId": pool_id, "nodeId": node_id, "filePath": path}
