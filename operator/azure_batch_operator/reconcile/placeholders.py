"""Placeholders of task templates, as the retired CLI extension had them.

`{0}`, `{1}`, … are values by position, `{name}` is the value of a column of that name, `{0:3}` and `{name:3}` pad a number with
zeros to three digits, `{{` and `}}` are braces. Anything else in braces stays as it is; so do the shell's `${NAME}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_PLACEHOLDER = re.compile(
    r"\{\{|\}\}|\{(?P<index>\d+)(?::(?P<width>\d+))?\}|(?<!\$)\{(?P<name>[A-Za-z_][\w .-]*)(?::(?P<digits>\d+))?\}"
)


def fill(template: Any, values: Sequence[object], names: Sequence[str] = ()) -> Any:
    """The template with its placeholders replaced, in every string of it.

    Args:
        values: by position; every index that the template uses must be there.
        names: names of the values, in the same order, if they have any.
    """
    if isinstance(template, str):
        return _PLACEHOLDER.sub(lambda match: _value(match, values, names), template)
    if isinstance(template, Mapping):
        return {name: fill(value, values, names) for name, value in template.items()}
    if isinstance(template, list):
        return [fill(value, values, names) for value in template]
    return template


def highest_index(template: Any) -> int:
    """The highest position that the template uses; -1 if it uses none."""
    found = (
        int(match["index"]) for text in _strings(template) for match in _PLACEHOLDER.finditer(text) if match["index"]
    )
    return max(found, default=-1)


def _value(match: re.Match[str], values: Sequence[object], names: Sequence[str]) -> str:
    if match["index"] is not None:
        at = int(match["index"])
        # A template is checked before it is filled; a CSV row may still be short of what it asks for.
        return _padded(values[at], match["width"]) if at < len(values) else match[0]
    if match["name"] is not None:
        return _padded(values[names.index(match["name"])], match["digits"]) if match["name"] in names else match[0]
    return match[0][0]


def _padded(value: object, width: str | None) -> str:
    text = str(value)
    return text.zfill(int(width)) if width and text.lstrip("-").isdigit() else text


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
