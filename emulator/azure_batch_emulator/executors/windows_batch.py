"""One batch file in progress: its lines, its arguments, and what ``setlocal`` keeps."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from azure_batch_emulator.executors import windows_loops as loops
    from azure_batch_emulator.executors import windows_syntax as syntax
    from azure_batch_emulator.executors.windows_session import Failure, Session
else:
    # These modules are no part of a package when the script runs.
    loops = importlib.import_module("windows_loops")
    syntax = importlib.import_module("windows_syntax")
    session = importlib.import_module("windows_session")
    Failure, Session = session.Failure, session.Session

_PERCENT = re.compile(rf"%%|%(?:~([dpnxf]*))?([0-9*])|{syntax.VARIABLE}")


class BatchFile:
    """A batch file, or a part of one that was called by its label.

    Args:
        lines: of the file.
        name: by which it was started, ``%0``.
        path: on the node.
        rest: what followed the name.
    """

    def __init__(self, lines: list[str], session: Session, name: str, path: str, rest: str) -> None:
        self._lines = lines
        self._session = session
        self._path = path
        self._rest = rest.strip()
        self._arguments = [name, *re.findall(r'(?:"[^"]*"?|[^\s",;=])+', rest)]
        self._kept: list[tuple[dict[str, tuple[str, str]], bool]] = []
        self.next = 0
        self.echo = True
        self.delayed = False

    def called(self, name: str, rest: str) -> BatchFile:
        """The same file for a ``call`` of a label."""
        inner = BatchFile(self._lines, self._session, name, self._path, rest)
        inner.echo, inner.delayed = self.echo, self.delayed
        return inner

    def take(self) -> str | None:
        """The next command line with its variables put in; None at the end of the file.

        A line continues while parentheses are open or it ends with a caret.
        """
        while self.next < len(self._lines):
            text = self._lines[self.next]
            self.next += 1
            while text.endswith("^") and self.next < len(self._lines):
                text = text[:-1] + self._lines[self.next]
                self.next += 1
            while syntax.is_open(text) and self.next < len(self._lines):
                following = self._lines[self.next].strip()
                self.next += 1
                if following and not following.startswith((":", "rem ", "REM ")):
                    text += f"{syntax.joint(text, following)}{following}"
            if text.strip() and not text.lstrip().startswith(":"):
                return self.expanded(text.strip())
        return None

    def place_of(self, label: str) -> int:
        """The line after a label.

        Raises:
            Failure: there is none.
        """
        for number, line in enumerate(self._lines):
            if line.strip().lower().split(None, 1)[:1] == [f":{label.lower()}"]:
                return number + 1
        raise Failure(f"The system cannot find the batch label specified - {label}")

    def keep(self, *, delayed: bool | None) -> None:
        """``setlocal``, perhaps with a word on delayed expansion."""
        self._kept.append((dict(self._session.variables), self.delayed))
        self.delayed = self.delayed if delayed is None else delayed

    def give_back(self) -> None:
        """``endlocal``."""
        if self._kept:
            self._session.variables, self.delayed = self._kept.pop()

    def restore(self) -> None:
        """The file is over: what was set after ``setlocal`` is forgotten."""
        if self._kept:
            self._session.variables = self._kept[0][0]

    def expanded(self, text: str) -> str:
        """Arguments and variables put in, from left to right; unknown ones are empty, and ``%%`` is one ``%``."""
        values = self._session.values()

        def put(found: re.Match[str]) -> str:
            parts, argument, *variable = found.groups()
            if argument is not None:
                return self._argument(parts, argument)
            return "%" if variable[0] is None else syntax.value_of(variable, values, "")

        return _PERCENT.sub(put, text)

    def _argument(self, parts: str | None, index: str) -> str:
        if index == "*":
            return self._rest
        value = self._arguments[int(index)] if int(index) < len(self._arguments) else ""
        return loops.pieces(self._path if index == "0" and parts else value, parts)
