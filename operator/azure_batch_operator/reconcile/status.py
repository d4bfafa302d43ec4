"""Conditions with the semantics of kstatus, kept stable so that a status is written only if its meaning changes.

`Ready` is there unless the policy `skip` leaves it open; `Reconciling` and `Stalled` are abnormal-true: present only while they are
True.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import orjson

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.before import Condition, status_before

_ENDS = {"Complete": "Succeeded", "Failed": "Failed"}
ENDED_PHASES = frozenset(_ENDS.values())
"""Phases of a job or task that has ended."""
"""Conditions of how something has ended, and the phase that goes with each."""
SUSPENDED, IN_SYNC = "Suspended", "TasksInSync"
_REMEMBERED = (*_ENDS, IN_SYNC)
"""Conditions that say what is not found out again: a verdict about something else leaves them as they are."""
_REQUEST_ID = re.compile(r"request-id [^\s,\]]+")
_MESSAGE_BYTES = 800
"""Of a condition; up to four conditions repeat a message, and a status has 16 KiB."""


def shortened(text: str, most: int, *, end: bool = False) -> str:
    """The beginning of a text, or its `end`, that takes at most so many bytes within JSON."""
    kept = text
    while (size := len(orjson.dumps(kept)) - 2) > most:
        fits = min(len(kept) - 1, len(kept) * most // size)
        kept = kept[len(kept) - fits :] if end else kept[:fits]
    return kept


def timestamp(now: float) -> str:
    """RFC 3339 with whole seconds, as Kubernetes writes it."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def whole_seconds(stamp: str) -> str:
    """An RFC 3339 time of the service without the digits below a second, which a person does not need."""
    return re.sub(r"\.\d+", "", stamp)


def seconds_since(stamp: str, now: float) -> float:
    """Age in seconds of an RFC 3339 time; 0 if it is empty."""
    if not stamp:
        return 0.0
    return now - datetime.fromisoformat(stamp).timestamp()


@dataclass(frozen=True)
class Verdict:
    """How an object stands, in the words of its conditions.

    Attributes:
        phase: the one word.
        reason, message: of `Ready`, and of `Reconciling` or `Stalled` if one is given.
        ready: status of `Ready`; None if nobody works towards it, so that there is none.
        trend: "Reconciling" while it is on its way, "Stalled" when a person must act, None when all is said.
        more: further conditions: type → (status, reason, message).
        warning: whether its Event is a warning although nobody needs to act.
    """

    phase: str
    reason: str
    message: str
    ready: bool | None
    trend: Literal["Reconciling", "Stalled"] | None = None
    more: Mapping[str, tuple[bool, str, str]] | None = None
    warning: bool = False


def conditions(resource: Resource, verdict: Verdict, now: float) -> list[dict[str, object]]:
    """The conditions for a verdict; `lastTransitionTime` moves only when a condition's status does."""
    wanted: dict[str, tuple[bool, str, str]] = {}
    if verdict.ready is not None:
        wanted["Ready"] = (verdict.ready, verdict.reason, verdict.message)
    if verdict.trend:
        wanted[verdict.trend] = (True, verdict.reason, verdict.message)
    wanted |= {**_resumption(resource), **(verdict.more or {})}
    said = status_before(resource)
    result = []
    for type_, (value, reason, message) in wanted.items():
        status = "True" if value else "False"
        before = said.condition(type_)
        since = before.last_transition_time if before and before.status == status else timestamp(now)
        result.append(
            {
                "type": type_,
                "status": status,
                "reason": reason,
                "message": _stable(shortened(message, _MESSAGE_BYTES), before),
                "lastTransitionTime": since,
                "observedGeneration": resource.generation,
            }
        )
    return result


def _resumption(resource: Resource) -> dict[str, tuple[bool, str, str]]:
    """The condition of a job that was suspended once, as for batch/v1 Job, whatever else there is to say of it.

    `pendingDeadlineSeconds` counts from its transition, so a job whose status lost it could be ended too early.
    """
    if resource.key.kind is not Kind.JOB or (before := status_before(resource).condition(SUSPENDED)) is None:
        return {}
    if not resource.suspends:
        return {SUSPENDED: (False, "JobResumed", "the job is resumed")}
    if before.is_true:
        return {SUSPENDED: (True, before.reason, before.message)}
    return {SUSPENDED: (False, "JobSuspending", "the job is being disabled")}


def _stable(message: str, before: Condition | None) -> str:
    """The message that stands already if only the request id differs: the same refusal again is not a new status."""
    known = "" if before is None else before.message
    return known if _REQUEST_ID.sub("", known) == _REQUEST_ID.sub("", message) else message


def status(resource: Resource, verdict: Verdict, now: float, **fields: object) -> dict[str, object]:
    """The whole status: phase, generation, conditions and the fields of the kind; fields that are None are left out."""
    acted = {"handled": resource.status["handled"]} if resource.status.get("handled") else {}
    return {
        "observedGeneration": resource.generation,
        "phase": verdict.phase,
        "conditions": conditions(resource, verdict, now),
        **acted,
    } | {name: value for name, value in fields.items() if value is not None}


def has_ended(resource: Resource) -> bool:
    """Whether the status says how the object has ended; a phase that its conditions contradict was written by somebody else."""
    before = status_before(resource)
    condition = next((type_ for type_, phase in _ENDS.items() if phase == before.phase), None)
    return condition is not None and (not before.conditions or before.holds(condition))


def ended_as(resource: Resource) -> str | None:
    """The phase that its conditions say the object has ended with; None if they say nothing of an end."""
    before = status_before(resource)
    return next((phase for type_, phase in _ENDS.items() if before.holds(type_)), None)


def carry_over(resource: Resource, verdict: Verdict, now: float) -> dict[str, object]:
    """The status as it is, under a new verdict: for trouble on the way, when nothing new is known of the remote side.

    How the object has ended stays, so that a tool that looks now and then finds it also while the object is being deleted.
    """
    rest = {name: value for name, value in resource.status.items() if name not in {"phase", "conditions"}}
    found = conditions(resource, verdict, now)
    said = {each["type"] for each in found}
    stay = [each for type_ in _REMEMBERED if type_ not in said and (each := resource.condition(type_))]
    return rest | {
        "observedGeneration": resource.generation,
        "phase": verdict.phase,
        "conditions": [*found, *stay],
    }


def pick(remote: Mapping[str, object], names: Sequence[str]) -> dict[str, object]:
    """The members of a REST body that a status repeats under their own names."""
    return {name: remote[name] for name in names if name in remote}
