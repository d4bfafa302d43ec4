"""A read that several wait for belongs to none of them: one may give up, and a failure that nobody waits for is nobody's."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from typing import Any, cast

from azure_batch_operator.kube.api import Busy, KubeApi
from azure_batch_operator.kube.values import Values


class Server:
    """An API server whose first answers are held back until a test lets them fail."""

    def __init__(self) -> None:
        self.requests = 0
        self.fails = asyncio.Event()

    async def request(self, method: str, path: str, **_: Any) -> Mapping[str, Any]:
        self.requests += 1
        if self.requests == 1:
            await self.fails.wait()
            raise Busy("API server out of reach")
        return {"metadata": {"uid": "1", "resourceVersion": "1"}, "data": {"key": "dmFsdWU="}}


async def test_a_read_that_fails_when_nobody_waits_any_more_is_forgotten_without_a_word() -> None:
    server, told = Server(), list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    values = Values(cast("KubeApi", server))
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
