"""Requests that are wrong: the service's JSON error each time, no traceback, and nothing kept that cannot be served."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from support.batch_bodies import POOL_BODY
from support.emulator_thread import EmulatorThread, wait_until
from support.raw_http import VERSION, exchange, refused, signed

pytestmark = pytest.mark.usefixtures("no_traceback")


# -- the request line --


@pytest.mark.parametrize("verb", ["BREW", "PROPFIND", "OPTIONS", "TRACE", "get"])
def test_unknown_verbs(emulator: EmulatorThread, verb: str) -> None:
    answer = exchange(emulator, f"{verb} /pools?{VERSION} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
    assert answer.status in (400, 401, 405)
    refused(answer, answer.status, json.loads(answer.body)["code"])


@pytest.mark.parametrize(
    "request_line", ["GET", "GET /pools", "GET /pools HTTP/9.9", "\x16\x03\x01", "GET http:// HTTP/1.1"]
)
def test_requests_that_are_not_http(emulator: EmulatorThread, request_line: str) -> None:
    answer = exchange(emulator, f"{request_line}\r\nHost: here\r\n\r\n".encode())
    assert answer.status in (400, 401)
    refused(answer, answer.status, json.loads(answer.body)["code"])


def test_long_filters_are_read(emulator: EmulatorThread) -> None:
    text = "%20or%20".join(["id%20eq%20'x'"] * 600)
    assert len(text) > 9 * 1024
    assert signed(emulator, "GET", f"/pools?$filter={text}").status == 200


@pytest.mark.parametrize("length", [17_000, 70_000, 300_000])
def test_urls_that_are_too_long(emulator: EmulatorThread, length: int) -> None:
    refused(signed(emulator, "GET", f"/pools?$filter={'a' * length}"), 400, "RequestUrlFailedToParse")


def test_deep_filters(emulator: EmulatorThread) -> None:
    text = "(id%20eq%20'a'or%20" * 600 + "id%20eq%20'b'" + ")" * 600
    values = refused(signed(emulator, "GET", f"/pools?$filter={text}"), 400, "InvalidQueryParameterValue")
    assert values["QueryParameterName"] == "$filter"


@pytest.mark.parametrize(
    "path",
    [
        "/pools/a%0Ab",
        "/pools/a%0D%0AX-Evil:%201",
        "/jobs/%00",
        "/jobs/%FF",
        "/jobs/%",
        "/jobs/%zz/tasks/%0A",
        "/pools/p/nodes/%0D%0A/files/%0A",
    ],
)
def test_strange_paths(emulator: EmulatorThread, path: str) -> None:
    answer = signed(emulator, "GET", path)
    refused(answer, 404, json.loads(answer.body)["code"])
    assert "x-evil" not in answer.headers


def test_bytes_in_the_path_that_are_no_utf_8(emulator: EmulatorThread) -> None:
    answer = exchange(emulator, b"GET /pools/\xff\xfe?" + VERSION.encode() + b" HTTP/1.1\r\nHost: here\r\n\r\n")
    refused(answer, 400, "RequestUrlFailedToParse")


# -- headers --


@pytest.mark.parametrize(
    "name",
    ["Authorization", "client-request-id", "ocp-date", "User-Agent", "If-Match", "Content-Type", "X-Whatever", "Host"],
)
def test_header_values_that_are_no_utf_8(emulator: EmulatorThread, name: str) -> None:
    host = "" if name == "Host" else "Host: here\r\n"
    head = f"GET /pools?{VERSION} HTTP/1.1\r\n{host}return-client-request-id: true\r\n".encode()
    answer = exchange(emulator, head + name.encode() + b": caf\xe9\xff\r\n\r\n")
    values = refused(answer, 400, "InvalidHeaderValue")
    assert values["HeaderName"].lower() == name.lower()


@pytest.mark.parametrize("name", ["Authorization", "ocp-date", "If-Match", "ocp-range", "If-Modified-Since"])
def test_headers_that_come_twice(emulator: EmulatorThread, name: str) -> None:
    head = f"GET /pools?{VERSION} HTTP/1.1\r\nHost: here\r\n{name}: one\r\n{name}: two\r\n\r\n"
    values = refused(exchange(emulator, head.encode()), 400, "InvalidHeaderValue")
    assert values["HeaderName"].lower() == name.lower()


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: -1",
        "Content-Length: x",
        "Transfer-Encoding: magic",
        "No colon",
        ": x",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
    ],
)
def test_headers_that_cannot_be_read(emulator: EmulatorThread, lines: str) -> None:
    answer = exchange(emulator, f"POST /pools?{VERSION} HTTP/1.1\r\nHost: here\r\n{lines}\r\n\r\n".encode())
    assert answer.status in (400, 401, 411)
    refused(answer, answer.status, json.loads(answer.body)["code"])


@pytest.mark.parametrize("host", ["", '"><', "here/there", "a b", "here:port", "x" * 9000])
def test_an_invalid_host(emulator: EmulatorThread, host: str) -> None:
    head = f"GET /pools?{VERSION} HTTP/1.1\r\nHost: {host}\r\n\r\n"
    answer = exchange(emulator, head.encode())
    assert answer.status in (400, 401)
    assert json.loads(answer.body)["odata.metadata"].startswith(emulator.endpoint)


@pytest.mark.parametrize(
    "value",
    [
        "Fri, 31 Dec 9999 23:59:59 -1400",
        "Mon, 01 Jan 0001 00:00:00 +1400",
        "Mon, 01 Jan 99999 00:00:00 GMT",
        "Mon, 99 Jan 2020",
        "1",
        ",",
        "0 0 0 0 0 0",
    ],
)
@pytest.mark.parametrize("name", ["ocp-date", "If-Modified-Since"])
def test_dates_in_headers(emulator: EmulatorThread, name: str, value: str) -> None:
    assert signed(emulator, "POST", "/pools", POOL_BODY).status == 201
    if name == "ocp-date":
        head = f"GET /pools/pool?{VERSION} HTTP/1.1\r\nHost: here\r\nAuthorization: SharedKey devaccount:AA==\r\n"
        answer = exchange(emulator, f"{head}ocp-date: {value}\r\n\r\n".encode())
        assert answer.status in (400, 403)
        refused(answer, answer.status, answer.code)
    else:
        answer = signed(emulator, "GET", "/pools/pool", headers=[(name, value)])
        assert answer.status in (200, 304, 400)


# -- queries --


@pytest.mark.parametrize("value", ["٣", "1_0", "+5", " 5", "1e2", "9" * 5000, "0x10", "5.0", "−5"])
def test_page_sizes_that_are_no_numbers(emulator: EmulatorThread, value: str) -> None:
    values = refused(signed(emulator, "GET", f"/pools?maxresults={quote(value)}"), 400, "InvalidQueryParameterValue")
    assert values["QueryParameterName"] == "maxresults"


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "%F0%9F%92%A9",
        "bnVsbA..",
        "WzEsMl0.",
        "eyJhIjoxfQ..",
        "TmFO",
        "MWU5OTk.",
        "",
        "AAAA" * 100,
        "W1tbW1tbW1tb" * 400,
    ],
)
@pytest.mark.parametrize(
    "path",
    [
        "/pools",
        "/jobs",
        "/jobschedules",
        "/nodecounts",
        "/supportedimages",
        "/poolusagemetrics",
        "/applications",
        "/jobs/job/tasks",
        "/pools/pool/nodes",
    ],
)
def test_skip_tokens_of_another_client(emulator: EmulatorThread, path: str, token: str) -> None:
    assert signed(emulator, "POST", "/pools", POOL_BODY | {"targetDedicatedNodes": 0}).status == 201
    assert signed(emulator, "POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "pool"}}).status == 201
    answer = signed(emulator, "GET", f"{path}?$skiptoken={token}")
    if token:
        assert refused(answer, 400, "InvalidQueryParameterValue")["QueryParameterName"] == "$skiptoken"
    else:
        assert answer.status == 200


@pytest.mark.parametrize(
    "properties",
    [
        {"commandLine": "a\x00b"},
        {"commandLine": "'"},
        {"commandLine": "/bin/echo \U0001f600 \u0080"},
        {"commandLine": "x" * 32_000},
        {"commandLine": "/bin/echo", "environmentSettings": [{"name": "A\U0001f600", "value": "\u00e9\r\n"}]},
        {
            "commandLine": "/bin/echo",
            "environmentSettings": [{"name": "PATH"}, {"name": "LD_PRELOAD", "value": "/nothing"}],
        },
        {"commandLine": "/bin/echo", "resourceFiles": [{"httpUrl": "http://[", "filePath": "f"}]},
        {"commandLine": "/bin/echo", "resourceFiles": [{"httpUrl": "ftp://x/\x00", "filePath": "f"}]},
        {"commandLine": "/bin/echo", "resourceFiles": [{"httpUrl": "http://127.0.0.1:99999/", "filePath": "f"}]},
        {"commandLine": "/bin/echo", "resourceFiles": [{"httpUrl": "STORAGE/c/b", "filePath": "x" * 5000}]},
        {"commandLine": "/bin/echo", "resourceFiles": [{"httpUrl": "STORAGE/c/b", "filePath": "a\x00b"}]},
        {"commandLine": "/bin/echo", "resourceFiles": [{"httpUrl": "STORAGE/c/b", "filePath": "."}]},
        {"commandLine": "/bin/echo", "resourceFiles": [{"autoStorageContainerName": "a/../b\x00"}]},
        {"commandLine": "/bin/echo", "resourceFiles": [{"storageContainerUrl": "http://[::1", "blobPrefix": "\x00"}]},
        {"commandLine": "/bin/echo", "outputFiles": [("[", "STORAGE/c")]},
        {"commandLine": "/bin/echo", "outputFiles": [("a\x00*", "STORAGE/c")]},
        {"commandLine": "/bin/echo", "outputFiles": [("../std*.txt", "http://[")]},
        {"commandLine": "/bin/echo", "outputFiles": [("../std*.txt", "nonsense")]},
        {"commandLine": "/bin/echo", "outputFiles": [("*" * 2000, "STORAGE/c")]},
    ],
)
def test_tasks_that_cannot_run(emulator: EmulatorThread, properties: dict[str, Any]) -> None:
    """They end, with a failure or without, and can be looked at."""
    storage = f"{emulator.endpoint}/storage"
    put = "PUT /storage/c/b HTTP/1.1\r\nHost: here\r\nContent-Length: 1\r\n\r\nx"
    assert exchange(emulator, put.encode()).status == 201
    task = json.loads(json.dumps(properties | {"id": "t"}).replace("STORAGE", storage))
    if "outputFiles" in task:
        task["outputFiles"] = [
            {"filePattern": pattern, "destination": {"container": {"containerUrl": url}}}
            for pattern, url in task["outputFiles"]
        ]
    assert signed(emulator, "POST", "/pools", POOL_BODY).status == 201
    assert signed(emulator, "POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "pool"}}).status == 201
    created = signed(emulator, "POST", "/jobs/job/tasks", task)
    assert created.status in (201, 400)
    if created.status == 400:
        refused(created, 400, created.code)
        return

    def ended() -> bool:
        return bool(json.loads(signed(emulator, "GET", "/jobs/job/tasks/t").body)["state"] == "completed")

    wait_until(ended, "the task ends")
    assert signed(emulator, "GET", "/jobs/job/tasks").status == 200
    assert signed(emulator, "GET", "/jobs/job/tasks/t/files?recursive=true").status == 200
