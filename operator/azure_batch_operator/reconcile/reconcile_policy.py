"""The reconcile policy: whether the operator manages an object in Azure, only observes it, or never deletes it (docs/ownership.md).

`azurebatch.io/reconcile-policy` on the object, else on its namespace, else the operator's default says so. What was adopted is not
deleted with its object unless somebody says `manage` on the object itself: it was there before Kubernetes knew of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from azure_batch_operator.api.base import ADOPT, RECONCILE_POLICY
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile import adoption, ownership
from azure_batch_operator.reconcile.adoption import NO_OTHERS, Others
from azure_batch_operator.reconcile.annotations import is_stopping, not_done
from azure_batch_operator.reconcile.plan import (
    Absence,
    Absent,
    Call,
    Event,
    Evidence,
    Plan,
    Remote,
    Table,
    Unconfirmed,
    without_etag,
)
from azure_batch_operator.reconcile.standard_plans import (
    FORCE_HINT,
    deleting,
    foreign,
    release_at_once,
    still_there,
    with_event,
)
from azure_batch_operator.reconcile.status import Verdict, carry_over, conditions
from azure_batch_operator.words import listed


class Policy(StrEnum):
    """Values of `azurebatch.io/reconcile-policy`."""

    MANAGE = "manage"
    """Create, change, observe and delete."""
    SKIP = "skip"
    """Observe only; deleting the object leaves Azure as it is."""
    DETACH = "detach-on-delete"
    """As manage, but deleting the object leaves Azure as it is."""


_VALUES = listed(Policy, "or")
_IRREVERSIBLE = ("delete_", "terminate_", "remove_", "reboot_", "reimage_", "resize_", "stop_", "disable_")
"""How the verbs begin that can end somebody's work, which cannot be brought back."""
_ENDED = frozenset({"Succeeded", "Failed", "Completed"})


def stated(annotations: Mapping[str, str]) -> str | None:
    """What the annotations of an object or a namespace say; None if nothing."""
    return annotations.get(RECONCILE_POLICY)


def policy_of(resource: Resource, namespace: Mapping[str, str], default: Policy) -> Policy | None:
    """The policy of an object; None if what is stated is no policy.

    Args:
        namespace: annotations of its namespace.
        default: the operator's.
    """
    value = stated(resource.annotations) or stated(namespace)
    if value is None:
        return default
    try:
        return Policy(value)
    except ValueError:
        return None


def irreversible(resource: Resource, plan: Plan) -> bool:
    """Whether a plan depends on the policy and does what cannot be undone, so that the policy must be read again first."""
    if stated(resource.annotations) is not None or plan.unconfirmed is Unconfirmed.NEVER_CREATED:
        return False
    lets_go = plan.finalizer == "remove" and resource.has_finalizer
    deletes = any(change.body is None for change in plan.objects)
    acts = plan.operate is not None and bool(plan.operate.attempt)
    return lets_go or deletes or acts or any(call.verb.startswith(_IRREVERSIBLE) for call in plan.calls)


def unknown(resource: Resource, namespace: Mapping[str, str], now: float) -> Plan:
    """An unknown policy stalls: taking it for `manage` could delete what somebody wanted to keep."""
    if (released := release_at_once(resource)) is not None:
        return released
    value = stated(resource.annotations)
    where = "the object" if value else f"namespace {resource.key.namespace!r}"
    message = f"annotation {RECONCILE_POLICY} of {where} is {value or stated(namespace)!r}: it must be {_VALUES}"
    if resource.deleting:
        message = f"{message}. {FORCE_HINT}"
    verdict = Verdict("Stalled", "InvalidReconcilePolicy", message, ready=False, trend="Stalled")
    return with_event(resource, Plan(status=carry_over(resource, verdict, now)), verdict)


def detached(resource: Resource, confirm: Absence | None = None) -> Plan:
    """Let the object go and leave Azure as it is.

    Args:
        confirm: proof that what is there is what was adopted; None if whatever is there stays.
    """
    if not resource.has_finalizer:
        return Plan()
    text = f"{resource.remote_id!r} is kept in Azure Batch, because of {RECONCILE_POLICY} or because it was adopted"
    unconfirmed = Unconfirmed.DETACHED if confirm is None else None
    proof = () if confirm is None else (confirm,)
    return Plan(finalizer="remove", confirm=proof, unconfirmed=unconfirmed, events=(Event("Detached", text),))


def halts(resource: Resource, policy: Policy | None) -> bool:
    """Whether nothing that is under way for the object continues: tasks that are brought in, wait to be added, or are run again.

    Known before anything is read that may be missing or refused, and before any decision that depends on it.

    Args:
        policy: None if its value is none.
    """
    return policy in {None, Policy.SKIP} or resource.deleting or is_stopping(resource)


