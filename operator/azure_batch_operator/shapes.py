"""Reads external JSON with the types that a model declares: values of another type are left out, so later code needs no checks.

Responses of the service pass here before anybody sees them (`batch.responses`), and so do specs and statuses of the API server
(`api.resource`). Behind it a member may be missing, but if it is there, it has its type: texts are texts, numbers fit into 64 bits,
times and durations can be read. So code may use `.get(…)` and needs no further doubt; `tests/unit/test_shapes.py` proves it with
bodies of any shape. Stands below `api` and `batch`, and knows neither.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_WRONG: Any = object()
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**63 - 1
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_DURATION = re.compile(
    r"-?P(?!$)(?:\d{1,9}Y)?(?:\d{1,9}M)?(?:\d{1,9}W)?(?:\d{1,9}D)?"
    r"(?:T(?!$)(?:\d{1,12}H)?(?:\d{1,12}M)?(?:\d{1,12}(?:[.,]\d{1,9})?S)?)?"
)

Check = Callable[[Any, list[str]], Any]
"""Gets a value and a list to which it adds the paths of what it leaves out; returns what is to stand in its place, or `_WRONG`."""


class Reader:
    """Stands among the metadata of an annotation and says how its value is read, in place of the type.

    Args:
        read: returns what is to stand in the place of a value.

    Raises:
        ValueError, TypeError: (from `read`) the value has another type.
    """

    def __init__(self, read: Callable[[Any], Any]) -> None:
        self.read = read


class Presence:
    """Stands among the metadata of a member whose presence says something, such as an error.

    A value of another type stands as an empty object: left out, it would say the opposite.
    """


def conform(model: type[BaseModel], value: Any, *, strict: bool = False) -> tuple[dict[str, Any], list[str]]:
    """A JSON object in the shape of a model; changes `value` itself, which nobody else may hold.

    Args:
        strict: leave out inner objects that lack a member which their model requires, and name such members of the outermost one.

    Returns:
        The object, with members that the model does not know as they are, and the paths of what was left out. Members that are null
        are left out in silence: null means the same as leaving out.
    """
    wrong: list[str] = []
    if type(value) is not dict:
        return {}, [""]
    _of_model(model, strict)(value, wrong)
    return value, wrong if not strict else [
        *wrong,
        *(name for name in _required(model) if name not in {*value, *wrong}),
    ]


@cache
def _required(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(_wire(name, info) for name, info in model.model_fields.items() if info.is_required())


def _wire(name: str, info: FieldInfo) -> str:
    return info.serialization_alias or info.alias or name


def _tells(info: FieldInfo) -> bool:
    return any(isinstance(item, Presence) for item in info.metadata)


@cache
def _of_model(model: type[BaseModel], strict: bool) -> Check:
    members: dict[str, Check] = {}
    telling = {_wire(name, info) for name, info in model.model_fields.items() if _tells(info)}
    required = _required(model) if strict else ()

    def check(value: Any, wrong: list[str]) -> Any:
        if type(value) is not dict:
            return _WRONG
        absent: list[str] = []
        for name, item in value.items():
            member = members.get(name)
            if member is None:
                continue
            if item is None:
                absent.append(name)
                continue
            before = len(wrong)
            found = member(item, wrong)
            if len(wrong) > before:
                wrong[before:] = [
                    f"{name}{path}" if path.startswith("[") else f"{name}.{path}" for path in wrong[before:]
                ]
            if found is _WRONG:
                wrong.append(name)
                if name in telling and item:
                    value[name] = {}
                else:
                    absent.append(name)
            elif found is not item:
                value[name] = found
        for name in absent:
            del value[name]
        return _WRONG if any(name not in value for name in required) else value

    # The members are filled in afterwards, so that models may contain themselves.
    for name, info in model.model_fields.items():
        reader = next((reader for reader in info.metadata if isinstance(reader, Reader)), None)
        members[_wire(name, info)] = _read_by(reader) if reader else _of(info.annotation, strict)
    return check


def _of(annotation: Any, strict: bool) -> Check:
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *metadata = get_args(annotation)
        reader = next((reader for reader in metadata if isinstance(reader, Reader)), None)
        return _read_by(reader) if reader else _of(inner, strict)
    if origin in (Union, types.UnionType):
        checks = [_of(argument, strict) for argument in get_args(annotation) if argument is not type(None)]
        return checks[0] if len(checks) == 1 else _any_of(checks)
    if origin is list:
        return _list(_of(get_args(annotation)[0], strict))
    if origin is dict or annotation is dict:
        return _mapping(_of(get_args(annotation)[1], strict) if get_args(annotation) else _anything)
    if isinstance(annotation, type):
        if issubclass(annotation, BaseModel):
            # Looked up only when it is needed, so that models may contain themselves.
            return lambda value, wrong: _of_model(annotation, strict)(value, wrong)
        for type_, leaf in _LEAVES.items():
            if issubclass(annotation, type_):
                return leaf
    return _anything


def _anything(value: Any, _: list[str]) -> Any:
    return value


def _text(value: Any, _: list[str]) -> Any:
    return value if type(value) is str else _WRONG


def _truth(value: Any, _: list[str]) -> Any:
    return value if type(value) is bool else _WRONG


def _whole(value: Any, _: list[str]) -> Any:
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and _MIN_INTEGER <= value <= _MAX_INTEGER else _WRONG


def _number(value: Any, _: list[str]) -> Any:
    return value if type(value) in (int, float) and abs(value) <= _MAX_INTEGER else _WRONG


def _moment(value: Any, _: list[str]) -> Any:
    return value if is_moment(value) else _WRONG


def _duration(value: Any, _: list[str]) -> Any:
    return value if type(value) is str and _DURATION.fullmatch(value) else _WRONG


_LEAVES: Mapping[type, Check] = {
    bool: _truth, int: _whole, float: _number, datetime: _moment, timedelta: _duration, str: _text,
}  # fmt: skip


def _read_by(reader: Reader) -> Check:
    def check(value: Any, _: list[str]) -> Any:
        try:
            return reader.read(value)
        except (ValueError, TypeError):
            return _WRONG

    return check


def _any_of(checks: list[Check]) -> Check:
    def check(value: Any, wrong: list[str]) -> Any:
        for alternative in checks:
            if (found := alternative(value, [])) is not _WRONG:
                return found
        return _WRONG

    return check


def _list(item: Check) -> Check:
    def check(value: Any, wrong: list[str]) -> Any:
        if type(value) is not list:
            return _WRONG
        kept = []
        for at, entry in enumerate(value):
            before = len(wrong)
            found = _WRONG if entry is None else item(entry, wrong)
            if len(wrong) > before:
                wrong[before:] = [f"[{at}].{path}" for path in wrong[before:]]
            if found is _WRONG:
                wrong.append(f"[{at}]")
            else:
                kept.append(found)
        value[:] = kept
        return value

    return check


def _mapping(item: Check) -> Check:
    def check(value: Any, wrong: list[str]) -> Any:
        if type(value) is not dict:
            return _WRONG
        kept = {name: item(member, []) for name, member in value.items()}
        for name, member in kept.items():
            if member is _WRONG:
                wrong.append(name)
                del value[name]
            else:
                value[name] = member
        return value

    return check


_DIGITS = re.compile(r"[0-9]{1,18}")


def whole_number(text: str) -> int | None:
    """The number that a text of digits stands for; None for any other text.

    `isdigit` is true of `²`, which no number can be made of, and of five thousand digits, which are too many for `int`.
    """
    return int(text) if _DIGITS.fullmatch(text) else None


def is_moment(value: Any) -> bool:
    """Whether it is an RFC 3339 time with a zone."""
    try:
        return type(value) is str and bool(_DATE.match(value)) and datetime.fromisoformat(value).tzinfo is not None
    except (ValueError, OverflowError):
        return False


def number_text(value: Any) -> Any:
    """A number that is a text on the wire.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or len(str(value)) > 20:
        raise ValueError("not a number")
    int(value)
    return value


def text(value: Any) -> str:
    """A text.

    Raises:
        ValueError: it is none.
    """
    if type(value) is not str:
        raise ValueError("not a text")
    return value
