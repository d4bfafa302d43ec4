"""Building blocks of the schemas: each takes a JSON value and returns it as the service would give it back.

Null means left out, property names are case-sensitive, enum values are not (docs/azure-batch.md#json). A property that
is a secret is checked and then dropped: the service never returns it, and the emulator has no use for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from azure_batch_emulator.schema.versions import CURRENT
from azure_batch_emulator.wire.durations import format_duration, parse_duration
from azure_batch_emulator.wire.errors import BatchError, invalid_body, invalid_property, missing_property
from azure_batch_emulator.wire.ticks import TICKS_PER_SECOND, format_timestamp, parse_timestamp

_MISSING: Any = object()
_WHOLE = re.compile(r"-?[0-9]{1,10}")


class Type(Protocol):
    """A type of JSON value."""

    def accept(self, name: str, value: Any) -> Any:
        """The value as the service keeps it.

        Raises:
            BatchError: 400, naming the property.
        """


class Text:
    """A string, with an optional pattern or length."""

    def __init__(
        self, pattern: str | None = None, *, longest: int | None = None, shortest: int = 0, reason: str = ""
    ) -> None:
        self._pattern = re.compile(pattern) if pattern else None
        self._longest = longest
        self._shortest = shortest
        self._reason = reason

    def accept(self, name: str, value: Any) -> Any:
        if not isinstance(value, str):
            raise invalid_body(f"The property '{name}' must be a string.")
        if self._pattern and not self._pattern.fullmatch(value):
            raise invalid_property(name, value, self._reason or "The value has characters that are not allowed.")
        if self._longest is not None and len(value) > self._longest:
            raise invalid_property(name, value, f"The value is longer than {self._longest} characters.")
        if len(value) < self._shortest:
            raise invalid_property(name, value, "The value must not be empty.")
        return value


class Lower(Text):
    """A string that comes back in lower case, such as vmSize."""

    def accept(self, name: str, value: Any) -> Any:
        return super().accept(name, value).lower()


class Integer:
    """A whole number in a closed range."""

    def __init__(self, least: int = -(2**31), most: int = 2**31 - 1) -> None:
        self._least = least
        self._most = most

    def accept(self, name: str, value: Any) -> Any:
        if isinstance(value, str) and CURRENT.get().numbers_as_text and _WHOLE.fullmatch(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise invalid_body(f"The property '{name}' must be an integer.")
        if not self._least <= value <= self._most:
            raise invalid_property(name, value, f"The value must be between {self._least} and {self._most}.")
        return value


class Number:
    """A number in a closed range, with or without a fraction."""

    def __init__(self, least: float, most: float) -> None:
        self._least = least
        self._most = most

    def accept(self, name: str, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise invalid_body(f"The property '{name}' must be a number.")
        if not self._least <= value <= self._most:
            raise invalid_property(name, value, f"The value must be between {self._least:g} and {self._most:g}.")
        return value


class Boolean:
    """True or false."""

    def accept(self, name: str, value: Any) -> Any:
        if not isinstance(value, bool):
            raise invalid_body(f"The property '{name}' must be a boolean.")
        return value


class Choice:
    """One of some words, any casing in, the service's casing out."""

    def __init__(self, *words: str) -> None:
        self._words = {word.lower(): word for word in words}

    def accept(self, name: str, value: Any) -> Any:
        if not isinstance(value, str):
            raise invalid_body(f"The property '{name}' must be a string.")
        word = self._words.get(value.lower())
        absent = CURRENT.get().values.get(name, ())
        if word is None or value.lower() in absent:
            words = [word for key, word in self._words.items() if key not in absent]
            raise invalid_property(name, value, f"The value must be one of {', '.join(words)}.")
        return word


class Duration:
    """An ISO 8601 duration, rewritten as the service does; bounds in seconds."""

    def __init__(self, least: float = 0, most: float | None = None) -> None:
        self._least = least
        self._most = most

    def accept(self, name: str, value: Any) -> Any:
        if not isinstance(value, str):
            raise invalid_body(f"The property '{name}' must be a string.")
        try:
            ticks = parse_duration(value)
        except ValueError:
            raise invalid_property(name, value, "The value is not a valid ISO 8601 duration.") from None
        if ticks < self._least * TICKS_PER_SECOND:
            raise invalid_property(name, value, f"The value must be at least {self._least:g} seconds.")
        if self._most is not None and ticks > self._most * TICKS_PER_SECOND:
            raise invalid_property(name, value, f"The value must be at most {self._most:g} seconds.")
        return format_duration(ticks)


class Timestamp:
    """A point in time, rewritten in UTC."""

    def accept(self, name: str, value: Any) -> Any:
        if not isinstance(value, str):
            raise invalid_body(f"The property '{name}' must be a string.")
        try:
            return format_timestamp(parse_timestamp(value))
        except ValueError:
            raise invalid_property(name, value, "The value is not a valid timestamp.") from None


# As deep as the service's JSON reader goes by default; what is stored in it is read back by clients with such a limit too.
DEEPEST = 64


class Anything:
    """JSON that the service passes on unread, such as the settings of an extension.

    The only type without a schema of its own, so the bounds of JSON itself are kept here: what is stored can be served.
    """

    def accept(self, name: str, value: Any) -> Any:
        waiting = [(value, 1)]
        while waiting:
            found, depth = waiting.pop()
            if isinstance(found, dict | list):
                if depth > DEEPEST:
                    raise invalid_body(f"The property '{name}' is nested more than {DEEPEST} levels deep.")
                inner = found.values() if isinstance(found, dict) else found
                waiting += [(item, depth + 1) for item in inner]
            elif _too_large(found):
                raise invalid_property(name, found, "The value is out of the range of a 64-bit integer.")
        return value


