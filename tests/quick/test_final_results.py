"""The result of a job is final, so every task must be accounted for: lists and counts may both lag."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from support.stage import Stage, job

BAD: dict[str, Any] = {"id": "a", "commandLine": "bad"}
GOOD: dict[str, Any] = {"id": "b", "commandLine": "good"}


def lacking(*ids: str) -> Callable[[bytes], bytes]:
    """A list that does not show these tasks."""

    def change(answer: bytes) -> bytes:
        page = orjson.loads(answer)
        return orjson.dumps(page | {"value": [item for item in page["value"] if item["id"] not in ids]})

    return change


def has_ended(stage: Stage) -> bool:
    return (stage.azure.get("/jobs/own") or {}).get("state") == "completed"


async def result(stage: Stage, within: float = 900) -> str:
    await stage.until(lambda: stage.phase("bj", "own") in {"Succeeded", "Failed"}, within)
    return stage.phase("bj", "own")


@pytest.mark.parametrize("seconds", [0.0, 1.0, 60.0])
@pytest.mark.parametrize("times", [1, 4])
async def test_a_list_that_lacks_a_failed_task_is_not_the_result(stage: Stage, seconds: float, times: int) -> None:
    """Whether or not the counts lag as well: those of a short job still say that it has no tasks."""
    await stage.ready_pool()
    stage.azure.simulate(".*bad.*", exitCode=1, seconds=(seconds, seconds))
    stage.azure.simulate(".*good.*", seconds=(seconds, seconds))
    stage.apply(job("own", tasks=[BAD, GOOD]))
    gap = stage.azure.change("/jobs/own/tasks", lacking("a"), when=lambda: has_ended(stage), count=times)
    assert await result(stage) == "Failed"
    assert gap.hits
    assert stage.status("bj", "own")["taskCounts"]["failed"] == 1


async def test_the_only_task_of_a_job_is_not_taken_for_succeeded_because_no_list_shows_it(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.simulate(".*bad.*", exitCode=1)
    stage.apply(job("own", tasks=[BAD]))
    stage.azure.change("/jobs/own/tasks", lacking("a"), when=lambda: has_ended(stage), count=6)
    assert await result(stage) == "Failed"


@pytest.mark.parametrize("fails", [True, False])
async def test_a_result_takes_at_most_one_more_call_where_only_the_counts_lag(stage: Stage, fails: bool) -> None:
    """As they do after the end of any job. Nothing is waited for, and nothing is written meanwhile."""
    await stage.ready_pool()
    stage.azure.simulate(".*bad.*", exitCode=int(fails), seconds=(60.0, 60.0))
    stage.azure.simulate(".*good.*", seconds=(60.0, 60.0))
    stage.apply(job("own", tasks=[BAD, GOOD]))
    await stage.until(lambda: has_ended(stage), 900)
    ended, writes = stage.now, stage.writes("bj", "own", "status")
    await result(stage, 60)
    counted = stage.azure.calls("Jobs_GetJobTaskCounts", ended)
    # Failed and unfinished tasks, and retries; those that have succeeded instead of a wait.
    listed = stage.azure.calls("Tasks_ListTasks", ended)
    assert (counted, listed) in {(1, 3), (1, 4)}
    assert stage.writes("bj", "own", "status") == writes + 1
    assert stage.now - ended <= 10


async def test_a_job_whose_tasks_never_add_up_has_a_result_by_its_lists(stage: Stage) -> None:
    """Somebody has deleted a task of it."""
    await stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": f"t{seconds}", "commandLine": f"sleep {seconds}"} for seconds in (5, 120)]))
    await stage.until(lambda: (stage.azure.get("/jobs/own/tasks/t5") or {}).get("state") == "completed", 300)
    stage.azure.delete("/jobs/own/tasks/t5")
    await stage.until(lambda: has_ended(stage), 300)
    since = stage.now
    assert await result(stage, 400) == "Succeeded"
    assert stage.azure.calls("Jobs_GetJobTaskCounts", since) <= 8
    assert stage.azure.calls("Tasks_ListTasks", since) <= 26
    calls = len(stage.azure.log)
    await stage.run_for(3600)
    assert stage.azure.calls("Tasks_ListTasks", since) <= 26
    assert stage.phase("bj", "own") == "Succeeded"
    assert len(stage.azure.log) > calls
