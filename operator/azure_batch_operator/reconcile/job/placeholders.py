"""Placeholders of task templates: the syntax of the retired CLI extension, as described in docs/tasks.md.

    {0} {1} …     a value by position                  {name}       the value of the column of that name
    {0:3}         padded with zeros to three digits    {name:3}     the same
    {{ … }}       braces                               {$}          a dollar sign
    ${NAME}       of the shell, stays as it is; so does anything else in braces

What could be meant in two ways is refused with its position (`problems`) and never guessed: `${1}` is a value after a dollar sign
or the shell's first argument, `{{.State}}` a Go template or an escaped brace, and `}}` without `{{` mostly belongs to JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_PLACEHOLDER = re.compile(
    r"(?P<dollar>\{\$\})|(?P<open>\{\{)|(?P<close>\}\})"
    r"|(?P<shell>\$)?\{(?P<index>\d+)(?::(?P<width>\d+))?\}|(?<!\$)\{(?P<name>[A-Za-z_][\w .-]*)(?::(?P<digits>\d+))?\}"
)
_GO = re.compile(r"\{\{-?(?:\s*[.$]\w*|\s+\w|(?:range|if|else|end|with|json|printf|define|template|block)\b)")
"""How actions of Go templates, as `docker --format` takes them, and expressions of Jinja begin."""
WIDEST = 32
"""Most digits that a placeholder pads to."""
_INDEX_DIGITS = 6
LONGEST = 1 << 20
"""Most characters of a task with its values filled in: the service takes no call of more than 1 MiB."""


def fill(template: Any, values: Sequence[object], names: Sequence[str] = ()) -> Any:
    """The template with its placeholders replaced, in every string of it; what `problems` would refuse stays as it is.

    Args:
        values: by position.
        names: names of the values, in the same order, if they have any.
    """
    if isinstance(template, str):
        return _PLACEHOLDER.sub(lambda match: _value(match, values, names), template)
    if isinstance(template, Mapping):
        return {name: fill(value, values, names) for name, value in template.items()}
    if isinstance(template, list):
        return [fill(value, values, names) for value in template]
    return template


def escaped(text: str) -> str:
    """A text that `fill` makes the given one of, whatever is in it: a value that is put into a template is none itself."""
    return text.replace("{", "{{").replace("}", "}}")


def problems(template: Any, width: int, what: str, longest: int = 0, path: str = "") -> list[str]:
    """What is wrong or ambiguous in a template, each with its place and what to write instead.

    Args:
        width: how many values there are.
        what: what they are, for messages, such as `columns`.
        longest: characters of the longest value.
        path: where the template stands.
    """
    found = [
        f"{where}: {problem}"
        for where, text in _strings(template, path)
        for problem in (*_placeholders(text, width, what), *_braces(text))
    ]
    number = count(template)
    if number * longest > LONGEST:
        found.append(
            f"{path}: {number} placeholders for values of up to {longest} characters could make a task larger than the 1 MiB that "
            "Azure Batch takes: use fewer of them, or shorter values"
        )
    return found


def count(template: Any) -> int:
    """How many placeholders there are in all strings of a template."""
    return sum(len(_PLACEHOLDER.findall(text)) for _, text in _strings(template, ""))


def _placeholders(text: str, width: int, what: str) -> Iterator[str]:
    for match in _PLACEHOLDER.finditer(text):
        index, place = match["index"], f"at character {match.start() + 1}"
        if index is not None and match["shell"]:
            yield (
                f"{place}: {_shown(match[0])} can be a value or an argument of the shell: write ${{{{{_shown(index)}}}}} for the "
                f"shell's, {{$}}{{{_shown(index)}}} for a dollar sign and the value"
            )
        elif index is not None and (len(index) > _INDEX_DIGITS or int(index) >= width):
            yield f"{place} it uses {{{_shown(index)}}}, but the number of {what} is {width}, and numbering starts at 0"
        pad = match["width"] or match["digits"]
        if pad is not None and _too_wide(pad):
            yield f"{place}: {_shown(match[0])} pads to {_shown(pad)} digits, but at most {WIDEST} are allowed"


def _braces(text: str) -> Iterator[str]:
    """What is wrong with doubled braces."""
    opened: list[int] = []
    for match in _PLACEHOLDER.finditer(text):
        place = match.start() + 1
        if match["open"]:
            opened.append(place)
            doubled = text[max(0, match.start() - 2) : match.start()] == "{{"
            if not doubled and (go := _GO.match(text, match.start())):
                yield (
                    f"at character {place}: {_shown(go[0])} looks like a template of another tool, but {{{{ stands for one brace: "
                    "write {{{{ and }}}} for two, or put a space between two braces that are meant as one each"
                )
        elif match["close"]:
            if not opened:
                yield (
                    f"at character {place}: }}}} stands for one brace without a matching {{{{: write }}}}}}}} for two, or put a "
                    "space between two braces that are meant as one each"
                )
            else:
                opened.pop()
    for place in opened[:1]:
        yield f"at character {place}: {{{{ stands for one brace without a matching }}}}: write {{{{{{{{ for two"


def _value(match: re.Match[str], values: Sequence[object], names: Sequence[str]) -> str:
    if match["dollar"]:
        return "$"
    if match["index"] is not None:
        if match["shell"] or len(match["index"]) > _INDEX_DIGITS:
            return match[0]
        # A template is checked before it is filled; a CSV row may still be short of what it asks for.
        return _padded(values, int(match["index"]), match["width"], match[0])
    if match["name"] is not None:
        at = names.index(match["name"]) if match["name"] in names else len(values)
        return _padded(values, at, match["digits"], match[0])
    return match[0][0]


def _padded(values: Sequence[object], at: int, width: str | None, whole: str) -> str:
    if at >= len(values) or (width is not None and _too_wide(width)):
        return whole
    text = str(values[at])
    if width is None:
        return text
    return text.zfill(int(width)) if text.lstrip("-").isdigit() else text


def _too_wide(width: str) -> bool:
    return len(width.lstrip("0")) > 2 or int(width) > WIDEST


def _shown(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


def _strings(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _strings(each, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from _strings(each, f"{path}[{at}]")
