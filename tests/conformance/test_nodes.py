"""Operations on nodes: actions, scheduling, users, and looking in."""

from __future__ import annotations

import datetime
import json
import urllib.error
import urllib.request

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from support.batch_bodies import MACHINE, add_task, finished, make_job, make_pool, shell, text_of
from support.emulator_thread import EmulatorThread, wait_until


def the_node(client: BatchClient) -> models.BatchNode:
    (node,) = client.list_nodes("pool")
    return node


def reaches(client: BatchClient, state: str) -> models.BatchNode:
    def reached() -> models.BatchNode | None:
        node = the_node(client)
        return node if node.state == state else None

    return wait_until(reached, f"the node is {state}")


@pytest.mark.parametrize("option", ["requeue", "terminate"])
def test_reboot(client: BatchClient, emulator: EmulatorThread, option: str) -> None:
    make_pool(client)
    make_job(client)
    add_task(client, "t", "/bin/sleep 600")
    node = reaches(client, "running")
    booted = node.last_boot_time
    with emulator.paused():
        client.reboot_node("pool", node.id, models.BatchNodeRebootContent(node_reboot_option=option))
        reaches(client, "rebooting")
        task = client.get_task("job", "t")
        assert task.state == ("active" if option == "requeue" else "completed")
        with pytest.raises(ResourceExistsError) as caught:
            client.reboot_node("pool", node.id)
        assert caught.value.error.code == "NodeBeingRebooted"
    again = reaches(client, "running" if option == "requeue" else "idle")
    assert again.id == node.id
    assert again.last_boot_time > booted


def test_reboot_waits_for_tasks_where_told_to(client: BatchClient) -> None:
    make_pool(client)
    make_job(client)
    add_task(client, "t", shell("while [ ! -e $AZ_BATCH_NODE_SHARED_DIR/go ]; do sleep 0.05; done"))
    node = reaches(client, "running")
    client.reboot_node("pool", node.id, models.BatchNodeRebootContent(node_reboot_option="taskcompletion"))
    add_task(client, "later")
    assert client.get_task("job", "t").state == "running"
    assert client.get_task("job", "later").state == "active"
    client.terminate_task("job", "t")
    wait_until(lambda: client.get_task("job", "later").state == "completed", "done after the reboot")


def test_reimage_cleans_the_node(client: BatchClient) -> None:
    make_pool(client)
    make_job(client)
    add_task(client, "t", shell("touch $AZ_BATCH_NODE_SHARED_DIR/mark"))
    wait_until(lambda: client.get_task("job", "t").state == "completed", "completed")
    node = reaches(client, "idle")
    assert "shared/mark" in [file.name for file in client.list_node_files("pool", node.id, recursive=True)]
    client.reimage_node("pool", node.id)
    reaches(client, "idle")
    assert "shared/mark" not in [file.name for file in client.list_node_files("pool", node.id, recursive=True)]


@pytest.mark.usefixtures("exact_counts")
def test_deallocate_and_start(client: BatchClient) -> None:
    make_pool(client)
    node = the_node(client)
    with pytest.raises(ResourceExistsError):
        client.start_node("pool", node.id)
    client.deallocate_node("pool", node.id)
    stopped = reaches(client, "deallocated")
    assert stopped.scheduling_state == "disabled"
    (counts,) = client.list_pool_node_counts()
    assert (counts.dedicated.deallocated, counts.dedicated.total) == (1, 1)
    client.start_node("pool", node.id)
    assert reaches(client, "idle").scheduling_state == "enabled"


def test_scheduling_off_and_on(client: BatchClient) -> None:
    make_pool(client)
    make_job(client)
    node = the_node(client)
    client.disable_node_scheduling("pool", node.id)
    assert (the_node(client).state, the_node(client).scheduling_state) == ("offline", "disabled")
    with pytest.raises(ResourceExistsError) as caught:
        client.disable_node_scheduling("pool", node.id)
    assert caught.value.error.code == "NodeAlreadyInTargetSchedulingState"
    add_task(client, "t")
    assert client.get_task("job", "t").state == "active"
    client.enable_node_scheduling("pool", node.id)
    wait_until(lambda: client.get_task("job", "t").state == "completed", "completed")
    with pytest.raises(ResourceExistsError):
        client.enable_node_scheduling("pool", node.id)


