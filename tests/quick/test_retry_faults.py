"""What goes wrong around a retry (`spec.retryOf`) costs neither tasks nor the operator."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_operator.kube.values import ValueReader
from quick.test_retry_of import FAILS, WORKS, again, ended, tasks
from support.stage import Stage, job, secret


def variable(name: str) -> list[dict[str, Any]]:
    return [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}]


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
    # An Event is posted in the background, after the status.
    await stage.until(lambda: stage.events("bj", reason="RetryTasksPending"), 10)
    assert [event["type"] for event in stage.events("bj", reason="RetryTasksPending")] == ["Normal"]
    hold.release()
    await ended(stage, "more")
    assert sorted(tasks(stage, "more")) == ["bad"]


@pytest.mark.parametrize("count", [1, 4])
async def test_responses_that_the_former_job_is_gone_are_not_accepted_immediately(stage: Stage, count: int) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": "bad", "commandLine": FAILS}], ttlSecondsAfterFinished=60))
    await ended(stage, "own")
    stage.azure.fault("Jobs_GetJob", status=404, code="JobNotFound", count=count)
    stage.apply(again("more", "own"))
    await stage.until(lambda: stage.reason("bj", "more") == "RetryTasksPending", 60)
    await ended(stage, "more")
    assert sorted(tasks(stage, "more")) == ["bad"]
    await stage.until(lambda: stage.gone("bj", "own"), 300)


async def test_a_former_job_that_is_gone_is_requested_at_growing_intervals_and_found_again(stage: Stage) -> None:
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


async def test_a_404_that_does_not_name_the_former_job_does_not_say_that_it_is_gone(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": "bad", "commandLine": FAILS}]))
    await ended(stage, "own")
    refusal = stage.azure.fault("Jobs_GetJob", path="/jobs/own", status=404, code="ResourceNotFound")
    stage.apply(again("more", "own"))
    await stage.run_for(900)
    assert refusal.hits
    assert stage.reason("bj", "more") == "ResourceNotFound"
    assert stage.events("bj", reason="RetryTasksUnknown") == []
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


@pytest.mark.parametrize("restart", [False, True])
async def test_secrets_of_tasks_that_do_not_run_again_are_not_needed(stage: Stage, restart: bool) -> None:
    await stage.ready_pool()
    stage.apply(*(secret(name, k=f"value-of-{name}") for name in ("good", "bad", "common")))
    listed = [
        {"id": "good", "commandLine": WORKS, "environmentSettings": variable("good")},
        {"id": "bad", "commandLine": FAILS, "environmentSettings": variable("bad")},
    ]
    stage.apply(job("own", tasks=listed, commonEnvironmentSettings=variable("common")))
    await ended(stage, "own")
    stage.delete("secret", "good")
    stage.delete("secret", "common")
    if restart:
        await stage.restart()
    await stage.run_for(60)
    stage.apply(again("more", "own", commonEnvironmentSettings=[{"name": "X", "value": "1"}]))
    await ended(stage, "more")
    assert tasks(stage, "more")["bad"]["environmentSettings"] == [{"name": "TOKEN", "value": "value-of-bad"}]


async def test_a_retry_ends_after_a_restart_without_the_secrets_of_other_tasks(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(secret("good", k="value-of-good"), secret("bad", k="value-of-bad"))
    listed = [
        {"id": "good", "commandLine": WORKS, "environmentSettings": variable("good")},
        {"id": "bad", "commandLine": "/bin/sh -c 'echo boom >&2; exit 1'", "environmentSettings": variable("bad")},
    ]
    stage.apply(job("own", tasks=listed))
    await ended(stage, "own")
    stage.azure.simulate("more/bad", duration=600, exitCode=1)
    stage.apply(again("more", "own"))
    await stage.until(lambda: sorted(tasks(stage, "more")) == ["bad"], 120)
    stage.delete("secret", "good")
    await stage.restart()
    await ended(stage, "more")
    assert "withheld" not in str(stage.status("bj", "more")["failures"])


async def test_a_retry_of_one_task_reads_the_secret_of_that_one(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.ready_pool()
    numbers = range(30)
    secrets = {f"s{number}" for number in numbers}
    stage.apply(*(secret(name, k=f"value-of-{name}") for name in secrets))
    stage.apply(
        job(
            "own",
            tasks=[
                {"id": f"t{n}", "commandLine": WORKS if n else FAILS, "environmentSettings": variable(f"s{n}")}
                for n in numbers
            ],
        )
    )
    await ended(stage, "own")
    read: set[str] = set()
    text = ValueReader.text

    async def noted(self: ValueReader, kind: Any, namespace: str, name: str, *more: Any, **others: Any) -> str:
        read.update({name} if kind == "Secret" and name in secrets else ())
        return await text(self, kind, namespace, name, *more, **others)

    monkeypatch.setattr(ValueReader, "text", noted)
    stage.apply(again("more", "own"))
    await ended(stage, "more")
    assert read == {"s0"}


@pytest.mark.parametrize("restart", [False, True])
async def test_a_retry_whose_job_was_deleted_runs_its_tasks_again_while_the_former_job_is_there(
    stage: Stage, restart: bool
) -> None:
    await stage.ready_pool()
    stage.azure.simulate("own/bad", exitCode=1)
    stage.apply(job("own", tasks=[{"id": "good", "commandLine": WORKS}, {"id": "bad", "commandLine": "sleep 3600"}]))
    await ended(stage, "own")
    stage.apply(again("more", "own"))
    await stage.until(lambda: stage.phase("bj", "more") == "Running", 300)
    await stage.run_for(60)
    if restart:
        await stage.restart()
        await stage.run_for(30)
    stage.azure.delete("/jobs/more")
    await stage.until(lambda: stage.reason("bj", "more") == "JobGone", 120)
    message = stage.condition("bj", "more")["message"]
    assert "all tasks" not in message
    assert "if BatchJob 'own' and its job still exist" in message
    stage.annotate("bj", "more", recreate="1")
    await stage.until(lambda: sorted(tasks(stage, "more")) == ["bad"], 300)
