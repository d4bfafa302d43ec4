"""Resource files in, output files out: over HTTP from and to blob containers (docs/azure-batch.md#errors-in-resources)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit, urlunsplit
from xml.etree import ElementTree

import aiohttp

from azure_batch_emulator.executors import patterns
from azure_batch_emulator.executors.disk import make_directory, make_way, open_inside, shown_name

_CODES = {401: "BlobAccessDenied", 403: "BlobAccessDenied", 404: "BlobNotFound"}
_MESSAGES = {
    "BlobAccessDenied": "Access for one of the specified Azure Blob(s) is denied",
    "BlobNotFound": "One of the specified Azure Blob(s) is not found",
    "BlobDownloadTimedOut": "Timed out while downloading one of the specified Azure Blob(s)",
    "BlobDownloadMiscError": "Miscellaneous error encountered while downloading one of the specified Azure Blob(s)",
    "ResourceFileCreateFailed": "One of the resource files could not be created",
}
_UPLOAD_CODES = {401: "FileUploadAccessDenied", 403: "FileUploadAccessDenied", 404: "FileUploadContainerNotFound"}


class TransferError(Exception):
    """A file could not be brought. ``code`` is that of failureInfo; the message shows no query, which may be signed."""

    def __init__(self, code: str, url: str, reason: str) -> None:
        self.code = code
        self.message = _MESSAGES.get(code, "Miscellaneous error encountered while uploading one of the output files")
        self.details = (("FilePath", without_query(url)), ("Message", reason))
        super().__init__(f"{code}: {without_query(url)}: {reason}")


@dataclass(frozen=True, slots=True)
class Upload:
    """One file to send: its real path on which node, its name as shown, to which URL, with which further headers."""

    source: Path
    root: Path
    name: str
    url: str
    headers: Mapping[str, str]


def without_query(url: str) -> str:
    """The URL as it may be shown."""
    return url.partition("?")[0]


def blob_url(container_url: str, name: str) -> str:
    """URL of a blob in a container, the container's query (its signature) kept."""
    parts = urlsplit(container_url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}"))


def listing_url(container_url: str, prefix: str, marker: str) -> str:
    """URL that lists a container's blobs."""
    parts = urlsplit(container_url)
    query = f"restype=container&comp=list&prefix={quote(prefix, safe='')}"
    if marker:
        query += f"&marker={quote(marker, safe='')}"
    return urlunsplit(parts._replace(query=f"{parts.query}&{query}" if parts.query else query))


async def download_resources(
    session: aiohttp.ClientSession, files: Sequence[Mapping[str, Any]], directory: Path, root: Path, storage_url: str
) -> None:
    """Bring all resource files of a task into its working directory; links that are there lead elsewhere on the node at most.

    Args:
        root: of the node.
        storage_url: base of the storage account linked to the Batch account, for ``autoStorageContainerName``.

    Raises:
        TransferError: with the code for failureInfo.
    """
    for file in files:
        mode = int(file["fileMode"], 8) if "fileMode" in file else 0o770
        if "httpUrl" in file:
            await _download(session, file["httpUrl"], _inside(directory, file["filePath"]), root, mode)
            continue
        container = file.get("storageContainerUrl") or f"{storage_url}/{quote(file['autoStorageContainerName'])}"
        target = _inside(directory, file.get("filePath", "."))
        for name in await _list_blobs(session, container, file.get("blobPrefix", "")):
            await _download(session, blob_url(container, name), _inside(target, name), root, mode)


def _inside(directory: Path, path: str) -> Path:
    """Where a file goes; it stays in the directory."""
    target = Path(os.path.normpath(directory / path))
    if not target.is_relative_to(directory):
        raise TransferError("ResourceFileCreateFailed", path, "The path leads out of the working directory.")
    return target


def _create(target: Path, root: Path) -> BinaryIO:
    file = make_directory(root, target.parent) / target.name
    make_way(file)
    return file.open("wb")


async def _download(session: aiohttp.ClientSession, url: str, target: Path, root: Path, mode: int) -> None:
    try:
        async with session.get(url) as response:
            if response.status >= 400:
                code = _CODES.get(response.status, "BlobDownloadMiscError")
                raise TransferError(code, url, f"The server answered {response.status}.")
            with _create(target, root) as stream:
                async for chunk in response.content.iter_chunked(64 * 1024):
                    stream.write(chunk)
                os.fchmod(stream.fileno(), mode)
    except TimeoutError:
        raise TransferError("BlobDownloadTimedOut", url, "The server did not answer in time.") from None
    except (aiohttp.ClientError, ValueError) as error:
        raise TransferError("BlobDownloadMiscError", url, type(error).__name__) from None
    except OSError as error:
        raise TransferError("ResourceFileCreateFailed", url, error.strerror or "The file cannot be written.") from None


