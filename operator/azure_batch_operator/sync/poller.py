"""One poller per account: bulk lists, never a GET per object (design §5; batch-semantics §8).

What is asked for stands in `sync/polls`; this is the when. Polls follow each other quickly while something moves and slow down
while nothing does.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import BatchClient, BatchError
from azure_batch_operator.sync.mirror import Interest, Mirror
from azure_batch_operator.sync.polls.base import News, options
from azure_batch_operator.sync.polls.jobs import JobPoll
from azure_batch_operator.sync.polls.nodes import NodePoll
from azure_batch_operator.sync.polls.offers import OfferPoll
from azure_batch_operator.sync.polls.pools import PoolPoll
from azure_batch_operator.sync.polls.schedules import SchedulePoll
from azure_batch_operator.sync.polls.tasks import TaskPoll

_CONCURRENCY = 8


class Changed(Protocol):
    """Is told objects whose remote side looks different; `moved` if it has come, gone or changed its state."""

    def __call__(self, keys: Iterable[Key], *, moved: bool = False) -> None: ...


class Pace:
    """Seconds between polls: the least while something moves, then longer and longer."""

    def __init__(self, least: float, most: float) -> None:
        self._least, self._most = least, most
        self.seconds = least

    def moved(self) -> None:
        """Something has changed."""
        self.seconds = self._least

    def still(self, *, expecting: bool) -> None:
        """Nothing has changed; while something is expected to, patience ends earlier."""
        most = min(self._most, self._least * 5) if expecting else self._most
        self.seconds = min(most, self.seconds * 1.5)


class Poller:
    """Keeps the mirror of one account up to date.

    Args:
        changed: is told what each poll has found.
        healthy: is told how each poll ended: None, or the error.
        least, most: bounds of the seconds between two polls.
        share: calls per second that polling may take; a poll of many jobs is followed by a longer rest.
    """

    def __init__(
        self,
        client: BatchClient,
        mirror: Mirror,
        interest: Interest,
        changed: Changed,
        healthy: Callable[[BatchError | None], None],
        *,
        least: float = 1.0,
        most: float = 60.0,
        share: float = math.inf,
    ) -> None:
        self._client = client
        self._mirror = mirror
        self._pools = PoolPoll(client, mirror, interest)
        self._nodes = NodePoll(client, mirror, interest)
        self._offers = OfferPoll(client, mirror, interest)
        self._jobs = JobPoll(client, mirror, interest)
        self._tasks = TaskPoll(client, mirror, interest)
        self._schedules = SchedulePoll(client, mirror, interest)
        self._interest = interest
        self._changed = changed
        self._healthy = healthy
        self._pace = Pace(least, most)
        self._spacing = min(0.25, least)
        self._share = share
        self._calls = 0
        self._poked = asyncio.Event()
        self.opened = self.due = asyncio.get_running_loop().time()
        self.last_success: float | None = None

    def answered(self) -> None:
        """A call of the account has ended, well or badly: whoever polls is not stuck."""
        self.due = max(self.due, asyncio.get_running_loop().time())

    def poke(self) -> None:
        """Poll soon: something was written, or somebody is new."""
        self._pace.moved()
        self._poked.set()

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            self._poked.clear()
            await self.poll()
            rest = max(self._spacing, self._calls / self._share)
            wait = self._pace.seconds * random.uniform(0.8, 1.2)  # noqa: S311
            self.due = asyncio.get_running_loop().time() + rest + wait
            await asyncio.sleep(rest)
            try:
                async with asyncio.timeout(wait):
                    await self._poked.wait()
            except TimeoutError:
                continue

    async def poll(self) -> None:
        """One pass over everything that somebody is interested in."""
        news = News()
        try:
            await self._poll(news)
        except BatchError as error:
            self._healthy(error)
            self._pace.still(expecting=True)
        else:
            self.last_success = asyncio.get_running_loop().time()
            self._healthy(None)
            if news:
                self._pace.moved()
            else:
                self._pace.still(expecting=self._expecting())
        # What was seen before the error counts all the same.
        self._changed(news.moved, moved=True)
        self._changed(news.changed - news.moved)

    def _expecting(self) -> bool:
        mirror = self._mirror
        return bool(
            self._interest.tasks
            or mirror.results
            or any(table.touched for table in (mirror.pools, mirror.jobs, mirror.schedules))
        )

    async def _poll(self, news: News) -> None:
        interest = self._interest
        await self._offers.poll(news)
        if not interest and not self._mirror.outputs:
            # An account that nobody uses is still checked: is it there, are we let in?
            await self._first(self._client.pools.list_pages(select=("id",), max_results=1, **options()))
            return
        if interest.pools or interest.jobs:
            # Jobs that wait say what for, so their pools are looked at, too.
            await self._pools.poll(news)
        if interest.jobs or interest.tasks or interest.jobs_of_pools:
            await self._jobs.poll(news)
        if interest.schedules:
            await self._schedules.poll(news)
        await self._all(
            [*self._nodes.steps(news), *self._jobs.steps(news), *self._tasks.steps(news), *self._schedules.steps(news)]
        )

    @staticmethod
    async def _first(pages: Any) -> None:
        async for _ in pages:
            break

    async def _all(self, steps: list[Awaitable[None]]) -> None:
        """Take all steps, some at once."""
        gate = asyncio.Semaphore(_CONCURRENCY)

        async def guarded(step: Awaitable[None]) -> None:
            async with gate:
                await step

        self._calls = len(steps)
        try:
            async with asyncio.TaskGroup() as group:
                for step in steps:
                    group.create_task(guarded(step))
        except* BatchError as errors:
            raise _first_of(errors) from None

    def claim(self, job_id: str, task_id: str, owner: str) -> None:
        """The service has just taken this task from us."""
        self._tasks.claim(job_id, task_id, owner)


def _first_of(errors: BaseExceptionGroup[BatchError]) -> BatchError:
    first = errors.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first
