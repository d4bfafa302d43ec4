"""What the exit conditions of a failed task do to the tasks that depend on it, and to its job (docs/azure-batch.md#tasks)."""

from __future__ import annotations

from azure_batch_operator.batch.task_wire import ExitConditions
from azure_batch_operator.batch.wire import Body


def satisfies(conditions: ExitConditions, code: int | None, reason: str | None) -> bool:
    """Whether dependents may run in spite of this failure: exitConditions with dependencyAction satisfy.

    Args:
        conditions: of the task as it was added.
        code: its exit code.
        reason: code of the failure.
    """
    return conditions.options(code, reason).satisfies


def disables_job(conditions: ExitConditions, code: int | None, reason: str | None) -> bool:
    """Whether this failure disables the job, if `onTaskFailure` lets exit conditions act on it."""
    return conditions.options(code, reason).disables_job


def how(info: Body) -> str:
    """How a task failed, in two or three words, from its `executionInfo`; empty if the service does not say."""
    return words(info.get("exitCode"), (info.get("failureInfo") or {}).get("code"))


def words(code: int | None, reason: str | None) -> str:
    """The same from an exit code and the code of a failure, which says more of a task that ended with 0 and whose upload failed."""
    if reason and not code:
        return reason
    return f"exit code {code}" if code is not None else ""
