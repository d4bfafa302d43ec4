"""What the API server denies the operator beyond RBAC: its token changes nothing of an object but finalizer and status."""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from azure_batch_operator.api.base import API_VERSION, FINALIZER
from azure_batch_operator.api.kinds import KINDS
from e2e.conftest import job, pool, task, thing
from localcluster import LocalCluster
from stage import NAMESPACE, SERVICE_ACCOUNT, wait_until

BY_THE_POLICY = "ValidatingAdmissionPolicy 'azure-batch-operator.azure-batch-operator'"
CRON = {"expression": "0 0 * * *"}
OBJECTS = {
    "bacc": thing(
        "BatchAccount",
        "main",
        endpoint="https://a.westeurope.batch.azure.com",
        auth={"sharedKey": {"secretRef": {"name": "key", "key": "key"}}},
    ),
    "bp": pool("cpu"),
    "bj": job("render"),
    "bt": task("one", "render"),
    "bjs": thing(
        "BatchJobSchedule",
        "nightly",
        cron=CRON,
        jobSpecification={"poolRef": {"name": "cpu"}, "tasks": [{"id": "a", "commandLine": "true"}]},
    ),
}
SPECS = {
    "bacc": {"rateLimit": {"callsPerSecond": 1}},
    "bp": {"targetDedicatedNodes": 100},
    "bj": {"priority": 1000},
    "bt": {"tailLines": 99},
    "bjs": {"cron": {"expression": "* * * * *"}},
}


@dataclass
class Thief:
    """Somebody with the operator's token, in a namespace with one object of each kind; the operator does not run."""

    cluster: LocalCluster
    namespace: str
    kubeconfig: Path

    def kubectl(self, *arguments: str, body: Any = None) -> tuple[bool, str]:
        """kubectl with the operator's token: whether it was allowed, and what was said."""
        text = None if body is None else json.dumps(body)
        done = self.cluster.kubectl(
            f"--kubeconfig={self.kubeconfig}", "-n", self.namespace, *arguments, input=text, check=False
        )
        return done.returncode == 0, done.stdout + done.stderr

    def user(self, *arguments: str, body: Any = None) -> str:
        """kubectl as a user."""
        text = None if body is None else json.dumps(body)
        return self.cluster.kubectl("-n", self.namespace, *arguments, input=text).stdout

    def patch(self, kind: str, patch: Any, *options: str) -> tuple[bool, str]:
        """A merge patch of the object of this kind, with the operator's token."""
        name = OBJECTS[kind]["metadata"]["name"]
        return self.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(patch), *options)

    def patch_status(self, kind: str, patch: Any) -> None:
        """The same of its status; kubectl would first ask for what the operator may not get."""
        shown = json.loads(self.user("get", kind, OBJECTS[kind]["metadata"]["name"], "-o", "json"))["metadata"]
        [plural] = [info.plural for info in KINDS.values() if info.short == kind]
        path = f"/apis/{API_VERSION}/namespaces/{self.namespace}/{plural}/{shown['name']}/status"
        token = yaml.safe_load(self.kubeconfig.read_text())["users"][0]["user"]["token"]
        request = urllib.request.Request(  # noqa: S310 - always the test's API server
            self.cluster.url + path,
            method="PATCH",
            data=json.dumps(patch).encode(),
            headers={"Content-Type": "application/merge-patch+json", "Authorization": f"Bearer {token}"},
        )
        context = ssl.create_default_context(cafile=str(self.cluster.ca_file))
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:  # noqa: S310
            assert answer.status == 200


@pytest.fixture(scope="module")
def thief(installed: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Thief]:
    folder = tmp_path_factory.mktemp("thief")
    namespace = f"test-{uuid4().hex[:8]}"
    installed.kubectl("create", "namespace", namespace)
    kubeconfig = installed.kubeconfig_for(NAMESPACE, SERVICE_ACCOUNT, folder / "operator.kubeconfig")
    thief = Thief(installed, namespace, kubeconfig)
    thief.user("apply", "-f", "-", body={"apiVersion": "v1", "kind": "List", "items": list(OBJECTS.values())})
    # A policy takes a moment to become active.
    wait_until(
        lambda: BY_THE_POLICY in thief.patch("bp", {"spec": SPECS["bp"]}, "--dry-run=server")[1], "the policy is active"
    )
    yield thief
    installed.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.mark.parametrize("kind", OBJECTS)
