"""Every property of every kind, from the generated definitions in `crds/`: a new one is covered without anybody remembering it.

A path is a tuple of names; its text has `[]` behind names of lists, as in `spec.tasks[].commandLine`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from support.stage import schemas

Schema = Mapping[str, Any]
Path = tuple[str, ...]
KINDS: Mapping[str, str] = {
    "bacc": "BatchAccount", "bp": "BatchPool", "bj": "BatchJob", "bt": "BatchTask", "bjs": "BatchJobSchedule",
}  # fmt: skip
"""Kinds by short name."""


@cache
def spec_schema(kind: str) -> Schema:
    """The schema of a kind's spec."""
    [definition] = [each for each in schemas.definitions().values() if each.kind == kind]
    found: Schema = definition.schema["properties"]["spec"]
    return found


def members(schema: Schema) -> Schema:
    """Properties of an object, or of the objects of a list."""
    found: Schema = schema.get("items", schema).get("properties", {})
    return found


def is_list(schema: Schema) -> bool:
    """Whether it is a list."""
    return schema.get("type") == "array"


@cache
def schema_of(kind: str, path: Path) -> Schema:
    """The schema of a property; `path` begins with `spec`."""
    schema = spec_schema(kind)
    for name in path[1:]:
        schema = members(schema)[name]
    return schema


@cache
def paths(kind: str) -> tuple[Path, ...]:
    """All properties of a kind's spec at every depth, outer ones first."""
    return tuple(_below(("spec",), spec_schema(kind)))


def _below(path: Path, schema: Schema) -> Iterator[Path]:
    for name, child in members(schema).items():
        yield (*path, name)
        yield from _below((*path, name), child)


def text(kind: str, path: Path) -> str:
    """The path as it is told."""
    schema, parts = spec_schema(kind), ["spec"]
    for name in path[1:]:
        schema = members(schema)[name]
        parts.append(f"{name}[]" if is_list(schema) and members(schema) else name)
    return ".".join(parts)


def parsed(written: str) -> Path:
    """The path of a text; without `[]` as well."""
    return tuple(written.replace("[]", "").split("."))


def required(kind: str, path: Path) -> bool:
    """Whether what the property stands in cannot be without it."""
    parent = schema_of(kind, path[:-1]) if len(path) > 1 else {}
    return path[-1] in parent.get("items", parent).get("required", ())


@cache
def forbidden(kind: str, path: Path) -> bool:
    """Whether the property is there only to be refused, with a word on what to write instead."""
    return is_refused(schema_of(kind, path[:-1]), path[-1])


def is_refused(schema: Schema, name: str) -> bool:
    """Whether a member of an object is there only to be refused."""
    own = members(schema)[name].get("x-kubernetes-validations", ())
    beside = schema.get("items", schema).get("x-kubernetes-validations", ())
    return any(each["rule"] in {"false", "self.size() == 0"} for each in own) or any(
        each["rule"] == f"!has(self.{name})" for each in beside
    )
