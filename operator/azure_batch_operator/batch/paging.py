"""Lists as asynchronous iterators.

A page may be empty and still have a successor, so only the absence of a link ends a list (docs/azure-batch.md#pages).
Pages are fetched on demand, and a list that is abandoned early holds no connection.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from yarl import URL

from azure_batch_operator.batch.errors import MalformedResponseError
from azure_batch_operator.batch.requests import Request, next_page
from azure_batch_operator.batch.responses import JsonObject, Response, is_json, json_object, page
from azure_batch_operator.batch.wire import W, attributes, build, decode_page

T = TypeVar("T")


def read_page(
    response: Response, operation: str, needed: tuple[str, ...] = (), dropped: list[str] | None = None
) -> tuple[list[JsonObject], str | None]:
    """Read a response as a page: its items, each of which must have the `needed` members, and the link to the next page."""
    return page(json_object(response, operation), response, operation, needed, dropped)


def read_typed(
    struct: type[W],
    response: Response,
    operation: str,
    needed: tuple[str, ...] = (),
    dropped: list[str] | None = None,
) -> tuple[list[W], str | None]:
    """The same with items as structs; only a page that does not match the API is read as JSON objects."""
    if is_json(response) and (found := decode_page(struct, response.body)) is not None:
        names = attributes(struct, needed)
        if not any(getattr(item, name) is None for name in names for item in found.value):
            return found.value, found.link or None
    items, link = read_page(response, operation, needed, dropped)
    return [build(struct, item) for item in items], link


async def pages(
    send: Callable[[Request], Awaitable[tuple[list[T], str | None]]], request: Request, origin: URL
) -> AsyncIterator[list[T]]:
    """The pages of a list, in the service's order.

    Raises:
        MalformedResponseError: a page is malformed, or its link leads to another host or back to itself.
    """
    seen: set[str] = set()
    while True:
        items, link = await send(request)
        yield items
        if link is None:
            return
        if link in seen:
            raise MalformedResponseError("the links to the next pages form a loop", operation=request.operation.id)
        seen.add(link)
        request = next_page(request, link, origin)


async def items(source: AsyncIterator[list[T]]) -> AsyncIterator[T]:
    """The items of all pages."""
    async for batch in source:
        for item in batch:
            yield item
