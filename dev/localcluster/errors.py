"""The one error of this package: what went wrong, the last words of the tool that failed, and what to do about it."""

from collections.abc import Sequence
from pathlib import Path

TAIL_LINES = 15


class LocalClusterError(Exception):
    """Something about the local control plane failed for a reason that a person can act on.

    `str()` is ready to be shown: the reason, then `details` (the last lines of a log or of a tool's output) indented,
    then `remedy`.
    """

    def __init__(self, reason: str, *, details: Sequence[str] = (), remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.details = tuple(details)
        self.remedy = remedy

    def __str__(self) -> str:
        lines = [self.reason, *(f"    {line}" for line in self.details)]
        if self.remedy:
            lines.append(self.remedy)
        return "\n".join(lines)


def last_lines(text: str, count: int = TAIL_LINES) -> list[str]:
    """The last `count` lines of `text` that are not blank, without trailing white space."""
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]


def tail(log: Path, count: int = TAIL_LINES) -> list[str]:
    """The last lines of a log file; empty if there is none. Reads at most the last 64 KiB."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 65536))
            return last_lines(file.read().decode(errors="replace"), count)
    except FileNotFoundError:
        return []
