"""The guided tour names files, functions and classes that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from azure_batch_operator.generate import ROOT
from azure_batch_operator.sync.wake import Trigger

PACKAGE = ROOT / "operator" / "azure_batch_operator"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
QUOTED = sorted(set(re.findall(r"`([^`\n]+)`", PAGE)))
FILES = [each for each in QUOTED if re.fullmatch(r"[\w/<>]+(\.py|/)", each) and "/" in each]
MEMBERS = [each for each in QUOTED if re.fullmatch(r"[A-Z]\w+\.\w+", each) and not each.endswith(".py")]
FUNCTIONS = [each for each in QUOTED if re.fullmatch(r"_[a-z]\w+", each)]
KINDS = ("account", "pool", "job", "task", "schedule", "operation")


def _exists(path: str) -> bool:
    return (PACKAGE / path).exists() or (ROOT / path).exists()


@pytest.mark.parametrize("path", FILES)
def test_a_file_exists(path: str) -> None:
    for name in [path.replace("<kind>", kind) for kind in KINDS] if "<kind>" in path else [path]:
        assert _exists(name), f"docs/architecture.md names {name}, which does not exist"


@pytest.mark.parametrize("name", [*MEMBERS, *FUNCTIONS])
def test_a_name_is_defined(name: str) -> None:
    owner, _, member = name.rpartition(".")
    defined = re.compile(rf"^\s*(?:(?:async )?def|class) {member}\b|^    {member}\b.*[:=]", re.MULTILINE)
    sources = [path.read_text() for path in PACKAGE.rglob("*.py")]
    assert any(defined.search(text) for text in sources if not owner or f"class {owner}" in text), name


def test_the_tour_names_enough() -> None:
    assert len(FILES) > 40
    assert len(MEMBERS) > 5
    assert Path(PACKAGE, "sync", "executor.py").is_file()


def test_the_page_shows_what_wakes_what() -> None:
    shown = PAGE.partition("| What happened | Who notices | What is queued |\n|---|---|---|\n")[2].partition("\n\n")[0]
    rows = [
        f"| {each.value.event} | {each.value.noticed} | {'; '.join(target.value for target in each.value.targets)} |"
        for each in Trigger
    ]
    assert shown.splitlines() == rows
