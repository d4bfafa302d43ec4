"""BatchTask: submitted in bulk, observed by lists, two statuses in an ordinary life (docs/decisions/0002-status-of-a-task.md).

An object whose task waits in Azure Batch keeps the `Pending` that the API server gave it: the first write comes when the task runs,
the last one when it has ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from azure_batch_operator.api.base import RETRY_FAILED, TERMINATE
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.api.task import TaskSpec
from azure_batch_operator.batch import BatchError, CompletedError
from azure_batch_operator.reconcile import adoption, ownership
from azure_batch_operator.reconcile import normalization as normal
from azure_batch_operator.reconcile import reconcile_policy as policy
from azure_batch_operator.reconcile.adoption import NO_OTHERS, Others
from azure_batch_operator.reconcile.annotations import handled, is_later, pending_request, retried_until, retrying
from azure_batch_operator.reconcile.error_classes import RetryClass, classify_error
from azure_batch_operator.reconcile.job import expand
from azure_batch_operator.reconcile.job.failures import explained
from azure_batch_operator.reconcile.job.scope import NOT_ALLOWED
from azure_batch_operator.reconcile.plan import (
    TAKES_NO_MORE,
    Absence,
    Absent,
    AccountView,
    Call,
    Ended,
    Event,
    Evidence,
    Plan,
    Remote,
    Table,
    Unconfirmed,
    without_etag,
)
from azure_batch_operator.reconcile.standard_plans import (
    deleting,
    finalizer_on,
    foreign,
    once_absent,
    other_name,
    release_at_once,
    troubled,
    waiting,
    with_event,
    without_account,
)
from azure_batch_operator.reconcile.status import ENDED_PHASES, Verdict, carry_over, has_ended, pick, shortened, status

_BLOCKED = "DependencyFailed"
_FAILURE_BYTES = 2000
_OWNER_LOOKED_AT_EVERY = 300.0


@dataclass(frozen=True)
class JobView:
    """The job of a task.

    Attributes:
        exists: whether the BatchJob does; always, where the job exists only in Azure Batch.
        id: of the job in Azure Batch; empty if it is not known. Without its BatchJob, the one that the task was added to.
        remote: the job as the last poll saw it.
        ours: whether it carries the marker of that BatchJob, or needs none.
        finished: whether the BatchJob has come to its end.
        upload: its `spec.logs.upload`, if it has any.
        goes_on: whether its tasks run although tasks that they depend on have failed.
        former: whether its BatchJob is gone, or stands for another job by now; only the task's own status remembers this one then.
        stranger: why tasks of this namespace may not go into a job that `jobId` names; None if they may.
        foreign_pool: why they may not run on the pool of the job; None if they may.
    """

    exists: bool
    id: str = ""
    remote: Remote = Absent.UNKNOWN
    ours: bool = False
    finished: bool = False
    upload: Mapping[str, Any] | None = None
    goes_on: bool = False
    former: bool = False
    stranger: str | None = None
    foreign_pool: str | None = None

    @property
    def refusal(self) -> tuple[str, str] | None:
        """Reason and message why tasks of this namespace may not be added; None if they may."""
        if self.stranger is not None:
            text = f"spec.jobId names a job that this namespace may not use: {self.stranger}. "
            text += "Name a job that an object of this namespace owns, or one that was created outside Kubernetes"
            return "JobNotAllowed", text
        if self.foreign_pool is not None:
            return NOT_ALLOWED, f"job {self.id!r} is on a pool that this namespace may not use: {self.foreign_pool}"
        return None


@dataclass(frozen=True)
class TaskView:
    """What is known of the task itself.

    Attributes:
        remote: the task as the last list saw it, with `owner` (its marker) and, for ended ones, `stdoutTail` and `stderrTail`.
        pending: whether the submitter has it in hand.
        refused: why the submitter could not add it.
        retry_in: seconds until the submitter may try again.
        depends_on: ids of the tasks that `dependsOnRefs` names.
        problem: reason and message if one of them cannot be named.
        blocked_by: name of a BatchTask that it depends on and that has failed, or never starts itself.
        late: members for the status that came after the task's end was seen: `stdoutTail`, `stderrTail`, `outputProblem`.
    """

    remote: Remote = Absent.UNKNOWN
    pending: bool = False
    refused: BatchError | None = None
    retry_in: float | None = None
    depends_on: Sequence[str] = ()
    problem: tuple[str, str] | None = None
    blocked_by: str | None = None
    late: Mapping[str, str] = field(default_factory=dict)


def is_open(resource: Resource) -> bool:
    """Whether the task still has to be watched in Azure Batch."""
    if resource.deleting or not has_ended(resource):
        return True
    return bool(pending_request(resource, RETRY_FAILED) or pending_request(resource, TERMINATE))


def is_blocked(resource: Resource) -> bool:
    """Whether the task has said that it never starts, since it depends on one that has failed."""
    ready = resource.condition("Ready")
    return ready is not None and ready.get("reason") == _BLOCKED and resource.status.get("phase") not in ENDED_PHASES


@dataclass(frozen=True)
class TaskScope:
    """All that is known when a BatchTask is decided about.

    Attributes:
        cluster: id of this cluster, part of the ownership marker.
        now: seconds since the epoch.
        others: what is known of other owners.
    """

    resource: Resource
    account: AccountView
    job: JobView
    view: TaskView
    cluster: str
    now: float
    others: Others = NO_OTHERS


def plan(scope: TaskScope) -> Plan:
    """Decide about one BatchTask."""
    resource, account, job, view, now = scope.resource, scope.account, scope.job, scope.view, scope.now
    if resource.deleting:
        return _delete(scope)
    if not is_open(resource):
        return _unchanged(resource, view)
    if has_ended(resource) and (late := _too_late(resource)) is not None:
        return late
    if not job.exists:
        message = (
            f"spec.jobRef names BatchJob {_job_name(resource)!r}, which does not exist in this namespace: create it"
            f"{other_name(resource, 'spec.jobRef')}"
        )
        return waiting(resource, "JobNotFound", message, now)
    in_hand = view.pending or isinstance(view.remote, Mapping)
    if not account.usable:
        # What waits in Azure Batch has no status yet and needs none now: the account says what is the matter, once for thousands.
        return Plan() if in_hand and not account.gone else without_account(resource, account, now)
    if job.remote is Absent.UNKNOWN:
        return Plan()
    if view.pending:
        return _on_its_way(resource, job, now)
    if job.remote is Absent.NOT_FOUND or not job.ours:
        return _without_job(resource, job, now)
    # A task that is in already is followed to its end.
    if job.refusal is not None and (not resource.has_finalizer or view.remote is Absent.NOT_FOUND):
        return _not_allowed(resource, *job.refusal, now)
    if view.remote is Absent.UNKNOWN:
        return Plan()
    if view.remote is Absent.NOT_FOUND:
        return _add(resource, job, view, ownership.marker(scope.cluster, resource), now)
    if not adoption.ours(view.remote, resource, scope.cluster, scope.others):
        return foreign(resource, "task", view.remote, "or delete it there", now)
    ended = view.remote.get("state") == "completed"
    there = {**view.remote, **view.late} if ended else view.remote
    return _follow(resource, account, job, there, view.blocked_by, now)


def _job_name(resource: Resource) -> str:
    return str((resource.spec.get("jobRef") or {}).get("name", ""))


def _unchanged(resource: Resource, view: TaskView) -> Plan:
    """A task that has ended: only that its spec was seen is new, or output that was read later."""
    late = {name: text for name, text in view.late.items() if text and resource.status.get(name) != text}
    # Somebody has taken it off by hand, but the task is there until it is deleted.
    finalizer: Any = "add" if resource.status.get("state") and not resource.has_finalizer else None
    # Nobody asks any more for what the policy has held back.
    held = resource.condition(policy.SKIPPED) is not None
    if resource.status.get("observedGeneration") == resource.generation and not held:
        return Plan(finalizer, status={**resource.status, **late} if late else None)
    conditions = [
        dict(each) | {"observedGeneration": resource.generation}
        for each in resource.status.get("conditions") or ()
        if each.get("type") != policy.SKIPPED
    ]
    seen = {"observedGeneration": resource.generation, "conditions": conditions}
    return Plan(finalizer, status={**resource.status, **late, **seen})


def _too_late(resource: Resource) -> Plan | None:
    """A verb for a task that has ended and that it does not concern; None if a failed one is to run again."""
    retry = pending_request(resource, RETRY_FAILED)
    if retry and resource.status.get("phase") == "Failed":
        return None
    shown = dict(resource.status) | {"handled": handled(resource, RETRY_FAILED, TERMINATE)}
    text = "the task has succeeded, so it is not run again: create a new BatchTask to run its command again"
    return Plan(status=shown, events=(Event("RetryRefused", text, "Warning"),) if retry else ())


def _on_its_way(resource: Resource, job: JobView, now: float) -> Plan:
    """What waits to be added may still be kept from a job that is somebody else's by now."""
    if job.refusal is not None:
        return replace(_not_allowed(resource, *job.refusal, now), halts=True)
    if job.remote is not Absent.NOT_FOUND and not job.ours:
        return replace(_without_job(resource, job, now), halts=True)
    return Plan()


