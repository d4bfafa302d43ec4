"""What the live service was recorded doing, one test per recording.

Sources are public: Azure/azure-sdk-assets (recordings of the Python and .NET tests), Azure/azure-sdk-for-java
(``sdk/batch/microsoft-azure-batch/src/test/resources/test-recordings``) and Azure/azure-cli (``…/batch/tests/latest/recordings``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from azure_batch_emulator import EmulatorConfig
from support.emulator_thread import EmulatorThread, wait_until

UBUNTU = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"}
WINDOWS = {"publisher": "MicrosoftWindowsServer", "offer": "WindowsServer", "sku": "2016-Datacenter-smalldisk"}
LINUX_MACHINE = {"imageReference": UBUNTU, "nodeAgentSKUId": "batch.node.ubuntu 22.04"}
WINDOWS_MACHINE = {"imageReference": WINDOWS, "nodeAgentSKUId": "batch.node.windows amd64"}
SUBSCRIPTION = "b79d2be0-530c-4367-9c58-1e800bff208a"


@pytest.fixture(scope="module")
def in_subscription() -> Iterator[EmulatorThread]:
    with EmulatorThread(EmulatorConfig(port=0, subscription=SUBSCRIPTION)) as emulator:
        yield emulator


def pool(machine: dict[str, Any] = LINUX_MACHINE, **more: Any) -> dict[str, Any]:
    return {"id": "pool", "vmSize": "standard_d2_v2", "virtualMachineConfiguration": machine} | more


def post(emulator: EmulatorThread, path: str, body: Any = None) -> tuple[int, Any]:
    status, _, text = emulator.call("POST", path, body)
    return status, json.loads(text) if text else None


def get(emulator: EmulatorThread, path: str) -> Any:
    return json.loads(emulator.call("GET", path)[2])


def refusal(emulator: EmulatorThread, path: str, body: Any) -> tuple[str, list[tuple[str, str]]]:
    """Code and values of a 400, in the order of the wire."""
    status, answer = post(emulator, path, body)
    assert status == 400, answer
    return answer["code"], [(item["key"], item["value"]) for item in answer["values"]]


# -- states --


def test_a_job_that_is_being_disabled_can_be_enabled_and_terminated(emulator: EmulatorThread) -> None:
    # python/sdk/batch/azure-batch, test_batch_jobs: disable, enable 90 ms later, terminate 250 ms after that, all 202.
    assert post(emulator, "/jobs", {"id": "job", "poolInfo": {"poolId": "p"}})[0] == 201
    with emulator.paused():
        assert post(emulator, "/jobs/job/disable", {"disableTasks": "requeue"})[0] == 202
        assert get(emulator, "/jobs/job")["state"] == "disabling"
        assert post(emulator, "/jobs/job/enable")[0] == 202
        assert get(emulator, "/jobs/job")["state"] == "enabling"
    wait_until(lambda: get(emulator, "/jobs/job")["state"] == "active", "active again")
    assert post(emulator, "/jobs/job/terminate")[0] == 202


def test_a_disabled_job_is_active_as_soon_as_it_is_enabled(emulator: EmulatorThread) -> None:
    # PowerShell, TestDisableEnableTerminateJob: the list right after the call; stateTransitionTime is lastModified.
    assert post(emulator, "/jobs", {"id": "job", "poolInfo": {"poolId": "p"}})[0] == 201
    post(emulator, "/jobs/job/disable", {"disableTasks": "terminate"})
    wait_until(lambda: get(emulator, "/jobs/job")["state"] == "disabled", "disabled")
    disabled = get(emulator, "/jobs/job")
    with emulator.paused():
        assert post(emulator, "/jobs/job/enable")[0] == 202
        job = get(emulator, "/jobs/job")
    assert (job["state"], job["stateTransitionTime"]) == ("active", job["lastModified"])
    assert (job["previousState"], job["previousStateTransitionTime"]) == ("disabled", disabled["stateTransitionTime"])


def test_an_empty_job_set_to_terminatejob_can_still_be_terminated_after_enabling(emulator: EmulatorThread) -> None:
    # Java, canUpdateJobState: disabled, patched to terminatejob, enabled, still active, terminated with a reason that stands.
    assert post(emulator, "/jobs", {"id": "job", "poolInfo": {"poolId": "p"}})[0] == 201
    post(emulator, "/jobs/job/disable", {"disableTasks": "requeue"})
    wait_until(lambda: get(emulator, "/jobs/job")["state"] == "disabled", "disabled")
    assert emulator.call("PATCH", "/jobs/job", {"onAllTasksComplete": "terminatejob"})[0] == 200
    assert post(emulator, "/jobs/job/enable")[0] == 202
    wait_until(lambda: get(emulator, "/jobs/job")["state"] == "active", "active again")
    assert post(emulator, "/jobs/job/terminate", {"terminateReason": "myreason"})[0] == 202
    wait_until(lambda: get(emulator, "/jobs/job")["state"] == "completed", "completed")
    assert get(emulator, "/jobs/job")["executionInfo"]["terminateReason"] == "myreason"


# -- normalisation --


def test_the_specification_of_an_auto_pool(emulator: EmulatorThread) -> None:
    # python, test_batch_jobs: both targets 0, no certificateReferences.
    machine = LINUX_MACHINE
    specification = {"vmSize": "Standard_D2_v2", "virtualMachineConfiguration": machine}
    auto = {"poolLifetimeOption": "job", "pool": specification}
    assert post(emulator, "/jobs", {"id": "job", "poolInfo": {"autoPoolSpecification": auto}})[0] == 201
    assert get(emulator, "/jobs/job")["poolInfo"] == {
        "autoPoolSpecification": {
            "poolLifetimeOption": "job",
            "keepAlive": False,
            "pool": {
                "vmSize": "standard_d2_v2",
                "taskSlotsPerNode": 1,
                "taskSchedulingPolicy": {"nodeFillType": "Spread"},
                "resizeTimeout": "PT15M",
                "targetDedicatedNodes": 0,
                "targetLowPriorityNodes": 0,
                "enableAutoScale": False,
                "enableInterNodeCommunication": False,
                "virtualMachineConfiguration": machine | {"imageReference": UBUNTU | {"version": "latest"}},
            },
        }
    }
    pool_id = get(emulator, "/jobs/job")["executionInfo"]["poolId"]
    found = wait_until(lambda: emulator.call("GET", f"/pools/{pool_id}")[0] == 200, "the auto pool")
    assert found
    assert get(emulator, f"/pools/{pool_id}")["certificateReferences"] == []


@pytest.mark.parametrize(
    ("machine", "expected"),
    [(WINDOWS_MACHINE, {"loginMode": "batch"}), (LINUX_MACHINE, None)],
    ids=["windows", "linux"],
)
def test_users_of_windows_pools_get_a_login_mode(
    emulator: EmulatorThread, machine: dict[str, Any], expected: dict[str, str] | None
) -> None:
    # python, test_batch_create_pools.
    users = [{"name": "test-user-1", "password": "hush"}]
    assert post(emulator, "/pools", pool(machine, userAccounts=users))[0] == 201
    (user,) = get(emulator, "/pools/pool")["userAccounts"]
    assert user.get("windowsUserConfiguration") == expected
    assert "linuxUserConfiguration" not in user


def test_extensions_of_pools_and_nodes(emulator: EmulatorThread) -> None:
    # python, test_batch_compute_node_extensions: the pool's as sent; on nodes the user's first, then the service's own,
    # both with enableAutomaticUpgrade. Java, canInstallVMExtension: the status of one that is installed.
    sent = {
        "name": "secretext",
        "publisher": "Microsoft.Azure.KeyVault",
        "type": "KeyVaultForLinux",
        "typeHandlerVersion": "1.0",
        "autoUpgradeMinorVersion": True,
    }
    machine = LINUX_MACHINE | {"extensions": [sent]}
    assert post(emulator, "/pools", pool(machine, targetDedicatedNodes=1))[0] == 201
    assert get(emulator, "/pools/pool")["virtualMachineConfiguration"]["extensions"] == [sent]
    (node,) = wait_until(lambda: get(emulator, "/pools/pool/nodes")["value"], "a node")
    own = {
        "name": "batchNodeExtension",
        "publisher": "Microsoft.Azure.Extensions",
        "type": "CustomScript",
        "typeHandlerVersion": "2.0",
        "autoUpgradeMinorVersion": True,
        "enableAutomaticUpgrade": False,
    }
    found = get(emulator, f"/pools/pool/nodes/{node['id']}/extensions")["value"]
    assert [item["vmExtension"] for item in found] == [sent | {"enableAutomaticUpgrade": False}, own]
    wait_until(lambda: get(emulator, "/pools/pool/nodes")["value"][0]["state"] == "idle", "idle")
    installed = get(emulator, f"/pools/pool/nodes/{node['id']}/extensions/secretext")
    assert installed["provisioningState"] == "Succeeded"
    assert installed["instanceView"] == {
        "name": "secretext",
        "statuses": [
            {
                "code": "ProvisioningState/succeeded",
                "level": 0,
                "displayStatus": "Provisioning succeeded",
                "message": "Plugin enabled",
            }
        ],
    }


# -- refusals --


def test_an_image_id_has_one_of_three_forms(emulator: EmulatorThread) -> None:
    # python, test_batch_create_pools.
    compute = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/test/providers/Microsoft.Compute"
    wrong = f"{compute}/gallery/FakeGallery/images/FakeImage/versions/version"
    form = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.Compute"
    reason = (
        f"The specified resource id must be of the format {form}/images/{{imageName}}, "
        f"{form}/galleries/{{galleryName}}/images/{{galleryImageName}}/versions/{{galleryImageVersionName}}, "
        f"or {form}/galleries/{{galleryName}}/images/{{galleryImageName}}"
    )
    machine = {"nodeAgentSKUId": "batch.node.ubuntu 22.04"}
    body = pool(machine | {"imageReference": {"virtualMachineImageId": wrong}})
    assert refusal(emulator, "/pools", body) == (
        "InvalidPropertyValue",
        [("PropertyName", "virtualMachineImageId"), ("PropertyValue", wrong), ("Reason", reason)],
    )
    for number, right in enumerate(("images/i", "galleries/g/images/i", "galleries/g/images/i/versions/1.0.0")):
        reference = {"virtualMachineImageId": f"{compute}/{right}"}
        assert post(emulator, "/pools", pool(machine | {"imageReference": reference}) | {"id": f"p{number}"})[0] == 201


def test_a_subnet_of_another_subscription(in_subscription: EmulatorThread) -> None:
    # python, test_batch_create_pools.
    network = "resourceGroups/test/providers/Microsoft.Network/virtualNetworks/vnet1/subnets/subnet1"
    foreign = f"/subscriptions/00000000-0000-0000-0000-000000000000/{network}"
    reason = (
        "The specified subnetId is in a different subscription and cannot be used with the current Batch account in "
        f"subscription {SUBSCRIPTION}"
    )
    values = [("PropertyName", "subnetId"), ("PropertyValue", foreign), ("Reason", reason)]
    body = pool(networkConfiguration={"subnetId": foreign})
    assert refusal(in_subscription, "/pools", body) == ("InvalidPropertyValue", values)
    job = {"id": "job", "poolInfo": {"poolId": "p"}}
    job["networkConfiguration"] = {"subnetId": foreign, "skipWithdrawFromVNet": False}
    assert refusal(in_subscription, "/jobs", job) == ("InvalidPropertyValue", values)
    own = {"subnetId": f"/subscriptions/{SUBSCRIPTION.upper()}/{network}"}
    assert post(in_subscription, "/pools", pool(networkConfiguration=own))[0] == 201


def test_an_image_that_is_not_supported(emulator: EmulatorThread) -> None:
    # Inferred: the sentence of the next recording but one, ended as users of the management API report it.
    machine = LINUX_MACHINE | {"imageReference": UBUNTU | {"sku": "no-such-sku"}}
    reason = (
        "The specified imageReference with publisher canonical offer 0001-com-ubuntu-server-jammy sku no-such-sku is not "
        "supported."
    )
    assert refusal(emulator, "/pools", pool(machine)) == (
        "InvalidPropertyValue",
        [("PropertyName", "imageReference"), ("Reason", reason)],
    )


def test_an_agent_that_does_not_fit_the_image(emulator: EmulatorThread) -> None:
    # Documented: the agent must match the image. Reported: InvalidPropertyValue (hashicorp/terraform issue 36698); its values are
    # inferred. Any casing of the right one is taken.
    for agent in ("batch.node.ubuntu 24.04", "batch.node.windows amd64"):
        code, values = refusal(emulator, "/pools", pool(LINUX_MACHINE | {"nodeAgentSKUId": agent}))
        assert (code, values[:2]) == (
            "InvalidPropertyValue",
            [("PropertyName", "nodeAgentSKUId"), ("PropertyValue", agent)],
        )
    assert post(emulator, "/pools", pool(LINUX_MACHINE | {"nodeAgentSKUId": "Batch.Node.Ubuntu 22.04"}))[0] == 201


def test_an_agent_that_does_not_exist(emulator: EmulatorThread) -> None:
    # Documented: NodeAgentSKUNotFound, 404, among the error codes; that creating a pool gives it is inferred.
    custom = {"virtualMachineImageId": "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/images/i"}
    for reference in (UBUNTU, custom):
        status, answer = post(
            emulator, "/pools", pool({"imageReference": reference, "nodeAgentSKUId": "batch.node.minix 3"})
        )
        assert (status, answer["code"]) == (404, "NodeAgentSKUNotFound")
        assert "values" not in answer


def test_settings_of_windows_need_windows(emulator: EmulatorThread) -> None:
    # Documented: windowsConfiguration must not be there with a Linux image; the code is inferred.
    machine = LINUX_MACHINE | {"windowsConfiguration": {"enableAutomaticUpdates": True}}
    code, values = refusal(emulator, "/pools", pool(machine))
    assert (code, values[0]) == ("InvalidPropertyValue", ("PropertyName", "windowsConfiguration"))


def test_an_image_that_is_no_longer_listed_is_still_accepted(emulator: EmulatorThread) -> None:
    # python, test_batch_create_pools: Ubuntu 18.04 in March 2025.
    reference = {"publisher": "Canonical", "offer": "UbuntuServer", "sku": "18.04-LTS"}
    machine = {"imageReference": reference, "nodeAgentSKUId": "batch.node.ubuntu 18.04"}
    assert post(emulator, "/pools", pool(machine))[0] == 201


def test_containers_need_an_image_for_them(emulator: EmulatorThread) -> None:
    # Java, shouldFailOnCreateContainerPoolWithRegularImage: no PropertyValue among the values.
    machine = LINUX_MACHINE | {"containerConfiguration": {"type": "dockerCompatible"}}
    reason = (
        "The specified imageReference with publisher canonical offer 0001-com-ubuntu-server-jammy sku 22_04-lts does not "
        "support container feature."
    )
    assert refusal(emulator, "/pools", pool(machine)) == (
        "InvalidPropertyValue",
        [("PropertyName", "containerConfiguration"), ("Reason", reason)],
    )


def test_users_fit_the_operating_system(emulator: EmulatorThread) -> None:
    # Java, shouldFailOnCreateLinuxPoolWithWindowsConfig.
    user = {"name": "testaccount", "password": "hush", "windowsUserConfiguration": {"loginMode": "interactive"}}
    reason = (
        "The user configuration for user account 'testaccount' has a mismatch with the OS (Windows/Linux) configuration "
        "specified in VirtualMachineConfiguration"
    )
    assert refusal(emulator, "/pools", pool(userAccounts=[user])) == (
        "InvalidPropertyValue",
        [("PropertyName", "windowsUserConfiguration"), ("Reason", reason)],
    )


def test_an_image_id_excludes_a_version(emulator: EmulatorThread) -> None:
    # Reported: pulumi/pulumi-azure-native issue 3599.
    image = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/galleries/g/images/i"
    machine = LINUX_MACHINE | {"imageReference": {"virtualMachineImageId": image, "version": "latest"}}
    assert refusal(emulator, "/pools", pool(machine)) == (
        "InvalidPropertyValue",
        [
            ("PropertyName", "version"),
            ("Reason", "Specified property version can only have a value when publisher is set."),
        ],
    )


@pytest.mark.parametrize(
    ("method", "path", "phrase"),
    [
        ("GET", "/pools/none", "The specified pool does not exist."),
        ("GET", "/jobs/none/tasks/t", "The specified job does not exist."),
        ("HEAD", "/pools/none", "The specified pool does not exist."),
        (
            "GET",
            "/pools?maxresults=0",
            "Value for one of the query parameters specified in the request URI is invalid.",
        ),
    ],
)
def test_the_reason_phrase_is_the_message(emulator: EmulatorThread, method: str, path: str, phrase: str) -> None:
    # Azure/azure-cli, test_batch_*.yaml: ``status: {code: 404, message: The specified pool does not exist.}``.
    assert emulator.reason(method, path) == phrase


def test_metadata_without_a_value_comes_back_without(emulator: EmulatorThread) -> None:
    # Inferred from lists of live accounts in which items without a value were seen.
    items = [{"name": "flag"}, {"name": "null", "value": None}, {"name": "empty", "value": ""}]
    expected = [{"name": "flag"}, {"name": "null"}, {"name": "empty", "value": ""}]
    assert post(emulator, "/pools", pool(metadata=items))[0] == 201
    assert get(emulator, "/pools/pool")["metadata"] == expected
    assert post(emulator, "/jobs", {"id": "job", "poolInfo": {"poolId": "p"}, "metadata": items})[0] == 201
    assert get(emulator, "/jobs/job")["metadata"] == expected
