"""Texts of Secrets are read when they are needed, shared by those who wait for them, and remembered for moments.

A read that several wait for belongs to none of them: one may give up, and a failure that nobody waits for is nobody's.
"""

from __future__ import annotations

import asyncio
import base64
import gc
from collections.abc import Mapping
from typing import Any, cast

import pytest

from azure_batch_operator.kube.api import Busy, KubeApi, KubeError, NotFound
from azure_batch_operator.kube.values import REMEMBERED_FOR, ValueMissingError, ValueReader


class Server:
    """An API server whose first answers are held back until a test lets them fail."""

    def __init__(self) -> None:
        self.requests = 0
        self.fails = asyncio.Event()

    async def request(self, method: str, path: str, **_: Any) -> Mapping[str, Any]:
        self.requests += 1
        if self.requests == 1:
            await self.fails.wait()
            raise Busy("API server unreachable")
        return {"metadata": {"uid": "1", "resourceVersion": "1"}, "data": {"key": "dmFsdWU="}}


async def test_a_failed_read_without_a_waiter_is_discarded_silently() -> None:
    server, told = Server(), list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    values = ValueReader(cast("KubeApi", server))
    waiting = asyncio.create_task(values.text("Secret", "default", "mine", "key"))
    while not server.requests:
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    server.fails.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert await values.text("Secret", "default", "mine", "key") == "value"
    gc.collect()
    await asyncio.sleep(0)
    assert told == []
    assert server.requests == 2


class Counting:
    """An API server with an object whose text is the number of the request, or with what `answer` says."""

    def __init__(self) -> None:
        self.requests = 0
        self.answer: Exception | None = None

    async def request(self, method: str, path: str, **_: Any) -> Mapping[str, Any]:
        self.requests += 1
        await asyncio.sleep(0)
        if self.answer is not None:
            raise self.answer
        encoded = base64.b64encode(str(self.requests).encode()).decode()
        return {"metadata": {"uid": path, "resourceVersion": str(self.requests)}, "data": {"key": encoded}}


async def test_an_object_does_not_get_values_read_before_it_was_observed() -> None:
    server = Counting()
    values = ValueReader(cast("KubeApi", server))
    assert await values.text("Secret", "default", "mine", "key") == "1"
    # Who applied the Secret and then the object expects the new value.
    since = values.moment()
    both = [values.text("Secret", "default", "mine", "key", since=since) for _ in range(2)]
    assert await asyncio.gather(*both) == ["2", "2"]
    assert await values.text("Secret", "default", "mine", "key") == "2"
    assert server.requests == 2


async def test_a_failure_is_not_remembered() -> None:
    server = Counting()
    values = ValueReader(cast("KubeApi", server))
    server.answer = Busy("API server unreachable")
    with pytest.raises(Busy):
        await values.text("Secret", "default", "mine", "key")
    server.answer = None
    assert await values.text("Secret", "default", "mine", "key") == "2"


async def test_a_new_version_is_read_again() -> None:
    """Another incarnation of a Secret, or another version, is not taken for the one that is remembered."""
    server = Counting()
    values = ValueReader(cast("KubeApi", server))
    assert await values.text("Secret", "default", "mine", "key") == "1"
    await values.version_now("Secret", "default", "mine")
    assert await values.text("Secret", "default", "mine", "key") == "3"


async def test_remembered_reads_are_bounded_and_short_lived(monkeypatch: pytest.MonkeyPatch) -> None:
    server, loop = Counting(), asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)
    values = ValueReader(cast("KubeApi", server))
    for number in range(300):
        await values.text("Secret", "default", f"s{number}", "key")
    await values.text("Secret", "default", "s0", "key")
    assert server.requests == 300
    now += REMEMBERED_FOR
    assert await values.text("Secret", "default", "s0", "key") == "301"
    # What is too old to be used goes when there is much of it.
    assert len(values._known) == 1


@pytest.mark.parametrize(
    ("status", "reason"), [(404, "SecretNotFound"), (403, "SecretForbidden"), (None, "SecretKeyNotFound")]
)
async def test_the_reason_says_what_is_missing(status: int | None, reason: str) -> None:
    server = Counting()
    if status is not None:
        server.answer = NotFound("no", 404) if status == 404 else KubeError("no", status)
    with pytest.raises(ValueMissingError) as caught:
        await ValueReader(cast("KubeApi", server)).text("Secret", "default", "mine", "key" if status else "other")
    assert caught.value.reason == reason
