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


def below(
    pattern: str, working_directory: Path, root: Path, variables: Mapping[str, str], *, windows: bool
) -> str | None:
    """The pattern below the node's directory, with the values of variables put in; unknown ones stay as they are.

    Returns:
        It is relative to `root`, whose own name is no pattern. None if it leads out of it.
    """
    if windows:
        upper = {name.upper(): value for name, value in variables.items()}
        text = _WINDOWS_VARIABLE.sub(lambda found: upper.get(found[1].upper(), found[0]), pattern).replace("\\", "/")
        if text.lower().startswith(_WINDOWS_ROOT):
            text = f"{root}{text[len(_WINDOWS_ROOT) :]}"
    else:
        text = _LINUX_VARIABLE.sub(lambda found: variables.get(found[1] or found[2], found[0]), pattern)
    found, top = os.path.normpath(working_directory / text), os.path.normpath(root)
    if "\0" in found or not found.startswith(f"{top}/"):
        return None
    inner = found[len(top) + 1 :]
    return _in_real_case(inner, root) if windows else inner


def _in_real_case(pattern: str, root: Path) -> str | None:
    """A pattern of a Windows node with its directories as they are called on this machine."""
    fixed = fixed_part(pattern)
    real = Drive(str(root), root).path(fixed)
    if "\0" in str(real):
        return None
    shown = "" if real == root else str(real.relative_to(root))
    return f"{shown}/{pattern[len(fixed) :]}" if shown and fixed.endswith("/") else f"{shown}{pattern[len(fixed) :]}"


def fixed_part(pattern: str) -> str:
    """The directories of a pattern before the first part with a wildcard, with a slash at the end; all of it if there is none."""
    match = _WILDCARD.search(pattern)
    return pattern if match is None else pattern[: pattern.rfind("/", 0, match.start()) + 1]


def files(root: Path, pattern: str, *, ignore_case: bool) -> Iterator[tuple[str, Path]]:
    """The files behind a pattern that is relative to a node's directory, by their names below its fixed part.

    Paths are real ones, without links. A link counts where it leads to something on the node, whatever is tried:
    nothing outside is read, listed or walked.
    """
    top, fixed = os.path.realpath(root), fixed_part(pattern)
    start = os.path.realpath(os.path.join(top, fixed))  # noqa: PTH118 - `Path` takes away the slash at the end
    if fixed == pattern:
        if start.startswith(f"{top}/") and os.path.isfile(start):  # noqa: PTH113 - `Path` fails for names that are too long
            yield os.path.basename(pattern), Path(start)  # noqa: PTH119
    elif f"{start}/".startswith(f"{top}/"):
        wanted = pattern[len(fixed) :].split("/")
        for name, file in _walk(start, wanted, ignore_case=ignore_case):
            real = os.path.realpath(file) if os.path.islink(file) else file  # noqa: PTH114 - as above
            if real.startswith(f"{top}/") and os.path.isfile(real):  # noqa: PTH113
                yield name, Path(real)


def _walk(start: str, wanted: Sequence[str], *, ignore_case: bool) -> Iterator[tuple[str, str]]:
    """What fits the parts of a pattern below a directory: names relative to it, and paths."""
    if ignore_case:
        wanted = [part.lower() for part in wanted]
    hidden = any(part.startswith(".") for part in wanted)
    for directory, directories, names in os.walk(start):
        if not hidden:
            directories[:] = [name for name in directories if not name.startswith(".")]
        inner = directory[len(start) :].strip("/")
        above = inner.split("/") if inner else []
        for name in names:
            parts = [*above, name]
            if _fits([part.lower() for part in parts] if ignore_case else parts, wanted):
                yield "/".join(parts), f"{directory}/{name}"


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