def _without_job(resource: Resource, job: JobView, now: float) -> Plan:
    """There is no job in Azure Batch that the task could be in: none, or one of somebody else under its ID."""
    gone = (Absence(Table.JOBS, job.id),) if job.remote is Absent.NOT_FOUND else ()
    if job.finished:
        why = f"BatchJob {_job_name(resource)!r} has ended and its job was deleted"
        return replace(_never_ran(resource, why, now), confirm=gone)
    if resource.status.get("state"):
        message = (
            f"job {job.id!r} was deleted in Azure Batch, and the task with it; it is added again if the job comes back"
        )
        verdict = Verdict("Stalled", "JobGone", message, ready=False, trend="Stalled")
        plan = once_absent(resource, Plan(status=carry_over(resource, verdict, now)), verdict, *gone)
        return with_event(resource, plan, verdict)
    if "jobId" in resource.spec:
        message = (
            f"spec.jobId names job {job.id!r}, which does not exist in Azure Batch: create it"
            f"{other_name(resource, 'spec.jobId')}"
        )
        return waiting(resource, "JobNotFound", message, now)
    message = f"waiting until BatchJob {_job_name(resource)!r} exists in Azure Batch"
    return waiting(resource, "WaitingForJob", message, now)


def _not_allowed(resource: Resource, reason: str, message: str, now: float) -> Plan:
    verdict = Verdict("Stalled", reason, message, ready=False, trend="Stalled")
    return with_event(
        resource, Plan(status=carry_over(resource, verdict, now), requeue_after=_OWNER_LOOKED_AT_EVERY), verdict
    )


