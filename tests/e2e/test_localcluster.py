"""The local control plane is a real one: it authorises, validates, counts, collects garbage; and it ends for good."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

import localcluster.cluster
from localcluster import WRITE_VERBS, LocalCluster, LocalClusterError
from localcluster.background import down, status, up
from localcluster.state import read_state

GROUP = "localcluster.example.com"
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"widgets.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {"size": {"type": "integer"}},
                                "x-kubernetes-validations": [{"rule": "self.size < 10", "message": "must be small"}],
                            }
                        },
                    }
                },
            }
        ],
    },
}


def eventually(condition: Callable[[], bool], what: str, seconds: float = 90.0) -> None:
    """Wait for a condition; the deadline only ends a test that hangs."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.fixture
def namespace(cluster: LocalCluster) -> Iterator[str]:
    name = f"test-{uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.fixture(scope="module")
def widgets(cluster: LocalCluster) -> Iterator[str]:
    """A custom resource, established; its full name."""
    cluster.kubectl("apply", "-f", "-", input=json.dumps(CRD))
    name = f"widgets.{GROUP}"
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=60s")
    yield name
    cluster.kubectl("delete", "crd", name)


def widget(name: str, size: object, **metadata: object) -> str:
    return json.dumps(
        {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": {"name": name, **metadata}, "spec": {"size": size}}
    )


def exists(cluster: LocalCluster, *what: str) -> bool:
    return bool(cluster.kubectl("get", *what, "--ignore-not-found", "-o", "name").stdout)


def test_versions_are_told(cluster: LocalCluster) -> None:
    told = json.loads(cluster.kubectl("version", "-o", "json").stdout)
    assert told["serverVersion"]["gitVersion"] == told["clientVersion"]["gitVersion"]
    assert told["serverVersion"]["major"] == "1"


def test_rbac_denies_a_service_account_without_rights(cluster: LocalCluster, namespace: str, tmp_path: Path) -> None:
    cluster.kubectl("create", "serviceaccount", "nobody", "-n", namespace)
    config = cluster.kubeconfig_for(namespace, "nobody", tmp_path / "kubeconfig")
    # A later --kubeconfig wins over the administrator's.
    denied = cluster.kubectl("get", "configmaps", f"--kubeconfig={config}", check=False)
    assert denied.returncode != 0
    assert f'User "system:serviceaccount:{namespace}:nobody" cannot list resource "configmaps"' in denied.stderr

    cluster.kubectl(
        "create", "rolebinding", "viewer", "--clusterrole=view", f"--serviceaccount={namespace}:nobody", "-n", namespace
    )
    # The authoriser learns of the binding by a watch, and of the aggregated rules of `view` likewise.
    eventually(
        lambda: cluster.kubectl("get", "configmaps", f"--kubeconfig={config}", check=False).returncode == 0,
        "the role binding has no effect",
    )
    assert cluster.kubectl("get", "secrets", f"--kubeconfig={config}", check=False).returncode != 0
    assert config.stat().st_mode & 0o077 == 0


def test_tokens_for_other_audiences_do_not_log_in(cluster: LocalCluster, namespace: str, tmp_path: Path) -> None:
    cluster.kubectl("create", "serviceaccount", "elsewhere", "-n", namespace)
    token = cluster.token_for(namespace, "elsewhere", audiences=["api://AzureADTokenExchange"], expiration=600)
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": ["api://AzureADTokenExchange"]},
    }
    answer = cluster.kubectl("create", "-f", "-", "-o", "json", input=json.dumps(review))
    assert json.loads(answer.stdout)["status"]["authenticated"] is True
    review["spec"] = {"token": token}
    answer = cluster.kubectl("create", "-f", "-", "-o", "json", input=json.dumps(review))
    assert "authenticated" not in json.loads(answer.stdout)["status"]


def test_a_token_for_nobody_is_refused_with_the_servers_words(cluster: LocalCluster, namespace: str) -> None:
    with pytest.raises(LocalClusterError, match='serviceaccounts "missing" not found'):
        cluster.token_for(namespace, "missing")


def test_anybody_can_discover_the_issuer(cluster: LocalCluster) -> None:
    context = ssl.create_default_context(cafile=str(cluster.ca_file))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(f"{cluster.url}/.well-known/openid-configuration") as answer:
        document = json.load(answer)
    assert document["issuer"] == cluster.url
    with opener.open(document["jwks_uri"]) as answer:
        assert json.load(answer)["keys"]


def test_schema_and_cel_of_a_crd_are_enforced(cluster: LocalCluster, namespace: str, widgets: str) -> None:
    cluster.kubectl("create", "-n", namespace, "-f", "-", input=widget("good", 1))
    for size in (10, "one"):
        refused = cluster.kubectl("create", "-n", namespace, "-f", "-", input=widget("bad", size), check=False)
        assert refused.returncode != 0, size
        assert "spec" in refused.stderr
    with pytest.raises(LocalClusterError, match="must be small"):
        cluster.kubectl("create", "-n", namespace, "-f", "-", input=widget("bad", 10))


