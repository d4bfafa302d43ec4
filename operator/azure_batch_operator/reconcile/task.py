"""BatchTask: submitted in bulk, observed by lists, two statuses in an ordinary life (batch-semantics §4.4; design §5).

An object whose task waits in Azure Batch keeps the `Pending` that the API server gave it: the first write comes when the task runs,
the last one when it has ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from azure_batch_operator.api.resource import Resource
from azure_batch_operator.api.task import TaskSpec
from azure_batch_operator.batch import BatchError, CompletedError
from azure_batch_operator.reconcile import ownership
from azure_batch_operator.reconcile.common import deleting, foreign, troubled, waiting, without_account
from azure_batch_operator.reconcile.plan import Absent, AccountView, Call, Plan, Remote, Table
from azure_batch_operator.reconcile.status import Verdict, kept, picked, status
from azure_batch_operator.reconcile.trouble import HOURLY, trouble

FINAL = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True)
class JobView:
    """The job of a task.

    Attributes:
        exists: whether the BatchJob does.
        id: of the job in Azure Batch.
        remote: the job as the last poll saw it.
        ours: whether it carries the marker of that BatchJob.
    """

    exists: bool
    id: str = ""
    remote: Remote = Absent.UNKNOWN
    ours: bool = False


@dataclass(frozen=True)
class TaskView:
    """What is known of the task itself.

    Attributes:
        remote: the task as the last list saw it, with `owner` (its marker) and for failed ones `stderrTail`.
        pending: whether the submitter has it in hand.
        refused: why the submitter could not add it.
    """

    remote: Remote = Absent.UNKNOWN
    pending: bool = False
    refused: BatchError | None = None


def is_open(resource: Resource) -> bool:
    """Whether the task still has to be watched in Azure Batch."""
    return resource.deleting or resource.status.get("phase") not in FINAL


def plan(resource: Resource, account: AccountView, job: JobView, view: TaskView, cluster: str, now: float) -> Plan:
    """Decide about one BatchTask."""
    if resource.deleting:
        return _delete(resource, account, job, view, cluster, now)
    if not is_open(resource):
        return Plan()
    job_name = resource.spec["jobRef"]["name"]
    if not job.exists:
        message = f"spec.jobRef names BatchJob {job_name!r}, which does not exist in this namespace: create it"
        return waiting(resource, "JobNotFound", message, now)
    if not account.usable:
        return without_account(resource, account, now)
    if job.remote is Absent.UNKNOWN or view.remote is Absent.UNKNOWN or view.pending:
        return Plan()
    if job.remote is Absent.GONE or not job.ours:
        return waiting(resource, "WaitingForJob", f"waits until BatchJob {job_name!r} exists in Azure Batch", now)
    owner = ownership.marker(cluster, resource)
    if view.remote is Absent.GONE:
        if view.refused is not None:
            return _refused(resource, view.refused, now)
        body = {"id": resource.remote_id} | TaskSpec.rest_body(resource.spec)
        return Plan("add", submit=ownership.task_with_marker(body, owner))
    if view.remote.get("owner") != owner:
        return foreign(resource, "task", view.remote.get("owner"), now)
    return Plan(
        finalizer=None if resource.has_finalizer else "add",
        status=_status(resource, account, job, view.remote, now),
    )


def _refused(resource: Resource, error: BatchError, now: float) -> Plan:
    problem = trouble(error)
    if isinstance(error, CompletedError):
        message = f"the job takes no more tasks ({error}): create the BatchJob anew, or delete this BatchTask"
        verdict = Verdict("Stalled", problem.reason, message, ready=False, trend="Stalled")
        return Plan(status=kept(resource, verdict, now), again=HOURLY)
    return Plan(status=troubled(resource, problem, now), again=problem.wait)


def _delete(resource: Resource, account: AccountView, job: JobView, view: TaskView, cluster: str, now: float) -> Plan:
    # The job's own finalizer has seen to it that a job without BatchJob is gone, and its tasks with it.
    if not resource.has_finalizer or resource.released or not job.exists:
        return Plan(finalizer="remove")
    if not account.usable:
        return without_account(resource, account, now)
    if job.remote is Absent.UNKNOWN:
        return Plan()
    if job.remote is Absent.GONE or not job.ours:
        return Plan(finalizer="remove")
    if job.remote.get("state") == "deleting":
        return Plan()
    if view.remote is Absent.UNKNOWN or view.pending:
        return Plan()
    if view.remote is Absent.GONE or view.remote.get("owner") != ownership.marker(cluster, resource):
        return Plan(finalizer="remove")
    call = Call("delete_task", Table.TASKS, resource.remote_id, parent=job.id)
    plan = deleting(resource, f"task {resource.remote_id!r}", call, now)
    # A task is deleted at once, so a status that says so would be a write for nothing.
    return Plan(calls=plan.calls)


def _status(
    resource: Resource, account: AccountView, job: JobView, remote: Mapping[str, Any], now: float
) -> dict[str, Any] | None:
    info = remote.get("executionInfo") or {}
    state = remote.get("state")
    if state == "completed":
        verdict = _verdict_of_end(info)
    elif state == "running":
        verdict = Verdict("Running", "Running", "the task runs", ready=True)
    elif resource.status.get("observedGeneration", -1) == -1:
        return None
    else:
        verdict = Verdict("Pending", "Queued", "the task waits in Azure Batch", ready=True)
    return status(
        resource,
        verdict,
        now,
        id=resource.remote_id,
        jobId=job.id,
        url=f"{account.url}/jobs/{job.id}/tasks/{resource.remote_id}",
        state=state,
        **picked(info, ("result", "exitCode", "retryCount", "requeueCount", "startTime", "endTime")),
        failureInfo=picked(info["failureInfo"], ("category", "code", "message")) if info.get("failureInfo") else None,
        nodeId=(remote.get("nodeInfo") or {}).get("nodeId"),
        stderrTail=remote.get("stderrTail") or None,
    )


def _verdict_of_end(info: Mapping[str, Any]) -> Verdict:
    if info.get("result") == "success":
        message = f"exit code {info.get('exitCode', 0)}"
        return Verdict("Succeeded", "Succeeded", message, ready=True, more={"Complete": (True, "Succeeded", message)})
    failure = info.get("failureInfo") or {}
    reason = failure.get("code") or "Failed"
    message = failure.get("message") or "the task failed"
    if "exitCode" in info:
        message = f"exit code {info['exitCode']}: {message}"
    return Verdict("Failed", reason, message, ready=False, trend="Stalled", more={"Failed": (True, reason, message)})