def test_the_spec_is_the_users(thief: Thief, kind: str) -> None:
    allowed, said = thief.patch(kind, {"spec": SPECS[kind]})
    assert not allowed
    assert BY_THE_POLICY in said
    assert "may not change the spec" in said
    thief.user(
        "patch", kind, OBJECTS[kind]["metadata"]["name"], "--type=merge", "-p", json.dumps({"spec": SPECS[kind]})
    )


SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"key": "hush"}}


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ({"data": {"key": "b3RoZXI="}}, "nothing of a Secret but its finalizer"),
        ({"data": {"more": "b3RoZXI="}}, "nothing of a Secret but its finalizer"),
        ({"data": None}, "nothing of a Secret but its finalizer"),
        ({"immutable": True}, "nothing of a Secret but its finalizer"),
        ({"metadata": {"labels": {"a": "b"}}}, "labels, annotations or owners"),
        ({"metadata": {"annotations": {"a": "b"}}}, "labels, annotations or owners"),
        ({"metadata": {"finalizers": ["example.org/mine"]}}, "no other finalizer"),
        ({"metadata": {"finalizers": [FINALIZER]}}, None),
        ({"metadata": {"finalizers": None}}, None),
    ],
)
def test_of_a_secret_it_can_change_the_finalizer_alone(thief: Thief, patch: Any, words: str | None) -> None:
    thief.user("apply", "-f", "-", body=SECRET)
    allowed, said = thief.kubectl("patch", "secret", "key", "--type=merge", "-p", json.dumps(patch))
    assert allowed is (words is None), said
    assert words is None or (BY_THE_POLICY in said and words in said)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"labels": {"queue": "fast"}}, "labels, annotations or owners"),
        ({"annotations": {"azurebatch.io/adopt": "true"}}, "labels, annotations or owners"),
        (
            {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "gone"}]},
            "labels, annotations or owners",
        ),
        ({"finalizers": ["example.org/mine"]}, "no other finalizer"),
    ],
)
def test_so_is_the_metadata(thief: Thief, metadata: dict[str, Any], words: str) -> None:
    allowed, said = thief.patch("bp", {"metadata": metadata})
    assert not allowed
    assert BY_THE_POLICY in said
    assert words in said
    thief.user("patch", "bj", "render", "--dry-run=server", "--type=merge", "-p", json.dumps({"metadata": metadata}))


def test_the_finalizer_of_another_client_stays(thief: Thief) -> None:
    thief.user(
        "patch", "bt", "one", "--type=merge", "-p", json.dumps({"metadata": {"finalizers": ["example.org/mine"]}})
    )
    both = {"metadata": {"finalizers": ["example.org/mine", FINALIZER]}}
    assert thief.patch("bt", both) == (True, "batchtask.azurebatch.io/one patched\n")
    allowed, said = thief.patch("bt", {"metadata": {"finalizers": [FINALIZER]}})
    assert not allowed
    assert "no other finalizer" in said
    assert thief.patch("bt", {"metadata": {"finalizers": ["example.org/mine"]}})[0]
    thief.user("patch", "bt", "one", "--type=merge", "-p", '{"metadata": {"finalizers": null}}')


