"""Builds requests as values: pure code between the operation table and the transport.

A `Request` is final: path and query are percent-encoded, so a credential signs exactly the bytes that are
sent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import IntEnum
from functools import lru_cache
from typing import Any, TypedDict
from urllib.parse import quote

import orjson
from yarl import URL

from azure_batch_operator.batch.errors import MalformedResponseError, UsageError
from azure_batch_operator.batch.models.base import Model
from azure_batch_operator.batch.operations import SERVICE_VERSION, Body, Conditions, Operation, ResponseKind

CONTENT_TYPE = "application/json; odata=minimalmetadata"


class Priority(IntEnum):
    """Priority of calls that wait; lower numbers first."""

    DELETE = 0
    USER = 1
    SUBMIT = 2
    REFRESH = 3


class CallOptions(TypedDict, total=False):
    """Options of every call.

    priority: place in the account's queue. timeout: seconds that the service may take (`timeOut`, at most 30).
    deadline: seconds that the whole call may take, including waits and retries.
    client_request_id: our ID of the call, by default a new one. return_client_request_id: whether the service returns it.
    on_unanswered: called for each attempt that ends without a response (see `errors.unanswered`), however the call ends
    later: such an attempt may take effect long after a repetition has succeeded.
    """

    priority: Priority
    timeout: int | None
    deadline: float | None
    client_request_id: str | None
    return_client_request_id: bool
    on_unanswered: Callable[[], None] | None


class TimeConditions(CallOptions, total=False):
    """Options of calls that can depend on when the object last changed; an aware datetime."""

    if_modified_since: datetime | None
    if_unmodified_since: datetime | None


class AllConditions(TimeConditions, total=False):
    """Options of calls that can depend on the object's version; at most one condition. ETags with or without quotes,
    or `*`.
    """

    if_match: str | None
    if_none_match: str | None


class PageOptions(CallOptions, total=False):
    """Options of lists: items per page (at most 1000)."""

    max_results: int | None


_CONDITIONS = {
    "if_match": "If-Match",
    "if_none_match": "If-None-Match",
    "if_modified_since": "If-Modified-Since",
    "if_unmodified_since": "If-Unmodified-Since",
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to be signed and sent. The repr omits the body, which may contain passwords."""

    operation: Operation
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes | None = field(default=None, repr=False)

    @property
    def target(self) -> str:
        """Path and query as they are sent."""
        return f"{self.path}?{self.query}" if self.query else self.path


def build(
    operation: Operation,
    arguments: Mapping[str, str],
    *,
    query: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | Model | bytes | None = None,
    options: Mapping[str, Any] | None = None,
    byte_range: tuple[int, int] | None = None,
) -> Request:
    """Build a request.

    Args:
        operation: row of the table.
        arguments: values of the path's placeholders.
        query: values by the table's parameter names; None means left out, sequences are joined by commas.
        body: a JSON mapping, a model, or bytes that are JSON already.
        options: `CallOptions` and conditions.
        byte_range: first and last byte of a file, both included.

    Raises:
        UsageError: an invalid value (an empty ID, two conditions, a naive datetime, …).
    """
    options = options or {}
    method_body = _body(operation, body)
    headers = {"Accept": _accept(operation), **_conditions(operation, options)}
    if options.get("client_request_id"):
        headers["client-request-id"] = options["client_request_id"]
    if options.get("return_client_request_id"):
        headers["return-client-request-id"] = "true"
    if byte_range is not None:
        headers["ocp-range"] = _range(operation, byte_range)
    if method_body is not None:
        headers["Content-Type"] = CONTENT_TYPE
        headers["Content-Length"] = str(len(method_body))
    elif operation.verb not in ("GET", "HEAD"):
        headers["Content-Length"] = "0"
    parameters = {**(query or {}), "timeOut": options.get("timeout")}
    return Request(
        operation, operation.verb, _path(operation, arguments), _query(operation, parameters), headers, method_body
    )


def next_page(request: Request, link: str, origin: URL) -> Request:
    """The request for the page behind a nextLink; the link is taken verbatim, as its token is opaque.

    Raises:
        MalformedResponseError: the link leads to another host, which must not get our credentials.
    """
    try:
        url = URL(quote(link, safe="%/:?#[]@!$&'()*+,;=-._~^|"), encoded=True)
        same = url.absolute and url.origin() == origin
    except ValueError:
        same = False
    if not same:
        raise MalformedResponseError(
            "the link to the next page does not lead to the account's endpoint, so it is not followed",
            operation=request.operation.id,
        )
    return Request(request.operation, "GET", url.raw_path, url.raw_query_string, request.headers)


