"""Values of properties, and specs in which one property has a value and as little else as the rules allow.

Values come from the schema: its type, bounds, words and patterns. What a schema does not say stands in tables of `hints`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from properties.hints import BASES, CONTEXTS, GROUPS, MINIMAL, NEEDS, VALUES, WRONG
from properties.paths import Path, Schema, is_list, is_refused, members, schema_of, spec_schema

Spec = dict[str, Any]
NOTHING: Any = object()
_WORDS = re.compile(r"^\^\(\?i:(?P<words>[^)]*)\)\$$")
_GUID = "{}0000000-0000-4000-8000-000000000000"


def base(kind: str, path: Path) -> Spec:
    """The spec that a property is tried in."""
    found: Spec = copy.deepcopy(dict(BASES[kind]))
    for length in range(2, len(path) + 1):
        found |= copy.deepcopy(dict(_looked_up(CONTEXTS, (kind, *path[1:length])) or {}))
    return {name: each for name, each in found.items() if each is not None}


def value(kind: str, path: Path, number: int) -> Any:
    """One of two values of a property."""
    return _value(schema_of(kind, path), path, number)


def wrong(kind: str, path: Path) -> Any:
    """A value that cannot be; `NOTHING` where every value of the type can."""
    found = _looked_up(WRONG, path)
    if found is not None:
        return found
    schema = schema_of(kind, path)
    match schema.get("type"):
        case "integer" | "number" if "minimum" in schema:
            return schema["minimum"] - 1
        case "integer" | "number" if "maximum" in schema:
            return schema["maximum"] + 1
        case "string" if "maxLength" in schema and "pattern" not in schema and "enum" not in schema:
            return "x" * (schema["maxLength"] + 1)
        case "string" if "pattern" in schema or "enum" in schema or "format" in schema or _is_duration(schema):
            return "no such value!"
    return NOTHING


def with_value(kind: str, spec: Mapping[str, Any], path: Path, given: Any) -> Spec:
    """A spec with a value at a path, with what has to stand beside it and without what excludes it."""
    result: Spec = copy.deepcopy(dict(spec))
    _put(spec_schema(kind), result, ("spec",), path[1:], given)
    return result


def without(spec: Mapping[str, Any], path: Path) -> Spec:
    """A spec without the property; in lists, without that of the first item."""
    result: Spec = copy.deepcopy(dict(spec))
    here: Any = result
    for name in path[1:-1]:
        here = here.get(name) if isinstance(here, dict) else None
        if isinstance(here, list):
            here = here[0] if here else None
    if isinstance(here, dict):
        here.pop(path[-1], None)
    return result


def at(spec: Mapping[str, Any], path: Path) -> Any:
    """What stands at a path; `NOTHING` if there is none."""
    here: Any = spec
    for name in path[1:]:
        if isinstance(here, list):
            here = here[0] if here else None
        if not isinstance(here, dict) or name not in here:
            return NOTHING
        here = here[name]
    return here


def _put(schema: Schema, here: Spec, path: Path, rest: Path, given: Any) -> None:
    name, child = rest[0], members(schema)[rest[0]]
    for group in GROUPS.get(path[-1], ()):
        if name in group:
            for rival in group - {name}:
                here.pop(rival, None)
    for sibling, its in (_looked_up(NEEDS, (*path, name)) or {}).items():
        if its is None:
            here.pop(sibling, None)
        else:
            here.setdefault(sibling, copy.deepcopy(its))
    if len(rest) == 1:
        here[name] = given
        return
    inner = here.get(name)
    if not inner:
        made = _minimal(child, (*path, name), 0)
        inner = here[name] = [made] if is_list(child) else made
    _put(child, inner[0] if isinstance(inner, list) else inner, (*path, name), rest[1:], given)


def _minimal(schema: Schema, path: Path, number: int) -> Any:
    """As few members as the object can have."""
    found = _looked_up(MINIMAL, path)
    if found is not None:
        return copy.deepcopy(found[number % len(found)])
    needed = schema.get("items", schema).get("required", ())
    return {name: _value(members(schema)[name], (*path, name), number) for name in needed}


def _value(schema: Schema, path: Path, number: int) -> Any:
    found = _looked_up(VALUES, path)
    if found is not None:
        return copy.deepcopy(found[number % len(found)])
    kind = schema.get("type")
    if kind == "array":
        items = schema["items"]
        return [_object(schema, path, number) if members(schema) else _value(items, path, number)]
    if members(schema):
        return _object(schema, path, number)
    match kind:
        case "object":
            return {"key": f"value {number}"}
        case "boolean":
            return number == 0
        case "integer":
            return min(max(int(schema.get("minimum", 1)), 1) + 1 + number, int(schema.get("maximum", 1 << 31)))
        case "number":
            return (0.5, 0.75)[number % 2]
    return _text(schema, path, number)


def _object(schema: Schema, path: Path, number: int) -> Spec:
    """An object with something in it, so that two of them differ."""
    made: Spec = _minimal(schema, path, number)
    if made != _minimal(schema, path, number + 1):
        return made
    for name, child in members(schema).items():
        if name not in made and not members(child) and not is_refused(schema, name):
            _put(schema, made, path, (name,), _value(child, (*path, name), number))
            break
    return made


def _is_duration(schema: Schema) -> bool:
    return "ISO 8601" in str(schema.get("x-kubernetes-validations", ""))


def _text(schema: Schema, path: Path, number: int) -> str:
    pattern = str(schema.get("pattern", ""))
    if words := _WORDS.match(pattern):
        options = words["words"].split("|")
        return options[number % len(options)]
    if "enum" in schema:
        return str(schema["enum"][number % len(schema["enum"])])
    if _is_duration(schema):
        return ("PT10M", "PT12M")[number % 2]
    if "[0-9A-Fa-f]{8}" in pattern:
        return _GUID.format(number + 1)
    if schema.get("format") == "date-time":
        return f"209{number}-01-01T00:00:00Z"
    return f"{path[-1][:10].lower()}{number}"


def _looked_up(table: Mapping[str, Any], path: Path) -> Any:
    """The entry for the longest end of the path."""
    for start in range(len(path)):
        if (key := ".".join(path[start:])) in table:
            return table[key]
    return None
