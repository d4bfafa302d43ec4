"""Which task keeps a job open while others are replaced: nothing is deleted unless one is known to, at that moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from azure_batch_operator.batch import BatchError, NotFoundError
from azure_batch_operator.reconcile.job.task_policies import Policies
from azure_batch_operator.sync.keeper import Keeper
from azure_batch_operator.sync.task_diff import FeedState, Sieve


class Service:
    """Tasks by id, each with its state; a list may show what was."""

    def __init__(self, **states: str | None) -> None:
        self.states = dict(states)
        self.listed: dict[str, str | None] | None = None
        self.asked: list[str] = []
        self.refusal: BatchError = NotFoundError("gone", status=404, code="TaskNotFound")
        self.read = 0

    @property
    def tasks(self) -> Service:
        return self

    async def list(self, job_id: str, *, filter: str, **_: Any) -> AsyncIterator[dict[str, str | None]]:
        assert (job_id, filter) == ("own", "state ne 'completed'")
        self.asked.append("list")
        for id, state in list((self.listed or self.states).items()):
            if self.listed is not None or state != "completed":
                self.read += 1
                yield {"id": id, "state": state}

    async def get(self, job_id: str, id: str, **_: Any) -> dict[str, str | None]:
        assert job_id == "own"
        self.asked.append(id)
        if id not in self.states:
            raise self.refusal
        return {"id": id, "state": self.states[id]}


def keeper(service: Service, but: str | None = None) -> Keeper:
    return Keeper(service, "own", but=but)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("states", "stays"),
    [
        ({"a": "running"}, True),
        ({"a": "running", "b": "completed"}, True),
        ({"a": "completed"}, True),
        ({"a": "running", "b": "running"}, False),
        ({"a": "running", "b": "active"}, False),
        ({"a": "running", "b": "preparing"}, False),
        ({"a": "completed", "b": "running"}, False),
        # What the service does not say is no proof.
        ({"a": "running", "b": None}, True),
    ],
)
async def test_a_task_stays_unless_another_one_is_unfinished(states: dict[str, str | None], stays: bool) -> None:
    # The second task is the one at hand where the first keeps the job open.
    service = Service(**dict(reversed(states.items())))
    assert await keeper(service).spares({"id": "a"}) is stays


async def test_the_task_that_keeps_the_job_open_stays_itself_and_is_named_for_the_next_round() -> None:
    first = keeper(Service(a="running", b="running"))
    assert await first.spares({"id": "a"})
    assert not await first.spares({"id": "b"})
    assert first.spared == "a"


async def test_a_task_that_waits_keeps_the_job_open_rather_than_one_that_runs() -> None:
    """It stays unfinished for longer."""
    one = keeper(Service(a="running", b="running", c="active"))
    assert [await one.spares({"id": id}) for id in "abc"] == [False, False, True]
    assert one.spared == "c"


async def test_a_task_that_is_to_be_replaced_in_this_round_keeps_nothing_open() -> None:
    second = keeper(Service(a="running", c="active"), but="c")
    assert [await second.spares({"id": id}) for id in "ca"] == [False, True]
    alone = keeper(Service(a="completed", c="active"), but="c")
    assert await alone.spares({"id": "c"})


async def test_before_each_deletion_it_is_asked_whether_the_job_is_still_kept_open() -> None:
    service = Service(a="running", b="running", c="running", z="active")
    one = keeper(service)
    assert not await one.spares({"id": "a"})
    service.asked.clear()
    assert not await one.spares({"id": "b"})
    assert service.asked == ["z"], "the one that was found, and no list"
    # It ends: another one takes its place, while there is one.
    service.states |= {"a": "completed", "b": "completed", "z": "completed"}
    assert await one.spares({"id": "c"})
    assert one.spared == "c"


async def test_a_task_whose_state_a_get_does_not_show_keeps_nothing_open() -> None:
    service = Service(a="running", z="active")
    one = keeper(service)
    assert not await one.spares({"id": "a"})
    service.states["z"] = None
    assert await one.spares({"id": "a"})


async def test_a_task_that_is_gone_keeps_nothing_open_but_a_404_without_a_code_says_nothing() -> None:
    service = Service(a="running", z="active")
    one = keeper(service)
    assert not await one.spares({"id": "a"})
    del service.states["z"]
    assert await one.spares({"id": "a"})
    service = Service(a="running", z="active")
    one = keeper(service)
    assert not await one.spares({"id": "a"})
    del service.states["z"]
    service.refusal = NotFoundError("?", status=404)
    with pytest.raises(NotFoundError):
        await one.spares({"id": "a"})


async def test_where_nothing_keeps_the_job_open_that_is_asked_once() -> None:
    service = Service(**{f"t{number}": "completed" for number in range(50)})
    one = keeper(service)
    assert [await one.spares({"id": f"t{number}"}) for number in range(50)] == [True] * 50
    assert service.asked == ["list"]
    assert one.spared is None, "a second round would change nothing"


async def test_of_many_tasks_that_run_only_a_page_is_looked_through() -> None:
    service = Service(**{f"t{number:04}": "running" for number in range(3000)})
    assert await keeper(service).spares({"id": "t0000"})
    assert service.read == 1000


async def test_a_list_alone_is_no_proof_that_a_task_is_unfinished() -> None:
    """Lists lag: what it shows may have ended, and the job with the next deletion."""
    service = Service(a="running", b="completed", c="completed")
    service.listed = {"c": "active", "b": "running", "a": "running"}
    one = keeper(service)
    assert await one.spares({"id": "a"})
    assert one.spared == "a"
    service = Service(a="running", b="completed", d="running")
    service.listed = {"b": "running", "d": "running", "a": "running"}
    assert not await keeper(service).spares({"id": "a"}), "another one is unfinished"


@pytest.mark.parametrize("state", ["active", "running"])
async def test_a_list_of_many_tasks_that_have_all_ended_costs_a_bounded_number_of_calls(state: str) -> None:
    service = Service(**{f"t{number:04}": "completed" for number in range(3000)})
    service.listed = dict.fromkeys(service.states, state)
    assert await keeper(service).spares({"id": "t2999"})
    assert len(service.asked) == 1 + 20


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_spared_task_is_named_as_different_and_only_in_the_round_that_spared_it(ordered: bool) -> None:
    state, deleted = FeedState(), list[str]()
    wanted = [{"id": id, "commandLine": "new"} for id in "ab"]
    there = [{"id": id, "commandLine": "old"} for id in "ab"]

    async def delete(task: Mapping[str, Any]) -> bool:
        deleted.append(task["id"])
        return True

    async def spares(task: Mapping[str, Any]) -> bool:
        return bool(task["id"] == "b")

    async def listed() -> AsyncIterator[dict[str, str]]:
        for task in there:
            yield task

    state.begin()
    sieve = Sieve(state, Policies(replace=True), delete, spares)
    missing = (
        sieve.missing(iter(wanted), listed())
        if ordered
        else sieve.missing_from(iter(wanted), {task["id"]: task for task in there})
    )
    assert [task["id"] async for task in missing] == ["a"]
    assert (deleted, state.kept, state.different) == (["a"], True, ["b (commandLine)"])
    state.begin()
    assert (state.kept, state.different, state.different_count) == (False, [], 0)
