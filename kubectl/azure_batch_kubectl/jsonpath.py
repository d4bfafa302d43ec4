r"""Templates of `-o jsonpath=…`, in the dialect of kubectl: `{range .items[*]}{.id}{"\n"}{end}`.

Libraries for JSONPath (jsonpath-ng, python-jsonpath) speak RFC 9535 or dialects of their own: none has text between braces, `range`
or `\.` in names, and none prints as kubectl does. What is left for them, a path without these, is the smaller part. kubectl itself
cannot be asked: with `--local` it takes only objects with a kind and a name, which nodes, tasks, files and costs are not, and the
plugin also runs without it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from azure_batch_kubectl import jsonpath_steps as steps
from azure_batch_kubectl.jsonpath_steps import Place, Step, TemplateError

_NAME_ENDS = " \t\r\n.,[]$@{}"
_SLICE = re.compile(r"(-?\d+)?(:(?:-?\d+)?)?(:(?:-?\d+)?)?", re.ASCII)
_LONGEST_NUMBER = 18
"""Digits of an index; kubectl refuses what has more than 64 bits."""
_COMPARISON = re.compile(r"([^!<>=]+)([!<>=]+)(.+)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?[\d.]+")
_WORD = re.compile(r"\w+")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "0": "\0"}


@dataclass(frozen=True)
class _Range:
    """A block that is repeated for each value of a path."""

    path: Sequence[Step]
    block: list[Part] = field(default_factory=list)


Part = str | tuple[Step, ...] | _Range


class Template:
    """A template, ready to be applied.

    Args:
        as_json: make lists of values as JSON, not text.

    Raises:
        TemplateError: the text is no template.
    """

    def __init__(self, text: str, *, as_json: bool = False) -> None:
        self._parts = _Parser(text, 0, len(text)).template()
        self._as_json = as_json

    def applied(self, data: object) -> str:
        """What kubectl prints of the data; nothing in place of what is missing.

        Raises:
            TemplateError: a step does not fit the data.
        """
        found = list(_results(self._parts, data))
        if self._as_json:
            return "".join(json.dumps(values, indent=4) + "\n" for values in found)
        return "".join(" ".join(map(steps.printed, values)) for values in found)


def _results(parts: Sequence[Part], data: object) -> Iterator[list[Any]]:
    for part in parts:
        if isinstance(part, str):
            yield [part]
        elif isinstance(part, _Range):
            for value in steps.walk(part.path, [data]):
                yield from _results(part.block, value)
        else:
            yield steps.walk(part, [data])


class _Parser:
    """Reads a part of a text; places are those in the whole text."""

    def __init__(self, text: str, start: int, end: int) -> None:
        self._text, self._at, self._end = text, start, end

    def _error(self, problem: str, start: int | None = None) -> TemplateError:
        return Place(self._text, self._at if start is None else start).error(problem)

    def _next(self, what: str) -> bool:
        return self._text.startswith(what, self._at, self._end)

    def template(self) -> list[Part]:
        """The parts of a template."""
        blocks: list[list[Part]] = [[]]
        while self._at < self._end:
            brace = self._text.find("{", self._at, self._end)
            if brace != self._at:
                stop = self._end if brace < 0 else brace
                blocks[-1].append(self._text[self._at : stop])
                self._at = stop
                continue
            self._at += 1
            part = self._action(brace)
            if part is None:
                if len(blocks) == 1:
                    raise self._error("there is no {range} to end", brace)
                blocks.pop()
                continue
            blocks[-1].append(part)
            if isinstance(part, _Range):
                blocks.append(part.block)
        # As with kubectl, a range without an end goes to the end of the template.
        return blocks[0]

    def _action(self, brace: int) -> Part | None:
        """What stands between braces; None for `end`."""
        self._skip_spaces()
        word = _WORD.match(self._text, self._at, self._end)
        if word and word[0] == "end":
            self._at = word.end()
            self._skip_spaces()
            if not self._next("}"):
                raise self._error("expected } after end")
            self._at += 1
            return None
        if is_range := bool(word and word[0] == "range"):
            self._at += len("range")
        path = tuple(self._path(until="}"))
        if not self._next("}"):
            raise self._error("expected }: the brace is not closed", brace)
        self._at += 1
        return _Range(path) if is_range else path

    def _skip_spaces(self) -> None:
        while self._at < self._end and self._text[self._at].isspace():
            self._at += 1

    def _path(self, until: str = "") -> Iterator[Step]:
        """Steps up to a character, or to the end."""
        while self._at < self._end and not (until and self._next(until)):
            if step := self._step():
                yield step

    def _step(self) -> Step | None:
        start, character = self._at, self._text[self._at]
        if character.isspace() or character in "@$":
            self._at += 1
            return None
        if self._next("[?("):
            return self._filter()
        if self._next(".."):
            self._at += 2
            if self._next(".."):
                raise self._error("two recursive steps in a row", start)
            # `..name`: the name follows at once. `...name` is the same.
            return steps.chained(steps.recursive, self._field(0)) if self._starts_name() else steps.recursive
        if character == ".":
            return self._field(1)
        if character == "[":
            return self._brackets()
        if character in "\"'":
            return self._quoted(character)
        if found := _NUMBER.match(self._text, self._at, self._end):
            self._at = found.end()
            return steps.constant(self._number(found[0], start))
        if found := _WORD.match(self._text, self._at, self._end):
            self._at = found.end()
            if found[0] in {"true", "false"}:
                return steps.constant(found[0] == "true")
            raise self._error(f"{found[0]!r} is neither range nor end: begin a field with a dot", start)
        raise self._error("expected a field such as .name, an index such as [0], or a text in quotes")

    def _starts_name(self) -> bool:
        return self._at < self._end and (self._text[self._at].isalnum() or self._text[self._at] == "_")

    def _field(self, skip: int) -> Step:
        """A name, in which `\\` makes the next character a part of it."""
        self._at += skip
        name = ""
        while self._at < self._end and self._text[self._at] not in _NAME_ENDS:
            if self._text[self._at] == "\\":
                self._at += 1
            name += self._text[self._at : min(self._at + 1, self._end)]
            self._at += 1
        # `{.}` is the object itself.
        return steps.wildcard if name == "*" else steps.field(name) if name else list

    def _quoted(self, quote: str) -> Step:
        start, found = self._at, ""
        self._at += 1
        while not self._next(quote):
            if self._at >= self._end:
                raise self._error("the quoted text has no end", start)
            character = self._text[self._at]
            if character == "\\":
                self._at += 1
                escaped = self._text[self._at : self._at + 1]
                if escaped not in _ESCAPES:
                    raise self._error(f"\\{escaped} is no escape in a quoted text", self._at - 1)
                character = _ESCAPES[escaped]
            found += character
            self._at += 1
        self._at += 1
        return steps.constant(found)

    def _number(self, text: str, start: int) -> int | float:
        try:
            return float(text) if "." in text else int(text)
        except ValueError:
            raise self._error(f"{text!r} is not a number", start) from None

    def _brackets(self) -> Step:
        start = self._at
        stop = self._text.find("]", start, self._end)
        if stop < 0:
            raise self._error("the bracket is not closed")
        self._at = stop + 1
        found, at = [], start + 1
        for member in self._text[at:stop].split(","):
            begin = at + len(member) - len(member.lstrip())
            found.append(self._member(begin, begin + len(member.strip())))
            at += len(member) + 1
        return found[0] if len(found) == 1 else steps.union(found)

    def _member(self, start: int, end: int) -> Step:
        """What stands in brackets, between commas."""
        text, place = self._text[start:end], Place(self._text, start)
        if len(text) > 1 and text[0] == text[-1] == "'":
            # As with kubectl, dots in it separate names.
            inner = _Parser(self._text, start + 1, end - 1)
            return steps.chained(inner._field(0), *inner._path())
        found = _SLICE.fullmatch(":" if text == "*" else text)
        if not found or not text:
            raise place.error(f"[{text}] is neither an index, a slice, * nor a name in single quotes")
        if any(len((part or "").lstrip(":-")) > _LONGEST_NUMBER for part in found.groups()):
            raise place.error(f"[{text}] has a number with more than {_LONGEST_NUMBER} digits")
        first, last, stride = (int(number) if (number := (part or "").lstrip(":")) else None for part in found.groups())
        if found[2] is None:
            return steps.index(first or 0, place)
        if stride is not None and stride <= 0:
            raise place.error(f"the step {stride} of a slice is not positive")
        return steps.section(slice(first, last, stride), place)

    def _filter(self) -> Step:
        place = Place(self._text, self._at)
        begin = self._at + len("[?(")
        end = self._filter_end(begin, place)
        self._at = end + len(")]")
        found = _COMPARISON.fullmatch(self._text, begin, end)
        if not found:
            return steps.matching(steps.Comparison(self._inner(begin, end), "", (), place))
        if found[2] not in steps.COMPARE:
            known = " ".join(steps.COMPARE)
            raise Place(self._text, found.start(2)).error(f"{found[2]} is no comparison: use one of {known}")
        left, right = (self._inner(*found.span(side)) for side in (1, 3))
        return steps.matching(steps.Comparison(left, found[2], right, place))

    def _inner(self, start: int, end: int) -> tuple[Step, ...]:
        return tuple(_Parser(self._text, start, end)._path())

    def _filter_end(self, at: int, place: Place) -> int:
        quote = ""
        while at < self._end:
            character = self._text[at]
            if quote:
                at += character == "\\"
                quote = "" if character == quote else quote
            elif character in "\"'":
                quote = character
            elif self._text.startswith(")]", at, self._end):
                return at
            at += 1
        raise place.error("the filter has no end: expected )]")
