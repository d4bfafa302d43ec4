"""Between the deletion of a task and its addition nothing else happens, and nothing that fails leaves tasks deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import (
    AlreadyExistsError,
    BatchError,
    ConnectionFailedError,
    InvalidRequestError,
    PreconditionFailedError,
    ServerBusyError,
    TaskAddResult,
    TaskAddStatus,
)
from azure_batch_operator.sync import task_diff
from azure_batch_operator.sync.feeder import Feeder, Incarnation
from azure_batch_operator.sync.task_diff import FeedState

BUSY = ServerBusyError("busy", status=503, code="ServerBusy", retry_after=60.0)
LOST = ConnectionFailedError("no response")
ONE = Incarnation(Key(Kind.JOB, "default", "one"), "uid", "2026-01-01T00:00:00Z")


class Service:
    """A job in Azure Batch.

    Attributes:
        tasks: by id.
        log: what was done to which tasks.
        lacking: ids of tasks that were deleted and are not there, at its longest.
        lists: how often the tasks were listed.
        fails: at which entry a list breaks.
        refuses: errors of deletions by id, each once; of additions by id, each time.
        more: members that the service adds to each task.
    """

    def __init__(self, *ids: str, more: Mapping[str, Any] | None = None) -> None:
        self.more = dict(more or {})
        self.tasks = {id: self._made({"id": id, "commandLine": "old"}) for id in ids}
        self.log: list[tuple[str, list[str]]] = []
        self.lists = 0
        self.fails: int | None = None
        self.deletions: dict[str, BatchError] = {}
        self.additions: dict[str, BatchError] = {}
        self.deleted = set[str]()
        self.lacking = set[str]()

    def _made(self, task: Mapping[str, Any]) -> dict[str, Any]:
        return {**task, **self.more, "eTag": f"0x{task['commandLine']}"}

    async def list(self, job_id: str, **_: Any) -> AsyncIterator[dict[str, Any]]:
        self.lists += 1
        for number, id in enumerate(sorted(self.tasks)):
            await asyncio.sleep(0)
            if number == self.fails:
                self.fails = None
                raise BUSY
            yield self.tasks[id]

    async def delete(self, job_id: str, id: str, *, if_match: str | None = None, **_: Any) -> None:
        await asyncio.sleep(0)
        error = self.deletions.pop(id, None)
        if error is None or error is LOST:
            assert if_match == self.tasks.pop(id)["eTag"]
            self.log.append(("delete", [id]))
            self.deleted.add(id)
            self.lacking = max(self.lacking, self.deleted - self.tasks.keys(), key=len)
        if error is not None:
            raise error

    async def add_tasks(self, job_id: str, tasks: Any, **_: Any) -> AsyncIterator[TaskAddResult]:
        """As the client does: calls of at most a hundred tasks, while more of them are read."""
        given = aiter(tasks) if hasattr(tasks, "__aiter__") else None
        rest = [] if given is not None else list(tasks)
        while True:
            if given is not None:
                rest = [task async for task in first(given, 100)]
            if not rest:
                return
            self.log.append(("add", [task["id"] for task in rest]))
            for task in rest:
                await asyncio.sleep(0)
                error = self.additions.get(task["id"])
                if task["id"] in self.tasks:
                    error = AlreadyExistsError("exists", status=409, code="TaskExists")
                if error is None:
                    self.tasks[task["id"]] = self._made(task)
                status = TaskAddStatus.CLIENT_ERROR if error else TaskAddStatus.SUCCESS
                yield TaskAddResult(task["id"], status, error=error)
            if given is None:
                return

    def did(self, what: str) -> Sequence[str]:
        return [id for done, ids in self.log if done == what for id in ids]


class Client:
    def __init__(self, service: Service) -> None:
        self.tasks, self.add_tasks = service, service.add_tasks


async def first(tasks: AsyncIterator[Any], number: int) -> AsyncIterator[Any]:
    for _ in range(number):
        if (task := await anext(tasks, None)) is None:
            return
        yield task


async def fed(
    service: Service, tasks: list[dict[str, Any]], times: int = 1, during: Callable[[Feeder], None] = lambda _: None
) -> FeedState:
    """Bring the tasks in, as often as that is asked for."""
    settled = asyncio.Event()
    feeder = Feeder(Client(service), lambda _: settled.set())  # type: ignore[arg-type]
    running = asyncio.create_task(feeder.run())
    await asyncio.sleep(0)
    for _ in range(times):
        settled.clear()
        feeder.hurry(ONE.key)
        feeder.feed(ONE, "j", {"taskUpdatePolicy": "Replace", "tasks": tasks}, "print")
        during(feeder)
        async with asyncio.timeout(30):
            await settled.wait()
    state = feeder.state(ONE)
    running.cancel()
    await asyncio.wait([running])
    assert state is not None
    return state


def new(*ids: str, **more: Any) -> list[dict[str, Any]]:
    return [{"id": id, "commandLine": "new", **more} for id in ids]


def names(number: int) -> list[str]:
    return [f"t{index:03}" for index in range(number)]


async def test_a_list_that_breaks_leaves_every_task_where_it_is() -> None:
    service = Service(*names(40))
    service.fails = 30
    state = await fed(service, new(*names(40)))
    assert (state.refused, state.complete) == (BUSY, False)
    assert service.log == []
    service.fails = None
    assert (await fed(service, new(*names(40)))).complete
    assert sorted(service.did("delete")) == names(40)


async def test_few_tasks_are_missing_at_a_time() -> None:
    service = Service(*names(250))
    state = await fed(service, new(*names(250)))
    assert state.complete
    assert len(service.lacking) <= 10
    assert (state.submitted, state.different_count) == (250, 0)
    assert {task["commandLine"] for task in service.tasks.values()} == {"new"}
    assert service.lists == 1


@pytest.mark.parametrize("error", [BUSY, LOST], ids=["refused", "unanswered"])
async def test_a_deletion_that_fails_leaves_no_other_task_deleted(error: BatchError) -> None:
    service = Service(*names(40))
    service.deletions["t025"] = error
    state = await fed(service, new(*names(40)))
    assert state.refused is error
    assert sorted(service.tasks) == names(40)
    assert service.did("delete")[:20] == names(20)
    state = await fed(service, new(*names(40)))
    assert state.complete
    assert {task["commandLine"] for task in service.tasks.values()} == {"new"}


async def test_an_addition_that_is_refused_costs_no_task_that_follows() -> None:
    wrong = InvalidRequestError("bad", status=400)
    service = Service(*names(40))
    service.additions = dict.fromkeys(names(40), wrong)
    assert (await fed(service, new(*names(40)), times=3)).refused is wrong
    assert service.did("delete") == names(10), "no further try takes more"
    service.additions = {}
    assert (await fed(service, new(*names(40)))).complete
    assert sorted(service.tasks) == names(40)


async def test_a_task_that_another_one_depends_on_is_replaced_first() -> None:
    service = Service("a", "b", *names(15))
    depends = {"dependsOn": {"taskIds": ["t014"]}}
    await fed(service, [*new("a", "b", "c", **depends), *new(*names(15))])
    added = service.did("add")
    assert sorted(added) == ["a", "b", "c", *names(15)]
    assert max(map(added.index, names(15))) < min(map(added.index, "abc"))
    assert ("add", ["a", "b"]) in service.log, "together, since one of them may depend on the other"


async def test_a_task_that_has_changed_since_it_was_listed_is_replaced_all_the_same() -> None:
    service = Service("a", "b")
    service.deletions["a"] = PreconditionFailedError("changed", status=412)
    assert (await fed(service, new("a", "b"))).complete
    assert service.did("delete") == ["b", "a"]
    assert {task["commandLine"] for task in service.tasks.values()} == {"new"}


@pytest.mark.parametrize("more", [{}, {"newMember": 1}], ids=["known", "unknown-default"])
async def test_more_tasks_than_are_remembered_are_replaced_once_each(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    monkeypatch.setattr(task_diff, "_MAX_NOTED", 7)
    service = Service(*names(40), more=more)
    state = await fed(service, new(*names(40), "t900"))
    assert state.complete
    assert sorted(service.did("delete")) == names(40)
    assert len(service.tasks) == 41


async def test_tasks_of_former_sources_are_not_replaced_once_there_are_others() -> None:
    service = Service(*names(40))
    state = await fed(service, new(*names(40)), during=lambda feeder: feeder.stop(ONE, "other"))
    assert (state.complete, service.log) == (False, [])


async def test_a_job_without_tasks_is_listed_once() -> None:
    service = Service()
    assert (await fed(service, new("a", "b"))).complete
    assert (service.lists, service.log) == (1, [("add", ["a", "b"])])
