"""`waitingFor` and `kubectl azure-batch why` on situations that the emulator really gets into: the same cause, in the same words.

Expected sentences are written by hand. A situation is prepared by a user and by others in Azure Batch, never by writing a status.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from support.plugin_on_stage import why
from support.stage import Stage, job, pool, sleeping

Body = dict[str, Any]
Prepare = Callable[[Stage], Awaitable[None]]
TRUE = "/bin/sh -c true"


@dataclass(frozen=True)
class Waiting:
    """A job `own` of which no task runs.

    Attributes:
        operator: status.waitingFor.
        plugin: the cause that `why` prints, if it knows more than the operator.
        more: what `why` also says.
        stays: for how many seconds nothing new is written; a resize that fails is retried every 15 minutes. The situation
            lasts from the first time that the operator names the cause until a minute and these seconds later.
    """

    prepare: Prepare
    operator: str
    plugin: str | None = None
    more: str = ""
    stays: float = 130.0


def with_node(stage: Stage, text: str) -> str:
    """A text in which the first node of the pool is NODE."""
    nodes = stage.azure.all("/pools/cpu/nodes") if stage.azure.get("/pools/cpu") else []
    return text.replace(str(nodes[0]["id"]), "NODE") if nodes else text


async def no_nodes(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=0)
    stage.apply(job("own", tasks=sleeping(1)))


async def quota(stage: Stage) -> None:
    stage.azure.service.quotas.dedicated_cores = 2
    stage.apply(*stage.account_objects(), pool("cpu"), job("own", tasks=sleeping(1)))


async def allocation_fails(stage: Stage) -> None:
    error = {"code": "AllocationFailed", "message": "Desired number of dedicated nodes could not be allocated"}
    stage.azure.service.pools.allocation_faults["cpu"] = (0, error)
    stage.apply(*stage.account_objects(), pool("cpu"), job("own", tasks=sleeping(1)))


async def formula_fails(stage: Stage) -> None:
    scale: Body = {
        "enableAutoScale": True,
        "autoScaleFormula": "$TargetDedicatedNodes = 1 / 0;",
        "targetDedicatedNodes": None,
    }
    stage.apply(*stage.account_objects(), pool("cpu", **scale), job("own", tasks=sleeping(1)))


async def formula_at_zero(stage: Stage) -> None:
    formula = "$TargetDedicatedNodes = 0;"
    scale: Body = {"enableAutoScale": True, "autoScaleFormula": formula, "targetDedicatedNodes": None}
    await stage.ready_pool(**scale)
    stage.apply(job("own", tasks=sleeping(1)))
    await stage.until(lambda: (stage.azure.get("/pools/cpu") or {}).get("autoScaleRun"), 3600)


async def all_too_large(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": "big", "commandLine": TRUE, "requiredSlots": 4}]))


async def one_too_large(stage: Stage) -> None:
    await stage.ready_pool()
    tasks = [{"id": "small", "commandLine": TRUE}, {"id": "big", "commandLine": TRUE, "requiredSlots": 4}]
    stage.apply(job("own", tasks=tasks))


async def too_many_nodes(stage: Stage) -> None:
    await stage.ready_pool()
    wide = {"numberOfInstances": 3, "coordinationCommandLine": TRUE}
    stage.apply(job("own", tasks=[{"id": "mpi", "commandLine": TRUE, "multiInstanceSettings": wide}]))


async def too_few_nodes(stage: Stage) -> None:
    stage.azure.service.quotas.dedicated_cores = 4
    wide = {"numberOfInstances": 2, "coordinationCommandLine": TRUE}
    stage.apply(*stage.account_objects(), pool("cpu"))
    stage.apply(job("own", tasks=[{"id": "mpi", "commandLine": TRUE, "multiInstanceSettings": wide}]))


async def dependency_missing(stage: Stage) -> None:
    await stage.ready_pool()
    tasks = [{"id": "b", "commandLine": TRUE, "dependsOn": {"taskIds": ["later"]}}]
    stage.apply(job("own", tasks=tasks, onAllTasksComplete="noaction"))


async def preparation_fails(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    preparation = {"commandLine": "/bin/sh -c 'exit 7'", "constraints": {"maxTaskRetryCount": 0}}
    stage.apply(job("own", tasks=sleeping(1), jobPreparationTask=preparation))


async def start_task_fails(stage: Stage) -> None:
    start = {"commandLine": "/bin/sh -c 'exit 9'", "waitForSuccess": True, "maxTaskRetryCount": 0}
    stage.apply(*stage.account_objects(), pool("cpu", targetDedicatedNodes=1, startTask=start))
    stage.apply(job("own", tasks=sleeping(1)))


async def image_not_pulled(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    (node,) = stage.azure.service.pool_table["cpu"].nodes.values()
    stage.azure.service.nodes.fail(
        node, "unusable", "ContainerInvalidImage", "The image of a container cannot be pulled"
    )
    stage.apply(job("own", tasks=sleeping(1)))


async def nodes_unusable(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    (node,) = stage.azure.service.pool_table["cpu"].nodes.values()
    stage.azure.service.nodes.fail(node, "unusable", "DiskFull", "The disk of the node is full")
    stage.apply(job("own", tasks=sleeping(1)))


async def nodes_offline(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1)
    (node,) = stage.azure.all("/pools/cpu/nodes")
    stage.azure.post(f"/pools/cpu/nodes/{node['id']}/disablescheduling", {})
    stage.apply(job("own", tasks=sleeping(1)))


async def nodes_busy(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1, taskSlotsPerNode=1)
    stage.apply(job("other", tasks=sleeping(1, 36_000)))
    await stage.until(lambda: stage.phase("bj", "other") == "Running", 600)
    stage.apply(job("own", tasks=sleeping(1)))


async def lower_priority(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1, taskSlotsPerNode=1)
    stage.apply(job("urgent", priority=500, tasks=sleeping(3, 36_000)))
    await stage.until(lambda: stage.phase("bj", "urgent") == "Running", 600)
    stage.apply(job("own", tasks=sleeping(1)))


SLOTS = (
    "but the nodes of pool 'cpu' have 2: lower requiredSlots in a new job, or use a pool with a larger taskSlotsPerNode"
)
WAITING = {
    "no nodes": Waiting(no_nodes, "pool 'cpu' has no nodes: scale it up"),
    "quota": Waiting(
        quota,
        "pool 'cpu' has no nodes: AccountCoreQuotaReached: The specified account has reached core quota: request a higher core "
        "quota for the Batch account, or scale its other pools down",
        stays=2000,
    ),
    "allocation fails": Waiting(
        allocation_fails,
        "pool 'cpu' has no nodes: AllocationFailed: Desired number of dedicated nodes could not be allocated: Azure has no "
        "capacity for these nodes at the moment; wait, or use another vmSize",
        stays=2000,
    ),
    "autoscale formula fails": Waiting(
        formula_fails,
        "pool 'cpu' has no nodes, and its autoscale formula fails: AutoScalingFormulaEvaluationError: The specified "
        "auto-scaling formula has evaluation error: correct autoScaleFormula of its BatchPool",
        more="Division by zero",
    ),
    "autoscale at zero": Waiting(
        formula_at_zero,
        "pool 'cpu' has no nodes: its autoscale formula sets the number of nodes to 0: wait until it is evaluated again, or "
        "correct it",
        more="Azure Batch evaluates the formula next at about ",
    ),
    "slots larger than a node": Waiting(all_too_large, f"each task needs 4 task slots, {SLOTS}"),
    "one task with more slots than a node": Waiting(
        one_too_large,
        f"unless it has ended, task 'big' needs 4 task slots, {SLOTS}",
        f"each task needs 4 task slots, {SLOTS}",
    ),
    "multi-instance larger than the pool": Waiting(
        too_many_nodes,
        "task 'mpi' needs 3 nodes at the same time, but the target size of pool 'cpu' is 2: scale it up, or lower "
        "numberOfInstances in a new job",
    ),
    "multi-instance larger than the quota": Waiting(
        too_few_nodes,
        "task 'mpi' needs 2 nodes at the same time, but pool 'cpu' reached only a size of 1 (AccountCoreQuotaReached): request "
        "a higher core quota for the Batch account, or scale its other pools down, or lower numberOfInstances in a new job",
        stays=2000,
    ),
    "dependency missing": Waiting(
        dependency_missing,
        "the remaining tasks depend on a task that the job does not have (first: 'later'): add it, or end the job",
    ),
    "preparation fails": Waiting(
        preparation_fails,
        "the job preparation task fails on the nodes (first: NODE, exit code 7): correct jobPreparationTask in a new BatchJob",
    ),
    "start task fails": Waiting(
        start_task_fails,
        "the start task fails on the nodes of pool 'cpu' (first: NODE, exit code 9), so they take no tasks: correct "
        "startTask of its BatchPool",
    ),
    "nodes unusable": Waiting(
        nodes_unusable,
        "no node of pool 'cpu' can run tasks (unusable; first: NODE, DiskFull: The disk of the node is full): use a "
        "vmSize with a larger disk, or write less to the disk of the node",
    ),
    "container image not pulled": Waiting(
        image_not_pulled,
        "no node of pool 'cpu' can run tasks (unusable; first: NODE, ContainerInvalidImage: The image of a container cannot be "
        "pulled): check that the container image exists, and that the pool may pull it from its registry",
    ),
    "nodes offline": Waiting(
        nodes_offline,
        "the nodes of pool 'cpu' take no tasks (offline): scheduling is disabled on them; enable it, for example by a "
        "BatchOperation with enableNodeScheduling",
    ),
    "nodes busy": Waiting(nodes_busy, "the nodes of pool 'cpu' are busy with other jobs: wait, or scale the pool up"),
    "lower priority": Waiting(
        lower_priority,
        "the nodes of pool 'cpu' are busy with other jobs: wait, or scale the pool up",
        more="job 'urgent' on the same pool has the priority 500, this job 0: its tasks start first.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WAITING)
async def test_the_cause_is_named_by_both_in_the_same_words(stage: Stage, name: str) -> None:
    situation = WAITING[name]
    await situation.prepare(stage)

    def waits() -> str:
        return with_node(stage, stage.status("bj", "own").get("waitingFor", ""))

    await stage.until(lambda: waits() == situation.operator, 1800, situation.operator)
    said = with_node(stage, await why(stage))
    assert said.startswith(f"BatchJob own waits: {situation.plugin or situation.operator}.")
    assert situation.more in said
    await stage.run_for(70)
    # A cause that stays is written once, whatever the operator tries meanwhile.
    before = stage.writes("bj", "own", "status")
    await stage.run_for(situation.stays)
    stayed = waits()
    assert stayed == situation.operator, f"the cause did not stay for {situation.stays} s: {stayed or 'nothing waits'}"
    assert stage.writes("bj", "own", "status") == before


async def open_job(stage: Stage, *tasks: Body) -> None:
    """A job `own` to which somebody else adds tasks."""
    await stage.ready_pool()
    stage.apply(job("own", usesTaskDependencies=True, onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.azure.get("/jobs/own"), 60)
    for body in tasks:
        stage.azure.post("/jobs/own/tasks", {"commandLine": TRUE, **body})
    await stage.run_for(120)


def after(*ids: str) -> Body:
    """What makes a task depend on others."""
    return {"dependsOn": {"taskIds": [*ids]}}


CYCLE = "the remaining tasks depend on tasks that form a dependency cycle"
WITHOUT = "delete one of these tasks and add it without the dependency, or end the job"
RETRY = "run them again with `kubectl azure-batch retry`, or end the job"
OTHERS: dict[str, tuple[list[Body], str]] = {
    "dependency cycle": (
        [{"id": "a", **after("b")}, {"id": "b", **after("a")}, {"id": "c", **after("b")}],
        f"{CYCLE} (a → b → a), so none of them ever starts: {WITHOUT}",
    ),
    "dependency failed": (
        [{"id": "a", "commandLine": "/bin/sh -c 'exit 3'"}, {"id": "b", **after("a")}, {"id": "c", **after("b")}],
        f"the remaining tasks depend on failed tasks (first: a, exit code 3): {RETRY}",
    ),
    "dependency missing": (
        [{"id": "b", **after("x")}, {"id": "c", **after("b")}],
        "the remaining tasks depend on a task that the job does not have (first: 'x'): add it, or end the job",
    ),
    "slots larger than a node": (
        [{"id": "small"}, {"id": "big", "requiredSlots": 4}],
        f"each task needs 4 task slots, {SLOTS}",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
async def test_only_the_plugin_names_causes_of_foreign_tasks(stage: Stage, name: str) -> None:
    tasks, cause = OTHERS[name]
    await open_job(stage, *tasks)
    assert "waitingFor" not in stage.status("bj", "own")
    assert (await why(stage)).startswith(f"BatchJob own waits: {cause}.")


async def test_a_failed_task_whose_exit_condition_satisfies_those_after_it_hinders_nothing(stage: Stage) -> None:
    satisfied = {"exitConditions": {"default": {"dependencyAction": "satisfy"}}}
    tasks = (
        {"id": "a", "commandLine": "/bin/sh -c 'exit 3'", **satisfied},
        {"id": "b", "requiredSlots": 4, **after("a")},
    )
    await open_job(stage, *tasks)
    assert (await why(stage)).startswith(f"BatchJob own waits: each task needs 4 task slots, {SLOTS}.")
