"""A hook of mkdocs: pages that mkdocs.yml does not name get their place in the navigation by their folder, under their own title.

So a new page is on the site without anybody having to think of it; where it is not good enough there, mkdocs.yml names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SECTIONS = {"decisions": "Decisions", "reference": "Reference"}
_OTHERS = "Use"


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
