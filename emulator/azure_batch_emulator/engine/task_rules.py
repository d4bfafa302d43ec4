"""Decisions about tasks: what the end of a run means, whether to try again, which exit options apply. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from azure_batch_emulator.executors.base import RunResult
from azure_batch_emulator.wire.errors import BatchError, invalid_property, resource_error

SUCCESS_OPTIONS = {"jobAction": "none", "dependencyAction": "satisfy"}
FAILURE_OPTIONS = {"jobAction": "terminate", "dependencyAction": "block"}
_EXIT_MESSAGE = "The task exited with an exit code representing a failure"
ENDED_BY_USER = resource_error("TaskEnded", "Task Was Ended by User Request", category="UserError")
WALL_CLOCK = resource_error(
    "TaskEnded",
    "Task Was Ended because it exceeded its maximum wall clock time",
    [("Message", "The maximum wall clock time of the task was exceeded")],
    key="details",
    category="UserError",
)
TOO_OLD = resource_error("TaskEnded", "Task Was Ended because it did not finish in 180 days", category="UserError")
NODE_LOST = resource_error("TaskEnded", "Task Was Ended because its node went away", category="UserError")
PRIMARY_ENDED = resource_error("TaskEnded", "Task Was Ended because its primary task ended", category="UserError")
JOB_ENDED = resource_error("TaskEnded", "Task Was Ended because its job was terminated", category="UserError")


def check_body(job: Mapping[str, Any], task: Mapping[str, Any]) -> None:
    """Let a task pass that its job allows.

    Args:
        job: body of the job.
        task: body of the task.

    Raises:
        BatchError: 400 for what the job does not allow, 409 for the id of a task of the job itself.
    """
    if "dependsOn" in task and not job["usesTaskDependencies"]:
        reason = "The job does not use task dependencies: usesTaskDependencies must be true to set dependsOn."
        raise BatchError("UnsupportedProperty", {"PropertyName": "dependsOn", "Reason": reason})
    for name, code in (
        ("jobPreparationTask", "TaskIdSameAsJobPreparationTask"),
        ("jobReleaseTask", "TaskIdSameAsJobReleaseTask"),
    ):
        if name in job and job[name]["id"].lower() == task["id"].lower():
            raise BatchError(code)
    if job["onTaskFailure"] == "noaction" and "exitConditions" in task:
        _check_exit_actions(task["exitConditions"])


def _check_exit_actions(conditions: Mapping[str, Any]) -> None:
    options = [conditions[name] for name in ("preProcessingError", "fileUploadError", "default") if name in conditions]
    for name in ("exitCodes", "exitCodeRanges"):
        options += [item["exitOptions"] for item in conditions.get(name, ())]
    for option in options:
        if "jobAction" in option:
            reason = "jobAction needs a job with onTaskFailure performExitOptionsJobAction."
            raise invalid_property("jobAction", option["jobAction"], reason)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one try came to.

    Attributes:
        exit_code: None when the command never ran to its end.
        failure: the wire's ``failureInfo``, None for success.
        stage: which exit condition beyond codes applies: ``preProcessingError``, ``fileUploadError`` or None.
        retryable: whether a further try may help.
    """

    exit_code: int | None
    failure: dict[str, Any] | None
    stage: str | None
    retryable: bool

    @property
    def result(self) -> str:
        return "success" if self.failure is None else "failure"


SUCCEEDED = Outcome(0, None, None, retryable=False)
"""That of most tries."""


def judge(result: RunResult, *, timed_out: bool) -> Outcome:
    """Turn the end of a run into an outcome (docs/azure-batch.md#errors-in-resources)."""
    if timed_out:
        return Outcome(result.exit_code, WALL_CLOCK, None, retryable=True)
    if result.failure is not None:
        category, code, message, details = result.failure
        failure = resource_error(code, message, details, key="details", category=category)
        if result.stage == "upload":
            if result.exit_code:
                failure = exit_failure()
            return Outcome(result.exit_code, failure, "fileUploadError", retryable=bool(result.exit_code))
        return Outcome(None, failure, "preProcessingError", retryable=False)
    if result.exit_code:
        return Outcome(result.exit_code, exit_failure(), None, retryable=True)
    if result.exit_code == 0:
        return SUCCEEDED
    return Outcome(result.exit_code, None, None, retryable=False)


@cache
def exit_failure() -> dict[str, Any]:
    """The ``failureInfo`` of a non-zero exit code (recorded): one for all tasks."""
    return resource_error(
        "FailureExitCode", _EXIT_MESSAGE, [("Message", _EXIT_MESSAGE)], key="details", category="UserError"
    )


def should_retry(outcome: Outcome, retries_so_far: int, max_retries: int) -> bool:
    """Whether a task is retried: −1 without end, n up to n+1 tries in all."""
    return outcome.retryable and (max_retries < 0 or retries_so_far < max_retries)


def exit_options(conditions: Mapping[str, Any] | None, outcome: Outcome) -> dict[str, str]:
    """The job and dependency action for an outcome; an exit-code match wins over a failed upload."""
    defaults = SUCCESS_OPTIONS if outcome.failure is None else FAILURE_OPTIONS
    if not conditions:
        return defaults
    chosen: Mapping[str, str] | None = None
    code = outcome.exit_code
    if code is not None:
        for item in conditions.get("exitCodes", ()):
            if item["code"] == code:
                chosen = item["exitOptions"]
                break
        else:
            for item in conditions.get("exitCodeRanges", ()):
                if item["start"] <= code <= item["end"]:
                    chosen = item["exitOptions"]
                    break
    if chosen is None and outcome.stage is not None:
        chosen = conditions.get(outcome.stage)
    if chosen is None and outcome.failure is not None:
        chosen = conditions.get("default")
    return defaults | dict(chosen or {})
