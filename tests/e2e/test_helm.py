"""The Helm chart on the real API server: what it renders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from localcluster import LocalCluster, LocalClusterError
from stage import REPOSITORY, Pod
from support.helm_chart import ALL_ON, CHART, COMBINATIONS, NAME, documents, only, page_values, template


def test_lint_finds_nothing(cluster: LocalCluster) -> None:
    done = cluster.helm("lint", "--strict", str(CHART))
    assert "0 chart(s) failed" in done.stdout


@pytest.mark.parametrize("name", COMBINATIONS)
def test_the_api_server_takes_what_is_rendered(monitored: LocalCluster, name: str) -> None:
    values = {"crds": {"install": name == "defaults"}} | COMBINATIONS[name]
    objects = template(monitored, values)
    listed = {"apiVersion": "v1", "kind": "List", "items": objects}
    # Strict: a field that a kind does not have is an error, and not dropped.
    monitored.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", input=json.dumps(listed))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"replicas": 2}, "replicas"),
        ({"replicaCount": "two"}, "replicaCount"),
        ({"config": {"polSeconds": 1}}, "polSeconds"),
        ({"config": {"workers": 0}}, "workers"),
        ({"config": {"reconcilePolicy": "managed"}}, "reconcilePolicy"),
        ({"config": {"namespaces": ["a"]}}, "namespaces"),
        ({"watchNamespaces": ["Team A"]}, "watchNamespaces"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"serviceAccount": {"create": False}}, "serviceAccount.name is needed"),
        ({"workloadIdentity": {"enabled": True}}, "clientId"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(cluster: LocalCluster, values: dict[str, Any], words: str) -> None:
    with pytest.raises(LocalClusterError) as caught:
        template(cluster, values)
    assert words in str(caught.value)


def test_values_become_settings(cluster: LocalCluster) -> None:
    config = {"pollSeconds": 2.5, "allowedHosts": [".batch.example"], "logLevel": "DEBUG", "reconcilePolicy": "skip"}
    values = {"config": config, "watchNamespaces": ["a", "b"], "replicaCount": 2}
    environment = Pod.of(only(template(cluster, values), "Deployment"), name="pod-7").environment
    prefix = "AZURE_BATCH_OPERATOR_"
    assert environment == {
        f"{prefix}POLL_SECONDS": "2.5",
        f"{prefix}ALLOWED_HOSTS": '[".batch.example"]',
        f"{prefix}LOG_LEVEL": "DEBUG",
        f"{prefix}RECONCILE_POLICY": "skip",
        f"{prefix}LOG_FORMAT": "json",
        f"{prefix}NAMESPACES": '["a","b"]',
        f"{prefix}LEADER_ELECTION": "true",
        "POD_NAMESPACE": NAME,
        "POD_NAME": "pod-7",
    }


def test_who_may_scrape_is_narrowed_without_shutting_out_helm_test(cluster: LocalCluster) -> None:
    scraper = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    objects = template(cluster, {"networkPolicy": {"enabled": True, "ingressFrom": [scraper]}})
    [ingress] = only(objects, "NetworkPolicy")["spec"]["ingress"]
    check = only(objects, "Pod")["metadata"]["labels"]
    assert ingress["from"] == [scraper, {"podSelector": {"matchLabels": check}}]
    assert check.items() - only(objects, "Deployment")["spec"]["selector"]["matchLabels"].items()


GRANTS = {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}


def test_a_team_can_install_it_and_the_administrators_add_what_the_team_may_not(cluster: LocalCluster) -> None:
    values = page_values("install.md", "## Permissions of the operator")
    teams = template(cluster, values, "team-a")
    assert all(each["metadata"].get("namespace") for each in teams)
    # Rights that the team does not have itself, which the API server lets nobody grant.
    assert not GRANTS & {each["kind"] for each in teams}

    on = {name: {"create": True} for name in ("rbac", "userRoles", "admissionPolicy")}
    shown = [f"--show-only=templates/{name}.yaml" for name in ("rbac", "userroles", "admissionpolicy")]
    arguments = ("template", NAME, str(CHART), "-n", "team-a", "-f", "-", *shown)
    administrators = documents(cluster.helm(*arguments, input=json.dumps(values | on)).stdout)
    everything = template(cluster, values | on, "team-a")
    assert comparable([*teams, *administrators]) == comparable(everything)


NEXT_RELEASES: list[dict[str, Any]] = [
    {"name": "batch-b", "values": {}},
    {"name": NAME, "values": {"userRoles": {"create": False}, "config": {"clusterId": "here"}}},
]


@pytest.mark.parametrize("further", NEXT_RELEASES, ids=["another-name", "the-same-name"])
def test_releases_beside_each_other_share_no_object(cluster: LocalCluster, further: dict[str, Any]) -> None:
    """As docs/multi-tenancy.md says: another name, or the same name and less that belongs to the cluster."""
    documented = page_values("multi-tenancy.md", "## Several releases")
    assert documented["crds"] == {"install": False}
    arguments = ("template", further["name"], str(CHART), "-n", "azure-batch-b", "-f", "-")
    text = cluster.helm(*arguments, input=json.dumps(documented | further["values"])).stdout
    first = template(cluster, {"watchNamespaces": ["team-a"]})
    assert not comparable(first).keys() & comparable(documents(text)).keys()


# --- kustomize ---

CHART_ONLY = ("helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version")


def comparable(objects: list[dict[str, Any]]) -> dict[tuple[str, str, str], dict[str, Any]]:
    """By kind, namespace and name; without what marks an object as Helm's, hooks and the Namespace that Helm makes itself."""
    found = {}
    for each in objects:
        metadata = each["metadata"]
        annotations = metadata.pop("annotations", {})
        if "helm.sh/hook" in annotations or each["kind"] == "Namespace":
            continue
        annotations.pop("helm.sh/resource-policy", None)
        if annotations:
            metadata["annotations"] = annotations
        for label in CHART_ONLY:
            metadata["labels"].pop(label, None)
        found[each["kind"], metadata.get("namespace", ""), metadata["name"]] = each
    return found


