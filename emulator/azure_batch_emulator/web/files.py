"""Handlers of the file operations, on tasks and on nodes (docs/azure-batch.md#files)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from azure_batch_emulator.executors.base import FileContent, FileInfo, NodePlace
from azure_batch_emulator.web import fields, render
from azure_batch_emulator.web.messages import Handler, Reply, Request, reply_page
from azure_batch_emulator.wire.errors import BatchError
from azure_batch_emulator.wire.ticks import format_http_date, format_timestamp

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class _Where:
    """Whose files: the node, the directory that paths are relative to, and the URL of it."""

    place: NodePlace
    base: str
    url: str
    windows: bool

    def name(self, info: FileInfo) -> str:
        """A file's name as its node writes it."""
        return info.name.replace("/", "\\") if self.windows else info.name


def _of_task(request: Request) -> _Where:
    service = request.service
    task = service.task(request.parameters["jobId"], request.parameters["taskId"])
    pool = service.pool_table.get((task.node_pool_id or "").lower())
    node = pool.nodes.get(task.node_id or "") if pool else None
    if node is None:
        raise BatchError("TaskFilesUnavailable")
    if task.files_gone:
        raise BatchError("TaskFilesCleanedup")
    url = render.task_url(request.base_url, task.job.id, task.id)
    return _Where(service.place(node), task.directory, url, node.windows)


def _of_node(request: Request) -> _Where:
    node = request.service.node(request.parameters["poolId"], request.parameters["nodeId"])
    if node.state in ("creating", "preempted", "deallocated"):
        raise BatchError("NodeBeingCreated" if node.state == "creating" else "OperationNotValidOnNode")
    url = render.node_url(request.base_url, node.pool.id, node.id)
    return _Where(request.service.place(node), "", url, node.windows)


def _where(request: Request) -> _Where:
    return _of_task(request) if "taskId" in request.parameters else _of_node(request)


def _path(request: Request, *, windows: bool) -> str:
    """The file's path: relative, forward slashes, and nowhere but down. On Linux a backslash is a character of a name."""
    path = request.parameters["filePath"]
    if windows:
        path = path.replace("\\", "/")
    parts = path.split("/")
    normal = posixpath.normpath(path)
    # The directory itself is no file in it: else a DELETE of "." would take all.
    if path.startswith("/") or ".." in parts or "\0" in path or normal == ".":
        raise BatchError("FileNotFound")
    return normal


def _file_url(where: _Where, name: str) -> str:
    return f"{where.url}/files/{quote(name, safe='/-_.~')}"


def _on_disk(work: Callable[[Request, _Where], Reply]) -> Handler:
    """A handler whose files may be very many: it finds out at once whose they are, and looks at them where nobody waits for it."""

    def handler(request: Request) -> Reply:
        where = _where(request)
        if not request.service.executor.keeps_files:
            return work(request, where)
        return Reply(later=lambda: work(request, where))

    return handler


def list_files(request: Request, where: _Where) -> Reply:
    chosen = request.filter(fields.FILES)
    matches = (lambda info: chosen(replace(info, name=where.name(info)))) if chosen is not None else None
    recursive = request.query.flag("recursive")
    token = request.query.skip_token(int, str)
    found: Iterable[FileInfo]
    try:
        # Breadth first, as recorded: by depth, then by name, so that a page continues rightly though files come and go.
        found = request.service.executor.files.list(
            where.place, where.base, recursive=recursive, after=None if token is None else (token[0], token[1])
        )
    except FileNotFoundError:
        # A task that has just been given its node has no directory yet.
        found = ()

    def item(info: FileInfo) -> dict[str, Any]:
        body: dict[str, Any] = {
            "name": where.name(info),
            # Recorded: on Windows the URLs of a list hold backslashes as they are, those of headers slashes.
            "url": f"{where.url}/files/{where.name(info)}" if where.windows else _file_url(where, info.name),
            "isDirectory": info.is_directory,
        }
        if not info.is_directory:
            modified = format_timestamp(info.modified)
            properties = {"creationTime": modified} if where.windows else {}
            properties |= {
                "lastModified": modified,
                "contentLength": str(info.size),
                "contentType": info.content_type,
            }
            body["properties"] = properties if where.windows else properties | {"fileMode": f"0o{info.mode:o}"}
        return body

    return reply_page(request, "files", found, _position, item, matches=matches)


