"""BatchTask: one task of a job, as an object of its own (REST: Tasks - Create Task; docs/azure-batch.md#tasks)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from azure_batch_operator.api.base import (
    AccountRef,
    ApiModel,
    JobId,
    NameRef,
    RemoteId,
    RemoteStatus,
    ShortText,
    cel,
    exactly_one_of,
    immutable,
    many,
    optional,
)
from azure_batch_operator.api.task_body import TaskDependencies, TaskTemplate

_CHANGEABLE = frozenset({"constraints", "tailLines"})


class TaskSpec(TaskTemplate):
    """What the user wants. Little of it can be changed, as a task in Azure Batch is fixed once it is added."""

    job_ref: NameRef | None = optional("The BatchJob of this namespace that the task belongs to.")
    job_id: JobId | None = optional(
        "Id of a job that exists only in Azure Batch, also of one that a job schedule made (nightly:job-1); needs accountRef."
    )
    account_ref: AccountRef | None = optional("The BatchAccount of that job; only with jobId.")
    id: RemoteId | None = optional("Id of the task within its job; metadata.name if left out.")
    depends_on: TaskDependencies | None = optional(
        "Tasks of the same job that must have ended well before this one starts; the job needs usesTaskDependencies: true."
    )
    depends_on_refs: list[NameRef] | None = many(
        "The same by names of BatchTasks of this namespace and job, which may be created later.", 100
    )
    tail_lines: Annotated[int, Field(ge=0, le=100)] | None = optional(
        "Last lines of stdout.txt and stderr.txt shown once the task has ended; if left out, 20 of stderr.txt of a failed task."
    )
    ours: ClassVar[frozenset[str]] = frozenset({"jobRef", "jobId", "accountRef", "id", "dependsOnRefs", "tailLines"})


TaskSpec.rules = (
    *TaskTemplate.rules,
    exactly_one_of(
        ("jobRef", "jobId"),
        "a task belongs to one job: give either jobRef (a BatchJob of this namespace) or jobId (a job in Azure Batch)",
    ),
    cel("has(self.jobId) == has(self.accountRef)", "accountRef belongs to jobId, and jobId needs it", ".accountRef"),
    *(
        immutable(name, "a task is fixed once it is added; delete this BatchTask and create a new one")
        for name in TaskSpec.wire_names()
        if name not in _CHANGEABLE
    ),
)


class FailureInfo(ApiModel):
    """Why a task failed, as the service says it (docs/azure-batch.md#errors-in-resources)."""

    category: str | None = optional("UserError or ServerError.")
    code: str | None = optional("The service's error code, such as FailureExitCode.")
    message: str | None = optional("Its text.")


class TaskStatus(RemoteStatus):
    """What the service says of the task."""

    account: str | None = Field(
        default=None, description="Namespace and name of the BatchAccount that it was added with."
    )
    job_id: str | None = Field(default=None, description="Id of the job in Azure Batch.")
    state: str | None = Field(default=None, description="active, preparing, running or completed.")
    result: str | None = Field(default=None, description="success or failure, once completed.")
    exit_code: int | None = Field(default=None, description="Exit code of the last try.")
    failure_info: FailureInfo | None = Field(default=None, description="Why it failed.")
    retry_count: int | None = Field(default=None, description="Tries after a non-zero exit code.")
    requeue_count: int | None = Field(default=None, description="Times it was put back because its node went away.")
    start_time: str | None = Field(default=None, description="Start of the last try.")
    end_time: str | None = Field(default=None, description="When it was completed.")
    pool_id: str | None = Field(default=None, description="Id of the pool that it ran on.")
    node_id: str | None = Field(default=None, description="Node that it ran on.")
    stdout_tail: ShortText | None = Field(default=None, description="Last lines of stdout.txt, with spec.tailLines.")
    stderr_tail: ShortText | None = Field(
        default=None, description="Last lines of stderr.txt of a failed task; with spec.tailLines of any."
    )
    output_problem: ShortText | None = Field(default=None, description="Why the output could not be read.")
