"""HTTP/1.1 by the byte, for requests that no library would send."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import socket
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from support.emulator_thread import EmulatorThread

VERSION = "api-version=2024-07-01.20.0"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came: status, headers with lower-case names, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """Code of the service's JSON error."""
        return str(json.loads(self.body)["code"])


def signed_head(
    emulator: EmulatorThread, method: str, target: str, headers: list[tuple[str, str]] | None = None, length: int = 0
) -> bytes:
    """A request's head with a shared-key signature."""
    sent = [("Host", urlsplit(emulator.endpoint).netloc), ("ocp-date", formatdate(usegmt=True)), *(headers or [])]
    if length or method in ("POST", "PUT", "PATCH", "DELETE"):
        sent.append(("Content-Length", str(length)))
    if length:
        sent.append(("Content-Type", "application/json"))
    lowered = {name.lower(): value for name, value in sent}
    path, _, query = target.partition("?")
    names = ("content-encoding", "content-language", "content-length", "content-md5", "content-type", "date")
    names += ("if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range")
    text = "\n".join([method, *(lowered.get(name, "") for name in names)]) + "\n"
    text += "".join(f"{name}:{lowered[name]}\n" for name in sorted(lowered) if name.startswith("ocp-"))
    pairs: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        pairs.setdefault(name.lower(), []).append(value)
    text += f"/{emulator.config.account}{path}"
    text += "".join(f"\n{name}:{','.join(sorted(pairs[name]))}" for name in sorted(pairs))
    key = base64.b64decode(emulator.config.key)
    signature = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
    sent.append(("Authorization", f"SharedKey {emulator.config.account}:{signature}"))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def signed(
    emulator: EmulatorThread,
    method: str,
    target: str,
    body: Any = None,
    headers: list[tuple[str, str]] | None = None,
    *,
    zipped: bool = False,
) -> Answer:
    """Sign and send; api-version is added when the target has none."""
    if "api-version=" not in target:
        target += ("&" if "?" in target else "?") + VERSION
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    if zipped:
        data, headers = gzip.compress(data), [*(headers or []), ("Content-Encoding", "gzip")]
    return exchange(emulator, signed_head(emulator, method, target, headers, len(data)) + data, method)


def exchange(emulator: EmulatorThread, request: bytes, method: str = "GET") -> Answer:
    """Send bytes on a connection of their own and read one answer."""
    parts = urlsplit(emulator.endpoint)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(request)
        return read_answer(connection, method)


def read_answer(connection: socket.socket, method: str = "GET") -> Answer:
    """One answer from a connection."""
    with connection.makefile("rb") as stream:
        status = int(stream.readline().split()[1])
        headers: dict[str, str] = {}
        while (line := stream.readline().strip()) and line:
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        if method == "HEAD" or status in (204, 304):
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(stream.readline(), 16):
                body += stream.read(size)
                stream.readline()
            return Answer(status, headers, body)
        return Answer(status, headers, stream.read(int(headers.get("content-length", 0))))


def refused(answer: Answer, status: int, code: str) -> dict[str, str]:
    """Check the shape of an error of the service; its values."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/json;odata=minimalmetadata"
    assert {"dataserviceversion", "request-id", "server", "date"} <= answer.headers.keys()
    body = json.loads(answer.body)
    assert body["code"] == code
    assert answer.headers["request-id"] in body["message"]["value"]
    return {item["key"]: item["value"] for item in body.get("values", [])}
