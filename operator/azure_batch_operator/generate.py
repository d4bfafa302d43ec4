"""`make crds`: writes everything that is derived from the models in `api/`, or says what of it is stale.

`crds/` (CustomResourceDefinitions), `schemas/` (JSON Schemas for editors), `docs/reference/` (pages). All are checked in.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import click

from azure_batch_operator import crds, reference

_ROOT = Path(__file__).parents[2]


def files() -> dict[Path, Mapping[str, str]]:
    """Directory → file name → content; nothing else is in these directories."""
    return {
        _ROOT / "crds": crds.render(),
        _ROOT / "schemas": reference.editor_schemas(),
        _ROOT / "docs" / "reference": reference.pages(),
    }


def stale() -> list[str]:
    """Files that are missing, superfluous or not what the models say, by their path in the repository."""
    found = []
    for directory, wanted in files().items():
        present = {path.name: path.read_text() for path in directory.glob("*") if path.is_file()}
        names = wanted.keys() | present.keys()
        found += [str((directory / name).relative_to(_ROOT)) for name in names if wanted.get(name) != present.get(name)]
    return sorted(found)


@click.command(help=__doc__)
@click.option("--check", is_flag=True, help="Write nothing; fail if files are stale.")
def main(check: bool) -> None:
    """Write or check the files."""
    if check:
        if found := stale():
            sys.exit(f"not what the models in operator/azure_batch_operator/api say: {', '.join(found)}: run make crds")
        return
    for directory, wanted in files().items():
        directory.mkdir(parents=True, exist_ok=True)
        for path in directory.glob("*"):
            if path.is_file() and path.name not in wanted:
                path.unlink()
        for name, text in wanted.items():
            (directory / name).write_text(text)


if __name__ == "__main__":
    main()
