"""The emulator's own sides, ``/emulator`` and ``/storage``: what is wrong there is a 4xx too, and harms nothing."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import pytest

from support.batch_bodies import POOL_BODY
from support.emulator_thread import EmulatorThread
from support.raw_http import Answer, exchange, signed

pytestmark = pytest.mark.usefixtures("no_traceback")


def send(emulator: EmulatorThread, method: str, path: str, body: bytes = b"") -> Answer:
    head = f"{method} {path} HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n\r\n"
    return exchange(emulator, head.encode() + body)


@pytest.mark.parametrize(
    "path",
    [
        "/emulator/counters/%FF",
        "/emulator/pools/%0A/resizeerror",
        "/emulator/faults/%C2%B2",
        "/emulatorx",
        "/emulator/applications/%00",
        "/emulator/pools/p/nodes/%D9%A3/preempt",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_strange_paths(emulator: EmulatorThread, method: str, path: str) -> None:
    assert 200 <= send(emulator, method, path).status < 500


def deep(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"a": [value]}
    return value


IDENTITY = {"tenantId": "t", "clientId": "c"}
JWKS = {"jwks": {"keys": [1]}, "issuer": "i", "subject": "s"}
WRONG: dict[str, list[Any]] = {
    "quota": [{"pools": 9e30}, {"pools": -1}, {"pools": []}, {"pools": "many"}, {"cores": 1}],
    "countslag": [{"seconds": 9e300}, {"seconds": -1}, {}, {"seconds": True}],
    "clock": [{"skewSeconds": 9e300}, {"skewSeconds": 1e12}, {"skewSeconds": "x"}, {"paused": 1}, {"hands": 2}],
    "simulation": [
        {"rules": [1]},
        {"rules": 1},
        {"rules": [{"pattern": "("}]},
        {"rules": [{"seconds": [1]}]},
        {"rules": [{"pattern": 1}]},
        {"rules": [{"exitCode": 9e30}]},
    ],
    "faults": [
        {},
        {"effect": {}},
        {"effect": []},
        {"effect": {"partial": {"every": 0}}},
        {"effect": {"partial": 1}},
        {"effect": {"status": 9e30}},
        {"effect": {"status": 99}},
        {"effect": {"status": 1000}},
        {"effect": {"status": 503, "code": {}}},
        {"effect": {"status": 503, "message": 1}},
        {"effect": {"status": 503, "retryAfter": -1}},
        {"effect": {"truncate": 7}},
        {"effect": {"delay": -1}},
        {"count": [], "effect": {"reset": True}},
        {"operation": "(", "effect": {"reset": True}},
        {"probability": 2, "effect": {"reset": True}},
        {"seed": {}, "effect": {"reset": True}},
    ],
    "identities": [
        {"tenantId": "t"},
        IDENTITY,
        IDENTITY | {"certificate": 1},
        IDENTITY | {"certificate": "none"},
        IDENTITY | {"federation": 1},
        IDENTITY | {"federation": {"jwks": 1}},
        IDENTITY | {"federation": JWKS},
    ],
    "applications/a": [{"versions": 1}, {"versions": [deep(400)]}, {"displayName": 9e30, "versions": []}],
    "pools/pool/resizeerror": [{"mostNodes": 9e30}, {"values": 1}, {"values": [1]}, {"mostNodes": -1}],
    "pools/pool/nodes/0/fail": [{"state": {}}, {"state": "broken"}, {"code": ""}],
    "key": [{"key": 1}, {"key": "*"}, {"key": ""}, {}],
}


@pytest.mark.parametrize("path", WRONG)
def test_wrong_orders(emulator: EmulatorThread, path: str) -> None:
    assert signed(emulator, "POST", "/pools", POOL_BODY).status == 201
    for body in WRONG[path]:
        answer = send(emulator, "POST", f"/emulator/{path}", json.dumps(body).encode())
        assert answer.status in (400, 404), (body, answer)
        assert json.loads(answer.body)["error"]
    assert send(emulator, "GET", "/emulator/quota").status == 200
    assert signed(emulator, "GET", "/pools").status == 200


def test_an_invalid_value_is_named(emulator: EmulatorThread) -> None:
    answer = send(emulator, "POST", "/emulator/quota", b'{"pools": -7}')
    assert json.loads(answer.body)["error"].endswith("pools: -7: The value must be between 0 and 2147483647.")


@pytest.mark.parametrize("body", [b"x", b"[", b"1", b"\xff", b"[" * 5000, b'{"a": "\\ud800"}', b'{"\\udfff": 1}'])
@pytest.mark.parametrize("path", WRONG)
def test_orders_that_are_no_json(emulator: EmulatorThread, path: str, body: bytes) -> None:
    answer = send(emulator, "POST", f"/emulator/{path}", body)
    assert answer.status == 400
    assert "the body" in json.loads(answer.body)["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/storage/"),
        ("GET", "/storage/%FF/%FF"),
        ("PUT", "/storage/c/%00"),
        ("PUT", "/storage/c/a%01b"),
        ("GET", "/storage/c?comp=list&restype=container"),
        ("BREW", "/storage/c/b"),
        ("GET", "/storage/c?" + "a=1&" * 3000),
        ("PUT", "/storage/c/" + "n" * 5000),
    ],
)
def test_strange_blobs(emulator: EmulatorThread, method: str, path: str) -> None:
    assert send(emulator, method, path, b"x").status < 500
    listed = send(emulator, "GET", "/storage/c?restype=container&comp=list")
    assert listed.status in (200, 404)
    ElementTree.fromstring(listed.body)  # noqa: S314 - our own


@pytest.mark.parametrize("value", ["٣", "1_0", "+5", " 5", "1e2", "9" * 5000, "0x10", "5.0", "0", "-1"])
def test_page_sizes(emulator: EmulatorThread, value: str) -> None:
    assert send(emulator, "PUT", "/storage/c?restype=container").status == 201
    answer = send(emulator, "GET", f"/storage/c?restype=container&comp=list&maxresults={quote(value)}")
    assert answer.status == 400
    assert b"<Code>OutOfRangeQueryParameterValue</Code>" in answer.body


def test_a_content_type_that_no_header_can_carry(emulator: EmulatorThread) -> None:
    head = b"PUT /storage/c/b HTTP/1.1\r\nHost: here\r\nContent-Length: 1\r\nx-ms-blob-content-type: \xff\r\n\r\nx"
    assert exchange(emulator, head).status == 400
