"""Hooks of mkdocs: a place in the navigation for every page, an anchor for every row that alerts and people link to, and a heading
for every reason, so that the search finds it.

Pages that mkdocs.yml does not name go by their folder, under their own title, so a new page is on the site without anybody having
to think of it; where it is not good enough there, mkdocs.yml names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SECTIONS = {"decisions": "Decisions", "reference": "Reference"}
_OTHERS = "Run jobs"
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
    known = {(id or title).strip().lower() for title, id in re.findall(r"(?m)^#+ (.*?)(?: \{ #(\S+) .*\})?$", text)}
    known.update(re.findall(r'<a id="(\S+)">', text))

    def anchors(found: str) -> str:
        names = [name for each in re.findall(r"[A-Z]\w+", found) if (name := each.lower()) not in known]
        known.update(names)
        return "".join(f'<a id="{name}"></a>' for name in names) + found

    rows = r"(?m)(?<=^\| )((?:`[A-Z]\w+`(?:, )?)+|AzureBatch\w+)(?= \|)"
    text = re.sub(rows, lambda row: anchors(row[1]), text)
    return re.sub(r"(?m)(?<!>)`[A-Z]\w+`", lambda word: anchors(word[0]), text)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by mkdocs with the text of each page."""
    return shown(page.file.src_uri, markdown)


def shown(page: str, text: str) -> str:
    """The text of a page as it is on the site."""
    if page == "reasons.md":
        text = with_headings(text)
    return anchored(text) if page in _ANCHORED else text


_TABLE = re.compile(r"(?m)^\| Reason \|.*\n\|[-|]+\n((?:\|.*\n)+)")
_CELL = re.compile(r"(?<!\\)\|")


def with_headings(text: str) -> str:
    """The page of reasons with a heading instead of each row: the search of the site finds headings, and links lead to them."""
    seen: set[str] = set()
    parts = re.split(r"(?m)^(?=## )", text)
    for at, part in enumerate(parts):
        kind = part.partition("\n")[0].removeprefix("## ")
        parts[at] = _TABLE.sub(lambda table, kind=kind: _sections(table[1], kind, seen), part)
    return "".join(parts)


def _sections(rows: str, kind: str, seen: set[str]) -> str:
    lines = []
    for row in rows.splitlines():
        reason, meaning, *remedy = (each.strip() for each in _CELL.split(row.strip("|")))
        names = [each.lower() for each in re.findall(r"`(\w+)`", reason)]
        # A reason that several kinds have is linked to where it stands first.
        own = [each for each in names if each not in seen]
        seen.update(own)
        id = own[0] if own else f"{kind}-{'-'.join(names)}".lower()
        title = reason if kind == "All kinds" else f"{reason} ({kind})"
        label = reason.replace("`", "")
        lines += [
            f'### {title[:1].upper()}{title[1:]} {{ #{id} data-toc-label="{label}" }}',
            "",
            *(f'<a id="{each}"></a>' for each in own[1:]),
        ]
        lines += [f"{_sentence(meaning)}", ""] if meaning else [""]
        if remedy and remedy[0]:
            lines += [f"**What to do:** {_sentence(remedy[0])}", ""]
    return "\n".join(lines)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
