"""docs/pools.md names tests for what it promises; they are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "pools.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:e2e|unit)/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


def test_the_page_names_tests() -> None:
    assert len(NAMED) > 10


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_it_is_there(path: str, name: str) -> None:
    text = (TESTS / path).read_text()
    assert not name or f"def {name}(" in text
