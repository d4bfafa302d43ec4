"""The result of a job is final, so every task must be accounted for: lists and counts may both lag."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_plus

import orjson
import pytest

from azure_batch_operator.sync.polls import job_results
from support.stage import Stage, job, sleeping
from support.stage.builders import task

BAD: dict[str, Any] = {"id": "a", "commandLine": "bad"}
GOOD: dict[str, Any] = {"id": "b", "commandLine": "good"}


def lacking(*ids: str) -> Callable[[bytes], bytes]:
    """A list that does not show these tasks."""

    def change(answer: bytes) -> bytes:
        page = orjson.loads(answer)
        return orjson.dumps(page | {"value": [item for item in page["value"] if item["id"] not in ids]})

    return change


def only(stage: Stage, filter: str, change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """The same change of the lists of tasks with this filter alone."""

    def chosen(answer: bytes) -> bytes:
        last = next(call for call in reversed(stage.azure.log) if call.path == "/jobs/own/tasks")
        return change(answer) if filter in unquote_plus(last.query) else answer

    return chosen


async def loses_a_task(stage: Stage, **spec: Any) -> None:
    """A job that ends after somebody has deleted a task of it: its tasks never add up."""
    await stage.ready_pool()
    stage.apply(
        job("own", tasks=[{"id": f"t{seconds}", "commandLine": f"sleep {seconds}"} for seconds in (5, 120)], **spec)
    )
    await stage.until(lambda: (stage.azure.get("/jobs/own/tasks/t5") or {}).get("state") == "completed", 300)
    stage.azure.delete("/jobs/own/tasks/t5")
    await stage.until(lambda: has_ended(stage), 300)


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
    await loses_a_task(stage)
    since, writes = stage.now, stage.writes("bj", "own", "status")
    await stage.until(lambda: "task counts" in stage.condition("bj", "own")["message"], 60)
    assert await result(stage, 400) == "Failed"
    assert "1 of 2 tasks is no longer in the job" in stage.condition("bj", "own")["message"]
    assert stage.status("bj", "own")["taskCounts"]["succeeded"] == 1
    # That it completes, that it waits, and the result.
    assert stage.writes("bj", "own", "status") <= writes + 3
    assert stage.azure.calls("Jobs_GetJobTaskCounts", since) <= 14
    assert stage.azure.calls("Tasks_ListTasks", since) <= 42
    calls, listed = len(stage.azure.log), stage.azure.calls("Tasks_ListTasks", since)
    await stage.run_for(3600)
    assert stage.azure.calls("Tasks_ListTasks", since) == listed
    assert stage.phase("bj", "own") == "Failed"
    assert len(stage.azure.log) > calls


async def test_a_job_whose_confirming_list_always_fails_has_a_result(stage: Stage) -> None:
    """No result depends on that list; the wait ends without it."""
    stage.azure.change("/jobs/own/tasks", only(stage, "eq 'success'", lambda _: b"{}"))
    await loses_a_task(stage)
    assert await result(stage, 900) == "Succeeded"
    assert stage.condition("bj", "own")["message"] == "1 of 2 tasks succeeded; 1 is no longer in the job"


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("page", [1000, 1])
async def test_tasks_are_not_called_lost_since_counts_lag_for_longer_than_they_should(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, listed: bool, page: int
) -> None:
    """Also where the list of those that have succeeded takes more than a page, or always fails: nothing says that one is gone."""
    monkeypatch.setattr(job_results, "LISTED", page)
    await stage.ready_pool()
    stage.azure.service.lag.seconds = 900
    stage.apply(job("own", tasks=sleeping(3, 60)))
    if not listed:
        stage.azure.change("/jobs/own/tasks", only(stage, "eq 'success'", lambda _: b"{}"))
    assert await result(stage, 1200) == "Succeeded"
    assert stage.condition("bj", "own")["message"] == "all 3 tasks succeeded"
    assert stage.status("bj", "own")["taskCounts"]["succeeded"] == 3


async def test_a_restart_continues_the_wait_and_reads_nothing_of_a_result_that_is_known(stage: Stage) -> None:
    await loses_a_task(stage, ttlPolicy="KeepObject", ttlSecondsAfterFinished=86400)
    ended = stage.now
    await stage.run_for(270)
    assert stage.phase("bj", "own") == "Completing"
    await stage.restart()
    assert await result(stage, 400) == "Failed"
    assert stage.now - ended <= 345
    await stage.restart()
    since = stage.now
    await stage.run_for(600)
    assert stage.azure.calls("Jobs_ListJobs", since)
    assert not stage.azure.calls("Jobs_GetJobTaskCounts", since)
    assert not stage.azure.calls("Tasks_ListTasks", since)


async def fails_despite_a_gap(stage: Stage) -> float:
    """See a job end as Failed although the list of failed tasks lacks one for 10 s after its end; the time of the end."""
    await stage.until(lambda: has_ended(stage), 900)
    ended = stage.now
    gap = stage.azure.change(
        "/jobs/own/tasks", only(stage, "eq 'failure'", lacking("a")), when=lambda: stage.now < ended + 10
    )
    assert await result(stage) == "Failed"
    assert gap.hits
    return ended


@pytest.mark.parametrize("own", [[GOOD], None])
async def test_a_batch_task_that_ran_in_the_job_must_be_seen(stage: Stage, own: list[dict[str, Any]] | None) -> None:
    """The counts lag, and the list of failed tasks lacks it for some seconds."""
    await stage.ready_pool()
    stage.azure.service.lag.seconds = 180
    stage.azure.simulate(".*bad.*", exitCode=1, seconds=(20.0, 20.0))
    stage.azure.simulate(".*good.*", seconds=(20.0, 20.0))
    mine = {} if own is None else {"tasks": own}
    stage.apply(
        job("own", onAllTasksComplete="terminatejob", **mine), task("a", "own", "bad"), task("c", "own", "good")
    )
    ended = await fails_despite_a_gap(stage)
    # The ordinary way of the lists: it does not wait for the counts.
    assert stage.now - ended <= 30


async def test_a_job_manager_task_must_be_seen(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.service.lag.seconds = 60
    stage.azure.simulate(".*bad.*", exitCode=1, seconds=(20.0, 20.0))
    stage.apply(job("own", jobManagerTask={"id": "a", "commandLine": "bad"}, onAllTasksComplete="terminatejob"))
    await fails_despite_a_gap(stage)


async def test_tasks_that_a_batch_task_has_added_must_be_seen(stage: Stage) -> None:
    """Nobody knows how many there are, also after it has ended."""
    await stage.ready_pool()
    stage.azure.service.lag.seconds = 60
    stage.azure.simulate(".*bad.*", exitCode=1, seconds=(20.0, 20.0))
    stage.azure.simulate(".*good.*", seconds=(20.0, 20.0))
    stage.apply(
        job("own", onAllTasksComplete="terminatejob"),
        task("c", "own", "good", authenticationTokenSettings={"access": ["job"]}),
    )
    await stage.until(lambda: stage.azure.get("/jobs/own/tasks/c"), 120)
    stage.azure.post("/jobs/own/tasks", BAD)
    await fails_despite_a_gap(stage)


async def test_counts_and_a_list_that_are_old_in_the_same_way_are_not_the_result(stage: Stage) -> None:
    """Both show a task that runs, of a job that ended because all of its tasks had."""
    await stage.ready_pool()
    stage.azure.simulate(".*good.*", seconds=(60.0, 60.0))
    stage.apply(job("own", tasks=[GOOD]))

    def running(answer: bytes) -> bytes:
        return orjson.dumps(orjson.loads(answer) | {"value": [{"id": "b"}]})

    gap = stage.azure.change(
        "/jobs/own/tasks", only(stage, "state ne", running), when=lambda: has_ended(stage), count=3
    )
    await stage.until(lambda: has_ended(stage), 900)
    assert stage.azure.get("/jobs/own/taskcounts")["taskCounts"]["running"] == 1
    assert await result(stage) == "Succeeded"
    assert gap.hits


async def test_a_large_job_has_its_result_soon_after_its_counts_have_caught_up(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tasks that have succeeded are not listed."""
    monkeypatch.setattr(job_results, "LISTED", 1)
    await stage.ready_pool()
    stage.azure.service.lag.seconds = 180
    stage.apply(job("own", tasks=sleeping(2, 60)))
    await stage.until(lambda: has_ended(stage), 900)
    ended = stage.now
    assert await result(stage) == "Succeeded"
    assert stage.now - ended <= 180 + 30 + 10
    assert stage.azure.calls("Tasks_ListTasks", ended) <= 6


