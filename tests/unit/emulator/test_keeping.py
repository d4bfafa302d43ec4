"""What an emulator keeps and gives back: its state file, its settings, large files, half a blob."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from azure_batch_emulator import Emulator, EmulatorConfig
from azure_batch_emulator.clock import ManualClock
from azure_batch_emulator.emulator import ConfigurationError
from azure_batch_emulator.web.door import Bodies
from azure_batch_emulator.web.response_bodies import content
from azure_batch_emulator.web.storage import Storage
from azure_batch_emulator.wire.errors import BatchError

KEY = "bXkta2V5"


async def _life(file: Path, *, account: str, application: str | None = None) -> list[str]:
    """Start an emulator with a state file and stop it; the applications that it had at the end."""
    config = EmulatorConfig(port=0, account=account, key=KEY, state_file=file, executor="simulated")
    async with Emulator(config) as emulator:
        known = emulator.services[account].applications
        if application is not None:
            known[application] = {"id": application, "displayName": application, "versions": []}
        return sorted(known)


def test_an_account_that_is_not_served_this_time_is_not_lost(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    asyncio.run(_life(file, account="mine", application="tool"))
    assert asyncio.run(_life(file, account="other", application="saw")) == ["saw"]
    assert asyncio.run(_life(file, account="mine")) == ["tool"]
    assert asyncio.run(_life(file, account="other")) == ["saw"]


@pytest.mark.parametrize(
    "picture",
    [
        [],
        {"storage": {"serial": 0, "containers": {}}, "accounts": []},
        {"storage": {"serial": 0, "containers": {}}, "accounts": {"mine": []}},
        {"storage": {"serial": 0, "containers": {}}, "accounts": {"mine": {"version": 1, "applications": 3}}},
        {"storage": {"serial": 0, "containers": []}, "accounts": {}},
        {"storage": {"serial": 0, "containers": {"c": [[]]}}, "accounts": {}},
        "{",
        None,
    ],
)
def test_an_invalid_state_file_is_named_and_kept(tmp_path: Path, picture: Any) -> None:
    file = tmp_path / "state.json"
    if picture is None:
        file.mkdir()
    else:
        file.write_text(picture if isinstance(picture, str) else json.dumps(picture))
    before = None if picture is None else file.read_bytes()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        asyncio.run(_life(file, account="mine"))
    assert before is None or file.read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"time_scale": 0.0}, "the time scale is 0: use a number above 0 and at most 10,000"),
        ({"time_scale": 10_001.0}, "the time scale is 10001: "),
        ({"time_scale": float("inf")}, "the time scale is inf: "),
        ({"time_scale": float("nan")}, "the time scale is nan: "),
        ({"counts_lag": -1.0}, "the lag of counts is -1: "),
        ({"counts_lag": float("inf")}, "the lag of counts is inf: "),
        ({"counts_lag": float("nan")}, "the lag of counts is nan: "),
    ],
)
def test_numbers_that_timers_do_not_work_with(settings: dict[str, float], message: str) -> None:
    async def run() -> None:
        async with Emulator(EmulatorConfig(port=0, executor="simulated", **settings)):
            pass

    with pytest.raises(ConfigurationError, match=message):
        asyncio.run(run())


class _Gone:
    """The body of a caller who goes away in the middle of it."""

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        yield b"x" * size
        raise ConnectionResetError


class _Put:
    method = "PUT"
    content = _Gone()
    headers: Mapping[str, str] = {}


def test_half_a_blob_leaves_nothing(tmp_path: Path) -> None:
    storage = Storage(tmp_path, ManualClock())
    with pytest.raises(ConnectionResetError):
        asyncio.run(storage.handle(cast("web.BaseRequest", _Put()), "/storage/c/blob", ""))
    assert list(tmp_path.iterdir()) == []
    assert storage.containers == {}


CHUNK = 64 * 1024


class _File:
    """A file of many chunks that counts those that have been read."""

    def __init__(self, chunks: int) -> None:
        self.left, self.read = chunks, 0

    async def stream(self) -> AsyncIterator[bytes]:
        while self.left:
            self.left -= 1
            self.read += 1
            yield bytes([self.left % 256]) * CHUNK


async def _sent(body: bytes | AsyncIterator[bytes]) -> int:
    return len(body) if isinstance(body, bytes) else sum([len(chunk) async for chunk in body])


@pytest.mark.parametrize(("whole", "most"), [(False, 17), (True, 1000)])
def test_a_large_file_is_not_held_in_memory(whole: bool, most: int) -> None:
    async def run() -> None:
        file = _File(1000)
        body = await content(file.stream(), whole=whole)
        assert file.read == most
        assert await _sent(body) == 1000 * CHUNK

    asyncio.run(run())


def test_each_account_has_its_own_quotas() -> None:
    async def run() -> tuple[int, int]:
        config = EmulatorConfig(port=0, account="one", key=KEY, accounts={"two": KEY}, executor="simulated")
        async with Emulator(config) as emulator:
            emulator.services["two"].quotas.pools = 1
            return emulator.services["one"].quotas.pools, emulator.services["two"].quotas.pools

    assert asyncio.run(run()) == (100, 1)


def test_a_body_that_unpacks_to_very_much_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(100 * 1024 * 1024))

    class Sent:
        body_exists, content_length, headers = True, len(bomb), {"Content-Encoding": "gzip"}

        async def read(self) -> bytes:
            return bomb

    tracemalloc.start()
    try:
        with pytest.raises(BatchError, match="RequestBodyTooLarge"):
            asyncio.run(Bodies().read(cast("web.BaseRequest", Sent())))
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    finally:
        tracemalloc.stop()
