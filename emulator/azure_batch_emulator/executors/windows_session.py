"""What one run of the stand-in for cmd has at hand: variables, current directory, streams and the error level.

It is imported by a script that runs without site packages, so it uses the standard library only.
"""

from __future__ import annotations

import importlib
import random
import re
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from azure_batch_emulator.executors import windows_syntax as syntax
    from azure_batch_emulator.executors.windows_drive import Drive
else:
    syntax = importlib.import_module("windows_syntax")
    Drive = importlib.import_module("windows_drive").Drive

NOT_FOUND = "The system cannot find the file specified."
NO_PATH = "The system cannot find the path specified."


class Exit(Exception):  # noqa: N818 - not an error
    """``exit`` with a code; `batch` for ``exit /b``, which ends a batch file only."""

    def __init__(self, code: int, *, batch: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.batch = batch


class Failure(Exception):  # noqa: N818 - a command's complaint
    """What goes to stderr, and the error level that follows."""

    def __init__(self, text: str, level: int = 1) -> None:
        super().__init__(text)
        self.level = level


class _Values(Mapping[str, str]):
    """Variables and what cmd makes up: ``%RANDOM%`` is another number each time."""

    def __init__(self, found: dict[str, str]) -> None:
        self._found = found

    def __getitem__(self, name: str) -> str:
        if name == "RANDOM" and name not in self._found:
            return str(random.randrange(32768))  # noqa: S311 - as cmd's is
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


class Session:
    """Shared by all commands of a run.

    Args:
        root: real directory of the node.
        variables: by name as given; names that begin with AZBE_ are the emulator's own and hidden.
    """

    def __init__(self, root: str, variables: dict[str, str]) -> None:
        self.variables = {name.upper(): (name, value) for name, value in variables.items() if name[:5] != "AZBE_"}
        self.drive = Drive(root, Path.cwd())
        self.streams: list[IO[bytes]] = [sys.stdin.buffer, sys.stdout.buffer, sys.stderr.buffer]
        self.level = 0

    def inner(self) -> Session:
        """That of a further cmd: variables and directory of its own."""
        other = Session(self.drive.root, dict(self.variables.values()))
        other.drive, other.streams = Drive(self.drive.root, self.drive.directory), self.streams
        return other

    def write(self, stream: int, text: str) -> None:
        """Text to stdout (1) or stderr (2), with the line ends of Windows."""
        self.streams[stream].write(text.replace("\n", "\r\n").encode(errors="replace"))
        self.streams[stream].flush()

    def values(self) -> Mapping[str, str]:
        """What ``%NAME%`` means, by name in upper case."""
        found = {name: value for name, (_, value) in self.variables.items()}
        now = time.gmtime()
        hundredths = time.time_ns() // 10_000_000 % 100
        made = {
            "ERRORLEVEL": str(self.level),
            "CD": self.drive.shown(self.drive.directory),
            "DATE": time.strftime("%a %m/%d/%Y", now),
            "TIME": f"{now.tm_hour:2}:{now.tm_min:02}:{now.tm_sec:02}.{hundredths:02}",
            "CMDEXTVERSION": "2",
        }
        return _Values(made | found)

    def set(self, name: str, value: str) -> None:
        """Set a variable; an empty value takes it away."""
        if value:
            self.variables[name.upper()] = (name, value)
        else:
            self.variables.pop(name.upper(), None)


def split(rest: str, known: str = "") -> tuple[set[str], list[str]]:
    """Switches in lower case, and arguments.

    Args:
        known: switches that the command may have, such as ``/b /s``.

    Raises:
        Failure: there are others; as they may change what a command does, none is passed over.
    """
    found = syntax.words(rest)
    switches = {switch for word in found if word[:1] == "/" for switch in re.findall("/[^/]*", word.lower())}
    for switch in sorted(switches - set(known.split())):
        limit = syntax.LIMIT.format(f"this command with {known or 'no switch'} only")
        raise Failure(f'Invalid switch - "{switch[1:]}".\n{limit}')
    return switches, [word for word in found if word[:1] != "/"]
