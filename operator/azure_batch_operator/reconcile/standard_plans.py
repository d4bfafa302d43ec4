"""Plans that pools, jobs and tasks share: waiting for an account, removing the finalizer, refusing foreign resources."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from azure_batch_operator.api.kinds import KINDS, Kind
from azure_batch_operator.api.resource import Resource, conditions_in
from azure_batch_operator.reconcile.before import said_by, status_before
from azure_batch_operator.reconcile.error_classes import ClassifiedError
from azure_batch_operator.reconcile.ownership import Marked, conflict_message
from azure_batch_operator.reconcile.plan import Absence, AccountView, Call, Event, Plan, Unconfirmed
from azure_batch_operator.reconcile.status import Verdict, carry_over, pick, seconds_since

GRACE_SECONDS = 5.0
"""Seconds for which an object waits in silence for what usually comes by itself, such as an object of the same `apply`."""

FORCE_HINT = (
    "To remove the object without deleting anything in Azure Batch, annotate it with azurebatch.io/force-finalize=true."
)


_WRONG_REFERENCES = frozenset(
    {
        "AccountNotFound",
        "NamespaceNotAllowed",
        "PoolNotFound",
        "PoolInOtherAccount",
        "PoolNotAllowed",
        "JobNotFound",
        "DependencyNotFound",
    }
)
"""Reasons that a reference in the spec leads nowhere, as with a typing error: nothing comes of it by itself."""


def grace_left(resource: Resource, now: float) -> float:
    """Seconds for which a new object still waits in silence.

    None if it seems to come from the future: then the operator's clock is slow, and it would wait for as long as that is.
    """
    age = seconds_since(resource.created, now)
    return GRACE_SECONDS - age if age > -GRACE_SECONDS else 0.0


def other_name(resource: Resource, field: str) -> str:
    """What to do about a reference besides creating what it names, as far as its field can be changed.

    Args:
        field: path of the reference, such as `spec.poolRef` or `spec.dependsOnRefs[0]`.
    """
    member = re.split(r"[.\[]", field)[1]
    rules = KINDS[resource.key.kind].spec.rules
    fixed = any(rule.fixed and rule.field in {None, f".{member}"} for rule in rules)
    return f", or create a new {resource.key.kind} with another {field}" if fixed else f" or correct {field}"


def waiting(
    resource: Resource, reason: str, message: str, now: float, *, phase: str = "Pending", warning: bool = False
) -> Plan:
    """Wait for something that is not there yet, and say so only when it takes long."""
    if status_before(resource).is_blank and (left := grace_left(resource, now)) > 0:
        return Plan(requeue_after=left)
    warns = warning or reason in _WRONG_REFERENCES
    verdict = Verdict(
        _phase_before(resource) or phase, reason, message, ready=False, trend="Reconciling", warning=warns
    )
    plan = Plan(status=carry_over(resource, verdict, now))
    # Also a task tells of what its own spec names; of thousands that name the same, few post an Event (kube/events.py).
    return with_event(resource, plan, verdict) if warns else _told(resource, plan, verdict)


def _phase_before(resource: Resource) -> str | None:
    """The phase that an object keeps on the way; none if it was Stalled, since that was only the verdict of its last reconcile.

    An object that waits needs no person, whatever it needed before (test_an_object_that_waits_is_no_longer_stalled).
    """
    phase = status_before(resource).phase
    return None if phase == "Stalled" else phase


def without_account(resource: Resource, account: AccountView, now: float) -> Plan:
    """The account cannot be used: objects keep their last state, new and deleted ones say what they wait for."""
    if resource.deleting:
        if not resource.has_finalizer:
            return Plan()
        if account.gone and resource.key.kind is not Kind.TASK and not ever_created(resource):
            return Plan(finalizer="remove", unconfirmed=Unconfirmed.NEVER_CREATED)
        message = f"cannot be deleted in Azure Batch: {account.message}. {FORCE_HINT}"
        verdict = Verdict("Deleting", account.reason, message, ready=False, trend="Reconciling")
        return Plan(status=carry_over(resource, verdict, now))
    if account.opening or (not status_before(resource).is_blank and not account.gone):
        return Plan()
    return waiting(resource, account.reason, account.message, now)


def release_at_once(resource: Resource) -> Plan | None:
    """Let a deleted object go without a look at Azure Batch: its user forces that, or it has no finalizer; None otherwise."""
    if resource.deleting and (not resource.has_finalizer or resource.released):
        return Plan(finalizer="remove", unconfirmed=Unconfirmed.RELEASED)
    return None


def ever_created(resource: Resource) -> bool:
    """Whether a call may have created something for the object: its account is in the status before the first one."""
    return status_before(resource).ever_created


def deleting(resource: Resource, what: str, call: Call, now: float) -> Plan:
    """Ask Azure Batch to delete; the finalizer goes when a poll no longer finds it."""
    verdict = Verdict(
        "Deleting", "Deleting", f"waiting for Azure Batch to delete {what}", ready=False, trend="Reconciling"
    )
    return Plan(calls=(call,), status=carry_over(resource, verdict, now))


def still_there(resource: Resource, what: str, now: float) -> Plan:
    """Deletion is in progress in Azure Batch."""
    verdict = Verdict(
        "Deleting", "Deleting", f"waiting for Azure Batch to delete {what}", ready=False, trend="Reconciling"
    )
    return Plan(status=carry_over(resource, verdict, now))


def confirming(resource: Resource, absences: Sequence[Absence], now: float) -> Plan:
    """Nothing that the object has made is in Azure Batch, but a call that was sent a moment ago may still take effect there."""
    what = "it has no resource in Azure Batch"
    if any(each.foreign is not None for each in absences):
        what = "the resource with its ID stays in Azure Batch, because it was adopted or has another owner"
    text = f"{what}: waiting up to a minute for calls that were sent before and may still take effect"
    verdict = Verdict("Deleting", "Deleting", text, ready=False, trend="Reconciling")
    return Plan(status=carry_over(resource, verdict, now))


def foreign(resource: Resource, what: str, remote: Marked, remedy: str, now: float) -> Plan:
    """The id is somebody else's: never touch it, say who owns it, and what can be done besides choosing another id."""
    message = conflict_message(what, resource, remote, remedy)
    verdict = Verdict("Stalled", "OwnershipConflict", message, ready=False, trend="Stalled")
    shown = carry_over(resource, verdict, now)
    if resource.key.kind is Kind.POOL:
        # The nodes of the pool that was there before are gone with it, and nobody pays for them any more.
        shown = {name: value for name, value in shown.items() if name not in _OF_NODES}
    return with_event(resource, Plan(status=shown, halts=True), verdict)


