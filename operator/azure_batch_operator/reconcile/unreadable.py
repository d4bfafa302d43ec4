"""The status of an object whose resource cannot be read: its last state, and why it is not newer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.plan import Event, Plan
from azure_batch_operator.reconcile.status import Verdict, carry_over, conditions, has_ended

REASON = "ObservationFailed"


def with_problem(
    resource: Resource, plan: Plan, problem: str | None, now: float, is_read: Callable[[], bool] = lambda: True
) -> Plan:
    """A plan whose status says that something cannot be read; the plan itself if nothing is the matter.

    Everything else that the plan does and says stays. `Reconciling` gets the reason `ObservationFailed`, unless the plan says
    that a person must act (`Stalled`), which is more urgent. An object that has ended keeps its conditions, so that one is taken
    off when all can be read again (tests/quick/test_unreadable.py).

    Args:
        is_read: whether this process has read all that the object wants to know, or nothing of it is read any more. A process that
            has just started knows of no problem yet, but a former one did.
    """
    shown = resource.status if plan.status is None else plan.status
    if problem is None:
        return _read_again(resource, plan, shown, is_read)
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


def _read_again(resource: Resource, plan: Plan, shown: Mapping[str, Any], is_read: Callable[[], bool]) -> Plan:
    """A plan for an object of which all can be read: no condition of its end says otherwise."""
    known = shown.get("conditions") or ()
    left = [each for each in known if (each.get("type"), each.get("reason")) != ("Reconciling", REASON)]
    if len(left) == len(known) or resource.deleting or not has_ended(resource) or not is_read():
        return plan
    return replace(plan, status={**shown, "conditions": left})


def _said_first(resource: Resource, plan: Plan, problem: str, now: float) -> Plan:
    """The same of an object that has said nothing yet, or whose conditions were taken away; how it has ended stays."""
    if has_ended(resource) or plan.finalizer == "remove":
        return plan
    phase = "Deleting" if resource.deleting else resource.status.get("phase") or "Pending"
    verdict = Verdict(phase, REASON, problem, ready=False, trend="Reconciling")
    events = (*plan.events, Event(REASON, problem, "Warning"))
    return replace(plan, status=carry_over(resource, verdict, now), events=events)