def _never_ran(resource: Resource, why: str, now: float) -> Plan:
    message = f"{why}, so the task cannot run: delete this BatchTask, or create it again in another job"
    return _ended(resource, Verdict("Failed", "JobFinished", message, ready=False, trend="Stalled"), now)


def _ended(resource: Resource, verdict: Verdict, now: float) -> Plan:
    """The object is done although the task did not come to an end of its own."""
    verdict = replace(verdict, more={"Failed": (True, verdict.reason, verdict.message)})
    shown = carry_over(resource, verdict, now)
    if marks := handled(resource, RETRY_FAILED, TERMINATE):
        shown["handled"] = marks
    return with_event(resource, Plan(status=shown), verdict)


def _add(resource: Resource, job: JobView, view: TaskView, owner: str, now: float) -> Plan:
    if pending_request(resource, TERMINATE):
        message = f"the annotation {TERMINATE} ended the task before it was added"
        return _ended(resource, Verdict("Failed", "TaskEnded", message, ready=False, trend="Stalled"), now)
    if isinstance(job.remote, Mapping) and job.remote.get("state") in TAKES_NO_MORE:
        plan = _never_ran(resource, f"job {job.id!r} is {job.remote['state']} and takes no more tasks", now)
        plan = replace(plan, ended=Ended(job.id, job.remote.get("creationTime")))
        # One that was seen there has ended with its job, if a list lacks it by mistake.
        queued = (resource.condition("Ready") or {}).get("reason") == "Queued"
        was_there = queued or resource.status.get("state")
        seen = (Absence(Table.TASKS, resource.remote_id, job.id),) if was_there else ()
        return replace(plan, confirm=seen)
    if view.problem is not None:
        return waiting(resource, *view.problem, now)
    acts = expand.acts_on_job(resource.spec.get("exitConditions"))
    if acts and isinstance(job.remote, Mapping) and not expand.lets_tasks_act(job.remote):
        return _may_not_act(resource, job, now)
    if view.refused is not None:
        return _refused(resource, view.refused, view.retry_in, now)
    body = {"id": resource.remote_id} | TaskSpec.rest_body(resource.spec)
    if view.depends_on:
        depends = dict(body.get("dependsOn") or {})
        body["dependsOn"] = depends | {"taskIds": list(dict.fromkeys([*depends.get("taskIds", ()), *view.depends_on]))}
    if job.goes_on:
        body = expand.regardless(body)
    upload = None if job.upload is None else {**job.upload, "path": job.upload.get("path") or job.id}
    return Plan("add", submit=ownership.task_with_marker(body, owner), submit_to=job.id, logs_to=upload)


