"""`python -m wording`: reports the words that docs/glossary.md says to avoid, with file, line and the better word.

The glossary is the only list, so a page that people read and the check cannot disagree.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"
_SECTION = "## Words to avoid"
_TEXTS = frozenset({".py", ".md", ".yaml", ".yml", ".toml", ".tpl", ".txt", ".lua", ".json", ""})
_NOT_OURS = ("CHANGELOG.md", "LICENSE", "requirements", "benchmarks/results/", "docs/glossary.md")
"""What was released stays as it was released; the rest is the text of others, or the list itself."""


def avoided(page: str) -> dict[str, str]:
    """The words to avoid, and what to write instead.

    Args:
        page: text of the glossary.

    Raises:
        ValueError: the page has no such table.
    """
    rows = re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", page.partition(_SECTION)[2], re.MULTILINE)
    if not rows[1:]:
        raise ValueError(f"{GLOSSARY.name} has no table below {_SECTION!r}")
    return dict(rows[1:])


def found(text: str, words: dict[str, str]) -> Iterator[tuple[int, str]]:
    """Line number and word of each word in a text that is to be avoided; a phrase may continue in the next line."""
    for word in words:
        pattern = r"(?<![\w\"'-])" + r"\s+".join(map(re.escape, word.split())) + r"(?![\w\"'-])"
        for match in re.finditer(pattern, text, re.IGNORECASE):
            yield text.count("\n", 0, match.start()) + 1, word


def main() -> int:
    """Print what is to be changed; 1 if there is anything."""
    words = avoided(GLOSSARY.read_text())
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    number = 0
    for name in listed.split("\0"):
        path = ROOT / name
        if not name or name.startswith(_NOT_OURS) or path.suffix not in _TEXTS or not path.is_file():
            continue
        for line, word in sorted(found(path.read_text(), words)):
            number += 1
            print(f"{name}:{line}: {word!r}: write {words[word]!r}")
    return 1 if number else 0


if __name__ == "__main__":
    sys.exit(main())
