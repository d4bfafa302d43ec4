"""The pages agree on where the operator is installed."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_NAMESPACE = re.compile(r"(?:\s-n|--namespace)[ =]([a-z][a-z0-9-]*)")
_OTHERS = {"argocd", "render", "team-a"}
"""Namespaces of other things that pages show."""


def test_all_pages_name_one_namespace_for_the_operator() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {(name, page.name) for page in pages for name in _NAMESPACE.findall(page.read_text())}
    assert {name for name, _ in named} - _OTHERS == {"azure-batch-operator"}, sorted(named)