def observed_only(resource: Resource, plan: Plan, now: float) -> Plan:
    """A plan without what would change anything in Azure; the status says so, and what would be done.

    The condition `Skipped` says so. `Ready` is True only if the resource exists and was reached, else it is left out, which kstatus
    takes for current (docs/gitops.md): a tool that waits for the operator continues, and one that waits for `Ready` is told no lie.
    What has ended or stalled says so as before.
    """
    if resource.deleting:
        return detached(resource)
    held = [call.verb for call in plan.calls]
    held += ["add_task"] if plan.submit is not None else []
    held += ["add_tasks"] if plan.feed else []
    held += ["reactivate_task"] if plan.retry is not None else []
    held += [plan.operate.request.verb] if plan.operate is not None else []
    held += [f"{'create' if change.body else 'delete'} {change.key}" for change in plan.objects]
    if plan.operate is not None:
        # The status of the plan may say that calls are being made.
        plan = replace(plan, status=plan.operate.otherwise)
    shown = resource if plan.status is None else replace(resource, status=plan.status)
    if held:
        if resource.status.get("phase") in _ENDED:
            return _ended_and_held(resource, shown, plan, held, now)
        text = f"{_NOT_MADE} {', '.join(held)}"
        exists = plan.submit is None and not any(call.creates for call in plan.calls)
        ready = exists and (_is_true(resource, "Ready") or (_is_true(shown, "Ready") and not _is_cron(resource)))
        # What an annotation asks for is carried out when the policy goes.
        left = _left_alone(resource, shown, HELD, text, now, ready=ready)
        return Plan(status=not_done(resource, left), events=_news(resource, held))
    rest = replace(plan, finalizer=None, retry=None, first=None)
    if not shown.status.get("conditions") or _is_settled(shown):
        return rest
    told = shown.condition("Ready") or shown.condition(SKIPPED) or {}
    text = f"{_ONLY_OBSERVED} {str(told.get('message', '')).removeprefix(_ONLY_OBSERVED).strip()}"
    phase = str(shown.status.get("phase"))
    events = tuple(each for each in plan.events if each.reason != told.get("reason"))
    exists = _is_true(resource, "Ready") if _is_cron(resource) else bool(shown.status.get("state"))
    left = _left_alone(resource, shown, phase, text, now, ready=exists and _is_true(shown, "Ready"))
    return replace(rest, status=left, events=events)


HELD = "Skipped"
"""The phase of an object whose spec is not carried out because of the policy."""
SKIPPED = "Skipped"
"""The condition of an object that the policy holds: one that has neither ended nor stalled, or is to run again."""
_SKIPPED = "ReconcileSkipped"
_ONLY_OBSERVED = f"{RECONCILE_POLICY} is skip, so the operator only observes."


_NOT_MADE = f"{RECONCILE_POLICY} is skip, so the operator does not make these changes:"


def _is_cron(resource: Resource) -> bool:
    """Whether nothing in Azure Batch stands for the object, so that only its own past tells whether it was ever in use."""
    return bool(resource.spec.get("cron"))


def _news(resource: Resource, held: Sequence[str]) -> tuple[Event, ...]:
    """An Event, if a kind of change is held back that the object has not told of; each run of a schedule is none."""
    told = str((resource.condition(SKIPPED) or {}).get("message", "")).partition(_NOT_MADE)[2]
    before = {each.split()[0] for each in told.split(", ") if each.strip()}
    if {each.split()[0] for each in held} <= before:
        return ()
    return (Event(_SKIPPED, f"{_NOT_MADE} {', '.join(held)}"),)


def _ended_and_held(resource: Resource, shown: Resource, plan: Plan, held: Sequence[str], now: float) -> Plan:
    """How it has ended stays in its status. That it is not cleaned up is what skip means; that it does not run again is said."""
    if plan.status is None:
        return Plan()
    if _is_settled(shown):
        return Plan(status=not_done(resource, plan.status), events=plan.events)
    text = f"{_NOT_MADE} {', '.join(held)}"
    verdict = Verdict("", _SKIPPED, text, ready=None, more={SKIPPED: (True, _SKIPPED, text)})
    said = [each for each in conditions(resource, verdict, now) if each["type"] == SKIPPED]
    others = [each for each in resource.status.get("conditions") or () if each.get("type") != SKIPPED]
    return Plan(status={**resource.status, "conditions": [*others, *said]}, events=_news(resource, held))


def _is_settled(resource: Resource) -> bool:
    """Whether the status says how the object has ended, or that a person must act."""
    return any(_is_true(resource, each) for each in ("Complete", "Failed", "Stalled"))


def _is_true(resource: Resource, condition: str) -> bool:
    return (resource.condition(condition) or {}).get("status") == "True"


def _left_alone(
    resource: Resource, shown: Resource, phase: str, text: str, now: float, *, ready: bool
) -> dict[str, Any]:
    """What is observed, under the verdict that nothing is to be done; times of transitions are those of what stands there."""
    more = {
        each["type"]: (each["status"] == "True", each["reason"], each["message"])
        for each in shown.status.get("conditions") or ()
        if each["type"] not in {"Ready", "Reconciling", "Stalled"}
    }
    more[SKIPPED] = (True, _SKIPPED, text)
    verdict = Verdict(phase, _SKIPPED, text, ready=True if ready else None, more=more)
    before = replace(resource, status={**shown.status, "conditions": resource.status.get("conditions") or []})
    return carry_over(before, verdict, now)


