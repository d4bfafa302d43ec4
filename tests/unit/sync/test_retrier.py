"""Running failed tasks again: once for each value and incarnation, and with a backoff of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import InvalidRequestError
from azure_batch_operator.sync.feeder import Incarnation
from azure_batch_operator.sync.retrier import Retrier
from support.jumping_loop import run_jumping
from support.typed import Listed

KEY = Key(Kind.JOB, "default", "one")
FIRST = Incarnation(KEY, "uid", "2026-01-01T00:00:00Z")
LATER = "2026-01-03T00:00:00Z"
SECOND = Incarnation(KEY, "uid", "2026-01-02T00:00:00Z")


class Client:
    """A job with two failed tasks; `refuses` is raised instead of running one again."""

    def __init__(self) -> None:
        self.tasks = self
        self.reactivated: list[str] = []
        self.lists = 0
        self.refuses: Exception | None = None

    def list(self, job_id: str, **_: Any) -> Listed:
        self.lists += 1
        return Listed(self._failed())

    async def _failed(self) -> AsyncIterator[dict[str, str]]:
        for id in ("a", "b"):
            yield {"id": id}

    async def reactivate(self, job_id: str, task_id: str, **_: Any) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.reactivated.append(task_id)


async def _scene() -> tuple[Client, Retrier, asyncio.Queue[Key], asyncio.Task[None]]:
    client, settled = Client(), asyncio.Queue[Key]()
    retrier = Retrier(client, lambda keys: [settled.put_nowait(key) for key in keys] and None)  # type: ignore[arg-type]
    running = asyncio.create_task(retrier.run())
    await asyncio.sleep(0)
    return client, retrier, settled, running


def test_actions_on_a_former_job_do_not_count_for_the_next() -> None:
    async def run() -> None:
        client, retrier, settled, running = await _scene()
        assert retrier.retry(FIRST, "j", "1", LATER) is None
        await settled.get()
        assert client.reactivated == ["a", "b"]
        assert retrier.done(FIRST) == "1"
        assert retrier.done(SECOND) is None
        assert retrier.retry(SECOND, "j", "1", LATER) is None
        await settled.get()
        assert client.reactivated == ["a", "b", "a", "b"]
        assert (retrier.done(FIRST), retrier.done(SECOND)) == (None, "1")
        retrier.forget(KEY)
        assert retrier.done(SECOND) is None
        running.cancel()

    run_jumping(run())


def test_a_refused_one_waits_but_not_for_another_job_or_another_value() -> None:
    async def run() -> None:
        client, retrier, settled, running = await _scene()
        client.refuses = InvalidRequestError("no", status=400)
        retrier.retry(FIRST, "j", "1", LATER)
        await settled.get()
        assert client.lists == 1
        assert retrier.done(FIRST) is None
        wait = retrier.retry(FIRST, "j", "1", LATER)
        assert wait is not None
        assert 0 < wait <= 66
        assert client.lists == 1
        client.refuses = None
        assert retrier.retry(FIRST, "j", "2", LATER) is None
        await settled.get()
        assert (client.lists, retrier.done(FIRST)) == (2, "2")
        running.cancel()

    run_jumping(run())
