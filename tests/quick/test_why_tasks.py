"""`kubectl azure-batch why` on tasks: hints about those that have failed, and causes of those that wait without a status.

Expected words are written by hand. Tasks fail as the emulator makes them fail, or as a real node would, which the stage cannot do.
"""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from quick.test_why import CYCLE, RETRY, SLOTS, TRUE, WITHOUT, after
from support.plugin_on_stage import Trouble, expect, fail_run, reached
from support.stage import Stage, job, task, thing

Body = dict[str, Any]
FAILS = "/bin/sh -c 'exit 4'"


# --- jobs and tasks that have failed ---


async def _failed(stage: Stage, body: Body, **spec: Any) -> None:
    await stage.ready_pool(**spec)
    stage.apply(job("own", tasks=[{"id": "a", "commandLine": TRUE, **body}]))
    await reached(stage, "bj", "TasksFailed")


async def without_a_shell(stage: Stage) -> None:
    stage.azure.simulate("own/a", exitCode=1, stderr="make: *** No rule to make target '&&'.")
    await _failed(stage, {"commandLine": "make all && make install"})


async def user_missing(stage: Stage) -> None:
    await _failed(stage, {"userIdentity": {"username": "bob"}})


async def upload_failed(stage: Stage) -> None:
    fail_run(stage, "own/a", "FileUploadContainerNotFound", "The specified container does not exist", where="upload")
    await _failed(stage, {})


async def no_containers(stage: Stage) -> None:
    await _failed(stage, {"containerSettings": {"imageName": "busybox"}})


async def _failed_task(stage: Stage, command: str, **spec: Any) -> None:
    await stage.ready_pool()
    stage.apply(job("jobs"), task("own", "jobs", command, **spec))
    await stage.until(lambda: stage.phase("bt", "own") == "Failed", 900)


async def task_with_a_pipe(stage: Stage) -> None:
    stage.azure.simulate("jobs/own", exitCode=1)
    await _failed_task(stage, "cat list.txt | sort")


async def task_with_a_variable(stage: Stage) -> None:
    fail_run(stage, "jobs/own", "CommandProgramNotFound", "The specified command program is not found", where="launch")
    await _failed_task(stage, "$AZ_BATCH_APP_PACKAGE_blender/blender -b")


async def task_with_a_failed_download(stage: Stage) -> None:
    fail_run(stage, "jobs/own", "BlobNotFound", "One of the specified Azure Blob(s) is not found", where="preparation")
    await _failed_task(stage, TRUE)


# --- tasks that wait ---


async def _waits(stage: Stage, *bodies: Body, **spec: Any) -> None:
    """A BatchTask `own` in Azure Batch that does not run."""
    await stage.ready_pool(**spec)
    stage.apply(job("jobs"), *bodies)
    await stage.until(lambda: (stage.azure.get("/jobs/jobs/tasks/own") or {}).get("state") == "active", 300)
    await stage.run_for(60)


async def task_without_nodes(stage: Stage) -> None:
    await _waits(stage, task("own", "jobs"), targetDedicatedNodes=0)


async def task_after_nothing(stage: Stage) -> None:
    await _waits(stage, task("own", "jobs", **after("later")))


async def task_after_another(stage: Stage) -> None:
    await _waits(stage, task("first", "jobs", "sleep 9000"), task("own", "jobs", **after("first")))


async def task_after_a_failed_one(stage: Stage) -> None:
    chain = (
        task("first", "jobs", FAILS),
        task("second", "jobs", **after("first")),
        task("own", "jobs", **after("second")),
    )
    await _waits(stage, *chain)


async def task_in_a_cycle(stage: Stage) -> None:
    await _waits(stage, task("first", "jobs", **after("own")), task("own", "jobs", **after("first")))


async def task_too_large(stage: Stage) -> None:
    await _waits(stage, task("first", "jobs", "sleep 9000"), task("own", "jobs", requiredSlots=4))


