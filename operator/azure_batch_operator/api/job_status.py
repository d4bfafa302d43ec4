"""What a BatchJob reports: small whatever the number of its tasks."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints, WithJsonSchema

from azure_batch_operator.api.base import AdoptableStatus, ApiModel, ShortText, schema


class StateCounts(ApiModel):
    """Numbers by state and result."""

    active: int | None = Field(default=None, description="Of tasks that wait for a slot or for other tasks.")
    running: int | None = Field(default=None, description="Of tasks that run.")
    completed: int | None = Field(default=None, description="Of tasks that have ended.")
    succeeded: int | None = Field(default=None, description="Of tasks that have ended well.")
    failed: int | None = Field(default=None, description="Of tasks that have ended badly.")


class TaskCounts(StateCounts):
    """Tasks by state and result."""

    total: int | None = Field(default=None, description="Tasks that belong to the job.")
    submitted: int | None = Field(default=None, description="Tasks that Azure Batch has.")


class FailureGroup(ApiModel):
    """Failed tasks with the same cause."""

    exit_code: int | None = Field(default=None, description="Exit code, if a process ran.")
    category: str | None = Field(default=None, description="UserError or ServerError.")
    code: str | None = Field(default=None, description="Error code of the service.")
    message: ShortText | None = Field(default=None, description="Its text.")
    count: int = Field(description="How many tasks.")
    task_ids: list[str] = Field(description="Some of them.", json_schema_extra=schema(maxItems=5))
    stderr_tail: ShortText | None = Field(default=None, description="Last lines of stderr.txt of the first of them.")
    stderr_problem: ShortText | None = Field(default=None, description="Why its stderr.txt could not be read.")


class NodeFailure(ApiModel):
    """A node on which the job's preparation or release task has failed."""

    task: str = Field(description="preparation or release.")
    node_id: str = Field(description="The node.")
    exit_code: int | None = Field(default=None, description="Exit code, if a process ran.")
    code: str | None = Field(default=None, description="Error code of the service.")
    message: ShortText | None = Field(default=None, description="Its text.")


class RetryStatus(ApiModel):
    """What a job has taken from the one whose tasks it runs again (`spec.retryOf`)."""

    uid: str = Field(description="metadata.uid of that BatchJob.")
    tasks: int = Field(description="How many of its tasks run again.")
    settings: Annotated[
        dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    ] = Field(
        description="What is taken from its spec, as far as this spec leaves it out; stays when that job is deleted."
    )


class JobStatus(AdoptableStatus):
    """What the service says of the job and its tasks; small whatever their number."""

    account: str | None = Field(
        default=None, description="namespace/name of the BatchAccount, kept in case the pool's object goes first."
    )
    pool_id: str | None = Field(
        default=None,
        description="Id of the pool that the job runs on or is to run on; before a BatchPool that does not exist yet, its name.",
    )
    state: str | None = Field(default=None, description="State of the job in Azure Batch.")
    start_time: str | None = Field(default=None, description="When the job was created in Azure Batch.")
    tasks_start_time: str | None = Field(default=None, description="When the first task was seen to have started.")
    end_time: str | None = Field(default=None, description="When it was completed.")
    terminate_reason: str | None = Field(default=None, description="Why it ended, as the service says it.")
    cleaned_up: bool | None = Field(
        default=None,
        description="Whether the job and its tasks were deleted in Azure Batch after the end, as ttlPolicy KeepObject asks.",
    )
    tasks_fingerprint: str | None = Field(
        default=None,
        description="Of what the tasks were made from, to tell whether spec or ConfigMaps have changed since the end.",
    )
    retry_of: RetryStatus | None = Field(
        default=None, description="What was taken from the job that spec.retryOf names, since its tasks were listed."
    )
    task_counts: TaskCounts | None = Field(default=None, description="Tasks by state and result.")
    task_slot_counts: StateCounts | None = Field(
        default=None, description="Task slots by state and result of the tasks, where tasks take more than one."
    )
    retries: int | None = Field(
        default=None,
        description="Tries of tasks after a non-zero exit code. Counted about once a minute while tasks start and end, with "
        "backoff.maxRequeues at each poll, and in full when the job has ended; tries of deleted tasks as far as they were seen.",
    )
    requeues: int | None = Field(
        default=None,
        description="Times that tasks were put back because their node went away (preemption, resize, reboot) or the job was "
        "disabled. Counted like retries.",
    )
    progress: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        default=None, description="Ended and all tasks, for the eye."
    )
    percent: int | None = Field(default=None, description="Ended tasks of all, in percent, rounded down.")
    tasks_per_minute: float | None = Field(default=None, description="How many tasks ended per minute of late.")
    estimated_end_time: str | None = Field(
        default=None,
        description="When the last one ends if it goes on like that; left out once that is past, until another task has ended.",
    )
    waiting_for: ShortText | None = Field(
        default=None, description="What it waits for when no task runs, in a sentence."
    )
    failures: list[FailureGroup] | None = Field(
        default=None, description="Failed tasks by cause, most frequent first.", json_schema_extra=schema(maxItems=5)
    )
    node_failures: list[NodeFailure] | None = Field(
        default=None,
        description="Nodes on which the preparation or release task has failed.",
        json_schema_extra=schema(maxItems=5),
    )