def test_users(client: BatchClient, emulator: EmulatorThread) -> None:
    make_pool(client)
    node = the_node(client)
    client.create_node_user(
        "pool", node.id, models.BatchNodeUserCreateContent(name="me", password="hush", is_admin=True)
    )
    with pytest.raises(ResourceExistsError) as caught:
        client.create_node_user("pool", node.id, models.BatchNodeUserCreateContent(name="ME"))
    assert caught.value.error.code == "NodeUserExists"
    client.replace_node_user("pool", node.id, "me", models.BatchNodeUserUpdateContent(password="hush2"))
    client.delete_node_user("pool", node.id, "me")
    with pytest.raises(ResourceNotFoundError) as missing:
        client.delete_node_user("pool", node.id, "me")
    assert missing.value.error.code == "NodeUserNotFound"
    status, headers, _ = emulator.call("POST", f"/pools/pool/nodes/{node.id}/users", {"name": "you"})
    assert status == 201
    assert (
        headers["location"] == headers["dataserviceid"] == f"{emulator.endpoint}/pools/pool/nodes/{node.id}/users/you"
    )
    assert "etag" not in headers


def test_remote_login_and_endpoints(client: BatchClient) -> None:
    nat = models.InboundNatPool(
        name="ssh", protocol="tcp", backend_port=22, frontend_port_range_start=1100, frontend_port_range_end=1200
    )
    endpoints = models.BatchPoolEndpointConfiguration(inbound_nat_pools=[nat])
    make_pool(client, network_configuration=models.NetworkConfiguration(endpoint_configuration=endpoints))
    node = the_node(client)
    settings = client.get_node_remote_login_settings("pool", node.id)
    assert (settings.remote_login_ip_address, settings.remote_login_port) == ("127.0.0.1", 1100)
    (endpoint,) = node.endpoint_configuration.inbound_endpoints
    assert (endpoint.name, endpoint.frontend_port, endpoint.backend_port) == ("ssh.0", 1100, 22)


def test_extensions(client: BatchClient) -> None:
    extension = models.VMExtension(name="monitor", publisher="p", type="t", protected_settings={"key": "hush"})
    machine = models.VirtualMachineConfiguration(
        image_reference=MACHINE.image_reference, node_agent_sku_id=MACHINE.node_agent_sku_id, extensions=[extension]
    )
    make_pool(client, virtual_machine_configuration=machine)
    node = the_node(client)
    names = [item.vm_extension.name for item in client.list_node_extensions("pool", node.id)]
    assert names == ["monitor", "batchNodeExtension"]
    found = client.get_node_extension("pool", node.id, "Monitor")
    assert (found.provisioning_state, found.vm_extension.protected_settings) == ("Succeeded", None)
    with pytest.raises(ResourceNotFoundError):
        client.get_node_extension("pool", node.id, "none")


def test_logs_are_uploaded(client: BatchClient, emulator: EmulatorThread) -> None:
    make_pool(client)
    node = the_node(client)
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    content = models.UploadBatchServiceLogsContent(
        container_url=f"{emulator.endpoint}/storage/logs", start_time=yesterday
    )
    result = client.upload_node_logs("pool", node.id, content)
    assert result.number_of_files_uploaded == 1
    assert result.virtual_directory_name.startswith("devaccount-")
    url = f"{emulator.endpoint}/storage/logs/{result.virtual_directory_name}/agent-debug.log"

    def text() -> bytes:
        try:
            with urllib.request.urlopen(url) as response:  # noqa: S310
                content: bytes = response.read()
                return content
        except urllib.error.HTTPError as error:
            error.close()
            return b""

    assert b"state idle" in wait_until(text, "the log is there")


def start_task(script: str, **properties: object) -> models.BatchStartTask:
    return models.BatchStartTask(command_line=shell(script), **properties)


def test_a_start_task_prepares_the_node(client: BatchClient) -> None:
    make_pool(client, start_task=start_task("echo started; touch $AZ_BATCH_NODE_SHARED_DIR/tool"))
    node = the_node(client)
    assert (node.start_task_info.state, node.start_task_info.result, node.start_task_info.exit_code) == (
        "completed",
        "success",
        0,
    )
    assert b"".join(client.get_node_file("pool", node.id, "startup/stdout.txt")) == b"started\n"
    make_job(client)
    add_task(client, "t", shell("test -e $AZ_BATCH_NODE_SHARED_DIR/tool"))
    wait_until(lambda: client.get_task("job", "t").execution_info.exit_code == 0, "found it")


