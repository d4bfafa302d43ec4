"""`kubectl azure-batch why` names no cause where there is none, and no status or Event blames somebody who did nothing."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from azure_batch_operator.api.kinds import Kind
from quick.test_why import TRUE
from support.plugin_on_stage import Prepare, reached, why
from support.stage import Stage, job, operation, schedule, sleeping, task

LONG = 36_000


@dataclass(frozen=True)
class Healthy:
    """An object, `own`, with which nothing is wrong.

    Attributes:
        says: the whole paragraph behind kind and name.
    """

    prepare: Prepare
    says: str
    kind: Kind = Kind.JOB
    name: str = "own"


async def job_that_runs(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(2, LONG)))
    await reached(stage, "bj", "Running")
    await stage.run_for(120)


async def job_that_has_succeeded(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(2, 60)))
    await reached(stage, "bj", "Succeeded")


async def job_behind_its_own_tasks(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    stage.apply(job("own", tasks=sleeping(20, LONG)))
    await reached(stage, "bj", "Running")
    await stage.run_for(120)


async def job_that_is_filled(stage: Stage) -> None:
    await stage.ready_pool()
    hold = stage.azure.hold("Tasks_CreateTaskCollection", count=1)
    sweep = {"parametricSweep": {"parameterSets": [{"start": 1, "end": 3000}]}}
    stage.apply(job("own", taskFactory=sweep | {"repeatTask": {"commandLine": f"/bin/sh -c 'sleep {LONG}'"}}))
    await reached(stage, "bj", "Submitting")
    hold.release()


async def job_held_open(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", onAllTasksComplete="noaction", tasks=sleeping(2, 60)))
    await stage.until(lambda: stage.status("bj", "own").get("progress") == "2/2", 900)


async def job_without_tasks(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own"))
    await reached(stage, "bj", "Active")


async def job_that_is_resumed(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(2, LONG)))
    await reached(stage, "bj", "Running")
    stage.patch("bj", "own", {"spec": {"suspend": True}})
    await reached(stage, "bj", "Suspended")
    stage.patch("bj", "own", {"spec": {"suspend": False}})
    await reached(stage, "bj", "Running")
    await stage.run_for(120)


async def idle_pool(stage: Stage) -> None:
    await stage.ready_pool("own")


async def pool_at_zero_without_jobs(stage: Stage) -> None:
    formula = "$TargetDedicatedNodes = 0;"
    await stage.ready_pool("own", enableAutoScale=True, autoScaleFormula=formula, targetDedicatedNodes=None)
    await stage.run_for(1200)


async def schedule_between_runs(stage: Stage) -> None:
    await stage.ready_pool()
    body = {"poolRef": {"name": "cpu"}, "tasks": sleeping(1)}
    stage.apply(schedule("own", cron={"expression": "0 0 * * *", "timeZone": "Etc/UTC"}, jobSpecification=body))
    await reached(stage, "bjs", "Scheduled")


async def account(stage: Stage) -> None:
    stage.apply(*stage.account_objects("own"))
    await reached(stage, "bacc", "Connected")


async def operation_that_is_complete(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(operation("own", rebootNode={"nodes": {"states": ["idle"]}}))
    await stage.until(lambda: stage.phase("bop", "own") == "Succeeded", 3600)


async def task_that_runs(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("jobs"), task("own", "jobs", f"sleep {LONG}"))
    await reached(stage, "bt", "Running")


async def task_that_has_succeeded(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("jobs"), task("own", "jobs", TRUE))
    await reached(stage, "bt", "Succeeded")


HEALTHY = {
    "job that runs": Healthy(
        job_that_runs, "it is Running, 0/2 tasks ended (Running): the tasks are in Azure Batch."
    ),
    "job that has succeeded": Healthy(job_that_has_succeeded, "it has succeeded, 2/2 tasks ended."),
    "job behind its own tasks": Healthy(
        job_behind_its_own_tasks, "it is Running, 0/20 tasks ended (Running): the tasks are in Azure Batch."
    ),
    "job that is filled": Healthy(job_that_is_filled, "it is Submitting (Submitting): 0 of 3000 tasks added."),
    "job held open": Healthy(
        job_held_open,
        "it is Running, 2/2 tasks ended (Active): all tasks of the job have ended, and it stays open for more: to end it, set "
        "spec.onAllTasksComplete to terminatejob, set the annotation azurebatch.io/terminate, or delete it.",
    ),
    "job without tasks": Healthy(
        job_without_tasks,
        "it is Running, 0/0 tasks ended (Active): the job has no tasks: add tasks, tasksFrom or taskFactory to its spec, or "
        "create BatchTasks that reference it in jobRef. To end it without tasks, set the annotation azurebatch.io/terminate, or "
        "delete it.",
    ),
    "job that is resumed": Healthy(
        job_that_is_resumed, "it is Running, 0/2 tasks ended (Running): the tasks are in Azure Batch."
    ),
    "idle pool": Healthy(idle_pool, "it is Steady (Steady): 2 of 2 nodes usable.", Kind.POOL),
    "pool at zero without jobs": Healthy(
        pool_at_zero_without_jobs, "it is Steady (AutoScaled): 0 of 0 nodes usable.", Kind.POOL
    ),
    "schedule between runs": Healthy(
        schedule_between_runs, "it is Active (Scheduled): 0 active, next at 2026-05-29T00:00:00Z.", Kind.SCHEDULE
    ),
    "account": Healthy(account, "it is Connected (Connected): the operator is signed in to the account.", Kind.ACCOUNT),
    "complete operation": Healthy(operation_that_is_complete, "it has succeeded.", Kind.OPERATION),
    "task that runs": Healthy(task_that_runs, "it is Running (Running): the task runs.", Kind.TASK),
    "task that has succeeded": Healthy(task_that_has_succeeded, "it has succeeded.", Kind.TASK),
}  # fmt: skip


@pytest.mark.parametrize("name", HEALTHY)
async def test_no_cause_is_named_where_there_is_none(stage: Stage, name: str) -> None:
    healthy = HEALTHY[name]
    await healthy.prepare(stage)
    said = await why(stage, healthy.kind, healthy.name)
    assert said == f"Nothing is wrong with {healthy.kind} {healthy.name}: {healthy.says}"


@pytest.mark.parametrize("policy", ["requeue", "terminate"])
async def test_nobody_else_is_blamed_for_what_the_spec_asked_for(stage: Stage, policy: str) -> None:
    told: list[str] = []

    def look() -> bool:
        found = stage.get("bj", "own")
        told.extend(condition["message"] for condition in found.get("status", {}).get("conditions", ()))
        return bool(stage.reason("bj", "own") == "Running" and stage.status("bj", "own").get("state") == "active")

    await stage.ready_pool()
    stage.apply(job("own", suspendPolicy=policy, onAllTasksComplete="noaction", tasks=sleeping(20, LONG)))
    await stage.until(look, 900)
    for _ in range(2):
        stage.patch("bj", "own", {"spec": {"suspend": True}})
        await reached(stage, "bj", "Suspended")
        stage.patch("bj", "own", {"spec": {"suspend": False}})
        await stage.until(look, 900)
    told += [event["message"] for event in stage.events("bj", "own")]
    assert any("enabling it again" in text or "resumed" in text for text in told)
    assert [text for text in told if "client" in text or "exit condition" in text] == []
