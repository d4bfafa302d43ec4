"""``start``: a command that runs beside the others, or one that is waited for.

It is imported by a script that runs without site packages, so it uses the standard library only.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from io import UnsupportedOperation
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING or __package__:
    from azure_batch_emulator.executors import windows_syntax as syntax
    from azure_batch_emulator.executors.windows_drive import exists
    from azure_batch_emulator.executors.windows_session import Failure, Session
else:
    # These modules are no part of a package when the script runs.
    syntax = importlib.import_module("windows_syntax")
    exists = importlib.import_module("windows_drive").exists
    session = importlib.import_module("windows_session")
    Failure, Session = session.Failure, session.Session

_SHELL = Path(__file__).with_name("windows_shell.py")
_WORD = re.compile(r'\s*("[^"]*"?|(?:"[^"]*"|[^\s"])+)')
# Windows and priorities mean nothing here.
_IGNORED = frozenset(["/min", "/max", "/low", "/normal", "/high", "/realtime", "/abovenormal", "/belownormal", "/i"])
_WAIT = frozenset({"/wait", "/w"})
_KNOWN = "start with a title, /b, /wait, /d, /i, /min, /max and priorities only"


class Start(NamedTuple):
    """What a line asks for.

    Attributes:
        line: the command with its arguments; empty for a window in which nothing runs.
        waits: the line continues when the command has ended, with its exit code.
        shares: the command writes where ``start`` would; otherwise into a window of its own.
        directory: where it runs, empty for the present directory.
    """

    line: str
    waits: bool
    shares: bool
    directory: str


def parsed(rest: str) -> Start:
    """Take a line apart: options and a title in quotes come before the command.

    Raises:
        Failure: for an option that the emulator does not know.
    """
    waits = shares = titled = False
    directory, place = "", 0
    while (match := _WORD.match(rest, place)) is not None:
        word = match[1]
        option = word.lower()
        if word[0] == '"' and not titled:
            titled = True
        elif option in _WAIT:
            waits = True
        elif option == "/b":
            shares = True
        elif option[:2] == "/d":
            given = word[2:]
            if not given and (match := _WORD.match(rest, match.end())) is not None:
                given = match[1]
            if match is None:
                raise Failure("The syntax of the command is incorrect.")
            directory = given.replace('"', "")
        elif option in _IGNORED:
            pass
        elif word[0] == "/":
            raise Failure(f'Invalid switch - "{word[1:]}".\n{syntax.LIMIT.format(_KNOWN)}')
        else:
            break
        place = match.end()
    return Start(rest[place:].strip(), waits, shares, directory)


def run(session: Session, rest: str, known: Callable[[str], bool]) -> int:
    """Start a command; its exit code if it is waited for, else 0. What still runs ends with the command of the task.

    Args:
        known: whether the node has a program of that name.
    """
    wanted = parsed(rest)
    if not wanted.line:
        return 0
    name = syntax.command_name(wanted.line).strip('"')
    if not known(name):
        limit = syntax.LIMIT.format("commands of cmd and batch files")
        raise Failure(f"The system cannot find the file {name}.\n{limit}")
    directory = session.drive.path(wanted.directory) if wanted.directory else session.drive.directory
    if not (exists(directory) and directory.is_dir()):
        raise Failure("The current directory is invalid.")
    streams = [_target(stream) if wanted.shares else subprocess.DEVNULL for stream in session.streams[1:]]
    variables = dict(session.variables.values())
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-X", "utf8", str(_SHELL), "cmd", f'/s /c "{wanted.line}"'],
        cwd=directory,
        env=variables | {"AZBE_ROOT": session.drive.root, "AZBE_PATH": os.environ.get("AZBE_PATH", "")},
        stdin=subprocess.DEVNULL,
        stdout=streams[0],
        stderr=streams[1],
    )
    if subprocess.PIPE in streams:
        # Whoever reads a pipe waits for all that write to it.
        for stream, written in zip(session.streams[1:], process.communicate(), strict=True):
            stream.write(written or b"")
    return process.wait() if wanted.waits else 0


def _target(stream: IO[bytes]) -> IO[bytes] | int:
    """Where another process writes to for a stream of this one."""
    try:
        stream.fileno()
    except UnsupportedOperation:
        return subprocess.PIPE
    stream.flush()
    return stream
