"""What only the wire shows: headers, error bodies, signatures, versions."""

from __future__ import annotations

import base64
import json
import re
import socket
from email.utils import formatdate
from time import time
from urllib.parse import urlsplit

import pytest
from azure.batch import BatchClient
from azure.core.credentials import AzureNamedKeyCredential

from support.batch_bodies import add_task, make_job, make_pool
from support.emulator_thread import EmulatorThread
from support.raw_http import VERSION, signed, signed_head

GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def ticks(etag: str) -> int:
    return int(etag, 16)


def test_headers_of_a_resource(client: BatchClient, emulator: EmulatorThread) -> None:
    make_pool(client, nodes=0)
    status, headers, body = emulator.call("GET", "/pools/pool", headers={"client-request-id": "mine"})
    assert status == 200
    assert headers["dataserviceversion"] == "3.0"
    assert headers["server"] == "Microsoft-HTTPAPI/2.0"
    assert GUID.fullmatch(headers["request-id"])
    assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-type"] == "application/json;odata=minimalmetadata"
    assert headers["transfer-encoding"] == "chunked"
    assert "client-request-id" not in headers
    assert body.startswith(b'{\r\n  "odata.metadata"')
    pool = json.loads(body)
    assert pool["odata.metadata"] == f"{emulator.endpoint}/$metadata#pools/@Element"
    assert pool["eTag"] == headers["etag"]
    second = pool["lastModified"].partition(".")[0]
    assert second[-2:] in headers["last-modified"]
    _, headers, _ = emulator.call(
        "GET", "/pools", headers={"client-request-id": "mine", "return-client-request-id": "true"}
    )
    assert headers["client-request-id"] == "mine"
    assert "etag" not in headers


def test_a_body_for_an_operation_that_has_none_is_ignored(client: BatchClient, emulator: EmulatorThread) -> None:
    """Inferred: no recording sends one (docs/emulator-differences.md)."""
    make_pool(client, nodes=0)
    make_job(client)
    add_task(client, "t")
    body = {"noSuchProperty": [1]}
    assert emulator.call("GET", "/jobs/job/tasks/t", body)[0] == 200
    assert emulator.call("POST", "/jobs/job/tasks/t/terminate", body)[0] == 204
    assert emulator.call("POST", "/jobs/job/enable", body)[0] == 202
    assert emulator.call("DELETE", "/jobs/job/tasks/t", body)[0] == 200
    assert emulator.call("GET", "/jobs/job/tasks/t")[0] == 404


def test_headers_of_actions(client: BatchClient, emulator: EmulatorThread) -> None:
    make_pool(client, nodes=0)
    status, headers, body = emulator.call("POST", "/pools/pool/resize", {"targetDedicatedNodes": 0})
    assert (status, body) == (202, b"")
    assert headers["dataserviceid"] == f"{emulator.endpoint}/pools/pool/resize"
    assert headers["etag"].startswith("0x")
    assert headers["transfer-encoding"] == "chunked"
    assert "content-type" not in headers
    assert "location" not in headers
    make_job(client)
    status, headers, _ = emulator.call("POST", "/jobs/job/tasks", {"id": "t", "commandLine": "/bin/false"})
    assert status == 201
    assert headers["location"] == headers["dataserviceid"] == f"{emulator.endpoint}/jobs/job/tasks/t"
    emulator.call("POST", "/jobs/job/tasks/t/terminate")
    status, headers, _ = emulator.call("POST", "/jobs/job/tasks/t/reactivate")
    assert status == 204
    assert "dataserviceid" not in headers
    assert headers["etag"].startswith("0x")
    status, headers, _ = emulator.call("DELETE", "/jobs/job/tasks/t")
    assert status == 200
    assert "etag" not in headers


def test_head_of_a_pool(client: BatchClient, emulator: EmulatorThread) -> None:
    make_pool(client, nodes=0)
    status, headers, body = emulator.call("HEAD", "/pools/pool")
    assert (status, body) == (200, b"")
    assert "content-type" not in headers
    assert headers["etag"].startswith("0x")
    assert emulator.call("HEAD", "/pools/none")[0] == 404


def test_responses_by_http_1_0_have_no_chunks(client: BatchClient, emulator: EmulatorThread) -> None:
    # As nginx asks for them unless it is told otherwise.
    make_pool(client, nodes=0)
    make_job(client)
    tasks = [{"id": f"t-{number:03}", "commandLine": "/bin/true"} for number in range(100)]
    assert emulator.call("POST", "/jobs/job/addtaskcollection", {"value": tasks})[0] == 200
    for path in ("/pools/pool", "/jobs/job/tasks"):
        request = signed_head(emulator, "GET", f"{path}?{VERSION}").replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n")
        parts = urlsplit(emulator.endpoint)
        with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
            connection.sendall(request)
            head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
        assert head.split()[1] == b"200"
        assert b"transfer-encoding" not in head.lower()
        assert body == emulator.call("GET", path)[2]


