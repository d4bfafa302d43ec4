"""The grammar of cmd, as far as command lines and batch files of tasks use it. Pure; see `windows_shell` for what the words do.

It is imported by a script that runs without site packages, so it uses the standard library only.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from azure_batch_emulator.executors import windows_loops as loops
else:
    # These modules are no part of a package when the script runs.
    loops = importlib.import_module("windows_loops")

LIMIT = "azure-batch-emulator: this is a limit of the emulator; its Windows nodes know {}.\n"
# A part of a value, or the value with one text in place of another.
_PART = r"(?::~(-?[0-9]{{1,9}})(?:,(-?[0-9]{{1,9}}))?|:(\*?[^{0}=~][^{0}=]*)=([^{0}]*))?"
VARIABLE = rf"%([^%=\s:]+){_PART.format('%')}%"
_VARIABLE = re.compile(VARIABLE)
_DELAYED = re.compile(rf"!([^!=\s:]+){_PART.format('!')}!")
_CONDITION = r"""\s*@?\s*if\s+(?P<ignore>/i\s+)?(?P<negated>not\s+)?(?:exist\s+(?P<file>"[^"]*"|[^\s(]+)
 |errorlevel\s+(?P<level>[0-9]{1,10})(?![0-9])|defined\s+(?P<name>[^\s(]+)|(?P<left>"[^"]*"|[^\s="]+)(?:\s*(?P<equal>==)\s*|\s+(?P<word>equ|neq|lss|leq|gtr|geq)\s+)
 (?P<right>"[^"]*"|[^\s(]+))\s*""".replace("\n ", "")
