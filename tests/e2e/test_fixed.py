"""Each property that cannot change, at the real API server: kept it is accepted, changed or taken away it is refused with a remedy.

Which properties these are comes from the models, so that a new one cannot be forgotten here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from azure_batch_operator.api.kinds import KINDS
from e2e.conftest import job, pool, task, thing
from localcluster import LocalCluster

CONTAINER = {"imageName": "r.example/app:1"}
FILES = [{"httpUrl": "https://h.example/f", "filePath": "f"}]
OUTPUT = [{"filePattern": "*", "destination": {"container": {"containerUrl": "https://c.example/c"}},
           "uploadOptions": {"uploadCondition": "tasksuccess"}}]  # fmt: skip
# Per kind: objects that together hold every fixed property, and another value for each.
OBJECTS: dict[str, list[dict[str, Any]]] = {
    "BatchAccount": [
        thing(
            "BatchAccount", "a", endpoint="https://a.westeurope.batch.azure.com", accountName="first",
            auth={"sharedKey": {"secretRef": {"name": "s", "key": "k"}}},
        )
    ],
    "BatchPool": [pool("p", id="first")],
    "BatchJob": [
        job(
            "j", id="first", accountRef={"name": "main"}, displayName="first", onTaskFailure="noaction",
            usesTaskDependencies=True, commonEnvironmentSettings=[{"name": "A", "value": "1"}],
            jobManagerTask={"id": "m", "commandLine": "true"}, jobPreparationTask={"commandLine": "true"},
            jobReleaseTask={"commandLine": "true"}, managedBy="example.com/first",
        ),
        thing("BatchJob", "j", retryOf={"name": "first"}),
    ],
    "BatchTask": [
        task(
            "t", "j", id="first", displayName="first", containerSettings=CONTAINER, resourceFiles=FILES, outputFiles=OUTPUT,
            environmentSettings=[{"name": "A", "value": "1"}], affinityInfo={"affinityId": "a"},
            userIdentity={"username": "u"}, exitConditions={"default": {"jobAction": "none"}},
            multiInstanceSettings={"numberOfInstances": 2, "coordinationCommandLine": "true"},
            applicationPackageReferences=[{"applicationId": "a"}],
            authenticationTokenSettings={"access": ["job"]}, dependsOn={"taskIds": ["x"]}, dependsOnRefs=[{"name": "y"}],
        ),
        thing("BatchTask", "t", jobId="first", accountRef={"name": "main"}, commandLine="true", requiredSlots=2),
    ],
    "BatchJobSchedule": [
        thing(
            "BatchJobSchedule", "s", id="first", accountRef={"name": "main"}, displayName="first", schedule={},
            jobSpecification={"poolInfo": {"poolId": "p"}},
        )
    ],
}  # fmt: skip
OTHERS: dict[str, Any] = {
    "endpoint": "https://second.westeurope.batch.azure.com",
    "accountName": "second", "id": "second", "accountRef": {"name": "other"}, "displayName": "second",
    "onTaskFailure": "performexitoptionsjobaction", "usesTaskDependencies": False, "commonEnvironmentSettings": [],
    "jobManagerTask": {"id": "m", "commandLine": "false"}, "jobPreparationTask": {"commandLine": "false"},
    "jobReleaseTask": {"commandLine": "false"}, "managedBy": "example.com/second", "commandLine": "false",
    "containerSettings": {"imageName": "r.example/app:2"}, "resourceFiles": [], "outputFiles": [],
    "environmentSettings": [{"name": "A", "value": "2"}], "affinityInfo": {"affinityId": "b"}, "requiredSlots": 3,
    "userIdentity": {"username": "v"}, "exitConditions": {"default": {"jobAction": "disable"}},
    "multiInstanceSettings": {"numberOfInstances": 3, "coordinationCommandLine": "true"},
    "applicationPackageReferences": [], "authenticationTokenSettings": {"access": []},
    "dependsOn": {"taskIds": ["z"]}, "dependsOnRefs": [], "jobRef": {"name": "k"}, "jobId": "second",
    "retryOf": {"name": "second"},
}  # fmt: skip
FIXED = [
    (info.kind.value, rule.field.removeprefix("."))
    for info in KINDS.values()
    for rule in info.spec.rules
    if rule.fixed and rule.field
]


@pytest.fixture(scope="module")
def namespace(installed: LocalCluster) -> Iterator[str]:
    name = f"fixed-{uuid4().hex[:8]}"
    installed.kubectl("create", "namespace", name)
    for bodies in OBJECTS.values():
        for number, body in enumerate(bodies):
            installed.kubectl("-n", name, "create", "-f", "-", input=json.dumps(named(body, number)))
    yield name
    installed.kubectl("delete", "namespace", name, "--wait=false")


def named(body: dict[str, Any], number: int) -> dict[str, Any]:
    return body | {"metadata": {"name": f"{body['metadata']['name']}-{number}"}}


def holder(kind: str, name: str) -> dict[str, Any]:
    """The object of the kind that holds a property."""
    found = [named(body, number) for number, body in enumerate(OBJECTS[kind]) if name in body["spec"]]
    assert found, f"no {kind} here holds {name}: add it"
    return found[0]


def patch(cluster: LocalCluster, namespace: str, kind: str, name: str, value: Any) -> tuple[int, str]:
    body = json.dumps({"spec": {name: value}})
    target = holder(kind, name)["metadata"]["name"]
    done = cluster.kubectl(
        "-n", namespace, "patch", kind.lower(), target, "--type=merge", "--dry-run=server", "-p", body, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(("kind", "name"), FIXED, ids=[f"{kind}.{name}" for kind, name in FIXED])
def test_kept_it_is_accepted_and_otherwise_refused(
    installed: LocalCluster, namespace: str, kind: str, name: str
) -> None:
    value = holder(kind, name)["spec"][name]
    assert OTHERS[name] != value
    assert patch(installed, namespace, kind, name, value)[0] == 0
    for other in (OTHERS[name], None):
        code, text = patch(installed, namespace, kind, name, other)
        assert code != 0, other
        # One rule stands for all properties of a kind (decision 31), so the path is spec and the message names the property.
        assert re.search(rf"spec\.{name}\b|spec: .*\b{name} cannot be ", text), text
        if other is not None:
            assert "create" in text, "the remedy is named"
