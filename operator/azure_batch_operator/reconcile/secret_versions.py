"""Which values of Secrets and ConfigMaps a pool or job schedule was given: recorded there as versions, never as values.

The service returns neither passwords nor keys, so what a pool has cannot be compared with what a Secret holds. As long as the
operator runs, it remembers keyed digests of what it has sent. For the time when it does not run, the metadata names the
versions of the Secrets that were sent (docs/decisions/0016): an object of another version *may* hold something else, which costs
one call to make sure, and interrupts nobody. What is known to have changed and waits for an empty pool is noted as `DUE`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import astuple, dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from azure_batch_operator.api.base import VALUES_METADATA, ApiModel
from azure_batch_operator.batch.wire import Body
from azure_batch_operator.reconcile import applied
from azure_batch_operator.reconcile.applied import Applied
from azure_batch_operator.reconcile.ownership import MarkedBody
from azure_batch_operator.reconcile.plan import Absent, Remote
from azure_batch_operator.reconcile.status import Verdict
from azure_batch_operator.reconcile.value_references import Reference, ResolutionError, references

DUE = "due"
MISSING_LOOKED_AT_EVERY = 15.0
"""Seconds between two looks for what a changed spec lacks."""
_VERSIONS_KEPT = 8


class Taken(NamedTuple):
    """What a property takes from Secrets and ConfigMaps now."""

    digest: str
    """Of the values, under a key that only this process has."""
    version: str
    """Of the references and of the objects that they name; see `version_of`."""
    earlier: Mapping[str, str] = MappingProxyType({})
    """Digests of what this process has read before, by version."""

    def then(self, digest: str, version: str) -> Taken:
        """What is taken after a new look."""
        if version == self.version:
            return Taken(digest, version, self.earlier)
        known = {**self.earlier, self.version: self.digest}
        return Taken(digest, version, dict(list(known.items())[-_VERSIONS_KEPT:]))


def version_of(references: Iterable[tuple[Reference, str]]) -> str:
    """A short name for references with the versions of what they name, as uid and resourceVersion; says nothing of the values."""
    text = json.dumps([(each.path, *astuple(each.source), version) for each, version in references])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ValueVersions:
    """What the properties of a pool or schedule take from Secrets and ConfigMaps, and what it has of that.

    Attributes:
        taken: by property; what cannot be read now is missing.
        changed: properties whose values it does not have, or may not have.
        certain: those of them whose values are known to be others.
        missing: why properties cannot be given their values now.
    """

    taken: Mapping[str, Taken] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()
    certain: frozenset[str] = frozenset()
    missing: Mapping[str, ResolutionError] = field(default_factory=dict)

    @property
    def digests(self) -> dict[str, str]:
        """By property."""
        return {name: each.digest for name, each in self.taken.items()}

    @property
    def held(self) -> dict[str, str]:
        """Those that the pool or schedule has."""
        return {name: digest for name, digest in self.digests.items() if name not in self.changed}


NO_VALUES = ValueVersions()


def compared(
    taken: Mapping[str, Taken],
    given: Mapping[str, str],
    remote: Remote,
    missing: Mapping[str, ResolutionError] = MappingProxyType({}),
    plain: Collection[str] = (),
) -> ValueVersions:
    """Compare what properties take with what the pool or schedule was given.

    Args:
        given: digests of what this process knows it to have, by property.
        remote: the pool or schedule, with the note of what it was given before this process.
        missing: values that properties take and that are not available now, and why.
        plain: properties of the spec that take nothing.
    """
    note = {} if isinstance(remote, Absent) else noted(remote)
    before = applied.NOTHING if isinstance(remote, Absent) else applied.noted(remote)
    # What took a value and takes none any more still has it: nothing that the service returns shows that.
    changed = {name for name in note if name in plain}
    certain = set(changed)
    for name, now in taken.items():
        if name in before.marks and name not in note:
            # It was given a value that stood in the spec itself.
            changed.add(name)
            certain.add(name)
        elif name in given:
            if given[name] != now.digest:
                changed.add(name)
                certain.add(name)
        elif note.get(name, now.version) != now.version:
            # What has no note was taken over, and what it has is left as it is.
            given_then = now.earlier.get(note[name])
            if given_then == now.digest:
                continue
            changed.add(name)
            # A change that this process has seen is certain, although it did not know the pool or schedule at that time.
            if note[name] == DUE or given_then is not None:
                certain.add(name)
    return ValueVersions(taken, frozenset(changed), frozenset(certain), missing)


def plain(model: type[ApiModel], spec: Body) -> frozenset[str]:
    """Properties of a spec that take nothing from Secrets and ConfigMaps."""
    return frozenset(name for name, value in spec.items() if not any(references(model, {name: value})))


def unread(values: ValueVersions, now: Mapping[str, str], before: Applied) -> dict[str, ResolutionError]:
    """Properties of a changed spec that cannot be given their values, and why.

    What has its values already keeps them if a Secret is deleted: then nothing is wrong with it.

    Args:
        now: fingerprints of what the spec says.
    """
    return {name: why for name, why in values.missing.items() if now.get(name) != before.marks.get(name)}


def told(verdict: Verdict, unread: Mapping[str, ResolutionError]) -> Verdict:
    """The verdict, if something cannot be given its values: then what the spec says is not so."""
    if not unread or not verdict.ready:
        return verdict
    first = next(iter(unread.values()))
    return replace(verdict, ready=False, reason=first.reason, message=str(first), trend="Reconciling", warning=True)


def noted(remote: Body) -> dict[str, str]:
    """Versions that were given, by property, from the metadata."""
    text = MarkedBody.of(remote).note(VALUES_METADATA) or ""
    pairs = (each.partition("=") for each in text.split(",") if each)
    return {name: version for name, _, version in pairs}


def to_note(
    model: type[ApiModel],
    spec: Body,
    values: ValueVersions,
    sent: Collection[str],
    remote: Body,
) -> list[Any]:
    """The metadata item for what is given the values of the properties in `sent`; none if no property takes any."""
    before, note = noted(remote), {}
    for name, value in model.rest_body(spec).items():
        if not any(references(model, {name: value})):
            if name in before and name not in sent:
                note[name] = DUE
            continue
        now = values.taken.get(name)
        if now is not None and (name in sent or name not in values.changed):
            note[name] = now.version
        elif name in values.certain:
            note[name] = DUE
        elif name in before:
            note[name] = before[name]
    text = ",".join(f"{name}={version}" for name, version in sorted(note.items()))
    return [{"name": VALUES_METADATA, "value": text}] if text else []
