"""Logs each transition of an object: a change of its phase or of the reason of `Ready`.

The line is in the pass that decides it, so it has the `object` and `reconcile_id` of the pass. The status is written later, and
the next pass may come before that: it must not say the same again. Of thousands of BatchTasks of a job that fail for one reason,
the first few are told, and then their number.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.logs import Few
from azure_batch_operator.reconcile.references import referenced

logger = logging.getLogger(__name__)

State = tuple[str, str]
_UNUSABLE = (Kind.ACCOUNT, "Unavailable")
"""Nothing works for anybody who uses it, also while it may come back by itself, so that it is not stalled."""


def _ready(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """`Ready`, or `Skipped` where it stands alone."""
    found = {condition["type"]: condition for condition in status.get("conditions") or ()}
    return found.get("Ready") or found.get("Skipped") or {}


def state_of(status: Mapping[str, Any]) -> State:
    """Phase and reason."""
    return str(status.get("phase") or ""), str(_ready(status).get("reason") or "")


def level_of(kind: Kind, status: Mapping[str, Any]) -> int:
    """WARNING if a person must act, something has failed, or an account cannot be used; BatchTasks else only at DEBUG.

    An object that is being deleted keeps the conditions of its life. These were logged when they came.
    """
    phase, reason = state_of(status)
    if (kind, phase) == _UNUSABLE or any(
        condition["type"] in {"Stalled", "Failed"}
        and condition["status"] == "True"
        and (phase != "Deleting" or condition.get("reason") == reason)
        for condition in status.get("conditions") or ()
    ):
        return logging.WARNING
    return logging.DEBUG if kind is Kind.TASK else logging.INFO


def said(phase: str, reason: str, message: str) -> str:
    """Phase, reason and message as one text that says nothing twice: many a phase is its own reason.

    >>> said("Connecting", "Connecting", "the account has not responded to a call yet")
    'Connecting: the account has not responded to a call yet'
    """
    return ": ".join(part for part in ((phase, reason, message) if phase != reason else (phase, message)) if part)


class Transitions:
    """What was said last of each object."""

    def __init__(self) -> None:
        self._said: dict[Key, tuple[str, State]] = {}
        self._few = Few()

    def log(self, resource: Resource, status: Mapping[str, Any], *, request_id: str | None = None) -> None:
        """Log how an object stands from now on, unless that is in its status or was said already.

        Args:
            request_id: of the call that it comes from.
        """
        state, known = state_of(status), self._said.get(resource.key)
        before = known[1] if known is not None and known[0] == resource.uid else state_of(resource.status)
        if state == before:
            return
        self._said[resource.key] = (resource.uid, state)
        phase, reason = state
        level = level_of(resource.key.kind, status)
        if resource.key.kind is Kind.TASK and level > logging.DEBUG:
            named, namespace = referenced(resource.spec), resource.key.namespace
            job = f"{namespace}/{named.job_id if named.job_ref is None else named.job_ref.name}"
            what = f"BatchTasks of job {job} that are {phase}: {reason}"
            level = self._few.level(level, (job, state), what, resource.key)
        logger.log(
            level,
            "%s is %s",
            resource.key,
            said(phase, reason, str(_ready(status).get("message", ""))),
            extra={"phase": phase, "reason": reason} | ({"request_id": request_id} if request_id else {}),
        )

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._said.pop(key, None)
