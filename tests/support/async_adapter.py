"""The asynchronous official client behind the synchronous one's face, so that the same tests drive both."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterable, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Self

from azure.batch.aio import BatchClient
from azure.core.async_paging import AsyncItemPaged


class BlockingClient:
    """Runs each call of an asynchronous client to its end on a loop of its own."""

    def __init__(self, endpoint: str, credential: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="asynchronous client", daemon=True)
        self._endpoint = endpoint
        self._credential = credential
        self._client: BatchClient | None = None

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    def __enter__(self) -> Self:
        self._thread.start()

        async def make() -> BatchClient:
            return BatchClient(self._endpoint, self._credential)

        self._client = self._run(make())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._client is not None
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*arguments: Any, **options: Any) -> Any:
            async def work() -> Any:
                found = method(*arguments, **options)
                # Some methods of this version return a coroutine that they should have awaited.
                while inspect.isawaitable(found):
                    found = await found
                if isinstance(found, AsyncIterable) and not isinstance(found, AsyncItemPaged):
                    return [chunk async for chunk in found]
                return found

            found = self._run(work())
            return BlockingPages(self, found) if isinstance(found, AsyncItemPaged) else found

        return call

    def everything(self, items: AsyncIterable[Any]) -> list[Any]:
        """All items of an asynchronous iterable."""

        async def collect() -> list[Any]:
            return [item async for item in items]

        found: list[Any] = self._run(collect())
        return found

    def step(self, iterator: Any) -> Any:
        """The next of an asynchronous iterator."""

        async def following() -> Any:
            return await anext(iterator)

        return self._run(following())


class BlockingPages:
    """A paged list: iterated as a whole, or by page."""

    def __init__(self, client: BlockingClient, paged: AsyncItemPaged[Any]) -> None:
        self._client = client
        self._paged = paged
        self._items: Iterator[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._items is None:
            self._items = iter(self._client.everything(self._paged))
        return next(self._items)

    def by_page(self) -> Iterator[Iterator[Any]]:
        """One iterator of items per page, fetched when it is asked for."""
        pages = self._paged.by_page()
        while True:
            try:
                page = self._client.step(pages)
            except StopAsyncIteration:
                return
            yield iter(self._client.everything(page))
