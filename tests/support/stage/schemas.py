"""What the API server does with custom resources by their definitions in `crds/`: prune, default, validate.

CEL rules are in `rules`. Messages follow the API server's, as far as tests of the operator read them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import yaml

Json = Any
Cause = tuple[str, str]
"""Path of a field, and what is wrong with it."""

_FOLDER = Path(__file__).parents[3] / "crds"
_TYPES: Mapping[str, Callable[[Json], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}


@dataclass(frozen=True)
class Definition:
    """One custom resource definition: its names and the schema of its only version."""

    kind: str
    plural: str
    schema: Mapping[str, Any]


@cache
def definitions() -> Mapping[str, Definition]:
    """All of the group, by plural; read once."""
    found = {}
    for file in sorted(_FOLDER.glob("azurebatch.io_*.yaml")):
        spec = yaml.load(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["spec"]  # noqa: S506
        names, [version] = spec["names"], spec["versions"]
        schema = version["schema"]["openAPIV3Schema"]
        found[names["plural"]] = Definition(names["kind"], names["plural"], schema)
    return found


def prune(schema: Mapping[str, Any], value: Json, *, top: bool = True) -> Json:
    """A value without the members that its schema does not know, and without nulls where they mean nothing."""
    if schema.get("x-kubernetes-preserve-unknown-fields") and not schema.get("properties"):
        return value
    if isinstance(value, list):
        items = schema.get("items", {})
        return [prune(items, each, top=False) for each in value]
    if not isinstance(value, dict):
        return value
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    keep_all = schema.get("x-kubernetes-preserve-unknown-fields")
    kept = {}
    for name, each in value.items():
        if top and name in {"apiVersion", "kind", "metadata"}:
            kept[name] = each
        elif name in properties:
            kept[name] = prune(properties[name], each, top=False)
        elif isinstance(others, dict):
            kept[name] = prune(others, each, top=False)
        elif others or keep_all:
            kept[name] = each
    return kept


def with_defaults(schema: Mapping[str, Any], value: Json) -> Json:
    """A value with the defaults of its schema, at each level that exists."""
    if isinstance(value, list):
        items = schema.get("items", {})
        return [with_defaults(items, each) for each in value]
    if not isinstance(value, dict):
        return value
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    made = dict(value)
    for name, inner in properties.items():
        if "default" in inner and (name not in made or (made[name] is None and not inner.get("nullable"))):
            made[name] = orjson.loads(orjson.dumps(inner["default"]))
        if name in made:
            made[name] = with_defaults(inner, made[name])
    if isinstance(others, dict):
        made |= {name: with_defaults(others, each) for name, each in made.items() if name not in properties}
    return made


def problems(schema: Mapping[str, Any], value: Json, path: str = "") -> Iterator[Cause]:
    """What is wrong with a value, by its schema."""
    if value is None and schema.get("nullable"):
        return
    whole_or_text = schema.get("x-kubernetes-int-or-string")
    expected = schema.get("type")
    if whole_or_text:
        if not _TYPES["integer"](value) and not isinstance(value, str):
            yield path, f"Invalid value: {_shown(value)}: {path} in body must be of type integer or string"
            return
    elif expected and not _TYPES[expected](value):
        found = "null" if value is None else next(name for name, test in _TYPES.items() if test(value))
        yield path, f'Invalid value: "{found}": {path} in body must be of type {expected}: "{found}"'
        return
    if "enum" in schema and value not in schema["enum"]:
        supported = ", ".join(f'"{each}"' for each in schema["enum"])
        yield path, f"Unsupported value: {_shown(value)}: supported values: {supported}"
    if isinstance(value, str):
        yield from _of_text(schema, value, path)
    elif isinstance(value, bool):
        return
    elif isinstance(value, int | float):
        yield from _of_number(schema, value, path)
    elif isinstance(value, list):
        yield from _of_list(schema, value, path)
    elif isinstance(value, dict):
        yield from _of_object(schema, value, path)


def _of_text(schema: Mapping[str, Any], value: str, path: str) -> Iterator[Cause]:
    if len(value) > schema.get("maxLength", math.inf):
        yield path, f"Too long: may not be more than {schema['maxLength']} bytes"
    if len(value) < schema.get("minLength", 0):
        yield (
            path,
            f"Invalid value: {_shown(value)}: {path} in body should be at least {schema['minLength']} chars long",
        )
    pattern = schema.get("pattern")
    if pattern and not _pattern(pattern).search(value):
        yield path, f"Invalid value: {_shown(value)}: {path} in body should match '{pattern}'"
    if schema.get("format") == "date-time" and not _is_time(value):
        yield path, f'Invalid value: {_shown(value)}: {path} in body must be of type date-time: "{value}"'


def _of_number(schema: Mapping[str, Any], value: float, path: str) -> Iterator[Cause]:
    least, most = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    if value < least or (schema.get("exclusiveMinimum") and value == least):
        yield path, f"Invalid value: {value}: {path} in body should be greater than or equal to {least}"
    if value > most or (schema.get("exclusiveMaximum") and value == most):
        yield path, f"Invalid value: {value}: {path} in body should be less than or equal to {most}"
    if schema.get("format") == "int64" and not -(2**63) <= value < 2**63:
        yield path, f"Invalid value: {value}: {path} in body must be of type int64"


def _of_list(schema: Mapping[str, Any], value: list[Json], path: str) -> Iterator[Cause]:
    if len(value) > schema.get("maxItems", math.inf):
        yield path, f"Too many: {len(value)}: must have at most {schema['maxItems']} items"
    if len(value) < schema.get("minItems", 0):
        yield path, f"Invalid value: {len(value)}: {path} in body should have at least {schema['minItems']} items"
    keys = schema.get("x-kubernetes-list-map-keys")
    identities = [[each.get(key) for key in keys] if keys and isinstance(each, dict) else each for each in value]
    if schema.get("x-kubernetes-list-type") in {"set", "map"}:
        for index, each in enumerate(identities):
            if each in identities[:index]:
                yield f"{path}[{index}]", f"Duplicate value: {_shown(each)}"
    items = schema.get("items", {})
    for index, each in enumerate(value):
        yield from problems(items, each, f"{path}[{index}]")


def _of_object(schema: Mapping[str, Any], value: Mapping[str, Json], path: str) -> Iterator[Cause]:
    if len(value) > schema.get("maxProperties", math.inf):
        yield path, f"Too many: {len(value)}: must have at most {schema['maxProperties']} items"
    if len(value) < schema.get("minProperties", 0):
        yield (
            path,
            f"Invalid value: {len(value)}: {path} in body should have at least {schema['minProperties']} properties",
        )
    for name in schema.get("required", ()):
        if name not in value:
            yield _below(path, name), "Required value"
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name, each in value.items():
        inner = properties.get(name, others if isinstance(others, dict) else None)
        if inner is not None:
            yield from problems(inner, each, _below(path, name))


def without_useless_nulls(schema: Mapping[str, Any], value: Json) -> Json:
    """Drop nulls of members that are not nullable; the API server does so where a default stands in for them."""
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        return {
            name: without_useless_nulls(properties.get(name, {}), each)
            for name, each in value.items()
            if each is not None or properties.get(name, {}).get("nullable") or "default" not in properties.get(name, {})
        }
    if isinstance(value, list):
        return [without_useless_nulls(schema.get("items", {}), each) for each in value]
    return value


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


@cache
def _pattern(text: str) -> re.Pattern[str]:
    # RE2 has no lookaround; Python's `$` also matches before a last line break.
    return re.compile(re.sub(r"\$$", r"\\Z", text))


def _is_time(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _shown(value: Json) -> str:
    return orjson.dumps(value).decode()
