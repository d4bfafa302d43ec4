"""The versions of the API: each has its own properties, operations and habits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from azure.batch import BatchClient
from azure.core.exceptions import HttpResponseError

from support.batch_bodies import POOL_BODY, add_task, finished, make_job, make_pool
from support.emulator_thread import EmulatorThread, wait_until
from support.raw_http import Answer, signed

OLD, NOW, NEW = "2024-02-01.19.0", "2024-07-01.20.0", "2025-06-01"


def call(emulator: EmulatorThread, version: str, method: str, path: str, body: Any = None) -> Answer:
    return signed(emulator, method, f"{path}?api-version={version}", body)


@pytest.mark.parametrize("version", ["2023-11-01.18.0", "2025-06-02", "x", "2024-07-01"])
def test_other_versions_are_refused(emulator: EmulatorThread, version: str) -> None:
    answer = call(emulator, version, "GET", "/pools")
    assert (answer.status, answer.code) == (400, "UnsupportedRequestVersion")


@pytest.mark.parametrize(("version", "status"), [(OLD, 201), (NOW, 400), (NEW, 400)])
def test_numbers_as_text(emulator: EmulatorThread, version: str, status: int) -> None:
    pool = POOL_BODY | {"targetDedicatedNodes": "2", "taskSlotsPerNode": "4"}
    assert call(emulator, version, "POST", "/pools", pool).status == status
    if status == 201:
        read = json.loads(call(emulator, NOW, "GET", "/pools/pool").body)
        assert (read["targetDedicatedNodes"], read["taskSlotsPerNode"]) == (2, 4)


@pytest.mark.parametrize("value", ["", "2.0", "0x2", "٢", "9" * 11, " 2"])
def test_text_that_is_no_number(emulator: EmulatorThread, value: str) -> None:
    assert call(emulator, OLD, "POST", "/pools", POOL_BODY | {"targetDedicatedNodes": value}).status == 400


def test_certificates_need_not_be_named_in_the_newest_version(emulator: EmulatorThread) -> None:
    assert call(emulator, NOW, "POST", "/pools", POOL_BODY | {"targetDedicatedNodes": 0}).status == 201
    body = {"applicationPackageReferences": [], "metadata": []}
    assert call(emulator, NOW, "POST", "/pools/pool/updateproperties", body).status == 400
    assert call(emulator, NEW, "POST", "/pools/pool/updateproperties", body).status == 204


@pytest.mark.parametrize(
    ("version", "there", "absent"),
    [
        (NOW, {"certificateReferences", "targetNodeCommunicationMode"}, {"jobDefaultOrder"}),
        (NEW, {"jobDefaultOrder"}, {"certificateReferences", "targetNodeCommunicationMode", "resourceTags"}),
    ],
)
def test_a_response_has_the_properties_of_its_version(
    emulator: EmulatorThread, version: str, there: set[str], absent: set[str]
) -> None:
    assert (
        call(emulator, NOW, "POST", "/pools", POOL_BODY | {"targetNodeCommunicationMode": "simplified"}).status == 201
    )
    for path in ("/pools/pool", "/pools"):
        text = call(emulator, version, "GET", path).body.decode()
        assert all(f'"{name}"' in text for name in there)
        assert not any(f'"{name}"' in text for name in absent)


def test_properties_of_a_newer_version_are_unknown(emulator: EmulatorThread) -> None:
    pool = POOL_BODY | {"taskSchedulingPolicy": {"nodeFillType": "pack", "jobDefaultOrder": "creationtime"}}
    assert call(emulator, NOW, "POST", "/pools", pool).code == "InvalidRequestBody"
    assert call(emulator, NEW, "POST", "/pools", pool).status == 201
    assert json.loads(call(emulator, NEW, "GET", "/pools/pool").body)["taskSchedulingPolicy"] == {
        "jobDefaultOrder": "creationtime",
        "nodeFillType": "Pack",
    }
    assert json.loads(call(emulator, NOW, "GET", "/pools/pool").body)["taskSchedulingPolicy"] == {
        "nodeFillType": "Pack"
    }


def test_what_an_older_version_can_patch(emulator: EmulatorThread) -> None:
    assert call(emulator, NOW, "POST", "/pools", POOL_BODY | {"targetDedicatedNodes": 0}).status == 201
    assert call(emulator, OLD, "PATCH", "/pools/pool", {"displayName": "x"}).code == "InvalidRequestBody"
    assert call(emulator, OLD, "PATCH", "/pools/pool", {"metadata": []}).status == 200
    assert call(emulator, NOW, "PATCH", "/pools/pool", {"displayName": "x"}).status == 200


@pytest.mark.parametrize(
    ("version", "method", "path", "status"),
    [
        (OLD, "POST", "/pools/pool/nodes/n/start", 404),
        (OLD, "POST", "/pools/pool/nodes/n/deallocate", 404),
        (OLD, "POST", "/pools/pool/nodes/n/reimage", 409),
        (NOW, "GET", "/certificates", 400),
        (NEW, "GET", "/certificates", 404),
    ],
)
def test_operations_by_version(emulator: EmulatorThread, version: str, method: str, path: str, status: int) -> None:
    answer = call(emulator, version, method, path)
    assert answer.status == status
    code = {400: "CertificateRetired", 404: "ResourceNotFound", 409: "OperationNotValidOnNode"}[status]
    assert answer.code == code


def test_values_that_were_read_can_be_written_back(client: BatchClient) -> None:
    """Reports of users of the official client: the body of a GET has OData annotations and read-only members."""
    make_pool(client)
    make_job(client)
    add_task(client, "t", "sleep 20")
    job = client.get_job("job")
    assert "odata.metadata" in job
    job.priority = 7
    client.replace_job("job", job)
    assert client.get_job("job").priority == 7
    task = client.get_task("job", "t")
    task.constraints.max_task_retry_count = 3
    client.replace_task("job", "t", task)
    assert client.get_task("job", "t").constraints.max_task_retry_count == 3
    client.terminate_task("job", "t")
    finished(client, "t")


def test_members_that_are_no_annotations_are_refused(client: BatchClient) -> None:
    make_job(client)
    job = client.get_job("job")
    job["priorty"] = 7
    with pytest.raises(HttpResponseError) as caught:
        client.replace_job("job", job)
    assert caught.value.error.code == "InvalidRequestBody"


def with_security(kind: str, encryption: str | None = None) -> dict[str, Any]:
    profile: dict[str, Any] = {"securityType": kind, "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": True}}
    machine = POOL_BODY["virtualMachineConfiguration"] | {"securityProfile": profile}
    if encryption is not None:
        disk = {"storageAccountType": "premium_lrs", "securityProfile": {"securityEncryptionType": encryption}}
        machine |= {"osDisk": {"managedDisk": disk}}
    return POOL_BODY | {"targetDedicatedNodes": 0, "virtualMachineConfiguration": machine}


@pytest.mark.parametrize(
    ("version", "body", "name", "others"),
    [
        (OLD, with_security("confidentialVM"), "securityType", "trustedlaunch"),
        (
            NOW,
            with_security("confidentialVM", "DiskWithVMGuestState"),
            "securityEncryptionType",
            "NonPersistedTPM, VMGuestStateOnly",
        ),
    ],
)
def test_values_of_a_newer_version_are_unknown(
    emulator: EmulatorThread, version: str, body: dict[str, Any], name: str, others: str
) -> None:
    """Enumerations of azure-batch 14.2.0, 15.0.0b2 and 15.1.0, compared."""
    answer = call(emulator, version, "POST", "/pools", body)
    assert (answer.status, answer.code) == (400, "InvalidPropertyValue")
    values = {item["key"]: item["value"] for item in json.loads(answer.body)["values"]}
    assert (values["PropertyName"], values["Reason"]) == (name, f"The value must be one of {others}.")
    assert call(emulator, NEW, "POST", "/pools", body).status == 201
    assert f'"{name}"' in call(emulator, NEW, "GET", "/pools/pool").body.decode()
    for path in ("/pools/pool", "/pools"):
        assert f'"{name}"' not in call(emulator, version, "GET", path).body.decode()


def test_states_of_nodes_that_an_older_version_does_not_have(emulator: EmulatorThread) -> None:
    assert call(emulator, NOW, "POST", "/pools", POOL_BODY).status == 201

    def node(version: str) -> dict[str, Any]:
        nodes: list[dict[str, Any]] = json.loads(call(emulator, version, "GET", "/pools/pool/nodes").body)["value"]
        return nodes[0] if nodes else {}

    wait_until(lambda: node(NOW).get("state") == "idle", "the node is idle")
    assert call(emulator, NOW, "POST", f"/pools/pool/nodes/{node(NOW)['id']}/deallocate", {}).status == 202
    assert (node(NOW)["state"] in ("deallocating", "deallocated"), node(OLD)["state"]) == (True, "offline")
    wait_until(lambda: node(NOW)["state"] == "deallocated", "it is deallocated")
    assert node(OLD)["state"] == "offline"
    # Lists and counts go by what is shown; counts are a little behind.
    expected = ((OLD, "offline", 1), (OLD, "deallocated", 0), (NOW, "offline", 0), (NOW, "deallocated", 1))
    for version, state, number in expected:
        query = f"?api-version={version}&$filter=state%20eq%20'{state}'"
        assert len(json.loads(signed(emulator, "GET", f"/pools/pool/nodes{query}").body)["value"]) == number

        def counted(version: str = version, state: str = state) -> Any:
            (counts,) = json.loads(call(emulator, version, "GET", "/nodecounts").body)["value"]
            return counts["dedicated"]["total"], counts["dedicated"].get(state, 0)

        wait_until(lambda counted=counted, number=number: counted() == (1, number), f"{state} is counted")


@pytest.mark.parametrize(
    ("version", "path", "refused"),
    [
        (NEW, "resourceTags", "resourceTags"),
        (NOW, "resourceTags", None),
        (NEW, "id,targetNodeCommunicationMode", "targetNodeCommunicationMode"),
        (NOW, "taskSchedulingPolicy/jobDefaultOrder", "jobDefaultOrder"),
        (NEW, "taskSchedulingPolicy/jobDefaultOrder", None),
        (NOW, "nothing", "nothing"),
        # Whatever names users give.
        (NOW, "resourceTags/ipTags", None),
        (OLD, "virtualMachineConfiguration/extensions/settings/deallocated", None),
        (NEW, "virtualMachineConfiguration/extensions/resourceTags", "resourceTags"),
    ],
)
def test_what_can_be_selected(emulator: EmulatorThread, version: str, path: str, refused: str | None) -> None:
    assert call(emulator, NOW, "POST", "/pools", POOL_BODY).status == 201
    for url in ("/pools", "/pools/pool"):
        answer = signed(emulator, "GET", f"{url}?api-version={version}&$select={path}")
        assert answer.status == (200 if refused is None else 400)
        if refused is not None:
            assert answer.code == "InvalidQueryParameterValue"
            assert f"The property '{refused}' does not exist." in answer.body.decode()


@pytest.mark.parametrize(
    ("version", "body", "hint"),
    [
        (NOW, POOL_BODY | {"taskSchedulingPolicy": {"nodeFillType": "pack", "jobDefaultOrder": "none"}}, ""),
        (NOW, POOL_BODY | {"taskSchedulingPolicy": {"nodeFillType": "pack", "joBDefaultOrder": "none"}}, ""),
        (NEW, POOL_BODY | {"resourceTags": {"a": "b"}}, ""),
        (NOW, POOL_BODY | {"resourcetags": {"a": "b"}}, " Did you mean 'resourceTags'?"),
    ],
)
def test_no_suggestion_is_a_property_that_does_not_exist(
    emulator: EmulatorThread, version: str, body: dict[str, Any], hint: str
) -> None:
    answer = call(emulator, version, "POST", "/pools", body)
    (reason,) = [item["value"] for item in json.loads(answer.body)["values"]]
    assert (answer.status, reason.endswith(f"does not exist on the type of this object.{hint}")) == (400, True)
