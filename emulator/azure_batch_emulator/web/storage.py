"""A stand-in for a blob container, at ``/storage/<container>/<blob>``: so that tasks can pass files to one another.

It understands what the Batch nodes and simple clients need: PUT, GET, HEAD, DELETE of blobs, and List Blobs in the XML
of Azure Blob Storage. Containers exist from the first PUT on; signatures are ignored.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from aiohttp import web

from azure_batch_emulator.clock import Clock
from azure_batch_emulator.wire.ticks import etag, format_http_date

PREFIX = "/storage"
_CHUNK = 64 * 1024
_LONGEST_NAME = 1024
# What XML cannot carry, not even escaped; Azure refuses such names too.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
_PAGE = re.compile("[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Blob:
    """One blob; its bytes are in a file whose name is no part of its own."""

    name: str
    size: int
    modified: int
    content_type: str
    file: Path


class Storage:
    """All containers of the emulator's storage account."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._serial = 0
        self.containers: dict[str, dict[str, Blob]] = {}

    def clear(self) -> None:
        """Forget everything."""
        for blobs in self.containers.values():
            for blob in blobs.values():
                blob.file.unlink(missing_ok=True)
        self.containers.clear()

    def dump(self) -> dict[str, Any]:
        """What there is, as JSON values; the bytes stay where they are."""
        return {
            "serial": self._serial,
            "containers": {
                name: [[b.name, b.size, b.modified, b.content_type, b.file.name] for b in blobs.values()]
                for name, blobs in self.containers.items()
            },
        }

    def load(self, picture: dict[str, Any]) -> None:
        """The opposite of `dump`; blobs whose bytes are gone are gone."""
        self._serial = picture["serial"]
        for container, blobs in picture["containers"].items():
            known = self.containers.setdefault(container, {})
            for name, size, modified, kind, file in blobs:
                path = self._directory / Path(file).name
                if path.exists():
                    known[name] = Blob(name, size, modified, kind, path)

    async def handle(self, request: web.BaseRequest, raw_path: str, raw_query: str) -> web.StreamResponse:
        """Handle one call."""
        container, _, name = raw_path.removeprefix(PREFIX).strip("/").partition("/")
        container, name = unquote(container), unquote(name)
        parsed = parse_qs(raw_query, keep_blank_values=True)
        query = {key.lower(): _CONTROL.sub("", values[0]) for key, values in parsed.items()}
        if not container:
            return _error(400, "InvalidUri", "The path names no container.")
        if len(container) + len(name) > _LONGEST_NAME or _CONTROL.search(container + name):
            return _error(400, "InvalidUri", "The path is too long or has characters that are not allowed.")
        if not name:
            return self._container(request.method, container, query)
        if (problem := _unsupported(request, query)) is not None:
            return problem
        if request.method == "PUT":
            return await self._put(request, container, name)
        blob = self.containers.get(container, {}).get(name)
        if blob is None:
            return _error(404, "BlobNotFound", "The specified blob does not exist.")
        if request.method == "DELETE":
            del self.containers[container][name]
            blob.file.unlink(missing_ok=True)
            return web.Response(status=202)
        if request.method in ("GET", "HEAD"):
            return await self._get(request, blob)
        return _error(405, "UnsupportedHttpVerb", "The resource doesn't support the specified HTTP verb.")

    def _container(self, method: str, container: str, query: dict[str, str]) -> web.Response:
        if method == "PUT":
            self.containers.setdefault(container, {})
            return web.Response(status=201)
        if container not in self.containers:
            return _error(404, "ContainerNotFound", "The specified container does not exist.")
        if method == "DELETE":
            for blob in self.containers.pop(container).values():
                blob.file.unlink(missing_ok=True)
            return web.Response(status=202)
        if method == "GET" and query.get("comp") == "list":
            return self._list(container, query)
        return web.Response(status=200)

    def _list(self, container: str, query: dict[str, str]) -> web.Response:
        prefix, marker = query.get("prefix", ""), query.get("marker", "")
        size = query.get("maxresults") or "5000"
        if not _PAGE.fullmatch(size) or int(size) < 1:
            return _error(400, "OutOfRangeQueryParameterValue", "maxresults is out of range.")
        most = min(int(size), 5000)
        names = sorted(name for name in self.containers[container] if name.startswith(prefix) and name > marker)
        page, rest = names[:most], names[most:]
        items = []
        for name in page:
            blob = self.containers[container][name]
            items.append(
                f"<Blob><Name>{escape(name)}</Name><Properties>"
                f"<Last-Modified>{format_http_date(blob.modified)}</Last-Modified><Etag>{etag(blob.modified)}</Etag>"
                f"<Content-Length>{blob.size}</Content-Length><Content-Type>{escape(blob.content_type)}</Content-Type>"
                "<BlobType>BlockBlob</BlobType></Properties></Blob>"
            )
        following = f"<NextMarker>{escape(page[-1])}</NextMarker>" if rest else "<NextMarker />"
        body = (
            f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="{escape(container)}">'
            f"<Prefix>{escape(prefix)}</Prefix><Blobs>{''.join(items)}</Blobs>{following}</EnumerationResults>"
        )
        return web.Response(body=body.encode(), content_type="application/xml", charset="utf-8")

    async def _put(self, request: web.BaseRequest, container: str, name: str) -> web.Response:
        self._serial += 1
        self._directory.mkdir(parents=True, exist_ok=True)
        file = self._directory / f"{self._serial}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        size = 0
        try:
            with file.open("wb") as stream:
                async for chunk in request.content.iter_chunked(_CHUNK):
                    stream.write(chunk)
                    size += len(chunk)
        except BaseException:
            # The caller is gone or the disk is full: no blob, and no bytes that belong to none.
            file.unlink(missing_ok=True)
            raise
        blobs = self.containers.setdefault(container, {})
        old = blobs.get(name)
        kind = request.headers.get("x-ms-blob-content-type") or request.content_type
        blob = Blob(name, size, self._clock.now(), kind, file)
        blobs[name] = blob
        if old is not None:
            old.file.unlink(missing_ok=True)
        headers = {"ETag": f'"{etag(blob.modified)}"', "Last-Modified": format_http_date(blob.modified)}
        return web.Response(status=201, headers=headers)

    async def _get(self, request: web.BaseRequest, blob: Blob) -> web.StreamResponse:
        headers = {
            "ETag": f'"{etag(blob.modified)}"',
            "Last-Modified": format_http_date(blob.modified),
            "Content-Type": blob.content_type,
            "Content-Length": str(blob.size),
            "x-ms-blob-type": "BlockBlob",
        }
        try:
            # Before the response begins: while it is sent, the blob may be deleted or written again.
            stream = blob.file.open("rb")
        except FileNotFoundError:
            return _error(404, "BlobNotFound", "The specified blob does not exist.")
        with stream:
            response = web.StreamResponse(headers=headers)
            await response.prepare(request)
            while request.method == "GET" and (chunk := stream.read(_CHUNK)):
                await response.write(chunk)
            await response.write_eof()
        return response


def _unsupported(request: web.BaseRequest, query: dict[str, str]) -> web.Response | None:
    """A refusal of what would else be taken for a whole block blob: blocks, pages, snapshots, tiers, copies."""
    if "comp" in query:
        message = "One of the query parameters specified in the request URI is not supported."
        return _error(400, "UnsupportedQueryParameter", message)
    kind = request.headers.get("x-ms-blob-type", "BlockBlob")
    if request.method == "PUT" and (kind.lower() != "blockblob" or "x-ms-copy-source" in request.headers):
        message = "One of the HTTP headers specified in the request is not supported."
        return _error(400, "UnsupportedHeader", message)
    return None


def _error(status: int, code: str, message: str) -> web.Response:
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return web.Response(
        status=status,
        body=body.encode(),
        content_type="application/xml",
        charset="utf-8",
        headers={"x-ms-error-code": code},
    )
