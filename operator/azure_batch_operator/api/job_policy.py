"""How a BatchJob behaves beyond what Azure Batch knows: when it has failed, how long it may take, where its output goes.

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
    """How many failed tasks a job may have, and what follows when there are more. Without it, one is too many."""

    max_failed_tasks: Annotated[int, Field(ge=0)] | None = optional("Failed tasks that do not make the job fail.")
    max_failed_ratio: Annotated[float, Field(ge=0, le=1)] | None = optional(
        "The same as a part of all tasks, from 0 to 1."
    )
    action: Annotated[str, _choice("Continue", "Stop", "Hold")] | None = optional(
        "With more failed tasks than that: Continue lets the others run, Stop ends the job at once, Hold lets them run and then "
        "keeps the job open, so that azurebatch.io/retry-failed can run the failed ones again. Continue if left out."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "!has(self.maxFailedTasks) || !has(self.maxFailedRatio)",
            "give maxFailedTasks or maxFailedRatio, not both",
            ".maxFailedRatio",
        ),
    )


class Backoff(ApiModel):
    """How often tasks are tried."""

    task_retries: RetryCount | None = optional(
        "Further tries of a task after a non-zero exit code; stands for constraints.maxTaskRetryCount."
    )
    max_requeues: Annotated[int, Field(ge=0)] | None = optional(
        "How often one task may be put back because its node went away, such as a preempted Spot node. Beyond that the job "
        "moves to the fallback pool, or fails if there is none."
    )
    fallback_pool_ref: NameRef | None = optional(
        "The BatchPool of this namespace and account that the job then moves to, for example one of dedicated nodes."
    )
    fallback_pool_id: BatchId | None = optional("The same by its id, where it is not a BatchPool.")
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "!has(self.fallbackPoolRef) || !has(self.fallbackPoolId)",
            "give fallbackPoolRef or fallbackPoolId, not both",
            ".fallbackPoolId",
        ),
        cel(
            "has(self.maxRequeues) || !(has(self.fallbackPoolRef) || has(self.fallbackPoolId))",
            "a fallback pool needs maxRequeues",
            ".maxRequeues",
        ),
    )


class LogUpload(ApiModel):
    """Where stdout.txt and stderr.txt of each task go when it has ended."""

    container_url: Url | None = optional("URL of a blob container, for a managed identity of the pool.")
    container_url_from: Annotated[ValueSource | None, StandsFor("containerUrl", secret=False)] = optional(
        "Takes the URL from a Secret or ConfigMap, for one with a SAS."
    )
    path: Path | None = optional(
        "Virtual directory in the container; the job's id if left out. Each task has one below it."
    )
    identity_reference: IdentityReference | None = optional("Identity with which the storage is written.")
    upload_condition: Annotated[str, one_of("tasksuccess", "taskfailure", "taskcompletion")] | None = optional(
        "After success, after failure, or always; taskcompletion (always) if left out."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(("containerUrl", "containerUrlFrom"), "give either containerUrl or containerUrlFrom"),
    )


class Logs(ApiModel):
    """What becomes of the output of tasks."""

    tail_lines: Annotated[int, Field(ge=0, le=100)] | None = optional(
        "Lines of stderr.txt shown of a failed task; 20 if left out, 0 shows none."
    )
    upload: LogUpload | None = optional(
        "Keeps stdout.txt and stderr.txt of all tasks in a blob container: of the job's own and of its BatchTasks. A change counts "
        "for BatchTasks that are added later; own tasks are then as taskUpdatePolicy says."
    )


ManagedBy = Annotated[
    str,
    StringConstraints(
        max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[^/\s].*$"
    ),
]
"""A controller's name as batch/v1 Job has it: a domain, a slash and a path."""
