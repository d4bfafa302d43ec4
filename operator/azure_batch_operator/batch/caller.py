"""Builds, sends and parses a call; the base of the operation groups.

One `Caller` per client. Its methods differ only in the kind of response (see `operations.ResponseKind`).
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

from azure_batch_operator.batch import paging
from azure_batch_operator.batch.errors import IncompleteListError
from azure_batch_operator.batch.models.base import Model
from azure_batch_operator.batch.operations import OPERATIONS
from azure_batch_operator.batch.requests import Priority, Request, build
from azure_batch_operator.batch.responses import (
    FileProperties,
    JsonObject,
    Receipt,
    Response,
    TaskAddResult,
    file_properties,
    json_object,
    receipt,
    required,
    shaped,
    task_add_results,
)
from azure_batch_operator.batch.transport import FileStream, Limits, Transport
from azure_batch_operator.batch.wire import W, Wire

T = TypeVar("T")

Json = Mapping[str, Any]
"""A JSON object in a request."""

JsonBody = Json | Model
"""A request's body: plain JSON, or a model; plain JSON may also contain models."""


class Listing:
    """A list of the service: iterate over its items, or over `pages()`. Each iteration sends requests again."""

    def __init__(self, transport: Transport, request: Request, limits: Limits, needed: tuple[str, ...]) -> None:
        self._transport = transport
        self._request = request
        self._limits = limits
        self._needed = needed

    def pages(self) -> AsyncIterator[list[JsonObject]]:
        """The pages, as lists of objects; a page may be empty."""
        return self._pages(paging.read_page)

    async def _pages(
        self, read: Callable[[Response, str, tuple[str, ...], list[str]], tuple[list[T], str | None]]
    ) -> AsyncIterator[list[T]]:
        """The pages; after the last one an error if items were skipped, since the list lacks what is there."""
        operation, dropped = self._request.operation.id, list[str]()

        async def send(request: Request) -> tuple[list[T], str | None]:
            return await self._transport.send(
                request, self._limits, lambda response: read(response, operation, self._needed, dropped)
            )

        async for page in paging.pages(send, self._request, self._transport.origin):
            yield page
        if dropped:
            text = f"the list is incomplete, because items of it cannot be read ({len(dropped)}; first: {dropped[0]})"
            raise IncompleteListError(text, operation=operation)

    def __aiter__(self) -> AsyncIterator[JsonObject]:
        return paging.items(self.pages())

    def of(self, struct: type[W]) -> AsyncIterator[W]:
        """The items as typed values, such as `client.tasks.list("j").of(wire.Task)`; the cheapest way to read a list.

        Raises:
            TypeError: it is no struct; the models of `batch.models` are none.
        """
        if not (isinstance(struct, type) and issubclass(struct, Wire)):
            text = (
                f"of() accepts a struct of batch.wire, batch.pool_wire or a similar module, such as wire.Task, not {struct!r}: "
                "to get models, read each item of the list, such as models.Task.read(item)"
            )
            raise TypeError(text)
        return paging.items(self._pages(partial(paging.read_typed, struct)))

    async def all(self) -> list[JsonObject]:
        """All items in one list."""
        return [item async for item in self]


class Caller:
    """Calls operations by their id."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def receipt(
        self,
        operation: str,
        arguments: Mapping[str, str],
        options: Mapping[str, Any],
        *,
        body: JsonBody | bytes | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Receipt:
        """Call an operation that returns only headers."""
        request, limits = self._request(operation, arguments, options, body=body, query=query)
        client_request_id = request.headers["client-request-id"]
        return await self._transport.send(request, limits, lambda response: receipt(response, client_request_id))

    async def object(
        self,
        operation: str,
        arguments: Mapping[str, str],
        options: Mapping[str, Any],
        *,
        body: JsonBody | bytes | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> JsonObject:
        """Call an operation that returns a JSON object."""
        request, limits = self._request(operation, arguments, options, body=body, query=query)
        needed = required(operation, (query or {}).get("$select"))
        return await self._transport.send(
            request, limits, lambda response: shaped(json_object(response, operation), response, operation, needed)
        )

    async def exists(self, operation: str, arguments: Mapping[str, str], options: Mapping[str, Any]) -> bool:
        """Call an operation that checks whether a resource exists."""
        request, limits = self._request(operation, arguments, options)
        return await self._transport.send(request, limits, lambda response: response.status != 404)

    async def properties(
        self, operation: str, arguments: Mapping[str, str], options: Mapping[str, Any]
    ) -> FileProperties:
        """Call an operation that returns the properties of a file in headers."""
        request, limits = self._request(operation, arguments, options)
        return await self._transport.send(request, limits, lambda response: file_properties(response.headers))

    async def add_tasks(
        self, arguments: Mapping[str, str], body: JsonBody | bytes, options: Mapping[str, Any]
    ) -> list[TaskAddResult]:
        """Add a collection of tasks."""
        operation = "Tasks_CreateTaskCollection"
        request, limits = self._request(operation, arguments, options, body=body)

        def read(response: Response) -> list[TaskAddResult]:
            return task_add_results(json_object(response, operation), response, operation)

        return await self._transport.send(request, limits, read)

    def listing(
        self,
        operation: str,
        arguments: Mapping[str, str],
        options: Mapping[str, Any],
        query: Mapping[str, Any] | None = None,
    ) -> Listing:
        """Prepare a list; requests are sent during iteration."""
        query = {**(query or {}), "maxresults": options.get("max_results")}
        request, limits = self._request(operation, arguments, options, query=query)
        return Listing(self._transport, request, limits, required(operation, query.get("$select")))

    def stream(
        self,
        operation: str,
        arguments: Mapping[str, str],
        options: Mapping[str, Any],
        byte_range: tuple[int, int] | None,
    ) -> AbstractAsyncContextManager[FileStream]:
        """Open a file."""
        request, limits = self._request(operation, arguments, options, byte_range=byte_range)
        return self._transport.stream(request, limits)

    def _request(
        self,
        operation: str,
        arguments: Mapping[str, str],
        options: Mapping[str, Any],
        *,
        body: JsonBody | bytes | None = None,
        query: Mapping[str, Any] | None = None,
        byte_range: tuple[int, int] | None = None,
    ) -> tuple[Request, Limits]:
        named = {**options, "client_request_id": options.get("client_request_id") or str(uuid4())}
        request = build(OPERATIONS[operation], arguments, query=query, body=body, options=named, byte_range=byte_range)
        return request, Limits(
            options.get("priority", Priority.USER), options.get("deadline"), options.get("on_unanswered")
        )


def detail(select: Sequence[str] | None, expand: Sequence[str] | None = None, filter: str | None = None) -> Json:
    """The OData parameters of a read; omitted ones are None."""
    return {"$select": select, "$expand": expand, "$filter": filter}
