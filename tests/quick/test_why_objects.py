"""`kubectl azure-batch why` on jobs, pools, schedules and operations in trouble: the cause, its evidence, what to do.

Expected words are written by hand. Causes that the operator names as well are in test_why.py, tasks in test_why_tasks.py, and
healthy objects in test_why_healthy.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from quick.test_operations import pool_body
from quick.test_why import TRUE, quota, start_task_fails
from support.plugin_on_stage import Trouble, expect, reached
from support.stage import Stage, job, operation, pool, schedule, sleeping

Body = dict[str, Any]
FAILS = "/bin/sh -c 'exit 4'"
ENABLE = "enable it in Azure Batch, or set spec.suspend to true and then to false"
PACKAGE = [{"applicationId": "blender", "version": "1"}]


# --- jobs ---


async def disabled_by_a_client(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(5)))
    await reached(stage, "bj", "Running")
    stage.azure.post("/jobs/own/disable", {"disableTasks": "requeue"})
    await reached(stage, "bj", "Disabled")


async def disabled_by_an_exit_condition(stage: Stage) -> None:
    await stage.ready_pool()
    conditions = {"exitCodes": [{"code": 4, "exitOptions": {"jobAction": "disable"}}]}
    tasks = [{"id": "bad", "commandLine": FAILS, "exitConditions": conditions}, *sleeping(5)]
    stage.apply(job("own", onTaskFailure="performexitoptionsjobaction", tasks=tasks))
    await reached(stage, "bj", "Disabled")


async def disabled_by_a_task_of_others(stage: Stage) -> None:
    """Only the plugin sees the task: the operator does not know its exit conditions."""
    await stage.ready_pool()
    stage.apply(job("own", onTaskFailure="performexitoptionsjobaction", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.azure.get("/jobs/own"), 60)
    conditions = {"default": {"jobAction": "disable"}}
    stage.azure.post("/jobs/own/tasks", {"id": "theirs", "commandLine": FAILS, "exitConditions": conditions})
    await reached(stage, "bj", "Disabled")


async def suspended(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", suspend=True, tasks=sleeping(1)))
    await reached(stage, "bj", "Suspended")


async def in_a_namespace_that_ends(stage: Stage) -> None:
    """The operator does not run, so nothing removes the finalizer."""
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1)))
    await reached(stage, "bj", "Running")
    await stage.operator.stop()
    stage.delete("namespace", "default", "")
    await stage.until(lambda: "deletionTimestamp" in stage.get("bj", "own")["metadata"], 60)


async def held(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", failurePolicy={"action": "Hold"}, tasks=[{"id": "a", "commandLine": FAILS}]))
    await stage.until(lambda: stage.phase("bj", "own") == "Held", 900)


async def throttled(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.fault(".*", status=429, retryAfter=300)
    stage.apply(job("own", tasks=sleeping(1)))
    await reached(stage, "bacc", "Throttled", "main")


async def running_while_throttled(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(2, 36_000)))
    await reached(stage, "bj", "Running")
    stage.azure.fault(".*", status=429, retryAfter=300)
    await reached(stage, "bacc", "Throttled", "main")


async def of_somebody_else(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.post("/jobs", {"id": "own", "poolInfo": {"poolId": "cpu"}})
    stage.apply(job("own", tasks=sleeping(1)))
    await reached(stage, "bj", "OwnershipConflict")


async def account_without_secret(stage: Stage) -> None:
    stage.apply(stage.account_objects()[1], pool("cpu"), job("own", tasks=sleeping(1)))
    await reached(stage, "bj", "AccountNotReady")
    await reached(stage, "bp", "AccountNotReady", "cpu")


async def account_with_a_wrong_key(stage: Stage) -> None:
    secret, account = stage.account_objects()
    secret["stringData"]["key"] = "AAAA"
    stage.apply(secret, account, pool("cpu"), job("own", tasks=sleeping(1)))
    await reached(stage, "bj", "AccountNotReady")
    await reached(stage, "bp", "AccountNotReady", "cpu")


async def secret_missing(stage: Stage) -> None:
    await stage.ready_pool()
    value = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "licence", "key": "token"}}}
    stage.apply(job("own", tasks=[{"id": "a", "commandLine": TRUE, "environmentSettings": [value]}]))
    await reached(stage, "bj", "SecretNotFound")


async def config_map_missing(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasksFrom=[{"configMapKeyRef": {"name": "ids", "key": "ids.csv"}}]))
    await reached(stage, "bj", "ConfigMapNotFound")


async def pool_missing(stage: Stage) -> None:
    stage.apply(*stage.account_objects(), job("own", tasks=sleeping(1)))
    await reached(stage, "bj", "PoolNotFound")


async def pool_vanished(stage: Stage) -> None:
    stage.apply(*stage.account_objects())
    stage.azure.post("/pools", pool_body("theirs", 1))
    on_it = {"poolRef": None, "accountRef": {"name": "main"}, "poolInfo": {"poolId": "theirs"}}
    stage.apply(job("own", **on_it, tasks=sleeping(1)))
    await stage.until(lambda: stage.azure.get("/jobs/own/tasks/t0"), 900)
    stage.azure.delete("/pools/theirs")
    await reached(stage, "bj", "PoolNotFound")


async def package_of_the_pool_missing(stage: Stage) -> None:
    stage.apply(*stage.account_objects(), pool("cpu", applicationPackageReferences=PACKAGE))
    stage.apply(job("own", tasks=sleeping(1)))
    await reached(stage, "bp", "InvalidApplicationPackageReferences", "cpu")
    await reached(stage, "bj", "WaitingForPool")


async def package_of_a_task_missing(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": "a", "commandLine": TRUE, "applicationPackageReferences": PACKAGE}]))
    await reached(stage, "bj", "InvalidApplicationPackageReferences")


async def too_many_jobs(stage: Stage) -> None:
    stage.azure.service.quotas.active_jobs_and_schedules = 1
    await stage.ready_pool()
    stage.azure.post("/jobs", {"id": "theirs", "poolInfo": {"poolId": "cpu"}})
    stage.apply(job("own", tasks=sleeping(1)))
    await reached(stage, "bj", "ActiveJobAndScheduleQuotaReached")


# --- other kinds ---


async def pool_short_of_quota(stage: Stage) -> None:
    await quota(stage)
    await reached(stage, "bp", "ResizeIncomplete", "cpu", 1800)


async def pool_with_a_failing_start_task(stage: Stage) -> None:
    await start_task_fails(stage)
    await reached(stage, "bp", "NoUsableNodes", "cpu")


async def schedule_suspended(stage: Stage) -> None:
    await stage.ready_pool()
    body = {"poolRef": {"name": "cpu"}, "tasks": sleeping(1)}
    stage.apply(schedule("own", cron={"expression": "0 0 * * *"}, suspend=True, jobSpecification=body))
    await reached(stage, "bjs", "Suspended")


async def operation_failed(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    stage.azure.fault("Nodes_RebootNode", status=409, code="NodeStateUnusable", message="The node is unusable")
    stage.apply(operation("own", rebootNode={"nodes": {"states": ["idle"]}}))
    await stage.until(lambda: stage.phase("bop", "own") == "Failed", 3600)


ADD_PACKAGE = "What to do: add the version of the application package to the Batch account"
TROUBLES = {
    "disabled by a client": Trouble(
        disabled_by_a_client,
        f"waits: another client has disabled the job in Azure Batch, so no task starts: {ENABLE}.",
        silent="exit condition",
    ),
    "disabled by an exit condition": Trouble(
        disabled_by_an_exit_condition,
        "waits: an exit condition of task 'bad' (exit code 4) has disabled the job, so no task starts: correct the cause, then "
        f"{ENABLE}.",
        silent="another client",
    ),
    "disabled by a task of others": Trouble(
        disabled_by_a_task_of_others,
        "waits: an exit condition of task 'theirs' (exit code 4) has disabled the job",
        silent="another client",
    ),
    "suspended": Trouble(
        suspended,
        "is suspended: spec.suspend is true.",
        ("What to do: kubectl azure-batch resume bj/own -n default.",),
        silent="client",
    ),
    "in a namespace that ends": Trouble(
        in_a_namespace_that_ends,
        "is being deleted (Running): ",
        ("Its namespace default is being deleted, too.", "`kubectl azure-batch doctor -n default` names what keeps"),
    ),
    "held": Trouble(
        held,
        "is held (TasksFailed): 1 of 1 task failed (first: a, exit code 4)",
        ("What to do: correct the cause, then run the failed tasks again: kubectl azure-batch retry bj/own -n default",),
    ),
    "throttled": Trouble(
        throttled,
        "waits: the operator has not acted on it yet. BatchAccount main is not ready (Throttled): Azure Batch responded 429",
        silent="check that the operator runs",
    ),
    "running while throttled": Trouble(
        running_while_throttled,
        "was Running when it was last seen, 0/2 tasks ended. BatchAccount main is not ready (Throttled)",
    ),
    "foreign owner": Trouble(
        of_somebody_else,
        "is stalled (OwnershipConflict): job 'own' exists in the account and was not created by this operator: create this "
        "object again with another spec.id, delete it there, or adopt it",
    ),
    "account without Secret": Trouble(
        account_without_secret,
        "waits (AccountNotReady): BatchAccount default/main: SecretNotFound: spec.auth.sharedKey.secretRef: Secret 'main-key' "
        "does not exist in namespace 'default': create it with key 'key', or correct the name.",
        silent="BatchPool",
    ),
    "wrong key": Trouble(
        account_with_a_wrong_key,
        "waits (AccountNotReady): BatchAccount default/main: KeyRefused: the value of key 'key' of Secret 'main-key' is not a "
        "key of this account: correct it.",
        silent="BatchPool",
    ),
    "missing Secret": Trouble(
        secret_missing,
        "waits (SecretNotFound): spec.tasks[0].environmentSettings[0].valueFrom: Secret 'licence' does not exist in namespace "
        "'default': create it with key 'token', or correct the name.",
    ),
    "missing ConfigMap": Trouble(
        config_map_missing,
        "waits (ConfigMapNotFound): spec.tasksFrom[0].configMapKeyRef: ConfigMap 'ids' does not exist in namespace 'default': "
        "create it with key 'ids.csv', or correct the name.",
    ),
    "missing pool": Trouble(
        pool_missing,
        "waits (PoolNotFound): spec.poolRef names BatchPool 'cpu', which does not exist in this namespace: create it or correct "
        "spec.poolRef.",
    ),
    "vanished pool": Trouble(
        pool_vanished,
        "is stalled (PoolNotFound): spec.poolInfo.poolId names pool 'theirs', which is not in the Azure Batch account: create "
        "the pool, or correct the ID.",
        silent="NotApplied",
    ),
    "application package of the pool": Trouble(
        package_of_the_pool_missing,
        "waits (WaitingForPool)",
        ("(blender=The specified application package does not exist.)", ADD_PACKAGE),
    ),
    "application package of a task": Trouble(
        package_of_a_task_missing, "is stalled (InvalidApplicationPackageReferences)", ("blender", ADD_PACKAGE)
    ),
    "quota of jobs": Trouble(
        too_many_jobs,
        "waits (ActiveJobAndScheduleQuotaReached)",
        ("What to do: wait until a job of the account has ended",),
    ),
    "pool short of quota": Trouble(
        pool_short_of_quota,
        "is Steady, but not all is well. BatchPool cpu has ResizeFailed True (AccountCoreQuotaReached)",
        ("What to do: request a higher core quota for the Batch account",),
        kind=Kind.POOL,
        name="cpu",
    ),
    "pool with a failing start task": Trouble(
        pool_with_a_failing_start_task,
        "is stalled (NoUsableNodes): no node can take tasks: 1 startTaskFailed",
        ("its start task failed with exit code 9",),
        kind=Kind.POOL,
        name="cpu",
    ),
    "schedule suspended": Trouble(
        schedule_suspended,
        "is suspended: spec.suspend is true.",
        ("What to do: kubectl azure-batch resume bjs/own -n default.",),
        kind=Kind.SCHEDULE,
    ),
    "operation failed": Trouble(
        operation_failed,
        "failed (TargetsFailed)",
        ("NodeStateUnusable", "What to do: correct the cause and create a new BatchOperation"),
        kind=Kind.OPERATION,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TROUBLES)
async def test_the_cause_is_named_with_evidence_and_remedy(stage: Stage, name: str) -> None:
    await expect(stage, TROUBLES[name])