def _may_not_act(resource: Resource, job: JobView, now: float) -> Plan:
    """The service would refuse the task, with no word about which member is wrong."""
    message = (
        f"spec.exitConditions has a jobAction, which job {job.id!r} does not allow because its onTaskFailure is not "
        "performexitoptionsjobaction: create this BatchTask again without jobAction, or in a job with that onTaskFailure"
    )
    verdict = Verdict("Stalled", "JobActionNotAllowed", message, ready=False, trend="Stalled")
    return with_event(resource, Plan(status=carry_over(resource, verdict, now)), verdict)


def _refused(resource: Resource, error: BatchError, retry_in: float | None, now: float) -> Plan:
    problem = classify_error(error)
    if isinstance(error, CompletedError):
        # The next list of jobs says the same, and then it is final.
        message = f"the job takes no more tasks ({error}): create the BatchJob again, or delete this BatchTask"
        verdict = Verdict("Stalled", problem.reason, message, ready=False, trend="Stalled")
        return Plan(status=carry_over(resource, verdict, now), requeue_after=RetryClass.WRONG.seconds(1))
    return Plan(status=troubled(resource, problem, now), requeue_after=retry_in)


def _follow(
    resource: Resource,
    account: AccountView,
    job: JobView,
    remote: Mapping[str, Any],
    blocked_by: str | None,
    now: float,
) -> Plan:
    """The task is in Azure Batch: show it, change what can be changed, and do what annotations ask."""
    finalizer = finalizer_on(resource)
    ended = remote.get("state") == "completed"
    job_state = job.remote.get("state") if isinstance(job.remote, Mapping) else None
    if not ended and job_state == "completed" and remote.get("state") != "active":
        # The service has ended it with its job: the next list shows how.
        return Plan()
    if not ended and job_state == "completed":
        plan = _never_ran(resource, f"job {job.id!r} has ended ({_reason(job)})", now)
        left = Absence(Table.TASKS, resource.remote_id, job.id)
        gone = Ended(job.id, job.remote.get("creationTime") if isinstance(job.remote, Mapping) else None)
        return replace(plan, finalizer=finalizer, ended=gone, left_active=left)
    if pending_request(resource, RETRY_FAILED):
        failed = _is_to_run_again(resource, remote)
        if failed and job_state not in TAKES_NO_MORE:
            verdict = Verdict("Pending", "Retrying", "the task is to run again", ready=True)
            call = _call("reactivate_task", resource, job, remote)
            shown = _shown(resource, account, job, {}, verdict, now) | {"handled": handled(resource, RETRY_FAILED)}
            event = Event("Retrying", f"the task runs again, as the annotation {RETRY_FAILED} asks")
            first = dict(resource.status)
            if retried_until(resource) is None:
                marks = retrying(resource, _end(remote))
                first = {**(_status(resource, account, job, remote, now) or first), "handled": marks}
            return Plan(finalizer, (call,), first=first, status=shown, events=(event,))
        if failed:
            text = f"job {job.id!r} is {job_state}, so none of its tasks can be run again: create a new job"
            shown = dict(resource.status) | {"handled": handled(resource, RETRY_FAILED)}
            return Plan(finalizer, status=shown, events=(Event("RetryRefused", text, "Warning"),))
    calls: list[Call] = []
    if not ended and pending_request(resource, TERMINATE):
        calls.append(_call("terminate_task", resource, job, remote))
    elif not ended and (constraints := _other_constraints(resource, job, remote)) is not None:
        calls.append(_call("update_task", resource, job, remote, {"constraints": constraints}))
    if blocked_by is not None and remote.get("state") == "active" and not calls:
        text = (
            f"BatchTask {blocked_by!r} has failed or never starts, so this one never starts: run the failed one again with "
            f"the annotation {RETRY_FAILED} while the job is open, or delete this one"
        )
        verdict = Verdict("Pending", _BLOCKED, text, ready=False, trend="Stalled")
        # No Event: there may be thousands of them for one that has failed.
        return Plan(finalizer, status=_shown(resource, account, job, remote, verdict, now))
    return Plan(finalizer, tuple(calls), status=_status(resource, account, job, remote, now))


