"""Parses responses: pure functions from status, headers and bytes to values or to an error.

The shapes of headers, pages, errors and task collections are those of docs/azure-batch.md. Anything
else, such as from a proxy, a captive portal or a broken connection, becomes a `MalformedResponseError`, never a KeyError.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import unquote

import orjson

from azure_batch_operator.batch.error_codes import error_class, passes_by_itself
from azure_batch_operator.batch.errors import (
    AuthenticationError,
    AuthenticationKind,
    BatchError,
    ConflictError,
    MalformedResponseError,
)
from azure_batch_operator.batch.models import RESULTS
from azure_batch_operator.batch.models.enums import TaskAddStatus
from azure_batch_operator.batch.redaction import redact_values, safe, safe_text
from azure_batch_operator.shapes import conform, whole_number

logger = logging.getLogger(__name__)

JsonObject = dict[str, Any]

# The service refuses dates that are off by more than 15 minutes; slightly less already explains a refusal.
_SKEW_SECONDS = 14 * 60


@dataclass(frozen=True, slots=True)
class Response:
    """A response: status, headers (names in lower case), body (decompressed)."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def request_id(self) -> str | None:
        """The service's ID of the request, safe to show."""
        id = self.headers.get("request-id")
        return None if id is None else safe_text(id)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a write returns: the ETag, unquoted as the service sends it, and the time of the last modification.

    Both are None for operations that have none (docs/azure-batch.md#response-headers).
    """

    etag: str | None
    last_modified: datetime | None
    request_id: str | None
    client_request_id: str | None


@dataclass(frozen=True, slots=True)
class FileProperties:
    """A file on a node, as HEAD describes it; `content_length` in bytes."""

    content_length: int | None
    content_type: str | None
    last_modified: datetime | None
    creation_time: datetime | None
    is_directory: bool
    mode: str | None
    url: str | None


class TaskAddResult(NamedTuple):
    """The result for one task of a collection; `error` is None exactly if the task is in the job.

    `existed` is True if the task existed before (see `BatchClient.add_tasks`).

    `last_modified` is the service's own text, which has up to seven fractional digits. A tuple, because there are as
    many as tasks.
    """

    task_id: str
    status: TaskAddStatus
    etag: str | None = None
    last_modified: str | None = None
    location: str | None = None
    error: BatchError | None = None
    existed: bool = False

    @property
    def added(self) -> bool:
        """Whether the task is in the job."""
        return self.status is TaskAddStatus.SUCCESS


def parse_http_date(text: str | None) -> datetime | None:
    """An RFC 1123 date as an aware datetime in UTC; None if absent or unreadable."""
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


LONGEST_RETRY_AFTER = 300.0
"""Seconds. Cap of Retry-After: one wrong header must not stop an account for a day."""


def parse_retry_after(text: str | None, now: datetime) -> float | None:
    """Seconds from now that a Retry-After header asks for, in seconds or as a date; None if absent or unreadable.

    The result is at least 0 and at most `LONGEST_RETRY_AFTER`.
    """
    if not text:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(int(text[:9])), LONGEST_RETRY_AFTER)
    moment = parse_http_date(text)
    return None if moment is None else min(max(0.0, (moment - now).total_seconds()), LONGEST_RETRY_AFTER)


def receipt(response: Response, client_request_id: str | None) -> Receipt:
    """The receipt of a write."""
    return Receipt(
        etag=response.headers.get("etag"),
        last_modified=parse_http_date(response.headers.get("last-modified")),
        request_id=response.request_id,
        client_request_id=client_request_id,
    )


def file_properties(headers: Mapping[str, str]) -> FileProperties:
    """A file's description from the headers of HEAD or GET."""
    url = headers.get("ocp-batch-file-url")
    return FileProperties(
        content_length=whole_number(headers.get("content-length", "")),
        content_type=headers.get("content-type"),
        last_modified=parse_http_date(headers.get("last-modified")),
        creation_time=parse_http_date(headers.get("ocp-creation-time")),
        is_directory=headers.get("ocp-batch-file-isdirectory", "").lower() == "true",
        mode=headers.get("ocp-batch-file-mode"),
        url=unquote(url) if url is not None else None,
    )


def malformed(message: str, response: Response, operation: str) -> MalformedResponseError:
    """The error for a response that the service cannot have sent."""
    return MalformedResponseError(message, operation=operation, status=response.status, request_id=response.request_id)


def is_json(response: Response) -> bool:
    """Whether the content type of a response is JSON."""
    return response.headers.get("content-type", "").split(";", 1)[0].strip().lower() == "application/json"


def json_object(response: Response, operation: str) -> JsonObject:
    """The body as a JSON object.

    Raises:
        MalformedResponseError: another content type, not JSON, truncated, or not an object.
    """
    if not is_json(response):
        shown = safe_text(response.headers.get("content-type", ""))[:100] or "no content type"
        raise malformed(f"expected a JSON response, got {shown!r}", response, operation)
    try:
        value = orjson.loads(response.body)
    except orjson.JSONDecodeError as error:
        raise malformed(f"the response is not valid JSON: {error.msg}", response, operation) from None
    if not isinstance(value, dict):
        raise malformed(f"expected a JSON object, got a {type(value).__name__}", response, operation)
    return value


_STATED: Mapping[str, tuple[str, ...]] = {
    "Application": ("id",),
    **dict.fromkeys(("Job", "JobSchedule", "Node", "Pool", "Task"), ("id", "state")),
}
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "Jobs_GetJobTaskCounts": tuple(
        f"taskCounts.{name}" for name in ("active", "running", "completed", "succeeded", "failed")
    ),
    "Pools_ListPoolNodeCounts": ("poolId",),
    "Pools_EvaluatePoolAutoScale": ("timestamp",),
}
_TOLD: set[tuple[str, str]] = set()
_MAX_TOLD = 1000


