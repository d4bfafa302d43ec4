"""BatchTask: one task of a job as a separate object (REST: Tasks - Create Task; docs/azure-batch.md#tasks)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from azure_batch_operator.api.base import (
    AccountRef,
    ApiModel,
    JobId,
    NameRef,
    RemoteId,
    ShortText,
    cel,
    exactly_one_of,
    immutable,
    many,
    optional,
)
from azure_batch_operator.api.status import RemoteStatus
from azure_batch_operator.api.task_body import TaskDependencies, TaskTemplate

_CHANGEABLE = frozenset({"constraints", "tailLines"})


class TaskSpec(TaskTemplate):
    """Desired state of the BatchTask. Most fields are immutable, because Azure Batch does not allow changes to an added task."""

    job_ref: NameRef | None = optional(
        "BatchJob in the same namespace that the task belongs to. Exactly one of jobRef and jobId is required."
    )
    job_id: JobId | None = optional(
        "ID of a job that exists only in Azure Batch, including jobs of a job schedule (nightly:job-1). Requires "
        "accountRef."
    )
    account_ref: AccountRef | None = optional("BatchAccount of the job. Required with jobId, not allowed with jobRef.")
    id: RemoteId | None = optional("ID of the task in its job. Defaults to metadata.name.")
    depends_on: TaskDependencies | None = optional(
        "Tasks of the same job that must succeed before this task starts. The job requires usesTaskDependencies: true."
    )
    depends_on_refs: list[NameRef] | None = many(
        "Names of BatchTasks of the same namespace and job that must succeed before this task starts. They may "
        "be created later.",
        100,
    )
    tail_lines: Annotated[int, Field(ge=0, le=100)] | None = optional(
        "Number of last lines of stdout.txt and stderr.txt to show when the task has ended, from 0 to 100. By "
        "default, 20 lines of stderr.txt are shown for a failed task."
    )
    ours: ClassVar[frozenset[str]] = frozenset({"jobRef", "jobId", "accountRef", "id", "dependsOnRefs", "tailLines"})


TaskSpec.rules = (
    *TaskTemplate.rules,
    exactly_one_of(
        ("jobRef", "jobId"),
        "a task belongs to one job: give either jobRef (a BatchJob in the same namespace) or jobId (a job in "
        "Azure Batch)",
    ),
    cel(
        "has(self.jobId) == has(self.accountRef)",
        "accountRef is required with jobId, and not allowed with jobRef",
        ".accountRef",
    ),
    *(
        immutable(name, "delete this BatchTask and create a new one; Azure Batch does not allow changes to a task")
        for name in TaskSpec.wire_names()
        if name not in _CHANGEABLE
    ),
)


class FailureInfo(ApiModel):
    """Cause of a task failure that Azure Batch reports (docs/azure-batch.md#errors-in-resources)."""

    category: str | None = optional("Category of the error: UserError or ServerError.")
    code: str | None = optional("Error code from Azure Batch, such as FailureExitCode.")
    message: str | None = optional("Error message from Azure Batch.")


class TaskStatus(RemoteStatus):
    """Observed state of the BatchTask."""

    account: str | None = Field(
        default=None, description="BatchAccount that the task was added with, as namespace/name."
    )
    job_id: str | None = Field(default=None, description="ID of the job in Azure Batch.")
    state: str | None = Field(default=None, description="State of the task: active, preparing, running or completed.")
    result: str | None = Field(default=None, description="Result of a completed task: success or failure.")
    exit_code: int | None = Field(default=None, description="Exit code of the last attempt.")
    failure_info: FailureInfo | None = Field(default=None, description="Cause of the failure.")
    retry_count: int | None = Field(default=None, description="Number of retries after a non-zero exit code.")
    requeue_count: int | None = Field(
        default=None, description="Number of times that the task was requeued because its node was lost."
    )
    start_time: str | None = Field(default=None, description="Start time of the last attempt.")
    end_time: str | None = Field(default=None, description="Time at which the task completed.")
    pool_id: str | None = Field(default=None, description="ID of the pool that the task ran on.")
    node_id: str | None = Field(default=None, description="ID of the node that the task ran on.")
    stdout_tail: ShortText | None = Field(
        default=None, description="Last lines of stdout.txt. Present with spec.tailLines."
    )
    stderr_tail: ShortText | None = Field(
        default=None, description="Last lines of stderr.txt of a failed task, or of any task with spec.tailLines."
    )
    output_problem: ShortText | None = Field(default=None, description="Reason why the output could not be read.")
