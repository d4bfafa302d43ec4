"""The stage of the end-to-end tests: one real control plane for the session; per test a namespace, an emulator and an operator.

The operator runs as a process under a token of its ServiceAccount, with exactly the rights of `manifests/base`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from azure.batch import BatchClient
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.rest import HttpRequest

from localcluster import WRITE_VERBS, LocalCluster, LocalClusterError
from stage import Emulator, Operator, install, wait_until

API_VERSION = "azurebatch.io/v1alpha1"
GROUP = "azurebatch.io"


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A running LocalCluster. Tests share it: each makes namespaces of its own."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    cluster = LocalCluster(tmp_path_factory.mktemp("cluster"))
    try:
        # The first time there are minutes of building to watch.
        with capture.global_and_fixture_disabled():
            cluster.start()
    except LocalClusterError as error:
        pytest.exit(f"The control plane for the tests does not start.\n{error}", returncode=3)
    yield cluster
    cluster.stop()


@pytest.fixture
def bare(cluster: LocalCluster, tmp_path: Path) -> Iterator[LocalCluster]:
    """A control plane of the test's own, on which nothing is installed."""
    with LocalCluster(tmp_path / "bare", programs=cluster.programs) as own:
        yield own


@pytest.fixture(scope="session")
def installed(cluster: LocalCluster) -> LocalCluster:
    """The cluster with CRDs and RBAC applied."""
    install(cluster)
    return cluster


