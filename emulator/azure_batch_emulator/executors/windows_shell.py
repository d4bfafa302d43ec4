"""A stand-in for ``cmd /c`` on emulated Windows nodes: what command lines of samples use, and nothing else.

It is run as a script, isolated and without site packages: ``windows_shell.py LINE``, in the task's working directory. Paths of the
node look like ``D:\\batch\\tasks\\…``; they stand for the directory in the variable AZBE_ROOT. What it does not know fails as on a
node that does not have the program, and stderr says that this is the emulator's limit.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from azure_batch_emulator.executors import windows_syntax as syntax
    from azure_batch_emulator.executors.windows_drive import NODE_ROOT, Drive, exists
else:
    # This script is no part of a package when it runs.
    sys.path.insert(0, str(Path(__file__).parent))
    syntax = importlib.import_module("windows_syntax")
    drive = importlib.import_module("windows_drive")
    NODE_ROOT, Drive, exists = drive.NODE_ROOT, drive.Drive, drive.exists

_NOT_FOUND = "The system cannot find the file specified."
_NO_PATH = "The system cannot find the path specified."


class Exit(Exception):  # noqa: N818 - not an error
    """``exit`` with a code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Failure(Exception):  # noqa: N818 - a command's complaint
    """What goes to stderr, and the error level that follows."""

    def __init__(self, text: str, level: int = 1) -> None:
        super().__init__(text)
        self.level = level


