"""Policies of a BatchJob that Azure Batch does not have: when it fails, its time limits, and where its output is stored.

The members of `api.job` that are ours and have members of their own; nothing here is part of a REST body.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from azure_batch_operator.api.base import (
    ApiModel,
    BatchId,
    NameRef,
    Rule,
    StandsFor,
    cel,
    exactly_one_of,
    one_of,
    optional,
)
from azure_batch_operator.api.rest import IdentityReference, Path, Url, ValueSource
from azure_batch_operator.api.task_body import RetryCount

Seconds = Annotated[int, Field(ge=0, le=10_000_000)]


def _choice(*values: str) -> Any:
    return Field(json_schema_extra={"enum": list(values)})


class FailurePolicy(ApiModel):
    """How many failed tasks the job tolerates, and what happens when there are more. Without it, one failed task fails the job."""

    max_failed_tasks: Annotated[int, Field(ge=0)] | None = optional(
        "Maximum number of failed tasks for which the job still succeeds."
    )
    max_failed_ratio: Annotated[float, Field(ge=0, le=1)] | None = optional(
        "Maximum fraction of failed tasks, from 0 to 1, for which the job still succeeds."
    )
    action: Annotated[str, _choice("Continue", "Stop", "Hold")] | None = optional(
        "What happens when the limit is exceeded. Continue lets the other tasks run. Stop terminates the job at "
        "once. Hold lets the other tasks run and keeps the job open, so that azurebatch.io/retry-failed can "
        "retry the failed tasks. Defaults to Continue."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "!has(self.maxFailedTasks) || !has(self.maxFailedRatio)",
            "give maxFailedTasks or maxFailedRatio, not both",
            ".maxFailedRatio",
        ),
    )


class Backoff(ApiModel):
    """Limits for retries and requeues of tasks."""

    task_retries: RetryCount | None = optional(
        "Maximum number of retries of a task after a non-zero exit code. Replaces constraints.maxTaskRetryCount."
    )
    max_requeues: Annotated[int, Field(ge=0)] | None = optional(
        "Maximum number of times that a task is requeued because its node was lost, for example a preempted Spot "
        "node. When it is exceeded, the job moves to the fallback pool, or fails if it has none."
    )
    fallback_pool_ref: NameRef | None = optional(
        "BatchPool in the same namespace and account that the job moves to, for example one with dedicated "
        "nodes. Requires maxRequeues."
    )
    fallback_pool_id: BatchId | None = optional(
        "ID of the fallback pool, if it is not a BatchPool. Requires maxRequeues."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "!has(self.fallbackPoolRef) || !has(self.fallbackPoolId)",
            "give fallbackPoolRef or fallbackPoolId, not both",
            ".fallbackPoolId",
        ),
        cel(
            "has(self.maxRequeues) || !(has(self.fallbackPoolRef) || has(self.fallbackPoolId))",
            "a fallback pool requires maxRequeues: add it, or remove the fallback pool",
            ".maxRequeues",
        ),
    )


class LogUpload(ApiModel):
    """Uploads stdout.txt and stderr.txt of each task when the task ends."""

    container_url: Url | None = optional("URL of a blob container that a managed identity of the pool can write to.")
    container_url_from: Annotated[ValueSource | None, StandsFor("containerUrl", secret=False)] = optional(
        "Source of the URL, for a URL with a SAS token."
    )
    path: Path | None = optional(
        "Virtual directory in the container, with a subdirectory for each task. Defaults to the ID of the job."
    )
    identity_reference: IdentityReference | None = optional("Identity that writes to the storage.")
    upload_condition: Annotated[str, one_of("tasksuccess", "taskfailure", "taskcompletion")] | None = optional(
        "When to upload: after success, after failure, or always. Defaults to taskcompletion (always)."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(("containerUrl", "containerUrlFrom"), "give either containerUrl or containerUrlFrom"),
    )


class Logs(ApiModel):
    """How the output of tasks is shown and stored."""

    tail_lines: Annotated[int, Field(ge=0, le=100)] | None = optional(
        "Number of lines of stderr.txt to show for failed tasks, from 0 (none) to 100. Defaults to 20."
    )
    upload: LogUpload | None = optional(
        "Uploads stdout.txt and stderr.txt of all tasks to a blob container, including BatchTasks. A change "
        "applies to BatchTasks that are added later; for the tasks of the spec, taskUpdatePolicy applies."
    )


ManagedBy = Annotated[
    str,
    StringConstraints(
        max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[^/\s].*$"
    ),
]
"""Name of a controller, as in batch/v1 Job: a domain, a slash and a path."""
