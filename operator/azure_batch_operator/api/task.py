"""BatchTask: one task of a job, as an object of its own (seed: Tasks_CreateTask; batch-semantics §4.4)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from azure_batch_operator.api.base import ApiModel, BatchId, NameRef, RemoteStatus, Rule, ShortText, immutable
from azure_batch_operator.api.rest import TaskDependencies, TaskTemplate


class TaskSpec(TaskTemplate):
    """What the user wants. All of it is immutable, as a task is in Azure Batch."""

    job_ref: NameRef = Field(description="The BatchJob of this namespace that the task belongs to.")
    id: BatchId | None = Field(default=None, description="Id of the task within its job; metadata.name if left out.")
    depends_on: TaskDependencies | None = Field(
        default=None, description="Tasks of the same job that must have ended well before this one starts."
    )
    ours: ClassVar[frozenset[str]] = frozenset({"jobRef", "id"})
    rules: ClassVar[tuple[Rule, ...]] = tuple(
        immutable(field, "a task is fixed once it is added; delete this BatchTask and create a new one")
        for field in (
            "id", "jobRef", "commandLine", "displayName", "resourceFiles", "outputFiles", "environmentSettings",
            "affinityInfo", "constraints", "requiredSlots", "userIdentity", "exitConditions", "dependsOn",
        )
    )  # fmt: skip


class FailureInfo(ApiModel):
    """Why a task failed, as the service says it (batch-semantics §3.4)."""

    category: str | None = None
    code: str | None = None
    message: str | None = None


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
