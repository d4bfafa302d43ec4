"""What the exit conditions of a failed task do to the tasks that depend on it, and to its job (docs/azure-batch.md#tasks)."""

from __future__ import annotations

from azure_batch_operator.batch.wire import Body

_ENDED_BY_ITSELF = frozenset({"failureexitcode", "taskended"})
"""Codes of failures, in lower case, that are certainly not those of an upload, whose codes the service does not list."""


def satisfies(task: Body, code: int | None, reason: str | None) -> bool:
    """Whether dependents may run in spite of this failure: exitConditions with dependencyAction satisfy.

    Args:
        task: as it was added.
        code: its exit code.
        reason: code of the failure.
    """
    return str(_options(task, code, reason).get("dependencyAction", "block")).lower() == "satisfy"


def disables_job(task: Body, code: int | None, reason: str | None) -> bool:
    """Whether this failure disables the job, if `onTaskFailure` has exit conditions act on it."""
    return str(_options(task, code, reason).get("jobAction", "none")).lower() == "disable"


def how(info: Body) -> str:
    """How a task failed, in two or three words, from its `executionInfo`; empty if the service does not say."""
    return words(info.get("exitCode"), (info.get("failureInfo") or {}).get("code"))


def words(code: int | None, reason: str | None) -> str:
    """The same from an exit code and the code of a failure, which says more of a task that ended with 0 and whose upload failed."""
    if reason and not code:
        return reason
    return f"exit code {code}" if code is not None else ""


def _options(task: Body, code: int | None, reason: str | None) -> Body:
    conditions = task.get("exitConditions") or {}
    options: Body | None = None
    if code is not None:
        options = next(
            (exact["exitOptions"] for exact in conditions.get("exitCodes") or () if exact["code"] == code), None
        )
        if options is None:
            spans = conditions.get("exitCodeRanges") or ()
            options = next((span["exitOptions"] for span in spans if span["start"] <= code <= span["end"]), None)
        if options is None and str(reason).lower() not in _ENDED_BY_ITSELF:
            options = conditions.get("fileUploadError")
    elif conditions.get("preProcessingError"):
        options = conditions["preProcessingError"]
    return options or conditions.get("default") or {}
