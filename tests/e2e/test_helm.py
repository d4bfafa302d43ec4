"""The Helm chart on the real API server: what it renders, what it grants, and a release from its installation to its end.

There is no kubelet: the operator runs as a process with the arguments, the environment and the ServiceAccount of the rendered
Deployment, and `helm test` gets what its pod's command says.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.conftest import job, pool
from localcluster import LocalCluster, LocalClusterError
from stage import REPOSITORY, Emulator, Operator, Pod, samples, wait_until

CHART = REPOSITORY / "helm" / "azure-batch-operator"
NAME = "azure-batch-operator"
STUBS = {"ServiceMonitor": "servicemonitors", "PodMonitor": "podmonitors", "PrometheusRule": "prometheusrules"}
ALL_ON = {
    "replicaCount": 2,
    "podMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboards": {"enabled": True},
    "networkPolicy": {"enabled": True},
    "podDisruptionBudget": {"enabled": True},
    "namespaceIdentities": {"enabled": True},
}
COMBINATIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "all-on": ALL_ON,
    "namespaced": {"watchNamespaces": ["team-a", "team-b"]},
    "namespaced-all-on": {**ALL_ON, "watchNamespaces": ["team-a"], "config": {"clusterId": "here", "pollSeconds": 2}},
    "service-monitor": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "interval": "1m"}},
    "workload-identity": {
        "workloadIdentity": {"enabled": True, "clientId": "c", "tenantId": "t", "namespaces": ["team-a"]}
    },
    "no-policy": {"admissionPolicy": {"create": False}},
    "own-account": {"serviceAccount": {"create": False, "name": "mine"}, "rbac": {"create": False}},
    "shards": {"replicaCount": 3, "config": {"shards": 6, "leaseName": "batch"}},
    "names": {
        "fullnameOverride": "batch",
        "image": {"digest": "sha256:" + "0" * 64},
        "imagePullSecrets": [{"name": "x"}],
    },
    "pod": {
        "priorityClassName": "system-cluster-critical",
        "podLabels": {"team": "hpc"},
        "podAnnotations": {"a": "b"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}
        ],
        "extraArgs": ["--log-level=DEBUG"],
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "extraEnvFrom": [{"configMapRef": {"name": "more"}}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
    },
    "network": {
        "networkPolicy": {
            "enabled": True,
            "ingressFrom": [{"namespaceSelector": {}}],
            "extraEgress": [{"ports": [{"port": 10100, "protocol": "TCP"}]}],
        }
    },
}


def template(cluster: LocalCluster, values: dict[str, Any], namespace: str = NAME) -> list[dict[str, Any]]:
    """What the chart renders, hooks included."""
    text = cluster.helm("template", NAME, str(CHART), "-n", namespace, "-f", "-", input=json.dumps(values)).stdout
    return documents(text)


def documents(text: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(text) if each]


def only(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    [found] = [each for each in objects if each["kind"] == kind]
    return found


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


# --- what is rendered ---


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


def page_values(page: str, after: str) -> dict[str, Any]:
    """The values that a page of docs/ shows first after a text."""
    text = (REPOSITORY / "docs" / page).read_text().partition(after)[2]
    found = re.search(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/{page} shows no values after {after!r}"
    values: dict[str, Any] = yaml.safe_load(found[1])
    return values


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


# --- what is granted ---


@pytest.mark.parametrize(
    ("role", "verb", "resource", "granted"),
    [
        ("view", "list", "batchpools", True),
        ("view", "create", "batchjobs", False),
        ("edit", "get", "batchaccounts", True),
        ("edit", "create", "batchjobs", True),
        ("edit", "deletecollection", "batchtasks", True),
        ("edit", "create", "batchpools", False),
        ("edit", "patch", "batchpools/scale", False),
        ("edit", "create", "batchaccounts", False),
        ("edit", "patch", "batchjobs/status", False),
        ("admin", "create", "batchpools", True),
        ("admin", "patch", "batchpools/scale", True),
        ("admin", "delete", "batchaccounts", True),
        ("admin", "patch", "batchpools/status", False),
    ],
)
def test_people_may_what_their_role_says(
    releases: LocalCluster, role: str, verb: str, resource: str, granted: bool
) -> None:
    releases.kubectl(
        "-n",
        "team-b",
        "create",
        "rolebinding",
        f"{role}-person",
        f"--clusterrole={role}",
        f"--user={role}-person",
        check=False,
    )
    asked = ("-n", "team-b", "auth", "can-i", verb, f"{resource}.azurebatch.io", f"--as={role}-person")
    if "/" in resource:
        name, sub = resource.split("/")
        asked = (
            "-n",
            "team-b",
            "auth",
            "can-i",
            verb,
            f"{name}.azurebatch.io",
            f"--subresource={sub}",
            f"--as={role}-person",
        )

    def answer() -> str:
        return releases.kubectl(*asked, check=False).stdout.strip()

    # The controller manager adds the rules to the aggregated roles a moment later.
    if granted:
        wait_until(lambda: answer() == "yes", f"{role} may {verb} {resource}")
    else:
        assert answer() == "no"


@pytest.fixture(scope="module")
def releases(monitored: LocalCluster) -> Iterator[LocalCluster]:
    """Two releases beside each other: one for the cluster, one for team-a."""
    off = json.dumps({"crds": {"install": False}, "replicaCount": 2})
    narrow = json.dumps({"crds": {"install": False}, "watchNamespaces": ["team-a"], "config": {"clusterId": "here"}})
    for release, values in (("wide", off), ("narrow", narrow)):
        monitored.helm(
            "install", release, str(CHART), "-n", release, "--create-namespace", "-f", "-", input=values
        )  # fmt: skip
    yield monitored
    for release in ("wide", "narrow"):
        monitored.helm("uninstall", release, "-n", release)


def may(cluster: LocalCluster, release: str, verb: str, resource: str, namespace: str | None, name: str = "") -> bool:
    """What the API server says of the operator's ServiceAccount; `namespace` None is the whole cluster."""
    plural, _, subresource = resource.partition("/")
    group_plural, _, group = plural.partition(".")
    attributes = {
        "verb": verb,
        "group": group,
        "resource": group_plural,
        "subresource": subresource,
        "name": name,
        "namespace": namespace or "",
    }
    user = f"system:serviceaccount:{release}:{release}-azure-batch-operator"
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": ["system:serviceaccounts"], "resourceAttributes": attributes},
    }
    done = cluster.kubectl("create", "-o", "json", "-f", "-", input=json.dumps(review))
    return bool(json.loads(done.stdout)["status"]["allowed"])


