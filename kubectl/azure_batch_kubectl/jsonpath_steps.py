"""Steps of a path of `-o jsonpath=…`: each makes a list of values of a list of values, as kubectl does."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_HTML = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026"})
_SHOWN = 40


class TemplateError(ValueError):
    """A template that cannot be read, or does not fit what it is applied to; names the place in it."""


@dataclass(frozen=True)
class Place:
    """A place in the text of a template."""

    text: str
    start: int

    def error(self, problem: str) -> TemplateError:
        """What is wrong there."""
        near = self.text[self.start : self.start + 20]
        where = f"at character {self.start + 1}, {near!r}" if near else "at its end"
        return TemplateError(f"jsonpath {self.text!r}: {where}: {problem}")


Step = Callable[[Sequence[Any]], list[Any]]
"""What a part of a path makes of the values so far."""


def walk(path: Sequence[Step], values: list[Any]) -> list[Any]:
    """What all steps of a path make of values."""
    for step in path:
        values = step(values)
    return values


def printed(value: object) -> str:
    """A value as kubectl prints it: a string as it is, others as JSON."""
    if isinstance(value, str):
        return value
    # As Go does: keys in order, no spaces, and no fraction of a whole number.
    text = json.dumps(whole(value), separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return text.translate(_HTML)


def whole(value: Any) -> Any:
    """The value with integers in place of whole numbers."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value)
    if isinstance(value, dict):
        return {name: whole(inner) for name, inner in value.items()}
    return [whole(inner) for inner in value] if isinstance(value, list) else value


def constant(value: object) -> Step:
    """A text or a number, whatever it is applied to."""
    return lambda values: [value]


def chained(*steps: Step) -> Step:
    """Several steps as one."""
    return lambda values: walk(steps, list(values))


def union(steps: Sequence[Step]) -> Step:
    """What each of several steps finds: `[0,2]`."""
    return lambda values: [found for step in steps for found in step(values)]


def field(name: str) -> Step:
    """The member of that name, of the objects that have one."""
    return lambda values: [value[name] for value in values if isinstance(value, dict) and name in value]


def _members(value: Any) -> list[Any]:
    return [*value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []


def wildcard(values: Sequence[Any]) -> list[Any]:
    """All members: `.*`."""
    return [member for value in values for member in _members(value)]


def recursive(values: Sequence[Any]) -> list[Any]:
    """Each object and list with all that are in it: `..`."""
    found = []
    for value in values:
        if members := _members(value):
            found += [value, *recursive(members)]
    return found


def index(number: int, place: Place) -> Step:
    """One item of each list: `[-1]`."""

    def taken(values: Sequence[Any]) -> list[Any]:
        found = []
        for items in _lists(values, place):
            if not -len(items) <= number < len(items):
                raise place.error(f"index {number} is out of bounds: the list has {len(items)} items")
            found.append(items[number])
        return found

    return taken


def section(part: slice, place: Place) -> Step:
    """Some items of each list: `[1:3]`, `[*]`."""
    return lambda values: [item for items in _lists(values, place) for item in items[part]]


def _lists(values: Sequence[Any], place: Place) -> list[list[Any]]:
    """The values that are there, all of them lists."""
    for value in values:
        if value is not None and not isinstance(value, list):
            raise place.error(f"{printed(value)[:_SHOWN]} is not a list")
    return [value for value in values if value is not None]


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda left, right: bool(left == right),
    "!=": lambda left, right: bool(left != right),
    "<": lambda left, right: bool(left < right),
    "<=": lambda left, right: bool(left <= right),
    ">": lambda left, right: bool(left > right),
    ">=": lambda left, right: bool(left >= right),
}
_EQUAL = frozenset({"==", "!="})


@dataclass(frozen=True)
class Comparison:
    """What stands between `[?(` and `)]`; without an operator, whether there is a value."""

    left: Sequence[Step]
    operator: str
    right: Sequence[Step]
    place: Place

    def passes(self, item: object) -> bool:
        """Whether an item of a list is kept; one that lacks the value, or has null, is not."""
        found = walk(self.left, [item])
        if not self.operator:
            return bool(found)
        own, other = self._only(found), self._only(walk(self.right, [item]))
        if own is None or other is None:
            return False
        if _type(own) is not _type(other):
            raise self.place.error(
                f"{printed(own)[:_SHOWN]} and {printed(other)[:_SHOWN]} are of different types: "
                "put a text in quotes, and a number or true and false not"
            )
        if not isinstance(own, (str, int, float)) or (isinstance(own, bool) and self.operator not in _EQUAL):
            # As with kubectl.
            problem = f"{printed(own)[:_SHOWN]} cannot be compared by {self.operator}"
            raise self.place.error(f"{problem}: compare a text or a number")
        return COMPARE[self.operator](own, other)

    def _only(self, values: list[Any]) -> Any:
        if len(values) > 1:
            raise self.place.error(f"{len(values)} values cannot be compared at once")
        return values[0] if values else None


def _type(value: object) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


def matching(comparison: Comparison) -> Step:
    """The items of lists that pass."""
    return lambda values: [
        item for items in _lists(values, comparison.place) for item in items if comparison.passes(item)
    ]
