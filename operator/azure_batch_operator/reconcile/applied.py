"""Which properties an object applied to its resource, and the value of a property that the spec no longer contains.

Removing a member from a spec is a change like any other. But the spec alone does not show whether it ever had the member, and the
resource alone does not show whether a value was removed from the spec or is a default of the service. So the metadata of each pool,
job and schedule have a note: a fingerprint of each member of the spec when it was last applied. Only this module compares with the
note; see docs/decisions/0020.

- A member in the spec: while it is unchanged since it was applied, the service may add to it, so that an unknown default is not
  "corrected" forever. Once it has changed, the resource must match it exactly.
- A member that is not in the spec gets the default of the service. An adopted resource keeps its value until the spec has had the
  member once.
- A member that the service cannot unset (`STAYS`) is reported in a condition of the object.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final, Literal

from msgspec import to_builtins

from azure_batch_operator.api.base import APPLIED_METADATA, GROUP
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.batch.wire import Body
from azure_batch_operator.reconcile import ownership
from azure_batch_operator.reconcile.ownership import MarkedBody
from azure_batch_operator.reconcile.status import Verdict
from azure_batch_operator.reconcile.wire_equality import same
from azure_batch_operator.words import listed

_NOTED_DIGITS = 8


class _Stays(Enum):
    STAYS = "stays"


STAYS: Final[Literal[_Stays.STAYS]] = _Stays.STAYS
"""Instead of a default: the service can change the member, but cannot unset it."""


@dataclass(frozen=True)
class Applied:
    """What was last applied to a resource.

    Attributes:
        marks: fingerprints by member of the spec.
        keeps: whether members that the spec never had stay as they are.
        known: whether there is a note at all.
    """

    marks: Mapping[str, str] = field(default_factory=dict)
    keeps: bool = False
    known: bool = False

    def lenient(self, name: str, mark: str | None) -> bool:
        """Whether a member of the spec may contain more than the spec says."""
        return self.marks.get(name) == mark or (self.keeps and name not in self.marks)

    def leaves(self, name: str) -> bool:
        """Whether a member that is not in the spec stays as it is."""
        return self.keeps and name not in self.marks


NOTHING = Applied()


def fingerprint(value: Any) -> str:
    """A short name for a value, as it is in the spec."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def marks(said: Body) -> dict[str, str]:
    """Fingerprints of what a spec says, by member, for the note."""
    return {name: fingerprint(value)[:_NOTED_DIGITS] for name, value in said.items()}


def noted(remote: Body) -> Applied:
    """What the note in a resource's metadata says."""
    text = MarkedBody.of(remote).note(APPLIED_METADATA)
    pairs = (each.partition("=") for each in (text or "").split(","))
    found = {name: mark for name, _, mark in pairs if mark}
    return Applied(found, keeps=ownership.adopted(remote), known=text is not None)


def note(found: Mapping[str, str]) -> dict[str, str]:
    """The metadata item that holds these fingerprints."""
    return {"name": APPLIED_METADATA, "value": ",".join(f"{name}={mark}" for name, mark in sorted(found.items()))}


def with_note(body: Body, said: Body) -> dict[str, Any]:
    """The body of a new resource with the note of what the spec says."""
    return dict(body) | {"metadata": [*body.get("metadata", ()), note(marks(said))]}


def after(before: Applied, now: Mapping[str, str], *, not_yet: Collection[str]) -> dict[str, str]:
    """The fingerprints when all members but those in `not_yet` are applied; these keep their former fingerprints."""
    found = {name: mark for name, mark in now.items() if name not in not_yet}
    return found | {name: before.marks[name] for name in not_yet if name in before.marks}


@dataclass(frozen=True)
class Differences:
    """How a resource differs from its spec.

    Attributes:
        members: what a PATCH sets.
        stuck: members that were removed from the spec and that the service keeps.
    """

    members: dict[str, Any]
    stuck: tuple[str, ...]


def differences(
    defaults: Body,
    body: Body,
    remote: Body,
    before: Applied,
    now: Mapping[str, str],
    taken: Mapping[str, str] | None = None,
) -> Differences:
    """Compare members of the spec with the resource.

    Args:
        defaults: the members to compare, each with what the service has where the spec is silent: a value that can be sent,
            `STAYS`, or None if another call than PATCH takes it away.
        body: the spec as a REST body.
        now: fingerprints of what the spec says.
        taken: fingerprints of values that are known to be applied, in whatever form the service returns them.
    """
    result: dict[str, Any] = {}
    stuck = []
    for name, default in defaults.items():
        wanted = body.get(name, default)
        if name not in body and before.leaves(name):
            continue
        if wanted is STAYS:
            if name in before.marks and remote.get(name):
                stuck.append(name)
            continue
        if wanted is None or (taken or {}).get(name) == fingerprint(wanted):
            continue
        lenient = name in body and before.lenient(name, now.get(name))
        if not same(name, wanted, remote.get(name, None if default is STAYS else default), lenient=lenient):
            result[name] = wanted
    return Differences(result, tuple(stuck))


def own_items(body: Body, remote: Body, before: Applied) -> list[Any]:
    """The metadata items of the user that a resource should have: those of the spec, or those that it has already."""
    given: Sequence[Body] | None = body.get("metadata")
    if given is not None or not before.leaves("metadata"):
        return list(given or ())
    there = MarkedBody.of(remote).metadata
    return [to_builtins(item) for item in there if not str(item.name).startswith(f"{GROUP}/")]


NOT_APPLIED = "NotApplied"
"""Condition: a part of the spec is not applied in Azure Batch, and no call can apply it."""


def cannot_be_unset(stuck: Collection[str], kind: Kind) -> dict[str, tuple[bool, str, str]]:
    """The condition of an object if members were removed from its spec that the service keeps; empty if there are none."""
    if not stuck:
        return {}
    names = listed(f"spec.{name}" for name in stuck)
    were, it, values = (
        ("was", "it", "it keeps its value") if len(stuck) == 1 else ("were", "them", "they keep their values")
    )
    text = (
        f"{names} {were} removed from the spec, but Azure Batch has no call that unsets {it}, so {values}: put {it} "
        f"back, or create a new {kind}"
    )
    return {NOT_APPLIED: (True, "CannotBeUndone", text)}


def told(verdict: Verdict, condition: Mapping[str, tuple[bool, str, str]]) -> Verdict:
    """The verdict with that condition: an object that cannot become what its spec says is not ready, and a person must act."""
    if not condition:
        return verdict
    verdict = replace(verdict, more={**(verdict.more or {}), **condition})
    if not verdict.ready:
        return verdict
    _, reason, message = condition[NOT_APPLIED]
    return replace(verdict, ready=False, reason=reason, message=message, trend="Stalled")
