"""What goes wrong around a retry (`spec.retryOf`) costs neither tasks nor the operator."""

from __future__ import annotations

import pytest

from quick.test_retry_of import FAILS, again, ended, tasks
from support.stage import Stage, job


async def test_a_retry_that_is_deleted_while_its_tasks_are_listed_fails_no_pass(stage: Stage) -> None:
    """The stage fails on a traceback in the log, so no pass may end by an exception."""
    await stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": "bad", "commandLine": FAILS}]))
    await ended(stage, "own")
    hold = stage.azure.hold("Tasks_ListTasks")
    stage.apply(again("more", "own"))
    await stage.until(lambda: hold.arrived > 0, 5)
    stage.delete("bj", "more")
    stage.apply(again("more", "own"))
    await stage.until(lambda: stage.reason("bj", "more") == "RetryTasksPending", 10)
    hold.release()
    await ended(stage, "more")
    assert sorted(tasks(stage, "more")) == ["bad"]


@pytest.mark.parametrize("count", [1, 4])
async def test_answers_that_the_former_job_is_gone_are_not_believed_at_once(stage: Stage, count: int) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": "bad", "commandLine": FAILS}], ttlSecondsAfterFinished=60))
    await ended(stage, "own")
    stage.azure.fault("Jobs_GetJob", status=404, code="JobNotFound", count=count)
    stage.apply(again("more", "own"))
    await stage.until(lambda: stage.reason("bj", "more") == "RetryTasksPending", 60)
    await ended(stage, "more")
    assert sorted(tasks(stage, "more")) == ["bad"]
    await stage.until(lambda: stage.gone("bj", "own"), 300)


async def test_a_former_job_that_is_gone_is_asked_for_ever_less_often_and_found_again(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": "bad", "commandLine": FAILS}]))
    await ended(stage, "own")
    asked = stage.azure.calls("Jobs_GetJob")
    stage.azure.fault("Jobs_GetJob", status=404, code="JobNotFound")
    stage.apply(again("more", "own"))
    await stage.until(lambda: stage.reason("bj", "more") == "RetryTasksUnknown", 400)
    await stage.run_for(3600)
    assert stage.reason("bj", "more") == "RetryTasksUnknown"
    assert stage.azure.calls("Jobs_GetJob") - asked <= 10
    stage.azure.heal()
    await ended(stage, "more")
    assert sorted(tasks(stage, "more")) == ["bad"]


async def test_lists_that_wait_their_turn_use_the_account_as_it_is_then(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": "bad", "commandLine": FAILS}]))
    await ended(stage, "own")
    hold = stage.azure.hold("Tasks_ListTasks")
    names = [f"r{number}" for number in range(5)]
    stage.apply(*(again(name, "own") for name in names))
    await stage.until(lambda: hold.arrived > 0, 5)
    await stage.run_for(5)
    seen: set[str] = set()
    stage.patch("bacc", "main", {"spec": {"rateLimit": {"callsPerSecond": 7}}})
    await stage.run_for(2)
    hold.release()

    def all_ended() -> bool:
        seen.update(stage.reason("bj", name) for name in names)
        return all(stage.phase("bj", name) == "Failed" for name in names)

    await stage.until(all_ended, 600)
    assert "Usage" not in seen
    assert all(sorted(tasks(stage, name)) == ["bad"] for name in names)
