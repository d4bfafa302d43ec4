"""Bodies that are wrong: the service's JSON error each time, no traceback, and nothing kept that cannot be served."""

from __future__ import annotations

import json
import re
import socket
import tracemalloc
from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.batch_bodies import POOL_BODY
from support.emulator_thread import EmulatorThread
from support.fuzzing import OPERATIONS
from support.raw_http import VERSION, exchange, read_answer, refused, signed, signed_head

pytestmark = pytest.mark.usefixtures("no_traceback")


def test_invalid_gzip(emulator: EmulatorThread) -> None:
    answer = signed(emulator, "POST", "/pools", b'{"id": "pool"}', [("Content-Encoding", "gzip")])
    refused(answer, 400, "InvalidRequestBody")


def test_gzip_that_is_some(emulator: EmulatorThread) -> None:
    assert signed(emulator, "POST", "/pools", POOL_BODY, zipped=True).status == 201


def test_a_small_body_that_unpacks_to_a_large_one(emulator: EmulatorThread) -> None:
    answer = signed(emulator, "POST", "/pools", {"id": "x" * 100_000_000}, zipped=True)
    refused(answer, 413, "RequestBodyTooLarge")


def test_a_body_is_not_read_before_its_signature_is_checked(emulator: EmulatorThread) -> None:
    parts = urlsplit(emulator.endpoint)
    head = f"POST /pools?{VERSION} HTTP/1.1\r\nHost: here\r\nContent-Length: 60000000\r\nContent-Type: application/json\r\n\r\n"
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(head.encode())  # and nothing of the body
        refused(read_answer(connection), 401, "AuthenticationFailed")


def test_a_body_that_is_too_large_is_refused_by_its_length(emulator: EmulatorThread) -> None:
    parts = urlsplit(emulator.endpoint)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(signed_head(emulator, "POST", f"/pools?{VERSION}", length=60_000_000))
        assert refused(read_answer(connection), 413, "RequestBodyTooLarge") == {"MaxLimit": "1048576"}


def test_unread_bodies_take_no_memory(emulator: EmulatorThread) -> None:
    parts = urlsplit(emulator.endpoint)
    head = signed_head(emulator, "POST", f"/pools?{VERSION}", length=60_000_000)
    tracemalloc.start()
    try:
        with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
            connection.sendall(head)
            for _ in range(60):
                try:
                    connection.sendall(b"x" * 1_000_000)
                except ConnectionError:
                    break
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"nonsense", b"\xff\xfe", b'{"id": "\\ud800"}', b"[" * 3000, b'{"a":' * 3000, b'{"id": NaN}', b"null"],
)
@pytest.mark.parametrize("path", ["/pools", "/jobs", "/jobs/j/tasks", "/jobs/j/addtaskcollection"])
def test_bodies_that_are_no_objects(emulator: EmulatorThread, path: str, body: bytes) -> None:
    refused(signed(emulator, "POST", path, body), 400, "InvalidRequestBody")


# Half of a character that UTF-8 cannot hold: as a value, a key, in a list, low without high, and in the wrong order.
SURROGATES = [
    b'{"id": "x\\ud800"}',
    b'{"\\udfff": 1}',
    b'{"value": [{"id": "\\udc00\\ud800"}]}',
    b'{"metadata": [{"name": "n", "value": "\\ud83d\\u0041"}]}',
    b'{"id": "\xed\xa0\x80"}',
]
# The service makes no certificates any more, whatever the body says.
WITH_BODY = {
    name: described
    for name, described in OPERATIONS.items()
    if described["body"] is not None and name != "Certificates_CreateCertificate"
}


@pytest.mark.parametrize("operation", WITH_BODY)
def test_halves_of_characters(emulator: EmulatorThread, operation: str) -> None:
    """Python has them in its texts, and no answer could carry one: they are refused before anything is looked up."""
    described = WITH_BODY[operation]
    path = re.sub(r"\{\w+\}", "x", described["path"])
    for body in SURROGATES:
        refused(signed(emulator, described["verb"], path, body), 400, "InvalidRequestBody")
    for path in ("/pools", "/jobs", "/jobschedules"):
        assert json.loads(signed(emulator, "GET", path).body)["value"] == []


@pytest.mark.parametrize("half", ["header", "claims"])
def test_halves_of_characters_in_a_token(emulator: EmulatorThread, half: str) -> None:
    parts = {"header": {"alg": "RS256", "kid": "k"}, "claims": {"aud": "a", "iss": "i", "exp": 1}}
    parts[half] |= {name: "\ud800" for name in parts[half] if name not in ("alg", "exp")}
    token = ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts.values())
    head = f"GET /pools?{VERSION} HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {token}.AAAA\r\n\r\n"
    refused(exchange(emulator, head.encode()), 403, "AuthenticationFailed")


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (2**63 - 1, 201),
        (-(2**63), 201),
        (1.5, 201),
        (-0.0, 201),
        (2**63, 400),
        (2**64, 400),
        (-(2**63) - 1, 400),
        (-(2**64), 400),
        (10**40, 400),
    ],
)
def test_numbers_in_what_is_stored_unread_are_kept_or_refused(
    emulator: EmulatorThread, number: float, status: int
) -> None:
    answer = signed(emulator, "POST", "/pools", POOL_BODY | {"resourceTags": {"a": [number]}})
    assert answer.status == status
    if status == 400:
        refused(answer, 400, "InvalidPropertyValue")
    else:
        served = json.loads(signed(emulator, "GET", f"/pools/{POOL_BODY['id']}").body)
        assert served["resourceTags"] == {"a": [number]}


