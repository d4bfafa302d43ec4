"""The controller between two writes of a status: what was decided is not decided again."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from azure_batch_operator.api.base import TERMINATE
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch import HostPolicy
from azure_batch_operator.kube.access import Access
from azure_batch_operator.kube.status import StatusWriter
from azure_batch_operator.reconcile.annotations import handled, pending_request
from azure_batch_operator.reconcile.plan import Event, Plan
from azure_batch_operator.reconcile.reconcile_policy import Policy
from azure_batch_operator.sync import observe as views
from azure_batch_operator.sync.accounts import Pacing
from azure_batch_operator.sync.cluster import Cluster
from azure_batch_operator.sync.controller import Controller, Options
from azure_batch_operator.sync.queue import WorkQueue
from azure_batch_operator.sync.store import Store
from unit.objects import TASK_SPEC, resource


class Surroundings:
    """An API server that takes no status before it is told to, and Events that are only noted."""

    def __init__(self) -> None:
        self.gate, self.access = asyncio.Event(), Access()
        self.told: list[str] = []

    async def patch_status(self, *_: Any) -> dict[str, Any]:
        await self.gate.wait()
        raise AssertionError("nothing is to be written here")

    def record(self, _: Resource, type_: str, reason: str, message: str) -> None:
        self.told.append(reason)

    async def find(self, _: str) -> Any:
        return SimpleNamespace(annotations={}, labels={})

    def get(self, _: str) -> None:
        return None


async def test_a_verb_acts_once_however_slow_the_api_server_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def plan(context: Any, one: Resource, *_: Any) -> views.Decision:
        if pending_request(one, TERMINATE) is None:
            return views.Decision(Plan())
        ended = {"phase": "Failed", "handled": handled(one, TERMINATE)}
        return views.Decision(Plan(status=ended, events=(Event("Ended", ""),)))

    monkeypatch.setattr(views, "plan", plan)
    around, store = Surroundings(), Store()
    queue: WorkQueue[Key] = WorkQueue()
    writer = StatusWriter(around, store.get, lambda _, after: store.update(after))  # type: ignore[arg-type]
    controller = Controller(
        Cluster("c", around, writer, around, around), store, queue,  # type: ignore[arg-type]
        Options(HostPolicy(), None, Pacing(), Policy.MANAGE),  # type: ignore[arg-type]
    )  # fmt: skip
    running = [asyncio.create_task(controller.run()), asyncio.create_task(writer.run())]
    try:
        task = resource(Kind.TASK, TASK_SPEC, annotations={TERMINATE: "1"})
        controller.triggers.on_upsert(task)
        for _ in range(3):
            while queue.active_since() or len(queue):
                await asyncio.sleep(0)
            controller.wake.changed([task.key])
    finally:
        for each in running:
            each.cancel()
        await asyncio.wait(running)
    assert around.told == ["Ended"]
