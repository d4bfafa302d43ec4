"""docs/reasons.md lists every reason that the code can give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for folder in ("reconcile", "sync", "kube")
    for path in (REPOSITORY / "operator/azure_batch_operator" / folder).rglob("*.py")
)
FORMS = [
    r'Verdict\(\s*"\w+",\s*"(\w+)"',
    r'_failure\(\s*"(\w+)"',
    r'waiting\(\s*resource,\s*"(\w+)"',
    r'(?:ValueMissingError|ResolutionError)\(\s*"(\w+)"',
    r'AccountView\(\s*False,\s*"(\w+)"',
    r'return "(\w+)", f?"',
    r'return None, \(\s*"(\w+)", ',
    r'TargetPoolView\(\s*None,\s*\(\s*"(\w+)"',
    r'Ending\(\s*"(\w+)"',
    r'\((?:True|False), "(\w+)", ',
    r'Notice\(\s*"(\w+)"',
    r'[A-Z_]+ = "(\w+)"\n"""Reason of',
    r'\n    "[a-z]+(?:-[a-z]+)*": "([A-Z]\w+)",',
    r'\n    "[a-z]+(?:-[a-z]+)*": \(\s*"([A-Z]\w+)",',
]


def reasons() -> set[str]:
    text = "\n".join(path.read_text() for path in SOURCES)
    return {found for form in FORMS for found in re.findall(form, text)}


def test_the_forms_still_fit_the_code() -> None:
    assert {
        "Steady",
        "TasksFailed",
        "JobNotFound",
        "IdentityNotAllowed",
        "AccountNotFound",
        "Throttled",
        "PoolNotFound",
        "TokenRequestForbidden",
        "KeyRefused",
    } <= reasons()


@pytest.mark.parametrize("reason", sorted(reasons()))
def test_documented(reason: str) -> None:
    assert f"`{reason}`" in (REPOSITORY / "docs/reasons.md").read_text()
