"""The reconcile policy: whether the operator manages, only observes, or never deletes a resource (docs/ownership.md).

The annotation `azurebatch.io/reconcile-policy` of the object applies, else that of its namespace, else the operator's default. An
adopted resource is not deleted with its object, because it existed before the object; only `manage` on the object itself allows it.

A cron schedule that is deleted under a policy which keeps resources keeps those of its runs, too. The garbage collector would
delete their BatchJobs after it, when nothing says so any more. So the operator deletes them while the schedule is there, and they
follow its policy; the finalizer of the schedule stays until none is left (tests/quick/test_moved_objects.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

from azure_batch_operator.api.base import ADOPT, RECONCILE_POLICY
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.wire import Body, ResourceState, build
from azure_batch_operator.reconcile import adoption, ownership
from azure_batch_operator.reconcile.adoption import NO_OTHERS, Others
from azure_batch_operator.reconcile.annotations import is_stopping, not_done
from azure_batch_operator.reconcile.before import NO_CONDITION, Before, condition_of, said_by, status_before
from azure_batch_operator.reconcile.plan import (
    Absence,
    Absent,
    Call,
    Event,
    Evidence,
    ObjectChange,
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
    """Observe only; deleting the object keeps the resource."""
    DETACH = "detach-on-delete"
    """As manage, but deleting the object keeps the resource."""


_VALUES = listed(Policy, "or")
_IRREVERSIBLE = ("delete_", "terminate_", "remove_", "reboot_", "reimage_", "resize_", "stop_", "disable_")
"""Prefixes of verbs that can end work, which cannot be undone."""
_ENDED = frozenset({"Succeeded", "Failed", "Completed"})
_RUNS_GO = 2.0
"""Seconds until a deleted cron schedule is looked at again while it still has BatchJobs."""
_ORPHANS = "orphan"
"""Finalizer of Kubernetes while an object is deleted with `--cascade=orphan`."""


def stated(annotations: Mapping[str, str]) -> str | None:
    """The policy in the annotations of an object or a namespace; None if there is none."""
    return annotations.get(RECONCILE_POLICY)


class Above(NamedTuple):
    """The policy that applies to an object which states none.

    Attributes:
        value: of the annotation; None if there is none.
        where: what has it, for messages.
    """

    value: str | None
    where: str


def above(resource: Resource, namespace: Mapping[str, str], schedule: Resource | None) -> Above:
    """What applies to an object that states no policy.

    Args:
        namespace: annotations of its namespace.
        schedule: the BatchJobSchedule of the name that its controller has; None if there is none, or if it is gone.
    """
    owner = resource.controller
    is_made_by = schedule is not None and owner is not None and owner.uid == schedule.uid
    if resource.deleting and schedule is not None and is_made_by and schedule.deleting:
        value = stated(schedule.annotations)
        if value not in {None, Policy.MANAGE}:
            return Above(value, str(schedule.key))
    return Above(stated(namespace), f"namespace {resource.key.namespace!r}")


def policy_of(resource: Resource, inherited: Above, default: Policy) -> Policy | None:
    """The policy of an object; None if the annotation has an unknown value.

    Args:
        default: the operator's.
    """
    value = stated(resource.annotations) or inherited.value
    if value is None:
        return default
    try:
        return Policy(value)
    except ValueError:
        return None


def irreversible(resource: Resource, plan: Plan) -> bool:
    """Whether a plan depends on the policy and cannot be undone, so the policy must be read again first."""
    if stated(resource.annotations) is not None or plan.unconfirmed is Unconfirmed.NEVER_CREATED:
        return False
    lets_go = plan.finalizer == "remove" and resource.has_finalizer
    deletes = any(change.body is None for change in plan.objects)
    acts = plan.operate is not None and bool(plan.operate.attempt)
    return lets_go or deletes or acts or any(call.verb.startswith(_IRREVERSIBLE) for call in plan.calls)


def unknown(resource: Resource, inherited: Above, now: float) -> Plan:
    """Stall on an unknown policy: treating it as `manage` could delete a resource that a user wants to keep."""
    if (released := release_at_once(resource)) is not None:
        return released
    value = stated(resource.annotations)
    where = "the object" if value else inherited.where
    message = f"annotation {RECONCILE_POLICY} of {where} is {value or inherited.value!r}: it must be {_VALUES}"
    if resource.deleting:
        message = f"{message}. {FORCE_HINT}"
    verdict = Verdict("Stalled", "InvalidReconcilePolicy", message, ready=False, trend="Stalled")
    return with_event(resource, Plan(status=carry_over(resource, verdict, now)), verdict)


def detached(resource: Resource, confirm: Absence | None = None, runs: Sequence[Resource] = ()) -> Plan:
    """Remove the finalizer and keep the resource.

    Args:
        confirm: proof that the resource is the adopted one; None to keep any resource.
        runs: the BatchJobs of a cron schedule, which are deleted first.
    """
    if not resource.has_finalizer:
        return Plan()
    # Runs that are orphaned stay, and are managed as before.
    goes_first = stated(resource.annotations) is not None and _ORPHANS not in resource.finalizers
    if runs and goes_first and not resource.released:
        going = tuple(ObjectChange(run.key, uid=run.uid) for run in runs if not run.deleting)
        return Plan(objects=going, requeue_after=_RUNS_GO)
    text = f"{resource.remote_id!r} is kept in Azure Batch, because of {RECONCILE_POLICY} or because it was adopted"
    unconfirmed = Unconfirmed.DETACHED if confirm is None else None
    proof = () if confirm is None else (confirm,)
    return Plan(
        finalizer="remove",
        confirm=proof,
        unconfirmed=unconfirmed,
        events=() if resource.is_cron else (Event("Detached", text),),
    )


def halts(resource: Resource, policy: Policy | None) -> bool:
    """Whether all work in progress for the object stops: feeding, submitting and retrying tasks.

    Decided first, since later observations may be missing or refused.

    Args:
        policy: None if the annotation has an unknown value.
    """
    return policy in {None, Policy.SKIP} or resource.deleting or is_stopping(resource)


def held(resource: Resource) -> Resource:
    """An object under the policy skip as it is decided about: no deadline ends a job that the operator itself holds back."""
    if resource.key.kind is not Kind.JOB or "pendingDeadlineSeconds" not in resource.spec:
        return resource
    spec = {name: value for name, value in resource.spec.items() if name != "pendingDeadlineSeconds"}
    return replace(resource, spec=spec)


def observed_only(resource: Resource, plan: Plan, now: float) -> Plan:
    """A plan without changes in Azure Batch; the condition `Skipped` lists what would be changed.

    `Ready` is True only if the resource exists and was ready. Otherwise the condition is omitted, which kstatus treats as current
    (docs/gitops.md): a tool that waits for the operator continues, and one that waits for `Ready` does not succeed. Objects that
    have ended or stalled still show that.
    """
    if resource.deleting:
        return detached(resource)
    if plan.unseen:
        # What is there already would not be added.
        return Plan()
    held = [call.verb for call in plan.calls]
    held += ["add_task"] if plan.submit is not None else []
    held += ["add_tasks"] if plan.feed else []
    held += ["reactivate_task"] if plan.retry is not None else []
    held += [plan.operate.request.verb] if plan.operate is not None else []
    held += [f"{'create' if change.body else 'delete'} {change.key}" for change in plan.objects]
    if plan.operate is not None:
        # The status of the plan may announce calls.
        plan = replace(plan, status=plan.operate.otherwise)
    shown = resource if plan.status is None else replace(resource, status=plan.status)
    if held:
        if status_before(resource).phase in _ENDED:
            return _ended_and_held(resource, shown, plan, held, now)
        text = f"{_NOT_MADE} {', '.join(held)}"
        exists = plan.submit is None and not any(call.creates for call in plan.calls)
        was_ready, is_ready = condition_of(resource, "Ready").is_true, said_by(shown.status).holds("Ready")
        ready = exists and (was_ready or (is_ready and not resource.is_cron))
        # Requests by annotations are carried out when the policy is removed.
        left = _left_alone(resource, shown, HELD, text, now, ready=ready)
        return Plan(status=not_done(resource, left), events=_news(resource, held))
    rest = replace(plan, finalizer=None, retry=None, first=None)
    said = said_by(shown.status)
    if not said.conditions or _is_settled(said):
        return rest
    told = said.condition("Ready") or said.condition(SKIPPED) or NO_CONDITION
    text = f"{_ONLY_OBSERVED} {told.message.removeprefix(_ONLY_OBSERVED).strip()}"
    phase = str(said.phase)
    events = tuple(each for each in plan.events if each.reason != told.reason)
    exists = condition_of(resource, "Ready").is_true if resource.is_cron else bool(said.state)
    left = _left_alone(resource, shown, phase, text, now, ready=exists and said.holds("Ready"))
    return replace(rest, status=left, events=events)


HELD = "Skipped"
"""The phase of an object whose spec is not applied because of the policy."""
SKIPPED = "Skipped"
"""The condition of an object that the policy holds: it has neither ended nor stalled, or it waits to run again."""
_SKIPPED = "ReconcileSkipped"
_ONLY_OBSERVED = f"{RECONCILE_POLICY} is skip, so the operator only observes."


_NOT_MADE = f"{RECONCILE_POLICY} is skip, so the operator does not make these changes:"


def _news(resource: Resource, held: Sequence[str]) -> tuple[Event, ...]:
    """An Event, if a kind of change is held that the object does not show yet. Further runs of a schedule cause no Event."""
    told = condition_of(resource, SKIPPED).message.partition(_NOT_MADE)[2]
    before = {each.split()[0] for each in told.split(", ") if each.strip()}
    if {each.split()[0] for each in held} <= before:
        return ()
    return (Event(_SKIPPED, f"{_NOT_MADE} {', '.join(held)}"),)


def _ended_and_held(resource: Resource, shown: Resource, plan: Plan, held: Sequence[str], now: float) -> Plan:
    """Keep the result in the status. Add the condition `Skipped` only if the object would run again, not for cleanup."""
    if plan.status is None:
        return Plan()
    if _is_settled(said_by(shown.status)):
        return Plan(status=not_done(resource, plan.status), events=plan.events)
    text = f"{_NOT_MADE} {', '.join(held)}"
    verdict = Verdict("", _SKIPPED, text, ready=None, more={SKIPPED: (True, _SKIPPED, text)})
    said = [each for each in conditions(resource, verdict, now) if each["type"] == SKIPPED]
    others = [each for each in resource.listed_conditions if each["type"] != SKIPPED]
    return Plan(status={**resource.status, "conditions": [*others, *said]}, events=_news(resource, held))


def _is_settled(said: Before) -> bool:
    """Whether an object has ended or is stalled."""
    return any(said.holds(each) for each in ("Complete", "Failed", "Stalled"))


def _left_alone(
    resource: Resource, shown: Resource, phase: str, text: str, now: float, *, ready: bool
) -> dict[str, Any]:
    """The observed status with the condition `Skipped`; transition times of the present conditions are kept."""
    more = {
        known.type: (known.is_true, known.reason, known.message)
        for known in said_by(shown.status).conditions
        if known.type not in {"Ready", "Reconciling", "Stalled"}
    }
    more[SKIPPED] = (True, _SKIPPED, text)
    verdict = Verdict(phase, _SKIPPED, text, ready=True if ready else None, more=more)
    before = replace(resource, status={**shown.status, "conditions": resource.listed_conditions})
    return carry_over(before, verdict, now)


@dataclass(frozen=True)
class Owned:
    """A kind of resource that one object owns.

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
    remote: Body,
    cluster: str,
    now: float,
    others: Others = NO_OTHERS,
) -> Plan | None:
    """Decide whether the object may use the resource that exists under its ID.

    Args:
        kind: of the resource.
        others: what is known of other owners.

    Returns:
        None if the object owns the resource, or may adopt it and it has ended. A plan that adopts it if `azurebatch.io/adopt` is
        set. Otherwise a plan whose status names the owner, or says that another client deletes the resource.
    """
    seen = build(ResourceState, remote)
    owned, leaving = ownership.owns(remote, resource, cluster), seen.state == "deleting"
    if owned and not leaving:
        return None
    answer = adoption.answer(remote, resource, cluster, others)
    if not owned and not answer.granted:
        return foreign(resource, kind.name, remote, answer.remedy, now)
    id = seen.id or resource.remote_id
    if leaving:
        message = f"{kind.name} {id!r} is being deleted in Azure Batch, but not for this object; it is created again afterwards"
        verdict = Verdict("Deleting", "DeletedByOthers", message, ready=False, trend="Reconciling")
        return with_event(resource, Plan(status=carry_over(resource, verdict, now)), verdict)
    if seen.state == "completed" or (answer.inherited and seen.state == "terminating"):
        # Azure Batch rejects changes of a job or schedule that has ended. It is only shown, and never deleted unless inherited.
        return None
    if seen.state == "terminating":
        message = f"{kind.name} {id!r} is being terminated: its result is shown when it has ended"
        verdict = Verdict("Adopting", "Adopting", message, ready=False, trend="Reconciling")
        return with_event(resource, Plan(status=carry_over(resource, verdict, now)), verdict)
    why = "its owner's cluster is lost" if answer.inherited else f"{ADOPT} asks for it"
    message = f"{kind.name} {id!r} is being adopted: {why}"
    verdict = Verdict("Adopting", "Adopting", message, ready=False, trend="Reconciling")
    # An inherited resource is deleted with its object as before; only an adopted one is kept.
    noted = ownership.adopted(remote) if answer.inherited else True
    marker = ownership.marker(cluster, resource, id)
    body = {"metadata": ownership.with_marker(remote, marker, adopted=noted)["metadata"]}
    call = Call(kind.update, kind.table, id, body=body, if_match=seen.etag, evidence=without_etag(remote))
    return with_event(resource, Plan("add", (call,), status=carry_over(resource, verdict, now)), verdict)