KINDS = ("batchaccounts", "batchpools", "batchjobs", "batchtasks", "batchjobschedules", "batchoperations")
# Refused to the operator of a whole cluster, and so to the one of a namespace.
NEVER = [
    ("list", "secrets", None),
    ("watch", "secrets", None),
    ("list", "secrets", "team-a"),
    ("create", "secrets", "team-a"),
    ("list", "configmaps", None),
    ("update", "batchpools.azurebatch.io", "team-a"),
    ("create", "batchtasks.azurebatch.io", "team-a"),
    ("delete", "batchpools.azurebatch.io", "team-a"),
    ("create", "pods", "team-a"),
    ("create", "serviceaccounts/token", "team-a"),
    ("patch", "customresourcedefinitions.apiextensions.k8s.io", None),
    ("create", "clusterrolebindings.rbac.authorization.k8s.io", None),
    ("create", "rolebindings.rbac.authorization.k8s.io", "team-a"),
    ("escalate", "clusterroles.rbac.authorization.k8s.io", None),
    ("impersonate", "users", None),
    ("patch", "namespaces", "team-a"),
    ("delete", "leases.coordination.k8s.io", "wide"),
    ("create", "leases.coordination.k8s.io", "team-a"),
]


@pytest.mark.parametrize(("verb", "resource", "namespace"), NEVER)
@pytest.mark.parametrize("release", ["wide", "narrow"])
def test_the_operator_has_no_unneeded_permission(
    releases: LocalCluster, release: str, verb: str, resource: str, namespace: str | None
) -> None:
    assert not may(releases, release, verb, resource, namespace)