@pytest.mark.parametrize(
    ("folder", "values"),
    [
        ("base", {}),
        ("overlays/everything", ALL_ON),
        ("overlays/namespaced", {"watchNamespaces": ["team-a", "team-b"]}),
    ],
)
def test_kustomize_makes_the_same_objects(cluster: LocalCluster, folder: str, values: dict[str, Any]) -> None:
    ours = comparable(documents(cluster.kubectl("kustomize", str(REPOSITORY / "manifests" / folder)).stdout))
    charts = comparable(template(cluster, values))
    assert ours.keys() == charts.keys()
    for key, each in ours.items():
        assert _comparable(each) == _comparable(charts[key])


def overlay(folder: Path, *components: str, namespaces: tuple[str, ...] = ()) -> str:
    """An overlay as docs/install.md shows it, with a folder for each namespace that is watched; its path."""
    for name in ("manifests", "crds"):
        shutil.copytree(REPOSITORY / name, folder / name)
    made = folder / "overlay"
    made.mkdir()
    for namespace in namespaces:
        of_one = {
            "namespace": namespace,
            "resources": ["../../manifests/watched-namespace"],
            "components": ["../../manifests/components/namespace-identities"],
        }
        (made / namespace).mkdir()
        (made / namespace / "kustomization.yaml").write_text(json.dumps(of_one))
    chosen = [f"../manifests/components/{name}" for name in components]
    whole = {"resources": ["../manifests/base", *namespaces], "components": chosen}
    (made / "kustomization.yaml").write_text(json.dumps(whole))
    return str(made)


def test_tokens_are_requested_only_in_watched_namespaces(cluster: LocalCluster, tmp_path: Path) -> None:
    teams = ("team-a", "team-b")
    path = overlay(tmp_path, "namespaced", namespaces=teams)
    kinds = ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    ours = comparable(documents(cluster.kubectl("kustomize", path).stdout))
    values = {"watchNamespaces": list(teams), "namespaceIdentities": {"enabled": True}}
    charts = comparable(template(cluster, values))
    ours, charts = ({key: one for key, one in found.items() if key[0] in kinds} for found in (ours, charts))
    assert ours.keys() == charts.keys()
    for key, one in ours.items():
        assert _comparable(one) == _comparable(charts[key])
    tokens = {(kind, namespace) for kind, namespace, name in ours if name == f"{NAME}-tokens"}
    assert tokens == {(kind, team) for kind in ("Role", "RoleBinding") for team in teams}


@pytest.mark.parametrize("components", [("namespaced", "workload-identity"), ("workload-identity", "namespaced")])
def test_rights_in_all_namespaces_are_refused_beside_rights_in_some(
    cluster: LocalCluster, components: tuple[str, ...], tmp_path: Path
) -> None:
    refused = cluster.kubectl("kustomize", overlay(tmp_path, *components), check=False)
    assert refused.returncode
    assert "already registered id: ClusterRole" in refused.stderr
    assert "azure-batch-operator-tokens" in refused.stderr


SERVED = "--api-versions=admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"
MUTATING = ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")


ON: dict[str, Any] = {"admissionPolicy": {"finalizerAtCreation": True}}


def finalizer_policy(cluster: LocalCluster, values: dict[str, Any], *options: str) -> dict[str, dict[str, Any]]:
    """The policy for the finalizer and its binding, as the chart renders them."""
    text = cluster.helm("template", NAME, str(CHART), "-n", NAME, "-f", "-", *options, input=json.dumps(values)).stdout
    return {each["kind"]: each for each in documents(text) if each["kind"] in MUTATING}


