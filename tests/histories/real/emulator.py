"""The emulator as a process that writes down what it was asked and what came of it; what was written is read here, too.

The emulator's own log of calls has neither bodies nor the state right before a call, and the rules need both. So this program is
the emulator's own command with `witness` in it: the same observer as on the quick stage.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from azure_batch_emulator.cli import main
from azure_batch_emulator.web.messages import Request
from azure_batch_emulator.web.routes import match
from azure_batch_emulator.web.server import Server
from azure_batch_emulator.wire.errors import BatchError
from histories.record import Call, Effect, Owner, Thing
from histories.witness import witnessed

PROGRAM = (sys.executable, str(Path(__file__)))
"""Takes the file to write to, and then what the emulator takes."""
_OPERATOR = "azure-batch-operator/"


class Notes:
    """Writes lines of JSON, each at once, so that nothing is lost with the process."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._numbers = itertools.count(1)

    def effect(self, effect: Effect) -> None:
        """Note what has reached a handler."""
        self._write({"effect": effect})

    async def around(
        self, request: web.BaseRequest, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Note a call of the operator as soon as it is here, and its answer."""
        if not request.headers.get("User-Agent", "").startswith(_OPERATOR):
            return await handler(request)
        path = request.raw_path.partition("?")[0]
        try:
            operation = match(request.method, path).route.operation
        except BatchError:
            operation = "Unknown"
        number, arrived = next(self._numbers), time.time()
        body = b"" if request.method in {"GET", "HEAD"} else await request.read()
        call = {"number": number, "time": arrived, "operation": operation, "method": request.method, "path": path}
        self._write({"call": call | {"body": body.decode(errors="replace")}})
        response = await handler(request)
        if request.transport is not None and not request.transport.is_closing():
            self._write({"answer": number, "status": response.status})
        return response

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(orjson.dumps(line, default=str) + b"\n")


def read(path: Path, begun: float) -> tuple[list[Effect], list[Call]]:
    """What was noted so far, with times since `begun`."""
    effects: list[Effect] = []
    calls: dict[int, Call] = {}
    for line in _whole_lines(path):
        if "effect" in line:
            effects.append(_effect(line["effect"], begun))
        elif "call" in line:
            call = line["call"]
            at, body = call["time"] - begun, call["body"].encode()
            calls[call["number"]] = Call(at, call["operation"], call["method"], call["path"], 0, body)
        else:
            former = calls[line["answer"]]
            calls[line["answer"]] = Call(
                former.time, former.operation, former.method, former.path, line["status"], former.body
            )
    return effects, list(calls.values())


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    return map(orjson.loads, whole.splitlines())


def _effect(body: dict[str, Any], begun: float) -> Effect:
    before = body["before"]
    if before is not None:
        facts = before["facts"]
        if "job_owner" in facts:
            facts["job_owner"] = _owner(facts["job_owner"])
        before = Thing(**before | {"owner": _owner(before["owner"])})
    return Effect(**body | {"time": body["time"] - begun, "before": before, "added": tuple(body["added"])})


def _owner(body: dict[str, Any] | None) -> Owner | None:
    return Owner(**body) if body is not None else None


def _ours(request: Request) -> bool:
    return request.headers.get("user-agent", "").startswith(_OPERATOR)


def _run() -> None:
    with Path(sys.argv.pop(1)).open("ab", buffering=0) as file:
        _run_noting(Notes(file))


def _run_noting(notes: Notes) -> None:
    usual = Server.web_server

    def web_server(server: Server) -> Any:
        return usual(server, notes.around)

    Server.web_server = web_server  # type: ignore[method-assign,assignment]
    with witnessed(notes.effect, time.time, _ours):
        main()


if __name__ == "__main__":
    _run()
