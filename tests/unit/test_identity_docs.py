"""docs/identity.md leads to a BatchAccount for each way to sign in, with roles that Azure has."""

from __future__ import annotations

import re
from textwrap import dedent
from typing import Any

import pytest
import yaml

from azure_batch_operator.api.account import AccountSpec, Auth
from azure_batch_operator.generate import ROOT
from azure_batch_operator.settings import Settings
from azure_batch_operator.shapes import conform

PAGE = (ROOT / "docs" / "identity.md").read_text()
_BATCH_ROLES = {"Azure Batch Data Contributor", "Azure Batch Job Submitter"}
"""Of learn.microsoft.com/azure/batch/batch-role-based-access-control; those that the page grants or names."""


def manifests() -> list[dict[str, Any]]:
    found = re.findall(r"^ *```yaml\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)
    return [yaml.safe_load(dedent(text)) for text in found]


def accounts() -> list[dict[str, Any]]:
    return [manifest for manifest in manifests() if manifest.get("kind") == "BatchAccount"]


def test_kustomize_allows_the_metadata_service_as_the_chart_does() -> None:
    [values] = [manifest for manifest in manifests() if "networkPolicy" in manifest]
    [patch] = [patch for manifest in manifests() for patch in manifest.get("patches", []) if "target" in patch]
    policy = yaml.safe_load((ROOT / "manifests/components/network-policy/networkpolicy.yaml").read_text())
    assert patch["target"] == {"kind": policy["kind"], "name": policy["metadata"]["name"]}
    assert isinstance(policy["spec"]["egress"], list)
    rule = {
        "to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}],
        "ports": [{"port": 80, "protocol": "TCP"}],
    }
    assert yaml.safe_load(patch["patch"]) == [{"op": "add", "path": "/spec/egress/-", "value": rule}]
    assert values["networkPolicy"]["extraEgress"] == [rule]
    assert (
        "extraEgress" in yaml.safe_load((ROOT / "helm/azure-batch-operator/values.yaml").read_text())["networkPolicy"]
    )


def test_the_patches_for_kustomize_give_what_the_chart_gives() -> None:
    [page] = [
        manifest for manifest in manifests() if any("target" not in patch for patch in manifest.get("patches") or ())
    ]
    account, deployment = [yaml.safe_load(each["patch"]) for each in page["patches"]]
    base = [
        each
        for path in (ROOT / "manifests" / "base").glob("*.yaml")
        for each in yaml.safe_load_all(path.read_text())
        if each
    ]
    there = {(each["kind"], each.get("metadata", {}).get("name")): each for each in base}
    assert all((each["kind"], each["metadata"]["name"]) in there for each in (account, deployment))
    chart = "".join(path.read_text() for path in (ROOT / "helm/azure-batch-operator/templates").glob("*.yaml"))
    template = deployment["spec"]["template"]
    for name in (*account["metadata"]["annotations"], *template["metadata"]["labels"]):
        assert name in chart
    [container] = template["spec"]["containers"]
    [original] = there["Deployment", deployment["metadata"]["name"]]["spec"]["template"]["spec"]["containers"]
    assert container["name"] == original["name"]
    assert [each["name"] for each in container["env"]] == ["AZURE_BATCH_OPERATOR_IDENTITY_NAMESPACES"]
    assert "identity_namespaces" in Settings.model_fields


def test_every_way_to_sign_in_has_an_account() -> None:
    ways = {way for account in accounts() for way in account["spec"]["auth"]}
    assert ways == set(Auth.wire_names())


@pytest.mark.parametrize("account", accounts(), ids=lambda account: next(iter(account["spec"]["auth"])))
def test_the_account_is_one(account: dict[str, Any]) -> None:
    assert account["kind"] == "BatchAccount"
    spec, wrong = conform(AccountSpec, account["spec"], strict=True)
    assert not wrong
    assert spec == account["spec"]
    AccountSpec.model_validate(account["spec"])


def test_roles_are_granted_on_the_account_alone() -> None:
    granted = re.findall(r'--role "([^"]+)"\s+--scopes? (\S+)', PAGE)
    assert {role for role, _ in granted} == {"Azure Batch Data Contributor"}
    assert {scope for _, scope in granted} == {"$SCOPE"}
    assert set(re.findall(r"Azure Batch \w+ \w+", PAGE)) - _BATCH_ROLES == set()


def test_the_federated_subject_is_that_of_the_operator() -> None:
    subjects = set(re.findall(r"--subject (\S+)", PAGE))
    assert subjects == {
        "system:serviceaccount:team-a:azure-batch",
        "system:serviceaccount:azure-batch-operator:azure-batch-operator",
    }
    assert set(re.findall(r"--audiences (\S+)", PAGE)) == {"api://AzureADTokenExchange"}
