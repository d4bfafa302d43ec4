"""The pages agree on where the operator is installed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
_NAMESPACE = re.compile(r"(?:\s-n|--namespace)[ =]([a-z][a-z0-9-]*)")
_OTHERS = {"argocd", "azure-batch-b", "render", "team-a", "team-b"}
"""Namespaces of other things that pages show."""


def test_all_pages_name_one_namespace_for_the_operator() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {(name, page.name) for page in pages for name in _NAMESPACE.findall(page.read_text())}
    assert {name for name, _ in named} - _OTHERS == {"azure-batch-operator"}, sorted(named)


def _objects(*folders: str) -> list[dict[str, Any]]:
    """What kustomize applies of these folders of manifests/, but for the CRDs and the Namespace."""
    paths = [path for folder in folders for path in sorted((ROOT / "manifests" / folder).rglob("*.yaml"))]
    found = [one for path in paths for one in yaml.safe_load_all(path.read_text()) if isinstance(one, dict)]
    return [one for one in found if one["kind"] not in {"Kustomization", "Component", "Namespace"}]


def test_the_commands_that_remove_what_kustomize_has_applied_name_all_its_kinds() -> None:
    page = (
        (ROOT / "docs" / "upgrade.md").read_text().partition("To remove only the operator")[2].partition("The last")[0]
    )
    removed = set(re.findall(r"[a-z]+", page.replace("\\\n", " ")))
    kinds = {one["kind"].lower() for one in _objects("base", "components", "watched-namespace")}
    assert {"deployment", "networkpolicy", "configmap", "prometheusrule", "mutatingadmissionpolicy"} <= kinds
    assert kinds <= removed, sorted(kinds - removed)
    assert "customresourcedefinition" not in removed


def test_what_kustomize_applies_has_the_label_by_which_it_is_removed() -> None:
    label = ("app.kubernetes.io/instance", "azure-batch-operator")
    for folder in ("base", "watched-namespace"):
        kustomization = yaml.safe_load((ROOT / "manifests" / folder / "kustomization.yaml").read_text())
        assert label in {pair for one in kustomization["labels"] for pair in one["pairs"].items()}
    # Those of the finalizer are removed by name.
    labeled = [one for one in _objects("components") if not one["kind"].startswith("Mutating")]
    assert labeled
    assert all(label in one["metadata"]["labels"].items() for one in labeled)


def test_one_replica_holds_the_lease_too() -> None:
    """Otherwise replicas that are added wait for nobody, and act beside it; tests/e2e/test_helm.py compares chart and kustomize."""
    found = {(one["kind"], one["metadata"]["name"]): one for one in _objects("base")}
    container = found["Deployment", "azure-batch-operator"]["spec"]["template"]["spec"]["containers"][0]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert variables["AZURE_BATCH_OPERATOR_LEADER_ELECTION"] == "true"
    assert {"POD_NAMESPACE", "POD_NAME"} <= variables.keys()
    role = found["Role", "azure-batch-operator-leader"]
    assert role["metadata"]["namespace"] == "azure-batch-operator"
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"create", "get", "update"}
    values = yaml.safe_load((ROOT / "helm" / "azure-batch-operator" / "values.yaml").read_text())
    assert (values["replicaCount"], values["leaderElection"]["enabled"]) == (1, True)


def test_kustomize_cannot_combine_rights_in_some_namespaces_with_a_right_in_all() -> None:
    """One ClusterRole of that name in both, which kustomize refuses; tests/e2e/test_helm.py builds it."""
    tokens = ("ClusterRole", "azure-batch-operator-tokens")
    for component in ("namespaced", "workload-identity"):
        found = _objects(f"components/{component}")
        assert tokens in {(one["kind"], one["metadata"]["name"]) for one in found}, component
    path = ROOT / "manifests" / "components" / "namespaced" / "use-namespace-identities.yaml"
    placeholder = yaml.safe_load(path.read_text())
    assert placeholder["metadata"]["annotations"] == {"config.kubernetes.io/local-config": "true"}, "never applied"


@pytest.mark.parametrize("page", ["install.md", "accounts.md", "troubleshooting.md"])
def test_pages_say_what_to_do_before_a_watched_namespace_is_deleted(page: str) -> None:
    """Its Role is deleted with it: tests/e2e/test_watched_namespaces.py."""
    assert "kubectl delete azurebatch --all -n" in (ROOT / "docs" / page).read_text()


def test_the_page_of_settings_says_where_the_chart_has_each() -> None:
    """A setting that is no value of `config` is refused there."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", page, re.MULTILINE))
    schema = json.loads((ROOT / "helm" / "azure-batch-operator" / "values.schema.json").read_text())
    allowed = schema["properties"]["config"]["properties"]
    assert {name for name, place in rows.items() if place == f"`config.{name}`"} == set(allowed)
    elsewhere = {name: place for name, place in rows.items() if name not in allowed}
    assert elsewhere == {
        "namespaces": "`watchNamespaces`",
        "identityNamespaces": "`workloadIdentity.namespaces`",
        "httpHost": "not changed",
        "httpPort": "not changed",
        "leaderElection": "`leaderElection.enabled`; always with several replicas",
    }
