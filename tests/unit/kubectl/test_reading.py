"""A file that grows is passed on once, whole, and over lost connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from azure_batch_kubectl.logs_command import Lines
from azure_batch_kubectl.reading import Reader, start_of_last_lines
from azure_batch_operator.batch import FileProperties
from azure_batch_operator.batch.errors import ConnectionFailedError, NotFoundError


class Stream:
    """Yields chunks of three bytes; breaks after one of them if it is to."""

    def __init__(self, data: bytes, *, breaks: bool) -> None:
        self._data, self._breaks = data, breaks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._data), 3):
            yield self._data[start : start + 3]
            if self._breaks:
                raise ConnectionFailedError("reset")

    async def read(self, limit: int) -> bytes:
        return self._data[:limit]


class Script:
    """What the file is at each look; None before it exists. The writer has ended at the last one."""

    def __init__(self, *versions: bytes | None, breaks: frozenset[int] = frozenset()) -> None:
        self.versions, self.look, self.breaks, self.parts = versions, -1, breaks, 0

    async def ended(self) -> bool:
        self.look = min(self.look + 1, len(self.versions) - 1)
        return self.look == len(self.versions) - 1

    async def properties(self) -> FileProperties:
        data = self.versions[max(self.look, 0)]
        if data is None:
            raise NotFoundError("no file", code="FileNotFound")
        return FileProperties(len(data), None, None, None, is_directory=False, mode=None, url=None)

    @asynccontextmanager
    async def part(self, first: int, last: int) -> Any:
        data = self.versions[max(self.look, 0)] or b""
        self.parts += 1
        yield Stream(data[first : last + 1], breaks=self.parts in self.breaks)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azure_batch_kubectl.reading.PAUSE", 0.0)


async def followed(script: Script, offset: int = 0) -> tuple[bytes, list[str]]:
    out, notes = bytearray(), list[str]()
    await Reader(script, out.extend, offset).follow(notes.append)
    return bytes(out), notes


async def test_what_is_written_is_passed_on_until_the_end() -> None:
    assert await followed(Script(None, None, b"a\n", b"a\n", b"a\nb\n")) == (b"a\nb\n", [])


async def test_a_lost_connection_repeats_nothing_and_leaves_nothing_out() -> None:
    script = Script(b"0123456789", b"0123456789abc", b"0123456789abc", breaks=frozenset({1, 2}))
    assert await followed(script) == (b"0123456789abc", ["connection lost, trying again"])


async def test_a_connection_that_is_lost_at_the_end_loses_nothing() -> None:
    script = Script(b"0123456789", breaks=frozenset({1, 2, 3}))
    assert (await followed(script))[0] == b"0123456789"


async def test_a_task_that_runs_again_begins_again() -> None:
    out, notes = await followed(Script(b"first try\n", b"2nd\n"))
    assert (out, notes) == (b"first try\n2nd\n", ["the task runs again: its output from the beginning"])


async def test_a_file_that_is_gone_at_the_end_is_said() -> None:
    with pytest.raises(NotFoundError):
        await followed(Script(None))


async def test_an_outage_without_end_ends_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azure_batch_kubectl.reading._PATIENCE", 3)
    script = Script(b"0123456789" * 9, breaks=frozenset(range(1, 9)))
    with pytest.raises(ConnectionFailedError):
        await followed(script)
    assert script.parts == 3


@pytest.mark.parametrize("size", [4, 64 << 10])
async def test_the_last_lines_are_found_from_the_end(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("azure_batch_kubectl.reading._CHUNK", size)
    data = b"".join(b"line %d\n" % number for number in range(50))
    out = bytearray()
    reader = Reader(Script(data), out.extend)
    await reader.to_last_lines(2)
    await reader.whole()
    assert bytes(out) == b"line 48\nline 49\n"


@pytest.mark.parametrize(
    ("data", "number", "start"),
    [(b"a\nb\n", 1, 2), (b"a\nb", 1, 2), (b"a\nb\n", 2, None), (b"", 1, None), (b"a\n", 0, 2), (b"a\n\n", 1, 2)],
)
def test_where_the_last_lines_begin(data: bytes, number: int, start: int | None) -> None:
    assert start_of_last_lines(data, number) == start


def test_lines_of_several_tasks_are_not_mixed() -> None:
    out = bytearray()
    lines = Lines("t1", out.extend)
    for part in (b"a", b"b\nc", b"\nd"):
        lines(part)
    lines.close()
    assert bytes(out) == b"t1: ab\nt1: c\nt1: d\n"
