"""One-shot verbs: annotations whose new value acts once.

They are annotations and not spec, so that GitOps tools do not fight them; what was acted upon is in `status.handled`, so that a
restart does not act again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from azure_batch_operator.api.base import RECONCILE_NOW, RECREATE, RETRY_FAILED, TERMINATE
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.before import said_by, status_before
from azure_batch_operator.reconcile.plan import Plan

_FIELDS: Mapping[str, Literal["reconcileNow", "recreate", "retryFailed", "terminate"]] = {
    RECONCILE_NOW: "reconcileNow",
    RECREATE: "recreate",
    RETRY_FAILED: "retryFailed",
    TERMINATE: "terminate",
}
_RETRYING = "retrying"
_LONGEST = 256
"""Characters of a value that count."""


def pending_request(resource: Resource, annotation: str) -> str | None:
    """The value of a one-shot annotation that was not acted upon yet."""
    value = resource.annotations.get(annotation, "")[:_LONGEST]
    return value if value and value != _acted_upon(resource, annotation) else None


def _acted_upon(resource: Resource, annotation: str) -> str | None:
    """The value of a one-shot annotation that was acted upon last."""
    before = status_before(resource).handled
    match _FIELDS[annotation]:
        case "reconcileNow":
            return before.reconcile_now
        case "recreate":
            return before.recreate
        case "retryFailed":
            return before.retry_failed
        case "terminate":
            return before.terminate


def _marks(status: Mapping[str, object]) -> dict[str, object]:
    """`handled` of a status, to be repeated: also what another version has noted there."""
    found = status.get("handled")
    return dict(found) if isinstance(found, Mapping) else {}


_STOPS = frozenset({"disable_job", "terminate_job", "terminate_task", "disable_schedule", "terminate_schedule"})


def is_stopping(resource: Resource) -> bool:
    """Whether the user wants the object to be stopped, whatever else is wrong with it."""
    return bool(resource.suspends or pending_request(resource, TERMINATE)) and not resource.deleting


def stop_only(resource: Resource, plan: Plan) -> Plan | None:
    """The part of a plan that stops, which needs no value of a Secret or ConfigMap; None if the plan stops nothing."""
    if not is_stopping(resource):
        return None
    if any(call.verb in _STOPS for call in plan.calls):
        # An update before it is the operator's own note that it has stopped the job.
        return replace(plan, feed=None, submit=None)
    return plan if not plan.calls and plan.feed is None and plan.submit is None and plan.status is not None else None


def handled(resource: Resource, *annotations: str) -> dict[str, object] | None:
    """`status.handled` once these are acted upon; None if there is nothing to say."""
    done = _marks(resource.status)
    for annotation in annotations:
        if value := resource.annotations.get(annotation, "")[:_LONGEST]:
            done[_FIELDS[annotation]] = value
            if annotation == RETRY_FAILED:
                done.pop(_RETRYING, None)
    return done or None


def retried_until(resource: Resource) -> str | None:
    """The time of the last failure that the current value of `retry-failed` is about; None before that is stored.

    A later failure is that of a run which this value has caused already, whether its call was answered or not.
    """
    until, separator, value = (status_before(resource).handled.retrying or "").partition(" ")
    return until if separator and value == pending_request(resource, RETRY_FAILED) else None


def retrying(resource: Resource, until: str) -> dict[str, object]:
    """`status.handled` while failed tasks are reactivated: stored before the first call, so that a restart repeats none."""
    mark = f"{until} {pending_request(resource, RETRY_FAILED)}"
    return _marks(resource.status) | {_RETRYING: mark}


def is_later(stamp: str, than: str) -> bool:
    """Whether one time of the service is after another one; both are UTC with up to seven digits, without zeros at the end."""
    return stamp.removesuffix("Z") > than.removesuffix("Z")


def not_done(resource: Resource, status: Mapping[str, object]) -> dict[str, object]:
    """A status that was meant for after the calls, when a call was refused or is held back: its verbs are not carried out yet.

    That `azurebatch.io/reconcile-now` was heard stays, since nothing is left to do for it.
    """
    heard = said_by(status).handled.reconcile_now
    marks = _marks(resource.status) | ({_FIELDS[RECONCILE_NOW]: heard} if heard is not None else {})
    rest = {member: value for member, value in status.items() if member != "handled"}
    return rest | ({"handled": marks} if marks else {})


def acknowledge(resource: Resource, plan: Plan) -> Plan:
    """The plan with the record that `azurebatch.io/reconcile-now` was heard: whatever was decided, it was decided now.

    This also holds while the object is being deleted, or each pass would start the backoff again: the finalizer may have to wait
    for proof.
    """
    leaves = resource.deleting and not resource.has_finalizer
    if leaves or pending_request(resource, RECONCILE_NOW) is None:
        return plan
    shown = resource.status if plan.status is None else plan.status
    value = resource.annotations[RECONCILE_NOW][:_LONGEST]
    marks = _marks(shown) | {_FIELDS[RECONCILE_NOW]: value}
    return replace(plan, status={**shown, "handled": marks})
