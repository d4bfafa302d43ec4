"""Which pools can run which tasks, and what becomes of a task that its pool cannot run.

Sources: Microsoft's pages on multi-instance tasks (requirements, execution) and on environment variables of nodes; table of task
error codes; Azure/azure-sdk-for-net, integration tests of Microsoft.Azure.Batch for containers (ContainerPoolNotSupported).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from azure.batch import BatchClient, models

from support.batch_bodies import CONTAINER_MACHINE, MACHINE, add_task, finished, make_job, make_pool, shell
from support.emulator_thread import EmulatorThread, wait_until
from support.still_service import POOL, StillService

pytestmark = pytest.mark.usefixtures("exact_counts")


def settings(instances: int, command: str = "/bin/true", **more: Any) -> models.MultiInstanceSettings:
    return models.MultiInstanceSettings(number_of_instances=instances, coordination_command_line=command, **more)


@pytest.mark.parametrize(
    "properties",
    [{"enable_inter_node_communication": False}, {"enable_inter_node_communication": True, "task_slots_per_node": 2}],
    ids=["nodes that cannot talk", "two slots"],
)
def test_a_pool_that_never_runs_multi_instance_tasks(client: BatchClient, properties: dict[str, Any]) -> None:
    # Documented: "the task is never scheduled, it remains indefinitely in the active state".
    make_pool(client, nodes=2, **properties)
    make_job(client)
    add_task(client, "many", multi_instance_settings=settings(2))
    add_task(client, "one")
    finished(client, "one")
    assert client.get_task("job", "many").state == "active"


def test_a_task_that_is_larger_than_its_pool_waits_for_more_nodes(client: BatchClient) -> None:
    make_pool(client, nodes=1, enable_inter_node_communication=True)
    make_job(client)
    add_task(client, "many", multi_instance_settings=settings(2))
    add_task(client, "one")
    finished(client, "one")
    assert client.get_task("job", "many").state == "active"
    client.resize_pool("pool", models.BatchPoolResizeContent(target_dedicated_nodes=2))
    assert finished(client, "many").execution_info.result == "success"


def test_all_nodes_are_reserved_together_and_exclusively(client: BatchClient) -> None:
    make_pool(client, nodes=2, enable_inter_node_communication=True)
    make_job(client)
    make_job(client, "other")
    wait = shell("while [ ! -e $AZ_BATCH_NODE_ROOT_DIR/shared/go ]; do sleep 0.05; done")
    add_task(client, "one", wait)
    wait_until(lambda: client.get_task("job", "one").state == "running", "running")
    add_task(client, "many", multi_instance_settings=settings(2))
    add_task(client, "opener", shell("touch $AZ_BATCH_NODE_ROOT_DIR/shared/go"), job_id="other")
    # One node is free, and the multi-instance task does not take it while the other is not.
    assert finished(client, "opener", "other")
    assert client.get_task("job", "many").state == "active"
    client.terminate_task("job", "one")
    assert finished(client, "many").execution_info.result == "success"


def test_a_running_multi_instance_task_has_its_nodes_to_itself(client: BatchClient) -> None:
    make_pool(client, nodes=2, enable_inter_node_communication=True)
    make_job(client)
    make_job(client, "other")
    add_task(client, "many", "/bin/sleep 600", multi_instance_settings=settings(2))
    wait_until(lambda: client.get_task("job", "many").state == "running", "running")
    (subtask,) = client.list_sub_tasks("job", "many")
    taken = {client.get_task("job", "many").node_info.node_id, subtask.node_info.node_id}
    client.resize_pool("pool", models.BatchPoolResizeContent(target_dedicated_nodes=3))
    for name in ("one", "two"):
        add_task(client, name, job_id="other")
        assert finished(client, name, "other").node_info.node_id not in taken
    assert [part.state for part in client.list_sub_tasks("job", "many")] == ["running"]
    client.terminate_task("job", "many")
    assert [part.state for part in client.list_sub_tasks("job", "many")] == ["completed"]


def test_services_that_a_coordination_command_leaves_run_until_the_primary_exits(client: BatchClient) -> None:
    # Documented: it should "start any required background services, verify that they are ready for use, and then exit".
    make_pool(client, nodes=2, enable_inter_node_communication=True)
    make_job(client)
    start = "sleep 600 > /dev/null 2>&1 & echo $! > $AZ_BATCH_NODE_SHARED_DIR/service; echo coordinated"
    look = "for file in $AZ_BATCH_NODE_ROOT_DIR/../*/shared/service; do kill -0 $(cat $file) && cat $file; done"
    add_task(client, "mpi", shell(look), multi_instance_settings=settings(2, shell(start)))
    assert finished(client, "mpi").execution_info.result == "success"
    services = b"".join(client.get_task_file("job", "mpi", "stdout.txt")).decode().split()
    assert len(services) == 2
    wait_until(lambda: not any(Path(f"/proc/{service}").exists() for service in services), "no service is left")


def test_nothing_is_left_of_a_coordination_command_that_fails(client: BatchClient) -> None:
    make_pool(client, nodes=2, enable_inter_node_communication=True)
    make_job(client)
    start = "sleep 600 > /dev/null 2>&1 & echo $!; [ $AZ_BATCH_IS_CURRENT_NODE_MASTER = true ] || exit 3"
    add_task(client, "mpi", multi_instance_settings=settings(2, shell(start)))
    task = finished(client, "mpi")
    (subtask,) = client.list_sub_tasks("job", "mpi")
    assert (task.execution_info.exit_code, subtask.exit_code, subtask.state) == (3, 3, "completed")
    directory, node = subtask.node_info.task_root_directory, subtask.node_info.node_id
    service = int(b"".join(client.get_node_file("pool", node, f"{directory}/stdout.txt")))
    wait_until(lambda: not Path(f"/proc/{service}").exists(), "no service is left")


def test_files_and_variables_of_subtasks(client: BatchClient, emulator: EmulatorThread) -> None:
    make_pool(client, nodes=2, enable_inter_node_communication=True)
    make_job(client)
    add_task(
        client,
        "mpi",
        shell("echo $AZ_BATCH_HOST_LIST; echo $CCP_NODES; echo $AZ_BATCH_MASTER_NODE"),
        multi_instance_settings=settings(
            2, shell("echo $AZ_BATCH_IS_CURRENT_NODE_MASTER; pwd; echo $AZ_BATCH_TASK_SHARED_DIR")
        ),
    )
    task = finished(client, "mpi")
    addresses = {node.id: node.ip_address for node in client.list_nodes("pool")}
    (subtask,) = client.list_sub_tasks("job", "mpi")
    first, second = addresses[task.node_info.node_id], addresses[subtask.node_info.node_id]
    assert b"".join(client.get_task_file("job", "mpi", "stdout.txt")).decode().split("\n")[:3] == [
        f"{first},{second}",
        f"2 {first} 2 {second} 2",
        f"{first}:6000",
    ]
    # Each subtask's files are on its own node.
    directory = subtask.node_info.task_root_directory
    text = b"".join(client.get_node_file("pool", subtask.node_info.node_id, f"{directory}/stdout.txt")).decode()
    master, working, shared = text.split()
    assert master == "false"
    assert working.endswith(f"{subtask.node_info.node_id}/{directory}/wd")
    # The shared directory has the same place on every node: that of the task.
    assert shared.endswith(f"{subtask.node_info.node_id}/workitems/job/job-1/mpi")
    client.delete_task("job", "mpi")
    names = [item.name for item in client.list_node_files("pool", subtask.node_info.node_id, recursive=True)]
    assert not [name for name in names if "/mpi" in name]


@pytest.mark.parametrize("known", [True, False])
def test_a_user_that_the_pool_does_not_have(client: BatchClient, *, known: bool) -> None:
    make_pool(client, user_accounts=[models.UserAccount(name="worker", password="hush")])
    make_job(client)
    add_task(client, "t", user_identity=models.UserIdentity(username="worker" if known else "nobody"))
    task = finished(client, "t")
    if known:
        assert task.execution_info.result == "success"
        return
    failure = task.execution_info.failure_info
    assert (failure.code, failure.category.lower()) == ("TaskSchedulingConstraintFailed", "usererror")
    assert failure.message == "Task cannot be scheduled on the pool associated with the job"
    assert (task.execution_info.start_time, task.execution_info.exit_code) == (None, None)


@pytest.mark.parametrize("machine", [CONTAINER_MACHINE, MACHINE], ids=["containers", "no containers"])
def test_container_settings_need_a_pool_for_containers(
    client: BatchClient, machine: models.VirtualMachineConfiguration
) -> None:
    make_pool(client, virtual_machine_configuration=machine)
    make_job(client)
    add_task(client, "t", container_settings=models.BatchTaskContainerSettings(image_name="busybox"))
    task = finished(client, "t")
    if machine is CONTAINER_MACHINE:
        assert task.execution_info.result == "success"
    else:
        assert task.execution_info.failure_info.code == "ContainerPoolNotSupported"


def test_such_a_failure_is_a_pre_processing_error(client: BatchClient, emulator: EmulatorThread) -> None:
    make_pool(client)
    make_job(client, uses_task_dependencies=True)
    forgiven = {"preProcessingError": {"dependencyAction": "satisfy"}}
    body = {"id": "t", "commandLine": "true", "userIdentity": {"username": "nobody"}, "exitConditions": forgiven}
    status, _, text = emulator.call("POST", "/jobs/job/tasks", body)
    assert status == 201, json.loads(text)
    add_task(client, "child", depends_on=models.BatchTaskDependencies(task_ids=["t"]))
    assert finished(client, "child").execution_info.result == "success"


def test_a_start_task_with_a_user_that_the_pool_does_not_have_fails() -> None:
    # The code is that of tasks; that it is the start task's too is inferred.
    stage = StillService()
    start = {"commandLine": "true", "userIdentity": {"username": "nobody"}, "maxTaskRetryCount": 5}
    accounts = [{"name": "worker", "password": "hush"}]
    body = {"id": "pool", **POOL, "targetDedicatedNodes": 1, "startTask": start, "userAccounts": accounts}
    stage.must("POST", "/pools", body)
    stage.until_node("starttaskfailed")
    info = stage.must("GET", stage.node_path)["startTaskInfo"]
    assert (info["result"], info["retryCount"]) == ("failure", 0)
    assert "exitCode" not in info
    assert info["failureInfo"]["code"] == "TaskSchedulingConstraintFailed"
    stage.must("PATCH", "/pools/pool", {"startTask": start | {"userIdentity": {"username": "worker"}}})
    stage.must("POST", f"{stage.node_path}/reboot")
    stage.until_node("idle")


@pytest.mark.parametrize("kind", ["preparation", "release"])
def test_job_tasks_with_a_user_that_the_pool_does_not_have_fail(kind: str) -> None:
    stage = StillService()
    stage.steady_pool(1)
    name = f"job{kind.capitalize()}Task"
    tasks: dict[str, Any] = {"jobPreparationTask": {"commandLine": "true"}, "jobReleaseTask": {"commandLine": "true"}}
    tasks[name]["userIdentity"] = {"username": "nobody"}
    stage.must("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "pool"}, **tasks})
    stage.must("POST", "/jobs/job/tasks", {"id": "task", "commandLine": "true"})
    stage.clock.advance(60)
    # A node where the preparation task failed takes no tasks of the job.
    expected = "active" if kind == "preparation" else "completed"
    assert stage.must("GET", "/jobs/job/tasks/task")["state"] == expected
    stage.must("POST", "/jobs/job/terminate")
    stage.until_job("completed")
    (status,) = stage.must("GET", "/jobs/job/jobpreparationandreleasetaskstatus")["value"]
    info = status[f"{name}ExecutionInfo"]
    assert (info["state"], info["result"]) == ("completed", "failure")
    assert info["failureInfo"]["code"] == "TaskSchedulingConstraintFailed"
