"""Text from outside, on every way out of the operator: no secret in it, and nothing that a terminal acts upon.

Each way is tried by itself, and again with its defense taken out, which must be noticed: a table that does not cover a way
would pass either way.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from yarl import URL

from azure_batch_operator import logs, tracing
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.batch import entra, redaction, responses
from azure_batch_operator.batch.models import base as models
from azure_batch_operator.batch.responses import Response
from azure_batch_operator.batch.wire import TaskFailure, build
from azure_batch_operator.kube import api, events, status
from azure_batch_operator.reconcile.job import failures
from azure_batch_operator.sync.polls import base as polls
from unit.objects import POOL_SPEC, resource

ACCOUNT_KEY = "Zm9yIHRlc3Rz" * 7 + "Zm9=="
HOSTILE = (
    "shown \x1b[31mred\x1b[0m \x9b2J\x85 \u202eevil\u202c "
    "https://a.blob/c?sv=1&sig=SIGNATUREabc%3D AccountName=a;AccountKey=" + ACCOUNT_KEY + ";EndpointSuffix=x"
)
FORBIDDEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]|SIGNATUREabc|Zm9yIHRlc3Rz"
)

Way = Callable[[], Awaitable[str]]


def answer(body: Any, **headers: str) -> Response:
    """Of the service, as JSON."""
    return Response(400, {"content-type": "application/json", **headers}, orjson.dumps(body))


def hostile_error(**members: Any) -> Response:
    """The service's error object."""
    return answer({"code": "Bad", "message": {"value": "no"}, **members})


class ApiServer:
    """Takes what is written and keeps it."""

    def __init__(self) -> None:
        self.bodies: asyncio.Queue[Any] = asyncio.Queue()

    async def request(self, method: str, path: str, *, body: Any, **_: Any) -> dict[str, Any]:
        """An Event."""
        del method, path
        await self.bodies.put(body)
        return {"metadata": {"name": "one"}}

    async def patch_status(self, key: Any, uid: str, patch: Any) -> dict[str, Any]:
        """A status."""
        await self.bodies.put(patch)
        return {
            "kind": key.kind.value,
            "metadata": {"namespace": key.namespace, "name": key.name, "uid": uid, "resourceVersion": "2"},
        }


def written(kind: Kind, first: bool) -> Way:
    """The status of a kind, with the text in a condition, a member and a list."""

    async def way() -> str:
        server, one = ApiServer(), resource(kind, POOL_SPEC)
        writer = status.StatusWriter(server, lambda _: one, lambda *_: None)  # type: ignore[arg-type]
        running = asyncio.create_task(writer.run())
        shown = {"conditions": [{"type": "Ready", "message": HOSTILE}], "stderrTail": HOSTILE, "names": [HOSTILE]}
        if first:
            await writer.write_first(one, shown)
        else:
            writer.write(one, shown)
        body = await server.bodies.get()
        running.cancel()
        return json.dumps(body, ensure_ascii=False)

    return way


async def event() -> str:
    """The message of an Event."""
    server = ApiServer()
    recorder = events.EventRecorder(server)  # type: ignore[arg-type]
    running = asyncio.create_task(recorder.run())
    recorder.record(resource(Kind.POOL, POOL_SPEC), "Warning", "Bad", HOSTILE)
    body = await server.bodies.get()
    running.cancel()
    return str(body["message"])


def logged(form: str, *, raised: bool) -> Way:
    """A line of the log, with the text in an argument or in an exception."""

    async def way() -> str:
        root, stream = logging.getLogger(), io.StringIO()
        before, level = root.handlers[:], root.level
        try:
            logs.configure(form, "INFO")
            root.handlers[0].setStream(stream)  # type: ignore[attr-defined]
            error = RuntimeError(HOSTILE) if raised else None
            logging.getLogger("any").warning("shown %s", "" if raised else HOSTILE, exc_info=error)
        finally:
            root.handlers[:], root.level = before, level
        text = stream.getvalue()
        return json.dumps(json.loads(text), ensure_ascii=False) if form == "json" else text.replace("\n", " ")

    return way


