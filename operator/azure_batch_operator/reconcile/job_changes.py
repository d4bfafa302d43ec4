"""What is different between a BatchJob and its job in Azure Batch, and can be changed there (batch-semantics §6.2)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from azure_batch_operator.api.base import HELD_METADATA, HOLDS_METADATA, TASKS_METADATA
from azure_batch_operator.reconcile import expand, normal, ownership

_SOURCES = ("tasks", "tasksFrom", "taskFactory")
_POLICIES = ("taskPrunePolicy", "taskUpdatePolicy")


def fingerprint(spec: Mapping[str, Any]) -> str:
    """A short text that differs when what the tasks are made from does, or what becomes of those that differ.

    ConfigMaps count by name; for what they hold see `with_contents`.
    """
    sources = _sources(spec)
    return _digest(sources | {name: spec[name] for name in _POLICIES if name in spec}) if sources else ""


def origin(spec: Mapping[str, Any]) -> str:
    """The same of the sources alone, for a job whose tasks are fixed; `none` without any."""
    sources = _sources(spec)
    return _digest(sources) if sources else "none"


def with_contents(print_: str, contents: str | None) -> str:
    """A fingerprint, with that of the ConfigMaps' texts where there are any."""
    return f"{print_}.{contents}" if contents else print_


def without_contents(print_: str) -> str:
    """The part of it that stands for the spec alone."""
    return print_.partition(".")[0]


def _sources(spec: Mapping[str, Any]) -> dict[str, Any]:
    sources = {name: spec[name] for name in _SOURCES if spec.get(name)}
    if sources and (upload := (spec.get("logs") or {}).get("upload")):
        sources["upload"] = upload
    if sources and expand.goes_on(spec):
        sources["onDependencyFailure"] = "Ignore"
    return sources


def _digest(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def note(remote: Mapping[str, Any], name: str) -> str | None:
    """One of our notes in the metadata of a job."""
    return next((each.get("value") for each in remote.get("metadata") or () if each.get("name") == name), None)


def tasks_note(print_: str, width: int) -> str:
    """The note that says which tasks a job has."""
    return f"{print_}/{width}"


def noted_tasks(remote: Mapping[str, Any]) -> tuple[str, int | None]:
    """Fingerprint of the tasks that a job has ("" before they are all in) and the digits of its ids."""
    print_, _, width = (note(remote, TASKS_METADATA) or "").partition("/")
    return print_, int(width) if width.isdigit() else None


def constraints(spec: Mapping[str, Any], remote: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The constraints that the job shall have; None where the spec says nothing of them.

    `activeDeadlineSeconds` counts from the last resumption, which is when an active job left `disabled`, and not while the job is
    suspended, as for batch/v1 Job.

    Args:
        remote: the job; None before it is created.
    """
    given = dict(spec.get("constraints") or {})
    deadline = spec.get("activeDeadlineSeconds")
    retries = (spec.get("backoff") or {}).get("taskRetries")
    if not given and deadline is None and retries is None:
        return None
    if retries is not None and "maxTaskRetryCount" not in given:
        given["maxTaskRetryCount"] = retries
    if deadline is not None and not spec.get("suspend"):
        own = normal.seconds_ticks(deadline + _before_resumption(remote))
        if own < normal.duration_limit(given.get("maxWallClockTime")):
            given["maxWallClockTime"] = f"PT{own // normal.SECOND}S"
    return given


def _before_resumption(remote: Mapping[str, Any] | None) -> int:
    """Seconds of a job's life that do not count, since it was suspended after them."""
    if remote is None or remote.get("state") != "active" or remote.get("previousState") != "disabled":
        return 0
    start, resumed = (remote.get("executionInfo") or {}).get("startTime"), remote.get("stateTransitionTime")
    return normal.seconds_between(start, resumed) if start and resumed else 0


def changes(spec: Mapping[str, Any], remote: Mapping[str, Any], notes: Mapping[str, str | None]) -> dict[str, Any]:
    """Members for a PATCH: what the spec says and the service has otherwise.

    Args:
        notes: metadata of our own that the job shall have, by name; None takes one away, others stay.
    """
    change: dict[str, Any] = {}
    for name, default in (("priority", 0), ("maxParallelTasks", -1), ("allowTaskPreemption", False)):
        if name in spec and spec[name] != remote.get(name, default):
            change[name] = spec[name]
    if (network := spec.get("networkConfiguration")) is not None and network != remote.get("networkConfiguration"):
        change["networkConfiguration"] = network
    # While a job is on its way between states it cannot be said from when its deadline counts.
    settled = remote.get("state") == "active" or spec.get("suspend")
    wanted = constraints(spec, remote) if settled else None
    if wanted is not None and normal.job_constraints(wanted) != normal.job_constraints(remote.get("constraints")):
        change["constraints"] = wanted
    items = _metadata(spec, remote, notes)
    if {item["name"]: item["value"] for item in items} != {
        item["name"]: item.get("value") for item in remote.get("metadata") or ()
    }:
        change["metadata"] = items
    return change


def _metadata(
    spec: Mapping[str, Any], remote: Mapping[str, Any], notes: Mapping[str, str | None]
) -> list[dict[str, str]]:
    items: list[dict[str, str]] = ownership.with_same_marker(spec, remote)["metadata"]
    kept = {name: note(remote, name) for name in (HELD_METADATA, HOLDS_METADATA, TASKS_METADATA)} | dict(notes)
    items = [item for item in items if item["name"] not in kept]
    return items + [{"name": name, "value": value} for name, value in kept.items() if value is not None]
