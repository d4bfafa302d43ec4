"""The status of an object whose resource cannot be read: its last state, and why it is not newer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.before import Condition, condition_of, status_before
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
    shown = resource if plan.status is None else replace(resource, status=plan.status)
    if problem is None:
        return _read_again(resource, plan, shown, is_read)
    said = status_before(shown)
    if not said.conditions:
        return _said_first(resource, plan, problem, now)
    if said.condition("Stalled") is not None:
        return plan
    verdict = Verdict("", REASON, problem, ready=False, trend="Reconciling")
    condition = next(each for each in conditions(resource, verdict, now) if each["type"] == "Reconciling")
    events = plan.events
    if condition_of(resource, "Reconciling").reason != REASON:
        events = (*events, Event(REASON, problem, "Warning"))
    others = [each for each in shown.listed_conditions if each["type"] != "Reconciling"]
    return replace(plan, status={**shown.status, "conditions": [*others, condition]}, events=events)


def _read_again(resource: Resource, plan: Plan, shown: Resource, is_read: Callable[[], bool]) -> Plan:
    """A plan for an object of which all can be read: no condition of its end says otherwise."""
    known = status_before(shown).conditions
    if not any(map(_is_of_this, known)) or resource.deleting or not has_ended(resource) or not is_read():
        return plan
    left = [each for each, said in zip(shown.listed_conditions, known, strict=True) if not _is_of_this(said)]
    return replace(plan, status={**shown.status, "conditions": left})


def _is_of_this(condition: Condition) -> bool:
    return (condition.type, condition.reason) == ("Reconciling", REASON)


def _said_first(resource: Resource, plan: Plan, problem: str, now: float) -> Plan:
    """The same of an object that has said nothing yet, or whose conditions were taken away; how it has ended stays."""
    if has_ended(resource) or plan.finalizer == "remove":
        return plan
    phase = "Deleting" if resource.deleting else status_before(resource).phase or "Pending"
    verdict = Verdict(phase, REASON, problem, ready=False, trend="Reconciling")
    events = (*plan.events, Event(REASON, problem, "Warning"))
    return replace(plan, status=carry_over(resource, verdict, now), events=events)