async def task_behind_others(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1, taskSlotsPerNode=1)
    stage.apply(job("jobs"), task("first", "jobs", "sleep 9000"))
    await stage.until(lambda: stage.phase("bt", "first") == "Running", 300)
    stage.apply(task("own", "jobs"))
    await stage.until(lambda: stage.azure.get("/jobs/jobs/tasks/own"), 300)
    await stage.run_for(60)


async def task_of_a_suspended_job(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("jobs"), task("own", "jobs", "sleep 9000"))
    await stage.until(lambda: stage.phase("bt", "own") == "Running", 300)
    stage.patch("bj", "jobs", {"spec": {"suspend": True}})
    await reached(stage, "bj", "Suspended", "jobs")
    await stage.run_for(120)


async def task_of_a_disabled_job(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.post("/jobs", {"id": "theirs", "poolInfo": {"poolId": "cpu"}})
    stage.azure.post("/jobs/theirs/disable", {"disableTasks": "requeue"})
    stage.apply(thing("BatchTask", "own", jobId="theirs", accountRef={"name": "main"}, commandLine=TRUE))
    await stage.until(lambda: stage.azure.get("/jobs/theirs/tasks/own"), 300)


async def task_of_a_job_that_a_batch_job_has_suspended(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("theirs", onAllTasksComplete="noaction", tasks=[{"id": "a", "commandLine": "sleep 9000"}]))
    await reached(stage, "bj", "Running", "theirs")
    stage.patch("bj", "theirs", {"spec": {"suspend": True}})
    await reached(stage, "bj", "Suspended", "theirs")
    stage.apply(thing("BatchTask", "own", jobId="theirs", accountRef={"name": "main"}, commandLine=TRUE))
    await stage.until(lambda: stage.azure.get("/jobs/theirs/tasks/own"), 300)


async def task_of_a_job_that_others_may_have_disabled(stage: Stage) -> None:
    await stage.ready_pool()
    acts = {"id": "theirs", "poolInfo": {"poolId": "cpu"}, "onTaskFailure": "performexitoptionsjobaction"}
    stage.azure.post("/jobs", acts)
    stage.azure.post("/jobs/theirs/disable", {"disableTasks": "requeue"})
    stage.apply(thing("BatchTask", "own", jobId="theirs", accountRef={"name": "main"}, commandLine=TRUE))
    await stage.until(lambda: stage.azure.get("/jobs/theirs/tasks/own"), 300)


async def task_without_job(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(task("own", "nowhere"))
    await reached(stage, "bt", "JobNotFound")


async def task_of_a_throttled_account(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("jobs"))
    await reached(stage, "bj", "Active", "jobs")
    stage.azure.fault(".*", status=429, retryAfter=300)
    stage.apply(task("own", "jobs"))
    await reached(stage, "bacc", "Throttled", "main")


SHELL = "run the command line in a shell, with /bin/sh -c '…' or cmd /c on Windows: Azure Batch runs it without one, so"
TASKS: dict[str, Any] = {"kind": Kind.TASK}
TROUBLES = {
    "command without a shell": Trouble(
        without_a_shell,
        "failed (TasksFailed): task 'a' failed (exit code 1). The end of its stderr: ",
        (f"What to do: {SHELL} the program gets '&&' as an argument; if the cause is outside of the tasks",),
    ),
    "node user missing": Trouble(
        user_missing,
        "failed (TasksFailed): task 'a' failed (TaskSchedulingConstraintFailed)",
        ("What to do: add user 'bob', as whom the task runs, to userAccounts of BatchPool cpu",),
    ),
    "upload failed": Trouble(
        upload_failed,
        "failed (TasksFailed): task 'a' failed (FileUploadContainerNotFound). 1 task failed with "
        "FileUploadContainerNotFound: The specified container does not exist",
        ("What to do: check that the container in outputFiles exists",),
        silent="exit code 0",
    ),
    "no containers on the pool": Trouble(
        no_containers,
        "failed (TasksFailed): task 'a' failed (ContainerPoolNotSupported)",
        ("What to do: add containerConfiguration to virtualMachineConfiguration of the pool",),
    ),
    "task with a pipe": Trouble(
        task_with_a_pipe, "failed", (f"Hint: {SHELL} the program gets '|' as an argument",), **TASKS
    ),
    "task with a variable": Trouble(
        task_with_a_variable,
        "failed (CommandProgramNotFound)",
        (f"Hint: {SHELL} the program gets '$AZ_BATCH_APP_PACKAGE_blender' as an argument",),
        **TASKS,
    ),
    "task with a failed download": Trouble(
        task_with_a_failed_download,
        "failed (BlobNotFound)",
        ("What to do: check that each file in resourceFiles exists",),
        **TASKS,
    ),
    "task without nodes": Trouble(task_without_nodes, "waits: pool 'cpu' has no nodes: scale it up.", **TASKS),
    "task after a missing one": Trouble(
        task_after_nothing,
        "waits: the task depends on a task that the job does not have (first: 'later'): add it, or delete this task.",
        **TASKS,
    ),
    "task after one that runs": Trouble(
        task_after_another, "waits: the task depends on tasks that have not ended (first: 'first', running).", **TASKS
    ),
    "task after a failed one": Trouble(
        task_after_a_failed_one,
        f"waits: the task depends on failed tasks (first: first, exit code 4): {RETRY.removesuffix('end the job')}delete this "
        "task.",
        **TASKS,
    ),
    "task in a cycle": Trouble(
        task_in_a_cycle,
        f"waits: the task depends{CYCLE.removeprefix('the remaining tasks depend')} (own → first → own), so none of them ever "
        f"starts: {WITHOUT}.",
        **TASKS,
    ),
    "task too large": Trouble(task_too_large, f"waits: the task needs 4 task slots, {SLOTS}.", **TASKS),
    "task behind others": Trouble(
        task_behind_others,
        "waits: the nodes of pool 'cpu' are busy with other tasks: wait, or scale the pool up.",
        **TASKS,
    ),
    "task of a suspended job": Trouble(
        task_of_a_suspended_job,
        "waits: BatchJob jobs is suspended: spec.suspend is true.",
        ("What to do: kubectl azure-batch resume bj/jobs -n default.",),
        silent="client",
        **TASKS,
    ),
    "task of a disabled job": Trouble(
        task_of_a_disabled_job, "waits: another client has disabled the job in Azure Batch", **TASKS
    ),
    "task of a job that its BatchJob has suspended": Trouble(
        task_of_a_job_that_a_batch_job_has_suspended,
        "waits: BatchJob default/theirs is suspended, or is being moved to another pool, so no task of the job starts.",
        silent="client",
        **TASKS,
    ),
    "task of a job that others may have disabled": Trouble(
        task_of_a_job_that_others_may_have_disabled,
        "waits: the job is disabled in Azure Batch, by an exit condition or by another client, so no task starts",
        **TASKS,
    ),
    "task without job": Trouble(
        task_without_job,
        "waits (JobNotFound): spec.jobRef names BatchJob 'nowhere', which does not exist in this namespace: create it",
        **TASKS,
    ),
    "task of a throttled account": Trouble(
        task_of_a_throttled_account,
        "waits: its task has not started. BatchAccount main is not ready (Throttled)",
        silent="check that the operator runs",
        **TASKS,
    ),
}  # fmt: skip


async def test_the_status_of_a_failed_task_has_the_hint_as_well(stage: Stage) -> None:
    await task_with_a_pipe(stage)
    said = stage.condition("bt", "own", "Failed")["message"]
    assert said.startswith("exit code 1: ")
    assert said.endswith(f"Hint: {SHELL} the program gets '|' as an argument")
    stage.apply(task("plain", "jobs", FAILS))
    await stage.until(lambda: stage.phase("bt", "plain") == "Failed", 300)
    assert "Hint" not in stage.condition("bt", "plain", "Failed")["message"]


@pytest.mark.parametrize("name", TROUBLES)
async def test_the_cause_is_named_with_evidence_and_remedy(stage: Stage, name: str) -> None:
    await expect(stage, TROUBLES[name])
