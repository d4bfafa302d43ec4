"""The status of a BatchJob. Its size does not depend on the number of tasks."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints, WithJsonSchema

from azure_batch_operator.api.base import ApiModel, ShortText, schema, without_nulls
from azure_batch_operator.api.job import JobSpec
from azure_batch_operator.api.status import AdoptableStatus
from azure_batch_operator.shapes import Reader, conform


class StateCounts(ApiModel):
    """Number of tasks or task slots by state and result."""

    active: int | None = Field(default=None, description="Waiting for a slot or for other tasks.")
    running: int | None = Field(default=None, description="Running.")
    completed: int | None = Field(default=None, description="Ended, whatever the result.")
    succeeded: int | None = Field(default=None, description="Ended with success.")
    failed: int | None = Field(default=None, description="Ended with failure.")


class TaskCounts(StateCounts):
    """Number of tasks by state and result."""

    total: int | None = Field(default=None, description="Number of tasks that belong to the job.")
    submitted: int | None = Field(default=None, description="Number of tasks that were added to Azure Batch.")


class FailureGroup(ApiModel):
    """Failed tasks with the same cause."""

    exit_code: int | None = Field(default=None, description="Exit code, if a process ran.")
    category: str | None = Field(default=None, description="Category of the error: UserError or ServerError.")
    code: str | None = Field(default=None, description="Error code from Azure Batch.")
    message: ShortText | None = Field(default=None, description="Error message from Azure Batch.")
    count: int = Field(description="Number of tasks.")
    task_ids: list[str] = Field(description="IDs of some of the tasks.", json_schema_extra=schema(maxItems=5))
    stderr_tail: ShortText | None = Field(default=None, description="Last lines of stderr.txt of the first task.")
    stderr_problem: ShortText | None = Field(default=None, description="Reason why stderr.txt could not be read.")


class NodeFailure(ApiModel):
    """A node on which the job preparation or job release task failed."""

    task: str = Field(description="Task that failed: preparation or release.")
    node_id: str = Field(description="ID of the node.")
    exit_code: int | None = Field(default=None, description="Exit code, if a process ran.")
    code: str | None = Field(default=None, description="Error code from Azure Batch.")
    message: ShortText | None = Field(default=None, description="Error message from Azure Batch.")


def _settings(value: Any) -> dict[str, Any]:
    """Part of the spec of a job, of which the CRD checks nothing: members of another type are left out, as of a spec.

    Raises:
        TypeError: it is no object.
    """
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return conform(JobSpec, without_nulls(value), strict=True)[0]


class RetryStatus(ApiModel):
    """What the job took from the job that spec.retryOf names."""

    uid: str = Field(description="UID of that BatchJob.")
    tasks: int = Field(description="Number of its tasks that run again.")
    settings: Annotated[
        dict[str, Any],
        WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
        Reader(_settings),
    ] = Field(
        description="Settings from the spec of that job that this spec leaves unset. They remain when that job is deleted."
    )


class JobStatus(AdoptableStatus):
    """Observed state of the BatchJob. Its size does not depend on the number of tasks."""

    account: str | None = Field(
        default=None,
        description="BatchAccount of the job, as namespace/name. Recorded in case the BatchPool is deleted first.",
    )
    pool_id: str | None = Field(
        default=None,
        description="ID of the pool that the job runs on or will run on. While the BatchPool does not exist, its name.",
    )
    state: str | None = Field(default=None, description="State of the job in Azure Batch.")
    start_time: str | None = Field(default=None, description="Time at which the job was created in Azure Batch.")
    tasks_start_time: str | None = Field(
        default=None, description="Time at which the first task was observed to have started."
    )
    end_time: str | None = Field(default=None, description="Time at which the job completed.")
    terminate_reason: str | None = Field(
        default=None, description="Reason for the end of the job that Azure Batch reports."
    )
    cleaned_up: bool | None = Field(
        default=None,
        description="Whether the job and its tasks were deleted in Azure Batch after the end of the job (ttlPolicy "
        "KeepObject).",
    )
    tasks_fingerprint: str | None = Field(
        default=None,
        description="Fingerprint of the sources of the tasks, used to detect changes to the spec or to ConfigMaps after the "
        "end of the job.",
    )
    retry_of: RetryStatus | None = Field(
        default=None, description="What was taken from the job that spec.retryOf names."
    )
    task_counts: TaskCounts | None = Field(default=None, description="Number of tasks by state and result.")
    task_slot_counts: StateCounts | None = Field(
        default=None, description="Number of task slots by state and result. Present if tasks use more than one slot."
    )
    retries: int | None = Field(
        default=None,
        description="Number of retries after a non-zero exit code. Updated about once a minute while tasks start and end, at "
        "each poll if backoff.maxRequeues is set, and completely when the job ends. Retries of deleted tasks are "
        "included if they were observed.",
    )
    requeues: int | None = Field(
        default=None,
        description="Number of times that tasks were requeued because their node was lost (preemption, resize, reboot) or "
        "the job was disabled. Updated like retries.",
    )
    progress: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        default=None, description="Ended tasks and all tasks, for display."
    )
    percent: int | None = Field(default=None, description="Percentage of tasks that have ended, rounded down.")
    tasks_per_minute: float | None = Field(default=None, description="Number of tasks that ended per minute recently.")
    estimated_end_time: str | None = Field(
        default=None,
        description="Estimated time at which the last task ends at the current rate. Absent after that time has passed, "
        "until another task ends.",
    )
    waiting_for: ShortText | None = Field(default=None, description="What the job waits for while no task runs.")
    failures: list[FailureGroup] | None = Field(
        default=None,
        description="Failed tasks grouped by cause, most frequent first.",
        json_schema_extra=schema(maxItems=5),
    )
    node_failures: list[NodeFailure] | None = Field(
        default=None,
        description="Nodes on which the job preparation or job release task failed.",
        json_schema_extra=schema(maxItems=5),
    )