def required(operation: str, select: Sequence[str] | None = None) -> tuple[str, ...]:
    """Members that a resource, or each item of a list, must have, as far as they were selected: paths with `.` between names.

    The service always sends them. Without them code would take a default for what the service says: no failed tasks, a node
    that is not deallocated, a pool without an owner.
    """
    model = RESULTS.get(operation)
    stated = () if model is None else _STATED.get(model.__name__, ())
    names = _REQUIRED.get(operation, stated)
    return tuple(name for name in names if select is None or name in select)


def _missing(value: JsonObject, needed: Sequence[str]) -> str | None:
    """The first of the needed members that is not there."""
    for path in needed:
        found: Any = value
        for name in path.split("."):
            found = found.get(name) if isinstance(found, dict) else None
        if found is None or found == "":
            return path
    return None


def shaped(value: JsonObject, response: Response, operation: str, needed: Sequence[str] = ()) -> JsonObject:
    """A resource of a response in the shape that the API documents; members of another type are left out.

    Args:
        needed: members that must be there (`required`). One bad item makes the whole response malformed, since from a list without
            it somebody would conclude that the resource is gone.

    Raises:
        MalformedResponseError: a needed member is missing.
    """
    model = RESULTS.get(operation)
    if model is None:
        return value
    value, wrong = conform(model, value)
    for path in wrong:
        if len(_TOLD) < _MAX_TOLD and (operation, path) not in _TOLD:
            _TOLD.add((operation, path))
            logger.warning(
                "%s returned %s of an unknown kind; it is left out [%s]", operation, path, response.request_id
            )
    if (name := _missing(value, needed)) is not None:
        raise malformed(f"the response has no {name}", response, operation)
    return value


def page(
    body: JsonObject,
    response: Response,
    operation: str,
    needed: Sequence[str] = (),
    dropped: list[str] | None = None,
) -> tuple[list[JsonObject], str | None]:
    """Items and next link of one page of a list. A page may have a link without items, and items without a link.

    Args:
        dropped: where to note items that cannot be read, and why; without it one such item makes the whole page malformed.

    Raises:
        MalformedResponseError: the body is not a page, or an item is not an object or lacks one of the `needed` members. An object
            without `value` is not a page: a list that ends with it would look complete.
    """
    items = body.get("value")
    link = body.get("odata.nextLink")
    if not isinstance(items, list):
        raise malformed("the response has no list of objects under 'value'", response, operation)
    if link is not None and not isinstance(link, str):
        raise malformed("the link to the next page is not a string", response, operation)
    if operation != _ADD_TASKS or not set(map(type, items)) <= {dict}:
        items = [item for item in items if _is_kept(item, response, operation, needed, dropped)]
    return items, link or None


def _is_kept(item: Any, response: Response, operation: str, needed: Sequence[str], dropped: list[str] | None) -> bool:
    """Bring an item of a page into shape; False for one that cannot be read and is noted in `dropped`."""
    try:
        if not isinstance(item, dict):
            raise malformed("an item under 'value' is not an object", response, operation)
        shaped(item, response, operation, needed)
    except MalformedResponseError as error:
        if dropped is None:
            raise
        dropped.append(error.message)
        if len(_TOLD) < _MAX_TOLD and (operation, error.message) not in _TOLD:
            _TOLD.add((operation, error.message))
            logger.warning(
                "%s returned an item that is skipped: %s [%s]", operation, error.message, response.request_id
            )
        return False
    return True


_ADD_TASKS = "Tasks_CreateTaskCollection"
"""Its items are read one by one below, and are as many as there are tasks."""


