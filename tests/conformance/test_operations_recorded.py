"""All 77 operations, one by one, through our client, against answers in the recorded shape.

The answers are built from the API's description (`tests/data`), headers and body, in the forms of docs/azure-batch.md; what
was asked is checked as well. So each operation is held against the description even where no service is at hand.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from azure_batch_operator.batch import OPERATIONS, BatchClient, FileProperties, Limiter, Listing, Receipt, SharedKey
from azure_batch_operator.batch.models import BODIES, RESULTS
from azure_batch_operator.batch.operations import Body, Operation, ResponseKind
from support.scripted_server import Connection, Received, scripted_server

DIGEST = json.loads((Path(__file__).parents[1] / "data" / "api-2024-07-01.20.0.json").read_text(encoding="utf-8"))
ALL = list(OPERATIONS.values())

_DURATIONS = (
    "CPUTime",
    "wallClockTime",
    "waitTime",
    "WallClockTime",
    "retentionTime",
    "Interval",
    "Window",
    "CoreTime",
)
_DURATIONS += ("resizeTimeout", "BetweenBatches")
_TIMES = ("Time", "lastModified", "timestamp", "time", "doNotRunUntil", "doNotRunAfter", "EndOfLife")
_NUMBERS = ("IOps", "num", "contentLength")


def example(shape: Any, name: str = "") -> Any:
    """A value of a described shape, in the forms of docs/azure-batch.md#json."""
    if isinstance(shape, int):
        return {member: example(kind, member) for member, kind in DIGEST["shapes"][shape].items()}
    if isinstance(shape, list):
        return [example(shape[0], name)]
    if shape == "string":
        if name.endswith(_DURATIONS):
            return "PT6M"
        if name.endswith(_TIMES) and not name.endswith("nextLink"):
            return "2024-10-24T01:15:21.4060208Z"
        return "7" if name.startswith(_NUMBERS) or name.endswith(_NUMBERS) else f"some {name}"
    return {"integer": 3, "number": 1.5, "boolean": True, "enum": f"New{name}", "object": {"a": "b"}}[shape]


def answer_of(operation: Operation) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a success."""
    described = DIGEST["operations"][operation.id]["responses"][str(operation.success[0])]
    values = {"content-length": "5", "last-modified": "Thu, 24 Oct 2024 01:15:21 GMT", "etag": "0x8DCF3C954A84EB0"}
    values |= {"ocp-batch-file-isdirectory": "False", "ocp-creation-time": values["last-modified"], "request-id": "rid"}
    headers = {name: values.get(name, f"some-{name}") for name in described["headers"] if name != "client-request-id"}
    if length := headers.pop("content-length", None):
        headers["Content-Length"] = length
    if operation.response is ResponseKind.STREAM:
        return 200, headers, b"bytes"
    if described["schema"] is None:
        return operation.success[0], headers, b""
    body = example(described["schema"])
    if isinstance(body, dict) and "odata.nextLink" in body:
        del body["odata.nextLink"]
    if operation.id == "Tasks_CreateTaskCollection":
        body["value"][0]["status"] = "Success"
    return 200, headers | {"content-type": "application/json;odata=minimalmetadata"}, json.dumps(body).encode()


def placeholders(operation: Operation) -> list[str]:
    """Names in the path."""
    return [part.split("}")[0] for part in operation.path.split("{")[1:]]


async def call(client: BatchClient, operation: Operation, *arguments: Any, **options: Any) -> Any:
    """Call an operation by its group and method, whatever it returns, and take what is in it."""
    result = getattr(getattr(client, operation.group), operation.method)(*arguments, **options)
    if isinstance(result, Listing):
        return await result.all()
    if operation.response is ResponseKind.STREAM:
        async with result as file:
            return await file.read(1 << 20)
    return await result


@pytest.mark.parametrize("operation", ALL, ids=lambda operation: f"{operation.id}-recorded")
async def test_recorded(operation: Operation) -> None:
    status, headers, body = answer_of(operation)

    async def script(request: Received, connection: Connection) -> None:
        await connection.answer(status, body, headers)

    arguments: list[Any] = [f"{name}/ü" for name in placeholders(operation)]
    sent: Any = None
    if operation.body is not Body.NONE:
        sent = example(DIGEST["operations"][operation.id]["body"])
        arguments.append(sent["value"] if operation.id == "Tasks_CreateTaskCollection" else sent)
    query = {
        "$select": ("select", ("id", "state"), "id%2Cstate"),
        "$expand": ("expand", ("stats",), "stats"),
        "$filter": ("filter", "a eq 'b'", "a%20eq%20%27b%27"),
        "maxresults": ("max_results", 5, "5"),
        "force": ("force", True, "true"),
        "recursive": ("recursive", True, "true"),
        "startTime": ("start_time", datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02T00%3A00%3A00Z"),
        "endtime": ("end_time", datetime(2024, 1, 3, tzinfo=UTC), "2024-01-03T00%3A00%3A00Z"),
    }
    options = {query[name][0]: query[name][1] for name in operation.query} | {"timeout": 20}
    expected = {name.lower(): query[name][2] for name in operation.query} | {"timeout": "20"}
    if operation.conditions.value:
        options["if_unmodified_since"] = datetime(2024, 1, 1, tzinfo=UTC)
    if operation.ranged:
        options["range"] = (0, 4)
    key = SharedKey("acc", "a2V5")
    async with scripted_server(script) as server, BatchClient(server.url, key, limiter=Limiter(math.inf)) as client:
        result = await call(client, operation, *arguments, **options)
    (request,) = server.received
    path, _, raw_query = request.target.partition("?")
    encoded = {name: f"{name}%2F%C3%BC" for name in placeholders(operation)}
    assert (request.method, path) == (operation.verb, operation.path.format_map(encoded))
    expected["api-version"] = "2024-07-01.20.0"
    assert dict(pair.split("=") for pair in raw_query.split("&")) == expected
    assert ("if-unmodified-since" in request.headers) == bool(operation.conditions.value)
    assert request.headers.get("ocp-range") == ("bytes=0-4" if operation.ranged else None)
    assert (json.loads(request.body) if request.body else None) == sent
    assert request.headers["authorization"].startswith("SharedKey acc:")
    check_result(operation, result)


def check_result(operation: Operation, result: Any) -> None:
    """A result is of the kind that the table promises, and its model can read it."""
    match operation.response:
        case ResponseKind.RECEIPT:
            assert isinstance(result, Receipt)
            headers = DIGEST["operations"][operation.id]["responses"][str(operation.success[0])]["headers"]
            assert (result.etag == "0x8DCF3C954A84EB0") == ("etag" in headers)
        case ResponseKind.EXISTENCE:
            assert result is True
        case ResponseKind.STREAM:
            assert result == b"bytes"
        case ResponseKind.PROPERTIES:
            assert isinstance(result, FileProperties)
            assert result.last_modified == datetime(2024, 10, 24, 1, 15, 21, tzinfo=UTC)
        case ResponseKind.PAGE:
            assert RESULTS[operation.id].read(result[0])
        case ResponseKind.OBJECT if operation.id == "Tasks_CreateTaskCollection":
            assert result[0].added
        case ResponseKind.OBJECT:
            assert RESULTS[operation.id].read(result)


@pytest.mark.parametrize("operation", sorted(BODIES))
def test_described_bodies_can_be_read_by_their_models(operation: str) -> None:
    shape = DIGEST["operations"][operation]["body"]
    read = BODIES[operation].read(example(shape))
    assert read.model_dump(exclude_none=True).keys() == read.model_dump().keys()
