"""Events hold no signatures and nothing that a terminal acts upon, and the same one again is counted, not repeated."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any
from unittest import mock

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.kube import events
from azure_batch_operator.kube.api import AlreadyExists, Busy, KubeError, NotFound
from azure_batch_operator.kube.events import EventRecorder
from support.jumping_loop import run_jumping
from unit.objects import POOL_SPEC, TASK_SPEC, resource


class Server:
    """Takes Events and tells when one has come."""

    def __init__(self) -> None:
        self.requests: asyncio.Queue[tuple[str, str, dict[str, Any]]] = asyncio.Queue()

    async def request(self, method: str, path: str, *, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        self.requests.put_nowait((method, path, body))
        return {"metadata": {"name": "one.1"}}


async def test_an_event_is_safe_to_show_and_counted_when_it_comes_again() -> None:
    server = Server()
    recorder = EventRecorder(server)  # type: ignore[arg-type]
    running = asyncio.create_task(recorder.run())
    one = resource(Kind.POOL, POOL_SPEC)
    text = "blob \u202ehttps://a.blob/c?sv=1&sig=abcdef\x1b[31m is missing\x9b2J"
    recorder.record(one, "Warning", "BlobNotFound", text)
    method, path, body = await server.requests.get()
    assert (method, path) == ("POST", "/api/v1/namespaces/default/events")
    assert body["message"] == "blob https://a.blob/c?… is missing"
    assert (body["reason"], body["type"], body["count"]) == ("BlobNotFound", "Warning", 1)
    assert (body["involvedObject"]["name"], body["involvedObject"]["uid"]) == ("one", "uid-1")
    recorder.record(one, "Warning", "BlobNotFound", text)
    method, path, body = await server.requests.get()
    assert (method, path, body["count"]) == ("PATCH", "/api/v1/namespaces/default/events/one.1", 2)
    running.cancel()


async def test_a_message_is_cut_to_what_an_event_may_hold() -> None:
    server = Server()
    recorder = EventRecorder(server)  # type: ignore[arg-type]
    running = asyncio.create_task(recorder.run())
    recorder.record(resource(Kind.POOL, POOL_SPEC), "Normal", "Long", "x" * 5000)
    assert (await server.requests.get())[2]["message"] == "x" * 1024
    running.cancel()


async def test_events_of_one_moment_are_in_order_by_name() -> None:
    """kubectl sorts by whole seconds and shows those of one second as the API server lists them: by name."""
    server = Server()
    recorder = EventRecorder(server)  # type: ignore[arg-type]
    running = asyncio.create_task(recorder.run())
    one = resource(Kind.POOL, POOL_SPEC, name="a" * 199 + "-pool")
    for number in range(20):
        recorder.record(one, "Normal", f"Reason{number}", "")
    posted = [(await server.requests.get())[2] for _ in range(20)]
    names = [body["metadata"]["name"] for body in posted]
    assert [body["reason"] for body in posted] == [f"Reason{number}" for number in range(20)]
    assert names == sorted(set(names))
    assert all(re.fullmatch(r"a{199}\.[0-9a-f]{16}", name) for name in names), names[0]
    running.cancel()


def test_thousands_of_tasks_do_not_post_thousands_of_events(caplog: pytest.LogCaptureFixture) -> None:
    """Each pending task of a BatchJob that was deleted told that it may remain."""
    caplog.set_level(logging.INFO)
    run_jumping(_thousands_of_tasks())
    what = "Events TaskMayRemain on BatchTasks of namespace default, which are not posted"
    told = f"490 more like this within 600 s, each at DEBUG: {what}"
    assert [each.getMessage() for each in caplog.records] == [told]


async def _thousands_of_tasks() -> None:
    server = Server()
    recorder = EventRecorder(server)  # type: ignore[arg-type]
    running = asyncio.create_task(recorder.run())
    tasks = [resource(Kind.TASK, TASK_SPEC, name=f"t{number}", uid=f"t{number}") for number in range(500)]
    for each in tasks:
        recorder.record(each, "Warning", "TaskMayRemain", f"{each.key.name} may remain")
    recorder.record(tasks[0], "Warning", "Other", "another reason")
    recorder.record(resource(Kind.POOL, POOL_SPEC), "Warning", "TaskMayRemain", "another kind")
    names = [(await server.requests.get())[2]["message"] for _ in range(12)]
    assert names == [*(f"t{number} may remain" for number in range(10)), "another reason", "another kind"]
    assert server.requests.empty()
    # Later it is news again.
    await asyncio.sleep(601.0)
    recorder.record(tasks[-1], "Warning", "TaskMayRemain", "much later")
    assert (await server.requests.get())[2]["message"] == "much later"
    running.cancel()


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([Busy("out of reach"), None], ""),
        ([Busy("out of reach"), AlreadyExists("exists", 409)], ""),
        ([Busy("out of reach"), Busy("out of reach")], "was not posted"),
        ([KubeError("forbidden", 403)], "was not posted"),
    ],
    ids=["lost", "posted", "down", "refused"],
)
async def test_an_event_without_a_response_is_posted_again(
    answers: list[KubeError | None], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    posted: list[dict[str, Any]] = []

    async def request(method: str, path: str, *, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        assert method == "POST"
        posted.append(body)
        if (answer := answers[len(posted) - 1]) is not None:
            raise answer
        return body

    recorder = EventRecorder(mock.Mock(request=request))
    with mock.patch("azure_batch_operator.kube.events._REPEATED_AFTER", 0.0):
        recorder.record(resource(Kind.POOL, POOL_SPEC), "Normal", "Steady", "2 nodes")
        await recorder._serve("default")
    assert len(posted) == len(answers)
    assert {body["metadata"]["name"] for body in posted} == {posted[0]["metadata"]["name"]}
    assert ("was not posted" in caplog.text) is bool(said)


class Throttled(Server):
    """An API server that takes no Events in the namespace `noisy`."""

    async def request(self, method: str, path: str, *, body: dict[str, Any], **rest: Any) -> dict[str, Any]:
        if "/noisy/" in path:
            raise Busy("too many Events", 429, retry_after=30.0)
        return await super().request(method, path, body=body, **rest)


async def _beside_a_throttled_namespace() -> None:
    server, loop = Throttled(), asyncio.get_running_loop()
    recorder = EventRecorder(server)  # type: ignore[arg-type]
    running = asyncio.create_task(recorder.run())
    began = loop.time()
    for number in range(1500):
        recorder.record(resource(Kind.POOL, POOL_SPEC, namespace="noisy"), "Normal", f"Noise{number}", "")
        if number % 500 == 0:
            # Others go on while the first one waits, and when the backlog is full.
            recorder.record(resource(Kind.POOL, POOL_SPEC, namespace="calm"), "Normal", f"Calm{number}", "")
    posted = [(await server.requests.get())[2]["reason"] for _ in range(3)]
    assert posted == ["Calm0", "Calm500", "Calm1000"]
    assert loop.time() == began, "nobody has waited for the other namespace"
    assert recorder._waiting == sum(map(len, recorder._lanes.values())) <= 1000
    # The oldest stay, which tell how it began.
    assert [each.reason for each in recorder._lanes["noisy"]][:2] == ["Noise1", "Noise2"]
    running.cancel()


def test_a_throttled_namespace_delays_no_other_one(caplog: pytest.LogCaptureFixture) -> None:
    run_jumping(_beside_a_throttled_namespace())
    assert caplog.text.count("Event dropped: BatchPool noisy/") == 5
    assert "Event dropped: BatchPool calm/" not in caplog.text


async def test_early_events_are_posted_and_an_error_ends_no_lane() -> None:
    server = Server()
    recorder = EventRecorder(server)  # type: ignore[arg-type]
    one = resource(Kind.POOL, POOL_SPEC)
    recorder.record(one, "Normal", "Early", "")
    with mock.patch.object(recorder, "_create", side_effect=[ValueError("a fault"), "one.1"]):
        recorder.record(one, "Normal", "Late", "")
        running = asyncio.create_task(recorder.run())
        for _ in range(10):
            await asyncio.sleep(0)
    assert not recorder._lanes
    assert not running.done()
    recorder.record(one, "Normal", "Later", "")
    assert (await server.requests.get())[2]["reason"] == "Later"
    running.cancel()


class Expired(Server):
    """An API server that says only later that an Event of the namespace `held` is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.answer = asyncio.Event(), asyncio.Event()

    async def request(self, method: str, path: str, *, body: dict[str, Any], **rest: Any) -> dict[str, Any]:
        if method == "PATCH" and "/held/" in path:
            self.asked.set()
            await self.answer.wait()
            raise NotFound("the Event has expired", 404)
        return await super().request(method, path, body=body, **rest)


async def test_an_event_that_has_expired_is_posted_again_although_others_have_pushed_it_out(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_REMEMBERED", 1)
    server = Expired()
    recorder = EventRecorder(server)  # type: ignore[arg-type]
    running = asyncio.create_task(recorder.run())
    held, calm = (resource(Kind.POOL, POOL_SPEC, namespace=each, uid=each) for each in ("held", "calm"))
    recorder.record(held, "Normal", "Resized", "")
    await server.requests.get()
    recorder.record(held, "Normal", "Resized", "")
    await server.asked.wait()
    recorder.record(calm, "Normal", "Resized", "")
    await server.requests.get()
    server.answer.set()
    async with asyncio.timeout(10):
        method, path, body = await server.requests.get()
    assert (method, path, body["count"]) == ("POST", "/api/v1/namespaces/held/events", 1)
    assert caplog.text == ""
    running.cancel()