@pytest.mark.parametrize("kind", OBJECTS)
def test_finalizer_and_status_are_the_operators(thief: Thief, kind: str) -> None:
    name = OBJECTS[kind]["metadata"]["name"]
    assert thief.patch(kind, {"metadata": {"finalizers": [FINALIZER]}})[0]
    before = json.loads(thief.user("get", kind, name, "-o", "json"))
    # A patch of the status that would take the rest along.
    thief.patch_status(kind, {"status": {"phase": "Seen"}, "spec": {"id": "x"}, "metadata": {"labels": {"a": "b"}}})
    assert thief.patch(kind, {"metadata": {"finalizers": None}})[0]
    after = json.loads(thief.user("get", kind, name, "-o", "json"))
    assert after["status"]["phase"] == "Seen"
    assert after["spec"] == before["spec"]
    assert not after["metadata"].keys() & {"finalizers", "labels"}


def test_the_largest_objects_are_compared_as_well(thief: Thief) -> None:
    """About as much as etcd takes: neither the API server's budget for an expression nor the operator's finalizer gives in."""
    command = "/bin/sh -c '" + "x" * 1000 + "'"
    setting = [{"name": f"V{n}", "value": "y"} for n in range(10)]
    tasks = [{"id": f"t{n}", "commandLine": command, "environmentSettings": setting} for n in range(800)]
    thief.user("create", "-f", "-", body=job("large", tasks=tasks))
    for finalizers in ([FINALIZER], None):
        patch = json.dumps({"metadata": {"finalizers": finalizers}})
        allowed, said = thief.kubectl("patch", "bj", "large", "--type=merge", "-p", patch)
        assert allowed, said
    allowed, said = thief.kubectl("patch", "bj", "large", "--type=json", "-p", json.dumps(
        [{"op": "replace", "path": "/spec/tasks/799/commandLine", "value": "curl thief"}]
    ))  # fmt: skip
    assert not allowed
    assert BY_THE_POLICY in said
    thief.user("delete", "bj", "large")


def of_schedule(uid: str) -> dict[str, Any]:
    owner = {
        "apiVersion": "azurebatch.io/v1alpha1",
        "kind": "BatchJobSchedule",
        "name": "nightly",
        "uid": uid,
        "controller": True,
    }
    run = job("nightly-1")
    run["metadata"]["ownerReferences"] = [owner]
    return run


def test_it_creates_runs_of_schedules_and_no_other_jobs(thief: Thief) -> None:
    allowed, said = thief.kubectl("create", "-f", "-", body=job("mine"))
    assert not allowed
    assert "may create nothing but" in said
    uid = thief.user("get", "bjs", "nightly", "-o", "jsonpath={.metadata.uid}")
    assert thief.kubectl("create", "-f", "-", body=of_schedule(uid))[0]
    assert thief.kubectl("delete", "bj", "nightly-1")[0]


def test_it_deletes_what_has_a_time_to_live_and_no_other_jobs(thief: Thief) -> None:
    for made in (job("kept"), job("short", ttlSecondsAfterFinished=1)):
        thief.user("create", "-f", "-", body=made)
    allowed, said = thief.kubectl("delete", "bj", "kept")
    assert not allowed
    assert "may delete nothing but" in said
    assert thief.kubectl("delete", "bj", "short")[0]
    thief.user("delete", "bj", "kept")


def test_another_token_of_the_same_namespace_is_none_of_its_business(thief: Thief, tmp_path: Path) -> None:
    """A ServiceAccount that may do everything is judged by RBAC alone."""
    names = ("-n", NAMESPACE)
    thief.cluster.kubectl(*names, "create", "serviceaccount", "deployer")
    thief.cluster.kubectl(
        "create",
        "clusterrolebinding",
        "deployer",
        "--clusterrole=cluster-admin",
        f"--serviceaccount={NAMESPACE}:deployer",
    )
    try:
        kubeconfig = thief.cluster.kubeconfig_for(NAMESPACE, "deployer", tmp_path / "deployer.kubeconfig")
        deployer = Thief(thief.cluster, thief.namespace, kubeconfig)
        assert deployer.patch("bp", {"spec": {"targetDedicatedNodes": 3}, "metadata": {"labels": {"a": "b"}}})[0]
    finally:
        thief.cluster.kubectl("delete", "clusterrolebinding", "deployer")
        thief.cluster.kubectl(*names, "delete", "serviceaccount", "deployer")