def test_the_finalizer_at_creation_is_that_of_kustomize(cluster: LocalCluster, tmp_path: Path) -> None:
    for name in ("manifests", "crds"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    components = ["../manifests/components/finalizer-at-creation"]
    kustomization = {"resources": ["../manifests/base"], "components": components}
    (overlay / "kustomization.yaml").write_text(json.dumps(kustomization))
    ours = documents(cluster.kubectl("kustomize", str(overlay)).stdout)
    charts = finalizer_policy(cluster, ON, SERVED)
    assert charts.keys() == set(MUTATING)
    assert {each["kind"]: each["spec"] for each in ours if each["kind"] in MUTATING} == {
        kind: each["spec"] for kind, each in charts.items()
    }


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (ON, ()),
        ({}, (SERVED,)),
        ({"admissionPolicy": {"create": False, "finalizerAtCreation": True}}, (SERVED,)),
        (ON | {"replicaCount": 0}, (SERVED,)),
        (ON | {"config": {"reconcilePolicy": "skip"}}, (SERVED,)),
    ],
)
def test_there_is_no_finalizer_at_creation(
    cluster: LocalCluster, values: dict[str, Any], options: tuple[str, ...]
) -> None:
    """The API server does not serve the policy, nobody wants it, or nobody would take the finalizer off."""
    assert finalizer_policy(cluster, values, *options) == {}


def test_the_finalizer_at_creation_is_for_the_namespaces_and_the_account_of_the_release(
    monitored: LocalCluster,
) -> None:
    own = ON | {"serviceAccount": {"create": False, "name": "mine"}, "watchNamespaces": ["team-a", "team-b"]}
    found = finalizer_policy(monitored, own, SERVED)
    monitored.kubectl(
        "apply", "--dry-run=server", "--validate=strict", "-f", "-",
        input=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(found.values())}),
    )  # fmt: skip
    spec = found["MutatingAdmissionPolicyBinding"]["spec"]
    served = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["team-a", "team-b"]}
    assert spec["matchResources"] == {"namespaceSelector": {"matchExpressions": [served]}}
    assert spec["paramRef"] == {"name": "mine", "namespace": NAME, "parameterNotFoundAction": "Allow"}


def test_alerts_lead_to_the_documentation_if_it_is_said_where_that_is(cluster: LocalCluster, tmp_path: Path) -> None:
    """A link to a folder of this repository can be followed by nobody."""
    url, on = "https://docs.example.com/batch", {"prometheusRule": {"enabled": True}}
    assert set(map(_link, _alerts(template(cluster, on)))) == {None}
    everything = documents(
        cluster.kubectl("kustomize", str(REPOSITORY / "manifests" / "overlays" / "everything")).stdout
    )
    assert set(map(_link, _alerts(everything))) == {None}

    on["prometheusRule"]["docsUrl"] = f"{url}/"  # type: ignore[assignment]
    charts = [_link(each) for each in _alerts(template(cluster, on))]
    for name in ("manifests", "crds"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    docs = {"name": "azure-batch-operator-docs", "annotations": {"config.kubernetes.io/local-config": "true"}}
    where = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": docs, "data": {"url": url}}
    components = [f"../manifests/components/{each}" for each in ("monitoring", "runbooks")]
    kustomization = {"resources": ["../manifests/base", "docs.yaml"], "components": components}
    (overlay / "docs.yaml").write_text(json.dumps(where))
    (overlay / "kustomization.yaml").write_text(json.dumps(kustomization))
    ours = documents(cluster.kubectl("kustomize", str(overlay)).stdout)
    assert [_link(each) for each in _alerts(ours)] == charts
    assert charts[0] == f"{url}/reasons/#{{{{ $labels.reason | toLower }}}}"
    assert all(str(each).startswith(f"{url}/") for each in charts)
    assert "azure-batch-operator-docs" not in [each["metadata"]["name"] for each in ours]


def _alerts(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    [rule] = [each for each in objects if each["kind"] == "PrometheusRule"]
    return [alert for group in rule["spec"]["groups"] for alert in group["rules"]]


def _link(alert: dict[str, Any]) -> str | None:
    return alert["annotations"].get("runbook_url")


def _comparable(each: dict[str, Any]) -> dict[str, Any]:
    if each["kind"] == "Deployment":
        each["spec"]["template"]["spec"]["containers"][0]["env"].sort(key=lambda variable: variable["name"])
    if each["kind"] == "ValidatingAdmissionPolicy":
        # Helm knows the release's namespace; kustomize does not know what an overlay makes of it.
        [condition] = each["spec"]["matchConditions"]
        assert condition.pop("expression") in {
            f"request.userInfo.username == 'system:serviceaccount:{NAME}:{NAME}'",
            f"request.userInfo.username.matches('^system:serviceaccount:[^:]+:{NAME}$')",
        }
    return each


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({}, "azure-batch-operator:0.1.0"),
        ({"registry": "registry.example:5000/team"}, "registry.example:5000/team/azure-batch-operator:0.1.0"),
        (
            {"registry": "registry.example", "digest": "sha256:" + "0" * 64},
            "registry.example/azure-batch-operator@sha256:" + "0" * 64,
        ),
    ],
)
def test_the_image_is_taken_from_the_registry(cluster: LocalCluster, image: dict[str, str], expected: str) -> None:
    objects = template(cluster, {"image": image})
    [container] = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    [check] = only(objects, "Pod")["spec"]["containers"]
    assert {container["image"], check["image"]} == {expected}
