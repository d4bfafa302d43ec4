"""docs/pools.md and docs/accounts.md name tests for what they promise: the tests exist, and no problem is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGES = {name: (TESTS.parent / "docs" / f"{name}.md").read_text() for name in ("pools", "accounts")}
NAMED = sorted(
    {found for page in PAGES.values() for found in re.findall(r"`((?:e2e|unit|chaos)/[\w/]+\.py)(?:::(\w+))?`", page)}
)
COMPLAINTS = 15
"""On quotas and capacity, stuck pools, and nodes."""


def rows(page: str) -> list[list[str]]:
    """Cells of the table of complaints."""
    table = page.partition("## Common problems with Azure Batch")[2]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_it_is_there(path: str, name: str) -> None:
    assert name, "a whole file shows nothing in particular"
    assert f"def {name}(" in (TESTS / path).read_text()


def test_every_complaint_is_answered() -> None:
    answers = {cells[0]: cells for cells in rows(PAGES["pools"])}
    assert answers.keys() >= {str(number) for number in range(1, COMPLAINTS + 1)}


@pytest.mark.parametrize("page", PAGES)
def test_every_answer_is_shown_by_a_test_or_says_why_not(page: str) -> None:
    assert rows(PAGES[page])
    for cells in rows(PAGES[page]):
        assert "::test_" in cells[-1] or cells[-2].startswith("not done: "), cells
