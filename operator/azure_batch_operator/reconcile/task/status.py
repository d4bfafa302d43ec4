"""The status of a BatchTask: two writes in a normal lifecycle (docs/decisions/0002-status-of-a-task.md).

An object whose task waits in Azure Batch keeps the `Pending` that the API server gave it: the first write comes when the task runs,
the last one when it has ended.
"""

from __future__ import annotations

from azure_batch_operator.api.base import RETRY_FAILED, TERMINATE
from azure_batch_operator.batch.wire import TaskExecution, TaskFailure, TaskNode
from azure_batch_operator.causes.commands import without_shell
from azure_batch_operator.reconcile.annotations import handled, pending_request
from azure_batch_operator.reconcile.job.failures import explained
from azure_batch_operator.reconcile.observed import NO_OUTPUT, ObservedTask
from azure_batch_operator.reconcile.status import Verdict, shortened, status
from azure_batch_operator.reconcile.task.scope import LiveTask, TaskScope
from azure_batch_operator.reconcile.task.spec import TaskTerms

_FAILURE_BYTES = 2000
_OF_THE_COMMAND = frozenset({"FailureExitCode", "CommandProgramNotFound", "CommandLaunchFailed"})
"""Codes of failures that a command line can be the cause of."""


def status_of(task: LiveTask) -> dict[str, object] | None:
    """The status of a task as it is in Azure Batch; None if what the object shows already is enough."""
    resource, remote, state = task.resource, task.remote, task.state
    acted = pending_request(resource, TERMINATE) or pending_request(resource, RETRY_FAILED)
    if state == "completed":
        verdict = _verdict_of_end(remote.execution, task.spec)
    elif state == "running":
        verdict = Verdict("Running", "Running", "the task runs", ready=True)
    elif task.scope.before.is_blank and not acted and not task.job.former:
        return None
    else:
        verdict = Verdict("Pending", "Queued", "the task is queued in Azure Batch", ready=True)
    said = shown(task.scope, remote, verdict)
    return said | {"handled": handled(resource, RETRY_FAILED, TERMINATE)} if acted else said


def shown(scope: TaskScope, remote: ObservedTask | None, verdict: Verdict) -> dict[str, object]:
    """The status of a task under a verdict.

    Args:
        remote: the task in Azure Batch; None if nothing of what it shows counts any more.
    """
    resource, account, job = scope.resource, scope.account, scope.job
    seen = remote or ObservedTask(id=resource.remote_id)
    info, node = seen.execution, seen.node or TaskNode()
    return status(
        resource,
        verdict,
        scope.now,
        id=resource.remote_id,
        account=account.name or None,
        jobId=job.id,
        url=f"{account.url}/jobs/{job.id}/tasks/{resource.remote_id}",
        state=seen.state,
        result=info.result,
        exitCode=info.exit_code,
        retryCount=info.retry_count,
        requeueCount=info.requeue_count,
        startTime=info.start_time,
        endTime=info.end_time,
        failureInfo=_failure(info.failure) or None,
        poolId=node.pool_id,
        nodeId=node.node_id,
        **(seen.output or NO_OUTPUT).shown,
    )


def _failure(failure: TaskFailure) -> dict[str, str]:
    """Why a task failed, with the service's details in the message."""
    text = shortened(explained(failure), _FAILURE_BYTES)
    message = None if failure.message is None and not text else text
    said = {"category": failure.category, "code": failure.code, "message": message}
    return {name: value for name, value in said.items() if value is not None}


def _verdict_of_end(info: TaskExecution, spec: TaskTerms) -> Verdict:
    if info.result == "success":
        message = f"exit code {info.exit_code or 0}"
        return Verdict("Succeeded", "Succeeded", message, ready=True, more={"Complete": (True, "Succeeded", message)})
    reason = info.failure.code or "Failed"
    message = explained(info.failure) or "the task failed"
    if info.exit_code is not None:
        message = f"exit code {info.exit_code}: {message}"
    hint = _hint(info, spec)
    if hint is not None:
        message = f"{message}. Hint: {hint}"
    return Verdict("Failed", reason, message, ready=False, trend="Stalled", more={"Failed": (True, reason, message)})


def _hint(info: TaskExecution, spec: TaskTerms) -> str | None:
    """What the command line may have been missing, if it is what failed."""
    if info.exit_code == 0 or info.failure.code not in _OF_THE_COMMAND:
        return None
    return without_shell(spec.command_line, spec.variables)
