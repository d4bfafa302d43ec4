"""How a Windows node runs a command line: by a stand-in for cmd, by a real ``pwsh``, or not at all. Pure but for PATH.

As on the real node, the line goes to no shell by itself: its first word is the program.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from azure_batch_emulator.executors.windows_drive import NODE_ROOT
from azure_batch_emulator.executors.windows_syntax import LIMIT

_SHELL = Path(__file__).with_name("windows_shell.py")
_FIRST = re.compile(r'\s*("[^"]*"|\S+)(.*)', re.DOTALL)
_POWERSHELL = frozenset({"powershell", "pwsh"})
# What every process on a Windows node finds, as far as command lines look at it.
_STANDARD = {
    "ComSpec": "C:\\Windows\\system32\\cmd.exe",
    "OS": "Windows_NT",
    "Path": "C:\\Windows\\system32;C:\\Windows",
    "PATHEXT": ".COM;.EXE;.BAT;.CMD",
    "PROCESSOR_ARCHITECTURE": "AMD64",
    "SystemDrive": "C:",
    "SystemRoot": "C:\\Windows",
    "windir": "C:\\Windows",
}


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start.

    Attributes:
        argv: None if the node does not have the program.
        program: its name as given.
        hint: for stderr, when there is nothing to start.
    """

    argv: list[str] | None
    program: str
    hint: str = ""


def launch(command_line: str) -> Launch:
    """Find out what a command line starts."""
    match = _FIRST.fullmatch(command_line)
    if match is None:
        return Launch([], "")
    program, rest = match[1].strip('"'), match[2].strip()
    name = program.replace("/", "\\").rpartition("\\")[2].lower().removesuffix(".exe")
    own = [sys.executable, "-I", "-S", "-X", "utf8", str(_SHELL)]
    if name == "cmd":
        return Launch([*own, "cmd", rest], program)
    if name in _POWERSHELL and shutil.which("pwsh") is not None:
        return Launch([*own, "powershell", rest], program)
    if name.endswith((".bat", ".cmd")):
        # As the node does: a batch file is started by cmd.
        return Launch([*own, "cmd", f"/c call {command_line.strip()}"], program)
    known = "PowerShell only where pwsh is on the emulator's PATH" if name in _POWERSHELL else "cmd and powershell only"
    return Launch(None, program, LIMIT.format(known).replace("\n", "\r\n"))


def environment(variables: Mapping[str, str], root: str, path: str) -> dict[str, str]:
    """Variables of a process on a Windows node.

    Args:
        variables: made for a node whose root is `NODE_ROOT`, with forward slashes below it.
        root: real directory of the node.
        path: PATH of the emulator, by which the stand-in finds ``pwsh``.
    """
    own = {
        name: value.replace("/", "\\") if value.startswith(NODE_ROOT) else value for name, value in variables.items()
    }
    working = own.get("AZ_BATCH_TASK_WORKING_DIR", NODE_ROOT)
    computer = own.get("AZ_BATCH_NODE_ID", "node")[:15]
    given = _STANDARD | {"COMPUTERNAME": computer, "TEMP": working, "TMP": working, "USERPROFILE": working}
    return given | own | {"AZBE_ROOT": root, "AZBE_PATH": path}
