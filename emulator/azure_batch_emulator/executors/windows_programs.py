"""The programs that a Windows node has beside cmd, as far as samples use them."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from azure_batch_emulator.executors import windows_search as search
    from azure_batch_emulator.executors import windows_syntax as syntax
    from azure_batch_emulator.executors.windows_drive import NODE_ROOT
    from azure_batch_emulator.executors.windows_session import NOT_FOUND, Failure, Session, split
else:
    # These modules are no part of a package when the script runs.
    search = importlib.import_module("windows_search")
    syntax = importlib.import_module("windows_syntax")
    NODE_ROOT = importlib.import_module("windows_drive").NODE_ROOT
    session = importlib.import_module("windows_session")
    NOT_FOUND, Failure, Session, split = session.NOT_FOUND, session.Failure, session.Session, session.split


_NODE_PATH = re.compile(re.escape(NODE_ROOT) + r"((?:\\[^\\\s\"';,|&()<>]*)*)", re.IGNORECASE)
_WHOLE = re.compile("/c:", re.IGNORECASE)
_SECONDS = re.compile("[0-9]{1,5}")
_TIMES = re.compile("[0-9]{1,9}")


class Programs:
    """``ping``, ``find`` and the like; each takes what follows its name and gives the error level."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def commands(self) -> dict[str, Callable[[str], int]]:
        """By name."""
        return {
            "timeout": self._timeout, "ping": self._ping, "hostname": self._hostname, "ver": self._ver, "find": self._find,
            "findstr": self._findstr, "more": self._more, "sort": self._sort, "powershell": self.powershell,
            "pwsh": self.powershell,
        }  # fmt: skip

    def _timeout(self, rest: str) -> int:
        _, arguments = split(rest, "/t /nobreak")
        seconds = next((int(word) for word in arguments if _SECONDS.fullmatch(word)), None)
        if seconds is None:
            raise Failure("ERROR: Invalid syntax. Timeout value must be between -1 and 99999.")
        time.sleep(seconds)
        return 0

    def _ping(self, rest: str) -> int:
        found = syntax.words(rest)
        times, host, index = 4, "", 0
        while index < len(found):
            if found[index].lower() in ("-n", "/n") and index + 1 < len(found):
                if not _TIMES.fullmatch(found[index + 1]):
                    raise Failure("Bad value for option -n, valid range is from 1 to 4294967295.")
                times, index = int(found[index + 1]), index + 1
            elif found[index].lower() in ("-w", "/w", "-l", "/l"):
                index += 1
            elif found[index][:1] not in "-/":
                host = found[index]
            elif found[index].lower() not in ("-4", "/4", "-6", "/6"):
                raise Failure(
                    f"Bad option {found[index]}.\n" + syntax.LIMIT.format("ping with -n, -w, -l, -4 and -6 only")
                )
            index += 1
        if host.lower() not in ("127.0.0.1", "localhost", "::1"):
            raise Failure(
                f"Ping request could not find host {host}. Please check the name and try again.\n"
                + syntax.LIMIT.format("127.0.0.1")
            )
        self._session.write(1, f"\nPinging {host} with 32 bytes of data:\n")
        for number in range(times):
            time.sleep(1.0 if number else 0.0)
            self._session.write(1, f"Reply from {host}: bytes=32 time<1ms TTL=128\n")
        return 0

    def _hostname(self, rest: str) -> int:
        del rest
        self._session.write(1, f"{self._session.variables.get('COMPUTERNAME', ('', 'node'))[1]}\n")
        return 0

    def _ver(self, rest: str) -> int:
        del rest
        self._session.write(1, "\nMicrosoft Windows [Version 10.0.20348.0]\n")
        return 0

    def _sources(self, arguments: list[str]) -> list[tuple[str, list[str]]]:
        """Lines by the name of their file as it was given; of stdin, without a name, where none is given."""
        if not arguments:
            return [("", self._session.streams[0].read().decode(errors="replace").splitlines())]
        found = [(argument, file) for argument in arguments for file in self._session.drive.matches(argument)]
        if not found:
            raise Failure(NOT_FOUND)
        named = [(file.name if set(argument) & set("*?") else argument, file) for argument, file in found]
        return [(name, file.read_text(errors="replace").splitlines()) for name, file in named]

    def _input(self, arguments: list[str]) -> list[str]:
        return [line for _, lines in self._sources(arguments) for line in lines]

    def _find(self, rest: str) -> int:
        switches, arguments = split(rest, "/i /v /c /n")
        if not arguments:
            raise Failure("FIND: Parameter format not correct", 2)
        total, pattern = 0, search.matcher(arguments[:1], switches & {"/i"})
        for name, lines in self._sources(arguments[1:]):
            hits = search.hits(lines, pattern, switches)
            total += len(hits)
            head = f"\n---------- {name.upper()}" if name else ""
            if "/c" in switches:
                self._session.write(1, f"{head}: {len(hits)}\n" if name else f"{len(hits)}\n")
                continue
            shown = [f"[{number}]{line}\n" if "/n" in switches else f"{line}\n" for number, line in hits]
            self._session.write(1, (f"{head}\n" if name else "") + "".join(shown))
        return 0 if total else 1

    def _findstr(self, rest: str) -> int:
        whole = [word[3:] for word in syntax.words(rest) if _WHOLE.match(word)]
        others = " ".join(f'"{word}"' for word in syntax.words(rest) if not _WHOLE.match(word))
        switches, arguments = split(others, "/b /e /i /l /m /n /r /v /x")
        if not whole and not arguments:
            raise Failure("FINDSTR: Bad command line", 2)
        wanted = whole or arguments.pop(0).split()
        # Without a switch, a text in /c is taken as it is, and others as what they look like.
        regular = "/r" in switches or ("/l" not in switches and not whole and any(map(search.is_expression, wanted)))
        try:
            pattern = search.matcher(wanted, switches, regular=regular)
        except re.error:
            raise Failure("FINDSTR: Invalid expression", 2) from None
        sources = self._sources(arguments)
        total = 0
        for name, lines in sources:
            hits = search.hits(lines, pattern, switches)
            total += len(hits)
            head = f"{name}:" if len(sources) > 1 else ""
            shown = [f"{head}{number}:{line}\n" if "/n" in switches else f"{head}{line}\n" for number, line in hits]
            if "/m" in switches:
                shown = [f"{name}\n"] if hits else []
            self._session.write(1, "".join(shown))
        return 0 if total else 1

    def _more(self, rest: str) -> int:
        self._session.write(1, "".join(f"{line}\n" for line in self._input(split(rest)[1])))
        return 0

    def _sort(self, rest: str) -> int:
        switches, arguments = split(rest, "/r /o")
        target = arguments.pop() if "/o" in switches and arguments else ""
        lines = sorted(self._input(arguments), key=str.lower, reverse="/r" in switches)
        text = "".join(f"{line}\n" for line in lines)
        if target:
            self._session.drive.path(target).write_bytes(text.replace("\n", "\r\n").encode())
        else:
            self._session.write(1, text)
        return 0

    def powershell(self, rest: str) -> int:
        """Hand arguments to a real ``pwsh``, if there is one; its exit code, else that of a program that is not there."""
        path = os.environ["AZBE_PATH"]
        program = shutil.which("pwsh", path=path)
        if program is None:
            self._session.streams[2].write(
                b"'powershell' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n"
                + syntax.LIMIT.format("PowerShell only where pwsh is on the emulator's PATH")
                .replace("\n", "\r\n")
                .encode()
            )
            self._session.streams[2].flush()
            return 1
        real = {name: self._real(value) for name, value in self._session.variables.values()}
        real["PATH"] = path
        done = subprocess.run(
            [program, *map(self._real, syntax.arguments(rest))],
            cwd=self._session.drive.directory,
            env=real,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        for stream, content in ((self._session.streams[1], done.stdout), (self._session.streams[2], done.stderr)):
            stream.write(content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
            stream.flush()
        return done.returncode

    def _real(self, text: str) -> str:
        """A text for a program of this machine: its paths of the node are real ones."""
        root = self._session.drive.root
        return _NODE_PATH.sub(lambda found: root + found[1].replace("\\", "/"), text)
