"""Answers become values; nothing unexpected passes for a success."""

import json
from datetime import UTC, datetime

import pytest

from azure_batch_operator.batch import AlreadyExistsError, MalformedResponseError, ServerError, TaskAddStatus
from azure_batch_operator.batch.responses import (
    Response,
    file_properties,
    json_object,
    page,
    parse_http_date,
    parse_retry_after,
    receipt,
    required,
    shaped,
    task_add_results,
)

TYPED = {"content-type": "application/json; odata=minimalmetadata", "request-id": "rid"}


def _answer(body: bytes | dict) -> Response:
    return Response(200, TYPED, body if isinstance(body, bytes) else json.dumps(body).encode())


def test_a_receipt_holds_the_etag_as_the_service_sends_it() -> None:
    headers = {"etag": "0x8DDE66A514FA254", "last-modified": "Thu, 22 Jan 2026 20:18:47 GMT", "request-id": "rid"}
    got = receipt(Response(201, headers, b""), "mine")
    assert (got.etag, got.request_id, got.client_request_id) == ("0x8DDE66A514FA254", "rid", "mine")
    assert got.last_modified == datetime(2026, 1, 22, 20, 18, 47, tzinfo=UTC)
    assert receipt(Response(202, {}, b""), None).last_modified is None


def test_file_properties_are_typed() -> None:
    headers = {
        "content-length": "13",
        "content-type": "text/plain",
        "last-modified": "Thu, 22 Jan 2026 20:18:47 GMT",
        "ocp-batch-file-isdirectory": "False",
        "ocp-batch-file-url": "https%3A%2F%2Facc%2Fjobs%2Fj%2Ftasks%2Ft%2Ffiles%2Fstdout.txt",
        "ocp-batch-file-mode": "0o100644",
    }
    got = file_properties(headers)
    assert (got.content_length, got.content_type, got.is_directory, got.mode) == (13, "text/plain", False, "0o100644")
    assert got.url == "https://acc/jobs/j/tasks/t/files/stdout.txt"
    assert got.creation_time is None
    assert file_properties({"ocp-batch-file-isdirectory": "True"}).is_directory


@pytest.mark.parametrize("content_type", ["text/html", "", "application/jsonp", "text/json"])
def test_another_content_type_is_not_a_response_of_the_service(content_type: str) -> None:
    with pytest.raises(MalformedResponseError, match="expected a JSON response"):
        json_object(Response(200, {"content-type": content_type}, b"{}"), "Pools_GetPool")


@pytest.mark.parametrize("body", [b"", b"{", b'{"id": "p"', b"[]", b"7", b"\xff", b"null"])
def test_an_incomplete_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedResponseError) as caught:
        json_object(_answer(body), "Pools_GetPool")
    assert caught.value.request_id == "rid"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"code": "InternalError"},
        {"value": {}},
        {"value": ["a"]},
        {"value": None},
        {"value": [], "odata.nextLink": 7},
    ],
)
def test_an_invalid_page_is_malformed(body: dict) -> None:
    with pytest.raises(MalformedResponseError):
        page(body, _answer(body), "Pools_ListPools")


COUNTS = {"active": 0, "running": 0, "completed": 2, "succeeded": 1, "failed": 1}


@pytest.mark.parametrize(
    ("operation", "whole", "without"),
    [
        ("Jobs_GetJob", {"id": "j", "state": "active"}, ("id", "state")),
        ("JobSchedules_GetJobSchedule", {"id": "s", "state": "active"}, ("id", "state")),
        ("Pools_GetPool", {"id": "p", "state": "active"}, ("id", "state")),
        ("Tasks_GetTask", {"id": "t", "state": "active"}, ("id", "state")),
        ("Nodes_GetNode", {"id": "n", "state": "idle"}, ("id", "state")),
        ("Applications_GetApplication", {"id": "a"}, ("id",)),
        ("Pools_EvaluatePoolAutoScale", {"timestamp": "2026-01-01T00:00:00Z"}, ("timestamp",)),
        ("Jobs_GetJobTaskCounts", {"taskCounts": COUNTS}, ("taskCounts",)),
    ],
)
def test_a_response_without_what_it_is_about_is_malformed(
    operation: str, whole: dict, without: tuple[str, ...]
) -> None:
    """Otherwise a default would pass for what the service says."""
    needed = required(operation)
    assert shaped(dict(whole), _answer(whole), operation, needed) == whole
    for name in without:
        for wrong in ({}, {name: None}, {name: 7}):
            body = {key: value for key, value in whole.items() if key != name} | wrong
            with pytest.raises(MalformedResponseError, match=f"has no {name}"):
                shaped(body, _answer(body), operation, needed)


@pytest.mark.parametrize("name", COUNTS)
def test_task_counts_must_be_complete(name: str) -> None:
    body = {"taskCounts": {key: value for key, value in COUNTS.items() if key != name}}
    with pytest.raises(MalformedResponseError, match=f"has no taskCounts.{name}"):
        shaped(body, _answer(body), "Jobs_GetJobTaskCounts", required("Jobs_GetJobTaskCounts"))


def test_what_was_not_selected_need_not_be_there() -> None:
    assert required("Pools_ListPools", ("id",)) == ("id",)
    assert required("Pools_ListPools", ("metadata",)) == ()
    assert required("Pools_ListPools") == ("id", "state")
    assert required("Tasks_ListTaskFiles") == required("Pools_CreatePool") == ()


def test_task_results_are_read_in_any_casing() -> None:
    body = {
        "value": [
            {"status": "Success", "taskId": "a", "eTag": "0x1", "lastModified": "2026-01-22T20:18:17.60Z"},
            {
                "status": "ClientError",
                "taskId": "b",
                "error": {
                    "code": "TaskExists",
                    "message": {"lang": "en-US", "value": "The specified task already exists.\nRequestId:x\nTime:y"},
                },
            },
            {"status": "servererror", "taskId": "c"},
        ]
    }
    added, exists, failed = task_add_results(body, _answer(body), "Tasks_CreateTaskCollection")
    assert (added.added, added.etag, added.last_modified) == (True, "0x1", "2026-01-22T20:18:17.60Z")
    assert (exists.added, exists.status) == (False, TaskAddStatus.CLIENT_ERROR)
    assert isinstance(exists.error, AlreadyExistsError)
    assert exists.error.message == "The specified task already exists."
    assert isinstance(failed.error, ServerError)
    assert failed.error.retryable


@pytest.mark.parametrize("item", [{"taskId": "a"}, {"status": "Fine", "taskId": "a"}, {"status": "Success"}])
def test_an_unknown_result_never_passes_for_an_added_task(item: dict) -> None:
    body = {"value": [item]}
    with pytest.raises(MalformedResponseError):
        task_add_results(body, _answer(body), "Tasks_CreateTaskCollection")


@pytest.mark.parametrize(
    "text",
    ["Fri, 31 Dec 9999 23:59:59 -2300", "Mon, 99999999999999999999 Jan 2024 00:00:00 GMT", "soon", "Mon, 01 Jan"],
)
def test_an_unreadable_date_is_ignored(text: str) -> None:
    now = datetime(2026, 1, 22, tzinfo=UTC)
    assert parse_http_date(text) is None
    assert parse_retry_after(text, now) is None
    assert receipt(Response(201, {"last-modified": text, "etag": "0x1"}, b""), None).etag == "0x1"
