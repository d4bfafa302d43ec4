"""Calls of plans against the emulator: somebody else's change between look and call is never written over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from azure_batch_emulator import EmulatorConfig
from azure_batch_operator.batch import BatchClient, HostPolicy, SharedKey
from azure_batch_operator.reconcile import job_changes
from azure_batch_operator.reconcile.job_views import TasksView
from azure_batch_operator.reconcile.plan import Absent, Plan
from azure_batch_operator.sync.calls import make
from azure_batch_operator.sync.mirror import Interest, Mirror
from azure_batch_operator.sync.poller import Poller
from support.emulator_thread import EmulatorThread
from unit.objects import JOB_SPEC
from unit.reconcile.test_job import decide
from unit.reconcile.test_job import job as job_object
from unit.reconcile.test_job import remote as job_body

WANTED = job_object(JOB_SPEC | {"priority": 7, "metadata": [{"name": "team", "value": "render"}]}, finalizer=True)


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorThread]:
    with EmulatorThread(EmulatorConfig(port=0, executor="simulated")) as running:
        yield running


@pytest.fixture
async def session(emulator: EmulatorThread) -> AsyncIterator[Any]:
    """What a call needs of a session; polls happen when a test says so."""
    config = emulator.config
    async with BatchClient(emulator.endpoint, SharedKey(config.account, config.key), hosts=HostPolicy()) as client:
        mirror, interest = Mirror(), Interest()
        interest.add(WANTED.key, WANTED.remote_id)
        poller = Poller(client, mirror, interest, lambda *_, **__: None, lambda _: None)
        yield SimpleNamespace(client=client, mirror=mirror, poller=poller)


def seen(session: Any) -> Any:
    return session.mirror.jobs.get(WANTED.remote_id)


def plan(session: Any) -> Plan:
    return decide(WANTED, seen(session), TasksView(counts={"active": 1}))


async def test_a_change_by_somebody_else_makes_a_plan_void(emulator: EmulatorThread, session: Any) -> None:
    created = job_body(WANTED)
    body = {name: created[name] for name in ("id", "poolInfo", "metadata")}
    assert emulator.call("POST", "/jobs", body)[0] == 201
    await session.poller.poll()
    (patch,) = plan(session).calls
    assert patch.if_match == seen(session)["eTag"]
    # Another operator has just noted that it will disable the job; without the condition the PATCH would drop the note.
    note = {"name": "azurebatch.io/held", "value": "suspend"}
    assert emulator.call("PATCH", "/jobs/one", {"metadata": [*created["metadata"], note]})[0] == 200

    assert await make(session, patch) is False
    assert seen(session) is Absent.UNKNOWN, "nothing is decided before the next look"
    await session.poller.poll()
    assert job_changes.note(seen(session), "azurebatch.io/held") == "suspend"
    assert seen(session)["priority"] == 0

    (again,) = [each for each in plan(session).calls if each.verb == "update_job"]
    assert again.if_match != patch.if_match
    assert await make(session, again) is True
    await session.poller.poll()
    assert seen(session)["priority"] == 7
    assert job_changes.note(seen(session), "team") == "render"
