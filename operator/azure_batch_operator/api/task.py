"""BatchTask: one task of a job, as an object of its own (seed: Tasks_CreateTask; batch-semantics §4.4)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from azure_batch_operator.api.base import ApiModel, BatchId, NameRef, RemoteStatus, ShortText, immutable, optional
from azure_batch_operator.api.task_body import TaskDependencies, TaskTemplate


class TaskSpec(TaskTemplate):
    """What the user wants. All of it is immutable, as a task is in Azure Batch."""

    job_ref: NameRef = Field(description="The BatchJob of this namespace that the task belongs to.")
    id: BatchId | None = optional("Id of the task within its job; metadata.name if left out.")
    depends_on: TaskDependencies | None = optional(
        "Tasks of the same job that must have ended well before this one starts; the job needs usesTaskDependencies: true."
    )
    ours: ClassVar[frozenset[str]] = frozenset({"jobRef", "id"})


TaskSpec.rules = (
    *TaskTemplate.rules,
    *(
        immutable(name, "a task is fixed once it is added; delete this BatchTask and create a new one")
        for name in TaskSpec.wire_names()
    ),
)


class FailureInfo(ApiModel):
    """Why a task failed, as the service says it (batch-semantics §3.4)."""

    category: str | None = optional("UserError or ServerError.")
    code: str | None = optional("The service's error code, such as FailureExitCode.")
    message: str | None = optional("Its text.")


class TaskStatus(RemoteStatus):
    """What the service says of the task."""

    job_id: str | None = Field(default=None, description="Id of the job in Azure Batch.")
    state: str | None = Field(default=None, description="active, preparing, running or completed.")
    result: str | None = Field(default=None, description="success or failure, once completed.")
    exit_code: int | None = Field(default=None, description="Exit code of the last try.")
    failure_info: FailureInfo | None = Field(default=None, description="Why it failed.")
    retry_count: int | None = Field(default=None, description="Tries after a non-zero exit code.")
    requeue_count: int | None = Field(default=None, description="Times it was put back because its node went away.")
    start_time: str | None = Field(default=None, description="Start of the last try.")
    end_time: str | None = Field(default=None, description="When it was completed.")
    node_id: str | None = Field(default=None, description="Node that it ran on.")
    stderr_tail: ShortText | None = Field(default=None, description="Last lines of stderr.txt of a failed task.")
