"""Patterns of output files, as the API document has them: variables, then wildcards.

``*``, ``?`` and brackets stand for characters of one name, ``**`` for any directories. Names that begin with a dot are matched by
patterns that do too. A tree is walked once whatever the pattern, and links to directories are not followed: a task can make trees
in which anything else would never end.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from azure_batch_emulator.executors.windows_drive import NODE_ROOT, Drive

_WILDCARD = re.compile(r"[*?\[]")
_LINUX_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII)
_WINDOWS_VARIABLE = re.compile(r"%([^%=\s]+)%")
_WINDOWS_ROOT = NODE_ROOT.lower().replace("\\", "/")


def absolute(pattern: str, working_directory: Path, root: Path, variables: Mapping[str, str], *, windows: bool) -> str:
    """The pattern below the node's directory, with the values of variables put in; unknown ones stay as they are."""
    if windows:
        upper = {name.upper(): value for name, value in variables.items()}
        text = _WINDOWS_VARIABLE.sub(lambda found: upper.get(found[1].upper(), found[0]), pattern).replace("\\", "/")
        if text.lower().startswith(_WINDOWS_ROOT):
            text = f"{root}{text[len(_WINDOWS_ROOT) :]}"
    else:
        text = _LINUX_VARIABLE.sub(lambda found: variables.get(found[1] or found[2], found[0]), pattern)
    found = os.path.normpath(working_directory / text)
    if not windows or not found.startswith(f"{root}/"):
        return found
    top = fixed_part(found)
    # Whatever the case in which its directories are written.
    real = Drive(str(root), root).path(top[len(str(root)) + 1 :])
    return f"{real}/{found[len(top) :]}" if top.endswith("/") else str(real)


def fixed_part(pattern: str) -> str:
    """The directories of a pattern before the first part with a wildcard, with a slash at the end; all of it if there is none."""
    match = _WILDCARD.search(pattern)
    return pattern if match is None else pattern[: pattern.rfind("/", 0, match.start()) + 1]


def matches(pattern: str, *, ignore_case: bool) -> Iterator[str]:
    """Paths of the files behind an absolute pattern with wildcards."""
    top = fixed_part(pattern)
    wanted = [part.lower() if ignore_case else part for part in pattern[len(top) :].split("/")]
    hidden = any(part.startswith(".") for part in wanted)
    for directory, directories, files in os.walk(top):
        if not hidden:
            directories[:] = [name for name in directories if not name.startswith(".")]
        inner = directory[len(top) :]
        above = inner.split("/") if inner else []
        for name in files:
            parts = [*above, name]
            if _fits([part.lower() for part in parts] if ignore_case else parts, wanted):
                yield f"{top}{'/'.join(parts)}"


def _fits(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether the parts of a path fit those of a pattern; the work grows with the product of their numbers."""
    places = _skipped({0}, wanted)
    for part in parts:
        following = set()
        for place in places:
            if place == len(wanted):
                continue
            if wanted[place] == "**":
                if not part.startswith("."):
                    following.add(place)
            elif fnmatch.fnmatchcase(part, wanted[place]) and part.startswith(".") <= wanted[place].startswith("."):
                following.add(place + 1)
        places = _skipped(following, wanted)
    return len(wanted) in places


def _skipped(places: set[int], wanted: Sequence[str]) -> set[int]:
    """The places in a pattern, and those that are reached by letting ``**`` stand for nothing."""
    found = set(places)
    for place in places:
        while place < len(wanted) and wanted[place] == "**":
            place += 1
            found.add(place)
    return found
