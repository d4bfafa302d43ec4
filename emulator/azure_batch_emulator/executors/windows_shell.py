"""A stand-in for ``cmd /c`` on emulated Windows nodes: what command lines and batch files of samples use, and nothing else.

It is run as a script, isolated and without site packages: ``windows_shell.py LINE``, in the task's working directory. Paths of the
node look like ``D:\\batch\\tasks\\…``; they stand for the directory in the variable AZBE_ROOT. What it does not know fails as on a
node that does not have the program, and stderr says that this is the emulator's limit.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from azure_batch_emulator.executors import windows_arithmetic as arithmetic
    from azure_batch_emulator.executors import windows_loops as loops
    from azure_batch_emulator.executors import windows_start as start
    from azure_batch_emulator.executors import windows_syntax as syntax
    from azure_batch_emulator.executors.windows_batch import BatchFile
    from azure_batch_emulator.executors.windows_files import FileCommands
    from azure_batch_emulator.executors.windows_programs import Programs
    from azure_batch_emulator.executors.windows_session import NO_PATH, NOT_FOUND, Exit, Failure, Session, split
else:
    # This script is no part of a package when it runs.
    sys.path.insert(0, str(Path(__file__).parent))
    arithmetic = importlib.import_module("windows_arithmetic")
    loops = importlib.import_module("windows_loops")
    start = importlib.import_module("windows_start")
    syntax = importlib.import_module("windows_syntax")
    session = importlib.import_module("windows_session")
    BatchFile = importlib.import_module("windows_batch").BatchFile
    FileCommands = importlib.import_module("windows_files").FileCommands
    Programs = importlib.import_module("windows_programs").Programs
    NO_PATH, NOT_FOUND = session.NO_PATH, session.NOT_FOUND
    Exit, Failure, Session, split = session.Exit, session.Failure, session.Session, session.split

# A task's own recursion ends somewhere on a real node too.
_DEEPEST = 16
# As documented for cmd; without it, a variable that is put into itself would double with each line.
_LONGEST = 8191


class Shell:
    """One run of cmd."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.batch: BatchFile | None = None
        self._depth = 0
        self._delayed = self._left = False
        self._commands: dict[str, Callable[[str], int]] = {
            "echo": self._echo, "set": self._set, "exit": self._exit, "cmd": self._cmd, "rem": self._rem, "call": self._call,
            "goto": self._goto, "setlocal": self._setlocal, "endlocal": self._endlocal, "start": self._start,
            **FileCommands(session).commands(), **Programs(session).commands(),
        }  # fmt: skip

    def start(self, rest: str) -> int:
        """Carry out what follows ``cmd``; the exit code. Without a line, cmd waits for input and finds none."""
        try:
            how = syntax.invocation(rest)
        except syntax.CommandSyntaxError as error:
            self._session.write(2, f"{error}\n")
            return 1
        self._delayed = how.delayed
        code = self.run(how.line, always=how.always)
        if how.stays and not self._left:
            self._session.write(1, f"\n{self._session.drive.shown(self._session.drive.directory)}>")
        return code

    def run(self, line: str, *, always: bool = False) -> int:
        """Carry out what follows ``/c``; the exit code."""
        try:
            text = syntax.unquoted(line, lambda name: not always and self._batch_file(name) is not None)
            return self.line(syntax.expand(text, self._session.values()))
        except Exit as ended:
            self._left = True
            return ended.code
        finally:
            for stream in self._session.streams[1:]:
                stream.flush()

    def line(self, text: str) -> int:
        """Carry out one line whose variables have been put in."""
        if len(text) > _LONGEST:
            self._session.write(2, "The input line is too long.\n")
            self._session.level = 1
            return 1
        try:
            node = syntax.parse(text)
        except syntax.CommandSyntaxError as error:
            self._session.write(2, f"{error}\n")
            self._session.level = 1
            return 1
        return self._node(node) if node is not None else 0

    # -- the tree --

    def _node(self, node: syntax.Node) -> int:
        session = self._session
        if isinstance(node, syntax.Simple):
            with self._redirected(node.redirections) as problem:
                session.level = problem or self._simple(node.text)
        elif isinstance(node, syntax.Group):
            with self._redirected(node.redirections) as problem:
                session.level = problem or self._node(node.body)
        elif isinstance(node, syntax.If):
            chosen = node.body if self._holds(node) else node.otherwise
            if chosen is not None:
                self._node(chosen)
        elif isinstance(node, syntax.For):
            for values in self._items(node):
                body = node.body
                for offset, value in enumerate(values):
                    body = syntax.filled(body, chr(ord(node.variable) + offset), value)
                self._node(body)
        elif node.operator == "|":
            session.level = self._pipe(node.left, node.right)
        else:
            level = self._node(node.left)
            if node.operator == "&" or (node.operator == "&&") == (level == 0):
                self._node(node.right)
        return session.level

    def _late(self, text: str) -> str:
        """A text with ``!NAME!`` put in, where that is wanted."""
        delayed = self._delayed if self.batch is None else self.batch.delayed
        return syntax.expand_delayed(text, self._session.values())[:_LONGEST] if delayed else text

    def _holds(self, node: syntax.If) -> bool:
        kind, left, right = node.kind, self._late(node.left), self._late(node.right)
        if kind == "exist":
            found = bool(self._session.drive.matches(left.rstrip("\\")))
        elif kind == "defined":
            found = left.upper() in self._session.values()
        elif kind == "errorlevel":
            found = self._session.level >= int(left)
        else:
            found = loops.compare(kind, left, right, ignore_case=node.ignore_case)
        return found != node.negated

    def _items(self, node: syntax.For) -> Iterator[list[str]]:
        """What a ``for`` goes through: values for its variable and for those that follow it."""
        node = replace(node, items=self._late(node.items))
        if node.switch == "l":
            yield from ([str(number)] for number in loops.steps(node.items))
        elif node.switch == "f":
            yield from self._fields(node)
        else:
            for word in loops.items(node.items):
                if "*" not in word and "?" not in word:
                    yield [word]
                    continue
                folder = word.rpartition("\\")[0]
                for place in self._session.drive.matches(word):
                    if place.is_dir() == (node.switch == "d"):
                        yield [f"{folder}\\{place.name}" if folder else place.name]

    def _fields(self, node: syntax.For) -> Iterator[list[str]]:
        text = node.items.strip()
        if text[:1] == text[-1:] == "'":
            output = BytesIO()
            inner = Shell(self._session.inner())
            inner._session.streams = [self._session.streams[0], output, self._session.streams[2]]
            inner.run(text[1:-1])
            lines = output.getvalue().decode(errors="replace").splitlines()
        elif text[:1] == text[-1:] == '"':
            lines = [text[1:-1]]
        else:
            found = [place for word in loops.items(text) for place in self._session.drive.matches(word)]
            if not found:
                self._session.write(2, f"The system cannot find the file {text}.\n")
                self._session.level = 1
                return
            lines = [line for place in found for line in place.read_text(errors="replace").splitlines()]
        for line in lines[loops.skipped(node.options) :]:
            fields = loops.fields_of(line, node.options)
            if fields is not None:
                yield fields

    def _pipe(self, left: syntax.Node, right: syntax.Node) -> int:
        """The left side first, whole, and its output for the right side."""
        kept = list(self._session.streams)
        buffer = BytesIO()
        self._session.streams[1] = buffer
        with contextlib.suppress(Exit):
            self._node(left)
        self._session.streams = [BytesIO(buffer.getvalue()), *kept[1:]]
        try:
            return self._node(right)
        except Exit as ended:
            return ended.code
        finally:
            self._session.streams = kept

    @contextlib.contextmanager
    def _redirected(self, redirections: list[syntax.Redirection]) -> Iterator[int]:
        """Other streams meanwhile; yields an error level if one of them cannot be opened."""
        session = self._session
        kept, opened, problem = list(session.streams), [], 0
        for redirection in redirections:
            if redirection.target in ("&1", "&2"):
                session.streams[redirection.stream] = session.streams[int(redirection.target[1])]
                continue
            target = self._late(redirection.target)
            name = os.devnull if target.lower() == "nul" else str(session.drive.path(target))
            try:
                stream = open(name, f"{redirection.mode}b")  # noqa: PTH123, SIM115 - closed below
            except (OSError, ValueError):
                session.write(2, f"{NO_PATH if redirection.stream else NOT_FOUND}\n")
                problem = 1
                break
            opened.append(stream)
            session.streams[redirection.stream] = stream
        try:
            yield problem
        finally:
            session.streams = kept
            for stream in opened:
                stream.close()

    def _simple(self, text: str) -> int:
        session, text = self._session, self._late(text)
        name = syntax.command_name(text)
        if not name:
            return session.level
        rest = text[len(name) :]
        command = self._command(name)
        try:
            if command is not None:
                return command(rest)
            file = self._batch_file(name.strip('"'))
            if file is not None:
                # Without ``call`` a batch file does not come back to the one that started it.
                level = self._run_file(file, name, rest)
                if self.batch is not None:
                    raise Exit(level, batch=True)
                return level
            raise Failure(
                f"'{name}' is not recognized as an internal or external command,\noperable program or batch file.\n"
                + syntax.LIMIT.format(f"batch files, for, if, {', '.join(sorted(self._commands))}")
            )
        except Failure as problem:
            session.write(2, f"{problem}\n" if not str(problem).endswith("\n") else str(problem))
            return problem.level
        except OSError as error:
            session.write(2, f"{NOT_FOUND if isinstance(error, FileNotFoundError) else 'Access is denied.'}\n")
            return 1

    def _command(self, name: str) -> Callable[[str], int] | None:
        return self._commands.get(name.strip('"').lower().removesuffix(".exe"))

    # -- batch files --

    def _batch_file(self, name: str) -> Path | None:
        """The batch file that a command means: by its name, or without its extension."""
        lower = name.lower()
        for ending in ("",) if lower.endswith((".bat", ".cmd")) else (".bat", ".cmd"):
            found = self._session.drive.matches(f"{name}{ending}")
            if found and found[0].is_file():
                return found[0]
        return None

    def _run_file(self, file: Path, name: str, rest: str) -> int:
        if self._depth >= _DEEPEST:
            raise Failure("Maximum setlocal recursion level reached.")
        lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        batch = BatchFile(lines, self._session, name, self._session.drive.shown(file), rest)
        batch.delayed = self._delayed if self.batch is None else self.batch.delayed
        return self._run_batch(batch, 0)

    def _run_batch(self, batch: BatchFile, start: int) -> int:
        kept, self.batch = self.batch, batch
        self._depth += 1
        batch.next = start
        try:
            while (line := batch.take()) is not None:
                if batch.echo and not line.startswith("@"):
                    self._session.write(1, f"\n{self._session.drive.shown(self._session.drive.directory)}>{line}\n")
                self.line(line)
        except Exit as ended:
            if not ended.batch:
                raise
            self._session.level = ended.code
        finally:
            batch.restore()
            self.batch = kept
            self._depth -= 1
        return self._session.level

    def _call(self, rest: str) -> int:
        # Variables are put in again, as documented for the command.
        text = rest.strip()
        values = self._session.values()
        text = (syntax.expand(text, values) if self.batch is None else self.batch.expanded(text))[:_LONGEST]
        if text[:1] != ":":
            file = self._batch_file(syntax.command_name(text).strip('"'))
            if file is None:
                return self._simple(text)
            name = syntax.command_name(text)
            return self._run_file(file, name, text[len(name) :])
        if self.batch is None:
            raise Failure("Invalid attempt to call batch label outside of batch script.")
        if self._depth >= _DEEPEST:
            raise Failure("Maximum setlocal recursion level reached.")
        label = (text[1:].split(None, 1) or [""])[0]
        inner = self.batch.called(f":{label}", text[1 + len(label) :])
        return self._run_batch(inner, inner.place_of(label))

    def _goto(self, rest: str) -> int:
        if self.batch is None:
            return 0
        label = rest.strip().lstrip(":")
        if label.lower() == "eof":
            raise Exit(self._session.level, batch=True)
        try:
            self.batch.next = self.batch.place_of(label)
        except Failure as problem:
            # Unlike a call, it ends the batch file: what follows was not meant to run.
            self._session.write(2, f"{problem}\n")
            raise Exit(problem.level, batch=True) from None
        return self._session.level

    def _setlocal(self, rest: str) -> int:
        words = rest.lower().split()
        if unknown := set(words) - {"enabledelayedexpansion", "disabledelayedexpansion", "enableextensions"}:
            raise Failure(syntax.LIMIT.format(f"setlocal without {', '.join(sorted(unknown))}"))
        if self.batch is not None:
            said = [word for word in words if word.endswith("delayedexpansion")]
            self.batch.keep(delayed=said[-1].startswith("enable") if said else None)
        return 0

    def _endlocal(self, rest: str) -> int:
        del rest
        if self.batch is not None:
            self.batch.give_back()
        return self._session.level

    # -- commands of the shell itself --

    def _echo(self, rest: str) -> int:
        text = rest[1:] if rest[:1] in " \t.:/\\(," else rest
        word = rest.strip().lower()
        if word in ("on", "off"):
            if self.batch is not None:
                self.batch.echo = word == "on"
            return 0
        if not word:
            text = "ECHO is on." if self.batch is None or self.batch.echo else "ECHO is off."
        self._session.write(1, f"{text}\n")
        return 0

    def _set(self, rest: str) -> int:
        text = rest.strip()
        switch = text[:2].lower()
        if switch == "/a":
            return self._calculate(text[2:].strip().strip('"'))
        if switch == "/p":
            return self._prompt(text[2:].strip())
        if switch[:1] == "/":
            raise Failure(syntax.LIMIT.format("set, set /a and set /p only"))
        if text.startswith('"') and '"' in text[1:]:
            text = text[1 : text.rindex('"')]
        elif "=" in text:
            text = rest.lstrip()
        name, equals, value = text.partition("=")
        if equals:
            self._session.set(name, value)
            return 0
        variables = self._session.variables
        found = [pair for key, pair in sorted(variables.items()) if key.startswith(name.strip().upper())]
        if not found:
            raise Failure(f"Environment variable {name.strip()} not defined")
        self._session.write(1, "".join(f"{shown}={value}\n" for shown, value in found))
        return 0

    def _calculate(self, text: str) -> int:
        try:
            value, assigned = arithmetic.evaluate(text, self._session.values())
        except arithmetic.ArithmeticProblemError as problem:
            raise Failure(str(problem), 1073750993) from None
        for name, number in assigned.items():
            self._session.set(name, str(number))
        if self.batch is None:
            self._session.write(1, str(value))
        return 0

    def _prompt(self, text: str) -> int:
        name, _, prompt = (text[1:-1] if text[:1] == text[-1:] == '"' else text).partition("=")
        self._session.write(1, prompt.strip('"'))
        answer = self._session.streams[0].readline().decode(errors="replace").rstrip("\r\n")[:_LONGEST]
        if answer and name:
            self._session.set(name, answer)
        return 0 if answer else 1

    def _exit(self, rest: str) -> int:
        switches, arguments = split(rest, "/b")
        try:
            code = int(arguments[0]) if arguments else self._session.level
        except ValueError:
            code = 0
        # As on Windows: 32 bits, and the highest is a sign.
        raise Exit((code + 2**31) % 2**32 - 2**31, batch="/b" in switches and self.batch is not None)

    def _cmd(self, rest: str) -> int:
        return Shell(self._session.inner()).start(rest)

    def _start(self, rest: str) -> int:
        def known(name: str) -> bool:
            return self._command(name) is not None or self._batch_file(name) is not None

        return start.run(self._session, rest, known)

    @staticmethod
    def _rem(rest: str) -> int:
        del rest
        return 0


def eight_bits(code: int) -> int:
    """An exit code of Windows as one of this machine: the low bits are what tests look at, and no failure becomes a success."""
    return 255 if code < 0 else code & 0xFF or (255 if code else 0)


def main() -> int:
    """Entry point of the script: ``cmd LINE`` or ``powershell ARGUMENTS…``."""
    program, line = sys.argv[1], sys.argv[2]
    variables = dict(os.environ)
    session = Session(variables["AZBE_ROOT"], variables)
    try:
        return eight_bits(Shell(session).start(line) if program == "cmd" else Programs(session).powershell(line))
    except RecursionError:
        session.write(2, syntax.LIMIT.format("lines that are nested less deep"))
        return 1


if __name__ == "__main__":
    sys.exit(main())
