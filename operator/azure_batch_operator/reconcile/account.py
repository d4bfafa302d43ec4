"""BatchAccount: is it reachable, are we let in, who uses it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from azure_batch_operator.api.account import AccountSpec
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.common import FORCE_HINT, with_notice
from azure_batch_operator.reconcile.plan import Plan
from azure_batch_operator.reconcile.status import Verdict, kept, status, timestamp


@dataclass(frozen=True)
class Health:
    """What the calls to the account have shown.

    Attributes:
        checked: whether any call was answered, well or badly, since the account was opened.
        reason, message: of the trouble; empty while all is well.
        throttled_until: seconds since the epoch until which the service asked for silence.
    """

    checked: bool = False
    reason: str = ""
    message: str = ""
    throttled_until: float | None = None


def plan(resource: Resource, health: Health, dependents: Sequence[Resource], now: float) -> Plan:
    """Decide about one BatchAccount.

    Args:
        health: of the calls, or of what keeps calls from being made (a missing Secret).
        dependents: objects that name the account.
    """
    if resource.deleting:
        if not resource.has_finalizer or resource.released or not dependents:
            return Plan(finalizer="remove")
        verdict = Verdict(
            "Deleting", "InUse", f"used by {_users(dependents)}. {FORCE_HINT}", ready=False, trend="Reconciling"
        )
        return with_notice(resource, Plan(status=kept(resource, verdict, now)), verdict)
    if not health.checked and resource.condition("Ready"):
        return Plan()  # the operator has just started: what it said before stands until a call says otherwise
    verdict = _verdict(health)
    until = health.throttled_until
    plan = Plan(
        finalizer=None if resource.has_finalizer else "add",
        status=status(
            resource,
            verdict,
            now,
            account=AccountSpec.model_validate(resource.spec).account,
            throttling={"until": timestamp(until)} if until and until > now else None,
        ),
        again=max(1.0, until - now + 1.0) if until and until > now else None,
    )
    return with_notice(resource, plan, verdict)


def _verdict(health: Health) -> Verdict:
    if health.reason:
        waits = health.reason in {"ConnectionFailed", "Throttled", "NoAnswer"}
        phase = health.reason if health.reason == "Throttled" else "Unavailable"
        trend: Literal["Reconciling", "Stalled"] = "Reconciling" if waits else "Stalled"
        return Verdict(phase, health.reason, health.message, ready=False, trend=trend, warning=True)
    if not health.checked:
        return Verdict("Connecting", "Connecting", "no call was answered yet", ready=False, trend="Reconciling")
    return Verdict("Connected", "Connected", "the account answers and lets the operator in", ready=True)


def _users(dependents: Sequence[Resource]) -> str:
    kinds = Counter(each.key.kind for each in dependents)
    numbers = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    first = dependents[0].key
    return f"{numbers}, for example {first.kind} {first.namespace}/{first.name}"