def test_in_its_namespaces_it_may_what_it_must_and_nothing_elsewhere(releases: LocalCluster) -> None:
    for kind in KINDS:
        resource = f"{kind}.azurebatch.io"
        for verb in ("get", "list", "watch", "patch"):
            assert may(releases, "wide", verb, resource, None)
            assert may(releases, "narrow", verb, resource, "team-a")
            assert not may(releases, "narrow", verb, resource, "team-b")
            assert not may(releases, "narrow", verb, resource, None)
    for verb in ("get", "patch"):
        assert may(releases, "narrow", verb, "secrets", "team-a")
        assert not may(releases, "narrow", verb, "secrets", "team-b")
    assert may(releases, "narrow", "get", "namespaces", "team-a", "team-a")
    assert not may(releases, "narrow", "get", "namespaces", "team-b", "team-b")
    assert not may(releases, "narrow", "get", "namespaces", "kube-system", "kube-system")
    assert not may(releases, "narrow", "list", "namespaces", None)


def test_the_right_on_the_lease_follows_its_name(cluster: LocalCluster) -> None:
    def names(values: dict[str, Any]) -> list[list[str]]:
        objects = template(cluster, values | {"replicaCount": 2})
        [role] = [each for each in objects if each["metadata"]["name"].endswith("-leader") and each["kind"] == "Role"]
        return [rule["resourceNames"] for rule in role["rules"] if "resourceNames" in rule]

    assert names({}) == [[NAME]]
    assert names({"config": {"leaseName": "mine"}}) == [["mine"]]


def test_only_the_one_of_several_replicas_has_a_lease_to_take(releases: LocalCluster) -> None:
    assert may(releases, "wide", "update", "leases.coordination.k8s.io", "wide", NAME)
    assert not may(releases, "wide", "update", "leases.coordination.k8s.io", "wide", "another")
    assert not may(releases, "narrow", "update", "leases.coordination.k8s.io", "narrow", NAME)


@pytest.mark.parametrize("release", ["wide", "narrow"])
def test_each_release_has_a_policy_of_its_own(releases: LocalCluster, release: str) -> None:
    user = f"system:serviceaccount:{release}:{release}-azure-batch-operator"
    policy = f"{release}-azure-batch-operator.{release}"

    def refused(as_user: str) -> str:
        """What is said to a change of a spec."""
        patch = json.dumps({"spec": {"targetDedicatedNodes": 7}})
        arguments = ("-n", "team-a", "patch", "bp", "mine", "--type=merge", "-p", patch, "--dry-run=server")
        done = releases.kubectl(*arguments, f"--as={as_user}", check=False)
        return done.stderr if done.returncode else ""

    releases.kubectl("-n", "team-a", "apply", "-f", "-", input=json.dumps(pool("mine")))
    said = wait_until(lambda: refused(user), f"{policy} is active")
    assert f"'{policy}'" in said
    assert "may not change the spec" in said
    releases.kubectl("-n", "team-a", "delete", "bp", "mine")


# --- a release from beginning to end ---