def logged_extra(form: str, extra: Any) -> Way:
    """A line of the log with something that whoever logs, a library included, has added to the record."""

    async def way() -> str:
        root, stream = logging.getLogger(), io.StringIO()
        before, level = root.handlers[:], root.level
        try:
            logs.configure(form, "INFO")
            root.handlers[0].setStream(stream)  # type: ignore[attr-defined]
            logging.getLogger("any").warning("shown", extra={"request_id": extra})
        finally:
            root.handlers[:], root.level = before, level
        text = stream.getvalue()
        return json.dumps(json.loads(text), ensure_ascii=False) if form == "json" else text.replace("\n", " ")

    return way


def told(make: Callable[[], object]) -> Way:
    """Text and representation of an object."""

    async def way() -> str:
        made = make()
        return f"{made} {ascii(made) if isinstance(made, str) else repr(made)}"

    return way


def label() -> str:
    """The code of an error, which becomes a metric's label and a condition's reason."""
    error = responses.error_of(hostile_error(code=HOSTILE), "Pools_CreatePool")
    return f"shown {error.code} {error}"


def task_result() -> str:
    """The error of one task of a collection."""
    item = {"taskId": "t", "status": "ClientError", "error": {"code": "Bad", "message": {"value": HOSTILE}}}
    (result,) = responses.task_add_results({"value": [item]}, answer({}), "Tasks_CreateTaskCollection")
    return str(result.error)


@dataclass(frozen=True)
class Defended:
    """A way out.

    Attributes:
        module, name: the defense, as the module that uses it knows it.
    """

    way: Way
    module: Any
    name: str = "safe_text"


