"""Routes, queries, conditions, ranges and bodies: requests before anything is done about them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_batch_emulator.schema.jobs import JOB
from azure_batch_emulator.schema.tasks import TASK
from azure_batch_emulator.web import conditions
from azure_batch_emulator.web.files import byte_range
from azure_batch_emulator.web.handlers import HANDLERS
from azure_batch_emulator.web.query import Query, select
from azure_batch_emulator.web.routes import ROUTES, Conditions, match
from azure_batch_emulator.wire.errors import BatchError
from azure_batch_emulator.wire.ticks import etag


def test_there_are_77_operations() -> None:
    assert len(ROUTES) == len({route.operation for route in ROUTES}) == 77
    assert len({(route.method, route.template) for route in ROUTES}) == 77


def test_every_operation_has_a_handler() -> None:
    assert set(HANDLERS) == {route.operation for route in ROUTES}


@pytest.mark.parametrize(
    ("method", "path", "operation", "parameters"),
    [
        ("GET", "/jobs/sched%3Ajob-1", "Jobs_GetJob", {"jobId": "sched:job-1"}),
        ("GET", "/jobs/sched:job-1/tasks", "Tasks_ListTasks", {"jobId": "sched:job-1"}),
        (
            "GET",
            "/jobs/j/tasks/t/files/wd%2Fa%20b.txt",
            "Tasks_GetTaskFile",
            {"jobId": "j", "taskId": "t", "filePath": "wd/a b.txt"},
        ),
        (
            "HEAD",
            "/jobs/j/tasks/t/files/wd/a/b",
            "Tasks_GetTaskFileProperties",
            {"jobId": "j", "taskId": "t", "filePath": "wd/a/b"},
        ),
        ("GET", "/jobs/j/tasks/t/files", "Tasks_ListTaskFiles", {"jobId": "j", "taskId": "t"}),
        (
            "POST",
            "/certificates(thumbprintAlgorithm=sha1,thumbprint=ab)/canceldelete",
            "Certificates_CancelCertificateDeletion",
            {"thumbprintAlgorithm": "sha1", "thumbprint": "ab"},
        ),
        (
            "GET",
            "/certificates%28thumbprintAlgorithm%3Dsha1%2Cthumbprint%3Dab%29",
            "Certificates_GetCertificate",
            {"thumbprintAlgorithm": "sha1", "thumbprint": "ab"},
        ),
        ("POST", "/pools/p/nodes/n/reboot", "Nodes_RebootNode", {"poolId": "p", "nodeId": "n"}),
    ],
)
def test_routes(method: str, path: str, operation: str, parameters: dict[str, str]) -> None:
    found = match(method, path)
    assert (found.route.operation, found.parameters) == (operation, parameters)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/", "ResourceNotFound"),
        ("GET", "/pools/p/q", "ResourceNotFound"),
        ("PUT", "/pools/p", "UnsupportedHttpVerb"),
    ],
)
def test_no_routes(method: str, path: str, code: str) -> None:
    with pytest.raises(BatchError) as caught:
        match(method, path)
    assert caught.value.code == code


@given(
    st.text()
    | st.integers(-(2**63), 2**63 - 1)
    | st.lists(st.text() | st.integers(0, 2**63 - 1), min_size=2, max_size=4)
)
def test_a_skip_token_survives(position: object) -> None:
    shape = tuple(map(type, position)) if isinstance(position, list) else (type(position),)
    link = Query("maxResults=2&api-version=1").next_link("http://h/pools", position)
    start, _, token = link.partition("&$skiptoken=")
    assert start == "http://h/pools?maxResults=2&api-version=1"
    assert all(char.isascii() and (char.isalnum() or char in "._-") for char in token)
    assert Query(link.partition("?")[2]).skip_token(*shape) == position
    assert Query(link.partition("?")[2]).next_link("http://h/pools", position) == link


def test_selecting() -> None:
    body = {"odata.metadata": "m", "id": "x", "a": {"b": 1, "c": 2}, "upgradePolicy": {}}
    assert select(body, [["a", "b"]]) == {"odata.metadata": "m", "a": {"b": 1}, "upgradePolicy": {}}
    assert select(body, [["a", "b"], ["a"]])["a"] == {"b": 1, "c": 2}
    assert select(body, None) is body


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, (0, 10)),
        ("bytes=0-", (0, 10)),
        ("bytes=3-5", (3, 3)),
        ("bytes=8-99", (8, 2)),
        ("bytes=-4", (6, 4)),
        ("bytes=-40", (0, 10)),
    ],
)
def test_ranges(header: str | None, expected: tuple[int, int]) -> None:
    assert byte_range(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=5-3", "bytes=-", "lines=1-2", "bytes=a-b"])
def test_no_ranges(header: str) -> None:
    with pytest.raises(BatchError) as caught:
        byte_range(header, 10)
    assert caught.value.status == 416


MODIFIED = 638_000_000_000_000_000


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"if-match": etag(MODIFIED)}, True),
        ({"if-match": f'"{etag(MODIFIED)}"'}, True),
        ({"if-match": "*"}, True),
        ({"if-match": '"0x1"'}, False),
        ({"if-none-match": "*"}, False),
        ({"if-none-match": "0x1"}, True),
    ],
)
def test_conditions(headers: dict[str, str], passes: bool) -> None:
    for read, status in ((True, 304), (False, 412)):
        if passes:
            conditions.check(headers, Conditions.ALL, MODIFIED, read=read)
        else:
            with pytest.raises(BatchError) as caught:
                conditions.check(headers, Conditions.ALL, MODIFIED, read=read)
            assert (caught.value.status, caught.value.code) == (status, "ConditionNotMet")


def test_nulls_count_as_left_out_and_enums_take_any_casing() -> None:
    job = JOB.accept(
        "",
        {
            "id": "j",
            "poolInfo": {"poolId": "p", "autoPoolSpecification": None},
            "onAllTasksComplete": "TerminateJob",
            "displayName": "",
            "metadata": [],
        },
    )
    assert (job["onAllTasksComplete"], job["displayName"]) == ("terminatejob", "")
    assert "metadata" not in job
    task = TASK.accept("", {"id": "t", "commandLine": "", "constraints": None, "resourceFiles": []})
    assert task["userIdentity"] == {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}}
    assert task["constraints"]["retentionTime"] == "P7D"


@pytest.mark.parametrize(
    "body",
    [
        {"commandLine": "x"},
        {"id": "t"},
        {"id": "t", "commandLine": "x" * 40_000},
        {"id": "t", "commandLine": "x", "environmentSettings": [{"name": "a=b", "value": ""}]},
        {"id": "t", "commandLine": "x", "environmentSettings": [{"name": "a", "value": "v" * 70_000}]},
        {"id": "t", "commandLine": "x", "requiredSlots": 2, "multiInstanceSettings": {"coordinationCommandLine": "y"}},
        {"id": "t", "commandLine": "x", "resourceFiles": [{"filePath": "f"}]},
        {"id": "t", "commandLine": "x", "resourceFiles": [{"httpUrl": "u"}]},
        {"id": "t", "commandLine": "x", "dependsOn": {"taskIdRanges": [{"start": 5, "end": 1}]}},
        {"id": "t", "commandLine": "x", "dependsOn": {"taskIds": ["x" * 60 + str(n) for n in range(1100)]}},
        {"id": "t", "commandline": "x"},
    ],
)
def test_tasks_that_are_refused(body: dict[str, object]) -> None:
    with pytest.raises(BatchError) as caught:
        TASK.accept("", body)
    assert caught.value.status == 400
