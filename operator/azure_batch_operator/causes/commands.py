"""A hint about a failed task: Azure Batch runs its command line without a shell, and it has words that only a shell understands.

A command line is a tenant's text of any length and is read on the event loop, so only its beginning is, in linear time
(tests/unit/causes/test_hints.py, `test_no_command_line_takes_long`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import PureWindowsPath
from typing import Any

_LONGEST = 4096
"""Characters of a command line that are looked at."""
_UNIX = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "fish"})
_POWERSHELL = frozenset({"powershell", "pwsh"})
_WITH_VALUE = ("o", "O")
"""Last letters of options of a shell that the next word belongs to, as in `bash -eo pipefail -c`."""
_MAX_OPTIONS = 16
"""Words behind the name of a shell among which its options are looked for."""
_EVERYWHERE = frozenset({"HOME", "PATH"})
"""Variables of every process on a node, besides those that Azure Batch adds."""
_FIRST = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^\s"']+))""")
_SINGLE = re.compile(r"'[^']*'")
# A quote that nothing closes reaches to the end: each search for the end of one would otherwise go over the whole rest.
_DOUBLE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_OPERATOR = re.compile(
    r"(?<!\S)(?:&&|\|\|?|;|[0-9]?>>?|<|2>&1)(?!\S)|(?<=[\w'\"])(?:&&|;(?=\s))|(?<=\s)[0-9]?>>?(?=[\w./$])"
)
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")


def names_of(task: Mapping[str, Any]) -> frozenset[str]:
    """Names of the variables that a task's specification sets."""
    return frozenset(str(setting.get("name")) for setting in task.get("environmentSettings") or ())


def without_shell(command: str, environment: Collection[str] = ()) -> str | None:
    """What of a command line needed a shell, and how to get one; None if nothing did, or if it has one.

    Args:
        environment: names of variables that the task has besides those of every task.
    """
    if len(command) > _LONGEST:
        # The last word may be cut in two.
        command = command[:_LONGEST].rpartition(" ")[0]
    first = _FIRST.match(command)
    if first is None:
        return None
    if _runs_a_command(first[1] or first[2] or first[3] or "", _words(command[first.end() :])[:_MAX_OPTIONS]):
        return None
    bare = _SINGLE.sub("''", command)
    unquoted = _DOUBLE.sub('""', bare)
    found = _OPERATOR.search(unquoted) or next(_variables(bare, unquoted, environment), None)
    if found is None:
        return None
    return (
        "run the command line in a shell, with /bin/sh -c '…' or cmd /c on Windows: Azure Batch runs it without one, so the "
        f"program gets {found[0].strip()!r} as an argument"
    )


def _words(text: str) -> list[str]:
    return text.replace('"', " ").replace("'", " ").split()


def _runs_a_command(program: str, arguments: Sequence[str]) -> bool:
    """Whether a program is a shell that takes a command from its arguments, and not only the name of a script."""
    name = PureWindowsPath(program).name.lower().removesuffix(".exe")
    if name == "busybox" and arguments:
        name, arguments = arguments[0], arguments[1:]
    if name in _POWERSHELL:
        return True
    if name == "cmd":
        switches = [word.lower() for word in arguments if word.startswith("/")]
        return any(word.startswith(("/c", "/k")) for word in switches)
    return name in _UNIX and _has_command_option(arguments)


def _has_command_option(arguments: Sequence[str]) -> bool:
    options = iter(arguments)
    for word in options:
        if not word.startswith(("-", "+")):
            return False
        if word.endswith(_WITH_VALUE):
            next(options, None)
        elif word.startswith("-") and not word.startswith("--") and "c" in word:
            return True
    return False


def _variables(bare: str, unquoted: str, environment: Collection[str]) -> Iterator[re.Match[str]]:
    """Variables that a shell would have replaced: programs of other languages have `$` in quotes as well."""
    yield from _VARIABLE.finditer(unquoted)
    words = _words(bare)
    if any(_runs_a_command(word, words[place + 1 : place + 1 + _MAX_OPTIONS]) for place, word in enumerate(words)):
        # A program that runs a shell, such as `timeout 60 bash -c "…"`.
        return
    for found in _VARIABLE.finditer(bare):
        name = found[1] or found[2]
        if name.startswith("AZ_BATCH_") or name in _EVERYWHERE or name in environment:
            yield found