@dataclass
class Stage:
    """One test's share of the world."""

    cluster: LocalCluster
    namespace: str
    folder: Path
    emulator: Emulator
    operator: Operator
    arguments: tuple[str, ...] = ()
    started: list[Emulator | Operator] = field(default_factory=list)

    # --- objects ---

    def kubectl(self, *arguments: str, **options: Any) -> str:
        """kubectl in the test's namespace; its output."""
        return self.cluster.kubectl("-n", self.namespace, *arguments, **options).stdout

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "-f", "-", input=json.dumps(listed))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """An object; empty if there is none."""
        text = self.kubectl("get", kind, name, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text else {}

    def status(self, kind: str, name: str) -> dict[str, Any]:
        """Its status."""
        status: dict[str, Any] = self.get(kind, name).get("status", {})
        return status

    def condition(self, kind: str, name: str, type_: str = "Ready") -> dict[str, Any]:
        """One of its conditions; empty if it is not there."""
        found = [each for each in self.status(kind, name).get("conditions", []) if each["type"] == type_]
        return found[0] if found else {}

    def wait(self, kind: str, name: str, condition: str, seconds: float = 60.0) -> None:
        """`kubectl wait --for=condition=…`, as a user would."""
        self.kubectl("wait", f"--for=condition={condition}", f"{kind}/{name}", f"--timeout={seconds:.0f}s")

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
        """Wait for something to become true; the operator's log is told if it does not."""
        try:
            return wait_until(condition, what, seconds)
        except TimeoutError as error:
            log = "\n".join(self.operator.log.read_text().splitlines()[-30:])
            raise TimeoutError(
                f"{error}\n{self.kubectl('get', 'bacc,bp,bj,bt,bjs,bop', '-o', 'wide')}\n{log}"
            ) from None

    def until_gone(self, *kinds: str, seconds: float = 60.0) -> None:
        """Wait until there are no objects of these kinds."""
        self.until(lambda: not self.kubectl("get", ",".join(kinds), "-o", "name"), f"no {kinds} is left", seconds)

    # --- what is there by default ---

    def account(self, name: str = "main", **spec: Any) -> list[dict[str, Any]]:
        """A BatchAccount for the emulator, and its Secret."""
        secret = {
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{name}-key"},
            "stringData": {"key": self.emulator.key},
        }  # fmt: skip
        auth = {"sharedKey": {"secretRef": {"name": f"{name}-key", "key": "key"}}}
        body = {"endpoint": self.emulator.endpoint, "accountName": self.emulator.account, "auth": auth}
        return [secret, thing("BatchAccount", name, **(body | spec))]

    def ready_pool(self, **spec: Any) -> None:
        """An account `main` and a pool `cpu` that is ready."""
        self.apply(*self.account(), pool("cpu", **spec))
        self.wait("bp", "cpu", "Ready")

    # --- counting ---

    def writes(self, resource: str = "") -> int:
        """Requests so far by which anybody changed objects of our group (status and finalizers; not their creation or deletion)."""
        counts = self.cluster.request_counts(resource or "batch")
        return sum(
            number
            for key, number in counts.items()
            if key.group == GROUP and key.verb in WRITE_VERBS and key.verb not in {"POST", "DELETE", "DELETECOLLECTION"}
        )

    def calls(self) -> dict[str, int]:
        """Batch calls so far, by operation."""
        totals: dict[str, int] = {}
        for operation, by_status in self.emulator.admin("GET", "counters")["operations"].items():
            totals[operation] = sum(by_status.values())
        return totals

    # --- somebody else ---

    def batch(self, method: str, path: str, body: Any = None) -> Any:
        """A call of Azure Batch outside the operator, as somebody else would make it; the answer's body, None without one."""
        credential = AzureNamedKeyCredential(self.emulator.account, self.emulator.key)
        headers = {"Content-Type": "application/json; odata=minimalmetadata"} if body is not None else {}
        url = f"{self.emulator.endpoint}/{path}?api-version=2024-07-01.20.0"
        content = None if body is None else json.dumps(body)
        with BatchClient(self.emulator.endpoint, credential) as client:
            answer = client.send_request(HttpRequest(method, url, headers=headers, content=content))
            answer.raise_for_status()
            return answer.json() if answer.text() else None

    # --- accidents ---

    def restart_operator(self) -> None:
        """Start the operator again; the old one must have ended."""
        self.operator = Operator.start(self.cluster, self.folder, arguments=self.arguments)
        self.started.append(self.operator)

    def restart_operator_quietly(self) -> None:
        """Stop the operator, start it again, and wait until it has looked at everything."""
        self.operator.stop()
        before = self.calls()["Pools_ListPools"]
        self.restart_operator()
        self.until(lambda: self.calls()["Pools_ListPools"] >= before + 3, "three polls after the restart")

    def kill_operator(self) -> None:
        """SIGKILL."""
        self.operator.kill()


def thing(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    """An object of ours."""
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def pool(name: str, **spec: Any) -> dict[str, Any]:
    """A pool of two nodes with two slots each."""
    image = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"}
    body = {
        "accountRef": {"name": "main"},
        "vmSize": "Standard_D4ads_v6",
        "virtualMachineConfiguration": {"imageReference": image, "nodeAgentSKUId": "batch.node.ubuntu 22.04"},
        "targetDedicatedNodes": 2,
        "taskSlotsPerNode": 2,
    }
    return thing("BatchPool", name, **(body | spec))


def job(name: str, **spec: Any) -> dict[str, Any]:
    """A job on the pool `cpu`."""
    return thing("BatchJob", name, **({"poolRef": {"name": "cpu"}} | spec))


def task(name: str, job_name: str, command: str = "true", **spec: Any) -> dict[str, Any]:
    """A task of a job."""
    return thing("BatchTask", name, jobRef={"name": job_name}, commandLine=command, **spec)


@pytest.fixture
def make_stage(installed: LocalCluster, tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    """Starts a stage with the emulator options of a test; its processes end with the test, its objects with the cluster."""
    stages: list[Stage] = []

    def make(
        *emulator: str, time_scale: float = 100.0, arguments: Callable[[Emulator], tuple[str, ...]] = lambda _: ()
    ) -> Stage:
        namespace = f"test-{uuid4().hex[:8]}"
        installed.kubectl("create", "namespace", namespace)
        batch = Emulator.start(tmp_path, time_scale=time_scale, arguments=emulator)
        options = ("--namespace", namespace, "--poll-seconds=0.3", "--idle-poll-seconds=5", *arguments(batch))
        operator = Operator.start(installed, tmp_path, arguments=options)
        stages.append(Stage(installed, namespace, tmp_path, batch, operator, options, [batch, operator]))
        return stages[-1]

    yield make
    for stage in stages:
        for each in reversed(stage.started):
            each.kill()


@pytest.fixture
def stage(make_stage: Callable[..., Stage]) -> Stage:
    """A stage with real processes as tasks."""
    return make_stage()


STUBS = {"ServiceMonitor": "servicemonitors", "PodMonitor": "podmonitors", "PrometheusRule": "prometheusrules"}


@pytest.fixture(scope="module")
def monitored(installed: LocalCluster) -> LocalCluster:
    """The cluster with the kinds of the Prometheus operator, as far as a dry run needs them, and the namespaces of the values."""
    stubs = [
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.monitoring.coreos.com"},
            "spec": {
                "group": "monitoring.coreos.com",
                "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": plural[:-1]},
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    }
                ],
            },
        }
        for kind, plural in STUBS.items()
    ]
    spaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"team-{each}"}} for each in "ab"]
    listed = {"apiVersion": "v1", "kind": "List", "items": stubs + spaces}
    installed.kubectl("apply", "-f", "-", input=json.dumps(listed))
    installed.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    return installed
