"""Reads a file of a task or a node that may grow, and goes on where it was after a connection is lost.

What was passed on is counted in bytes, so that nothing is shown twice and nothing is left out; tests/unit/kubectl/test_reading.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from azure_batch_operator.batch import FileProperties, FileStream, TransientError
from azure_batch_operator.batch.errors import ConflictError, NotFoundError

Write = Callable[[bytes], object]
PAUSE = 0.5
"""Seconds between two looks at a file that is followed; new output is shown within a second."""
_CHUNK = 64 << 10
_PATIENCE = 120
"""How many looks in a row may fail before following ends."""


class Source(Protocol):
    """A file, and whether what writes it has ended."""

    async def properties(self) -> FileProperties:
        """Its length."""
        ...

    def part(self, first: int, last: int) -> AbstractAsyncContextManager[FileStream]:
        """Bytes of it, both included."""
        ...

    async def ended(self) -> bool:
        """Whether it does not grow any more."""
        ...


def start_of_last_lines(data: bytes, number: int) -> int | None:
    """Where the last lines of the end of a file begin; None if they begin before it."""
    if number == 0:
        return len(data)
    position = len(data) - 1 if data.endswith(b"\n") else len(data)
    for _ in range(number):
        position = data.rfind(b"\n", 0, position)
        if position < 0:
            return None
    return position + 1


@dataclass
class Reader:
    """Passes on a file from where it was."""

    source: Source
    write: Write
    offset: int = 0

    async def to_last_lines(self, number: int) -> None:
        """Go to where the last lines begin."""
        length, size = (await self.source.properties()).content_length or 0, _CHUNK
        while True:
            first = max(0, length - size)
            data = await self._bytes(first, length)
            start = start_of_last_lines(data, number)
            if start is not None or first == 0:
                self.offset = first + (start or 0)
                return
            size *= 4

    async def _bytes(self, first: int, end: int) -> bytes:
        if first >= end:
            return b""
        async with self.source.part(first, end - 1) as stream:
            return await stream.read(end - first)

    async def advance(self) -> bool:
        """Pass on what is new; whether the file was made again from its beginning, as when its task runs again."""
        length = (await self.source.properties()).content_length or 0
        again = length < self.offset
        if again:
            self.offset = 0
        if length > self.offset:
            async with self.source.part(self.offset, length - 1) as stream:
                async for chunk in stream:
                    self.write(chunk)
                    self.offset += len(chunk)
        return again

    async def whole(self) -> None:
        """Pass on the rest of the file as it is now, over lost connections."""
        for attempt in range(_PATIENCE):
            try:
                await self.advance()
            except TransientError:
                if attempt + 1 == _PATIENCE:
                    raise
                await asyncio.sleep(PAUSE)
            else:
                return

    async def follow(self, note: Callable[[str], object]) -> None:
        """Pass on what is written until the writer has ended.

        Args:
            note: is told what the user should know.
        """
        failures = 0
        while True:
            try:
                # Before the file is read, so that what was written last is in it.
                ended = await self.source.ended()
                await self._look(note, ended=ended)
            except TransientError:
                failures += 1
                if failures == _PATIENCE:
                    raise
                if failures == 1:
                    note("connection lost, trying again")
            else:
                failures = 0
                if ended:
                    return
            await asyncio.sleep(PAUSE)

    async def _look(self, note: Callable[[str], object], *, ended: bool) -> None:
        try:
            if await self.advance():
                note("the task runs again: its output from the beginning")
        except (NotFoundError, ConflictError) as error:
            # Before the task has begun there is no file; afterwards it is gone, and that is to be said.
            if ended or isinstance(error, TransientError):
                raise