def error_of(
    response: Response, operation: str, *, client_request_id: str | None = None, now: datetime | None = None
) -> BatchError:
    """The error for an unsuccessful response; a response without the JSON of the service is classified by its status."""
    now = now or datetime.now(UTC)
    code, message, values = _error_body(response.body)
    kind = error_class(code, response.status)
    error = kind(
        message or "the service gave no reason",
        operation=operation,
        status=response.status,
        code=code,
        values=values,
        request_id=response.request_id,
        client_request_id=client_request_id,
        retry_after=parse_retry_after(response.headers.get("retry-after"), now),
    )
    if isinstance(error, AuthenticationError):
        error.kind = authentication_kind(code, values, message, response.headers, now)
    if isinstance(error, ConflictError) and passes_by_itself(code):
        error.retryable = True
    return error


def authentication_kind(
    code: str | None, values: Mapping[str, str], message: str, headers: Mapping[str, str], now: datetime
) -> AuthenticationKind:
    """Why a credential was refused: by the detail of the service, otherwise by comparing clocks.

    The order matters: with a wrong clock the service may complain about the signature or about the date.
    """
    detail = " ".join((*values.values(), message)).lower()
    served = parse_http_date(headers.get("date"))
    if served is not None and abs((served - now).total_seconds()) > _SKEW_SECONDS:
        return AuthenticationKind.CLOCK_SKEW
    for words, kind in _DETAILS:
        if any(word in detail for word in words):
            return kind
    return AuthenticationKind.MALFORMED if code == "InvalidAuthenticationInfo" else AuthenticationKind.UNKNOWN


_DETAILS: Sequence[tuple[tuple[str, ...], AuthenticationKind]] = (
    (("cannot find the claimed account",), AuthenticationKind.UNKNOWN_ACCOUNT),
    (("mac signature",), AuthenticationKind.BAD_KEY),
    (("is not allowed for this account",), AuthenticationKind.NOT_ALLOWED),
    (("wrong audience",), AuthenticationKind.WRONG_AUDIENCE),
    (("wrong issuer", "issuer"), AuthenticationKind.WRONG_ISSUER),
    (("expired",), AuthenticationKind.EXPIRED),
    (("ocp-date", "date header", "request date"), AuthenticationKind.CLOCK_SKEW),
)


def task_add_results(body: JsonObject, response: Response, operation: str) -> list[TaskAddResult]:
    """The results of a task collection, in the order of the service (docs/azure-batch.md#task-collections).

    Raises:
        MalformedResponseError: an item has no id or a status that this version does not know: it must not pass for an
        added task.
    """
    items, _ = page(body, response, operation)
    return [
        TaskAddResult(item["taskId"], _SUCCESS, item.get("eTag"), item.get("lastModified"), item.get("location"))
        if item.get("status") == "Success" and type(item.get("taskId")) is str
        else _task_add_result(item, response, operation)
        for item in items
    ]


_SUCCESS = TaskAddStatus.SUCCESS


def _task_add_result(item: JsonObject, response: Response, operation: str) -> TaskAddResult:
    task_id = item.get("taskId")
    if not isinstance(task_id, str):
        raise malformed("a task result has no taskId", response, operation)
    try:
        status = TaskAddStatus(str(item.get("status")))
    except ValueError:
        shown = safe_text(str(item.get("status")))[:100]
        raise malformed(f"a task result has the unknown status {shown!r}", response, operation) from None
    if status is TaskAddStatus.SUCCESS:
        return TaskAddResult(task_id, status, item.get("eTag"), item.get("lastModified"), item.get("location"))
    raw = item.get("error")
    code, message, values = _error_fields(raw if isinstance(raw, dict) else {})
    kind = error_class(code, 500 if status is TaskAddStatus.SERVER_ERROR else 400)
    error = kind(
        message or f"the service did not add the task and gave no reason ({status.value})",
        operation=operation,
        code=code,
        values=values,
        request_id=response.request_id,
    )
    return TaskAddResult(task_id, status, error=error)


def _error_body(body: bytes) -> tuple[str | None, str, dict[str, str]]:
    try:
        value = orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        return None, "", {}
    return _error_fields(value) if isinstance(value, dict) else (None, "", {})


def _error_fields(body: JsonObject) -> tuple[str | None, str, dict[str, str]]:
    """Code, message and values of the service's error object; values of an unexpected type are omitted."""
    code = body.get("code")
    message = body.get("message")
    text = message.get("value") if isinstance(message, dict) else message
    values = body.get("values")
    # Sanitized before it is converted to text: no filter finds a secret behind the escapes of a list.
    pairs = {
        str(safe(pair["key"])): str(safe(pair.get("value", "")))
        for pair in (values if isinstance(values, list) else ())
        if isinstance(pair, dict) and "key" in pair
    }
    # It becomes the reason of a condition and the label of a metric, which allow no other text.
    known = isinstance(code, str) and _CODE.fullmatch(code)
    return code if known else None, _plain_message(text), redact_values(pairs)


_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")


def _plain_message(text: object) -> str:
    """The message without the RequestId and Time lines that the service appends."""
    if not isinstance(text, str):
        return ""
    lines = [line.strip() for line in text.splitlines()]
    return safe_text(" ".join(line for line in lines if line and not line.startswith(("RequestId:", "Time:"))))
