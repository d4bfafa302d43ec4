"""The status of a BatchJob: counts from Azure Batch and messages, limited in size whatever the number of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import asdict

from azure_batch_operator.api.base import HELD_METADATA, RETRY_FAILED, TERMINATE
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.job_wire import Job, JobExecution
from azure_batch_operator.batch.wire import NO_COUNTS, Body
from azure_batch_operator.causes.disabling import UNKNOWN, disabler
from azure_batch_operator.reconcile.before import has_condition, status_before
from azure_batch_operator.reconcile.error_classes import classify_error
from azure_batch_operator.reconcile.job import expand
from azure_batch_operator.reconcile.job.failures import groups, with_conditions
from azure_batch_operator.reconcile.job.scope import LiveJob, TasksView
from azure_batch_operator.reconcile.job.spec import JobBefore, JobTerms
from azure_batch_operator.reconcile.observed import FailedNode
from azure_batch_operator.reconcile.status import (
    IN_SYNC,
    SUSPENDED,
    Verdict,
    seconds_since,
    shortened,
    status,
    timestamp,
)
from azure_batch_operator.words import counted

RETRY_REFUSED = "RetryRefused"
_NODES_SHOWN = 5
_SENTENCE_BYTES, _MESSAGE_BYTES = 600, 200
_TRANSITIONS = frozenset({"terminating", "disabling", "enabling"})


def total_of(live: LiveJob) -> int:
    """How many tasks the job has or will have, as far as is known."""
    spec, tasks = live.spec, live.tasks
    present = tasks.present
    known = expand.total(spec)
    if expand.unread(spec):
        known = max(known, live.scope.before.task_counts.total or 0)
    # The service's counts lag, so what is known to be in counts as well.
    return max(present, known + tasks.others_in, tasks.failed_count + (tasks.unfinished or 0))


def terminates(spec: JobTerms, job: Job | None = None) -> bool:
    """Whether the job ends when its tasks have: as the spec says (by default if it has tasks of its own), or for good already."""
    if job is not None and job.ends_with_its_tasks:
        return True
    wanted = spec.on_all_tasks_complete
    own = expand.total(spec) > 0 or expand.nothing_to_do(spec)
    return own if wanted is None else wanted.lower() == "terminatejob"


_NO_TASKS = (
    "the job has no tasks: add tasks, tasksFrom or taskFactory to its spec, or create BatchTasks that reference it "
    f"in jobRef. To end it without tasks, set the annotation {TERMINATE}, or delete it"
)

_TASKS_COMING = (
    "no task is in Azure Batch yet: the BatchTasks of the job are being added, or their status says what they wait for"
)


def verdict(live: LiveJob, *, complete: bool, waits: str | None) -> Verdict:
    """The verdict on a job that has not ended."""
    spec, job, tasks, state = live.spec, live.job, live.tasks, live.state
    own = expand.total(spec)
    if spec.suspend:
        return _suspended(state)
    if state in _TRANSITIONS:
        return Verdict(state.capitalize(), state.capitalize(), f"the job is {state}", ready=False, trend="Reconciling")
    if state == "disabled" and job.note(HELD_METADATA) is not None:
        message = "the operator disabled the job to suspend it or to move it to another pool, and is enabling it again"
        return Verdict("Enabling", "Enabling", message, ready=False, trend="Reconciling")
    if state == "disabled":
        return Verdict("Disabled", "Disabled", _disabled(live), ready=True)
    if not complete:
        message = f"{tasks.submitted or 0} of {counted(own, 'task')} added"
        return Verdict("Submitting", "Submitting", message, ready=False, trend="Reconciling")
    if not own and (tasks.counts or NO_COUNTS) == NO_COUNTS:
        message = _TASKS_COMING if tasks.others_pending else _NO_TASKS
        return Verdict("Running", "Active", message, ready=True)
    if tasks.completed and not (tasks.active or tasks.running) and not terminates(spec, job):
        message = (
            "all tasks of the job have ended, and it stays open for more: to end it, set spec.onAllTasksComplete to "
            f"terminatejob, set the annotation {TERMINATE}, or delete it"
        )
        return Verdict("Running", "Active", message, ready=True)
    if waits:
        return Verdict("Waiting", "Waiting", waits, ready=True)
    return Verdict("Running", "Running", "the tasks are in Azure Batch", ready=True)


def _disabled(live: LiveJob) -> str:
    known = disabler(live.job, with_conditions(live.spec, live.tasks.failed))
    return UNKNOWN if known is None else known.sentence


def _suspended(state: str) -> Verdict:
    if state == "disabled":
        return suspended("the job is suspended: it is disabled in Azure Batch, and no task runs")
    text = "the job is being disabled; spec.suspendPolicy applies to running tasks"
    return Verdict("Suspending", "Suspending", text, ready=False, trend="Reconciling")


def suspended(message: str) -> Verdict:
    """The verdict on a job that is disabled because the spec says so."""
    return Verdict("Suspended", "Suspended", message, ready=True, more={SUSPENDED: (True, "JobSuspended", message)})


def resumed(live: LiveJob) -> Mapping[str, tuple[bool, str, str]]:
    """The condition of a job that was suspended once and is no more, as for batch/v1 Job."""
    if not has_condition(live.resource, SUSPENDED):
        return {}
    stopping = live.spec.suspend
    text = "the job is being disabled" if stopping else "the job is resumed"
    return {SUSPENDED: (False, "JobSuspending" if stopping else "JobResumed", text)}


def retry_refused(tasks: TasksView) -> Mapping[str, tuple[bool, str, str]]:
    """The condition of a job whose failed tasks do not all run again although the annotation asks; none if nothing was refused."""
    if tasks.retry_refused is None:
        return {}
    problem = classify_error(tasks.retry_refused)
    text = (
        f"failed tasks do not run again, as requested by the annotation {RETRY_FAILED}: {problem.message}. "
        "The operator retries this automatically"
    )
    return {RETRY_REFUSED: (True, problem.reason, text)}


DIFFER = "TasksDiffer"
"""The reason of a job some of whose tasks are not those of its spec: it holds when the job has ended as well."""
_KEPT = (
    "spec.taskUpdatePolicy is Replace, but the job already has onAllTasksComplete: terminatejob, which Azure Batch cannot revert: "
    "it could end between the deletion of a task and its addition, so no task is replaced. Change the spec back, or create a new "
    "BatchJob with Replace from the start"
)


def in_sync(resource: Resource, tasks: TasksView, *, complete: bool) -> Mapping[str, tuple[bool, str, str]]:
    """Whether tasks in Azure Batch differ from the spec; kept until they are compared again."""
    if tasks.different_count:
        first = ", ".join(tasks.different)
        text = f"tasks in Azure Batch that differ from the spec: {tasks.different_count} (first: {first}): "
        text += (
            _KEPT
            if tasks.kept
            else "set spec.taskUpdatePolicy to Replace, change the spec back, or create a new BatchJob"
        )
        return {IN_SYNC: (False, DIFFER, text)}
    if complete and tasks.unread:
        reason, why = tasks.unread
        return {IN_SYNC: (False, reason, f"{why}; until then the tasks in Azure Batch continue unchanged")}
    before = status_before(resource).condition(IN_SYNC)
    if before is None or before.reason != DIFFER or before.observed_generation != resource.generation:
        return {}
    if not complete or tasks.complete:
        return {}
    return {IN_SYNC: (before.is_true, before.reason, before.message)}


TASKS_TOO_LATE = (
    "the job has ended and accepts no more tasks, but its tasks were changed in the spec or in a ConfigMap afterwards: create a "
    "new BatchJob, or revert the change"
)


def too_late(resource: Resource, conditions: Sequence[Body], *, changed: bool, now: float) -> list[Body]:
    """The conditions of a job that is done, with what is to be said of a change of its tasks.

    Args:
        conditions: of its status so far.
    """
    before = [each for each in conditions if each["type"] == IN_SYNC]
    others = [each for each in conditions if each["type"] != IN_SYNC]
    if not changed:
        return [each for each in conditions if each["type"] != IN_SYNC or each["reason"] == DIFFER]
    if before and before[0]["reason"] == "JobFinished":
        return [*others, *before]
    condition = {
        "type": IN_SYNC, "status": "False", "reason": "JobFinished", "message": TASKS_TOO_LATE,
        "lastTransitionTime": timestamp(now), "observedGeneration": resource.generation,
    }  # fmt: skip
    return [*others, condition]


def job_status(
    live: LiveJob,
    said: Verdict,
    *,
    handled: Body | None = None,
    waits: str | None = None,
    origin: str | None = None,
    missing: int = 0,
) -> dict[str, Any]:
    """The whole status.

    Args:
        missing: tasks of a job that has ended which were never added.
        origin: fingerprint of what the tasks were made from, once all of them are in.
    """
    resource, job, tasks, now = live.resource, live.job, live.tasks, live.scope.now
    account, info, before = live.scope.account, job.execution, live.scope.before
    total = total_of(live)
    counts = _counts(tasks, total, missing)
    return status(
        resource,
        said,
        now,
        id=resource.remote_id,
        url=f"{account.url}/jobs/{resource.remote_id}",
        account=account.name,
        state=job.state,
        poolId=info.pool_id or job.pool,
        startTime=info.start_time,
        tasksStartTime=_tasks_start(before, info, tasks, now),
        endTime=info.end_time,
        terminateReason=info.terminate_reason,
        tasksFingerprint=origin or before.tasks_fingerprint,
        taskCounts=counts,
        taskSlotCounts=_slots(tasks),
        retries=tasks.retries if tasks.retries is not None else before.retries,
        requeues=tasks.requeues if tasks.requeues is not None else before.requeues,
        progress=f"{counts['completed']}/{total}" if counts else None,
        percent=counts["completed"] * 100 // total if counts and total else None,
        waitingFor=shortened(waits, _SENTENCE_BYTES) if waits else None,
        failures=groups(tasks.failed, tasks.failed_count) or None,
        nodeFailures=[_node_failure(each) for each in tasks.node_failures[:_NODES_SHOWN]] or None,
        **_speed(before, job.state, tasks, counts, now),
        **({"handled": handled} if handled is not None else {}),
    )


def _tasks_start(before: JobBefore, info: JobExecution, tasks: TasksView, now: float) -> str | None:
    """When a task was first seen to have started; that of a job that ended between two polls is no later than its end."""
    seen = before.tasks_start_time
    if seen is None and (tasks.running or tasks.completed):
        seen = timestamp(now)
    end = info.end_time
    return end if seen and end and seconds_since(seen, now) < seconds_since(end, now) else seen


_ONLY_OF_A_JOB_THAT_EXISTS = frozenset({"state", "waitingFor", "tasksPerMinute", "estimatedEndTime", "taskSlotCounts"})


def without_remote(shown: Body) -> dict[str, Any]:
    """The status of a job that is gone in Azure Batch: nothing of it is active or running anymore, what had ended stays."""
    rest = {name: value for name, value in shown.items() if name not in _ONLY_OF_A_JOB_THAT_EXISTS}
    if counts := rest.get("taskCounts"):
        rest["taskCounts"] = {**counts, "active": 0, "running": 0}
    return rest


def _node_failure(failure: FailedNode) -> dict[str, object]:
    message = None if failure.message is None else shortened(failure.message, _MESSAGE_BYTES)
    members = {
        "task": failure.task, "nodeId": failure.node_id, "exitCode": failure.exit_code, "code": failure.code,
        "message": message,
    }  # fmt: skip
    return {name: value for name, value in members.items() if value is not None}


def _speed(
    before: JobBefore, state: str | None, tasks: TasksView, counts: Mapping[str, int] | None, now: float
) -> dict[str, Any]:
    """Speed and expected end of a job that continues; after a restart those of the status stand until something has ended again.

    An end that is past was wrong: none is shown before the next task has ended.
    """
    if state != "active" or not counts or tasks.unfinished is not None or counts["completed"] >= counts["total"]:
        return {}
    if tasks.per_minute is not None:
        end = tasks.estimated_end
        found = {"tasksPerMinute": tasks.per_minute, "estimatedEndTime": None if end is None else timestamp(end)}
    elif before.task_counts.completed == counts["completed"]:
        found = {"tasksPerMinute": before.tasks_per_minute, "estimatedEndTime": before.estimated_end_time}
    else:
        return {}
    left = seconds_to_end(found, now)
    return found if left is None or left > 0 else found | {"estimatedEndTime": None}


def seconds_to_end(shown: Body, now: float) -> float | None:
    """Seconds until the expected end that a status shows; None if it shows none."""
    end = shown.get("estimatedEndTime")
    return None if end is None else -seconds_since(end, now)


def _slots(tasks: TasksView) -> dict[str, int] | None:
    if tasks.slots is None or tasks.unfinished is not None or tasks.slots == (tasks.counts or NO_COUNTS):
        return None
    return asdict(tasks.slots)


def _counts(tasks: TasksView, total: int, missing: int) -> dict[str, int] | None:
    if tasks.unfinished is not None:
        # Lists are exact where the service's counts lag.
        submitted = total - missing
        ended = submitted - tasks.unfinished - tasks.lost
        return {
            "total": total, "submitted": submitted, "active": tasks.unfinished, "running": 0,
            "completed": ended, "succeeded": ended - tasks.failed_count, "failed": tasks.failed_count,
        }  # fmt: skip
    if tasks.counts is None:
        return None
    return {"total": total, "submitted": tasks.present} | asdict(tasks.counts)
