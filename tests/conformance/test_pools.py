"""Pools and nodes, through the official client."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from azure.batch import BatchClient, models
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from support.batch_bodies import MACHINE, make_pool, wait_steady
from support.emulator_thread import EmulatorThread, wait_until


def test_a_new_pool_shows_defaults_and_becomes_steady(client: BatchClient, emulator: EmulatorThread) -> None:
    with emulator.paused():
        client.create_pool(
            models.BatchPoolCreateContent(
                id="Mixed_Case-1",
                vm_size="STANDARD_D1_v2",
                virtual_machine_configuration=MACHINE,
                task_scheduling_policy=models.BatchTaskSchedulingPolicy(node_fill_type="pack"),
                resize_timeout="PT06M00S",
            )
        )
        pool = client.get_pool("mixed_case-1")
    assert pool.id == "Mixed_Case-1"
    assert (pool.state, pool.allocation_state) == ("active", "resizing")
    assert pool.vm_size == "standard_d1_v2"
    assert pool.task_scheduling_policy.node_fill_type == "Pack"
    assert pool.virtual_machine_configuration.image_reference.version == "latest"
    assert (pool.task_slots_per_node, pool.enable_auto_scale, pool.enable_inter_node_communication) == (1, False, False)
    assert (pool.target_dedicated_nodes, pool.current_dedicated_nodes) == (0, 0)
    assert pool.resize_timeout.total_seconds() == 360
    assert pool.e_tag.startswith("0x8D")
    assert wait_steady(client, "Mixed_Case-1").e_tag == pool.e_tag


@pytest.mark.usefixtures("exact_counts")
def test_nodes_start_and_are_counted(client: BatchClient) -> None:
    make_pool(client, nodes=3)
    nodes = list(client.list_nodes("pool"))
    assert [node.id for node in nodes] == sorted(node.id for node in nodes)
    assert all(node.id.startswith("tvmps_") and node.id.endswith("_d") for node in nodes)
    assert all(node.affinity_id == f"TVM:{node.id}" and node.is_dedicated for node in nodes)
    node = client.get_node("pool", nodes[0].id)
    assert node.node_agent_info.version
    assert node.last_boot_time is not None
    (counts,) = client.list_pool_node_counts(filter="poolId eq 'pool'")
    assert (counts.dedicated.idle, counts.dedicated.total, counts.low_priority.total) == (3, 3, 0)
    with pytest.raises(ResourceNotFoundError) as caught:
        client.get_node("pool", "nosuchnode")
    assert caught.value.error.code == "NodeNotFound"


def test_resize_up_and_down(client: BatchClient, emulator: EmulatorThread) -> None:
    make_pool(client, nodes=1)
    before = client.get_pool("pool").e_tag
    with emulator.paused():
        client.resize_pool("pool", models.BatchPoolResizeContent(target_dedicated_nodes=3, target_low_priority_nodes=1))
        resizing = client.get_pool("pool")
        assert (resizing.allocation_state, resizing.target_dedicated_nodes) == ("resizing", 3)
        assert resizing.e_tag != before
        with pytest.raises(ResourceExistsError) as caught:
            client.resize_pool("pool", models.BatchPoolResizeContent(target_dedicated_nodes=0))
        assert caught.value.error.code == "PoolBeingResized"
    assert wait_steady(client).current_low_priority_nodes == 1
    client.resize_pool("pool", models.BatchPoolResizeContent(target_dedicated_nodes=0, target_low_priority_nodes=0))
    pool = wait_steady(client)
    assert (pool.current_dedicated_nodes, pool.current_low_priority_nodes) == (0, 0)
    assert list(client.list_nodes("pool")) == []


def test_stop_resize_keeps_the_etag_and_leaves_an_error(client: BatchClient, emulator: EmulatorThread) -> None:
    make_pool(client, nodes=0)
    with emulator.paused():
        client.resize_pool("pool", models.BatchPoolResizeContent(target_low_priority_nodes=2))
        etag = client.get_pool("pool").e_tag
        client.stop_pool_resize("pool")
        assert client.get_pool("pool").allocation_state == "stopping"
    pool = wait_steady(client)
    assert (pool.e_tag, pool.target_low_priority_nodes, pool.current_low_priority_nodes) == (etag, 2, 0)
    assert [error.code for error in pool.resize_errors] == ["ResizeStopped"]
    with pytest.raises(ResourceExistsError):
        client.stop_pool_resize("pool")


def test_a_core_quota_leaves_a_resize_error(client: BatchClient, emulator: EmulatorThread) -> None:
    emulator.admin("POST", "quota", {"dedicatedCores": 4})
    try:
        client.create_pool(
            models.BatchPoolCreateContent(
                id="pool",
                vm_size="standard_d2s_v3",
                virtual_machine_configuration=MACHINE,
                target_dedicated_nodes=5,
                resize_timeout="PT5M",
            )
        )
        pool = wait_steady(client)
        assert (pool.current_dedicated_nodes, pool.target_dedicated_nodes) == (2, 5)
        assert [error.code for error in pool.resize_errors] == ["AccountCoreQuotaReached", "AllocationTimedout"]
    finally:
        emulator.admin("POST", "quota", {"dedicatedCores": 500})


def test_exists_and_delete(client: BatchClient, emulator: EmulatorThread) -> None:
    assert client.pool_exists("pool") is False
    make_pool(client, nodes=1)
    assert client.pool_exists("POOL") is True
    before = client.get_pool("pool").e_tag
    with emulator.paused():
        client.delete_pool("pool")
        pool = client.get_pool("pool")
        assert (pool.state, pool.target_dedicated_nodes) == ("deleting", 0)
        assert pool.e_tag != before
        for call in (
            lambda: client.delete_pool("pool"),
            lambda: client.resize_pool("pool", models.BatchPoolResizeContent(target_dedicated_nodes=1)),
            lambda: make_pool(client, nodes=0),
        ):
            with pytest.raises(ResourceExistsError) as caught:
                call()
            assert caught.value.error.code == "PoolBeingDeleted"
    wait_until(lambda: not client.pool_exists("pool"), "the pool is gone")
    with pytest.raises(ResourceNotFoundError) as missing:
        client.get_pool("pool")
    assert missing.value.error.code == "PoolNotFound"


def test_patch_replaces_what_is_sent_and_update_properties_the_rest(client: BatchClient) -> None:
    start = models.BatchStartTask(command_line="/bin/true")
    make_pool(
        client, nodes=0, start_task=start, display_name="first", metadata=[models.MetadataItem(name="a", value="1")]
    )
    client.update_pool(
        "pool",
        models.BatchPoolUpdateContent(metadata=[models.MetadataItem(name="b", value="2")], vm_size="Standard_A1"),
    )
    pool = client.get_pool("pool")
    assert [(item.name, item.value) for item in pool.metadata] == [("b", "2")]
    assert (pool.display_name, pool.vm_size, pool.start_task.wait_for_success) == ("first", "standard_a1", True)
    client.replace_pool_properties(
        "pool",
        models.BatchPoolReplaceContent(certificate_references=[], application_package_references=[], metadata=[]),
    )
    pool = client.get_pool("pool")
    assert pool.start_task is None
    assert not pool.metadata
    assert pool.target_node_communication_mode == "default"


EMPTY_PROPERTIES = {"certificateReferences": [], "applicationPackageReferences": [], "metadata": []}


def test_update_properties_waits_for_a_new_pool(client: BatchClient, emulator: EmulatorThread) -> None:
    with ThreadPoolExecutor() as background:
        with emulator.paused():
            start = models.BatchStartTask(command_line="/bin/true")
            client.create_pool(
                models.BatchPoolCreateContent(
                    id="pool", vm_size="standard_d2s_v3", virtual_machine_configuration=MACHINE, start_task=start
                )
            )
            call = background.submit(emulator.call, "POST", "/pools/pool/updateproperties", EMPTY_PROPERTIES)
            wait_until(lambda: emulator.admin("GET", "state")["heldCalls"] == 1, "the call is held")
            assert client.get_pool("pool").start_task is not None, "others are not held, and nothing is done yet"
            client.update_pool("pool", models.BatchPoolUpdateContent(display_name="meanwhile"))
            assert not call.done()
        assert call.result()[0] == 204
    pool = client.get_pool("pool")
    assert (pool.start_task, pool.display_name, pool.allocation_state) == (None, "meanwhile", "steady")
    assert pool.last_modified >= pool.allocation_state_transition_time.replace(microsecond=0)
    with emulator.paused():
        client.resize_pool("pool", models.BatchPoolResizeContent(target_dedicated_nodes=1))
        assert emulator.call("POST", "/pools/pool/updateproperties", EMPTY_PROPERTIES)[0] == 204, "held once only"


@pytest.mark.parametrize(("ending", "code"), [("delete", b"PoolBeingDeleted"), ("reset", b"PoolNotFound")])
def test_a_held_update_of_a_pool_that_is_deleted(
    client: BatchClient, emulator: EmulatorThread, ending: str, code: bytes
) -> None:
    with ThreadPoolExecutor() as background, emulator.paused():
        client.create_pool(
            models.BatchPoolCreateContent(
                id="pool", vm_size="standard_d2s_v3", virtual_machine_configuration=MACHINE, target_dedicated_nodes=1
            )
        )
        call = background.submit(emulator.call, "POST", "/pools/pool/updateproperties", EMPTY_PROPERTIES)
        wait_until(lambda: emulator.admin("GET", "state")["heldCalls"] == 1, "the call is held")
        if ending == "delete":
            client.delete_pool("pool")
        else:
            emulator.admin("POST", "reset")
        assert code in call.result()[2]


def test_patch_of_what_needs_an_empty_pool(client: BatchClient) -> None:
    make_pool(client, nodes=1)
    client.update_pool("pool", models.BatchPoolUpdateContent(display_name="any time"))
    with pytest.raises(ResourceExistsError) as caught:
        client.update_pool("pool", models.BatchPoolUpdateContent(task_slots_per_node=2))
    assert caught.value.error.code == "OperationNotValidOnPool"


def test_remove_nodes_lowers_the_target(client: BatchClient, emulator: EmulatorThread) -> None:
    make_pool(client, nodes=2)
    gone, stays = (node.id for node in client.list_nodes("pool"))
    with emulator.paused():
        client.remove_nodes("pool", models.BatchNodeRemoveContent(node_list=[gone]))
        assert client.get_pool("pool").target_dedicated_nodes == 1
        assert client.get_node("pool", gone).state == "leavingpool"
    wait_steady(client)
    assert [node.id for node in client.list_nodes("pool")] == [stays]


def test_if_match(client: BatchClient) -> None:
    make_pool(client, nodes=0)
    etag = client.get_pool("pool").e_tag
    update = models.BatchPoolUpdateContent(display_name="new")
    client.update_pool("pool", update, etag=etag, match_condition=MatchConditions.IfNotModified)
    with pytest.raises(HttpResponseError) as caught:
        client.update_pool("pool", update, etag=etag, match_condition=MatchConditions.IfNotModified)
    assert caught.value.status_code == 412


def test_secrets_are_never_returned(client: BatchClient, emulator: EmulatorThread) -> None:
    body = {
        "id": "pool",
        "vmSize": "standard_d2s_v3",
        "virtualMachineConfiguration": {
            "imageReference": {"publisher": "microsoft-dsvm", "offer": "ubuntu-hpc", "sku": "2204"},
            "nodeAgentSKUId": "batch.node.ubuntu 22.04",
            "containerConfiguration": {
                "type": "dockerCompatible",
                "containerRegistries": [{"username": "u", "password": "hush1", "registryServer": "r"}],
            },
            "extensions": [{"name": "e", "publisher": "p", "type": "t", "protectedSettings": {"k": "hush2"}}],
        },
        "userAccounts": [{"name": "me", "password": "hush3", "linuxUserConfiguration": {"sshPrivateKey": "hush4"}}],
        "mountConfiguration": [
            {
                "azureFileShareConfiguration": {
                    "accountName": "a",
                    "accountKey": "hush5",
                    "azureFileUrl": "https://a/b",
                    "relativeMountPath": "m",
                }
            }
        ],
    }
    status, _, _ = emulator.call("POST", "/pools", body)
    assert status == 201
    _, _, text = emulator.call("GET", "/pools/pool")
    assert b"hush" not in text
    pool = client.get_pool("pool")
    assert pool.user_accounts[0].elevation_level == "nonadmin"
    assert pool.mount_configuration[0].azure_file_share_configuration.relative_mount_path == "m"


@pytest.mark.parametrize(
    ("change", "code", "name"),
    [
        ({"id": "white space"}, "InvalidPropertyValue", "id"),
        ({"vmSize": None}, "MissingRequiredProperty", "vmSize"),
        ({"vmsize": "x"}, "InvalidRequestBody", None),
        ({"resizeTimeout": "PT4M"}, "InvalidPropertyValue", "resizeTimeout"),
        ({"resizeTimeout": "PT7D"}, "InvalidPropertyValue", "resizeTimeout"),
        ({"taskSlotsPerNode": 9}, "InvalidPropertyValue", "taskSlotsPerNode"),
        ({"targetDedicatedNodes": -1}, "InvalidPropertyValue", "targetDedicatedNodes"),
        ({"targetDedicatedNodes": "3"}, "InvalidRequestBody", None),
        ({"metadata": [{"name": "", "value": "x"}]}, "EmptyMetadataKey", None),
        ({"certificateReferences": [{"thumbprint": "t"}]}, "CertificateRetired", None),
        ({"networkConfiguration": {"subnetId": "subnet"}}, "InvalidPropertyValue", "subnetId"),
        (
            {"enableAutoScale": True, "targetDedicatedNodes": 1, "autoScaleFormula": "a=1;"},
            "InvalidPropertyValue",
            "targetDedicatedNodes",
        ),
        ({"autoScaleFormula": "$TargetDedicatedNodes=1;"}, "InvalidAutoScalingSettings", "autoScaleFormula"),
    ],
)
def test_wrong_bodies_are_refused(
    emulator: EmulatorThread, change: dict[str, object], code: str, name: str | None
) -> None:
    import json

    body = {
        "id": "pool",
        "vmSize": "standard_d2s_v3",
        "virtualMachineConfiguration": {
            "imageReference": {"publisher": "microsoft-dsvm", "offer": "ubuntu-hpc", "sku": "2204"},
            "nodeAgentSKUId": "batch.node.ubuntu 22.04",
        },
    }
    status, headers, text = emulator.call("POST", "/pools", body | change)
    error = json.loads(text)
    assert (status, error["code"]) == (400, code)
    assert f"RequestId:{headers['request-id']}\nTime:" in error["message"]["value"]
    if name is not None:
        assert {"key": "PropertyName", "value": name} in error["values"]
