"""docs/identity.md leads to a BatchAccount for each way to sign in, with roles that Azure has."""

from __future__ import annotations

import re
from textwrap import dedent
from typing import Any

import pytest
import yaml

from azure_batch_operator.api.account import AccountSpec, Auth
from azure_batch_operator.generate import ROOT
from azure_batch_operator.shapes import conform

PAGE = (ROOT / "docs" / "identity.md").read_text()
_BATCH_ROLES = {"Azure Batch Data Contributor", "Azure Batch Job Submitter"}
"""Of learn.microsoft.com/azure/batch/batch-role-based-access-control; those that the page grants or names."""


def accounts() -> list[dict[str, Any]]:
    found = re.findall(r"^ *```yaml\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)
    return [yaml.safe_load(dedent(text)) for text in found]


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


def test_what_is_federated_is_what_the_operator_uses() -> None:
    subjects = set(re.findall(r"--subject (\S+)", PAGE))
    assert subjects == {
        "system:serviceaccount:team-a:azure-batch",
        "system:serviceaccount:azure-batch-operator:azure-batch-operator",
    }
    assert set(re.findall(r"--audiences (\S+)", PAGE)) == {"api://AzureADTokenExchange"}
