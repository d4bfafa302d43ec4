"""An emulator on a thread of its own, for tests of synchronous clients; and plain signed calls to it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from email.utils import formatdate
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from azure_batch_emulator import Emulator, EmulatorConfig


class EmulatorThread:
    """Runs an `Emulator` until the end of ``with``."""

    def __init__(self, config: EmulatorConfig) -> None:
        self.config = config
        self.endpoint = ""
        self.tls_endpoint = ""
        self.ca_file = ""
        self._ready = threading.Event()
        self._problem: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._main, name="emulator", daemon=True)

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as problem:
            self._problem = problem
            self._ready.set()

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with Emulator(self.config) as emulator:
            self.endpoint = emulator.endpoint
            self.tls_endpoint, self.ca_file = emulator.tls_endpoint, str(emulator.ca_file or "")
            self._ready.set()
            await self._stop.wait()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._problem is not None:
            raise self._problem
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive(), "the emulator did not stop"

    def admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """A call under ``/emulator/``; the parsed answer."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.endpoint}/emulator/{path}", data, method=method)  # noqa: S310
        with urllib.request.urlopen(request) as response:  # noqa: S310
            return json.load(response)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing that the service times goes on meanwhile: short states last."""
        self.admin("POST", "clock", {"paused": True})
        try:
            yield
        finally:
            self.admin("POST", "clock", {"paused": False})

    def call(
        self,
        method: str,
        target: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        sign: bool = True,
        timeout: float | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """A call of the Batch API by hand, signed by the documented rules.

        Args:
            target: path and query; api-version is added when it is missing.
            timeout: seconds after which the caller gives up.

        Returns:
            Status, headers with lower-case names, body.
        """
        if "api-version=" not in target:
            target += ("&" if "?" in target else "?") + "api-version=2024-07-01.20.0"
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        sent = {"ocp-date": formatdate(usegmt=True)} | (headers or {})
        if data is not None:
            sent = {"Content-Type": "application/json; odata=minimalmetadata"} | sent
        elif method in ("POST", "PUT", "PATCH", "DELETE"):
            sent["Content-Length"] = "0"
        if sign:
            sent["Authorization"] = self._signature(method, target, sent, data)
        request = urllib.request.Request(f"{self.endpoint}{target}", data, sent, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
                return response.status, {k.lower(): v for k, v in response.headers.items()}, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()

    def reason(self, method: str, target: str) -> str:
        """The reason phrase of the response to a call without a body."""
        target += ("&" if "?" in target else "?") + "api-version=2024-07-01.20.0"
        sent = {"ocp-date": formatdate(usegmt=True)}
        sent["Authorization"] = self._signature(method, target, sent, None)
        parts = urlsplit(self.endpoint)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        with closing(connection):
            connection.request(method, target, headers=sent)
            return connection.getresponse().reason

    def _signature(self, method: str, target: str, headers: dict[str, str], data: bytes | None) -> str:
        lowered = {name.lower(): value for name, value in headers.items()}
        if data is not None:
            lowered["content-length"] = str(len(data))
        parts = urlsplit(target)
        names = ("content-encoding", "content-language", "content-length", "content-md5", "content-type", "date")
        names += ("if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range")
        text = "\n".join([method, *(lowered.get(name, "") for name in names)]) + "\n"
        text += "".join(f"{name}:{lowered[name]}\n" for name in sorted(lowered) if name.startswith("ocp-"))
        text += f"/{self.config.account}{parts.path}"
        pairs = sorted((name.lower(), value) for name, value in parse_qsl(parts.query, keep_blank_values=True))
        text += "".join(f"\n{name}:{value}" for name, value in pairs)
        digest = hmac.new(base64.b64decode(self.config.key), text.encode(), hashlib.sha256).digest()
        return f"SharedKey {self.config.account}:{base64.b64encode(digest).decode()}"


def wait_until(condition: Callable[[], Any], what: str, limit: float = 60.0) -> Any:
    """Poll until a condition holds; its value. The limit only ends a test that has gone wrong."""
    deadline = time.monotonic() + limit
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not reached: {what}")
        time.sleep(0.02)
    return value
