"""All 77 operations, one by one, through our client, against the emulator.

`pytest tests/conformance/test_operations_table.py -v` lists the scenarios, `EXERCISES` says which operations each covers. A
scenario is a state before, the calls, and what they changed. Operations that an emulator does not have are named when they
are skipped; `test_operations_recorded` covers them in any case.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from azure_batch_emulator import EmulatorConfig
from azure_batch_operator.batch import (
    OPERATIONS,
    BatchClient,
    BatchError,
    Limiter,
    NotFoundError,
    RetiredError,
    RetryPolicy,
    SharedKey,
)
from support.client_stage import Stage
from support.emulator_thread import EmulatorThread

FORMULA = {"autoScaleFormula": "$TargetDedicatedNodes = 0;"}
Exercise = Callable[[Stage], Awaitable[None]]
EXERCISES: dict[str, Exercise] = {}


def exercise(*operations: str) -> Callable[[Exercise], Exercise]:
    """Say which operations a scenario exercises."""

    def register(scenario: Exercise) -> Exercise:
        EXERCISES.update(dict.fromkeys(operations, scenario))
        return scenario

    return register


@exercise("Applications_ListApplications", "Applications_GetApplication")
async def applications(stage: Stage) -> None:
    stage.emulator.admin("POST", f"applications/{stage.id}", {"displayName": "Blender", "versions": ["4.1"]})
    listed = await stage.client.applications.list(max_results=1).all()
    assert stage.id in [application["id"] for application in listed]
    assert (await stage.client.applications.get(stage.id))["versions"] == ["4.1"]


@exercise(*(operation.id for operation in OPERATIONS.values() if operation.group == "certificates"))
async def certificates(stage: Stage) -> None:
    certificate = ("sha1", "ab")
    body = {"thumbprint": "ab", "thumbprintAlgorithm": "sha1", "data": "eA=="}
    for attempt in (
        stage.client.certificates.list().all(),
        stage.client.certificates.create(body),
        stage.client.certificates.get(*certificate),
        stage.client.certificates.delete(*certificate),
        stage.client.certificates.cancel_deletion(*certificate),
    ):
        with pytest.raises(RetiredError, match="retired"):
            await attempt


@exercise("Pools_ListSupportedImages")
async def images(stage: Stage) -> None:
    listed = await stage.client.account.list_supported_images(filter="osType eq 'linux'").all()
    assert {image["osType"] for image in listed} == {"linux"}


@exercise("Pools_CreatePool", "Pools_GetPool", "Pools_ListPools", "Pools_PoolExists", "Pools_UpdatePool")
async def pools(stage: Stage) -> None:
    pool = await stage.pool()
    assert await stage.client.pools.exists(pool)
    assert not await stage.client.pools.exists(f"{pool}-not")
    etag = (await stage.client.pools.get(pool))["eTag"]
    changed = await stage.client.pools.update(pool, {"metadata": [{"name": "a", "value": "b"}]}, if_match=etag)
    assert changed.etag != etag
    (listed,) = await stage.client.pools.list(filter=f"id eq '{pool}'", select=("id", "metadata")).all()
    assert listed == {"id": pool, "metadata": [{"name": "a", "value": "b"}]}


@exercise("Pools_DeletePool")
async def delete_pool(stage: Stage) -> None:
    pool = await stage.pool()
    await stage.client.pools.delete(pool)
    await stage.gone(lambda: stage.client.pools.get(pool))


@exercise("Pools_ReplacePoolProperties")
async def replace_properties(stage: Stage) -> None:
    pool = await stage.pool(startTask={"commandLine": "true"})
    empty: dict[str, Any] = {"metadata": [], "certificateReferences": [], "applicationPackageReferences": []}
    await stage.client.pools.replace_properties(pool, empty)
    assert "startTask" not in await stage.client.pools.get(pool)


@exercise("Pools_ResizePool", "Pools_ListPoolNodeCounts")
async def resize(stage: Stage) -> None:
    pool = await stage.pool()
    await stage.client.pools.resize(pool, {"targetDedicatedNodes": 2})

    async def total() -> bool:
        (counts,) = await stage.client.pools.list_node_counts(filter=f"poolId eq '{pool}'").all()
        return bool(counts["dedicated"]["total"] == 2)

    await stage.until(total)


@exercise("Pools_StopPoolResize")
async def stop_resize(stage: Stage) -> None:
    pool = await stage.pool()
    with stage.emulator.paused():
        await stage.client.pools.resize(pool, {"targetDedicatedNodes": 50})
        await stage.client.pools.stop_resize(pool)
        assert (await stage.client.pools.get(pool))["allocationState"] == "stopping"
    await stage.steady()


@exercise("Pools_RemoveNodes")
async def remove_nodes(stage: Stage) -> None:
    pool, node = await stage.node()
    await stage.client.pools.remove_nodes(pool, {"nodeList": [node]})
    assert (await stage.steady())["currentDedicatedNodes"] == 0


@exercise("Pools_EnablePoolAutoScale", "Pools_DisablePoolAutoScale", "Pools_EvaluatePoolAutoScale")
async def autoscale(stage: Stage) -> None:
    pool = await stage.pool()
    await stage.client.pools.enable_autoscale(pool, FORMULA)
    assert (await stage.client.pools.get(pool))["enableAutoScale"] is True
    run = await stage.client.pools.evaluate_autoscale(pool, {"autoScaleFormula": "$TargetDedicatedNodes = 1 + 2;"})
    assert "$TargetDedicatedNodes=3" in run["results"]
    await stage.steady()
    await stage.client.pools.disable_autoscale(pool)
    assert (await stage.client.pools.get(pool))["enableAutoScale"] is False


@exercise("Pools_ListPoolUsageMetrics")
async def usage(stage: Stage) -> None:
    now = datetime.now(UTC)
    times = {"start_time": now - timedelta(hours=4), "end_time": now - timedelta(hours=3)}
    assert isinstance(await stage.client.pools.list_usage_metrics(**times).all(), list)


@exercise("Nodes_ListNodes", "Nodes_GetNode", "Nodes_GetNodeRemoteLoginSettings")
async def nodes(stage: Stage) -> None:
    pool, node = await stage.node()
    read = await stage.client.nodes.get(pool, node, select=("id", "state"))
    assert (read["id"], read["state"]) == (node, "idle")
    assert "vmSize" not in read
    login = await stage.client.nodes.get_remote_login_settings(pool, node)
    assert login["remoteLoginPort"] > 0


@exercise("Nodes_RebootNode", "Nodes_ReimageNode")
async def restart(stage: Stage) -> None:
    pool, node = await stage.node()
    for act, state in ((stage.client.nodes.reboot, "rebooting"), (stage.client.nodes.reimage, "reimaging")):
        with stage.emulator.paused():
            await act(pool, node)
            await stage.node_state(pool, node, state)
        await stage.node_state(pool, node, "idle")


@exercise("Nodes_DeallocateNode", "Nodes_StartNode")
async def deallocate(stage: Stage) -> None:
    pool, node = await stage.node()
    await stage.client.nodes.deallocate(pool, node, {"nodeDeallocateOption": "terminate"})
    await stage.node_state(pool, node, "deallocated")
    await stage.client.nodes.start(pool, node)
    await stage.node_state(pool, node, "idle")


@exercise("Nodes_DisableNodeScheduling", "Nodes_EnableNodeScheduling")
async def scheduling(stage: Stage) -> None:
    pool, node = await stage.node()
    await stage.client.nodes.disable_scheduling(pool, node)
    assert (await stage.client.nodes.get(pool, node))["schedulingState"] == "disabled"
    await stage.client.nodes.enable_scheduling(pool, node)
    assert (await stage.client.nodes.get(pool, node))["schedulingState"] == "enabled"


@exercise("Nodes_ListNodeExtensions", "Nodes_GetNodeExtension")
async def extensions(stage: Stage) -> None:
    pool, node = await stage.node()
    (first, *_) = await stage.client.nodes.list_extensions(pool, node).all()
    name = first["vmExtension"]["name"]
    assert (await stage.client.nodes.get_extension(pool, node, name))["vmExtension"]["name"] == name


@exercise("Nodes_UploadNodeLogs")
async def upload_logs(stage: Stage) -> None:
    pool, node = await stage.node()
    body = {"containerUrl": f"{stage.client.endpoint}/storage/logs", "startTime": "2024-01-01T00:00:00Z"}
    assert (await stage.client.nodes.upload_logs(pool, node, body))["virtualDirectoryName"]


@exercise("Nodes_CreateNodeUser", "Nodes_ReplaceNodeUser", "Nodes_DeleteNodeUser")
async def users(stage: Stage) -> None:
    pool, node = await stage.node()
    await stage.client.node_users.create(pool, node, {"name": "ann", "password": "Aa1!aaaa"})
    await stage.client.node_users.replace(pool, node, "ann", {"password": "Bb2!bbbb"})
    await stage.client.node_users.delete(pool, node, "ann")
    with pytest.raises(NotFoundError, match="NodeUserNotFound"):
        await stage.client.node_users.delete(pool, node, "ann")


@exercise("Nodes_ListNodeFiles", "Nodes_GetNodeFile", "Nodes_GetNodeFileProperties", "Nodes_DeleteNodeFile")
async def node_files(stage: Stage) -> None:
    pool, node = await stage.node(startTask={"commandLine": "/bin/sh -c 'echo started'"})
    files = stage.client.node_files
    path = "startup/stdout.txt"
    assert path in [file["name"] async for file in files.list(pool, node, recursive=True)]
    assert (await files.properties(pool, node, path)).content_length == len("started\n")
    assert await files.read(pool, node, path) == b"started\n"
    await files.delete(pool, node, path)
    with pytest.raises(NotFoundError):
        await files.read(pool, node, path)


@exercise("Jobs_CreateJob", "Jobs_GetJob", "Jobs_ListJobs", "Jobs_UpdateJob", "Jobs_ReplaceJob")
async def jobs(stage: Stage) -> None:
    job = await stage.job(priority=5)
    await stage.client.jobs.update(job, {"constraints": {"maxTaskRetryCount": 3}})
    read = await stage.client.jobs.get(job)
    assert (read["priority"], read["constraints"]["maxTaskRetryCount"]) == (5, 3)
    await stage.client.jobs.replace(job, {"poolInfo": {"poolId": job}, "priority": 7})
    (listed,) = await stage.client.jobs.list(filter=f"id eq '{job}'", select=("id", "priority")).all()
    assert listed == {"id": job, "priority": 7}


@exercise("Jobs_DisableJob", "Jobs_EnableJob")
async def disable_job(stage: Stage) -> None:
    job = await stage.job()
    await stage.client.jobs.disable(job, {"disableTasks": "requeue"})
    await stage.job_state(job, "disabled")
    await stage.client.jobs.enable(job)
    await stage.job_state(job, "active")


@exercise("Jobs_TerminateJob", "Jobs_DeleteJob")
async def end_job(stage: Stage) -> None:
    job = await stage.job()
    await stage.client.jobs.terminate(job, {"terminateReason": "enough"})
    await stage.job_state(job, "completed")
    assert (await stage.client.jobs.get(job))["executionInfo"]["terminateReason"] == "enough"
    await stage.client.jobs.delete(job, force=True)
    await stage.gone(lambda: stage.client.jobs.get(job))


@exercise("Jobs_GetJobTaskCounts", "Tasks_CreateTaskCollection", "Tasks_ListTasks")
async def collection(stage: Stage) -> None:
    job = await stage.job()
    tasks = [{"id": f"t{number}", "commandLine": "true"} for number in range(5)]
    results = await stage.client.tasks.create_collection(job, tasks)
    assert sorted(result.task_id for result in results if result.added) == [task["id"] for task in tasks]
    pages = [page async for page in stage.client.tasks.list_pages(job, select=("id",), max_results=2)]
    assert [task["id"] for page in pages for task in page] == [task["id"] for task in tasks]
    assert len(pages) > 1

    async def counted() -> bool:
        return bool((await stage.client.jobs.get_task_counts(job))["taskCounts"]["active"] == 5)

    await stage.until(counted)


@exercise("Jobs_ListJobPreparationAndReleaseTaskStatus")
async def preparation(stage: Stage) -> None:
    await stage.pool(1)
    job = await stage.job(jobPreparationTask={"commandLine": "/bin/true"})
    await stage.client.tasks.create(job, {"id": "t", "commandLine": "/bin/true"})

    async def prepared() -> bool:
        listed = await stage.client.jobs.list_preparation_and_release_status(job).all()
        return any(one["jobPreparationTaskExecutionInfo"]["state"] == "completed" for one in listed)

    await stage.until(prepared)


@exercise("Tasks_CreateTask", "Tasks_GetTask", "Tasks_ReplaceTask", "Tasks_DeleteTask", "Tasks_TerminateTask")
async def tasks(stage: Stage) -> None:
    job = await stage.job()
    await stage.client.tasks.create(job, {"id": "t", "commandLine": "true"})
    await stage.client.tasks.replace(job, "t", {"constraints": {"maxTaskRetryCount": 2}})
    assert (await stage.client.tasks.get(job, "t"))["constraints"]["maxTaskRetryCount"] == 2
    await stage.client.tasks.terminate(job, "t")
    assert (await stage.client.tasks.get(job, "t"))["state"] == "completed"
    await stage.client.tasks.delete(job, "t")
    await stage.gone(lambda: stage.client.tasks.get(job, "t"))


@exercise("Tasks_ReactivateTask")
async def reactivate(stage: Stage) -> None:
    job, task = await stage.task("/bin/sh -c 'exit 3'")
    before = await stage.client.tasks.get(job, task)
    receipt = await stage.client.tasks.reactivate(job, task)
    assert receipt.etag == (await stage.client.tasks.get(job, task))["eTag"] != before["eTag"]


@exercise("Tasks_ListSubTasks")
async def subtasks(stage: Stage) -> None:
    job, task = await stage.task()
    assert await stage.client.tasks.list_subtasks(job, task).all() == []


@exercise("Tasks_ListTaskFiles", "Tasks_GetTaskFile", "Tasks_GetTaskFileProperties", "Tasks_DeleteTaskFile")
async def task_files(stage: Stage) -> None:
    job, task = await stage.task()
    files = stage.client.task_files
    assert "stdout.txt" in [file["name"] async for file in files.list(job, task)]
    assert (await files.properties(job, task, "stdout.txt")).content_length == len("hello\n")
    assert await files.read(job, task, "stdout.txt", range=(1, 3)) == b"ell"
    assert await files.tail(job, task, "stdout.txt", limit=3) == b"lo\n"
    await files.delete(job, task, "stdout.txt")
    with pytest.raises(NotFoundError, match="FileNotFound"):
        await files.read(job, task, "stdout.txt")


@exercise(
    "JobSchedules_CreateJobSchedule",
    "JobSchedules_GetJobSchedule",
    "JobSchedules_ListJobSchedules",
    "JobSchedules_JobScheduleExists",
    "JobSchedules_UpdateJobSchedule",
    "JobSchedules_ReplaceJobSchedule",
    "Jobs_ListJobsFromSchedule",
)
async def schedules(stage: Stage) -> None:
    schedule = await stage.schedule()
    group = stage.client.job_schedules
    assert await group.exists(schedule)
    assert not await group.exists(f"{schedule}-not")
    await group.update(schedule, {"metadata": [{"name": "a", "value": "b"}]})
    assert (await group.get(schedule))["metadata"] == [{"name": "a", "value": "b"}]
    body = {"schedule": {"recurrenceInterval": "PT2H"}, "jobSpecification": {"poolInfo": {"poolId": schedule}}}
    await group.replace(schedule, body)
    (listed,) = await group.list(filter=f"id eq '{schedule}'").all()
    assert listed["schedule"]["recurrenceInterval"] == "PT2H"

    async def first() -> list[Any]:
        return await stage.client.jobs.list_from_schedule(schedule, select=("id",)).all()

    assert (await stage.until(first))[0] == {"id": f"{schedule}:job-1"}
    assert (await stage.client.jobs.get(f"{schedule}:job-1"))["state"] == "active"


@exercise(
    "JobSchedules_DisableJobSchedule",
    "JobSchedules_EnableJobSchedule",
    "JobSchedules_TerminateJobSchedule",
    "JobSchedules_DeleteJobSchedule",
)
async def end_schedule(stage: Stage) -> None:
    schedule = await stage.schedule()
    group = stage.client.job_schedules
    await group.disable(schedule)
    await stage.schedule_state(schedule, "disabled")
    await group.enable(schedule)
    await stage.schedule_state(schedule, "active")
    await group.terminate(schedule, force=True)
    await stage.schedule_state(schedule, "completed")
    await group.delete(schedule)
    await stage.gone(lambda: group.get(schedule))


@pytest.fixture(scope="module")
def emulator_of_module() -> Iterator[EmulatorThread]:
    with EmulatorThread(EmulatorConfig(port=0, time_scale=500.0, seed=3)) as emulator:
        yield emulator


@pytest.fixture
async def stage(emulator_of_module: EmulatorThread) -> AsyncIterator[Stage]:
    emulator_of_module.admin("POST", "reset")
    calls: list[str] = []
    key = SharedKey(emulator_of_module.config.account, emulator_of_module.config.key)
    async with BatchClient(
        emulator_of_module.endpoint,
        key,
        limiter=Limiter(math.inf),
        retry=RetryPolicy(attempts=1, deadline=60.0),
        observe=lambda made: calls.append(made.operation) if made.error in (None, "RetiredError") else None,
    ) as client:
        yield Stage(client, emulator_of_module, calls)


def test_every_operation_has_a_scenario() -> None:
    assert set(EXERCISES) == set(OPERATIONS)


@pytest.mark.parametrize(
    "scenario", dict.fromkeys(EXERCISES.values()), ids=lambda scenario: f"{scenario.__name__}-emulator"
)
async def test_emulator(scenario: Exercise, stage: Stage) -> None:
    await scenario(stage)
    assert {operation for operation, its in EXERCISES.items() if its is scenario} <= set(stage.calls)


async def test_errors_of_the_emulator_are_understood(stage: Stage) -> None:
    with pytest.raises(BatchError) as caught:
        await stage.client.jobs.create({"id": "no/good", "poolInfo": {"poolId": "p"}})
    assert caught.value.code == "InvalidPropertyValue"
    assert caught.value.values["PropertyName"] == "id"
    assert caught.value.request_id
