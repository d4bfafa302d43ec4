"""Generates all files that are derived from the models in `api/`, or lists the outdated ones.

`crds/` (CustomResourceDefinitions), `schemas/` (JSON Schemas for editors), `docs/reference/` (pages). All are checked in.
`make crds` calls it through dev/artifacts, which adds what is shipped besides: the Helm chart, dashboards, further pages.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from azure_batch_operator import crds, reference

ROOT = Path(__file__).parents[2]
Files = Mapping[Path, Mapping[str, str]]
"""Directory → file name → content."""


def files() -> Files:
    """What is derived from the models; nothing else is in these directories."""
    return {
        ROOT / "crds": crds.render(),
        ROOT / "schemas": reference.editor_schemas(),
        ROOT / "docs" / "reference": reference.pages(),
    }


def stale(wanted: Files, whole: Collection[Path]) -> list[str]:
    """Files that are missing, superfluous or not what they should be, by their path in the repository.

    Args:
        whole: the directories that hold nothing but what is written.
    """
    found = []
    for directory, contents in wanted.items():
        present = {path.name: path.read_text() for path in directory.glob("*") if path.is_file()}
        names = contents.keys() | (present.keys() if directory in whole else set())
        found += [
            str((directory / name).relative_to(ROOT)) for name in names if contents.get(name) != present.get(name)
        ]
    return sorted(found)


def write(wanted: Files, whole: Collection[Path]) -> list[str]:
    """Write the files that are stale, and remove what else is in the directories that are `whole`; returns what was done."""
    changed = stale(wanted, whole)
    for name in changed:
        path = ROOT / name
        text = wanted[path.parent].get(path.name)
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return [f"{'wrote' if (ROOT / name).exists() else 'removed'} {name}" for name in changed]
