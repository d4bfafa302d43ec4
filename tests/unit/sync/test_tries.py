"""Retries and requeues of a job: counted from few lists, each once, and in full at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import REGISTRY

from azure_batch_operator.batch import ServerBusyError
from azure_batch_operator.batch.wire import Task, TaskCounts
from azure_batch_operator.sync.interest import JobSubscription
from azure_batch_operator.sync.polls import tries as module
from azure_batch_operator.sync.polls.tries import Tries
from support import typed
from unit.sync.test_poller import JOB, Scene
from unit.sync.test_poller import job as jobs


def task(id: str, state: str = "completed", minute: int = 0, retries: int = 0, requeues: int = 0) -> dict[str, Any]:
    stamp = f"2026-01-01T00:{minute:02}:00Z"
    info: dict[str, Any] = {"retryCount": retries, "requeueCount": requeues}
    if state == "completed":
        info["endTime"] = stamp
    return {"id": id, "state": state, "stateTransitionTime": stamp, "executionInfo": info}


class Lists:
    """Answers lists and notes their filters; an exception among the tasks is raised at its place."""

    def __init__(self, *answers: list[Any]) -> None:
        self.answers = list(answers)
        self.filters: list[str] = []

    async def __call__(self, filter: str) -> AsyncIterator[Task]:
        self.filters.append(filter)
        for each in self.answers.pop(0):
            if isinstance(each, Exception):
                raise each
            yield typed.task(each)


COUNTS = TaskCounts(running=1)
NEVER = "stateTransitionTime ge DateTime'1999-12-31T23:59:50Z'"


@pytest.mark.parametrize(
    ("seen", "expected"), [([(1, 0), (1, 2), (3, 2)], (3, 2, 2)), ([(2, 1), (0, 1), (1, 1)], (3, 1, 1))]
)
def test_tries_add_up_over_polls(seen: list[tuple[int, int]], expected: tuple[int, int, int]) -> None:
    tries = Tries()
    for retries, requeues in seen:
        tries.add(typed.task(task("a", retries=retries, requeues=requeues)))
    tries.add(typed.task({"id": "b", "executionInfo": {}}))
    assert (tries.retries, tries.requeues, tries.most_requeues) == expected


async def test_a_list_shows_what_has_changed_since_the_last_one_and_waiting_tasks_at_the_end() -> None:
    tries = Tries()
    lists = Lists(
        [task("a", minute=5, retries=2)], [task("a", minute=5, retries=2), task("b", minute=6, requeues=1)], []
    )
    for ended in (False, False, True):
        await tries.read(lists, COUNTS, waiting=False, ended=ended)
    assert (tries.retries, tries.requeues) == (2, 1)
    assert lists.filters[0] == f"{NEVER} and state ne 'active'"
    assert lists.filters[1].startswith("stateTransitionTime ge DateTime'2026-01-01T00:04:")
    assert lists.filters[2].startswith("stateTransitionTime ge DateTime'2026-01-01T00:05:")
    assert lists.filters[2].endswith(" or state eq 'active'")


async def test_a_long_list_is_read_over_several_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_AT_ONCE", 2)
    tries, lists = Tries(), Lists([task(f"t{n}", retries=1) for n in range(5)])
    for expected in (2, 4, 5):
        assert tries.due(COUNTS)
        await tries.read(lists, COUNTS, waiting=True, ended=False)
        assert tries.retries == expected
    assert not tries.due(COUNTS)
    assert lists.filters == [NEVER]


async def test_a_broken_list_is_read_again_and_counts_nothing_twice() -> None:
    tries = Tries()
    lists = Lists(
        [task("a", retries=1), ServerBusyError("busy", status=503)], [task("a", retries=1), task("b", retries=1)]
    )
    with pytest.raises(ServerBusyError):
        await tries.read(lists, COUNTS, waiting=True, ended=False)
    await tries.read(lists, COUNTS, waiting=True, ended=False)
    assert tries.retries == 2
    assert lists.filters == [NEVER, NEVER]


async def test_ended_tasks_are_forgotten_and_count_from_zero_if_they_run_again() -> None:
    tries = Tries()
    lists = Lists(
        [task("a", minute=1, retries=2), task("b", "running", minute=9, retries=1)],
        [],
        [task("a", minute=20, retries=1)],
    )
    for _ in range(3):
        await tries.read(lists, COUNTS, waiting=True, ended=False)
    assert tries.retries == 4
    assert tries._by_task.keys() == {"a", "b"}


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(f"azurebatch_task_{name}_total", {"namespace": JOB.namespace}) or 0.0


async def test_jobs_are_asked_only_when_counts_have_changed_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, before = Scene(), (metric("retries"), metric("requeues"))
    scene.interest.add(JOB, "j")
    scene.service.items["jobs"] = jobs()
    scene.service.items["tasks"] = [task("a", "running", retries=2, requeues=1)]
    scene.service.counts = {"active": 9}

    async def lists() -> int:
        await scene.poll(JOB)
        return sum("stateTransitionTime" in each for each in scene.service.asked)

    assert await lists() == 0
    scene.service.counts = {"running": 9}
    assert await lists() == 1
    assert await lists() == 0
    scene.service.counts = {"running": 8, "completed": 1}
    assert await lists() == 0
    monkeypatch.setattr(module, "EVERY", 0.0)
    assert await lists() == 1
    assert await lists() == 0
    scene.interest.wishes["j"] = JobSubscription(tries=True)
    assert await lists() == 1
    scene.service.items["jobs"] = jobs("completed")
    assert await lists() == 1
    results = scene.mirror.results["j"]
    assert (results.retries, results.requeues) == (2, 1)
    assert (metric("retries") - before[0], metric("requeues") - before[1]) == (2, 1)


async def test_after_a_restart_status_and_metric_continue_from_what_was_known() -> None:
    scene, before = Scene(), metric("requeues")
    scene.interest.add(JOB, "j")
    scene.interest.wishes["j"] = JobSubscription(tries_shown=True, retries=7, requeues=3)
    scene.service.items["jobs"] = jobs()
    scene.service.items["tasks"] = [task("a", "running", retries=2, requeues=3)]
    scene.service.counts = {"running": 1, "active": 1}
    await scene.poll()
    assert not any("stateTransitionTime" in each for each in scene.service.asked), "nothing has changed so far"
    scene.service.counts = {"running": 1}
    await scene.poll(JOB)
    results = scene.mirror.results["j"]
    assert (results.retries, results.requeues) == (7, 3)
    assert metric("requeues") == before
    scene.interest.wishes["j"] = JobSubscription(tries=True, tries_shown=True, retries=7, requeues=3)
    scene.service.items["tasks"] = [task("a", "running", minute=5, retries=2, requeues=5)]
    await scene.poll(JOB)
    assert (scene.mirror.results["j"].requeues, metric("requeues")) == (5, before + 2)