@dataclass(frozen=True)
class Owned:
    """A kind of resource that an object owns as a whole.

    Attributes:
        name: for messages.
        table: of the calls that change it.
        update, delete: verbs of the calls that write its metadata and that delete it.
    """

    name: str
    table: Table
    update: str
    delete: str


POOL = Owned("pool", Table.POOLS, "update_pool", "delete_pool")
JOB = Owned("job", Table.JOBS, "update_job", "delete_job")
SCHEDULE = Owned("job schedule", Table.SCHEDULES, "update_schedule", "delete_schedule")


def claim(
    resource: Resource,
    kind: Owned,
    remote: Mapping[str, Any],
    cluster: str,
    now: float,
    others: Others = NO_OTHERS,
) -> Plan | None:
    """Who may continue with what exists under the object's id, and whether anybody may.

    Args:
        kind: what it is in Azure Batch.
        others: what is known of other owners.

    Returns:
        None if it is this object's, or may be taken over and has ended; a plan to take it over if `azurebatch.io/adopt` asks; else
        a plan that says whose it is, or that somebody else deletes it.
    """
    owned, leaving = ownership.owns(remote, resource, cluster), remote.get("state") == "deleting"
    if owned and not leaving:
        return None
    answer = adoption.answer(remote, resource, cluster, others)
    if not owned and not answer.granted:
        return foreign(resource, kind.name, remote, answer.remedy, now)
    id = str(remote.get("id") or resource.remote_id)
    if leaving:
        message = f"{kind.name} {id!r} is being deleted in Azure Batch, but not for this object; it is created again afterwards"
        verdict = Verdict("Deleting", "DeletedByOthers", message, ready=False, trend="Reconciling")
        return with_event(resource, Plan(status=carry_over(resource, verdict, now)), verdict)
    if remote.get("state") == "completed" or (answer.inherited and remote.get("state") == "terminating"):
        # Azure Batch takes no change of a job or schedule that has ended: it is shown as it is, and never deleted unless inherited.
        return None
    if remote.get("state") == "terminating":
        message = f"{kind.name} {id!r} is being terminated: its result is shown when it has ended"
        verdict = Verdict("Adopting", "Adopting", message, ready=False, trend="Reconciling")
        return with_event(resource, Plan(status=carry_over(resource, verdict, now)), verdict)
    why = "its owner's cluster is lost" if answer.inherited else f"{ADOPT} asks for it"
    message = f"{kind.name} {id!r} is being adopted: {why}"
    verdict = Verdict("Adopting", "Adopting", message, ready=False, trend="Reconciling")
    # What is inherited is the object's as before; only what was adopted outlives its object.
    noted = ownership.adopted(remote) if answer.inherited else True
    marker = ownership.marker(cluster, resource, id)
    body = {"metadata": ownership.with_marker(remote, marker, adopted=noted)["metadata"]}
    call = Call(kind.update, kind.table, id, body=body, if_match=remote.get("eTag"), evidence=without_etag(remote))
    return with_event(resource, Plan("add", (call,), status=carry_over(resource, verdict, now)), verdict)


def with_adoption(
    plan: Plan, resource: Resource, remote: Mapping[str, Any], cluster: str, others: Others = NO_OTHERS
) -> Plan:
    """A plan whose status says that what it shows was taken over, where it was; to be asked once `claim` has let the object go on.

    What had ended carries no note of it in Azure Batch, since it takes no change; then nothing there is the object's.
    """
    taken = ownership.adopted(remote) or not adoption.ours(remote, resource, cluster, others)
    if plan.status is None or not taken:
        return plan
    return replace(plan, status={**plan.status, "adopted": True})


def left_alone(
    resource: Resource, remote: Mapping[str, Any], table: Table, cluster: str, others: Others = NO_OTHERS
) -> Plan | None:
    """The plan for a deleted object whose remote side must stay: it is somebody else's, or was adopted and nobody said `manage`."""
    id = str(remote.get("id") or resource.remote_id)
    # A create of this object may still land in the place of what was observed.
    confirm = Absence(table, id, stranger=Evidence.of(remote))
    if not adoption.ours(remote, resource, cluster, others):
        return Plan(finalizer="remove", confirm=(confirm,))
    if ownership.adopted(remote) and stated(resource.annotations) != Policy.MANAGE:
        return detached(resource, confirm)
    return None


def end(resource: Resource, kind: Owned, remote: Remote, cluster: str, now: float, others: Others = NO_OTHERS) -> Plan:
    """Delete what a deleted object stands for, wait until it is gone, and let the object go.

    Args:
        kind: what it is in Azure Batch.
    """
    if isinstance(remote, Absent):
        return Plan(finalizer="remove", confirm=(Absence(kind.table, resource.remote_id),))
    if (left := left_alone(resource, remote, kind.table, cluster, others)) is not None:
        return left
    what = f"{kind.name} {resource.remote_id!r}"
    if remote.get("state") == "deleting":
        return still_there(resource, what, now)
    call = Call(kind.delete, kind.table, resource.remote_id, evidence=Evidence.of(remote))
    return deleting(resource, what, call, now)
