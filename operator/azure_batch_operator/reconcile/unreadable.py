"""The status of an object whose resource cannot be read: its last state, and why it is not newer."""

from __future__ import annotations

from dataclasses import replace

from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.plan import Event, Plan
from azure_batch_operator.reconcile.status import Verdict, carry_over, conditions, has_ended

REASON = "ObservationFailed"


def with_problem(resource: Resource, plan: Plan, problem: str | None, now: float) -> Plan:
    """A plan whose status says that something cannot be read; the plan itself if nothing is the matter.

    Everything else that the plan does and says stays. `Reconciling` gets the reason `ObservationFailed`, unless the plan says
    that a person must act (`Stalled`), which is more urgent.
    """
    shown = resource.status if plan.status is None else plan.status
    if problem is None:
        return plan
    if not shown.get("conditions"):
        return _said_first(resource, plan, problem, now)
    others = [each for each in shown["conditions"] if each.get("type") != "Reconciling"]
    if any(each.get("type") == "Stalled" for each in others):
        return plan
    verdict = Verdict("", REASON, problem, ready=False, trend="Reconciling")
    said = next(each for each in conditions(resource, verdict, now) if each["type"] == "Reconciling")
    before = resource.condition("Reconciling")
    events = plan.events
    if before is None or before.get("reason") != REASON:
        events = (*events, Event(REASON, problem, "Warning"))
    return replace(plan, status={**shown, "conditions": [*others, said]}, events=events)


def _said_first(resource: Resource, plan: Plan, problem: str, now: float) -> Plan:
    """The same of an object that has said nothing yet, or whose conditions were taken away; how it has ended stays."""
    if has_ended(resource) or plan.finalizer == "remove":
        return plan
    phase = "Deleting" if resource.deleting else resource.status.get("phase") or "Pending"
    verdict = Verdict(phase, REASON, problem, ready=False, trend="Reconciling")
    events = (*plan.events, Event(REASON, problem, "Warning"))
    return replace(plan, status=carry_over(resource, verdict, now), events=events)
