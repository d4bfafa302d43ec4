"""Lists as asynchronous iterators.

A page may be empty and still have a successor, so only the absence of a link ends a list (docs/azure-batch.md#pages).
Nothing is fetched before it is asked for, and a list that is left early holds no connection.
"""

from collections.abc import AsyncIterator, Awaitable, Callable

from yarl import URL

from azure_batch_operator.batch.answers import Answer, JsonObject, json_object, page
from azure_batch_operator.batch.errors import MalformedAnswerError
from azure_batch_operator.batch.requests import Request, next_page

Page = tuple[list[JsonObject], str | None]
"""Items, and the link to the next page."""


def read_page(answer: Answer, operation: str, needed: str | None = None) -> Page:
    """Read an answer as a page; each item must have the `needed` member."""
    return page(json_object(answer, operation), answer, operation, needed)


async def pages(
    send: Callable[[Request], Awaitable[Page]], request: Request, origin: URL
) -> AsyncIterator[list[JsonObject]]:
    """The pages of a list, in the service's order.

    Raises:
        MalformedAnswerError: a page is not one, or its link leads to another host or back to where it came from.
    """
    seen: set[str] = set()
    while True:
        items, link = await send(request)
        yield items
        if link is None:
            return
        if link in seen:
            raise MalformedAnswerError("the links between the pages go in a circle", operation=request.operation.id)
        seen.add(link)
        request = next_page(request, link, origin)


async def items(source: AsyncIterator[list[JsonObject]]) -> AsyncIterator[JsonObject]:
    """The items of all pages."""
    async for batch in source:
        for item in batch:
            yield item
