"""A file that grows is passed on once, whole, and over lost connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from azure_batch_kubectl.logs_command import Lines
from azure_batch_kubectl.reading import Reader, Writer, changed, start_of_last_lines
from azure_batch_kubectl.remote import NodeFile, TaskFile
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

    def __init__(self, *versions: bytes | None, breaks: frozenset[int] = frozenset(), runs: str = "") -> None:
        self.versions, self.look, self.breaks, self.parts, self.runs = versions, -1, breaks, 0, runs

    async def writer(self) -> Writer:
        self.look = min(self.look + 1, len(self.versions) - 1)
        run = self.runs[self.look] if self.runs else None
        return Writer(self.look == len(self.versions) - 1, run)

    async def properties(self) -> FileProperties:
        data = self.versions[max(self.look, 0)]
        if data is None:
            raise NotFoundError("no file", code="FileNotFound")
        changed = datetime(2026, 5, 1, 0, 0, max(self.look, 0), tzinfo=UTC)
        return FileProperties(len(data), None, changed, None, is_directory=False, mode=None, url=None)

    async def version(self, found: FileProperties) -> object:
        return self.runs[max(self.look, 0)] if self.runs else None

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


AGAIN = "the task runs again: its output from the beginning"


@pytest.mark.parametrize(
    ("versions", "runs", "out"),
    [
        ((b"fail\n", b"fail\n"), "12", b"fail\nfail\n"),
        ((b"run 1\n", b"run 2\nmore\n"), "12", b"run 1\nrun 2\nmore\n"),
        # The file is the new run's before the task says so.
        ((b"run 1 is long\n", b"run 2\n", b"run 2\nmore\n"), "112", b"run 1 is long\nrun 2\nmore\n"),
        # The task says so before the file is the new run's: shown twice rather than not at all.
        ((b"run 1\n", b"run 1\n", b"2\n"), "122", b"run 1\nrun 1\n2\n"),
    ],
)
async def test_a_new_run_is_shown_from_its_beginning_whatever_its_length(
    versions: tuple[bytes, ...], runs: str, out: bytes
) -> None:
    shown, notes = await followed(Script(*versions, runs=runs))
    assert shown == out
    assert set(notes) == {AGAIN}


class Changing(Script):
    """Is another one at each look."""

    async def properties(self) -> FileProperties:
        self.look = min(self.look + 1, len(self.versions) - 1)
        return await super().properties()


async def test_a_file_that_is_replaced_while_the_connection_is_lost_is_copied_from_its_beginning() -> None:
    for after in (b"BB", b"BBBBBBBBBB", b"BBBBBBBBBBBBB"):
        out = bytearray()
        await Reader(Changing(b"A" * 10, after, breaks=frozenset({1}), runs="12"), out.extend).whole(out.clear)
        assert bytes(out) == after


async def test_a_file_that_has_become_shorter_is_copied_from_its_beginning_whatever_is_known_of_its_run() -> None:
    for runs in ("", "11"):
        out = bytearray()
        await Reader(Changing(b"A" * 10, b"BB", breaks=frozenset({1}), runs=runs), out.extend).whole(out.clear)
        assert bytes(out) == b"BB"


async def test_a_file_that_has_grown_while_the_connection_was_lost_is_continued() -> None:
    out = bytearray()
    await Reader(Changing(b"A" * 10, b"A" * 10 + b"BBB", breaks=frozenset({1}), runs="11"), out.extend).whole(changed)
    assert bytes(out) == b"A" * 10 + b"BBB"


async def test_what_shows_that_a_file_was_replaced() -> None:
    class Tasks:
        async def get(self, *_: str, **__: Any) -> dict[str, Any]:
            return {"id": "t", "state": "running", "executionInfo": {"startTime": "2026-05-01T00:00:00Z"}}

    client: Any = SimpleNamespace(tasks=Tasks())
    found = FileProperties(1, None, datetime(2026, 5, 1, tzinfo=UTC), None, is_directory=False, mode=None, url=None)
    assert await TaskFile(client, "j", "t", "stdout.txt").version(found) == "2026-05-01T00:00:00Z"
    assert await NodeFile(client, "p", "n", "startup/stdout.txt").version(found) == found.last_modified


async def test_a_file_that_is_gone_at_the_end_is_said() -> None:
    with pytest.raises(NotFoundError):
        await followed(Script(None))


async def test_an_outage_without_end_ends_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azure_batch_kubectl.reading.PATIENCE", 3)
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
    await reader.whole(out.clear)
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


async def test_outages_that_end_are_not_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azure_batch_kubectl.reading.PATIENCE", 3)

    class Shaky(Script):
        """Two of three looks fail."""

        asked = 0

        async def writer(self) -> Writer:
            self.asked += 1
            if self.asked % 3:
                raise ConnectionFailedError("reset")
            return await super().writer()

    out, notes = await followed(Shaky(b"a\n", b"a\nb\n", b"a\nb\nc\n"))
    assert (out, notes) == (b"a\nb\nc\n", ["connection lost, trying again"] * 3)