class Shell:
    """One run of cmd.

    Args:
        root: real directory of the node.
        variables: by name as given; names that begin with AZBE_ are the emulator's own and hidden.
    """

    def __init__(self, root: str, variables: dict[str, str]) -> None:
        self._variables = {name.upper(): (name, value) for name, value in variables.items() if name[:5] != "AZBE_"}
        self._drive = Drive(root, Path.cwd())
        self._streams: list[IO[bytes]] = [sys.stdin.buffer, sys.stdout.buffer, sys.stderr.buffer]
        self._level = 0
        self._commands: dict[str, Callable[[str], int]] = {
            "echo": self._echo, "set": self._set, "exit": self._exit, "dir": self._dir, "type": self._type, "copy": self._copy,
            "move": self._move, "ren": self._move, "del": self._del, "erase": self._del, "mkdir": self._mkdir, "md": self._mkdir,
            "rmdir": self._rmdir, "rd": self._rmdir, "cd": self._cd, "chdir": self._cd, "timeout": self._timeout,
            "ping": self._ping,
            "cmd": self._cmd, "hostname": self._hostname, "ver": self._ver, "rem": self._rem, "find": self._find,
            "findstr": self._find, "more": self._more, "sort": self._sort, "powershell": self._powershell, "pwsh": self._powershell,
        }  # fmt: skip

    def run(self, line: str) -> int:
        """Carry out what follows ``/c``; the exit code."""
        values = {name: value for name, (_, value) in self._variables.items()}
        try:
            node = syntax.parse(syntax.expand(syntax.unquoted(line), values))
        except syntax.CommandSyntaxError as error:
            self._write(2, f"{error}\n")
            return 1
        try:
            return self._node(node) if node is not None else 0
        except Exit as ended:
            return ended.code
        finally:
            for stream in self._streams[1:]:
                stream.flush()

    # -- the tree --

    def _node(self, node: syntax.Node) -> int:
        if isinstance(node, syntax.Simple):
            with self._redirected(node.redirections) as problem:
                self._level = problem or self._simple(node.text)
        elif isinstance(node, syntax.Group):
            with self._redirected(node.redirections) as problem:
                self._level = problem or self._node(node.body)
        elif node.operator == "|":
            self._level = self._pipe(node.left, node.right)
        else:
            level = self._node(node.left)
            if node.operator == "&" or (node.operator == "&&") == (level == 0):
                self._level = self._node(node.right)
        return self._level

    def _pipe(self, left: syntax.Node, right: syntax.Node) -> int:
        """The left side first, whole, and its output for the right side."""
        kept = list(self._streams)
        buffer = BytesIO()
        self._streams[1] = buffer
        with contextlib.suppress(Exit):
            self._node(left)
        self._streams = [BytesIO(buffer.getvalue()), *kept[1:]]
        try:
            return self._node(right)
        except Exit as ended:
            return ended.code
        finally:
            self._streams = kept

    @contextlib.contextmanager
    def _redirected(self, redirections: list[syntax.Redirection]) -> Iterator[int]:
        """Other streams meanwhile; yields an error level if one of them cannot be opened."""
        kept, opened, problem = list(self._streams), [], 0
        for each in redirections:
            if each.target in ("&1", "&2"):
                self._streams[each.stream] = self._streams[int(each.target[1])]
                continue
            name = os.devnull if each.target.lower() == "nul" else str(self._drive.path(each.target))
            try:
                stream = open(name, f"{each.mode}b")  # noqa: PTH123, SIM115 - closed below
            except OSError:
                self._write(2, f"{_NO_PATH if each.stream else _NOT_FOUND}\n")
                problem = 1
                break
            opened.append(stream)
            self._streams[each.stream] = stream
        try:
            yield problem
        finally:
            self._streams = kept
            for stream in opened:
                stream.close()

    def _simple(self, text: str) -> int:
        name = text.split(None, 1)[0] if text.strip() else ""
        for mark in ".:/\\(":
            # ``echo.`` and ``cd\`` are commands followed at once by their argument.
            head = name.partition(mark)[0].lower()
            if head in ("echo", "cd", "dir", "exit", "type", "md", "rd", "del") and head != name.lower():
                name = name[: len(head)]
        if not name:
            return 0
        rest = text[len(name) :]
        plain = name.strip('"').lower().removesuffix(".exe")
        command = self._commands.get(plain)
        try:
            if command is not None:
                return command(rest)
            raise Failure(
                f"'{name}' is not recognized as an internal or external command,\noperable program or batch file.\n"
                + syntax.LIMIT.format(", ".join(sorted(self._commands)))
            )
        except Failure as problem:
            self._write(2, f"{problem}\n" if not str(problem).endswith("\n") else str(problem))
            return problem.level
        except OSError as error:
            self._write(2, f"{_NOT_FOUND if isinstance(error, FileNotFoundError) else 'Access is denied.'}\n")
            return 1

    # -- helpers --

    def _write(self, stream: int, text: str) -> None:
        self._streams[stream].write(text.replace("\n", "\r\n").encode())
        self._streams[stream].flush()

    @staticmethod
    def _split(rest: str) -> tuple[set[str], list[str]]:
        """Switches in lower case, and arguments."""
        found = syntax.words(rest)
        return {word.lower() for word in found if word[:1] == "/"}, [word for word in found if word[:1] != "/"]

    # -- commands --

    def _echo(self, rest: str) -> int:
        text = rest[1:] if rest[:1] in " \t.:/\\(," else rest
        if not rest.strip():
            text = "ECHO is on."
        elif rest.strip().lower() in ("on", "off"):
            return 0
        self._write(1, f"{text}\n")
        return 0

    def _set(self, rest: str) -> int:
        text = rest.strip()
        if text.startswith('"') and text.endswith('"'):
            text = text[1:-1]
        elif "=" in text:
            text = rest.lstrip()
        if text[:2].lower() in ("/a", "/p"):
            raise Failure("set: only NAME=VALUE is known.\n" + syntax.LIMIT.format("set without /a and /p"))
        name, equals, value = text.partition("=")
        if equals:
            if value:
                self._variables[name.upper()] = (name, value)
            else:
                self._variables.pop(name.upper(), None)
            return 0
        found = [pair for key, pair in sorted(self._variables.items()) if key.startswith(name.strip().upper())]
        if not found:
            raise Failure(f"Environment variable {name.strip()} not defined")
        self._write(1, "".join(f"{shown}={value}\n" for shown, value in found))
        return 0

    def _exit(self, rest: str) -> int:
        _, arguments = self._split(rest)
        try:
            code = int(arguments[0]) if arguments else self._level
        except ValueError:
            code = 0
        # Exit codes are 32 bits wide on Windows and 8 here; the low ones are what tests look at.
        raise Exit(code & 0xFF if code >= 0 else 255)

    def _dir(self, rest: str) -> int:
        switches, arguments = self._split(rest)
        wanted = arguments[0] if arguments else "."
        found = self._drive.matches(wanted)
        if len(found) == 1 and found[0].is_dir() and "*" not in wanted:
            place, found = found[0], sorted(found[0].iterdir())
        elif found:
            place = found[0].parent
        else:
            raise Failure("File Not Found")
        if "/b" in switches:
            self._write(1, "".join(f"{each.name}\n" for each in found))
            return 0
        lines = [" Volume in drive D is Temporary Storage", "", f" Directory of {self._drive.shown(place)}", ""]
        files = 0
        for each in found:
            status = each.stat()
            stamp = time.strftime("%m/%d/%Y  %I:%M %p", time.gmtime(status.st_mtime))
            size = "   <DIR>          " if each.is_dir() else f"{status.st_size:>17,} "
            files += not each.is_dir()
            lines.append(f"{stamp} {size}{each.name}")
        self._write(1, "\n".join([*lines, f"{files:>16} File(s)"]) + "\n")
        return 0

    def _type(self, rest: str) -> int:
        _, arguments = self._split(rest)
        if not arguments:
            raise Failure("The syntax of the command is incorrect.")
        for argument in arguments:
            found = [each for each in self._drive.matches(argument) if each.is_file()]
            if not found:
                raise Failure(_NOT_FOUND)
            for each in found:
                self._streams[1].write(each.read_bytes())
        return 0

    def _copy(self, rest: str) -> int:
        _, arguments = self._split(rest)
        sources = [each for each in self._drive.matches(arguments[0]) if each.is_file()] if arguments else []
        if not sources:
            raise Failure(_NOT_FOUND)
        target = self._drive.path(arguments[1]) if len(arguments) > 1 else self._drive.directory
        for source in sources:
            shutil.copyfile(source, target / source.name if target.is_dir() else target)
        self._write(1, f"{len(sources):>9} file(s) copied.\n")
        return 0

    def _move(self, rest: str) -> int:
        _, arguments = self._split(rest)
        sources = self._drive.matches(arguments[0]) if len(arguments) > 1 else []
        if not sources:
            raise Failure(_NOT_FOUND)
        target = self._drive.path(arguments[1])
        for source in sources:
            os.replace(source, target / source.name if target.is_dir() else target)  # noqa: PTH105
        self._write(1, f"{len(sources):>9} file(s) moved.\n")
        return 0

    def _del(self, rest: str) -> int:
        _, arguments = self._split(rest)
        for argument in arguments:
            found = [each for each in self._drive.matches(argument) if each.is_file()]
            if not found:
                # As cmd has it: a complaint, and yet no failure.
                self._write(2, f"Could Not Find {self._drive.shown(self._drive.path(argument))}\n")
            for each in found:
                each.unlink()
        return 0

    def _mkdir(self, rest: str) -> int:
        _, arguments = self._split(rest)
        for argument in arguments:
            place = self._drive.path(argument)
            if place.exists():
                raise Failure(f"A subdirectory or file {argument} already exists.")
            place.mkdir(parents=True)
        return 0

    def _rmdir(self, rest: str) -> int:
        switches, arguments = self._split(rest)
        for argument in arguments:
            place = self._drive.path(argument)
            if not place.is_dir():
                raise Failure(_NOT_FOUND, 2)
            if "/s" in switches:
                shutil.rmtree(place)
            elif any(place.iterdir()):
                raise Failure("The directory is not empty.", 145)
            else:
                place.rmdir()
        return 0

    def _cd(self, rest: str) -> int:
        _, arguments = self._split(rest)
        if not arguments:
            self._write(1, f"{self._drive.shown(self._drive.directory)}\n")
            return 0
        place = self._drive.path(arguments[0])
        if not (exists(place) and place.is_dir()):
            raise Failure(_NO_PATH)
        self._drive.directory = place
        return 0

    def _timeout(self, rest: str) -> int:
        seconds = next((int(word) for word in syntax.words(rest) if word.isdigit()), None)
        if seconds is None:
            raise Failure("ERROR: Invalid syntax. Timeout value must be between -1 and 99999.")
        time.sleep(seconds)
        return 0

    def _ping(self, rest: str) -> int:
        found = syntax.words(rest)
        times, host, index = 4, "", 0
        while index < len(found):
            if found[index].lower() in ("-n", "/n") and index + 1 < len(found):
                times, index = int(found[index + 1]), index + 1
            elif found[index].lower() in ("-w", "/w", "-l", "/l"):
                index += 1
            elif found[index][:1] not in "-/":
                host = found[index]
            index += 1
        if host.lower() not in ("127.0.0.1", "localhost", "::1"):
            raise Failure(
                f"Ping request could not find host {host}. Please check the name and try again.\n"
                + syntax.LIMIT.format("127.0.0.1")
            )
        self._write(1, f"\nPinging {host} with 32 bytes of data:\n")
        for number in range(times):
            time.sleep(1.0 if number else 0.0)
            self._write(1, f"Reply from {host}: bytes=32 time<1ms TTL=128\n")
        return 0

    def _cmd(self, rest: str) -> int:
        text = rest.strip()
        while text[:1] == "/" and text[1:2].lower() != "c":
            text = text.partition(" ")[2].strip()
        if text[:2].lower() != "/c":
            return 0
        inner = Shell(self._drive.root, dict(self._variables.values()))
        inner._drive, inner._streams = Drive(self._drive.root, self._drive.directory), self._streams
        return inner.run(text[2:])

    def _hostname(self, rest: str) -> int:
        del rest
        self._write(1, f"{self._variables.get('COMPUTERNAME', ('', 'node'))[1]}\n")
        return 0

    def _ver(self, rest: str) -> int:
        del rest
        self._write(1, "\nMicrosoft Windows [Version 10.0.20348.0]\n")
        return 0

    def _rem(self, rest: str) -> int:
        del rest
        return 0

    def _input(self, arguments: list[str]) -> list[str]:
        if not arguments:
            return self._streams[0].read().decode(errors="replace").splitlines()
        found = [each for argument in arguments for each in self._drive.matches(argument)]
        if not found:
            raise Failure(_NOT_FOUND)
        return [line for each in found for line in each.read_text(errors="replace").splitlines()]

    def _find(self, rest: str) -> int:
        switches, arguments = self._split(rest)
        if not arguments:
            raise Failure("FIND: Parameter format not correct", 2)
        text, ignore = arguments[0], "/i" in switches
        hits = [
            line for line in self._input(arguments[1:]) if (text.lower() in line.lower() if ignore else text in line)
        ]
        self._write(1, "".join(f"{line}\n" for line in hits))
        return 0 if hits else 1

    def _more(self, rest: str) -> int:
        self._write(1, "".join(f"{line}\n" for line in self._input(self._split(rest)[1])))
        return 0

    def _sort(self, rest: str) -> int:
        self._write(1, "".join(f"{line}\n" for line in sorted(self._input(self._split(rest)[1]), key=str.lower)))
        return 0

    def _powershell(self, rest: str) -> int:
        return powershell(
            syntax.words(rest), self._drive.root, dict(self._variables.values()), self._drive.directory, self._streams
        )


