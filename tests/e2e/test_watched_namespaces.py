"""What docs/install.md, docs/troubleshooting.md and docs/upgrade.md promise administrators, done as the pages say."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from azure_batch_kubectl.cli import plugin as commands
from localcluster import LocalCluster
from stage import REPOSITORY, Emulator, samples, wait_until
from support.helm_chart import CHART, NAME, page_values
from support.helm_release import Release

TEAM, OTHER = "team-d", "team-e"


@pytest.fixture
def release(bare: LocalCluster, tmp_path: Path) -> Iterator[Release]:
    made = Release(bare, tmp_path)
    yield made
    if made.operator:
        made.operator.kill()


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    made = Emulator.start(tmp_path / "batch", time_scale=100.0)
    yield made
    made.kill()


def _remaining(release: Release) -> str:
    return release.kubectl("-n", TEAM, "get", "azurebatch", "--ignore-not-found", "-o", "name")


def _pools(emulator: Emulator) -> int:
    return int(emulator.admin("GET", "state")["pools"])


def test_a_watched_namespace_that_is_deleted_waits_until_the_operator_has_rights_again(
    release: Release, emulator: Emulator
) -> None:
    cluster = release.cluster
    for name in (TEAM, OTHER):
        cluster.kubectl("create", "namespace", name)
    values: dict[str, Any] = {
        "watchNamespaces": [TEAM, OTHER],
        "config": {"pollSeconds": 0.3, "idlePollSeconds": 5},
    }
    release.helm("install", NAME, str(CHART), "--create-namespace", values=values)
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    release.roll_out()
    listed = samples(cluster, emulator.endpoint)
    cluster.kubectl("-n", TEAM, "apply", "-f", "-", input=listed.replace("namespace: default", f"namespace: {TEAM}"))
    cluster.kubectl("-n", TEAM, "wait", "--for=condition=Ready", "bacc,bp", "--all", "--timeout=120s")

    cluster.kubectl("delete", "namespace", TEAM, "--wait=false")
    gone = ("-n", TEAM, "get", "role,rolebinding", "--ignore-not-found", "-o", "name")
    wait_until(lambda: not cluster.kubectl(*gone).stdout, "Kubernetes deletes the operator's Role", 60)
    assert _remaining(release), "the operator cannot remove its finalizers"

    told = CliRunner().invoke(commands, ["doctor", "-n", TEAM, "--kubeconfig", str(cluster.kubeconfig)]).stdout
    assert f"fault namespace {TEAM} is being deleted, and Deployment {NAME}/{NAME} has no rights in it" in told

    # Its own restart does not stop the others.
    release.roll_out()
    cluster.kubectl("-n", OTHER, "apply", "-f", "-", input=listed.replace("namespace: default", f"namespace: {OTHER}"))
    cluster.kubectl("-n", OTHER, "wait", "--for=condition=Ready", "bacc", "--all", "--timeout=120s")
    cluster.kubectl("-n", OTHER, "delete", "azurebatch", "--all", "--timeout=120s")

    release.helm("upgrade", NAME, str(CHART), "--reset-then-reuse-values", "--set-json", "watchNamespaces=[]")
    release.roll_out()
    cluster.kubectl("wait", "--for=delete", f"namespace/{TEAM}", "--timeout=400s")
    assert _pools(emulator) == 0


def _only_the_operator() -> list[list[str]]:
    """The commands of docs/upgrade.md that remove what kustomize has installed, but not the CRDs."""
    page = (REPOSITORY / "docs" / "upgrade.md").read_text().partition("To remove only the operator")[2]
    block = re.findall(r"(?:^    .*\n)+", page, re.MULTILINE)[0].replace("\\\n", "")
    lines = [line.strip() for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("kubectl ")]


def test_from_helm_to_kustomize_and_back(bare: LocalCluster) -> None:
    def helm(*arguments: str) -> None:
        bare.helm(*arguments, "-n", NAME)

    helm("install", NAME, str(CHART), "--create-namespace")
    # Nobody has to force anything: what both have applied is the same.
    bare.kubectl("apply", "--server-side", "-k", str(REPOSITORY / "crds"))
    helm("uninstall", NAME)
    bare.kubectl("apply", "--server-side", "-k", str(REPOSITORY / "manifests" / "base"))

    for command in _only_the_operator():
        # Kinds of the Prometheus Operator are not served here.
        bare.kubectl(*command, check="podmonitor,prometheusrule" not in command)
    owned = f"app.kubernetes.io/instance={NAME}"
    left = bare.kubectl("get", "all,clusterroles,clusterrolebindings,validatingadmissionpolicies", "-A", "-l", owned)
    assert not left.stdout
    helm("install", NAME, str(CHART), "--take-ownership")
    crds = json.loads(bare.kubectl("get", "crd", "-o", "json").stdout)["items"]
    assert {each["metadata"]["labels"]["app.kubernetes.io/managed-by"] for each in crds} == {"Helm"}


def test_a_team_without_rights_in_the_cluster_installs_the_chart(bare: LocalCluster) -> None:
    """docs/install.md: administrators apply what grants rights; the API server lets nobody grant what they do not have."""
    values = page_values("install.md", "## Permissions of the operator")
    [team] = values["watchNamespaces"]
    bare.kubectl("create", "namespace", team)
    bare.kubectl("-n", team, "create", "rolebinding", "people", "--clusterrole=admin", "--user=person")
    may = ("-n", team, "auth", "can-i", "create", "deployments", "--as=person")
    wait_until(lambda: bare.kubectl(*may, check=False).stdout.strip() == "yes", "the role is aggregated", 60)
    bare.kubectl("apply", "--server-side", "-k", str(REPOSITORY / "crds"))

    def installs(**changed: Any) -> str:
        done = bare.helm(
            "install", NAME, str(CHART), "-n", team, "-f", "-", "--kube-as-user=person",
            input=json.dumps(values | changed), check=False,
        )  # fmt: skip
        return done.stderr if done.returncode else ""

    assert "attempting to grant RBAC permissions not currently held" in installs(rbac={"create": True})
    bare.helm("uninstall", NAME, "-n", team, "--ignore-not-found")
    on = {name: {"create": True} for name in ("rbac", "userRoles", "admissionPolicy")}
    shown = [f"--show-only=templates/{name}.yaml" for name in ("rbac", "userroles", "admissionpolicy")]
    arguments = ("template", NAME, str(CHART), "-n", team, "-f", "-", *shown)
    granted = bare.helm(*arguments, input=json.dumps(values | on)).stdout
    bare.kubectl("apply", "--server-side", "-f", "-", input=granted)
    assert installs() == ""
    account = f"system:serviceaccount:{team}:{NAME}"
    for right in (("patch", "batchjobs.azurebatch.io", "--subresource=status"), ("list", "batchpools.azurebatch.io")):
        asked = bare.kubectl("-n", team, "auth", "can-i", *right, f"--as={account}", check=False)
        assert asked.stdout.strip() == "yes", right
