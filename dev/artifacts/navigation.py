"""Hooks of mkdocs: a place in the navigation for every page, and an anchor for every row that alerts and people link to.

Pages that mkdocs.yml does not name go by their folder, under their own title, so a new page is on the site without anybody having
to think of it; where it is not good enough there, mkdocs.yml names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SECTIONS = {"decisions": "Decisions", "reference": "Reference"}
_OTHERS = "Use"
_ANCHORED = frozenset({"reasons.md", "metrics.md"})
"""Pages whose tables begin with a reason or an alert."""


def named(nav: Any) -> Iterator[str]:
    """The pages that a navigation names."""
    match nav:
        case str():
            yield nav
        case dict():
            for each in nav.values():
                yield from named(each)
        case list():
            for each in nav:
                yield from named(each)


def title(page: Path) -> str:
    """The first heading of a page."""
    return next(line.removeprefix("# ") for line in page.read_text().splitlines() if line.startswith("# "))


def completed(nav: list[dict[str, Any]], docs: Path) -> list[dict[str, Any]]:
    """The navigation with all pages of the folder."""
    known = set(named(nav))
    sections = {next(iter(each)): each for each in nav}
    for page in sorted(docs.rglob("*.md")):
        path = page.relative_to(docs)
        if str(path) not in known:
            section = _SECTIONS.get(path.parts[0], _OTHERS)
            if section not in sections:
                sections[section] = {section: []}
                nav.append(sections[section])
            sections[section][section].append({title(page): str(path)})
    return nav


def on_config(config: Any) -> Any:
    """Called by mkdocs before anything else."""
    config["nav"] = completed(config["nav"], Path(config["docs_dir"]))
    return config


def anchored(text: str) -> str:
    """A page with an anchor for each reason and alert, named like it in lower case: at its own row, else where it comes first."""
    # A heading has an anchor of its own.
    known = {each.strip().lower() for each in re.findall(r"(?m)^#+ (.*)$", text)}

    def anchors(found: str) -> str:
        names = [name for each in re.findall(r"[A-Z]\w+", found) if (name := each.lower()) not in known]
        known.update(names)
        return "".join(f'<a id="{name}"></a>' for name in names) + found

    rows = r"(?m)(?<=^\| )((?:`[A-Z]\w+`(?:, )?)+|AzureBatch\w+)(?= \|)"
    text = re.sub(rows, lambda row: anchors(row[1]), text)
    return re.sub(r"(?m)(?<!>)`[A-Z]\w+`", lambda word: anchors(word[0]), text)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by mkdocs with the text of each page."""
    return anchored(markdown) if page.file.src_uri in _ANCHORED else markdown