def test_a_start_task_that_fails(client: BatchClient) -> None:
    client.create_pool(
        models.BatchPoolCreateContent(
            id="pool",
            vm_size="standard_d2s_v3",
            virtual_machine_configuration=MACHINE,
            target_dedicated_nodes=1,
            start_task=start_task("echo broken >&2; exit 3", max_task_retry_count=1),
        )
    )
    wait_until(lambda: list(client.list_nodes("pool")), "a node")
    node = reaches(client, "starttaskfailed")
    info = node.start_task_info
    assert (info.exit_code, info.retry_count, info.failure_info.code) == (3, 1, "FailureExitCode")
    found = client.list_nodes("pool", filter="startTaskInfo/result eq 'failure' and startTaskInfo/exitCode gt 2")
    assert [item.id for item in found] == [node.id]
    make_job(client)
    add_task(client, "t")
    client.update_pool("pool", models.BatchPoolUpdateContent(start_task=start_task("exit 0")))
    assert client.get_task("job", "t").state == "active"
    client.reboot_node("pool", node.id)
    wait_until(lambda: client.get_task("job", "t").state == "completed", "runs after the repair")


def test_calls_that_the_state_forbids(client: BatchClient, emulator: EmulatorThread) -> None:
    with emulator.paused():
        client.create_pool(
            models.BatchPoolCreateContent(
                id="pool", vm_size="standard_d2s_v3", virtual_machine_configuration=MACHINE, target_dedicated_nodes=1
            )
        )
        assert list(client.list_nodes("pool")) == []
    wait_until(lambda: list(client.list_nodes("pool")), "a node")
    reaches(client, "idle")
    emulator.admin("POST", "pools/pool/nodes/0/fail", {"state": "unusable"})
    node = the_node(client)
    for call in (client.reboot_node, client.deallocate_node, client.disable_node_scheduling):
        with pytest.raises(ResourceExistsError) as caught:
            call("pool", node.id)
        assert caught.value.error.code == "NodeStateUnusable"
    status, _, text = emulator.call("POST", f"/pools/pool/nodes/{node.id}/reboot", {"nodeRebootOption": "now"})
    assert (status, json.loads(text)["code"]) == (400, "InvalidPropertyValue")
    with pytest.raises(HttpResponseError):
        client.remove_nodes("pool", models.BatchNodeRemoveContent(node_list=["none"]))


def test_multi_instance(client: BatchClient) -> None:
    make_pool(client, nodes=3, enable_inter_node_communication=True)
    make_job(client)
    settings = models.MultiInstanceSettings(
        number_of_instances=3,
        coordination_command_line=shell("echo ready $AZ_BATCH_IS_CURRENT_NODE_MASTER > coordinated"),
    )
    add_task(
        client,
        "t",
        shell('cat coordinated; echo $AZ_BATCH_HOST_LIST | tr , "\\n" | wc -l'),
        multi_instance_settings=settings,
    )
    wait_until(lambda: client.get_task("job", "t").state == "completed", "completed")
    task = client.get_task("job", "t")
    assert task.execution_info.result == "success"
    assert b"".join(client.get_task_file("job", "t", "stdout.txt")).split() == [b"ready", b"true", b"3"]
    subtasks = list(client.list_sub_tasks("job", "t"))
    assert [(subtask.id, subtask.state, subtask.exit_code) for subtask in subtasks] == [
        (1, "completed", 0),
        (2, "completed", 0),
    ]
    assert len({task.node_info.node_id, *(subtask.node_info.node_id for subtask in subtasks)}) == 3
    add_task(client, "plain")
    assert list(client.list_sub_tasks("job", "plain")) == []


def test_the_directory_for_certificates(client: BatchClient) -> None:
    # Documented: of all tasks on Linux nodes, beside their working directory.
    start = models.BatchStartTask(command_line=shell("cd $AZ_BATCH_CERTIFICATES_DIR && pwd"), wait_for_success=True)
    make_pool(client, start_task=start)
    make_job(client)
    add_task(client, "t", shell("cd $AZ_BATCH_CERTIFICATES_DIR && pwd && cd $AZ_BATCH_TASK_DIR/certs && pwd"))
    finished(client, "t")
    first, second = text_of(client, "t").split()
    assert first == second
    (node,) = client.list_nodes("pool")
    text = b"".join(client.get_node_file("pool", node.id, "startup/stdout.txt")).decode()
    assert text.endswith("/startup/certs\n")
