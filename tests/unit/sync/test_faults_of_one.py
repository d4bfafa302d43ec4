"""A fault of the operator about one object is that object's: services that serve many go on, and it is told and counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from prometheus_client import REGISTRY

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch import TaskAddResult, TaskAddStatus
from azure_batch_operator.kube.access import Access
from azure_batch_operator.sync.feeder import Feeder, Incarnation
from azure_batch_operator.sync.resync import Listener, resync
from azure_batch_operator.sync.retrier import Retrier
from azure_batch_operator.sync.store import Store
from azure_batch_operator.sync.submitter import Reports, Submitter
from support.jumping_loop import run_jumping
from support.typed import Listed

BAD, GOOD = Key(Kind.JOB, "default", "bad"), Key(Kind.JOB, "default", "good")
SPEC = {"tasks": [{"id": "a", "commandLine": "true"}]}


class Client:
    """Fails in a way that nobody foresees when it is asked about the job `bad`."""

    def __init__(self) -> None:
        self.tasks = self
        self.added: list[str] = []
        self.reactivated: list[str] = []

    def list(self, job_id: str, *, filter: str | None = None, **_: Any) -> Listed:
        return Listed(self._tasks(("a",) if filter else ()))

    async def _tasks(self, ids: tuple[str, ...]) -> AsyncIterator[dict[str, str]]:
        for id in ids:
            yield {"id": id}

    async def reactivate(self, job_id: str, task_id: str, **_: Any) -> None:
        if job_id == "bad":
            raise RuntimeError("secret=hunter2")
        self.reactivated.append(f"{job_id}/{task_id}")

    async def add_tasks(self, job_id: str, tasks: Any, **_: Any) -> AsyncIterator[TaskAddResult]:
        if job_id == "bad":
            raise RuntimeError("secret=hunter2")
        bodies = [each async for each in tasks] if hasattr(tasks, "__aiter__") else tasks
        for body in bodies:
            self.added.append(f"{job_id}/{body['id']}")
            yield TaskAddResult(body["id"], TaskAddStatus.SUCCESS)


def faults(where: str) -> float:
    return REGISTRY.get_sample_value("azurebatch_internal_errors_total", {"where": where}) or 0.0


async def begun(service: Any) -> asyncio.Task[None]:
    running: asyncio.Task[None] = asyncio.create_task(service.run())
    await asyncio.sleep(0)
    return running


def test_a_job_whose_tasks_cannot_be_made_keeps_no_other_from_being_fed() -> None:
    async def run() -> None:
        client, settled, before = Client(), asyncio.Queue[Key](), faults("feeder")
        feeder = Feeder(client, lambda keys: [settled.put_nowait(key) for key in keys] and None)  # type: ignore[arg-type]
        running = await begun(feeder)
        bad, good = Incarnation(BAD, "1"), Incarnation(GOOD, "2")
        feeder.feed(bad, "bad", SPEC, "print")
        assert await settled.get() == BAD
        feeder.feed(good, "good", SPEC, "print")
        assert await settled.get() == GOOD
        assert client.added == ["good/a"]
        state = feeder.state(bad)
        assert state is not None
        assert state.refused is not None
        assert state.refused.code == "InternalError"
        assert "hunter2" not in str(state.refused)
        assert feeder.retry_in(bad, "print") is not None, "it is not tried again at once"
        assert faults("feeder") == before + 1
        running.cancel()

    run_jumping(run())


def test_a_task_that_cannot_be_sent_keeps_no_other_from_being_sent() -> None:
    async def run() -> None:
        client, settled, before = Client(), asyncio.Queue[Key](), faults("submitter")
        submitter = Submitter(
            client,  # type: ignore[arg-type]
            Reports(lambda *_: None, lambda keys, _: [settled.put_nowait(key) for key in keys] and None),
            lambda: False,
        )
        running = await begun(submitter)
        bad, good = (Key(Kind.TASK, "default", name) for name in ("bad", "good"))
        submitter.add(bad, "bad", {"id": "t", "commandLine": "true"}, "owner")
        assert await settled.get() == bad
        submitter.add(good, "good", {"id": "t", "commandLine": "true"}, "owner")
        assert await settled.get() == good
        assert client.added == ["good/t"]
        refused = submitter.refused(bad)
        assert refused is not None
        assert refused.code == "InternalError"
        assert "hunter2" not in str(refused)
        assert submitter.refused(good) is None
        assert faults("submitter") == before + 1
        running.cancel()

    run_jumping(run())


def test_a_job_whose_tasks_cannot_run_again_keeps_no_other_from_it() -> None:
    async def run() -> None:
        client, settled, before = Client(), asyncio.Queue[Key](), faults("retrier")
        retrier = Retrier(client, lambda keys: [settled.put_nowait(key) for key in keys] and None)  # type: ignore[arg-type]
        running = await begun(retrier)
        bad, good = Incarnation(BAD, "1"), Incarnation(GOOD, "2")
        retrier.retry(bad, "bad", "1", "")
        assert await settled.get() == BAD
        retrier.retry(good, "good", "1", "")
        assert await settled.get() == GOOD
        assert client.reactivated == ["good/a"]
        assert (retrier.done(bad), retrier.done(good)) == (None, "1")
        assert retrier.retry(bad, "bad", "1", "") is not None, "it is not tried again at once"
        assert faults("retrier") == before + 1
        running.cancel()

    run_jumping(run())


class Server:
    """An API server with one object that nobody can read between two that are as they should be."""

    async def list(self, kind: Kind, namespace: str | None) -> AsyncIterator[Any]:
        if kind is Kind.JOB:
            for name in ("a", None, "z"):
                yield {
                    "kind": "BatchJob",
                    "metadata": {"namespace": "n", "name": name, "uid": name} if name else "none",
                }


async def test_an_object_that_cannot_be_read_keeps_no_other_from_being_compared() -> None:
    seen: list[str] = []
    woken: list[str] = []
    gone: list[Resource] = []
    before = faults("resync")
    number = await resync(
        Server(),  # type: ignore[arg-type]
        Store(),
        Access(),
        Listener(lambda resource: seen.append(resource.key.name), gone.append, lambda key: woken.append(key.name)),
    )
    assert (number, seen, woken, gone) == (2, ["a", "z"], ["a", "z"], [])
    assert faults("resync") == before + 1


async def test_a_namesake_of_an_object_does_not_stand_for_it() -> None:
    """The object has gone and another one has taken its name, which nobody has heard of."""

    class Namesake:
        async def list(self, kind: Kind, namespace: str | None) -> AsyncIterator[Any]:
            if kind is Kind.JOB:
                yield {"kind": "BatchJob", "metadata": {"namespace": "n", "name": "a", "uid": "second"}}

    store, gone = Store(), list[str]()
    first = {"namespace": "n", "name": "a", "uid": "first"}
    store.put(Resource.parse({"kind": "BatchJob", "metadata": first, "spec": {}}))
    await resync(
        Namesake(),  # type: ignore[arg-type]
        store,
        Access(),
        Listener(lambda _: None, lambda resource: gone.append(resource.uid), lambda _: None),
    )
    assert gone == ["first"]