def powershell(
    arguments: list[str], root: str, variables: dict[str, str], directory: Path, streams: list[IO[bytes]]
) -> int:
    """Hand arguments to a real ``pwsh``, if there is one; its exit code, else that of a program that is not there."""
    path = os.environ["AZBE_PATH"]
    program = shutil.which("pwsh", path=path)
    if program is None:
        streams[2].write(
            b"'powershell' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n"
            + syntax.LIMIT.format("PowerShell only where pwsh is on the emulator's PATH").replace("\n", "\r\n").encode()
        )
        streams[2].flush()
        return 1
    real = {
        name: value.replace(NODE_ROOT, root).replace("\\", "/") if NODE_ROOT in value else value
        for name, value in variables.items()
    }
    real["PATH"] = path
    done = subprocess.run(
        [program, *arguments], cwd=directory, env=real, capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    for stream, content in ((streams[1], done.stdout), (streams[2], done.stderr)):
        stream.write(content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
        stream.flush()
    return done.returncode


def main() -> int:
    """Entry point of the script: ``cmd LINE`` or ``powershell ARGUMENTS…``."""
    program, line = sys.argv[1], sys.argv[2]
    variables = dict(os.environ)
    root = variables["AZBE_ROOT"]
    shell = Shell(root, variables)
    return shell.run(line) if program == "cmd" else shell._powershell(line)


if __name__ == "__main__":
    sys.exit(main())
