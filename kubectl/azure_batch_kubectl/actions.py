"""The changes that a person makes by hand: `spec.suspend` and the one-shot annotations. What they do is decided by the operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from azure_batch_kubectl import objects
from azure_batch_kubectl.choices import Action
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.objects import Object
from azure_batch_operator.api.base import RETRY_FAILED, TERMINATE
from azure_batch_operator.api.kinds import KINDS, Kind

_KINDS: Mapping[Action, tuple[Kind, ...]] = {
    Action.SUSPEND: (Kind.JOB, Kind.SCHEDULE),
    Action.RESUME: (Kind.JOB, Kind.SCHEDULE),
    Action.RETRY: (Kind.JOB, Kind.TASK),
    Action.TERMINATE: (Kind.JOB, Kind.TASK, Kind.OPERATION),
}
_DONE: Mapping[Action, str] = {
    Action.SUSPEND: "will be suspended",
    Action.RESUME: "will be resumed",
    Action.RETRY: "failed tasks will run again",
    Action.TERMINATE: "will be terminated",
}
_NO_SECOND_RUN = (
    "Azure Batch runs no task of a completed job again: create a new BatchJob with spec.retryOf, "
    "which runs the failed tasks with the same commands, or, if a command is wrong, submit it again as a new job"
)


@dataclass(frozen=True)
class Change:
    """A merge patch, None if there is nothing to change, and what to tell the user afterwards."""

    patch: Mapping[str, Any] | None
    said: str


def check_kind(action: Action, kind: Kind) -> None:
    """Refuse a kind that an action is not for.

    Raises:
        FailureError: with the kinds that it is for.
    """
    if kind not in _KINDS[action]:
        known = " and ".join(f"{each} ({KINDS[each].short})" for each in _KINDS[action])
        raise FailureError(f"{action} does not apply to a {kind}: use it for {known}")


OPEN = "status.phase!=Succeeded,status.phase!=Failed"
"""Selects the jobs that have not ended. The API server may not know it, so `ended` decides; tests/unit/kubectl/test_reads.py."""


def ended(thing: Object) -> bool:
    """Whether the object has ended, well or badly."""
    return objects.holds(thing, "Complete") or objects.holds(thing, "Failed")


def change(action: Action, thing: Object, now: str) -> Change:
    """What to patch.

    Args:
        now: the value of an annotation; each new one acts once.

    Raises:
        FailureError: the action can have no effect on the object as it is.
    """
    kind, who = Kind(thing["kind"]), f"{thing['kind']} {objects.name(thing)}"
    if kind is Kind.TASK and action is Action.RETRY and objects.holds(thing, "Complete"):
        raise FailureError(
            f"{who} has succeeded: only failed tasks run again; create a new BatchTask to run its command again"
        )
    if ended(thing) and not (kind is Kind.TASK and action is Action.RETRY):
        remedy = _NO_SECOND_RUN if action is Action.RETRY else "it no longer changes"
        raise FailureError(f"{who} has ended ({objects.phase(thing)}): {remedy}")
    if action in {Action.SUSPEND, Action.RESUME}:
        wanted = action is Action.SUSPEND
        if bool(objects.spec(thing).get("suspend")) == wanted:
            return Change(None, f"spec.suspend is {str(wanted).lower()} already (unchanged)")
        return Change({"spec": {"suspend": wanted}}, _DONE[action])
    annotation = RETRY_FAILED if action is Action.RETRY else TERMINATE
    said = "will run again" if kind is Kind.TASK and action is Action.RETRY else _DONE[action]
    return Change({"metadata": {"annotations": {annotation: now}}}, said)
