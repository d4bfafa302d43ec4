"""When tasks go out, and what their results mean; how they are packed is tested with the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import (
    AlreadyExistsError,
    BatchError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    ServerBusyError,
    TaskAddResult,
    TaskAddStatus,
)
from azure_batch_operator.sync.feeder import Feeder, Incarnation
from azure_batch_operator.sync.submitter import MAX_TASKS, Reports, Submitter

Respond = Callable[[dict[str, Any]], BatchError | None]


class Client:
    """A Batch client that takes tasks, or refuses them as told."""

    def __init__(self, respond: Respond = lambda _: None) -> None:
        self.calls: list[list[str]] = []
        self._respond = respond

    async def add_tasks(self, job_id: str, tasks: Sequence[dict[str, Any]], **_: Any) -> AsyncIterator[TaskAddResult]:
        self.calls.append([task["id"] for task in tasks])
        for task in tasks:
            await asyncio.sleep(0)
            error = self._respond(task)
            status = TaskAddStatus.CLIENT_ERROR if error else TaskAddStatus.SUCCESS
            yield TaskAddResult(task["id"], status, error=error)


def bodies(number: int) -> list[dict[str, Any]]:
    return [{"id": f"t{index}", "commandLine": "true"} for index in range(number)]


@asynccontextmanager
async def submitting(
    client: Client, more: Callable[[], bool] = lambda: False, again: Callable[[Sequence[Key]], object] = lambda _: None
) -> Any:
    added: dict[str, str | None] = {}
    settled: list[Key] = []

    def report(keys: Sequence[Key], to_look_at: Sequence[Key]) -> None:
        settled.extend(keys)
        again(to_look_at)

    submitter = Submitter(
        client,  # type: ignore[arg-type]
        Reports(lambda _job, task, owner: added.__setitem__(task, owner), report),
        more,
    )
    running = asyncio.create_task(submitter.run())
    await asyncio.sleep(0)
    try:
        yield submitter, added, settled
    finally:
        running.cancel()
        await asyncio.wait([running])


def key(number: int) -> Key:
    return Key(Kind.TASK, "default", f"t{number}")


@pytest.mark.parametrize(("number", "calls"), [(1, 1), (100, 1), (101, 2), (500, 5)])
async def test_tasks_that_appear_together_go_out_together(number: int, calls: int) -> None:
    client = Client()
    async with submitting(client) as (submitter, added, settled):
        for index, body in enumerate(bodies(number)):
            submitter.add(key(index), "j", body, f"o{index}")
        async with asyncio.timeout(30):
            while len(settled) < number:
                await asyncio.sleep(0.01)
        assert added == {f"t{index}": f"o{index}" for index in range(number)}
        assert not any(submitter.has(key(index)) for index in range(number))
    assert len(client.calls) == calls
    assert max(len(call) for call in client.calls) <= MAX_TASKS


async def test_while_more_may_come_a_call_that_is_not_full_waits() -> None:
    client = Client()
    asked: list[bool] = []

    def more() -> bool:
        """The second task comes when the submitter asks whether there will be one."""
        asked.append(True)
        if len(asked) == 1:
            submitter.add(key(1), "j", bodies(2)[1], "o")
        return len(asked) == 1

    async with submitting(client, more) as (submitter, _, settled):
        submitter.add(key(0), "j", bodies(2)[0], "o")
        async with asyncio.timeout(30):
            while len(settled) < 2:
                await asyncio.sleep(0.01)
    assert client.calls == [["t0", "t1"]]


async def test_a_task_that_was_taken_needs_a_pass_only_if_there_was_one_meanwhile_or_it_was_refused() -> None:
    client = Client(lambda task: BatchError("no", code="InvalidPropertyValue") if task["id"] == "t2" else None)
    again: list[Key] = []
    async with submitting(client, again=again.extend) as (submitter, _, settled):
        submitter.looked_at(key(0))
        for index, body in enumerate(bodies(3)):
            submitter.add(key(index), "j", body, "o")
        submitter.looked_at(key(1))
        async with asyncio.timeout(30):
            while len(settled) < 3:
                await asyncio.sleep(0.01)
        assert again == [key(1), key(2)]
        # The look was at what was on its way then.
        submitter.add(key(1), "j", bodies(2)[1], "o")
        async with asyncio.timeout(30):
            while len(settled) < 4:
                await asyncio.sleep(0.01)
        assert again == [key(1), key(2)]


async def test_a_task_in_hand_is_not_taken_twice() -> None:
    client = Client()
    async with submitting(client) as (submitter, _, settled):
        for _ in range(3):
            submitter.add(key(0), "j", bodies(1)[0], "o")
        async with asyncio.timeout(30):
            while not settled:
                await asyncio.sleep(0.01)
    assert client.calls == [["t0"]]


class CountingKey(Key):
    """A key that counts how often it is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        CountingKey.compared += 1
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = Key.__hash__


