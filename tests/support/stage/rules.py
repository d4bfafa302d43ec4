"""The CEL rules of the definitions, by cel-python: each over the value that it stands beside, some over its old one as well.

As in the API server, what has not changed is not judged again, and the members of atomic lists have no old value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import celpy
import orjson
from celpy.adapter import json_to_cel
from celpy.evaluation import CELEvalError

from support.stage.schemas import Cause, Definition

Json = Any
_ENVIRONMENT = celpy.Environment()
_NOTHING = object()


@cache
def _program(rule: str) -> celpy.Runner:
    return _ENVIRONMENT.program(_ENVIRONMENT.compile(rule), functions={"join": _join})


def _join(texts: Iterable[Any], between: str) -> celpy.celtypes.StringType:
    """Of the API server's own functions; celpy has those of the language alone."""
    return celpy.celtypes.StringType(between.join(texts))


def problems(definition: Definition, body: Json, before: Json | None) -> Iterator[Cause]:
    """Which rules an object breaks."""
    # No rule of a whole object is about its status, so most writes need no look at the rest.
    old = _NOTHING if before is None else _visible(before)
    yield from _below(definition.schema, _visible(body), old, "")
    status = definition.schema.get("properties", {}).get("status", {})
    yield from _below(status, body.get("status"), _NOTHING if before is None else before.get("status"), "status")


def _visible(body: Json) -> Json:
    """What rules of a whole object may be about: of the metadata the name only, and no status."""
    rest = {name: value for name, value in body.items() if name != "status"}
    return rest | {"metadata": {"name": body["metadata"]["name"]}}


def _below(schema: Mapping[str, Any], value: Json, old: Json, path: str) -> Iterator[Cause]:
    if value is None or value == old:
        return
    for each in schema.get("x-kubernetes-validations", ()):
        transition = "oldSelf" in each["rule"]
        # The value has changed, so its comparison with the old one, which would need all of both, is false.
        rule = each["rule"].removeprefix("self == oldSelf || ")
        if (transition and old is _NOTHING) or _holds(rule, value, old if transition else _NOTHING):
            continue
        said = _said(each["messageExpression"], value, old) if "messageExpression" in each else each["message"]
        yield path + each.get("fieldPath", ""), f"Invalid value: {said}"
    if isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        for name, member in value.items():
            inner = properties.get(name, others if isinstance(others, dict) else None)
            if inner is not None:
                known = old.get(name, _NOTHING) if isinstance(old, dict) else _NOTHING
                yield from _below(inner, member, known, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _below(schema.get("items", {}), item, _same(schema, item, old), f"{path}[{index}]")


def _same(schema: Mapping[str, Any], item: Json, old: Json) -> Json:
    """The item of the old list with the same keys."""
    keys = schema.get("x-kubernetes-list-map-keys")
    if not keys or not isinstance(old, list):
        return _NOTHING
    return next((each for each in old if all(each.get(key) == item.get(key) for key in keys)), _NOTHING)


def _said(expression: str, value: Json, old: Json) -> str:
    return str(_evaluated(expression, *_written(expression, value, old))).strip()


def _holds(rule: str, value: Json, old: Json) -> bool:
    try:
        return bool(_evaluated(rule, *_written(rule, value, old)))
    except CELEvalError:
        # The API server refuses what a rule cannot judge.
        return False


def _written(expression: str, value: Json, old: Json) -> tuple[bytes, bytes | None]:
    paths = members_of(expression)
    return orjson.dumps(_reduced(value, paths)), None if old is _NOTHING else orjson.dumps(_reduced(old, paths))


@cache
def members_of(expression: str) -> frozenset[tuple[str, ...]]:
    """Paths of the members that an expression reads of `self` and `oldSelf`; the empty path stands for the whole value.

    The last name of a call is a function, which reads all of the value before it.
    """
    found = _READ.findall(expression)
    return frozenset(tuple(names.split(".")[1:])[: -1 if call and names else None] for names, call in found)


_READ = re.compile(r"\b(?:self|oldSelf)\b((?:\.\w+)*)\s*(\(?)")


def _reduced(value: Json, paths: Iterable[Sequence[str]]) -> Json:
    """A value without the members that no path leads to, so that values which differ only in these share one evaluation."""
    if not isinstance(value, dict) or any(not path for path in paths):
        return value
    inner: dict[str, list[Sequence[str]]] = {}
    for name, *rest in paths:
        inner.setdefault(name, []).append(rest)
    return {name: _reduced(member, inner[name]) for name, member in value.items() if name in inner}


@lru_cache(maxsize=8192)
def _evaluated(expression: str, value: bytes, old: bytes | None) -> Any:
    """What an expression says of a value; by its text, because the runs of one process judge the same specs again and again."""
    known = {"self": json_to_cel(orjson.loads(value))}
    if old is not None:
        known["oldSelf"] = json_to_cel(orjson.loads(old))
    return _program(expression).evaluate(known)
