"""Merge patches (RFC 7386) and the part of JSON patches (RFC 6902) that the operator uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Json = Any


class PatchFailedError(Exception):
    """A `test` does not hold, or there is nothing at a path."""


def merged(value: Json, patch: Json) -> Json:
    """A value after a merge patch."""
    if not isinstance(patch, dict):
        return patch
    made = dict(value) if isinstance(value, dict) else {}
    for name, each in patch.items():
        if each is None:
            made.pop(name, None)
        else:
            made[name] = merged(made.get(name), each)
    return made


def json_patch(value: Json, operations: Sequence[Mapping[str, Any]]) -> Json:
    """A value after a JSON patch; it is changed in place.

    Raises:
        PatchFailedError: nothing must be stored then.
    """
    for operation in operations:
        *path, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        holder = value
        for part in path:
            holder = _at(holder, part)
        match operation["op"]:
            case "test":
                found = _at(holder, last)
                if found != operation["value"]:
                    raise PatchFailedError(f"testing value {operation['path']} failed")
            case "add" if isinstance(holder, list):
                holder.insert(len(holder) if last == "-" else int(last), operation["value"])
            case "add" | "replace" if isinstance(holder, dict):
                if operation["op"] == "replace":
                    _at(holder, last)
                holder[last] = operation["value"]
            case "replace":
                _at(holder, last)
                holder[int(last)] = operation["value"]
            case "remove":
                _at(holder, last)
                del holder[int(last) if isinstance(holder, list) else last]
            case other:
                raise PatchFailedError(f"no operation {other} here")
    return value


def _at(holder: Json, part: str) -> Json:
    try:
        return holder[int(part)] if isinstance(holder, list) else holder[part]
    except (KeyError, IndexError, ValueError, TypeError):
        raise PatchFailedError(f"there is nothing at {part!r}") from None
