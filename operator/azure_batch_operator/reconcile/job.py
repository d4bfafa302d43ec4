"""BatchJob: the job, its tasks, then `onAllTasksComplete`; success and failure from the tasks (batch-semantics §4.3, §5, §6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from azure_batch_operator.api.job import JobSpec
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch import BatchError
from azure_batch_operator.reconcile import expand, normal, ownership, policy
from azure_batch_operator.reconcile.common import (
    PATIENCE,
    deleting,
    still_there,
    troubled,
    waiting,
    with_notice,
    without_account,
)
from azure_batch_operator.reconcile.failures import blocked, groups
from azure_batch_operator.reconcile.plan import Absent, AccountView, Call, Plan, Remote, Table
from azure_batch_operator.reconcile.status import Verdict, kept, status
from azure_batch_operator.reconcile.trouble import trouble

FINAL = frozenset({"Succeeded", "Failed"})
DEPENDENCY_FAILED = "azurebatch.io: what is left depends on failed tasks"
"""terminateReason by which the operator ends a job whose remaining tasks can never run."""


@dataclass(frozen=True)
class PoolView:
    """The pool of a job.

    Attributes:
        id: in Azure Batch; None while it is not known, and for a pool that the service makes for the job.
        problem: reason and message why there is none.
    """

    id: str | None
    problem: tuple[str, str] | None = None


@dataclass(frozen=True)
class TasksView:
    """What is known of the tasks of a job.

    Attributes:
        counts: `taskCounts` of the service; they lag (batch-semantics §4.3).
        failed: failed tasks, a bounded number of them, some with `stderrTail`.
        failed_count: how many failed tasks the service has, counted by listing.
        unfinished: how many tasks have not ended, counted by listing after the job was completed; None before.
        submitted: how many of the job's own tasks are known to be in Azure Batch.
        complete: whether all of them are, by this process's own doing.
        refused: why bringing them in does not go on.
        others_pending: whether BatchTasks of this job wait to be added, or more of them may come from the same `apply`.
    """

    counts: Mapping[str, int] | None = None
    failed: Sequence[Mapping[str, Any]] = ()
    failed_count: int = 0
    unfinished: int | None = None
    submitted: int | None = None
    complete: bool = False
    refused: BatchError | None = None
    others_pending: bool = False


def is_open(resource: Resource) -> bool:
    """Whether the job still has to be watched in Azure Batch."""
    return resource.deleting or resource.status.get("phase") not in FINAL


def plan(
    resource: Resource,
    account: AccountView,
    pool: PoolView,
    remote: Remote,
    tasks: TasksView | None,
    cluster: str,
    now: float,
) -> Plan:
    """Decide about one BatchJob.

    Args:
        remote: the job as the last poll saw it.
        tasks: its tasks, None before the first look at them.
        cluster: id of this cluster, part of the ownership marker.
    """
    if resource.deleting and (not resource.has_finalizer or resource.released):
        return Plan(finalizer="remove")
    if not account.usable:
        if pool.problem and account.gone and not resource.deleting:
            return waiting(resource, *pool.problem, now)
        return without_account(resource, account, now)
    if remote is Absent.UNKNOWN:
        return Plan()
    if resource.deleting:
        return _delete(resource, remote, cluster, now)
    if not is_open(resource):
        return Plan()
    if remote is Absent.GONE:
        return _create(resource, account, pool, cluster, now)
    claimed = policy.claim(resource, "job", remote, cluster, "update_job", Table.JOBS, now)
    if claimed is not None:
        return claimed
    if remote.get("state") == "deleting":
        verdict = Verdict(
            "Deleting", "DeletedByOthers", "the job is being deleted by somebody else; it is created anew afterwards",
            ready=False, trend="Reconciling",
        )  # fmt: skip
        return with_notice(resource, Plan(status=kept(resource, verdict, now)), verdict)
    if tasks is None:
        return Plan()
    if remote.get("state") == "completed":
        return _finish(resource, account, remote, tasks, now)
    return _converge(resource, account, remote, tasks, now)


def _delete(resource: Resource, remote: Remote, cluster: str, now: float) -> Plan:
    what = f"job {resource.remote_id!r}"
    if isinstance(remote, Absent):
        return Plan(finalizer="remove")
    if (left := policy.left_alone(resource, remote, cluster)) is not None:
        return left
    if remote.get("state") == "deleting":
        return still_there(resource, what, now)
    return deleting(resource, what, Call("delete_job", Table.JOBS, resource.remote_id), now)


def _create(resource: Resource, account: AccountView, pool: PoolView, cluster: str, now: float) -> Plan:
    if pool.problem:
        return waiting(resource, *pool.problem, now)
    if problems := expand.problems(resource.spec):
        verdict = Verdict("Stalled", "InvalidTasks", "; ".join(problems[:5]), ready=False, trend="Stalled")
        return with_notice(resource, Plan(status=status(resource, verdict, now)), verdict)
    verdict = Verdict("Creating", "Creating", "the job is being created", ready=False, trend="Reconciling")
    call = Call("create_job", Table.JOBS, resource.remote_id, body=_body(resource, pool.id, cluster))
    shown = status(resource, verdict, now, id=resource.remote_id, account=account.name, poolId=pool.id)
    return with_notice(resource, Plan("add", (call,), status=shown), verdict)


def _body(resource: Resource, pool_id: str | None, cluster: str) -> dict[str, Any]:
    """The job as it is created: never with terminatejob, since a job without tasks would end at once (batch-semantics §4.3)."""
    body = {"id": resource.remote_id} | JobSpec.rest_body(resource.spec)
    if pool_id is not None:
        body["poolInfo"] = {"poolId": pool_id}
    body["onAllTasksComplete"] = "noaction"
    if expand.needs_dependencies(resource.spec):
        body["usesTaskDependencies"] = True
    return ownership.with_marker(body, ownership.marker(cluster, resource))


def _terminates(spec: Mapping[str, Any]) -> bool:
    """Whether the job shall end when its tasks have (default: yes, if it has tasks of its own)."""
    wanted = spec.get("onAllTasksComplete")
    return expand.total(spec) > 0 if wanted is None else str(wanted).lower() == "terminatejob"


def _converge(
    resource: Resource, account: AccountView, remote: Mapping[str, Any], tasks: TasksView, now: float
) -> Plan:
    spec = resource.spec
    own = expand.total(spec)
    held_back = str(remote.get("onAllTasksComplete", "noaction")).lower() == "noaction"
    present = sum((tasks.counts or {}).get(state, 0) for state in ("active", "running", "completed"))
    # Tasks that a job manager task adds count as present, too, so that the number says nothing there.
    enough = present >= own and not spec.get("jobManagerTask")
    complete = own == 0 or tasks.complete or not held_back or enough
    change = _changes(spec, remote)
    if held_back and _terminates(spec) and complete and (own or (present and not tasks.others_pending)):
        change["onAllTasksComplete"] = "terminatejob"
    calls = [Call("update_job", Table.JOBS, resource.remote_id, body=change)] if change else []
    finalizer: Literal["add"] | None = None if resource.has_finalizer else "add"
    stuck = (
        complete
        and str(spec.get("onDependencyFailure", "Fail")) == "Fail"
        and remote.get("state") == "active"
        and blocked(spec, tasks.counts, tasks.failed, tasks.failed_count)
    )
    if stuck:
        body = {"terminateReason": DEPENDENCY_FAILED}
        calls.append(Call("terminate_job", Table.JOBS, resource.remote_id, body=body))
    if tasks.refused is not None and not complete:
        problem = trouble(tasks.refused)
        return Plan(finalizer, tuple(calls), status=troubled(resource, problem, now), again=problem.wait, feed=True)
    verdict = _verdict(resource, remote, tasks, complete, own)
    plan = Plan(
        finalizer,
        tuple(calls),
        feed=not complete,
        status=_status(resource, account, remote, tasks, verdict, now),
        again=PATIENCE if held_back and tasks.others_pending else None,
    )
    return with_notice(resource, plan, verdict)


def _changes(spec: Mapping[str, Any], remote: Mapping[str, Any]) -> dict[str, Any]:
    """Members for a PATCH: what the spec says and the service has otherwise (batch-semantics §6.2)."""
    change: dict[str, Any] = {}
    for name, default in (("priority", 0), ("maxParallelTasks", -1), ("allowTaskPreemption", False)):
        if name in spec and spec[name] != remote.get(name, default):
            change[name] = spec[name]
    wanted = spec.get("constraints")
    if wanted is not None and normal.job_constraints(wanted) != normal.job_constraints(remote.get("constraints")):
        change["constraints"] = wanted
    if normal.metadata(spec.get("metadata")) != normal.metadata(remote.get("metadata")):
        owner, adopted = ownership.owner_of(remote) or "", ownership.adopted(remote)
        body = ownership.with_marker({"metadata": spec.get("metadata")}, owner, adopted=adopted)
        change["metadata"] = body["metadata"]
    return change


def _verdict(resource: Resource, remote: Mapping[str, Any], tasks: TasksView, complete: bool, own: int) -> Verdict:
    state = str(remote.get("state"))
    if state in {"terminating", "disabling", "enabling"}:
        return Verdict(state.capitalize(), state.capitalize(), f"the job is {state}", ready=False, trend="Reconciling")
    if state == "disabled":
        return Verdict("Disabled", "Disabled", "the job was disabled in Azure Batch: no task starts", ready=True)
    if not complete:
        message = f"{tasks.submitted or 0} of {own} tasks added"
        return Verdict("Submitting", "Submitting", message, ready=False, trend="Reconciling")
    counts = tasks.counts or {}
    if not own and not any(counts.values()):
        return Verdict("Running", "Active", "the job waits for tasks", ready=True)
    return Verdict("Running", "Running", "the tasks are in Azure Batch", ready=True)


def _finish(resource: Resource, account: AccountView, remote: Mapping[str, Any], tasks: TasksView, now: float) -> Plan:
    """The job has ended: what counts is how its tasks have (batch-semantics §4.3: a completed job may have unfinished tasks)."""
    if tasks.unfinished is None:
        verdict = Verdict("Completing", "Completing", "the results are being read", ready=False, trend="Reconciling")
        return Plan(status=_status(resource, account, remote, tasks, verdict, now))
    info = remote.get("executionInfo") or {}
    total = _total(resource, tasks)
    failed, unfinished = tasks.failed_count, tasks.unfinished
    reason = str(info.get("terminateReason") or "")
    if error := info.get("schedulingError"):
        code = str(error.get("code") or "SchedulingError")
        verdict = _failure(code, f"the job could not be scheduled: {error.get('message')}")
    elif failed and reason == DEPENDENCY_FAILED:
        first = tasks.failed[0]["id"] if tasks.failed else "?"
        verdict = _failure(
            "DependencyFailed", f"{failed} of {total} tasks failed, and {unfinished} could not run because they depend "
            f"on a failed one (first: {first})",
        )  # fmt: skip
    elif failed:
        first = tasks.failed[0]["id"] if tasks.failed else "?"
        verdict = _failure("TasksFailed", f"{failed} of {total} tasks failed (first: {first})")
    elif unfinished or (
        total and reason != "AllTasksCompleted" and tasks.submitted is not None and tasks.submitted < total
    ):
        verdict = _failure("JobTerminated", f"the job ended ({reason}) before {unfinished} of its tasks did")
    else:
        message = f"all {total} tasks succeeded" if total else f"the job ended ({reason}) without tasks"
        verdict = Verdict(
            "Succeeded", "Succeeded", message, ready=True, more={"Complete": (True, "Succeeded", message)}
        )
    plan = Plan(
        finalizer=None if resource.has_finalizer else "add",
        status=_status(resource, account, remote, tasks, verdict, now),
    )
    return with_notice(resource, plan, verdict)


def _failure(reason: str, message: str) -> Verdict:
    return Verdict("Failed", reason, message, ready=False, trend="Stalled", more={"Failed": (True, reason, message)})


def _total(resource: Resource, tasks: TasksView) -> int:
    counts = tasks.counts or {}
    present = sum(counts.get(state, 0) for state in ("active", "running", "completed"))
    return max(present, expand.total(resource.spec), tasks.failed_count + (tasks.unfinished or 0))


def _status(
    resource: Resource, account: AccountView, remote: Mapping[str, Any], tasks: TasksView, verdict: Verdict, now: float
) -> dict[str, Any]:
    info = remote.get("executionInfo") or {}
    total = _total(resource, tasks)
    counts = _counts(resource, tasks, total)
    return status(
        resource,
        verdict,
        now,
        id=resource.remote_id,
        url=f"{account.url}/jobs/{resource.remote_id}",
        account=account.name,
        state=remote.get("state"),
        poolId=info.get("poolId") or (remote.get("poolInfo") or {}).get("poolId"),
        startTime=info.get("startTime"),
        endTime=info.get("endTime"),
        terminateReason=info.get("terminateReason"),
        taskCounts=counts,
        progress=f"{counts['completed']}/{total}" if counts else None,
        failures=groups(tasks.failed, tasks.failed_count) or None,
    )


def _counts(resource: Resource, tasks: TasksView, total: int) -> dict[str, int] | None:
    if tasks.unfinished is not None:
        # Lists are exact where the service's counts lag.
        ended = total - tasks.unfinished
        return {
            "total": total, "submitted": total, "active": tasks.unfinished, "running": 0,
            "completed": ended, "succeeded": ended - tasks.failed_count, "failed": tasks.failed_count,
        }  # fmt: skip
    if tasks.counts is None:
        return None
    names = ("active", "running", "completed", "succeeded", "failed")
    numbers = {name: int(tasks.counts.get(name, 0)) for name in names}
    present = numbers["active"] + numbers["running"] + numbers["completed"]
    return {"total": total, "submitted": present} | numbers