class Release:
    """A release of the chart with the process that its Deployment stands for."""

    def __init__(self, cluster: LocalCluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self.operator: Operator | None = None

    def helm(self, *arguments: str, values: dict[str, Any] | None = None) -> str:
        options = ["-n", NAME, *([] if values is None else ["-f", "-"])]
        return self.cluster.helm(*arguments, *options, input=None if values is None else json.dumps(values)).stdout

    def roll_out(self) -> None:
        """What the Deployment controller and kubelet would do: the old pod ends, the new one runs. Strategy Recreate."""
        if self.operator:
            self.operator.stop()
        deployment = json.loads(self.cluster.kubectl("-n", NAME, "get", "deployment", NAME, "-o", "json").stdout)
        self.operator = Operator.start(self.cluster, self.folder, pod=Pod.of(deployment))

    def test(self) -> tuple[str, int]:
        """`helm test` with a kubelet of one pod: what the pod's command says, and its exit code."""
        assert self.operator
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self.cluster.helm, "test", NAME, "-n", NAME, "--timeout=60s", check=False)
            find = ("-n", NAME, "get", "pod", f"{NAME}-check", "--ignore-not-found", "-o", "json")
            pod = json.loads(wait_until(lambda: self.cluster.kubectl(*find).stdout, "the test's pod"))
            service = f"http://{NAME}.{NAME}.svc:8080"
            command = [
                each.replace(service, f"http://127.0.0.1:{self.operator.port}")
                for each in Pod.of(pod).command(self.cluster, self.folder)
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
            status = {"status": {"phase": "Failed" if done.returncode else "Succeeded"}}
            self.cluster.kubectl(
                "-n",
                NAME,
                "patch",
                "pod",
                f"{NAME}-check",
                "--subresource=status",
                "--type=merge",
                "-p",
                json.dumps(status),
            )
            result = waiting.result()
            assert (result.returncode == 0) == (done.returncode == 0), result.stderr
        return done.stdout, done.returncode

    def kubectl(self, *arguments: str) -> str:
        return self.cluster.kubectl(*arguments).stdout


@pytest.fixture
def release(bare: LocalCluster, tmp_path: Path) -> Iterator[Release]:
    made = Release(bare, tmp_path)
    yield made
    if made.operator:
        made.operator.kill()


def test_a_release_from_installation_to_its_end(release: Release, tmp_path: Path) -> None:
    emulator = Emulator.start(tmp_path / "batch", time_scale=100.0)
    try:
        _life(release, emulator)
    finally:
        emulator.kill()


def _life(release: Release, emulator: Emulator) -> None:
    values: dict[str, Any] = {"config": {"logFormat": "json", "pollSeconds": 0.3, "idlePollSeconds": 5}}
    said = release.helm("install", NAME, str(CHART), "--create-namespace", values=values)
    assert "Before `helm uninstall" in said
    assert "image.registry is empty" in said
    # Helm keeps chart and manifests in one Secret, which may hold 1 MiB; with more CRDs or values it must not fail at once.
    kept = release.kubectl(
        "-n", NAME, "get", "secret", f"sh.helm.release.v1.{NAME}.v1", "-o", "jsonpath={.data.release}"
    )
    assert len(base64.b64decode(kept)) < 1 << 19
    release.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    release.roll_out()

    release.cluster.kubectl("apply", "-f", "-", input=samples(release.cluster, emulator.endpoint))
    release.kubectl("wait", "--for=condition=Ready", "bacc,bp", "--all", "--timeout=60s")
    release.kubectl("wait", "--for=condition=Complete", "bj/render", "--timeout=120s")
    lines, code = release.test()
    assert code == 0, lines
    assert lines.count("ok ") == 4, lines

    uids = _uids(release)
    release.helm("upgrade", NAME, str(CHART), values=values | {"podLabels": {"team": "hpc"}, "replicaCount": 1})
    release.roll_out()
    release.helm("rollback", NAME, "1")
    release.roll_out()
    assert _uids(release) == uids
    # The operator that came with the rollback works: something new runs to its end.
    late = job("late", tasks=[{"id": "a", "commandLine": "true"}])
    release.cluster.kubectl("apply", "-f", "-", input=json.dumps(late))
    release.kubectl("wait", "--for=condition=Complete", "bj/late", "--timeout=60s")

    # Each change of a spec would have counted the generation up.
    assert set(_generations(release).values()) == {1}, "the operator writes no spec"

    uids, azure = _uids(release), _azure(emulator)
    assert release.operator
    release.operator.stop()
    said = release.helm("uninstall", NAME)
    assert "kept due to the resource policy" in said
    assert _uids(release) == uids, "no object is lost with the release"
    assert _azure(emulator) == azure, "nothing is lost in Azure"
    assert not release.kubectl("get", "clusterroles,clusterrolebindings", "-l", f"app.kubernetes.io/instance={NAME}")

    # And again: everything is taken up where it was.
    release.helm("install", NAME, str(CHART), values=values)
    release.roll_out()
    release.kubectl("delete", "azurebatch", "-A", "--all", "--timeout=180s")
    assert not any(_azure(emulator).values())


def _generations(release: Release) -> dict[str, int]:
    listed = json.loads(release.kubectl("get", "azurebatch", "-A", "-o", "json"))["items"]
    return {f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["generation"] for each in listed}


def _uids(release: Release) -> dict[str, str]:
    listed = json.loads(release.kubectl("get", "azurebatch", "-A", "-o", "json"))["items"]
    return {f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["uid"] for each in listed}


def _azure(emulator: Emulator) -> dict[str, int]:
    """How many pools, jobs and tasks there are in Batch."""
    state = emulator.admin("GET", "state")
    return {name: state[name] for name in ("pools", "jobs", "tasks")}