def _is_to_run_again(resource: Resource, remote: Mapping[str, Any]) -> bool:
    """Whether a task has failed and has not run since the annotation was first acted upon: a call may have had no answer."""
    if remote.get("state") != "completed" or (remote.get("executionInfo") or {}).get("result") != "failure":
        return False
    until = retried_until(resource)
    return until is None or not is_later(_end(remote), until)


def _end(remote: Mapping[str, Any]) -> str:
    return str((remote.get("executionInfo") or {}).get("endTime") or "")


def _call(
    verb: str, resource: Resource, job: JobView, remote: Mapping[str, Any], body: Mapping[str, Any] | None = None
) -> Call:
    """A call to the task, provided that it still is the one that was listed with the owner."""
    return Call(
        verb,
        Table.TASKS,
        resource.remote_id,
        parent=job.id,
        body=body,
        if_match=remote.get("eTag"),
        evidence=without_etag(remote),
    )


def _reason(job: JobView) -> str:
    info = (job.remote.get("executionInfo") or {}) if isinstance(job.remote, Mapping) else {}
    return str(info.get("terminateReason") or "for a reason that it does not state")


def _other_constraints(resource: Resource, job: JobView, remote: Mapping[str, Any]) -> dict[str, Any] | None:
    """The constraints that the task shall have, if it has others."""
    there = remote.get("constraints")
    of_job = (job.remote.get("constraints") or {}) if isinstance(job.remote, Mapping) else {}
    wanted = normal.task_constraints(resource.spec.get("constraints"), of_job)
    return None if there is None or normal.same_task_constraints(wanted, there) else wanted


