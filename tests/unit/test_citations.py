"""What comments and pages refer to is in this repository: a reader can look it up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("operator", "emulator", "kubectl", "tests", "dev", "docs", "manifests", "helm", "crds", "gitops", "schemas")
SUFFIXES = {".py", ".md", ".yaml", ".yml", ".json", ".go", ".lua", ".tpl", ".toml", ".sh"}
ELSEWHERE = re.compile(r"\N{SECTION SIGN}|batch[-]semantics|\b(?:kopf|users|peers)[.]md\b")
"""Numbered sections, and documents that are not in the repository."""
SAMPLES = {"tests/unit/test_hub.py"}
"""Files whose references are made up."""
TARGET = re.compile(r"(?<![\w/.-])(docs/[\w/-]+[.]md)(?:#([\w-]+))?")


def texts() -> Iterator[tuple[str, str]]:
    """Path and text of every file that a person reads."""
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in SUFFIXES and path.is_file() and "__pycache__" not in path.parts:
                yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8", errors="replace")
    for path in ROOT.glob("*.md"):
        yield path.name, path.read_text(encoding="utf-8")


def anchors(page: str) -> set[str]:
    """Anchors of a page's headings, as MkDocs makes them."""
    headings = re.findall(r"^#+ (.+)$", page, flags=re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", each).strip().lower()) for each in headings}


def problems(path: str, text: str) -> list[str]:
    """What in a text leads nowhere."""
    found = [f"{path} refers to {each!r}: write what the reader needs to docs/" for each in ELSEWHERE.findall(text)]
    for page, anchor in TARGET.findall(text) if path not in SAMPLES else ():
        if not (ROOT / page).is_file():
            found.append(f"{path} refers to {page}, which does not exist")
        elif anchor and anchor not in anchors((ROOT / page).read_text(encoding="utf-8")):
            found.append(f"{path} refers to {page}#{anchor}, and the page has no such heading")
    return found


def test_references_lead_to_something() -> None:
    assert [each for path, text in texts() for each in problems(path, text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "\N{SECTION SIGN}4.1",
        "batch" + "-semantics",
        "see users" + ".md",
        "docs/no-such-page" + ".md",
        "docs/pools.md#" + "no-such-heading",
    ],
)
def test_a_reference_that_leads_nowhere_is_found(text: str) -> None:
    assert problems("here", text)


def test_a_heading_of_a_page_is_found() -> None:
    assert problems("here", "(docs/azure-batch.md#error-codes)") == []