async def _list_blobs(session: aiohttp.ClientSession, container: str, prefix: str) -> list[str]:
    names: list[str] = []
    seen: set[str] = set()
    marker = ""
    while True:
        try:
            async with session.get(listing_url(container, prefix, marker)) as response:
                if response.status >= 400:
                    code = _CODES.get(response.status, "BlobDownloadMiscError")
                    raise TransferError(code, container, f"The server answered {response.status}.")
                tree = ElementTree.fromstring(await response.read())  # noqa: S314 - see the import
        except TimeoutError:
            raise TransferError("BlobDownloadTimedOut", container, "The server did not answer in time.") from None
        except (aiohttp.ClientError, ValueError, ElementTree.ParseError) as error:
            raise TransferError("BlobDownloadMiscError", container, type(error).__name__) from None
        names += [element.text or "" for element in tree.iterfind("./Blobs/Blob/Name")]
        following = tree.findtext("NextMarker") or ""
        if not following:
            return names
        if following in seen:
            raise TransferError("BlobDownloadMiscError", container, "The server lists the same blobs again.")
        seen.add(following)
        marker = following


def plan_uploads(
    files: Sequence[Mapping[str, Any]],
    working_directory: Path,
    root: Path,
    variables: Mapping[str, str],
    *,
    success: bool,
    windows: bool = False,
) -> list[Upload]:
    """Which files go where, for a task that has ended.

    A pattern without wildcards names one file, and ``path`` its blob; with wildcards ``path`` is a folder. Patterns are
    relative to the working directory; files outside the node's `root` are left alone.

    Args:
        variables: environment of the task, which patterns may refer to.

    Raises:
        TransferError: a container's URL is none.
    """
    uploads: list[Upload] = []
    for file in files:
        condition = file["uploadOptions"]["uploadCondition"].lower()
        if condition != "taskcompletion" and condition != ("tasksuccess" if success else "taskfailure"):
            continue
        container = file["destination"]["container"]
        path = container.get("path", "")
        headers = {item["name"]: item.get("value", "") for item in container.get("uploadHeaders", ())}
        pattern = patterns.below(file["filePattern"], working_directory, root, variables, windows=windows)
        if pattern is None:
            # Not even looked at: all files of this machine would be many.
            continue
        single = patterns.fixed_part(pattern) == pattern
        for found, source in sorted(patterns.files(root, pattern, ignore_case=windows)):
            name = shown_name(found)
            full = (path or name) if single else f"{path.rstrip('/')}/{name}" if path else name
            url = _upload_url(container["containerUrl"], full)
            uploads.append(Upload(source, root, name.rpartition("/")[2], url, headers))
    return uploads


def _upload_url(container_url: str, name: str) -> str:
    try:
        return blob_url(container_url, name)
    except ValueError as error:
        raise TransferError("FileUploadMiscError", container_url, str(error)) from None


async def upload_all(session: aiohttp.ClientSession, uploads: Sequence[Upload], out: Path, err: Path) -> None:
    """Send files, noting each in ``fileuploadout.txt`` or ``fileuploaderr.txt``.

    Raises:
        TransferError: the first failure, after all have been tried.
    """
    failure: TransferError | None = None
    for log in (out, err):
        make_way(log)
    with out.open("a") as done, err.open("a") as failed:
        for upload in uploads:
            shown = without_query(upload.url)
            try:
                await _upload(session, upload)
            except TransferError as error:
                failure = failure or error
                failed.write(f"{upload.name} -> {shown}: {error.code}: {error.details[-1][1]}\n")
            else:
                done.write(f"{upload.name} -> {shown}\n")
    if failure is not None:
        raise failure


async def _upload(session: aiohttp.ClientSession, upload: Upload) -> None:
    try:
        with open_inside(upload.root, upload.source) as stream:
            await send_blob(session, upload.url, stream, upload.headers)
    except OSError as error:
        raise TransferError("FileUploadMiscError", upload.url, type(error).__name__) from None


async def send_blob(
    session: aiohttp.ClientSession, url: str, content: bytes | BinaryIO, headers: Mapping[str, str]
) -> None:
    """PUT one block blob.

    Raises:
        TransferError: it did not arrive.
    """
    sent = {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2021-12-02"} | dict(headers)
    try:
        async with session.put(url, data=content, headers=sent) as response:
            if response.status >= 400:
                code = _UPLOAD_CODES.get(response.status, "FileUploadMiscError")
                raise TransferError(code, url, f"The server answered {response.status}.")
    except TimeoutError:
        raise TransferError("FileUploadMiscError", url, "The server did not answer in time.") from None
    except (aiohttp.ClientError, ValueError) as error:
        raise TransferError("FileUploadMiscError", url, type(error).__name__) from None