def _too_large(found: Any) -> bool:
    """Whether it is an integer of more than 64 bits; the parser of bodies turns no integer into a double."""
    return isinstance(found, int) and not -(2**63) <= found < 2**63


class JsonObject(Anything):
    """As `Anything`, but an object."""

    def accept(self, name: str, value: Any) -> Any:
        if not isinstance(value, dict):
            raise invalid_body(f"The property '{name}' must be an object.")
        return super().accept(name, value)


class Many:
    """A list of one type; nulls in it are dropped."""

    def __init__(self, item: Type, *, most: int | None = None, least: int = 0) -> None:
        self._item = item
        self._most = most
        self._least = least

    def accept(self, name: str, value: Any) -> Any:
        if not isinstance(value, list):
            raise invalid_body(f"The property '{name}' must be a list.")
        if self._most is not None and len(value) > self._most:
            raise invalid_property(name, len(value), f"The list has more than {self._most} items.")
        if len(value) < self._least:
            raise invalid_property(name, len(value), f"The list needs at least {self._least} items.")
        return [self._item.accept(name, item) for item in value if item is not None]


class Property:
    """One property of an object.

    Attributes:
        kind: type of its value.
        required: whether leaving it out is an error.
        default: value, or raw value to be accepted, that is used when it is left out.
        secret: accepted and forgotten.
        keep_empty: whether an empty list is returned; the service omits most of them.
    """

    __slots__ = ("_filled", "default", "keep_empty", "kind", "required", "secret")

    def __init__(
        self,
        kind: Type,
        *,
        required: bool = False,
        default: Any = _MISSING,
        secret: bool = False,
        keep_empty: bool = False,
    ) -> None:
        self.kind = kind
        self.required = required
        self.default = default
        self.secret = secret
        self.keep_empty = keep_empty
        self._filled: Any = _MISSING

    def filled(self) -> Any:
        """What is used for a value that is left out: one shared object, as accepted values are never changed in place."""
        if self._filled is _MISSING:
            self._filled = self.kind.accept("", {}) if self.default == {} else self.default
        return self._filled


Rule = Callable[[dict[str, Any]], None]


class Struct:
    """An object with named properties.

    Args:
        properties: name to property; a bare type is an optional property.
        rules: checks that look at several properties of the accepted object, raising BatchError.
    """

    def __init__(self, properties: Mapping[str, Property | Type], *, rules: Sequence[Rule] = ()) -> None:
        self.properties = {
            name: declared if isinstance(declared, Property) else Property(declared)
            for name, declared in properties.items()
        }
        self._rules = rules

    def accept(self, name: str, value: Any, *, partial: bool = False, ignore: frozenset[str] = frozenset()) -> Any:
        """As `Type.accept`.

        Args:
            name: of the property that holds the object.
            value: the JSON value.
            partial: leave out defaults of this level and require nothing: a PATCH.
            ignore: names of properties to skip in silence. Annotations of OData, such as ``odata.metadata``, always are:
                so a body that was read can be sent back.
        """
        if not isinstance(value, dict):
            raise invalid_body(f"The property '{name}' must be an object.")
        properties = self.properties
        unknown = CURRENT.get().unknown
        for key in value:
            if (key not in properties or key in unknown) and key not in ignore and "odata." not in key:
                raise unknown_property(key, properties)
        accepted: dict[str, Any] = {}
        for key, declared in properties.items():
            given = value.get(key)
            if given is None:
                if partial:
                    continue
                if declared.required:
                    raise missing_property(key)
                if declared.default is not _MISSING:
                    accepted[key] = declared.filled()
                continue
            checked = declared.kind.accept(key, given)
            if declared.secret:
                continue
            if checked == [] and not declared.keep_empty and not partial:
                continue
            accepted[key] = checked
        for rule in self._rules:
            rule(accepted)
        return accepted


def unknown_property(key: str, known: Iterable[str]) -> BatchError:
    """400 for a property that the object does not have; a wrong casing is named, as it is the usual mistake."""
    unknown = CURRENT.get().unknown
    meant = next((name for name in known if name != key and name.lower() == key.lower() and name not in unknown), None)
    hint = f" Did you mean '{meant}'?" if meant else ""
    return invalid_body(f"The property '{key}' does not exist on the type of this object.{hint}")


def optional(kind: Type, default: Any = _MISSING, *, keep_empty: bool = False) -> Property:
    """A property that may be left out, with what the service fills in."""
    return Property(kind, default=default, keep_empty=keep_empty)


def required(kind: Type) -> Property:
    """A property that must be there."""
    return Property(kind, required=True)


def secret(kind: Type) -> Property:
    """A property that is taken and never returned."""
    return Property(kind, secret=True)


def one_of(*names: str) -> Rule:
    """Exactly one of the properties must be there."""

    def check(accepted: dict[str, Any]) -> None:
        present = [name for name in names if name in accepted]
        if not present:
            raise missing_property(" or ".join(names))
        if len(present) > 1:
            raise invalid_property(present[1], accepted[present[1]], f"It excludes the property '{present[0]}'.")

    return check


ID = Text(r"[A-Za-z0-9_-]{1,64}", reason="An id has 1 to 64 characters, only letters, digits, '-' and '_'.")
FOREIGN_ID = Text(r"[A-Za-z0-9_:.-]{1,128}", reason="The value is not the id of a resource.")
TEXT = Text()
DISPLAY_NAME = Text(longest=1024)
"""Ids and names that all resources share (docs/azure-batch.md#limits)."""