def test_the_tasks_of_a_page_are_as_they_were_at_one_moment(emulator: EmulatorThread) -> None:
    with BatchClient(
        emulator.endpoint, AzureNamedKeyCredential(emulator.config.account, emulator.config.key)
    ) as client:
        make_pool(client, nodes=0)
        make_job(client)
    # More than the sockets hold, so that the emulator cannot hand all of it to the system.
    for first in range(0, 1000, 100):
        tasks = [{"id": f"t-{first + number:03}", "commandLine": "x" * 9000} for number in range(100)]
        assert emulator.call("POST", "/jobs/job/addtaskcollection", {"value": tasks})[0] == 200
    parts = urlsplit(emulator.endpoint)
    with socket.socket() as slow:
        slow.settimeout(30)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((parts.hostname, parts.port))
        slow.sendall(
            signed_head(emulator, "GET", f"/jobs/job/tasks?{VERSION}").replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n")
        )
        begun = slow.recv(100)
        assert emulator.call("POST", "/jobs/job/tasks/t-999/terminate")[0] == 204
        page = begun + slow.makefile("rb").read()
    tasks = json.loads(page.partition(b"\r\n\r\n")[2])["value"]
    assert len(tasks) == 1000
    assert {task["state"] for task in tasks} == {"active"}
    assert all(task["lastModified"] == task["stateTransitionTime"] == task["creationTime"] for task in tasks)
    status, _, body = emulator.call("GET", "/jobs/job/tasks?$filter=state%20eq%20'completed'")
    assert (status, [task["id"] for task in json.loads(body)["value"]]) == (200, ["t-999"])


def test_an_error_body(emulator: EmulatorThread) -> None:
    status, headers, body = emulator.call("GET", "/jobs/none")
    error = json.loads(body)
    assert status == 404
    assert error["odata.metadata"].endswith("#Microsoft.Azure.Batch.Protocol.Entities.Container.errors/@Element")
    assert error["code"] == "JobNotFound"
    assert error["message"]["lang"] == "en-US"
    lines = error["message"]["value"].split("\n")
    assert lines[0] == "The specified job does not exist."
    assert lines[1] == f"RequestId:{headers['request-id']}"
    assert re.fullmatch(r"Time:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z", lines[2])
    assert "values" not in error
    assert headers["content-length"] == str(len(body))


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "code"),
    [
        ("GET", "/nothing", None, 404, "ResourceNotFound"),
        ("PUT", "/pools", None, 405, "UnsupportedHttpVerb"),
        ("POST", "/jobs/none/tasks", {"id": "t", "commandLine": "x"}, 404, "JobNotFound"),
        ("GET", "/jobs/none/tasks/t", None, 404, "JobNotFound"),
        ("POST", "/pools/none/resize", {}, 400, "MissingRequiredProperty"),
        ("POST", "/pools/none/resize", {"targetDedicatedNodes": 1}, 404, "PoolNotFound"),
        ("POST", "/jobs", b"{nonsense", 400, "InvalidRequestBody"),
        ("POST", "/jobs", b"[]", 400, "InvalidRequestBody"),
        ("POST", "/jobs", None, 400, "InvalidRequestBody"),
        ("GET", "/pools?api-version=2019-01-01.1.0", None, 400, "UnsupportedRequestVersion"),
        ("GET", "/jobs/none?$filter=x", None, 400, "UnsupportedQueryParameter"),
        ("GET", "/pools?api-version=", None, 400, "MissingRequiredQueryParameter"),
    ],
)
def test_refusals(emulator: EmulatorThread, method: str, target: str, body: object, status: int, code: str) -> None:
    answered, _, text = emulator.call(method, target, body)
    assert (answered, json.loads(text)["code"]) == (status, code)


def test_a_body_that_is_not_json_by_type(emulator: EmulatorThread) -> None:
    status, _, text = emulator.call("POST", "/jobs", b"<job/>", {"Content-Type": "text/xml"})
    assert (status, json.loads(text)["code"]) == (400, "InvalidHeaderValue")