@pytest.mark.parametrize(
    ("token", "status"),
    [
        ("1e20", 201),
        ("1.5e300", 201),
        ("-1E+19", 201),
        ("18446744073709551616.0", 201),
        ("9223372036854775808e0", 201),
        ("9223372036854775807", 201),
        ('"18446744073709551616"', 201),
        ("18446744073709551616", 400),
        ("-9223372036854775809", 400),
        ("1" + "0" * 300, 400),
    ],
)
@pytest.mark.parametrize("place", ["settings", "resourceTags"])
def test_a_double_that_is_stored_unread_has_the_range_of_a_double(
    emulator: EmulatorThread, place: str, token: str, status: int
) -> None:
    """An integer is what is written like one: neither a fraction nor an exponent."""
    stored = {"x": "TOKEN"}
    extension = {"name": "e", "publisher": "p", "type": "t", "settings": stored}
    body = POOL_BODY | ({"resourceTags": stored} if place == "resourceTags" else {})
    if place == "settings":
        body["virtualMachineConfiguration"] = POOL_BODY["virtualMachineConfiguration"] | {"extensions": [extension]}
    answer = signed(emulator, "POST", "/pools", json.dumps(body).replace('"TOKEN"', token).encode())
    assert answer.status == status
    if status == 400:
        values = refused(answer, 400, "InvalidPropertyValue")
        assert values["PropertyName"] == place
        return
    served = json.loads(signed(emulator, "GET", f"/pools/{POOL_BODY['id']}").body)
    if place == "settings":
        served = served["virtualMachineConfiguration"]["extensions"][0]
    assert served[place] == {"x": json.loads(token)}


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize(
    "value", [nested(60), nested(124), nested(400), 9e30, 2**63, -(2**63) - 1, 10**40, {"a": [1, 2**64 - 1]}]
)
def test_what_is_stored_unread_can_be_served(emulator: EmulatorThread, value: Any) -> None:
    """Settings of extensions are the one part of the API that has no schema: deep and huge values are refused there."""
    extension = {"name": "e", "publisher": "p", "type": "t", "settings": {"x": value}}
    machine = POOL_BODY["virtualMachineConfiguration"] | {"extensions": [extension]}
    answer = signed(emulator, "POST", "/pools", POOL_BODY | {"virtualMachineConfiguration": machine})
    if answer.status != 201:
        assert answer.status == 400
        refused(answer, 400, json.loads(answer.body)["code"])
    listed = signed(emulator, "GET", "/pools")
    assert listed.status == 200
    json.loads(listed.body)


@pytest.mark.parametrize("target", ["9e30", "2147483648", "1e308*1e308", "1e999", "0/0", "3e9"])
def test_targets_of_formulas_are_node_counts(emulator: EmulatorThread, target: str) -> None:
    scaled = {name: value for name, value in POOL_BODY.items() if name != "targetDedicatedNodes"}
    scaled |= {"enableAutoScale": True, "autoScaleFormula": "$TargetDedicatedNodes=0;"}
    assert signed(emulator, "POST", "/pools", scaled).status == 201
    formula = {"autoScaleFormula": f"$TargetDedicatedNodes={target};"}
    tried = signed(emulator, "POST", "/pools/pool/evaluateautoscale", formula)
    assert tried.status == 200
    assert json.loads(tried.body)["error"]["code"] == "AutoScalingFormulaEvaluationError"
    assert signed(emulator, "GET", "/pools").status == 200


@pytest.mark.parametrize("value", [9e30, 2**31, -(2**31) - 1, 10**40, 1.5, "1", True, [1]])
def test_targets_out_of_range(emulator: EmulatorThread, value: Any) -> None:
    answer = signed(emulator, "POST", "/pools", POOL_BODY | {"targetDedicatedNodes": value})
    refused(answer, 400, json.loads(answer.body)["code"])
    assert json.loads(signed(emulator, "GET", "/pools").body)["value"] == []


@pytest.mark.parametrize("size", ["standard_d" + "9" * 5000, "standard_d٣s_v3", "standard_d0s_v3", "²", "d" * 5000])
def test_machine_sizes_that_are_none(emulator: EmulatorThread, size: str) -> None:
    assert signed(emulator, "POST", "/pools", POOL_BODY | {"vmSize": size}).status == 201
    for path in ("/pools", "/poolusagemetrics", "/nodecounts"):
        assert signed(emulator, "GET", path).status == 200


@pytest.mark.parametrize("name", ["a\r\nb", "a\nSet-Cookie: x", "\x00", "", "a/b", "\x7f", "x" * 65])
def test_user_names(emulator: EmulatorThread, name: str) -> None:
    answer = signed(emulator, "POST", "/pools/pool/nodes/n/users", {"name": name, "password": "kept"})
    assert refused(answer, 400, "InvalidPropertyValue")["PropertyName"] == "name"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "value",
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "0000-01-01T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "٢٠٢٤-01-01T00:00:00Z",
    ],
)
def test_dates_out_of_range(emulator: EmulatorThread, value: str) -> None:
    schedule = {"id": "s", "schedule": {"doNotRunUntil": value}, "jobSpecification": {"poolInfo": {"poolId": "p"}}}
    values = refused(signed(emulator, "POST", "/jobschedules", schedule), 400, "InvalidPropertyValue")
    assert values["PropertyName"] == "doNotRunUntil"


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z"])
@pytest.mark.parametrize("name", ["doNotRunUntil", "doNotRunAfter"])
def test_dates_at_the_edge_are_served(emulator: EmulatorThread, name: str, value: str) -> None:
    schedule = {"id": "s", "schedule": {name: value, "recurrenceInterval": "P10675199D", "startWindow": "P10675199D"}}
    created = signed(emulator, "POST", "/jobschedules", schedule | {"jobSpecification": {"poolInfo": {"poolId": "p"}}})
    assert created.status in (201, 400)
    assert signed(emulator, "GET", "/jobschedules").status == 200