@pytest.mark.parametrize(("exit_code", "phase"), [(0, "Succeeded"), (1, "Failed")])
async def test_the_result_of_a_job_that_is_deleted_during_the_wait_is_that_of_its_last_lists(
    stage: Stage, exit_code: int, phase: str
) -> None:
    stage.azure.simulate(".*sleep 120.*", exitCode=exit_code, seconds=(120.0, 120.0))
    await loses_a_task(stage)
    await stage.run_for(120)
    assert stage.phase("bj", "own") == "Completing"
    stage.azure.delete("/jobs/own")
    assert await result(stage, 120) == phase
    shown = dict(stage.status("bj", "own"))
    assert "state" not in shown
    assert shown["terminateReason"] == "AllTasksCompleted"
    await stage.run_for(1800)
    assert stage.status("bj", "own") == shown
    assert stage.azure.get("/jobs/own") is None


async def test_lists_of_a_job_that_has_just_ended_are_no_result_when_it_is_deleted(stage: Stage) -> None:
    """They may still lack the task that failed."""
    await stage.ready_pool()
    stage.azure.simulate(".*bad.*", exitCode=1, seconds=(20.0, 20.0))
    stage.azure.simulate(".*good.*", seconds=(60.0, 60.0))
    stage.apply(job("own", tasks=[BAD, GOOD]))
    gap = stage.azure.change("/jobs/own/tasks", lacking("a"), when=lambda: has_ended(stage))
    await stage.until(lambda: stage.phase("bj", "own") == "Completing", 900)
    await stage.run_for(10)
    assert gap.hits
    stage.azure.delete("/jobs/own")
    await stage.until(lambda: stage.reason("bj", "own") == "JobGone", 300)
    await stage.run_for(600)
    assert stage.reason("bj", "own") == "JobGone"


async def test_the_result_of_a_former_job_is_not_that_of_one_that_was_created_again(stage: Stage) -> None:
    """Which is deleted, too, before a poll has shown it at work."""
    await loses_a_task(stage)
    await stage.run_for(120)
    assert stage.phase("bj", "own") == "Completing"
    first = stage.azure.get("/jobs/own")["creationTime"]
    stage.annotate("bj", "own", recreate="1")
    stage.azure.delete("/jobs/own")
    await stage.until(lambda: (stage.azure.get("/jobs/own") or {}).get("creationTime", first) != first, 120)
    stage.azure.delete("/jobs/own")
    await stage.run_for(120)
    assert stage.phase("bj", "own") not in {"Succeeded", "Failed"}
    assert stage.azure.get("/jobs/own") is not None, "none of its tasks had started, so it is created again"
