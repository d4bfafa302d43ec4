"""The end of a run without what differs from run to run, so that two ends can be compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from histories.record import Record

_LEFT_OUT = re.compile(
    r"(?i)(?:.*time|etag|lastmodified|uid|requestid|resourceversion|nodeinfo|nodeid|affinityinfo|supportedimages|callsperminute)$"
)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")


def end_of(record: Record) -> dict[str, Any]:
    """Objects and Azure resources by name, without times, versions, nodes' names and uids."""
    names: dict[str, str] = {}
    for each in record.versions:
        names.setdefault(each.uid, f"<{each.plural} {each.namespace}/{each.name}>")
    end: dict[str, Any] = {}
    for body in record.objects:
        metadata = body["metadata"]
        end[f"{body['kind']} {metadata['namespace']}/{metadata['name']}"] = _plain(body, names)
    for kind, things in (("pool", record.pools), ("job", record.jobs), ("schedule", record.schedules)):
        for id, body in things.items():
            end[f"{kind} {id}"] = _plain(body, names)
    return end


def _plain(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each, names) for name, each in value.items() if not _LEFT_OUT.match(name)}
    if isinstance(value, list):
        return _by_name([_plain(each, names) for each in value])
    if isinstance(value, str):
        for uid, name in names.items():
            value = value.replace(uid, name)
        return _INSTANT.sub("<time>", value)
    return value


def _by_name(values: list[Any]) -> list[Any] | dict[str, Any]:
    """Conditions by type and metadata items by name, so that one that is missing is told by its name."""
    for key in ("type", "name"):
        named = {each[key]: each for each in values if isinstance(each, dict) and isinstance(each.get(key), str)}
        if values and len(named) == len(values):
            return named
    return values


def differences(wanted: Any, found: Any, where: str = "") -> list[str]:
    """Where two ends differ, as text."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        lines = []
        for name in sorted(wanted.keys() | found.keys()):
            if name not in found:
                lines.append(f"{where}/{name} is missing: {str(wanted[name])[:200]}")
            elif name not in wanted:
                lines.append(f"{where}/{name} is there: {str(found[name])[:200]}")
            else:
                lines += differences(wanted[name], found[name], f"{where}/{name}")
        return lines
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return [line for index, pair in enumerate(zip(wanted, found, strict=True)) for line in differences(*pair, f"{where}/{index}")]  # noqa: E501  # fmt: skip
    return [] if wanted == found else [f"{where}: {found!r:.200}, not {wanted!r:.200}"]
