"""Which properties an object applied to its resource, and the value of a property that the spec no longer contains.

A spec that no longer mentions a member is a change like any other. But the spec alone does not tell it from a member that the spec
never mentioned, and the resource alone does not tell a member that the spec has ceased to mention from a default that the service
has filled in. So each pool, job and schedule carries a note in its metadata: a fingerprint of each member as it stood in the spec
when it was last applied. This module is the one comparison that knows the note; see docs/decisions/0020.

- A member that the spec mentions: as long as it stands there as it was applied, what it does not hold is left to the service, so
  that a default that nobody knows of is not "set right" forever. Once it has changed, everything counts.
- A member that the spec does not mention is what the service has without it. A resource that was adopted keeps it, until its
  object has mentioned it once.
- What the service offers no way to take back (`STAYS`) is named, for a condition of the object.
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
"""In the place of a default: the service lets the member change, but offers no way to take it away."""


@dataclass(frozen=True)
class Applied:
    """What a resource was last given.

    Attributes:
        marks: fingerprints by member of the spec.
        keeps: whether what its object has never mentioned stays as it is.
        known: whether there is a note at all.
    """

    marks: Mapping[str, str] = field(default_factory=dict)
    keeps: bool = False
    known: bool = False

    def lenient(self, name: str, mark: str | None) -> bool:
        """Whether a member that the spec mentions may hold more than the spec says."""
        return self.marks.get(name) == mark or (self.keeps and name not in self.marks)

    def leaves(self, name: str) -> bool:
        """Whether a member that the spec does not mention is none of the object's business."""
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
    """The fingerprints once all has been applied but the members in `not_yet`, which keep what the note says of them."""
    found = {name: mark for name, mark in now.items() if name not in not_yet}
    return found | {name: before.marks[name] for name in not_yet if name in before.marks}


@dataclass(frozen=True)
class Differences:
    """How a resource differs from its spec.

    Attributes:
        members: what a PATCH sets.
        stuck: what the spec has ceased to mention and the service keeps.
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
        taken: fingerprints of what is known to be in place, in whatever form the service returns it.
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
    """The metadata items of the user that a resource shall have: those of the spec, or those that are there already."""
    given: Sequence[Body] | None = body.get("metadata")
    if given is not None or not before.leaves("metadata"):
        return list(given or ())
    there = MarkedBody.of(remote).metadata
    return [to_builtins(item) for item in there if not str(item.name).startswith(f"{GROUP}/")]


NOT_APPLIED = "NotApplied"
"""Condition: something in the spec is not so in Azure Batch, and no call can bring it about."""


def cannot_be_unset(stuck: Collection[str], kind: Kind) -> dict[str, tuple[bool, str, str]]:
    """The condition of an object whose spec has ceased to mention what the service keeps; none if there is no such thing."""
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
