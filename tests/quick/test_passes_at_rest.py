"""A pass that finds nothing new requests no poll: an idle account is polled once a minute, whatever waits in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from quick.test_foreign_pools import ACCOUNT, TEAM, theirs
from quick.test_operations import pool_body
from support.stage import Stage, job, operation, pool, schedule, sleeping, task, thing

Body = dict[str, Any]
Setup = Callable[[Stage], Awaitable[None]]
LONG = sleeping(1, 900_000)


async def _shared(stage: Stage) -> None:
    """An account for both namespaces, with a pool of this one, and a job that rests, so that jobs are listed."""
    stage.apply(TEAM, {"kind": "Namespace", "metadata": {"name": "default"}})
    stage.apply(*stage.account_objects(allowedNamespaces={"all": True}), pool("cpu"))
    await stage.until(lambda: stage.ready("bp", "cpu"), 600)
    stage.azure.post("/pools", pool_body("empty", 0))
    stage.apply(job("rests", poolRef=None, poolInfo={"poolId": "empty"}, accountRef={"name": "main"}, tasks=LONG))
    await stage.until(lambda: stage.azure.get("/jobs/rests/tasks/t0"), 600)


def _team(kind: str, name: str, **spec: Any) -> Body:
    return thing(kind, name, "team", accountRef=ACCOUNT, **spec)


async def job_without_pool(stage: Stage) -> None:
    stage.apply(job("j", poolRef={"name": "none"}, accountRef={"name": "main"}))


async def job_of_a_foreign_pool(stage: Stage) -> None:
    stage.apply(theirs("j"))


async def running_job_of_a_foreign_pool(stage: Stage) -> None:
    stage.azure.post("/pools", pool_body("free", 1))
    stage.apply(theirs("j", pool_id="free", tasks=LONG))
    await stage.until(lambda: stage.phase("bj", "j", "team") == "Running", 1200)
    stage.azure.patch(
        "/pools/free", {"metadata": [{"name": "azurebatch.io/owner", "value": "quick/default/BatchPool/x/uid/free"}]}
    )
    stage.patch("bj", "j", {"spec": {"tasks": sleeping(2, 900_000)}}, "team")


async def job_of_somebody_else(stage: Stage) -> None:
    stage.azure.post("/jobs", {"id": "j", "poolInfo": {"poolId": "cpu"}})
    stage.apply(job("j", tasks=LONG))


async def suspended_job(stage: Stage) -> None:
    stage.apply(job("j", tasks=LONG))
    await stage.until(lambda: stage.phase("bj", "j") == "Running", 600)
    stage.patch("bj", "j", {"spec": {"suspend": True}})


async def job_that_is_gone(stage: Stage) -> None:
    stage.apply(job("j", tasks=LONG))
    await stage.until(lambda: stage.status("bj", "j").get("tasksStartTime"), 600)
    stage.azure.delete("/jobs/j")


async def task_without_job(stage: Stage) -> None:
    stage.apply(task("t", "none"))


async def task_without_job_in_azure(stage: Stage) -> None:
    stage.apply(thing("BatchTask", "t", jobId="none", accountRef={"name": "main"}, commandLine="true"))


async def task_of_a_job_that_waits(stage: Stage) -> None:
    stage.apply(job("j", poolRef={"name": "none"}, accountRef={"name": "main"}), task("t", "j"))


async def task_of_a_foreign_job(stage: Stage) -> None:
    stage.apply(job("owned", tasks=LONG))
    await stage.until(lambda: stage.phase("bj", "owned") == "Running", 600)
    # The job itself rests; another account-wide interest than that of the task must not be what keeps the job known.
    stage.delete("bj", "owned")
    await stage.until(lambda: stage.gone("bj", "owned"), 600)
    marker = [{"name": "azurebatch.io/owner", "value": "quick/default/BatchJob/owned/uid/owned"}]
    stage.azure.post("/jobs", {"id": "owned", "poolInfo": {"poolId": "cpu"}, "metadata": marker})
    stage.apply(_team("BatchTask", "t", jobId="owned", commandLine="true"))


async def task_of_a_job_of_another_cluster(stage: Stage) -> None:
    stage.apply(job("j", tasks=LONG), task("t", "j"))
    marker = [{"name": "azurebatch.io/owner", "value": "other/default/BatchJob/j/uid/j"}]
    stage.azure.post("/jobs", {"id": "j", "poolInfo": {"poolId": "cpu"}, "metadata": marker})


async def task_of_a_foreign_pool(stage: Stage) -> None:
    stage.azure.post("/jobs", {"id": "free", "poolInfo": {"poolId": "cpu"}})
    stage.apply(_team("BatchTask", "t", jobId="free", commandLine="true"))


async def task_without_what_it_depends_on(stage: Stage) -> None:
    stage.apply(job("j", tasks=[], onAllTasksComplete="noaction"))
    stage.apply(task("t", "j", dependsOnRefs=[{"name": "none"}]))


async def task_of_somebody_else(stage: Stage) -> None:
    stage.azure.post("/jobs", {"id": "free", "poolInfo": {"poolId": "none"}})
    stage.azure.post("/jobs/free/tasks", {"id": "t", "commandLine": "sleep 900000"})
    stage.apply(thing("BatchTask", "t", jobId="free", accountRef={"name": "main"}, commandLine="true"))


async def schedule_of_a_foreign_pool(stage: Stage) -> None:
    named = {"poolInfo": {"poolId": "cpu"}}
    stage.apply(_team("BatchJobSchedule", "s", schedule={"recurrenceInterval": "PT1H"}, jobSpecification=named))


async def schedule_of_somebody_else(stage: Stage) -> None:
    specification = {"poolInfo": {"poolId": "cpu"}}
    far = {"doNotRunUntil": "2099-01-01T00:00:00Z"}
    stage.azure.post("/jobschedules", {"id": "s", "schedule": far, "jobSpecification": specification})
    stage.apply(schedule("s", schedule=far, jobSpecification={"poolRef": {"name": "cpu"}}))


async def pool_of_somebody_else(stage: Stage) -> None:
    stage.azure.post("/pools", pool_body("p", 0))
    stage.apply(pool("p"))


async def pool_that_a_job_keeps(stage: Stage) -> None:
    stage.azure.post("/jobs", {"id": "busy", "poolInfo": {"poolId": "cpu"}})
    stage.azure.post("/jobs/busy/tasks", {"id": "t", "commandLine": "sleep 900000"})
    stage.patch("bp", "cpu", {"spec": {"deletionPolicy": "DeleteWhenIdle"}})
    stage.delete("bp", "cpu")


async def pool_that_a_schedule_keeps(stage: Stage) -> None:
    specification = {"poolInfo": {"poolId": "cpu"}}
    far = {"doNotRunUntil": "2099-01-01T00:00:00Z"}
    stage.azure.post("/jobschedules", {"id": "theirs", "schedule": far, "jobSpecification": specification})
    stage.patch("bp", "cpu", {"spec": {"deletionPolicy": "DeleteWhenIdle"}})
    stage.delete("bp", "cpu")


async def pool_that_is_refused(stage: Stage) -> None:
    stage.azure.fault("Pools_CreatePool", status=400, code="InvalidPropertyValue")
    stage.apply(pool("p"))


async def pool_that_may_not_be_made(stage: Stage) -> None:
    stage.azure.fault("Pools_CreatePool", status=403, code="InsufficientAccountPermissions")
    stage.apply(pool("p"))


async def job_whose_tasks_are_refused(stage: Stage) -> None:
    stage.azure.fault("Tasks_CreateTaskCollection", status=400, code="InvalidPropertyValue")
    stage.azure.fault("Tasks_CreateTask", status=400, code="InvalidPropertyValue")
    stage.apply(job("j", tasks=LONG))


async def task_that_is_refused(stage: Stage) -> None:
    stage.azure.post("/jobs", {"id": "free", "poolInfo": {"poolId": "cpu"}})
    stage.azure.fault("Tasks_CreateTaskCollection", status=400, code="InvalidPropertyValue")
    stage.azure.fault("Tasks_CreateTask", status=400, code="InvalidPropertyValue")
    stage.apply(thing("BatchTask", "t", jobId="free", accountRef={"name": "main"}, commandLine="true"))


async def pool_that_a_busy_service_refuses(stage: Stage) -> None:
    stage.azure.fault("Pools_CreatePool", status=503, code="ServerBusy")
    stage.apply(pool("p"))


async def job_whose_tasks_a_busy_service_refuses(stage: Stage) -> None:
    stage.azure.fault("Tasks_CreateTaskCollection", status=503, code="ServerBusy")
    stage.apply(job("j", tasks=LONG))


async def task_that_a_busy_service_refuses(stage: Stage) -> None:
    stage.azure.post("/jobs", {"id": "free", "poolInfo": {"poolId": "none"}})
    stage.azure.fault("Tasks_CreateTaskCollection", status=503, code="ServerBusy")
    stage.apply(thing("BatchTask", "t", jobId="free", accountRef={"name": "main"}, commandLine="true"))


async def job_whose_retries_a_busy_service_refuses(stage: Stage) -> None:
    stage.apply(job("j", tasks=[{"id": "t0", "commandLine": "exit 1"}], onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.status("bj", "j").get("taskCounts", {}).get("failed") == 1, 900)
    stage.azure.fault("Tasks_ReactivateTask", status=503, code="ServerBusy")
    stage.annotate("bj", "j", retry_failed="1")


async def operation_without_target(stage: Stage) -> None:
    reboot = {"rebootNode": {"nodes": {"selector": "all"}}}
    stage.apply(operation("o", poolRef={"name": "none"}, **reboot))


@pytest.mark.parametrize(
    ("setup", "reason"),
    [
        (job_without_pool, "PoolNotFound"),
        (job_of_a_foreign_pool, "PoolNotAllowed"),
        (running_job_of_a_foreign_pool, "PoolNotAllowed"),
        (job_of_somebody_else, "OwnershipConflict"),
        (suspended_job, "Suspended"),
        (job_that_is_gone, "JobGone"),
        (job_whose_tasks_are_refused, "InvalidPropertyValue"),
        (task_without_job, "JobNotFound"),
        (task_without_job_in_azure, "JobNotFound"),
        (task_of_a_job_that_waits, "WaitingForJob"),
        (task_of_a_foreign_job, "JobNotAllowed"),
        (task_of_a_job_of_another_cluster, "WaitingForJob"),
        (task_of_a_foreign_pool, "PoolNotAllowed"),
        (task_without_what_it_depends_on, "DependencyNotFound"),
        (task_of_somebody_else, "OwnershipConflict"),
        (task_that_is_refused, "InvalidPropertyValue"),
        (schedule_of_a_foreign_pool, "PoolNotAllowed"),
        (schedule_of_somebody_else, "OwnershipConflict"),
        (pool_of_somebody_else, "OwnershipConflict"),
        (pool_that_a_job_keeps, "WaitingForTasks"),
        (pool_that_a_schedule_keeps, "WaitingForTasks"),
        (pool_that_is_refused, "InvalidPropertyValue"),
        (pool_that_may_not_be_made, "InsufficientAccountPermissions"),
        (pool_that_a_busy_service_refuses, "Creating"),
        (job_whose_tasks_a_busy_service_refuses, "Submitting"),
        (task_that_a_busy_service_refuses, ""),
        (job_whose_retries_a_busy_service_refuses, "Active"),
        (operation_without_target, "PoolNotFound"),
    ],
    ids=lambda each: each.__name__ if callable(each) else "",
)
async def test_passes_that_find_nothing_new_request_no_poll(stage: Stage, setup: Setup, reason: str) -> None:
    await _shared(stage)
    await setup(stage)
    kinds = ("bp", "bj", "bt", "bjs", "bop")

    def reasons() -> set[str]:
        found = {
            (kind, name, space) for space in ("default", "team") for kind in kinds for name in stage.names(kind, space)
        }
        return {stage.reason(kind, name, space) for kind, name, space in found}

    await stage.until(lambda: reason in reasons(), 900)
    await stage.run_for(1800)
    assert reason in reasons()
    before = stage.azure.calls("Pools_ListPools")
    await stage.run_for(900)
    alone = stage.azure.calls("Pools_ListPools") - before
    # One poll a minute; three while a task runs, whose end somebody waits for.
    assert alone <= (60 if setup is running_job_of_a_foreign_pool else 25)
    for number in range(45):
        # Labels of a namespace concern all of its objects, so each of them gets a pass, and nobody has changed what it wants.
        for space in ("default", "team"):
            stage.patch("ns", space, {"metadata": {"labels": {"number": str(number)}}})
        await stage.run_for(20)
    assert stage.azure.calls("Pools_ListPools") - before <= 2 * alone + 3
