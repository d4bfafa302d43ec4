"""The one drive of an emulated Windows node: ``D:\\batch\\tasks`` stands for the node's real directory, and nothing else exists.

It is imported by a script that runs without site packages, so it uses the standard library only.
"""

from __future__ import annotations

import fnmatch
import os
from pathlib import Path

NODE_ROOT = "D:\\batch\\tasks"


class Drive:
    """Paths of a node, seen from a current directory.

    Args:
        root: real directory of the node.
        directory: real current directory.
    """

    def __init__(self, root: str, directory: Path) -> None:
        self.root = root
        self.directory = directory

    def path(self, text: str) -> Path:
        """The real path behind a Windows path; names are found whatever their case."""
        parts = [part for part in text.replace("/", "\\").split("\\") if part]
        if text[:2].lower() == "d:" or text.startswith(("\\", "/")):
            below = NODE_ROOT.split("\\")[1:]
            inner = parts[1:] if text[1:2] == ":" else parts
            if [part.lower() for part in inner[: len(below)]] != below:
                return Path(self.root) / "\0missing"
            place, parts = Path(self.root), inner[len(below) :]
        elif text[1:2] == ":":
            return Path(self.root) / "\0missing"
        else:
            place = self.directory
        for part in parts:
            if part in (".", ".."):
                place = place.parent if part == ".." and str(place) != self.root else place
                continue
            place = _same(place, part)
        return place

    def shown(self, place: Path) -> str:
        inner = os.path.relpath(place, self.root).replace("/", "\\")
        return NODE_ROOT if inner == "." else f"{NODE_ROOT}\\{inner}"

    def matches(self, text: str) -> list[Path]:
        """Files behind a path whose last part may have wildcards."""
        if "*" not in text and "?" not in text:
            place = self.path(text)
            return [place] if exists(place) else []
        directory, _, pattern = text.replace("/", "\\").rpartition("\\")
        place = self.path(directory) if directory else self.directory
        if not exists(place):
            return []
        return sorted(entry for entry in place.iterdir() if named(entry, pattern))


def named(place: Path, pattern: str) -> bool:
    """Whether a pattern fits the name of a file, whatever the case."""
    return fnmatch.fnmatchcase(place.name.lower(), "*" if pattern == "*.*" else pattern.lower())


def exists(place: Path) -> bool:
    """Whether there is such a file or directory."""
    return "\0" not in str(place) and place.exists()


def _same(place: Path, name: str) -> Path:
    """An entry of a directory by its name in any case, or where it would be."""
    exact = place / name
    if exact.exists() or not place.is_dir():
        return exact
    return next((entry for entry in place.iterdir() if entry.name.lower() == name.lower()), exact)