def test_a_body_that_is_too_large(client: BatchClient, emulator: EmulatorThread) -> None:
    make_job(client)
    tasks = [{"id": f"t{n}", "commandLine": "x" * 30_000} for n in range(40)]
    status, _, text = emulator.call("POST", "/jobs/job/addtaskcollection", {"value": tasks})
    error = json.loads(text)
    assert (status, error["code"]) == (413, "RequestBodyTooLarge")
    assert error["values"] == [{"key": "MaxLimit", "value": "1048576"}]
    tasks = [{"id": f"t{n}", "commandLine": "x"} for n in range(101)]
    assert emulator.call("POST", "/jobs/job/addtaskcollection", {"value": tasks})[0] == 400
    assert list(client.list_tasks("job")) == []


def test_conditions(client: BatchClient, emulator: EmulatorThread) -> None:
    make_job(client)
    _, headers, _ = emulator.call("GET", "/jobs/job")
    etag, modified = headers["etag"], headers["last-modified"]

    def answer(method: str, body: object = None, **conditions: str) -> int:
        sent = {name.replace("_", "-"): value for name, value in conditions.items()}
        return emulator.call(method, "/jobs/job", body, sent)[0]

    assert answer("GET", If_None_Match=etag) == 304
    assert answer("GET", If_None_Match='"other"') == 200
    assert answer("GET", If_Modified_Since=modified) == 304
    assert answer("GET", If_Match=f'"{etag}"') == 200
    assert answer("PATCH", {"priority": 1}, If_Match="0x1") == 412
    assert answer("PATCH", {"priority": 1}, If_Unmodified_Since="Wed, 01 Jan 2020 00:00:00 GMT") == 412
    assert answer("PATCH", {"priority": 1}, If_Match=etag, If_Unmodified_Since=modified) == 400
    assert answer("PATCH", {"priority": 1}, If_Match="*") == 200
    assert answer("PATCH", {"priority": 1}, If_Match=etag) == 412


def test_progress_does_not_change_etags(client: BatchClient) -> None:
    from support.batch_bodies import finished

    make_pool(client)
    make_job(client)
    add_task(client, "t")
    created = client.get_task("job", "t").e_tag
    assert finished(client, "t").e_tag == created
    assert ticks(client.get_job("job").e_tag) < ticks(created)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Authorization": ""}, 401, "AuthenticationFailed"),
        ({"Authorization": "nonsense"}, 400, "InvalidAuthenticationInfo"),
        ({"Authorization": "SharedKey devaccount"}, 400, "InvalidAuthenticationInfo"),
        ({"Authorization": "SharedKey devaccount:AAAA"}, 403, "AuthenticationFailed"),
        ({"Authorization": "SharedKey other:AAAA"}, 403, "AuthenticationFailed"),
    ],
)
def test_wrong_credentials(emulator: EmulatorThread, headers: dict[str, str], status: int, code: str) -> None:
    answered, _, text = emulator.call("GET", "/pools", headers=headers, sign=False)
    error = json.loads(text)
    assert (answered, error["code"]) == (status, code)
    assert "odata.metadata" in error


def test_a_wrong_key_is_told_what_was_signed_and_not_the_key(emulator: EmulatorThread) -> None:
    from dataclasses import replace

    other = replace(emulator.config, key=base64.b64encode(b"another").decode())
    real, emulator.config = emulator.config, other
    try:
        status, _, text = emulator.call("GET", "/pools")
    finally:
        emulator.config = real
    assert status == 403
    detail = {item["key"]: item["value"] for item in json.loads(text)["values"]}["AuthenticationErrorDetail"]
    assert "/devaccount/pools\\napi-version:" in detail
    assert real.key not in text.decode()


def test_a_clock_that_is_off(emulator: EmulatorThread) -> None:
    status, _, text = emulator.call("GET", "/pools", headers={"ocp-date": formatdate(time() - 16 * 60, usegmt=True)})
    assert (status, json.loads(text)["code"]) == (403, "AuthenticationFailed")
    assert emulator.call("GET", "/pools", headers={"ocp-date": formatdate(time() - 14 * 60, usegmt=True)})[0] == 200
    assert emulator.call("GET", "/pools", headers={"ocp-date": "yesterday"})[0] == 400


@pytest.mark.parametrize(
    ("method", "verb"), [("DELETE", ""), ("PUT", ""), ("POST", "/terminate"), ("POST", "/reactivate")]
)
def test_tasks_are_guarded_by_their_etags(
    client: BatchClient, emulator: EmulatorThread, method: str, verb: str
) -> None:
    make_job(client)
    add_task(client, "t")
    stale = [("If-Match", "0x1")]
    body = {"constraints": {}} if method == "PUT" else None
    answer = signed(emulator, method, f"/jobs/job/tasks/t{verb}", body, stale)
    assert (answer.status, answer.code) == (412, "ConditionNotMet")