_OF_NODES = frozenset(
    {
        "nodes", "nodeCounts", "slots", "nodesInTrouble", "estimatedCostPerHour",
        "currentDedicatedNodes", "currentLowPriorityNodes",
    }
)  # fmt: skip
"""Members of a pool's status that speak of its nodes; metrics count node hours and cost by them."""


def troubled(resource: Resource, problem: ClassifiedError, now: float) -> Mapping[str, object] | None:
    """Status after a failed call; None if the object has nothing to say."""
    return failed(resource, problem, now).status


def failed(
    resource: Resource, problem: ClassifiedError, now: float, observed: Mapping[str, object] | None = None
) -> Plan:
    """What is to be said after a failed call; nothing if that is the account's to say.

    Args:
        observed: the status that the object would have if the call had succeeded; its members are shown, its verdict is not.
    """
    if problem.of_account:
        return Plan()
    before = _phase_before(resource) or "Pending"
    if before == "Pending" and problem.stalled:
        before = "Stalled"
    phase = "Deleting" if resource.deleting else problem.phase or before
    message = problem.message + (f" {FORCE_HINT}" if resource.deleting and problem.stalled else "")
    verdict = Verdict(
        phase, problem.reason, message,
        ready=False, trend="Stalled" if problem.stalled else "Reconciling", warning=problem.phase == "Queued",
    )  # fmt: skip
    shown = carry_over(resource, verdict, now)
    if observed is not None:
        shown = _under(observed, shown)
    return _told(resource, Plan(status=shown), verdict)


def beside(observed: Mapping[str, object] | None, said: Mapping[str, object] | None) -> Mapping[str, object] | None:
    """A status with what was observed in Azure Batch under another verdict, so that counts go on while the spec cannot be used.

    Args:
        observed: the status as it would be; counts only if something exists in Azure Batch, but for the pool of a job to be,
            which the spec decides.
        said: the status with the verdict.
    """
    if observed is None or said is None:
        return said
    if not said_by(observed).state:
        return {**said, **pick(observed, ("poolId",))}
    return _under(observed, said)


_VERDICT = frozenset({"Ready", "Reconciling", "Stalled", "Complete", "Failed"})


def _under(observed: Mapping[str, object], said: Mapping[str, object]) -> dict[str, object]:
    """What was observed, under the verdict of another status; conditions that are no verdict are observed as well."""
    there = _VERDICT | {each["type"] for each in conditions_in(said)}
    others = [each for each in conditions_in(observed) if each["type"] not in there]
    verdict = {name: said[name] for name in ("observedGeneration", "phase")}
    return {**observed, **verdict, "conditions": [*conditions_in(said), *others]}


def _told(resource: Resource, plan: Plan, verdict: Verdict) -> Plan:
    """With an Event, but for tasks: there may be thousands, and what they wait for says so itself."""
    return plan if resource.key.kind is Kind.TASK else with_event(resource, plan, verdict)


def once_absent(resource: Resource, plan: Plan, verdict: Verdict, *absences: Absence) -> Plan:
    """A plan whose status may be the last word, from what a list lacked: shown when a GET has not found it either.

    What the object says already needs no GET with each pass.
    """
    return plan if _is_said(resource, verdict) else replace(plan, confirm=absences)


def once_late(resource: Resource, plan: Plan, late: float | None, gone: Absence, why: str, now: float) -> Plan:
    """A plan that ends an object which has nothing in Azure Batch: carried out when no create of it can take effect any more.

    Of an object that has ended nothing is polled, so what appeared then would run unseen (tests/quick/test_late.py).

    Args:
        late: as in the scope of the object.
        gone: what must not be there.
        why: the message of the end.
    """
    if late is None:
        return plan
    if late <= 0:
        return replace(plan, confirm=(gone,))
    text = f"{why}: waiting up to a minute for calls that were sent before and may still take effect"
    verdict = Verdict("Terminating", "Terminating", text, ready=False, trend="Reconciling")
    return with_event(resource, Plan(status=carry_over(resource, verdict, now), requeue_after=late), verdict)


def with_event(resource: Resource, plan: Plan, verdict: Verdict) -> Plan:
    """Add an Event if the reason of `Ready` is a new one."""
    if _is_said(resource, verdict):
        return plan
    event = Event(
        verdict.reason, verdict.message, "Warning" if verdict.trend == "Stalled" or verdict.warning else "Normal"
    )
    return replace(plan, events=(*plan.events, event))


def _is_said(resource: Resource, verdict: Verdict) -> bool:
    """Whether `Ready` has the reason of a verdict already."""
    return status_before(resource).reason == verdict.reason


def finalizer_on(resource: Resource) -> Literal["add"] | None:
    """The finalizer of a plan for an object that has, or will have, something in Azure Batch: put on unless it is there."""
    return None if resource.has_finalizer else "add"
