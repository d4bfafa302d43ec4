"""import: the manifest of each resource, what is left out of it, and what gets none."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_kubectl.adopting import Context, Found, imported, object_name

ACCOUNT = Context({"name": "main"})
MACHINE = {
    "imageReference": {"publisher": "canonical", "offer": "ubuntu", "sku": "22_04", "version": "latest"},
    "nodeAgentSKUId": "batch.node.ubuntu 22.04",
}
POOL = {"id": "cpu", "vmSize": "standard_d2s_v3", "virtualMachineConfiguration": MACHINE, "targetDedicatedNodes": 0}
WHATEVER_IT_HAS = {"state": "active", "url": "https://x", "eTag": "0x1", "lastModified": "2026-01-01T00:00:00Z"}


def spec(**remote: Any) -> Any:
    """The spec of the only manifest for a pool."""
    found = imported(Found(pools=({**POOL, **WHATEVER_IT_HAS, **remote},)), ACCOUNT)
    (made,) = found.manifests
    assert made["metadata"]["annotations"] == {"azurebatch.io/adopt": "true"}
    return made["spec"], found.notes


def test_a_pool_is_written_without_what_says_nothing() -> None:
    machine = {**MACHINE, "imageReference": {"publisher": "canonical", "offer": "ubuntu", "sku": "22_04"}}
    wanted = {
        "accountRef": {"name": "main"},
        "vmSize": "standard_d2s_v3",
        "virtualMachineConfiguration": machine,
        "targetDedicatedNodes": 0,
    }
    assert spec(taskSlotsPerNode=1, enableAutoScale=False, resizeTimeout="PT15M") == (wanted, ())
    assert spec(taskSlotsPerNode=4)[0]["taskSlotsPerNode"] == 4


def test_with_a_formula_there_are_no_targets() -> None:
    found, _ = spec(
        enableAutoScale=True, autoScaleFormula="$TargetDedicatedNodes=1", autoScaleEvaluationInterval="PT5M"
    )
    assert "targetDedicatedNodes" not in found
    assert found["autoScaleFormula"] == "$TargetDedicatedNodes=1"
    assert found["autoScaleEvaluationInterval"] == "PT5M"


def test_required_values_stay_although_they_are_zero_or_false() -> None:
    disk = {"lun": 0, "diskSizeGB": 10, "caching": "none"}
    found, _ = spec(virtualMachineConfiguration={**MACHINE, "dataDisks": [disk]})
    assert found["virtualMachineConfiguration"]["dataDisks"] == [{"lun": 0, "diskSizeGB": 10}]


SIGNED = "https://store.blob.core.windows.net/c/f?sv=2024&sig=abcdefghijklmnop"
SHARE = {"accountName": "store", "azureFileUrl": "https://store.file.core.windows.net/s", "relativeMountPath": "s"}


EXTENSION = {"name": "e", "publisher": "p", "type": "t"}


def test_settings_of_an_extension_without_a_secret_stay() -> None:
    certificates = {"pollingIntervalInS": "3600", "observedCertificates": ["https://vault.example/secrets/cert"]}
    settings = {"secretsManagementSettings": certificates, "secretUri": "https://vault.example/x", "maxTokens": "7"}
    extensions = [EXTENSION | {"settings": settings}]
    found, notes = spec(virtualMachineConfiguration={**MACHINE, "extensions": extensions})
    assert found["virtualMachineConfiguration"]["extensions"] == extensions
    assert notes == ()


@pytest.mark.parametrize(
    ("member", "path"),
    [
        ({"startTask": {"commandLine": "x", "resourceFiles": [{"httpUrl": SIGNED, "filePath": "f"}]}}, "startTask"),
        ({"startTask": {"commandLine": "x", "environmentSettings": [{"name": "PASSWORD", "value": "s3cr3t"}]}}, "startTask"),
        ({"startTask": {"commandLine": "x", "environmentSettings": [{"name": "APP_TOKEN", "value": "s3cr3t"}]}}, "startTask"),
        ({"userAccounts": [{"name": "bob"}]}, "userAccounts"),
        ({"mountConfiguration": [{"azureFileShareConfiguration": SHARE}]}, "mountConfiguration"),
        (
            {"virtualMachineConfiguration": {
                **MACHINE, "containerConfiguration": {"type": "c", "containerRegistries": [{"username": "u"}]}
            }},
            "virtualMachineConfiguration.containerConfiguration",
        ),
        (
            {"virtualMachineConfiguration": {**MACHINE, "extensions": [EXTENSION | {"settings": {"storageAccountKey": "s3cr3t"}}]}},
            "virtualMachineConfiguration.extensions",
        ),
        (
            {"virtualMachineConfiguration": {**MACHINE, "extensions": [EXTENSION | {"settings": {"a": [{"apiToken": "s3cr3t"}]}}]}},
            "virtualMachineConfiguration.extensions",
        ),
    ],
    ids=["signature", "variable", "named-variable", "user", "share", "registry", "settings", "inner-settings"],
)  # fmt: skip
def test_what_holds_or_needs_a_secret_is_left_out_and_named(member: dict[str, Any], path: str) -> None:
    found, notes = spec(**member)
    assert not {"sig=", "s3cr3t", "bob"} & set(str(found).split())
    assert "abcdefghijklmnop" not in f"{found}{notes}"
    assert "s3cr3t" not in f"{found}{notes}"
    assert notes == (
        f"bp/cpu: spec.{path} is left out, because it contains or needs a secret; Azure Batch keeps its value",
    )
    assert path.split(".")[-1] not in str(found)


def test_a_registry_or_mount_with_an_identity_needs_no_secret() -> None:
    registry = {"registryServer": "r.azurecr.io", "identityReference": {"resourceId": "/subscriptions/x"}}
    containers = {"type": "dockerCompatible", "containerRegistries": [registry]}
    found, notes = spec(virtualMachineConfiguration={**MACHINE, "containerConfiguration": containers})
    assert found["virtualMachineConfiguration"]["containerConfiguration"] == containers
    assert notes == ()


def test_jobs_and_schedules_refer_to_the_pool_that_is_imported_with_them() -> None:
    on_pool = {"poolInfo": {"poolId": "CPU"}}
    elsewhere = {"poolInfo": {"poolId": "other"}}
    found = imported(
        Found(
            (POOL,),
            ({"id": "nightly", "state": "disabled", "schedule": {"recurrenceInterval": "PT1H"}, "jobSpecification": on_pool},),
            ({"id": "Render_1", "priority": 0, "maxParallelTasks": -1, **on_pool}, {"id": "b", "priority": 5, **elsewhere}),
        ),
        ACCOUNT,
    )  # fmt: skip
    specs = {(each["kind"], each["metadata"]["name"]): each["spec"] for each in found.manifests}
    assert specs["BatchJobSchedule", "nightly"] == {
        "schedule": {"recurrenceInterval": "PT1H"},
        "jobSpecification": {"poolRef": {"name": "cpu"}},
        "suspend": True,
    }
    assert specs["BatchJob", "render-1"] == {"id": "Render_1", "poolRef": {"name": "cpu"}}
    assert specs["BatchJob", "b"] == {"accountRef": {"name": "main"}, "priority": 5, **elsewhere}


def test_what_somebody_owns_or_the_service_made_gets_no_manifest() -> None:
    owner = {"name": "azurebatch.io/owner", "value": "c/team/BatchPool/mine/uid/owned"}
    pools = (
        {**POOL, "id": "owned", "metadata": [owner]},
        {**POOL, "id": "going", "state": "deleting"},
        {**POOL, "id": "auto_5D2D7C5C-1111-2222-3333-444455556666"},
    )
    found = imported(Found(pools, (), ({"id": "nightly:job-1", "poolInfo": {"poolId": "p"}},)), ACCOUNT)
    assert found.manifests == ()
    assert found.notes == (
        "bp/owned is skipped: BatchPool team/mine owns it",
        "bp/going is skipped: it is deleting",
        "bp/auto_5D2D7C5C-1111-2222-3333-444455556666 is skipped: Azure Batch created it for a job",
        "bj/nightly:job-1 is skipped: its job schedule created it",
    )


def test_metadata_of_the_operator_are_not_copied() -> None:
    items = [{"name": "team", "value": "a"}, {"name": "azurebatch.io/applied", "value": "x=1"}]
    assert spec(metadata=items)[0]["metadata"] == [{"name": "team", "value": "a"}]


@pytest.mark.parametrize(
    ("id_", "taken", "name"),
    [
        ("cpu", (), "cpu"),
        ("Render_Farm", (), "render-farm"),
        ("__", (), "x"),
        ("a_b", ("a-b", "a-b-2"), "a-b-3"),
        ("x" * 64, (), "x" * 63),
        ("x" * 64, ("x" * 63,), "x" * 61 + "-2"),
    ],
)
def test_names_of_objects(id_: str, taken: tuple[str, ...], name: str) -> None:
    assert object_name(id_, taken) == name


def test_what_a_kind_cannot_hold_is_named() -> None:
    found = imported(Found(jobs=({"id": "odd", "poolInfo": {"poolId": "p"}, "priority": 5000},)), ACCOUNT)
    assert found.manifests == ()
    assert found.notes == (
        "bj/odd is skipped, because a BatchJob has no place for priority: write the manifest by hand",
    )