WAYS: dict[str, Defended] = {
    **{f"status of {kind}": Defended(written(kind, False), status, "safe") for kind in Kind},
    "status before the first create": Defended(written(Kind.POOL, True), status, "safe"),
    "Event": Defended(event, events),
    "log as text": Defended(logged("text", raised=False), logs),
    "log as JSON": Defended(logged("json", raised=False), logs),
    "traceback as text": Defended(logged("text", raised=True), logs),
    "traceback as JSON": Defended(logged("json", raised=True), logs),
    "extra as text": Defended(logged_extra("text", HOSTILE), logs),
    "extra as JSON": Defended(logged_extra("json", HOSTILE), logs),
    "nested extra as JSON": Defended(logged_extra("json", {"a": [HOSTILE]}), logs),
    "names in a nested extra": Defended(logged_extra("json", {HOSTILE: 1}), logs),
    "exception of the API server": Defended(told(lambda: api.KubeError(HOSTILE, 403)), api),
    "message of the service": Defended(
        told(lambda: responses.error_of(hostile_error(message={"value": HOSTILE}), "x")), responses
    ),
    "detail of the service": Defended(
        told(lambda: responses.error_of(hostile_error(values=[{"key": HOSTILE, "value": HOSTILE}]), "x")), redaction
    ),
    "request id": Defended(told(lambda: responses.error_of(answer({}, **{"request-id": HOSTILE}), "x")), responses),
    "task that was refused": Defended(told(task_result), responses),
    "output of a task": Defended(told(lambda: polls.tail_of(HOSTILE.encode(), 20)), polls),
    "failure of a task": Defended(
        told(lambda: failures.explained(build(TaskFailure, {"details": [{"name": "x", "value": HOSTILE}]}))), failures
    ),
    "sign-in": Defended(told(lambda: entra.sign_in_error(ValueError(HOSTILE), "somebody")), entra),
    "prose of a model": Defended(told(lambda: models.Prose.__metadata__[0].read(HOSTILE)), models),
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What the log is set to is set back."""
    level = logging.getLogger("kopf").level, logging.getLogger("azure").level
    yield
    logging.getLogger("kopf").setLevel(level[0])
    logging.getLogger("azure").setLevel(level[1])


@pytest.mark.parametrize("name", WAYS)
async def test_nothing_hostile_leaves(name: str) -> None:
    text = await WAYS[name].way()
    assert "shown" in text
    assert FORBIDDEN.search(text) is None


@pytest.mark.parametrize("name", WAYS)
async def test_a_missing_defense_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WAYS[name].module, WAYS[name].name, lambda value, *_, **__: value)
    assert FORBIDDEN.search(await WAYS[name].way()) is not None


def test_a_code_of_the_service_is_a_word_or_nothing() -> None:
    """It becomes a metric's label and a condition's reason."""
    assert FORBIDDEN.search(label()) is None
    assert responses.error_of(hostile_error(code="PoolNotFound"), "x").code == "PoolNotFound"
    assert responses.error_of(hostile_error(code="a" * 129), "x").code is None


def test_a_quoted_line_does_not_look_like_one_of_the_log() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.TextFormatter())
    handler.handle(logging.LogRecord("any", logging.INFO, "", 0, "one\n2026-01-01 ERROR two", (), None))
    assert stream.getvalue().count("\n") == 1


def line_of(form: logging.Formatter, *args: object, error: BaseException | None = None) -> str:
    """A record as it is written, through the filter that all records pass."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(logs._Context())
    handler.setFormatter(form)
    shown = (type(error), error, None) if error else None
    handler.handle(logging.LogRecord("any", logging.INFO, "", 0, "one %s", args, shown))  # type: ignore[arg-type]
    return stream.getvalue()


def test_text_in_an_exception_does_not_look_like_a_log_line() -> None:
    text = line_of(logs.TextFormatter(), "two", error=RuntimeError("a\n2026-01-01 00:00:00,000 ERROR   any: forged"))
    assert [line[:4] for line in text.splitlines()[1:]] == ["Runt", "  20"]


@pytest.mark.parametrize("args", [(HOSTILE, HOSTILE), (), ({"a": HOSTILE},)])
def test_arguments_that_do_not_fit_are_not_printed_as_they_are(args: Any, capsys: pytest.CaptureFixture[str]) -> None:
    text = line_of(logs.TextFormatter(), *args)
    assert FORBIDDEN.search(text.replace("\n", "")) is None
    assert capsys.readouterr().err == ""


def test_an_argument_that_cannot_be_shown_stops_nothing() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError(HOSTILE)

    assert "do not fit" in line_of(logs.TextFormatter(), Broken())


async def test_an_unreachable_api_server_leaves_no_request_in_the_exception() -> None:
    """aiohttp's exceptions hold the request and with it the operator's token; whoever formats a cause would show it."""

    class Session:
        def request(self, *_: object, headers: Any, **__: object) -> Any:
            made = aiohttp.RequestInfo(URL("https://api"), "GET", headers, URL("https://api"))
            raise aiohttp.ClientResponseError(made, (), message="bad status line")

    async def settings() -> dict[str, dict[str, str]]:
        return {"BearerToken": {"key": "authorization", "value": f"Bearer {ACCOUNT_KEY}"}}

    one = api.KubeApi.__new__(api.KubeApi)
    one._session, one._proxy = Session(), None  # type: ignore[assignment]
    one._client = SimpleNamespace(configuration=SimpleNamespace(auth_settings=settings, host="https://api"))
    with pytest.raises(api.Busy) as caught:
        await one.request("GET", "/x")
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert ACCOUNT_KEY not in repr(caught.value)


def test_an_exception_that_passes_through_a_span_stays_out_of_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    exported = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exported))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("any"))
    with pytest.raises(RuntimeError), tracing.span("reconcile BatchPool", object="cpu"):
        raise RuntimeError(HOSTILE)
    (span,) = exported.get_finished_spans()
    assert FORBIDDEN.search(span.to_json().replace("\n", "")) is None
    assert span.attributes == {"object": "cpu"}
