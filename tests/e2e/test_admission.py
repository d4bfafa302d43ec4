"""What `kubectl apply` refuses by itself, with the operator switched off: each rule with an accepting and a refusing manifest."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from e2e.conftest import job, pool, task, thing
from localcluster import LocalCluster

SWEEP = {"parametricSweep": {"parameterSets": [{"start": 1, "end": 3}]}, "repeatTask": {"commandLine": "r {0}"}}
AUTH = {"sharedKey": {"secretRef": {"name": "s", "key": "k"}}}


def account(**spec: Any) -> dict[str, Any]:
    return thing("BatchAccount", "a", **({"endpoint": "https://a.westeurope.batch.azure.com", "auth": AUTH} | spec))


def sweep(*sets: dict[str, Any]) -> dict[str, Any]:
    return job("j", taskFactory=SWEEP | {"parametricSweep": {"parameterSets": list(sets)}})


@pytest.fixture(scope="module")
def namespace(installed: LocalCluster) -> Iterator[str]:
    name = f"admission-{uuid4().hex[:8]}"
    installed.kubectl("create", "namespace", name)
    yield name
    installed.kubectl("delete", "namespace", name, "--wait=false")


def apply(cluster: LocalCluster, namespace: str, body: dict[str, Any], *options: str) -> tuple[int, str]:
    done = cluster.kubectl("-n", namespace, "apply", "-f", "-", *options, input=json.dumps(body), check=False)
    return done.returncode, done.stdout + done.stderr


PROFILE: dict[str, Any] = {"maximum": 9, "pendingTasks": {}}
HOURS: dict[str, Any] = {"start": 8, "end": 18}
BY_CLOCK: dict[str, Any] = {"maximum": 9, "minimum": 9, "spotFirst": True, "workHours": HOURS}
GALLERY = {"virtualMachineImageId": "/subscriptions/x/resourceGroups/y"}


def profiled(profile: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return pool("p", **({"targetDedicatedNodes": None, "autoScaleProfile": profile} | spec))


def reboot(*states: str) -> dict[str, Any]:
    return thing("BatchOperation", "o", poolRef={"name": "p"}, rebootNode={"nodes": {"states": list(states)}})


def in_zone(zone: str) -> dict[str, Any]:
    spec = {"poolRef": {"name": "p"}, "tasks": [{"id": "a", "commandLine": "true"}]}
    return thing("BatchJobSchedule", "s", cron={"expression": "0 2 * * *", "timeZone": zone}, jobSpecification=spec)


ACCEPTED = [
    profiled(PROFILE),
    profiled(BY_CLOCK | {"evaluationInterval": "PT10M"}),
    pool("p", maxIdle="PT30M", nodeRemediation={"startTaskFailed": "Reboot", "unusable": "Remove", "maxPerHour": 3}),
    pool("p", deletionPolicy="DeleteWhenIdle", updateStrategy="Recreate", startTaskUpdate="Reboot"),
    pool("p", pricesFrom={"name": "prices", "key": "prices.yaml", "currency": "EUR"}),
    pool("p", virtualMachineConfiguration={"imageReference": {"publisher": "p", "offer": "o", "sku": "s"}}),
    account(),
    account(endpoint="http://127.0.0.1:10100", accountName="devaccount"),
    account(endpoint="https://a.westeurope.batch.azure.com:443/", allowedNamespaces={"names": ["team-a"]}),
    pool("p"),
    pool("p", id="My_Pool-1", resizeTimeout="PT10M", taskSchedulingPolicy={"nodeFillType": "Pack"}),
    job("j", tasks=[{"id": "a", "commandLine": ""}], onAllTasksComplete="terminateJob", priority=-1000),
    job("j", taskFactory=SWEEP | {"mergeTask": {"commandLine": "m"}}),
    sweep({"start": 3, "end": 1, "step": -1}, {"values": ["a", 7]}),
    thing("BatchJob", "j", poolInfo={"poolId": "p"}, accountRef={"name": "a", "namespace": "other"}),
    reboot("unusable", "startTaskFailed"),
    in_zone("Etc/GMT+5"),
    in_zone("America/Port-au-Prince"),
    task("t", "j", dependsOn={"taskIds": ["a"], "taskIdRanges": [{"start": 1, "end": 2}]}),
    task(
        "t",
        "j",
        resourceFiles=[{"httpUrl": "https://x/y", "filePath": "y"}],
        constraints={"maxWallClockTime": "P1DT2H"},
    ),
]

REFUSED = [
    (account(endpoint="http://a.westeurope.batch.azure.com"), "endpoint must be https://"),
    (account(endpoint="https://a.westeurope.batch.azure.com/jobs"), "without a path"),
    (account(endpoint="http://127.0.0.1:10100"), "accountName is required"),
    (account(auth={}), "auth must contain exactly one of"),
    (account(rateLimit={"callsPerSecond": 0}), "rateLimit.callsPerSecond"),
    (pool("p", id="no spaces"), "spec.id"),
    (pool("p" * 65), "cannot be the ID in Azure Batch"),
    (pool("p.q"), "add spec.id"),
    (pool("p", targetDedicatedNodes=-1), "spec.targetDedicatedNodes"),
    (pool("p", resizeTimeout="10 minutes"), "spec.resizeTimeout"),
    (pool("p", taskSlotsPerNode=0), "spec.taskSlotsPerNode"),
    (pool("p", taskSchedulingPolicy={"nodeFillType": "Scatter"}), "(?i:spread|pack)"),
    (pool("p", vmsize="x"), 'unknown field "spec.vmsize"'),
    (
        pool("p", virtualMachineConfiguration={"nodeAgentSKUId": "x", "imageReference": {"publisher": "p"}}),
        "give publisher, offer and sku",
    ),
    (profiled(PROFILE, targetLowPriorityNodes=1), "autoScaleProfile sets the number of nodes"),
    (
        profiled(PROFILE, enableAutoScale=True, autoScaleFormula="$a=1;"),
        "autoScaleProfile sets the number of nodes",
    ),
    (profiled({"maximum": 9}), "give either pendingTasks or workHours"),
    (profiled(PROFILE | {"minimum": 10}), "minimum must not be greater than maximum"),
    (profiled(BY_CLOCK | {"workHours": HOURS | {"end": 8}}), "end must be later than start"),
    (profiled(PROFILE | {"evaluationInterval": "PT1M"}), "evaluationInterval must be at least PT5M"),
    (profiled(PROFILE, maxIdle="PT1H"), "maxIdle is only for pools of fixed size"),
    (pool("p", maxIdle="PT299S"), "maxIdle must be at least PT5M"),
    (pool("p", updateStrategy="Now"), "spec.updateStrategy"),
    (pool("p", deletionPolicy="Keep"), "spec.deletionPolicy"),
    (pool("p", nodeRemediation={"unusable": "Reimage"}), "spec.nodeRemediation.unusable"),
    (pool("p", nodeRemediation={"unusable": "Reboot"}), "set unusable to Remove"),
    (pool("p", virtualMachineConfiguration={"imageReference": GALLERY}), "nodeAgentSKUId is required"),
    (job("j", poolInfo={"poolId": "p"}), "give either poolRef"),
    (thing("BatchJob", "j", poolInfo={"poolId": "p"}), "accountRef is required with poolInfo"),
    (job("j", priority=1001), "spec.priority"),
    (job("j", onAllTasksComplete="stop"), "(?i:noaction|terminatejob)"),
    (job("j", tasks=[{"id": "a", "commandLine": ""}, {"id": "a", "commandLine": ""}]), "Duplicate value"),
    (job("j", tasks=[{"id": "a"}]), "spec.tasks[0].commandLine"),
    (sweep({"start": 1}), "give either start and end of a range, or values"),
    (sweep({"start": 1, "end": 2, "values": ["a"]}), "give either start and end of a range, or values"),
    (sweep({"start": 1, "end": 2, "step": 0}), "step must not be 0"),
    (sweep({"start": 2, "end": 1}), "end cannot be reached"),
    (sweep({"values": []}), "values must not be empty"),
    (sweep(), "parameterSets"),
    (reboot("idle", "broken"), "spec.rebootNode.nodes.states[1]"),
    (in_zone("Mars/Olympus"), "unknown time zone Mars/Olympus"),
    (in_zone("+02:00"), "must be a name such as Europe/Berlin"),
    (in_zone("Local"), "must be a name such as"),
    (in_zone(""), "spec.cron.timeZone"),
    (task("t", "j", requiredSlots=0), "spec.requiredSlots"),
    (task("t", "j", resourceFiles=[{"httpUrl": "https://x/y"}]), "filePath is required with httpUrl"),
    (
        task("t", "j", resourceFiles=[{"httpUrl": "https://x", "filePath": "y", "storageContainerUrl": "https://z"}]),
        "give exactly one of",
    ),
    (
        task("t", "j", userIdentity={"username": "u", "autoUser": {"scope": "pool"}}),
        "give username or autoUser, not both",
    ),
    (task("t", "j", constraints={"maxWallClockTime": "PT7D"}), "spec.constraints.maxWallClockTime"),
]


@pytest.mark.parametrize("body", ACCEPTED, ids=str)
def test_accepted(installed: LocalCluster, namespace: str, body: dict[str, Any]) -> None:
    code, text = apply(installed, namespace, body, "--dry-run=server")
    assert code == 0, text


@pytest.mark.parametrize(("body", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_refused_with_the_field_and_the_remedy(
    installed: LocalCluster, namespace: str, body: dict[str, Any], words: str
) -> None:
    code, text = apply(installed, namespace, body, "--dry-run=server")
    assert code != 0
    assert words in text


CHANGES = [
    (pool("p", upgradePolicy={"mode": "manual"}), {"upgradePolicy": None}, "upgradePolicy cannot be removed"),
    (pool("p", resourceTags={"a": "b"}), {"resourceTags": None}, "resourceTags cannot be removed"),
    (
        pool("p", networkConfiguration={"enableAcceleratedNetworking": True}),
        {"networkConfiguration": None},
        "networkConfiguration cannot be removed",
    ),
    (pool("p"), {"id": "other"}, "id cannot be changed"),
    (pool("p"), {"accountRef": {"name": "other"}}, "accountRef cannot be changed"),
    (job("j"), {"displayName": "other"}, "displayName cannot be changed"),
    (task("t", "j"), {"commandLine": "false"}, "delete this BatchTask and create a new one"),
    (account(), {"accountName": "other"}, "accountName cannot be changed"),
    (account(), {"endpoint": "https://b.westeurope.batch.azure.com"}, "Create another BatchAccount"),
]
ALLOWED_CHANGES = [
    (pool("p"), {"targetDedicatedNodes": 9}),
    (pool("p"), {"vmSize": "Standard_D8ads_v6", "startTask": {"commandLine": "true"}, "updateStrategy": "Drain"}),
    (pool("p"), {"targetDedicatedNodes": None, "autoScaleProfile": PROFILE}),
    (pool("p", networkConfiguration={}), {"networkConfiguration": {"enableAcceleratedNetworking": True}}),
    (job("j"), {"priority": 7, "maxParallelTasks": 3}),
    (job("j"), {"poolRef": {"name": "other"}, "tasks": [{"id": "a", "commandLine": ""}]}),
    (account(), {"rateLimit": {"callsPerSecond": 5}}),
]


@pytest.mark.parametrize(("body", "change", "words"), CHANGES, ids=[words for *_, words in CHANGES])
def test_impossible_changes_are_refused(
    installed: LocalCluster, namespace: str, body: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    first = _unique(body)
    assert apply(installed, namespace, first)[0] == 0
    code, text = apply(installed, namespace, first | {"spec": first["spec"] | change})
    assert code != 0
    assert words in text
    assert "create" in text


@pytest.mark.parametrize(("body", "change"), ALLOWED_CHANGES, ids=str)
def test_possible_changes_are_accepted(
    installed: LocalCluster, namespace: str, body: dict[str, Any], change: dict[str, Any]
) -> None:
    first = _unique(body)
    assert apply(installed, namespace, first)[0] == 0
    code, text = apply(installed, namespace, first | {"spec": first["spec"] | change})
    assert code == 0, text


def test_a_new_object_does_not_appear_finished(installed: LocalCluster, namespace: str) -> None:
    body = _unique(pool("p"))
    apply(installed, namespace, body)
    shown = json.loads(installed.kubectl("-n", namespace, "get", "bp", body["metadata"]["name"], "-o", "json").stdout)
    assert shown["status"] == {"observedGeneration": -1, "phase": "Pending"}


def _unique(body: dict[str, Any]) -> dict[str, Any]:
    body = copy.deepcopy(body)
    body["metadata"]["name"] = f"{body['metadata']['name']}-{uuid4().hex[:8]}"
    return body