def with_adoption(plan: Plan, resource: Resource, remote: Body, cluster: str, others: Others = NO_OTHERS) -> Plan:
    """The plan with `status.adopted`, if the resource was adopted. Called only after `claim` has returned None.

    A resource that had ended before has no marker, since Azure Batch rejects changes of it.
    """
    taken = ownership.adopted(remote) or not adoption.ours(remote, resource, cluster, others)
    if plan.status is None or not taken:
        return plan
    return replace(plan, status={**plan.status, "adopted": True})


def left_alone(resource: Resource, remote: Body, table: Table, cluster: str, others: Others = NO_OTHERS) -> Plan | None:
    """The plan for a deleted object whose resource must stay: it is foreign, or was adopted and the object has no `manage`."""
    id = build(ResourceState, remote).id or resource.remote_id
    # A create for this object may still take effect under this ID.
    confirm = Absence(table, id, foreign=Evidence.of(remote))
    if not adoption.ours(remote, resource, cluster, others):
        return Plan(finalizer="remove", confirm=(confirm,))
    if ownership.adopted(remote) and stated(resource.annotations) != Policy.MANAGE:
        return detached(resource, confirm)
    return None


def end(resource: Resource, kind: Owned, remote: Remote, cluster: str, now: float, others: Others = NO_OTHERS) -> Plan:
    """Delete the resource of a deleted object, wait until it is gone, and remove the finalizer.

    Args:
        kind: of the resource.
    """
    if isinstance(remote, Absent):
        return Plan(finalizer="remove", confirm=(Absence(kind.table, resource.remote_id),))
    if (left := left_alone(resource, remote, kind.table, cluster, others)) is not None:
        return left
    what = f"{kind.name} {resource.remote_id!r}"
    if build(ResourceState, remote).state == "deleting":
        return still_there(resource, what, now)
    call = Call(kind.delete, kind.table, resource.remote_id, evidence=Evidence.of(remote))
    return deleting(resource, what, call, now)
