"""A hint about a failed task: Azure Batch runs its command line without a shell, and it has words that only a shell understands."""

from __future__ import annotations

import re
from pathlib import PureWindowsPath

_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "busybox", "cmd", "powershell", "pwsh"})
_SINGLE, _DOUBLE = re.compile(r"'[^']*'"), re.compile(r'"(?:[^"\\]|\\.)*"')
_OPERATOR = re.compile(
    r"(?<!\S)(?:&&|\|\|?|;|[0-9]?>>?|<|2>&1)(?!\S)|(?<=[\w'\"])(?:&&|;(?=\s))|(?<=\s)[0-9]?>>?(?=[\w./$])"
)
_VARIABLE = re.compile(r"\$(?:\{[A-Za-z_]\w*\}|[A-Za-z_]\w*)")


def without_shell(command: str) -> str | None:
    """What of a command line needed a shell, and how to get one; None if nothing did, or if it has one."""
    words = command.replace('"', " ").replace("'", " ").split()
    if any(PureWindowsPath(word).stem.lower() in _SHELLS for word in words):
        return None
    bare = _SINGLE.sub("''", command)
    found = _OPERATOR.search(_DOUBLE.sub('""', bare)) or _VARIABLE.search(bare)
    if found is None:
        return None
    return (
        "run the command line in a shell, with /bin/sh -c '…' or cmd /c on Windows: Azure Batch runs it without one, so the "
        f"program gets {found[0].strip()!r} as an argument"
    )
