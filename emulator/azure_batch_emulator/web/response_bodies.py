"""Bodies of responses that are sent while they are made or read: none of them is held in memory as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from aiohttp import Payload
from aiohttp.abc import AbstractStreamWriter

JSON_TYPE = "application/json;odata=minimalmetadata"
_MAX_IN_MEMORY = 1_048_576


async def content(stream: AsyncIterator[bytes], *, whole: bool) -> bytes | AsyncIterator[bytes]:
    """A file as a response's body: small ones at once, the rest of large ones while it is sent.

    Args:
        whole: read it all, because a fault needs the body; else no more than `_MAX_IN_MEMORY` and a chunk are held.
    """
    chunks: list[bytes] = []
    size = 0
    async for chunk in stream:
        chunks.append(chunk)
        size += len(chunk)
        if size > _MAX_IN_MEMORY and not whole:
            return _joined(b"".join(chunks), stream)
    return b"".join(chunks)


class Blocks(Payload):
    """A body whose blocks are made while they are sent: each is in the processor's cache, and memory holds one of them.

    The next one is made when the socket has taken most of what is there, however slowly the caller reads.
    """

    def __init__(self, blocks: Iterator[bytes] | Iterator[bytearray]) -> None:
        super().__init__(blocks, content_type=JSON_TYPE)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return b"".join(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        for block in self._value:
            await writer.write(block)


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
