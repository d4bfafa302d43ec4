"""Statuses that somebody else writes: how often they are set right, and what the object says of it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.sync.corrections import Corrections
from unit.objects import POOL_SPEC, resource


class Scene:
    """Corrections whose time passes when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.waits, self.events = 1000.0, list[float](), list[str]()
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)
        writer = SimpleNamespace(write=lambda *_, after: self.waits.append(after))
        events = SimpleNamespace(record=lambda *event: self.events.append(" ".join(event[1:])))
        self.corrections = Corrections(writer, events)  # type: ignore[arg-type]

    def change(self, one: Resource, times: int) -> None:
        """Somebody changes the status as soon as it is set right, so often."""
        for _ in range(times):
            self.corrections.correct(one, {})
            self.now += self.waits[-1]


def pool(manager: str = "", **more: Any) -> Resource:
    body: dict[str, Any] = {"namespace": "default", "name": "cpu", "uid": "uid-1", **more}
    if manager:
        # Each entry as the API server has it; those of the status have a name for it.
        body["managedFields"] = [
            {"manager": "kubectl", "operation": "Apply", "time": "2026-01-01T00:00:09Z"},
            {"manager": manager, "operation": "Update", "time": "2026-01-01T00:00:08Z", "subresource": "status"},
            {"manager": "older", "operation": "Update", "time": "2026-01-01T00:00:07Z", "subresource": "status"},
        ]
    return Resource.parse({"kind": "BatchPool", "metadata": body, "spec": POOL_SPEC})


async def test_waits_grow_up_to_five_minutes_and_begin_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch)
    scene.change(pool(), 11)
    most = [0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert all(half / 2 <= wait <= half for wait, half in zip(scene.waits, most, strict=True)), scene.waits
    assert len(scene.events) == 1
    scene.now += 899
    scene.change(pool(), 1)
    assert scene.waits[-1] >= 150
    scene.now += 901
    scene.change(pool(), 2)
    assert scene.waits[-2] == 0
    assert 1 <= scene.waits[-1] <= 2
    assert len(scene.events) == 2


async def test_objects_do_not_share_a_backoff_nor_memory_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch)
    scene.change(pool(), 5)
    for other in (resource(Kind.POOL, POOL_SPEC, name="other", uid="uid-2"), pool(uid="uid-3")):
        scene.change(other, 1)
        assert scene.waits[-1] == 0
    scene.corrections.forget(pool().key)
    scene.change(pool(uid="uid-3"), 1)
    assert scene.waits[-1] == 0
    scene.now += 901
    scene.change(resource(Kind.POOL, POOL_SPEC, name="third", uid="uid-4"), 1)
    assert len(scene.corrections._seen) == 1


@pytest.mark.parametrize(
    ("manager", "words"),
    [
        ("", "Another client repeatedly changes the status of this object"),
        ("controller-x", "Field manager 'controller-x' repeatedly changes"),
        ("azure-batch-operator", "Another process of the operator repeatedly changes"),
    ],
)
async def test_the_event_names_the_second_writer(monkeypatch: pytest.MonkeyPatch, manager: str, words: str) -> None:
    scene = Scene(monkeypatch)
    scene.change(pool(manager), 1)
    assert scene.events == [], "a single change is no news"
    scene.change(pool(manager), 1)
    [event] = scene.events
    assert event.startswith(f"Warning StatusOverwritten {words}")
