"""Reads a file of a task or a node that may grow, and continues where it was after a connection is lost.

What was passed on is counted in bytes, so that nothing is shown twice and nothing is left out; tests/unit/kubectl/test_reading.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from azure_batch_kubectl.failure import FailureError
from azure_batch_operator.batch import FileProperties, FileStream, TransientError
from azure_batch_operator.batch.errors import ConflictError, NotFoundError

Write = Callable[[bytes], object]
PAUSE = 0.5
"""Seconds between two looks at a file that is followed; new output is shown within a second."""
_CHUNK = 64 << 10
PATIENCE = 120
"""How many looks in a row may fail before following ends."""


@dataclass(frozen=True)
class Writer:
    """What writes a file: whether it has ended, and its present run, None if there is none; each run starts the file again."""

    ended: bool
    run: str | None = None


LOST = "connection lost, trying again"
_AGAIN = "the task runs again: its output from the beginning"


class Source(Protocol):
    """A file, and what writes it."""

    async def properties(self) -> FileProperties:
        """Its length."""
        ...

    def part(self, first: int, last: int) -> AbstractAsyncContextManager[FileStream]:
        """Bytes of it, both included."""
        ...

    async def writer(self) -> Writer:
        """How what writes it stands."""
        ...

    async def version(self, found: FileProperties) -> object:
        """What differs after the file was replaced, but not after it has grown; None if that is not known."""
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


def changed() -> None:
    """What to do when a file that is printed was replaced while the connection was lost."""
    raise FailureError("the file was replaced while the connection was lost: show it again")


@dataclass
class Reader:
    """Passes on a file from where it was."""

    source: Source
    write: Write
    offset: int = 0
    # Whether the file was seen to be a new run's before the task said so.
    _begun_again: bool = field(default=False, init=False)

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

    async def advance(self, found: FileProperties | None = None) -> bool:
        """Pass on what is new; whether the file was made again from its beginning, as when its task runs again.

        Args:
            found: its properties, if they were just read.
        """
        length = (found or await self.source.properties()).content_length or 0
        again = length < self.offset
        if again:
            self.offset = 0
        if length > self.offset:
            async with self.source.part(self.offset, length - 1) as stream:
                async for chunk in stream:
                    self.write(chunk)
                    self.offset += len(chunk)
        return again

    async def whole(self, start_over: Callable[[], None]) -> None:
        """Pass on the rest of the file as it is now, over lost connections.

        Args:
            start_over: is called when the file was replaced while the connection was lost, so that what was passed on does not
                belong to what follows; may raise. A file that has only grown is continued.
        """
        begun, known = self.offset, None
        for attempt in range(PATIENCE):
            try:
                found = await self.source.properties()
                version = await self.source.version(found)
                is_other = known is not None and version not in {None, known}
                if self.offset > begun and (is_other or (found.content_length or 0) < self.offset):
                    start_over()
                    self.offset = begun
                known = version or known
                await self.advance(found)
            except TransientError:
                if attempt + 1 == PATIENCE:
                    raise
                await asyncio.sleep(PAUSE)
            else:
                return

    async def follow(self, note: Callable[[str], object]) -> None:
        """Pass on what is written until the writer has ended.

        Args:
            note: is told what the user should know.
        """
        failures, run = 0, None
        while True:
            try:
                # Before the file is read, so that what was written last is in it.
                writer = await self.source.writer()
                # A new run may have written more than the one before: then the length does not tell.
                if writer.run is not None and run is not None and writer.run != run:
                    if self.offset and not self._begun_again:
                        self.offset = 0
                        note(_AGAIN)
                    self._begun_again = False
                run = writer.run or run
                await self._look(note, ended=writer.ended)
            except TransientError:
                failures += 1
                if failures == PATIENCE:
                    raise
                if failures == 1:
                    note(LOST)
            else:
                failures = 0
                if writer.ended:
                    return
            await asyncio.sleep(PAUSE)

    async def _look(self, note: Callable[[str], object], *, ended: bool) -> None:
        try:
            if await self.advance():
                self._begun_again = True
                note(_AGAIN)
        except (NotFoundError, ConflictError) as error:
            # Before the task has begun there is no file; afterwards it is gone, and that is to be said.
            if ended or isinstance(error, TransientError):
                raise
