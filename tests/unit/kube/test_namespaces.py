"""Namespaces: what was read a while ago serves most, and a fresh read is shared by those that ask together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from azure_batch_operator.kube.access import Access
from azure_batch_operator.kube.api import Busy
from azure_batch_operator.kube.namespaces import Namespaces

POLICY = "azurebatch.io/reconcile-policy"


class Api:
    """One namespace; a read takes as long as the test says."""

    def __init__(self) -> None:
        self.policy, self.reads, self.failing = "manage", 0, False
        self.gate = asyncio.Event()
        self.gate.set()

    async def request(self, method: str, path: str, **_: Any) -> dict[str, Any]:
        self.reads += 1
        policy = self.policy
        await self.gate.wait()
        if self.failing:
            raise Busy("restarting", 503)
        return {"metadata": {"name": "a", "annotations": {POLICY: policy}}}


async def policy(reading: Any) -> str:
    return str((await reading).annotations[POLICY])


async def test_a_fresh_read_sees_what_was_written_before_it_was_requested() -> None:
    api, told = Api(), list[str]()
    namespaces = Namespaces(api, Access(), told.append)  # type: ignore[arg-type]
    assert await policy(namespaces.find("a")) == "manage"
    api.policy = "detach-on-delete"
    assert await policy(namespaces.find("a")) == "manage"
    assert await policy(namespaces.fresh("a")) == "detach-on-delete"
    assert await policy(namespaces.find("a")) == "detach-on-delete"
    assert told == ["a"], "the other objects of the namespace learn of it"


async def test_a_read_that_began_earlier_serves_nobody_who_asks_later() -> None:
    api = Api()
    namespaces = Namespaces(api, Access(), lambda _: None)  # type: ignore[arg-type]
    api.gate.clear()
    first = asyncio.create_task(policy(namespaces.fresh("a")))
    await asyncio.sleep(0)
    api.policy = "detach-on-delete"
    later = [asyncio.create_task(policy(namespaces.fresh("a"))) for _ in range(50)]
    await asyncio.sleep(0)
    api.gate.set()
    assert await first == "manage"
    assert set(await asyncio.gather(*later)) == {"detach-on-delete"}
    assert api.reads == 2


async def test_a_read_that_failed_serves_nobody() -> None:
    api = Api()
    namespaces = Namespaces(api, Access(), lambda _: None)  # type: ignore[arg-type]
    await namespaces.find("a")
    api.failing = True
    with pytest.raises(Busy):
        await namespaces.fresh("a")
    api.failing, api.policy = False, "skip"
    assert await policy(namespaces.fresh("a")) == "skip"
