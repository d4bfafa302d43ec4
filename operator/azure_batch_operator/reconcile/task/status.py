"""What the status of a BatchTask says: two writes in an ordinary life (docs/decisions/0002-status-of-a-task.md).

An object whose task waits in Azure Batch keeps the `Pending` that the API server gave it: the first write comes when the task runs,
the last one when it has ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure_batch_operator.api.base import RETRY_FAILED, TERMINATE
from azure_batch_operator.reconcile.annotations import handled, pending_request
from azure_batch_operator.reconcile.job.failures import explained
from azure_batch_operator.reconcile.status import Verdict, pick, shortened, status
from azure_batch_operator.reconcile.task.scope import LiveTask, TaskScope

_FAILURE_BYTES = 2000


def status_of(task: LiveTask) -> dict[str, Any] | None:
    """The status of a task as it is in Azure Batch; None if what the object shows already is enough."""
    resource, remote, state = task.resource, task.remote, task.state
    acted = pending_request(resource, TERMINATE) or pending_request(resource, RETRY_FAILED)
    if state == "completed":
        verdict = _verdict_of_end(remote.get("executionInfo") or {})
    elif state == "running":
        verdict = Verdict("Running", "Running", "the task runs", ready=True)
    elif resource.status.get("observedGeneration", -1) == -1 and not acted and not task.job.former:
        return None
    else:
        verdict = Verdict("Pending", "Queued", "the task is queued in Azure Batch", ready=True)
    said = shown(task.scope, remote, verdict)
    return said | {"handled": handled(resource, RETRY_FAILED, TERMINATE)} if acted else said


def shown(scope: TaskScope, remote: Mapping[str, Any], verdict: Verdict) -> dict[str, Any]:
    """The status of a task under a verdict.

    Args:
        remote: the task in Azure Batch; empty if nothing of what it shows counts any more.
    """
    resource, account, job = scope.resource, scope.account, scope.job
    info, node = remote.get("executionInfo") or {}, remote.get("nodeInfo") or {}
    return status(
        resource,
        verdict,
        scope.now,
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
