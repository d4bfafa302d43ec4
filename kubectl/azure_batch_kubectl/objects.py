"""Objects as the API server sends them, read without trust: a status may be missing, older, or edited by hand."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from azure_batch_operator.api.base import GROUP, VERSION
from azure_batch_operator.api.kinds import KINDS, Kind

Object = Mapping[str, Any]
_METADATA = ("name", "namespace", "creationTimestamp")


class UnknownKindError(ValueError):
    """A word that names no kind of the group."""


def kind_of(word: str) -> Kind:
    """The kind that a word means, as kubectl takes it: `bj`, `batchjob`, `batchjobs`, `BatchJob`, `batchjobs.azurebatch.io`,
    `batchjobs.v1alpha1.azurebatch.io`.

    Raises:
        UnknownKindError: it means none.
    """
    short = word.lower().removesuffix(f".{VERSION}.{GROUP}").removesuffix(f".{GROUP}")
    for info in KINDS.values():
        if short in {info.short, info.plural, info.singular}:
            return info.kind
    known = ", ".join(f"{info.singular} ({info.short})" for info in KINDS.values())
    raise UnknownKindError(f"{word!r} is not a kind of {GROUP}: use one of {known}")


def target(words: Sequence[str]) -> tuple[Kind, str]:
    """The object that `kind/name` or `kind name` means.

    Raises:
        UnknownKindError: the words have another form, or name no kind.
    """
    parts = words[0].split("/") if len(words) == 1 else list(words)
    if len(parts) != 2 or not all(parts):
        raise UnknownKindError(f"{' '.join(words)!r} names no object: give kind/name, such as bj/render")
    return kind_of(parts[0]), parts[1]


def job_or(word: str) -> tuple[Kind, str]:
    """The object that `name`, which is a BatchJob, or `kind/name` means.

    Raises:
        UnknownKindError: the word has another form, or names no kind.
    """
    return target([word]) if "/" in word else (Kind.JOB, word)


def job(word: str) -> str:
    """The name of the BatchJob that `name` or `bj/name` means.

    Raises:
        UnknownKindError: the word names another kind.
    """
    kind, found = job_or(word)
    if kind is not Kind.JOB:
        raise UnknownKindError(f"{word!r} is not a BatchJob: give the name of one, such as render or bj/render")
    return found


def pool(word: str) -> str:
    """The name of the BatchPool that `name` or `bp/name` means.

    Raises:
        UnknownKindError: the word names another kind.
    """
    kind, found = target([word]) if "/" in word else (Kind.POOL, word)
    if kind is not Kind.POOL:
        raise UnknownKindError(f"{word!r} is not a BatchPool: give the name of one, such as cpu or bp/cpu")
    return found


def name(thing: Object) -> str:
    """`metadata.name`."""
    return str(thing["metadata"]["name"])


def namespace(thing: Object) -> str:
    """`metadata.namespace`."""
    return str(thing["metadata"]["namespace"])


def spec(thing: Object) -> Object:
    """The spec; empty if there is none."""
    return thing.get("spec") or {}


def status(thing: Object) -> Object:
    """The status; empty if there is none."""
    return thing.get("status") or {}


def conditions(thing: Object) -> Iterator[Object]:
    """The conditions of the status."""
    yield from status(thing).get("conditions") or ()


def condition(thing: Object, type_: str) -> Object:
    """One condition; empty if it is not there."""
    return next((each for each in conditions(thing) if each.get("type") == type_), {})


def holds(thing: Object, type_: str) -> bool:
    """Whether a condition is True."""
    return condition(thing, type_).get("status") == "True"


@dataclass(frozen=True)
class Parts:
    """Which parts of an object a table shows.

    Attributes:
        spec: members of the spec.
        status: members of the status.
        conditions: types of conditions.
        of_condition: members of a condition.
    """

    spec: Sequence[str]
    status: Sequence[str]
    conditions: Collection[str]
    of_condition: Sequence[str] = ("type", "status")


def cut(thing: Object, parts: Parts) -> Object:
    """An object with nothing else than these parts, and its names."""
    shown = [_only(found, parts.of_condition) for found in conditions(thing) if found.get("type") in parts.conditions]
    return {
        "kind": thing["kind"],
        "metadata": _only(thing["metadata"], _METADATA),
        "spec": _only(spec(thing), parts.spec),
        "status": {**_only(status(thing), parts.status), "conditions": shown},
    }


def _only(whole: Object, names: Sequence[str]) -> dict[str, Any]:
    return {name: whole[name] for name in names if name in whole}


def remote_id(thing: Object) -> str:
    """The ID in Azure Batch."""
    return str(spec(thing).get("id") or name(thing))


def phase(thing: Object) -> str:
    """The phase; empty before the operator has looked at the object."""
    return str(status(thing).get("phase") or "")


def command(verb: str, thing: Object) -> str:
    """A command of the plugin for an object, to be typed in any context."""
    kind = KINDS[kind_of(thing["kind"])].short
    return f"kubectl azure-batch {verb} {kind}/{name(thing)} -n {namespace(thing)}"


def account_of(thing: Object, *parents: Object | None) -> tuple[str, str] | None:
    """Namespace and name of the BatchAccount: as the status says, else as the spec or that of a parent does."""
    for each in (thing, *parents):
        if each is None:
            continue
        recorded = str(status(each).get("account") or "").split("/")
        if len(recorded) == 2 and each.get("kind") != Kind.ACCOUNT:
            return recorded[0], recorded[1]
        if reference := spec(each).get("accountRef"):
            return str(reference.get("namespace") or namespace(each)), str(reference["name"])
    return None


def reference(thing: Object, field: str) -> str | None:
    """Name in a reference of the spec, or of the job that a schedule describes."""
    found = spec(thing).get(field) or (spec(thing).get("jobSpecification") or {}).get(field)
    return str(found["name"]) if found else None


def pool_of(thing: Object) -> str | None:
    """Name of the BatchPool; of a retry that of the job whose tasks it runs again, which is in its status."""
    settings = (status(thing).get("retryOf") or {}).get("settings") or {}
    taken = (settings.get("poolRef") or {}).get("name")
    return reference(thing, "poolRef") or (str(taken) if taken else None)


def age(stamp: str, now: datetime) -> str:
    """The time since then, as kubectl shows it: two units at most."""
    if not stamp:
        return "<unknown>"
    seconds = max(0, int((now - datetime.fromisoformat(stamp)).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    for value, text in (
        (seconds < 120, f"{seconds}s"),
        (minutes < 10, f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"),
        (hours < 3, f"{minutes}m"),
        (hours < 8, f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"),
        (hours < 48, f"{hours}h"),
        (days < 8, f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"),
    ):
        if value:
            return text
    return f"{days}d"