_IF = re.compile(_CONDITION + r"(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_LOOP = r'\s*@?\s*for\s+(?:/(?P<switch>[a-z])\s+)?(?P<options>"[^"]*"\s+)?%%?(?P<variable>\w)\s+in\s*'
_FOR = re.compile(_LOOP + r"\((?P<items>.*?)\)\s*do\b\s*(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_FOR_SET = re.compile(_LOOP, re.IGNORECASE)
_ELSE = re.compile(r"\s*else\b\s*(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
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


@dataclass(slots=True)
class If:
    """``if``: `kind` is ``exist``, ``defined``, ``errorlevel``, ``==`` or one of the words for comparisons."""

    kind: str
    left: str
    right: str
    negated: bool
    ignore_case: bool
    body: Node
    otherwise: Node | None = None


@dataclass(slots=True)
class For:
    """``for``, perhaps with ``/l``, ``/f`` or ``/d``."""

    switch: str
    options: str
    variable: str
    items: str
    body: Node


Node = Simple | Group | Pair | If | For


def unquoted(text: str, is_program: Callable[[str], bool]) -> str:
    """The argument of ``/c`` as ``cmd /?`` documents it: a quote at its beginning is dropped, and with it the last one.

    Not so where there are two of them, around the name of a program with blanks in it.

    Args:
        is_program: whether there is a program of that name.
    """
    text = text.strip()
    if not text.startswith('"'):
        return text
    last = text.rindex('"')
    inner = text[1:last]
    # Two simple searches: a pattern for both would take hours for a line of a megabyte.
    named = re.search(r"\s", inner) is not None and re.search(r"[&<>()@^|]", inner) is None
    if named and text.count('"') == 2 and is_program(inner):
        return text
    return inner + text[last + 1 :] if last else text[1:]


@dataclass(frozen=True, slots=True)
class Invocation:
    """What stands behind ``cmd``: a line if there is one, and whether ``/k``, ``/v:on`` and ``/s`` are said."""

    line: str = ""
    stays: bool = False
    delayed: bool = False
    always: bool = False


def invocation(rest: str) -> Invocation:
    """Take what follows ``cmd`` apart.

    Raises:
        CommandSyntaxError: for a switch that the stand-in cannot follow.
    """
    delayed = always = False
    text = rest.strip()
    while text[:1] == "/":
        switch = text[1:2].lower()
        if switch in ("c", "k"):
            return Invocation(text[2:], switch == "k", delayed, always)
        word, text = (re.match(r"/[^/\s]*", text) or [""])[0].lower(), text
        text = text[len(word) :].lstrip()
        if word not in ("/s", "/q", "/d", "/a", "/e:on", "/v:on", "/v:off", "/f:off"):
            raise CommandSyntaxError(
                f"Invalid switch - {word}\n" + LIMIT.format("cmd with /c, /k, /s, /v:on, /d and /q").rstrip()
            )
        delayed, always = (word == "/v:on" if word[:2] == "/v" else delayed), always or word == "/s"
    return Invocation()


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Put in the values of ``%NAME%`` and ``%NAME:~0,3%`` as on a command line, before anything is parsed; unknown names stay.

    Args:
        variables: by name in upper case.
    """
    return _VARIABLE.sub(lambda found: value_of(found.groups(), variables, found[0]), text)


def expand_delayed(text: str, variables: Mapping[str, str]) -> str:
    """Put in the values of ``!NAME!``."""
    return _DELAYED.sub(lambda found: value_of(found.groups(), variables, ""), text)


def value_of(groups: Sequence[str | None], variables: Mapping[str, str], unknown: str) -> str:
    """The value of a variable, a part of it, or the value with one text in place of another.

    Args:
        groups: of `VARIABLE`: its name, start and length of the part, the text and what stands in its place.
        unknown: what stands for a variable that there is not.
    """
    name, start, length, old, new = groups
    value = variables.get((name or "").upper())
    if value is None:
        return unknown
    if old is not None:
        # A star in front means all up to the text too.
        before, text = ("^.*?", old[1:]) if old[0] == "*" and len(old) > 1 else ("", old)
        flags, count = re.IGNORECASE | re.DOTALL, 1 if before else 0
        return re.sub(before + re.escape(text), lambda _: new or "", value, count=count, flags=flags)
    if start is None:
        return value
    first = int(start)
    value = value[first:] if first >= 0 or -first <= len(value) else value
    return value if length is None else value[: int(length)]


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


def command_name(text: str) -> str:
    """The first word of a command, without what may follow it at once: ``echo.`` and ``cd\\`` are ``echo`` and ``cd``."""
    match = re.match(r'\s*("[^"]*"|\S+)', text)
    name = match[1] if match else ""
    for mark in ".:/\\(":
        head = name.partition(mark)[0].lower()
        if head in ("echo", "cd", "dir", "exit", "type", "md", "rd", "del", "cmd") and head != name.lower():
            name = name[: len(head)]
    return name


def filled(node: Node, variable: str, value: str) -> Node:
    """A body of ``for`` with a value for its variable."""

    def text(given: str) -> str:
        # Behind "z" and "Z" come characters that mean something in a pattern.
        return re.sub(rf"%(?:~([dpnxf]*))?{re.escape(variable)}", lambda found: loops.pieces(value, found[1]), given)

    if isinstance(node, Simple):
        changed = [replace(redirection, target=text(redirection.target)) for redirection in node.redirections]
        return Simple(text(node.text), changed)
    if isinstance(node, Group):
        changed = [replace(redirection, target=text(redirection.target)) for redirection in node.redirections]
        return Group(filled(node.body, variable, value), changed)
    if isinstance(node, Pair):
        return Pair(node.operator, filled(node.left, variable, value), filled(node.right, variable, value))
    if isinstance(node, If):
        other = node.otherwise
        return replace(
            node,
            left=text(node.left),
            right=text(node.right),
            body=filled(node.body, variable, value),
            otherwise=filled(other, variable, value) if other is not None else None,
        )
    return replace(node, items=text(node.items), body=filled(node.body, variable, value))


def is_open(text: str) -> bool:
    """Whether a line of a batch file continues with the next, as parentheses are open."""
    try:
        found = [token.text for token in _tokens(text) if token.kind == "operator"]
    except CommandSyntaxError:
        return False
    return found.count("(") > found.count(")")


def joint(text: str, following: str) -> str:
    """What stands for the end of a line inside parentheses."""
    return " " if text.rstrip().endswith("(") else "" if following.startswith(")") else "&"


def words(text: str) -> list[str]:
    """Arguments of a command, split at blanks, with quotes taken off."""
    return [word.replace('"', "") for word in re.findall(r'(?:"[^"]*"?|[^\s"])+', text)]


def arguments(text: str) -> list[str]:
    """Arguments of a program, as programs on Windows take their command line apart.

    Backslashes count before a quote only: two of them are one there, and one makes the quote a character. Inside of quotes, two
    quotes are one that is a character, and the quotes go on.
    """
    found: list[str] = []
    current: list[str] = []
    begun = quoted = False
    parts = re.findall(r'\\*"|[ \t\r\n]+|\\+|[^\\" \t\r\n]+', text)
    place = 0
    while place < len(parts):
        part, following = parts[place], parts[place + 1 : place + 2]
        place += 1
        if part.endswith('"'):
            slashes = len(part) - 1
            current.append("\\" * (slashes // 2))
            begun = True
            if slashes % 2:
                current.append('"')
            elif quoted and following == ['"']:
                current.append('"')
                place += 1
            else:
                quoted = not quoted
        elif part.isspace() and not quoted:
            if begun:
                found.append("".join(current))
            current, begun = [], False
        else:
            current.append(part)
            begun = True
    return [*found, "".join(current)] if begun else found


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
        elif operator := next((known for known in _OPERATORS if text.startswith(known, place)), None):
            if operator == "(" and _FOR_SET.fullmatch(_last_part(current.text)):
                inner = _set_of_for(text, place)
                current.text += inner
                place += len(inner)
                continue
            if operator == "(" and current.text.strip() and not _opens(current.text):
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


def _last_part(text: str) -> str:
    """What stands behind all conditions and heads of loops."""
    while match := _ELSE.fullmatch(text) or _IF.fullmatch(text) or _FOR.fullmatch(text):
        text = match["rest"]
    return text


def _opens(text: str) -> bool:
    """Whether a parenthesis after this text begins a group."""
    return not _last_part(text).strip()


def _set_of_for(text: str, place: int) -> str:
    """The set of a ``for`` with its parentheses, as written."""
    quote, end = "", place + 1
    while end < len(text) and (quote or text[end] != ")"):
        if text[end] in "\"'":
            quote = "" if quote == text[end] else quote or text[end]
        end += 1
    return text[place : end + 1]


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
        if token.kind == "text" and (match := _IF.fullmatch(token.text)):
            return self._if(match, token)
        if token.kind == "text" and (match := _FOR.fullmatch(token.text)):
            return self._for(match, token)
        if token.kind == "text" and re.match(r"\s*@?\s*(if|for)\s", token.text, re.IGNORECASE):
            raise CommandSyntaxError("The syntax of the command is incorrect.")
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

    def _if(self, match: re.Match[str], token: _Token) -> Node:
        file, level, name = match["file"], match["level"], match["name"]
        if file is not None:
            kind, left, right = "exist", file.strip('"'), ""
        elif level is not None:
            kind, left, right = "errorlevel", level, ""
        elif name is not None:
            kind, left, right = "defined", name, ""
        else:
            kind, left, right = (match["equal"] or match["word"]).lower(), match["left"], match["right"]
        body = self._body(match["rest"], token)
        node = If(kind, left, right, match["negated"] is not None, match["ignore"] is not None, body)
        following = self._tokens[self._place] if self._place < len(self._tokens) else None
        if following is not None and following.kind == "text" and (other := _ELSE.fullmatch(following.text)):
            self._place += 1
            node.otherwise = self._body(other["rest"], following)
        return node

    def _for(self, match: re.Match[str], token: _Token) -> Node:
        switch = (match["switch"] or "").lower()
        if switch not in ("", "l", "f", "d"):
            raise CommandSyntaxError(LIMIT.format("for, for /d, for /f and for /l").rstrip())
        options = (match["options"] or "").strip().strip('"')
        return For(switch, options, match["variable"], match["items"], self._body(match["rest"], token))

    def _body(self, rest: str, token: _Token) -> Node:
        """What stands behind a condition: all of the line, or up to the end of the parentheses around it."""
        if rest.strip():
            self._place -= 1
            self._tokens[self._place] = _Token("text", rest, token.redirections)
        return self.sequence()