class CountingBody(dict[str, Any]):
    """A body that counts how often it is read."""

    reads = 0

    def __getitem__(self, name: str) -> Any:
        CountingBody.reads += 1
        return super().__getitem__(name)


async def test_queued_tasks_are_withdrawn_and_sent_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of objects are deleted at once, while thousands wait."""
    number = 2000
    monkeypatch.setattr(CountingKey, "compared", 0)
    monkeypatch.setattr(CountingBody, "reads", 0)
    keys = [CountingKey(Kind.TASK, "default", f"t{index}") for index in range(2 * number)]
    client = Client()
    async with submitting(client) as (submitter, _, settled):
        for index, each in enumerate(keys):
            submitter.add(each, f"j{index % 2}", CountingBody(id=f"t{index}"), "o")
        for each in reversed(keys[number:]):
            submitter.withdraw(each)
        assert [submitter.has(each) for each in keys] == [True] * number + [False] * number
        assert CountingKey.compared <= 10 * len(keys)
        async with asyncio.timeout(30):
            while len(settled) < number:
                await asyncio.sleep(0.01)
    sent = [id for call in client.calls for id in call]
    assert sorted(sent) == sorted(f"t{index}" for index in range(number))
    assert [int(id[1:]) for id in sent if int(id[1:]) % 2] == list(range(1, number, 2)), (
        "in the order that they came in"
    )
    assert CountingBody.reads <= 10 * number


async def test_tasks_that_are_being_sent_cannot_be_withdrawn() -> None:
    def respond(_: dict[str, Any]) -> None:
        submitter.withdraw(key(0))
        seen.append(submitter.has(key(0)))

    seen: list[bool] = []
    async with submitting(Client(respond)) as (submitter, added, settled):
        submitter.add(key(0), "j", bodies(1)[0], "o")
        async with asyncio.timeout(30):
            while not settled:
                await asyncio.sleep(0.01)
        assert seen == [True]
        assert added == {"t0": "o"}
        assert not submitter.has(key(0))


async def settled_with(respond: Respond, number: int) -> tuple[dict[str, str | None], list[BatchError | None]]:
    async with submitting(Client(respond)) as (submitter, added, settled):
        for index, body in enumerate(bodies(number)):
            submitter.add(key(index), "j", body, f"o{index}")
        async with asyncio.timeout(30):
            while len(settled) < number:
                await asyncio.sleep(0.01)
        return added, [submitter.refused(key(index)) for index in range(number)]


async def test_of_two_objects_that_name_one_task_the_second_learns_that_it_is_taken() -> None:
    there: set[str] = set()

    def respond(task: dict[str, Any]) -> BatchError | None:
        id = task["id"].lower()
        taken = id in there
        there.add(id)
        return AlreadyExistsError("taken", code="TaskExists") if taken else None

    client = Client(respond)
    async with submitting(client) as (submitter, _, settled):
        submitter.add(key(0), "j", {"id": "same", "commandLine": "true"}, "o0")
        submitter.add(key(1), "j", {"id": "SAME", "commandLine": "true"}, "o1")
        async with asyncio.timeout(30):
            while len(settled) < 2:
                await asyncio.sleep(0.01)
        assert client.calls == [["same"], ["SAME"]]
        assert not submitter.has(key(0))
        assert not submitter.has(key(1))


async def test_exists_is_not_taken_for_ours_and_a_refusal_is_remembered() -> None:
    errors = {
        "t0": AlreadyExistsError("exists", status=409, code="TaskExists"),
        "t1": InvalidRequestError("bad", status=400, code="InvalidPropertyValue"),
    }
    added, refused = await settled_with(lambda task: errors.get(task["id"]), 3)
    assert added == {"t0": None, "t2": "o2"}
    assert refused == [None, errors["t1"], None]


async def test_when_a_call_fails_only_tasks_without_a_result_are_refused() -> None:
    error = ServerBusyError("busy", status=503, retry_after=60.0)

    def respond(task: dict[str, Any]) -> None:
        if task["id"] == "t2":
            raise error

    added, refused = await settled_with(respond, 4)
    assert added == {"t0": "o0", "t1": "o1"}
    assert refused == [None, None, error, error]


@pytest.mark.parametrize("stops_at", [None, 7])
async def test_a_feeder_counts_what_is_in_and_stops_at_a_refusal(stops_at: int | None) -> None:
    wrong = InvalidRequestError("bad", status=400)
    spec = {"tasks": [{"id": f"{number:02}", "commandLine": "true"} for number in range(20)]}

    class Feeding(Client):
        tasks = property(lambda self: self)

        async def list(self, job_id: str, **_: Any) -> AsyncIterator[dict[str, str]]:
            for id in ("00", "01"):
                yield {"id": id, "commandLine": "true"}

        async def add_tasks(self, job_id: str, tasks: Any, **_: Any) -> AsyncIterator[TaskAddResult]:
            async for task in tasks:
                refused = stops_at is not None and int(task["id"]) == stops_at
                status = TaskAddStatus.CLIENT_ERROR if refused else TaskAddStatus.SUCCESS
                yield TaskAddResult(task["id"], status, error=wrong if refused else None)

    settled: list[Key] = []
    feeder = Feeder(Feeding(), settled.extend)  # type: ignore[arg-type]
    running = asyncio.create_task(feeder.run())
    await asyncio.sleep(0)
    one = Incarnation(Key(Kind.JOB, "default", "one"), "uid", "2026-01-01T00:00:00Z")
    feeder.feed(one, "j", spec, "print")
    async with asyncio.timeout(30):
        while not settled:
            await asyncio.sleep(0.01)
    state = feeder.state(one)
    assert state is not None
    assert feeder.state(one._replace(created="2026-01-02T00:00:00Z")) is None, "nothing is known of another incarnation"
    assert (state.submitted, state.complete, state.refused) == (
        (20, True, None) if stops_at is None else (7, False, wrong)
    )
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.parametrize(
    ("job", "fingerprint", "stops"),
    [
        ({}, "print", False),
        ({}, "other", True),
        ({}, None, True),
        ({"created": "2026-01-02T00:00:00Z"}, "print", True),
        ({"uid": "next"}, "print", True),
    ],
)
async def test_a_feeder_stops_for_other_sources_and_for_another_incarnation(
    job: dict[str, str], fingerprint: str | None, stops: bool
) -> None:
    """Tasks that were meant for a job must not go on into the one that took its place."""
    go_on, settled = asyncio.Event(), asyncio.Event()

    class Slow(Client):
        tasks = property(lambda self: self)

        async def list(self, job_id: str, **_: Any) -> AsyncIterator[dict[str, str]]:
            for id in ():
                yield {"id": id}

        async def add_tasks(self, job_id: str, tasks: Any, **_: Any) -> AsyncIterator[TaskAddResult]:
            async for task in tasks:
                await go_on.wait()
                yield TaskAddResult(task["id"], TaskAddStatus.SUCCESS)

    feeder = Feeder(Slow(), lambda _: settled.set())  # type: ignore[arg-type]
    running = asyncio.create_task(feeder.run())
    await asyncio.sleep(0)
    one = Incarnation(Key(Kind.JOB, "default", "one"), "uid", "2026-01-01T00:00:00Z")
    feeder.feed(one, "j", {"tasks": [{"id": f"{each}", "commandLine": ""} for each in range(3)]}, "print")
    feeder.stop(one._replace(**job), fingerprint)  # type: ignore[arg-type]
    go_on.set()
    async with asyncio.timeout(30):
        await settled.wait()
    state = feeder.state(one)
    assert state is not None
    assert (state.stopped, state.complete) == (stops, not stops)
    running.cancel()
    await asyncio.wait([running])


async def test_a_refused_call_is_not_repeated_before_its_time() -> None:
    """What the service refuses it refuses the next second, too; a changed spec, or a person, asks at once."""
    wrong = InvalidRequestError("bad", status=400)

    class Refusing(Client):
        tasks = property(lambda self: self)
        lists = 0

        async def list(self, job_id: str, **_: Any) -> AsyncIterator[dict[str, str]]:
            self.lists += 1
            for id in ():
                yield {"id": id}

        async def add_tasks(self, job_id: str, tasks: Any, **_: Any) -> AsyncIterator[TaskAddResult]:
            async for task in tasks:
                yield TaskAddResult(task["id"], TaskAddStatus.CLIENT_ERROR, error=wrong)

    client, settled = Refusing(), asyncio.Event()
    feeder = Feeder(client, lambda _: settled.set())  # type: ignore[arg-type]
    running = asyncio.create_task(feeder.run())
    await asyncio.sleep(0)
    key, spec = Key(Kind.JOB, "default", "one"), {"tasks": [{"id": "a", "commandLine": ""}]}
    one = Incarnation(key, "uid", "2026-01-01T00:00:00Z")

    async def feed(fingerprint: str) -> int:
        settled.clear()
        feeder.feed(one, "j", spec, fingerprint)
        if feeder.retry_in(one, fingerprint) is None:
            async with asyncio.timeout(30):
                await settled.wait()
        return client.lists

    assert [await feed("a"), await feed("a"), await feed("b"), await feed("b")] == [1, 1, 2, 2]
    state = feeder.state(one)
    assert state is not None
    assert state.refused is wrong
    feeder.hurry(key)
    assert await feed("b") == 3
    running.cancel()
    await asyncio.wait([running])


async def test_a_task_is_pruned_as_it_was_listed_and_looked_at_again_if_it_has_changed_since() -> None:
    class Pruned(Client):
        tasks = property(lambda self: self)

        def __init__(self) -> None:
            super().__init__()
            self.deleted: list[tuple[str, str | None]] = []

        async def list(self, job_id: str, **_: Any) -> AsyncIterator[dict[str, str]]:
            for id in ("a", "moved") if self.deleted else ("a", "gone", "moved", "old"):
                yield {"id": id, "commandLine": "true", "eTag": f"0x{len(self.deleted)}-{id}"}

        async def add_tasks(self, job_id: str, tasks: Any, **_: Any) -> AsyncIterator[TaskAddResult]:
            async for task in tasks:
                yield TaskAddResult(task["id"], TaskAddStatus.SUCCESS)

        async def delete(self, job_id: str, id: str, *, if_match: str | None = None, **_: Any) -> None:
            self.deleted.append((id, if_match))
            if id == "gone":
                raise NotFoundError("gone", status=404, code="TaskNotFound")
            if id == "moved" and len(self.deleted) < 4:
                raise PreconditionFailedError("changed", status=412)

    client, settled = Pruned(), asyncio.Event()
    feeder = Feeder(client, lambda _: settled.set())  # type: ignore[arg-type]
    running = asyncio.create_task(feeder.run())
    await asyncio.sleep(0)
    one = Incarnation(Key(Kind.JOB, "default", "one"), "uid", "2026-01-01T00:00:00Z")
    feeder.feed(one, "j", {"taskPrunePolicy": "Delete", "tasks": [{"id": "a", "commandLine": "true"}]}, "print")
    async with asyncio.timeout(30):
        await settled.wait()
    assert client.deleted == [
        ("gone", "0x0-gone"),
        ("moved", "0x0-moved"),
        ("old", "0x0-old"),
        # As the next list shows it.
        ("moved", "0x3-moved"),
    ]
    running.cancel()
    await asyncio.wait([running])
