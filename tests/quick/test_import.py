"""The manifests of `kubectl azure-batch import`: they adopt what is there, and change nothing but the marker."""

from __future__ import annotations

from typing import Any

from azure_batch_kubectl.adopting import Context, Found, imported
from support.stage import Stage

MACHINE = {
    "imageReference": {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"},
    "nodeAgentSKUId": "batch.node.ubuntu 22.04",
}
SIGNED = "https://store.blob.core.windows.net/c/f?sv=2024&sig=abcdefghijklmnop"
PLAIN = {"id": "Plain_Pool", "vmSize": "STANDARD_D4ads_v6", "virtualMachineConfiguration": MACHINE}
POOLS: list[dict[str, Any]] = [
    {**PLAIN, "targetDedicatedNodes": 1},
    {
        **PLAIN, "id": "rich", "displayName": "Rich", "targetLowPriorityNodes": 0, "taskSlotsPerNode": 4,
        "taskSchedulingPolicy": {"nodeFillType": "Pack"}, "metadata": [{"name": "team", "value": "a"}],
        "startTask": {
            "commandLine": "/bin/true", "waitForSuccess": False,
            "environmentSettings": [{"name": "A", "value": "1"}], "userIdentity": {"autoUser": {"elevationLevel": "admin"}},
        },
        "userAccounts": [{"name": "bob", "password": "S3cret-word"}],
        "networkConfiguration": {"enableAcceleratedNetworking": True},
    },
    {
        **PLAIN, "id": "signed",
        "startTask": {"commandLine": "/bin/true", "resourceFiles": [{"httpUrl": SIGNED, "filePath": "f"}]},
    },
    {**PLAIN, "id": "formula", "enableAutoScale": True, "autoScaleFormula": "$TargetDedicatedNodes = 1;"},
]  # fmt: skip
ON_POOL = {"poolInfo": {"poolId": "Plain_Pool"}}
PREPARED = {"jobPreparationTask": {"commandLine": "true"}, "jobReleaseTask": {"commandLine": "true"}}
JOBS: list[dict[str, Any]] = [
    {"id": "open", **ON_POOL},
    {
        "id": "rich", "priority": 7, "usesTaskDependencies": True, "onTaskFailure": "performExitOptionsJobAction",
        "constraints": {"maxTaskRetryCount": 2}, "commonEnvironmentSettings": [{"name": "PASSWORD", "value": "s3cret"}],
        **PREPARED, **ON_POOL,
    },
    {"id": "stopped", **ON_POOL},
]  # fmt: skip
LATER = {"schedule": {"doNotRunUntil": "2099-01-01T00:00:00Z", "recurrenceInterval": "P1D"}}
SCHEDULES: list[dict[str, Any]] = [
    {"id": "nightly", **LATER, "jobSpecification": {"priority": 3, **ON_POOL, **PREPARED}},
    {
        "id": "off",
        **LATER,
        "jobSpecification": {**ON_POOL, "commonEnvironmentSettings": [{"name": "K", "value": SIGNED}]},
    },
]
CHANGING = {"metadata", "eTag", "lastModified", "stats", "autoScaleRun"}


def everything(stage: Stage) -> Found:
    """What the account holds."""
    listed = (tuple(stage.azure.get(path)["value"]) for path in ("/pools", "/jobschedules", "/jobs"))
    return Found(*listed)


def lasting(found: Found) -> list[dict[str, Any]]:
    """All that must not change, in an order of its own."""
    return [{name: value for name, value in each.items() if name not in CHANGING} for _, each in found.by_kind()]


async def test_the_manifests_of_an_account_adopt_it_and_change_nothing(stage: Stage) -> None:
    for path, bodies in (("/pools", POOLS), ("/jobs", JOBS), ("/jobschedules", SCHEDULES)):
        for body in bodies:
            stage.azure.post(path, body)
    stage.azure.post("/jobs/stopped/disable", {"disableTasks": "requeue"})
    stage.azure.post("/jobschedules/off/disable", {})
    stage.apply(*stage.account_objects())
    await stage.run_for(1200)
    before = everything(stage)
    result = imported(before, Context({"name": "main"}))
    assert len(result.manifests) == len([*POOLS, *JOBS, *SCHEDULES])
    assert not {"S3cret-word", "s3cret", SIGNED} & set(str(result).split("'"))
    stage.apply(*result.manifests)
    short = {"BatchPool": "bp", "BatchJob": "bj", "BatchJobSchedule": "bjs"}
    for each in result.manifests:
        kind, name = short[each["kind"]], each["metadata"]["name"]
        await stage.until(lambda kind=kind, name=name: stage.status(kind, name).get("adopted"), 600)  # type: ignore[misc]
    await stage.run_for(3600)
    assert lasting(everything(stage)) == lasting(before)
    assert all(
        any(item["name"] == "azurebatch.io/owner" for item in each["metadata"])
        for _, each in everything(stage).by_kind()
    )
    await stage.restart(cluster_id="second")
    for each in result.manifests:
        kind, name = short[each["kind"]], each["metadata"]["name"]
        await stage.until(lambda kind=kind, name=name: stage.reason(kind, name) == "OwnershipConflict", 600)  # type: ignore[misc]
    assert lasting(everything(stage)) == lasting(before)