def _position(info: FileInfo) -> list[Any]:
    return [info.name.count("/"), info.name]


def _open(request: Request, where: _Where) -> FileContent:
    try:
        content = request.service.executor.files.open(where.place, where.base, _path(request, windows=where.windows))
    except FileNotFoundError:
        raise BatchError("FileNotFound") from None
    if content.info.modified:
        request.check_conditions(content.info.modified)
    return content


def _headers(where: _Where, info: FileInfo) -> dict[str, str]:
    headers = {
        "Content-Type": info.content_type,
        "ocp-batch-file-isdirectory": "True" if info.is_directory else "False",
        "ocp-batch-file-url": quote(_file_url(where, info.name), safe="-_.~"),
    }
    if where.windows:
        return headers | {"ocp-creation-time": format_http_date(info.modified)}
    return headers | {"ocp-batch-file-mode": f"0o{info.mode:o}"}


def get(request: Request, where: _Where) -> Reply:
    content = _open(request, where)
    info = content.info
    if info.is_directory:
        raise BatchError("OperationInvalidForCurrentState", {"Reason": "The path is a directory."})
    start, length = byte_range(request.headers.get("ocp-range"), info.size)
    headers = _headers(where, info)
    if length != info.size:
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{info.size}"
    return Reply(
        modified=info.modified, entity_tag=False, headers=headers, stream=_as_read(content.read(start, length))
    )


async def _as_read(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What is read of a file; it may have gone, or been replaced, since it was found."""
    try:
        async for chunk in chunks:
            yield chunk
    except OSError:
        raise BatchError("FileNotFound") from None


def properties(request: Request, where: _Where) -> Reply:
    content = _open(request, where)
    headers = _headers(where, content.info) | {"Content-Length": str(content.info.size)}
    return Reply(modified=content.info.modified, entity_tag=False, headers=headers)


def delete(request: Request, where: _Where) -> Reply:
    recursive = request.query.flag("recursive")
    try:
        request.service.executor.files.delete(
            where.place, where.base, _path(request, windows=where.windows), recursive=recursive
        )
    except FileNotFoundError:
        raise BatchError("FileNotFound") from None
    except OSError:
        reason = "The directory is not empty; recursive must be true to delete it."
        raise BatchError("OperationInvalidForCurrentState", {"Reason": reason}) from None
    return Reply()


def byte_range(header: str | None, size: int) -> tuple[int, int]:
    """Start and length of what ``ocp-range`` asks for.

    Args:
        header: ``bytes=a-b``, ``bytes=a-`` or ``bytes=-n``; None for everything.
        size: of the file in bytes.

    Raises:
        BatchError: 416 InvalidRange for one outside the file or of another form.
    """
    if header is None:
        return 0, size
    match = _RANGE.fullmatch(header.strip())
    if match is None or not any(match.groups()):
        raise BatchError("InvalidRange")
    first, last = match.groups()
    if not first:
        length = min(int(last), size)
        if length == 0:
            raise BatchError("InvalidRange")
        return size - length, length
    start = int(first)
    end = min(int(last), size - 1) if last else size - 1
    if start >= size or end < start:
        raise BatchError("InvalidRange")
    return start, end - start + 1


HANDLERS: dict[str, Handler] = {
    "Tasks_ListTaskFiles": _on_disk(list_files),
    "Tasks_GetTaskFile": _on_disk(get),
    "Tasks_GetTaskFileProperties": _on_disk(properties),
    "Tasks_DeleteTaskFile": _on_disk(delete),
    "Nodes_ListNodeFiles": _on_disk(list_files),
    "Nodes_GetNodeFile": _on_disk(get),
    "Nodes_GetNodeFileProperties": _on_disk(properties),
    "Nodes_DeleteNodeFile": _on_disk(delete),
}
