"""What is remembered of the Secrets of accounts, and when it is not believed any more."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.sync.secret_keeper import SecretKeeper

MAIN = Key(Kind.ACCOUNT, "team", "main")


class Api:
    """One Secret with the finalizer, as long as nobody takes it off."""

    def __init__(self) -> None:
        self.reads, self.finalizers = 0, ["azurebatch.io/finalizer"]

    async def request(self, method: str, path: str, *, body: Any = None, **_: Any) -> dict[str, Any]:
        assert path == "/api/v1/namespaces/team/secrets/key"
        if method == "GET":
            self.reads += 1
        else:
            self.finalizers = body[-1]["value"]
        return {"metadata": {"uid": "u", "resourceVersion": "1", "finalizers": self.finalizers}}


async def test_what_another_replica_may_have_changed_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: 100.0)
    api = Api()
    keeper = SecretKeeper(api, SimpleNamespace())  # type: ignore[arg-type]
    for _ in range(2):
        assert (await keeper.look(MAIN, "key", wanted=True, others=())).secret == "key"
    assert api.reads == 1
    api.finalizers = []
    keeper.drop(MAIN)
    assert keeper.secret(MAIN) is None
    await keeper.look(MAIN, "key", wanted=True, others=())
    assert (api.reads, api.finalizers) == (2, ["azurebatch.io/finalizer"])
