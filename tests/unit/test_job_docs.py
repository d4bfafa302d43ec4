"""docs/jobs.md names tests for what users complain about; they exist."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_the_tests_that_the_page_names_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", (REPOSITORY / "docs/jobs.md").read_text()))
    sources = [path.read_text() for path in (REPOSITORY / "tests").rglob("test_*.py")]
    there = {name for text in sources for name in re.findall(r"def (test_\w+)", text)}
    assert named
    assert named <= there


def test_no_text_says_low_priority_where_it_means_spot() -> None:
    """`lowPriority` as part of a REST name may stand everywhere."""
    texts = {path: path.read_text() for path in (REPOSITORY / "crds").glob("*.yaml")}
    assert any("Spot" in text for text in texts.values())
    said = re.compile(r"\blow[- ]priority\b", re.IGNORECASE)
    assert [path.name for path, text in texts.items() if said.search(text)] == []