def _delete(scope: TaskScope) -> Plan:
    resource, account, job, view, now = scope.resource, scope.account, scope.job, scope.view, scope.now
    if (released := release_at_once(resource)) is not None:
        return released
    if not job.id:
        text = (
            f"BatchJob {_job_name(resource)!r} was deleted, and the ID of its job in Azure Batch is unknown: "
            f"if that job still exists, delete task {resource.remote_id!r} there"
        )
        events = (Event("TaskMayRemain", text, "Warning"),)
        return Plan(finalizer="remove", unconfirmed=Unconfirmed.NOWHERE, events=events)
    if not account.usable:
        return without_account(resource, account, now)
    # While the submitter has it in hand the job may be made again, and the task with it.
    if job.remote is Absent.UNKNOWN or view.pending:
        return Plan()
    if job.remote is Absent.NOT_FOUND:
        return Plan(finalizer="remove", confirm=(Absence(Table.JOBS, job.id),))
    # Without its BatchJob a job may be anybody's, such as after it was detached: then the task's own marker decides.
    if job.exists and not job.ours:
        return Plan(finalizer="remove", confirm=(Absence(Table.JOBS, job.id, stranger=Evidence.of(job.remote)),))
    if job.remote.get("state") == "deleting":
        return Plan()
    if view.remote is Absent.UNKNOWN:
        return Plan()
    if view.remote is Absent.NOT_FOUND:
        return Plan(finalizer="remove", confirm=(Absence(Table.TASKS, resource.remote_id, job.id),))
    if not adoption.ours(view.remote, resource, scope.cluster, scope.others):
        stranger = Evidence.of(view.remote)
        return Plan(finalizer="remove", confirm=(Absence(Table.TASKS, resource.remote_id, job.id, stranger),))
    call = _call("delete_task", resource, job, view.remote)
    plan = deleting(resource, f"task {resource.remote_id!r}", call, now)
    # A task is deleted at once, so a status that says so would be a write for nothing.
    return Plan(calls=plan.calls)


def _status(
    resource: Resource, account: AccountView, job: JobView, remote: Mapping[str, Any], now: float
) -> dict[str, Any] | None:
    info = remote.get("executionInfo") or {}
    state = remote.get("state")
    acted = pending_request(resource, TERMINATE) or pending_request(resource, RETRY_FAILED)
    if state == "completed":
        verdict = _verdict_of_end(info)
    elif state == "running":
        verdict = Verdict("Running", "Running", "the task runs", ready=True)
    elif resource.status.get("observedGeneration", -1) == -1 and not acted and not job.former:
        return None
    else:
        verdict = Verdict("Pending", "Queued", "the task is queued in Azure Batch", ready=True)
    shown = _shown(resource, account, job, remote, verdict, now)
    return shown | {"handled": handled(resource, RETRY_FAILED, TERMINATE)} if acted else shown


def _shown(
    resource: Resource, account: AccountView, job: JobView, remote: Mapping[str, Any], verdict: Verdict, now: float
) -> dict[str, Any]:
    info, node = remote.get("executionInfo") or {}, remote.get("nodeInfo") or {}
    return status(
        resource,
        verdict,
        now,
        id=resource.remote_id,
        account=account.name or None,
        jobId=job.id,
        url=f"{account.url}/jobs/{job.id}/tasks/{resource.remote_id}",
        state=remote.get("state"),
        **pick(info, ("result", "exitCode", "retryCount", "requeueCount", "startTime", "endTime")),
        failureInfo=_failure(info["failureInfo"]) if info.get("failureInfo") else None,
        **pick(node, ("poolId", "nodeId")),
        **{name: remote.get(name) or None for name in ("stdoutTail", "stderrTail", "outputProblem")},
    )


def _failure(failure: Mapping[str, Any]) -> dict[str, Any]:
    """Why a task failed, with the service's details in the message."""
    shown = pick(failure, ("category", "code", "message"))
    text = shortened(explained(failure), _FAILURE_BYTES)
    return shown | ({"message": text} if text else {})


def _verdict_of_end(info: Mapping[str, Any]) -> Verdict:
    if info.get("result") == "success":
        message = f"exit code {info.get('exitCode', 0)}"
        return Verdict("Succeeded", "Succeeded", message, ready=True, more={"Complete": (True, "Succeeded", message)})
    failure = info.get("failureInfo") or {}
    reason = failure.get("code") or "Failed"
    message = explained(failure) or "the task failed"
    if "exitCode" in info:
        message = f"exit code {info['exitCode']}: {message}"
    return Verdict("Failed", reason, message, ready=False, trend="Stalled", more={"Failed": (True, reason, message)})
