"""The grammar of ``cmd /c``, as far as command lines of tasks use it. Pure; see `windows_shell` for what the words do.

It is imported by a script that runs without site packages, so it uses the standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

LIMIT = "azure-batch-emulator: this is a limit of the emulator; its Windows nodes know {}.\n"
_VARIABLE = re.compile(r"%([^%=\s]+)%")
_OPERATORS = ("&&", "||", "&", "|", "(", ")")


class CommandSyntaxError(ValueError):
    """The line does not parse; the text is what cmd says."""


@dataclass(slots=True)
class Redirection:
    """``stream`` is 0, 1 or 2; a target of ``&1`` or ``&2`` is another stream."""

    stream: int
    mode: str
    target: str


@dataclass(slots=True)
class Simple:
    """One command: its text as written, quotes and all, without redirections."""

    text: str
    redirections: list[Redirection] = field(default_factory=list)


@dataclass(slots=True)
class Group:
    """Commands in parentheses."""

    body: Node
    redirections: list[Redirection] = field(default_factory=list)


@dataclass(slots=True)
class Pair:
    """Two commands joined by ``&``, ``&&``, ``||`` or ``|``."""

    operator: str
    left: Node
    right: Node


Node = Simple | Group | Pair


def unquoted(text: str) -> str:
    """The argument of ``/c`` as cmd takes it: one pair of quotes around everything is dropped."""
    text = text.strip()
    if text.startswith('"') and text.endswith('"') and len(text) > 1:
        inner = text[1:-1]
        if text.count('"') != 2 or not re.search(r"^\S+\.(exe|com|bat|cmd)$", inner, re.IGNORECASE):
            return inner
    return text


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Put in the values of ``%NAME%``, once and before anything is parsed; unknown names stay as they are.

    Args:
        variables: by name in upper case.
    """
    return _VARIABLE.sub(lambda found: variables.get(found[1].upper(), found[0]), text)


def parse(text: str) -> Node | None:
    """The commands of a line; None for a blank one.

    Raises:
        CommandSyntaxError: for a line that cmd would not take.
    """
    tokens = _tokens(text)
    if not tokens:
        return None
    parser = _Parser(tokens)
    node = parser.sequence()
    if parser.left():
        raise CommandSyntaxError(f"{parser.left()} was unexpected at this time.")
    return node


def words(text: str) -> list[str]:
    """Arguments of a command, split at blanks, with quotes taken off."""
    return [word.replace('"', "") for word in re.findall(r'(?:"[^"]*"?|[^\s"])+', text)]


@dataclass(slots=True)
class _Token:
    kind: str
    text: str
    redirections: list[Redirection] = field(default_factory=list)


def _tokens(text: str) -> list[_Token]:
    """Operators, and between them commands with their redirections."""
    found: list[_Token] = []
    current = _Token("text", "")
    place, quoted = 0, False

    def flush() -> None:
        nonlocal current
        if current.text.strip() or current.redirections:
            found.append(current)
        current = _Token("text", "")

    while place < len(text):
        char = text[place]
        if char == '"':
            quoted = not quoted
        if quoted or char == '"':
            current.text += char
            place += 1
        elif char == "^":
            current.text += text[place + 1 : place + 2]
            place += 2
        elif char in "<>":
            place = _redirection(text, place, current)
        elif operator := next((each for each in _OPERATORS if text.startswith(each, place)), None):
            if operator == "(" and current.text.strip():
                current.text += "("
            elif operator == ")" and not any(token.text == "(" for token in found):
                current.text += ")"
            else:
                flush()
                found.append(_Token("operator", operator))
            place += len(operator)
        else:
            current.text += char
            place += 1
    flush()
    return found


def _redirection(text: str, place: int, current: _Token) -> int:
    """Take one redirection; the place after it."""
    stream = 0 if text[place] == "<" else 1
    if current.text[-1:] in ("1", "2") and (len(current.text) == 1 or current.text[-2].isspace()):
        stream = int(current.text[-1])
        current.text = current.text[:-1]
    mode = "r" if text[place] == "<" else "w"
    place += 1
    if text[place : place + 1] == ">":
        mode, place = "a", place + 1
    target = re.compile(r'\s*(&[12]|"[^"]*"|[^\s&|<>()]+)').match(text, place)
    if target is None:
        raise CommandSyntaxError("The syntax of the command is incorrect.")
    current.redirections.append(Redirection(stream, mode, target[1].strip('"')))
    return target.end()


class _Parser:
    """Recursive descent; ``&`` binds least, then ``||``, then ``&&``, then ``|``."""

    _LEVELS = ("&", "||", "&&", "|")

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._place = 0

    def left(self) -> str:
        """What is not parsed yet; blank at the end."""
        return self._tokens[self._place].text if self._place < len(self._tokens) else ""

    def sequence(self, level: int = 0) -> Node:
        """Commands joined by the operator of a level."""
        if level == len(self._LEVELS):
            return self._single()
        operator = self._LEVELS[level]
        node = self.sequence(level + 1)
        while self._is(operator):
            self._place += 1
            if operator == "&" and (not self.left() or self._is(")")):
                break
            node = Pair(operator, node, self.sequence(level + 1))
        return node

    def _is(self, operator: str) -> bool:
        return (
            self._place < len(self._tokens) and self._tokens[self._place].kind == "operator" and self.left() == operator
        )

    def _single(self) -> Node:
        if self._place >= len(self._tokens):
            raise CommandSyntaxError("The syntax of the command is incorrect.")
        token = self._tokens[self._place]
        self._place += 1
        if token.kind == "text":
            return Simple(token.text.lstrip(" \t@"), token.redirections)
        if token.text != "(":
            raise CommandSyntaxError(f"{token.text} was unexpected at this time.")
        body = self.sequence()
        if not self._is(")"):
            raise CommandSyntaxError("The syntax of the command is incorrect.")
        self._place += 1
        group = Group(body)
        following = self._tokens[self._place] if self._place < len(self._tokens) else None
        if following is not None and following.kind == "text" and not following.text.strip():
            group.redirections = following.redirections
            self._place += 1
        return group
