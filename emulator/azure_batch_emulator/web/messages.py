"""A request and a reply as handlers see them: Batch terms, no HTTP library."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.schema.types import Struct, unknown_property
from azure_batch_emulator.schema.versions import DEFAULT, Version
from azure_batch_emulator.web import conditions
from azure_batch_emulator.web.exact_json import parse_json
from azure_batch_emulator.web.faults import Partial
from azure_batch_emulator.web.filters import Fields, Predicate, compile_filter
from azure_batch_emulator.web.query import Query, select
from azure_batch_emulator.web.routes import Route
from azure_batch_emulator.wire.errors import invalid_body

_NOTHING: Mapping[str, Any] = {}


@dataclass(slots=True)
class Request:
    """One call: the operation, its parameters, and the account it is for.

    Attributes:
        base_url: scheme and host as the caller wrote them; every URL in the reply starts with it.
        path: raw path.
        partial: a fault that hits some items of a task collection.
        headers: names lower-case.
    """

    service: BatchService
    route: Route
    parameters: dict[str, str]
    query: Query
    headers: Mapping[str, str]
    body: bytes
    base_url: str
    path: str
    request_id: str
    partial: Partial | None = None
    version: Version = DEFAULT

    def json(self, struct: Struct, *, filled: Mapping[str, Any] = _NOTHING, **options: Any) -> dict[str, Any]:
        """The body, checked and normalised.

        Args:
            filled: what stands for properties that are left out.

        Raises:
            BatchError: 400.
        """
        raw = {**filled, **self.raw_json()}
        patchable = self.version.patchable.get(self.route.operation)
        if patchable is not None:
            for name in raw:
                if name not in patchable and "odata." not in name:
                    raise unknown_property(name, patchable)
        accepted: dict[str, Any] = struct.accept("", raw, **options)
        return accepted

    def optional_json(self, struct: Struct) -> dict[str, Any]:
        """As `json`; no body at all stands for an empty object."""
        return self.json(struct) if self.body.strip() else struct.accept("", {})

    def raw_json(self) -> dict[str, Any]:
        """The body as parsed.

        Raises:
            BatchError: 400 InvalidRequestBody.
        """
        if not self.body.strip():
            raise invalid_body("The request body is empty.")
        try:
            parsed = parse_json(self.body)
        except ValueError:
            raise invalid_body("The request body is not valid JSON.") from None
        if not isinstance(parsed, dict):
            raise invalid_body("The request body must be an object.")
        return parsed

    def check_conditions(self, modified: int) -> None:
        """Raises BatchError 304 or 412 when the caller's condition does not hold."""
        conditions.check(self.headers, self.route.conditions, modified, read=self.route.method in ("GET", "HEAD"))

    def metadata(self, fragment: str) -> str:
        """Value of ``odata.metadata``."""
        return f"{self.base_url}/$metadata#{fragment}"

    def filter(self, fields: Fields) -> Predicate | None:
        """The compiled ``$filter``, if there is one."""
        text = self.query.get("$filter")
        return compile_filter(text, fields) if text is not None else None

    def url(self, *segments: str) -> str:
        """URL of a resource; ids are encoded, so that a scheduled job's colon survives."""
        return "/".join((self.base_url, *(quote(segment, safe="-_.~:") for segment in segments)))


@dataclass(slots=True)
class Reply:
    """The response of a handler.

    Attributes:
        body: JSON object, None for none.
        modified: ticks for ETag and Last-Modified; None for neither.
        entity_tag: whether the ETag goes with it; files have only Last-Modified.
        data_service_id: whether the DataServiceId header is sent, and what it says (the request's own URL if True).
        location: value of the Location header.
        headers: further ones.
        stream: content of a file, instead of a body.
        blocks: of a body that is JSON text already; an iterator makes them while they are sent.
        status: if other than the route's.
        later: makes the reply in a thread, for what may take long; the rest does not count then. It must not touch the engine.
    """

    body: dict[str, Any] | None = None
    modified: int | None = None
    entity_tag: bool = True
    data_service_id: bool | str = False
    location: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    stream: AsyncIterator[bytes] | None = None
    blocks: list[bytearray] | Iterator[bytearray] | None = None
    status: int | None = None
    later: Callable[[], Reply] | None = None

    def join_blocks(self) -> bytes | None:
        """The body that is JSON text already, as a whole; to be called once."""
        return None if self.blocks is None else b"".join(self.blocks)


Handler = Callable[[Request], Reply]


class HeldError(Exception):
    """The service keeps the caller waiting. Nothing has been done yet; the handler is to be called again later.

    Attributes:
        subscribe: takes what is to be called, on the emulator's thread, when the time has come.
    """

    def __init__(self, subscribe: Callable[[Callable[[], None]], None]) -> None:
        super().__init__("the call is held")
        self.subscribe = subscribe


def reply_page(
    request: Request,
    fragment: str,
    items: Iterable[Any],
    position: Callable[[Any], Any],
    render: Callable[[Any], dict[str, Any]],
    *,
    matches: Predicate | None = None,
    known: Iterable[str] | None = None,
    most: int = 1000,
) -> Reply:
    """One page of a list.

    Args:
        items: that come after the request's skip token, in the list's order; only as many are taken as needed.
        position: of an item, for the next token.
        render: makes the body of an item.
        known: names that may be selected.
    """
    size = request.query.max_results(most)
    paths = request.query.selection(known)
    value: list[dict[str, Any]] = []
    last: Any = None
    more = False
    for item in items:
        if matches is not None and not matches(item):
            continue
        if len(value) == size:
            more = True
            break
        value.append(select(render(item), paths))
        last = item
    body: dict[str, Any] = {"odata.metadata": request.metadata(fragment), "value": value}
    if more:
        body["odata.nextLink"] = request.query.next_link(f"{request.base_url}{request.path}", position(last))
    return Reply(body)


def after_key(items: Iterable[Any], key: Callable[[Any], Any], token: Any) -> list[Any]:
    """Items in the order of a key, those after a token only.

    Args:
        key: must make values of the shape that the token has been checked for (`Query.skip_token`), and must not change
            while the list is paged: else items come twice or never.
    """
    ordered = sorted(items, key=key)
    return ordered if token is None else [item for item in ordered if key(item) > token]
