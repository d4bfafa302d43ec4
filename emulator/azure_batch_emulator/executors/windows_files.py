"""The commands of cmd that look at files and directories, or change them."""

from __future__ import annotations

import importlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from azure_batch_emulator.executors import windows_syntax as syntax
    from azure_batch_emulator.executors.windows_drive import exists, named
    from azure_batch_emulator.executors.windows_session import NO_PATH, NOT_FOUND, Failure, Session, split
else:
    # These modules are no part of a package when the script runs.
    syntax = importlib.import_module("windows_syntax")
    drive = importlib.import_module("windows_drive")
    exists, named = drive.exists, drive.named
    session = importlib.import_module("windows_session")
    NO_PATH, NOT_FOUND = session.NO_PATH, session.NOT_FOUND
    Failure, Session, split = session.Failure, session.Session, session.split


class FileCommands:
    """``dir``, ``copy`` and the like; each takes what follows its name and gives the error level."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def commands(self) -> dict[str, Callable[[str], int]]:
        """By name."""
        return {
            "dir": self._dir, "type": self._type, "copy": self._copy, "move": self._move, "ren": self._move, "del": self._del,
            "erase": self._del, "mkdir": self._mkdir, "md": self._mkdir, "rmdir": self._rmdir, "rd": self._rmdir, "cd": self._cd,
            "chdir": self._cd, "xcopy": self._xcopy,
        }  # fmt: skip

    def _dir(self, rest: str) -> int:
        switches, arguments = split(rest, "/b /s /a /ad /a:d /a-d /a:-d /on /o:n")
        wanted = arguments[0] if arguments else "."
        if "/s" in switches and "/b" not in switches:
            raise Failure(syntax.LIMIT.format("dir /s with /b only"))
        found = self._below(wanted) if "/s" in switches else self._session.drive.matches(wanted)
        if "/s" in switches:
            return self._names(found, switches, whole=True)
        if len(found) == 1 and found[0].is_dir() and "*" not in wanted:
            place, found = found[0], sorted(found[0].iterdir())
        elif found:
            place = found[0].parent
        else:
            raise Failure("File Not Found")
        if "/b" in switches:
            return self._names(found, switches, whole=False)
        found = _wanted(found, switches)
        lines = [" Volume in drive D is Temporary Storage", "", f" Directory of {self._session.drive.shown(place)}", ""]
        files = 0
        for entry in found:
            status = entry.stat()
            stamp = time.strftime("%m/%d/%Y  %I:%M %p", time.gmtime(status.st_mtime))
            size = "   <DIR>          " if entry.is_dir() else f"{status.st_size:>17,} "
            files += not entry.is_dir()
            lines.append(f"{stamp} {size}{entry.name}")
        self._session.write(1, "\n".join([*lines, f"{files:>16} File(s)"]) + "\n")
        return 0

    def _names(self, found: list[Path], switches: set[str], *, whole: bool) -> int:
        found = _wanted(found, switches)
        if not found:
            raise Failure("File Not Found")
        shown = [self._session.drive.shown(entry) if whole else entry.name for entry in found]
        self._session.write(1, "".join(f"{entry}\n" for entry in shown))
        return 0

    def _below(self, wanted: str) -> list[Path]:
        """What is in a directory and below it, or what has a name there: each directory's entries, then those of the next."""
        drive = self._session.drive
        place, pattern = drive.path(wanted), "*"
        if not exists(place) or not place.is_dir():
            above, _, pattern = wanted.replace("/", "\\").rpartition("\\")
            place = drive.path(above) if above else drive.directory
        if not exists(place):
            return []
        found: list[Path] = []
        for folder, _, _ in sorted(os.walk(place)):
            found += [entry for entry in sorted(Path(folder).iterdir()) if named(entry, pattern)]
        return found

    def _type(self, rest: str) -> int:
        _, arguments = split(rest)
        if not arguments:
            raise Failure("The syntax of the command is incorrect.")
        for argument in arguments:
            if argument.lower() == "nul":
                continue
            found = [entry for entry in self._session.drive.matches(argument) if entry.is_file()]
            if not found:
                raise Failure(NOT_FOUND)
            for entry in found:
                with entry.open("rb") as stream:
                    shutil.copyfileobj(stream, self._session.streams[1])
        return 0

    def _copy(self, rest: str) -> int:
        _, arguments = split(rest, "/y /b /v")
        names = arguments[0].split("+") if arguments else []
        sources = [entry for name in names for entry in self._session.drive.matches(name) if entry.is_file()]
        if arguments and arguments[0].lower() == "nul":
            # The usual way to make an empty file.
            sources = [Path(os.devnull)]
        if not sources:
            raise Failure(NOT_FOUND)
        if len(arguments) > 1 and arguments[1].lower() == "nul":
            self._session.write(1, f"{len(sources):>9} file(s) copied.\n")
            return 0
        target = self._session.drive.path(arguments[1]) if len(arguments) > 1 else self._session.drive.directory
        if len(names) > 1:
            whole = b"".join(source.read_bytes() for source in sources)
            target = sources[0] if len(arguments) == 1 else target / sources[0].name if target.is_dir() else target
            target.write_bytes(whole)
            sources = sources[:1]
        else:
            for source in sources:
                shutil.copyfile(source, target / source.name if target.is_dir() else target)
        self._session.write(1, f"{len(sources):>9} file(s) copied.\n")
        return 0

    def _xcopy(self, rest: str) -> int:
        switches, arguments = split(rest, "/c /e /f /h /i /k /q /r /s /v /y")
        if not 1 <= len(arguments) <= 2:
            raise Failure("Invalid number of parameters", 4)
        drive = self._session.drive
        given = arguments[0].rstrip("\\")
        found = drive.matches(given)
        several = len(found) != 1 or found[0].is_dir() or "*" in given
        if found and found[0].is_dir() and "*" not in given:
            top, pattern, prefix = found[0], "*", given
        else:
            prefix, _, pattern = given.rpartition("\\")
            top = drive.path(prefix) if prefix else drive.directory
        files = _tree(top, pattern, below=bool(switches & {"/s", "/e"}))
        folders = [folder for folder, _, _ in os.walk(top)] if "/e" in switches and exists(top) else []
        if not files and not folders:
            raise Failure(f"File not found - {pattern}\n0 File(s) copied", 1)
        target = drive.path(arguments[1]) if len(arguments) > 1 else drive.directory
        if not target.is_dir() and self._is_folder(arguments[-1], sure=several and "/i" in switches):
            target.mkdir(parents=True)
        for folder in folders if target.is_dir() else ():
            (target / os.path.relpath(folder, top)).mkdir(parents=True, exist_ok=True)
        for file in files:
            place = target / file.relative_to(top) if target.is_dir() else target
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
            if "/q" not in switches:
                shown = str(file.relative_to(top)).replace("/", "\\")
                self._session.write(1, f"{prefix}\\{shown}\n" if prefix else f"{shown}\n")
        self._session.write(1, f"{len(files)} File(s) copied\n")
        return 0

    def _is_folder(self, target: str, *, sure: bool) -> bool:
        """Whether xcopy makes a directory of a target that is not there; it asks if the line does not say so."""
        if sure or target.endswith("\\"):
            return True
        name = target.rstrip("\\")
        question = f"Does {name} specify a file name\nor directory name on the target\n(F = file, D = directory)?"
        self._session.write(1, question)
        answer = self._session.streams[0].readline().decode(errors="replace").strip().lower()
        self._session.write(1, "\n")
        if answer[:1] not in ("f", "d"):
            # Nobody can answer: act as if the prompt had been interrupted.
            raise Failure("0 File(s) copied", 2)
        return answer[:1] == "d"

    def _move(self, rest: str) -> int:
        _, arguments = split(rest, "/y")
        sources = self._session.drive.matches(arguments[0]) if len(arguments) > 1 else []
        if not sources:
            raise Failure(NOT_FOUND)
        target = self._session.drive.path(arguments[1])
        for source in sources:
            os.replace(source, target / source.name if target.is_dir() else target)  # noqa: PTH105
        self._session.write(1, f"{len(sources):>9} file(s) moved.\n")
        return 0

    def _del(self, rest: str) -> int:
        switches, arguments = split(rest, "/f /q /s")
        for argument in arguments:
            matches = self._below(argument) if "/s" in switches else self._session.drive.matches(argument)
            found = [entry for entry in matches if entry.is_file()]
            if not found:
                # As cmd has it: a complaint, and yet no failure.
                self._session.write(
                    2, f"Could Not Find {self._session.drive.shown(self._session.drive.path(argument))}\n"
                )
            for entry in found:
                entry.unlink()
                if "/s" in switches:
                    self._session.write(1, f"Deleted file - {self._session.drive.shown(entry)}\n")
        return 0

    def _mkdir(self, rest: str) -> int:
        _, arguments = split(rest)
        for argument in arguments:
            place = self._session.drive.path(argument)
            if place.exists():
                raise Failure(f"A subdirectory or file {argument} already exists.")
            place.mkdir(parents=True)
        return 0

    def _rmdir(self, rest: str) -> int:
        switches, arguments = split(rest, "/s /q")
        for argument in arguments:
            place = self._session.drive.path(argument)
            if not place.is_dir():
                raise Failure(NOT_FOUND, 2)
            if "/s" in switches:
                shutil.rmtree(place)
            elif any(place.iterdir()):
                raise Failure("The directory is not empty.", 145)
            else:
                place.rmdir()
        return 0

    def _cd(self, rest: str) -> int:
        _, arguments = split(rest, "/d")
        if not arguments:
            self._session.write(1, f"{self._session.drive.shown(self._session.drive.directory)}\n")
            return 0
        place = self._session.drive.path(arguments[0])
        if not (exists(place) and place.is_dir()):
            raise Failure(NO_PATH)
        self._session.drive.directory = place
        return 0


def _tree(top: Path, pattern: str, *, below: bool) -> list[Path]:
    """Files of a directory whose names fit a pattern, and of those below it if they are wanted."""
    found: list[Path] = []
    for folder, folders, names in os.walk(top):
        folders.sort()
        found += [place for name in sorted(names) if named(place := Path(folder) / name, pattern)]
        if not below:
            break
    return found


def _wanted(found: list[Path], switches: set[str]) -> list[Path]:
    """What ``/ad`` and ``/a-d`` leave."""
    if switches & {"/ad", "/a:d"}:
        return [entry for entry in found if entry.is_dir()]
    return [entry for entry in found if not entry.is_dir()] if switches & {"/a-d", "/a:-d"} else found
