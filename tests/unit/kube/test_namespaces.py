"""Namespaces: what was read a while ago serves most, and a fresh read is shared by those that ask together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from azure_batch_operator.kube.access import Access
from azure_batch_operator.kube.api import Busy, KubeError
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


class Answers:
    """What the API server answers for each namespace; 200 unless a test says another status."""

    def __init__(self) -> None:
        self.of: dict[str, int] = {}

    async def request(self, method: str, path: str, **_: Any) -> dict[str, Any]:
        name = path.rpartition("/")[2]
        match self.of.get(name, 200):
            case 200:
                return {"metadata": {"name": name}}
            case 403:
                raise KubeError("namespaces is forbidden", 403)
            case status:
                raise Busy("API server unreachable: ClientConnectorCertificateError", status)


async def test_a_denied_namespace_is_waited_for_only_while_the_api_server_answers() -> None:
    """With an outdated certificate authority every request fails, and only a restart heals it, whether or not one is denied."""
    answers, access = Answers(), Access(["a", "team"])
    namespaces = Namespaces(answers, access, lambda _: None)  # type: ignore[arg-type]
    await namespaces.refresh()
    assert not access.is_waited_for
    answers.of = {"team": 403}
    await namespaces.refresh()
    assert access.is_waited_for
    answers.of = {"team": 0, "a": 0}
    with pytest.raises(Busy):
        await namespaces.refresh()
    assert set(access.denied) == {"team"}
    assert not access.is_waited_for
    answers.of = {"team": 403}
    await namespaces.refresh()
    assert access.is_waited_for


async def test_a_namespace_is_seen_to_be_denied_although_another_one_cannot_be_read() -> None:
    """Its watch is given up a minute after it was refused, and the operator ends with it."""
    answers, access = Answers(), Access(["a", "team", "b"])
    namespaces = Namespaces(answers, access, lambda _: None)  # type: ignore[arg-type]
    answers.of = {"a": 500, "team": 403}
    with pytest.raises(Busy):
        await namespaces.refresh()
    assert set(access.denied) == {"team"}