def test_writes_are_counted_by_the_server(cluster: LocalCluster, namespace: str, widgets: str) -> None:
    def writes() -> int:
        return sum(n for key, n in cluster.request_counts("widgets").items() if key.verb in WRITE_VERBS)

    def leaving() -> bool:
        return "Terminating" in cluster.kubectl("get", "namespaces").stdout

    # The namespaces of earlier tests take their widgets with them, which are writes, too.
    eventually(lambda: not leaving(), "namespaces of earlier tests stay")

    before = writes()
    cluster.kubectl("create", "-n", namespace, "-f", "-", input=widget("one", 1))
    cluster.kubectl("create", "-n", namespace, "--dry-run=server", "-f", "-", input=widget("two", 1))
    cluster.kubectl("patch", widgets, "one", "-n", namespace, "--type=merge", "-p", '{"spec":{"size":2}}')
    cluster.kubectl("apply", "--server-side", "-n", namespace, "-f", "-", input=widget("three", 3))
    cluster.kubectl("delete", widgets, "one", "-n", namespace)
    assert writes() - before == 4
    after = {(key.verb, key.code): n for key, n in cluster.request_counts("widgets").items() if key.group == GROUP}
    assert after["APPLY", 201] >= 1
    assert not cluster.request_counts("nosuchresource")


@pytest.mark.slow
def test_garbage_collection_and_namespace_deletion_finish(cluster: LocalCluster, widgets: str) -> None:
    if not cluster.collects_garbage:
        pytest.skip("KUBEBUILDER_ASSETS holds no kube-controller-manager")
    namespace = f"test-{uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", namespace)
    owner = json.loads(cluster.kubectl("create", "configmap", "owner", "-n", namespace, "-o", "json").stdout)
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    cluster.kubectl("create", "-n", namespace, "-f", "-", input=widget("dependent", 1, ownerReferences=[reference]))
    cluster.kubectl("create", "-n", namespace, "-f", "-", input=widget("independent", 1))
    cluster.kubectl("delete", "configmap", "owner", "-n", namespace)
    eventually(lambda: not exists(cluster, widgets, "dependent", "-n", namespace), "the dependent stays")
    assert exists(cluster, widgets, "independent", "-n", namespace)

    cluster.kubectl("delete", "namespace", namespace, "--wait=false")
    eventually(lambda: not exists(cluster, "namespace", namespace), "the namespace stays")


def test_stop_leaves_no_process_and_start_begins_afresh(cluster: LocalCluster, tmp_path: Path) -> None:
    own = LocalCluster(tmp_path, programs=cluster.programs)
    with own:
        assert own.url != cluster.url
        own.kubectl("create", "namespace", "mine")
        assert not exists(cluster, "namespace", "mine")
        first = own.processes
        assert {"etcd", "kube-apiserver"} <= first.keys()
        assert all(ref.alive() for ref in first.values())
    assert not any(ref.alive() for ref in first.values())
    for ref in first.values():
        with pytest.raises(ProcessLookupError):
            os.killpg(ref.pid, 0)

    # From a thread that ends at once: the components must not end with it.
    thread = threading.Thread(target=own.start)
    thread.start()
    thread.join()
    try:
        assert not exists(own, "namespace", "mine")
    finally:
        own.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills with the parent")
def test_nothing_survives_an_owner_that_is_killed(cluster: LocalCluster, tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from localcluster import LocalCluster\n"
        "LocalCluster(Path(sys.argv[1])).start(); print('started', flush=True); time.sleep(3600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "started\n"
        state = read_state(tmp_path)
        owner.send_signal(signal.SIGKILL)
    assert state is not None
    assert state.processes
    eventually(lambda: not any(ref.alive() for ref in state.processes.values()), "components outlive their owner", 30)


def test_a_background_cluster_is_found_again_and_taken_down(cluster: LocalCluster, tmp_path: Path) -> None:
    root = tmp_path / "background"
    said: list[str] = []
    try:
        url = up(root, said.append).url
        assert up(root, said.append).url == url
        assert url in said[-1]
        attached = LocalCluster.attach(root)
        assert exists(attached, "namespace", "default")
        assert "kube-apiserver" in "\n".join(status(root))
        kubectl = subprocess.run(
            [root / "bin" / "kubectl", "get", "namespaces", "-o", "name"],
            env={**os.environ, "KUBECONFIG": str(attached.kubeconfig)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "namespace/default" in kubectl.stdout

        # One component dies: that is told, and the next `up` starts again.
        attached.processes["etcd"].signal(signal.SIGKILL)
        eventually(lambda: not attached.processes["etcd"].alive(), "etcd survives SIGKILL")
        with pytest.raises(LocalClusterError, match="etcd of the cluster"):
            status(root)
        processes = up(root, said.append).processes
        assert all(ref.alive() for ref in processes.values())
        assert not any(ref.alive() for ref in attached.processes.values())
    finally:
        down(root, said.append)
    assert said[-1] == "The cluster is stopped."
    assert not any(ref.alive() for ref in processes.values())
    assert not (root / "tokens.csv").exists()
    down(root, said.append)
    assert said[-1] == "No cluster runs."


def test_a_component_that_cannot_start_is_explained(cluster: LocalCluster, tmp_path: Path) -> None:
    fake = tmp_path / "kube-apiserver"
    fake.write_text("#!/bin/sh\necho 'no such flag: --oops' >&2\nexit 1\n")
    fake.chmod(0o755)
    broken = LocalCluster(tmp_path / "cluster", programs=replace(cluster.programs, apiserver=fake))
    with pytest.raises(LocalClusterError, match="kube-apiserver ended") as caught:
        broken.start()
    assert "no such flag: --oops" in str(caught.value)
    assert str(broken.log("kube-apiserver")) in str(caught.value)
    assert not broken.processes


def test_a_port_taken_in_the_meantime_is_no_failure(
    cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        ports = [taken]
        choose = localcluster.cluster._free_port
        monkeypatch.setattr(localcluster.cluster, "_free_port", lambda: ports.pop() if ports else choose())
        with LocalCluster(tmp_path, programs=cluster.programs) as own:
            assert not ports
            assert not own.url.endswith(f":{taken}")
            assert exists(own, "namespace", "default")