def _path(operation: Operation, arguments: Mapping[str, str]) -> str:
    for name, value in arguments.items():
        # An empty id would turn a call on one pool into a call on the list of pools; `.` and `..` vanish on the way.
        if not isinstance(value, str) or not value or value in (".", ".."):
            raise UsageError(f"{name} must be a non-empty string, not {value!r}", operation=operation.id)
    # One segment each, a file's slashes included: as the official client does (docs/azure-batch.md#files).
    return operation.path.format_map({name: quote(value, safe="") for name, value in arguments.items()})


def _query(operation: Operation, parameters: Mapping[str, Any]) -> str:
    """The query string, sorted, with names in lower case.

    The service matches names in any case and its documentation signs them in lower case, but the official client
    signs them as sent (docs/azure-batch.md#shared-key): with lower-case names on the wire there is only one way to sign.
    """
    pairs = {"api-version": SERVICE_VERSION}
    for name, value in parameters.items():
        if value is None:
            continue
        if name != "timeOut" and name not in operation.query:
            raise UsageError(f"{operation.id} takes no {name}", operation=operation.id)
        pairs[name.lower()] = _query_value(operation, name, value)
    return "&".join(f"{quote(name, safe='$-')}={quote(value, safe='')}" for name, value in sorted(pairs.items()))


def _query_value(operation: Operation, name: str, value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return _aware(operation, name, value).astimezone(UTC).isoformat().replace("+00:00", "Z")
        case int():
            if value < 1:
                raise UsageError(f"{name} must be at least 1, not {value}", operation=operation.id)
            return str(value)
        case str():
            if not value:
                raise UsageError(f"{name} must not be empty", operation=operation.id)
            return value
        case list() | tuple():
            return _query_value(operation, name, ",".join(value))
        case _:
            raise UsageError(f"{name} cannot be a {type(value).__name__}", operation=operation.id)


def _conditions(operation: Operation, options: Mapping[str, Any]) -> dict[str, str]:
    given = {_CONDITIONS[name]: value for name, value in options.items() if name in _CONDITIONS and value is not None}
    if len(given) > 1:
        raise UsageError("the service takes only one conditional header at a time", operation=operation.id)
    for name in given:
        if name not in operation.conditions.value:
            raise UsageError(f"{operation.id} takes no {name}", operation=operation.id)
    return {name: _condition(operation, name, value) for name, value in given.items()}


def _condition(operation: Operation, name: str, value: object) -> str:
    if isinstance(value, datetime):
        return http_date(_aware(operation, name, value))
    if not isinstance(value, str) or not value or name in Conditions.TIMES.value:
        raise UsageError(f"{name} cannot be {value!r}", operation=operation.id)
    return value if value == "*" or value.startswith(('"', "W/")) else f'"{value}"'


def _aware(operation: Operation, name: str, value: datetime) -> datetime:
    if value.tzinfo is None:
        raise UsageError(f"{name} needs a time zone", operation=operation.id)
    return value


def http_date(moment: datetime) -> str:
    """An aware datetime in RFC 1123 form."""
    return _http_second(moment.astimezone(UTC).replace(microsecond=0))


# Many calls are sent within the same second.
@lru_cache(maxsize=64)
def _http_second(second: datetime) -> str:
    return format_datetime(second, usegmt=True)


def _range(operation: Operation, byte_range: tuple[int, int]) -> str:
    first, last = byte_range
    if not operation.ranged or first < 0 or last < first:
        raise UsageError(
            f"a byte range must be (first, last), both included, not {byte_range!r}", operation=operation.id
        )
    return f"bytes={first}-{last}"


def _body(operation: Operation, body: Mapping[str, Any] | Model | bytes | None) -> bytes | None:
    if body is None:
        if operation.body is Body.REQUIRED:
            raise UsageError(f"{operation.id} needs a body", operation=operation.id)
        return None
    if operation.body is Body.NONE:
        raise UsageError(f"{operation.id} takes no body", operation=operation.id)
    if isinstance(body, bytes):
        return body
    try:
        return encode(body)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"the body cannot be written as JSON: {error.__cause__ or error}", operation=operation.id
        ) from None


def encode(value: object) -> bytes:
    """Write JSON; models and mappings of any kind may be anywhere in it.

    Raises:
        TypeError: a value cannot be encoded as JSON.
    """
    return orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z)


def _plain(value: object) -> object:
    if isinstance(value, Model):
        return value.write()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"cannot be encoded as JSON: {type(value).__name__}")


def _accept(operation: Operation) -> str:
    return "application/json" if operation.response in (ResponseKind.OBJECT, ResponseKind.PAGE) else "*/*"
