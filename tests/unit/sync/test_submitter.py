"""Adding in bulk: full calls, results looked at one by one, too large halved, failures of the service repeated."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import (
    AlreadyExistsError,
    InvalidRequestError,
    Priority,
    TaskAddResult,
    TaskAddStatus,
    TooLargeError,
    TransientError,
)
from azure_batch_operator.sync.submitter import MOST_BYTES, MOST_TASKS, Packer, Submitter, add

Respond = Callable[[Sequence[dict[str, Any]]], list[TaskAddResult]]


def success(task: dict[str, Any]) -> TaskAddResult:
    return TaskAddResult(task["id"], TaskAddStatus.SUCCESS)


class Client:
    """A Batch client that answers `create_collection` as told."""

    def __init__(self, respond: Respond | None = None) -> None:
        self.tasks = self
        self.calls: list[list[str]] = []
        self._respond = respond or (lambda tasks: [success(task) for task in tasks])

    async def create_collection(self, job_id: str, tasks: Sequence[Any], **_: Any) -> list[TaskAddResult]:
        self.calls.append([task["id"] for task in tasks])
        await asyncio.sleep(0)
        return self._respond(tasks)


def bodies(number: int) -> list[dict[str, Any]]:
    return [{"id": f"t{index}", "commandLine": "true"} for index in range(number)]


@given(st.lists(st.integers(0, 400_000), max_size=30), st.integers(1, 8))
def test_calls_are_full_but_never_too_full(sizes: list[int], most: int) -> None:
    tasks = [{"id": str(index), "commandLine": "x" * size} for index, size in enumerate(sizes)]
    packer = Packer(most)
    groups = [full for task in tasks if (full := packer.put(task))]
    groups += [rest] if (rest := packer.rest()) else []
    assert [task for group in groups for task in group] == tasks
    for group in groups:
        assert len(group) <= most
        assert len(group) == 1 or len(orjson.dumps({"value": group})) <= MOST_BYTES
    for group, following in itertools.pairwise(groups):
        grown = [*group, following[0]]
        assert len(grown) > most or len(orjson.dumps({"value": grown})) > MOST_BYTES - 1000


async def outcome_of(client: Client, number: int) -> dict[str, Any]:
    return await add(client, "j", bodies(number), Priority.SUBMIT)  # type: ignore[arg-type]


async def test_each_result_counts() -> None:
    wrong = InvalidRequestError("bad", status=400)

    def respond(tasks: Sequence[dict[str, Any]]) -> list[TaskAddResult]:
        return [
            TaskAddResult(task["id"], TaskAddStatus.CLIENT_ERROR, error=wrong) if task["id"] == "t1" else success(task)
            for task in reversed(tasks)
        ]

    assert await outcome_of(Client(respond), 3) == {"t0": None, "t1": wrong, "t2": None}


async def test_too_large_is_halved_down_to_the_one_that_is_too_large() -> None:
    error = TooLargeError("too large", status=413)

    def respond(tasks: Sequence[dict[str, Any]]) -> list[TaskAddResult]:
        if any(task["id"] == "t5" for task in tasks):
            raise error
        return [success(task) for task in tasks]

    assert await outcome_of(Client(respond), 8) == {f"t{n}": error if n == 5 else None for n in range(8)}


async def test_what_the_service_failed_at_or_forgot_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "sleep", _no_sleep)
    rounds = iter([["t0"], ["t1"], ["t2", "t3"]])

    def respond(tasks: Sequence[dict[str, Any]]) -> list[TaskAddResult]:
        good = next(rounds)
        return [
            success(task) if task["id"] in good else TaskAddResult(task["id"], TaskAddStatus.SERVER_ERROR)
            for task in tasks
            if task["id"] != "t3" or task["id"] in good
        ]

    client = Client(respond)
    assert await outcome_of(client, 4) == dict.fromkeys(("t0", "t1", "t2", "t3"))
    assert client.calls[1:] == [["t1", "t2", "t3"], ["t2", "t3"]]


async def test_a_service_that_always_fails_is_not_asked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "sleep", _no_sleep)
    client = Client(lambda _: [])
    with pytest.raises(TransientError):
        await outcome_of(client, 2)
    assert len(client.calls) <= 7


_sleep = asyncio.sleep


async def _no_sleep(_: float) -> None:
    await _sleep(0)


@asynccontextmanager
async def submitting(client: Client) -> Any:
    added: dict[str, str | None] = {}
    settled: list[Key] = []
    submitter = Submitter(
        client,  # type: ignore[arg-type]
        lambda _job, task, owner: added.__setitem__(task, owner),
        settled.extend,
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
    assert max(len(call) for call in client.calls) <= MOST_TASKS


async def test_a_task_in_hand_is_not_taken_twice() -> None:
    client = Client()
    async with submitting(client) as (submitter, _, settled):
        for _ in range(3):
            submitter.add(key(0), "j", bodies(1)[0], "o")
        async with asyncio.timeout(30):
            while not settled:
                await asyncio.sleep(0.01)
    assert client.calls == [["t0"]]


async def test_exists_is_not_taken_for_ours_and_a_refusal_is_remembered() -> None:
    def respond(tasks: Sequence[dict[str, Any]]) -> list[TaskAddResult]:
        errors = {
            "t0": AlreadyExistsError("exists", status=409, code="TaskExists"),
            "t1": InvalidRequestError("bad", status=400, code="InvalidPropertyValue"),
        }
        return [TaskAddResult(task["id"], TaskAddStatus.CLIENT_ERROR, error=errors[task["id"]]) for task in tasks]

    async with submitting(Client(respond)) as (submitter, added, settled):
        for index, body in enumerate(bodies(2)):
            submitter.add(key(index), "j", body, f"o{index}")
        async with asyncio.timeout(30):
            while len(settled) < 2:
                await asyncio.sleep(0.01)
        assert added == {"t0": None}
        assert submitter.refused(key(0)) is None
        assert isinstance(submitter.refused(key(1)), InvalidRequestError)
