"""BatchJob: a job with its tasks; one object can stand for a million of them (seed: Jobs_CreateJob; batch-semantics §4.3)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from azure_batch_operator.api.base import (
    AccountRef,
    ApiModel,
    BatchId,
    NameRef,
    Refused,
    RemoteStatus,
    Rule,
    ShortText,
    cel,
    exactly_one_of,
    immutable,
    many,
    optional,
    schema,
)
from azure_batch_operator.api.factory import TaskFactory, TaskSource
from azure_batch_operator.api.job_body import JobBody, PoolInfo
from azure_batch_operator.api.task_body import Task

_CHANGEABLE = frozenset(
    {
        "priority", "allowTaskPreemption", "maxParallelTasks", "constraints", "onAllTasksComplete", "metadata",
        "onDependencyFailure",
    }
)  # fmt: skip


class JobTemplate(JobBody):
    """All of a BatchJob but who it is and where: also what a BatchJobSchedule makes jobs from."""

    pool_ref: NameRef | None = optional("The BatchPool of this namespace that the job runs on.")
    pool_info: PoolInfo | None = optional("The pool, where it is not a BatchPool.")
    tasks: list[Task] | None = many("Tasks of the job.", 2000, key="id")
    tasks_from: list[TaskSource] | None = many("More tasks, from ConfigMaps of this namespace.", 20)
    task_factory: TaskFactory | None = optional("Many tasks from a template.")
    on_dependency_failure: Annotated[str, Field(json_schema_extra={"enum": ["Fail", "Ignore"]})] | None = optional(
        "What happens when all that is left waits for failed tasks: Fail ends the job, Ignore lets it wait. Fail if left out."
    )
    ours: ClassVar[frozenset[str]] = frozenset({"poolRef", "tasks", "tasksFrom", "taskFactory", "onDependencyFailure"})
    rules: ClassVar[tuple[Rule, ...]] = (
        *JobBody.rules,
        exactly_one_of(("poolRef", "poolInfo"), "give either poolRef (a BatchPool of this namespace) or poolInfo"),
    )


class JobSpec(JobTemplate):
    """What the user wants."""

    id: BatchId | None = optional("Id of the job in Azure Batch; metadata.name if left out.")
    account_ref: AccountRef | None = optional(
        "The BatchAccount that the job lives in; required with poolInfo, else that of the pool."
    )
    ours: ClassVar[frozenset[str]] = JobTemplate.ours | {"id", "accountRef"}
    refused: ClassVar[tuple[Refused, ...]] = (
        Refused(
            "jobSpecification",
            "jobSpecification belongs to job schedules: write what stands in it directly under spec",
            {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        ),
    )


JobSpec.rules = (
    *JobTemplate.rules,
    cel("has(self.poolRef) || has(self.accountRef)", "accountRef is required with poolInfo", ".accountRef"),
    *(immutable(name, "create a new BatchJob") for name in JobSpec.wire_names() if name not in _CHANGEABLE),
)


class TaskCounts(ApiModel):
    """Tasks by state and result."""

    total: int | None = Field(default=None, description="Tasks that belong to the job.")
    submitted: int | None = Field(default=None, description="Tasks that Azure Batch has.")
    active: int | None = Field(default=None, description="Tasks that wait for a slot or for other tasks.")
    running: int | None = Field(default=None, description="Tasks that run.")
    completed: int | None = Field(default=None, description="Tasks that have ended.")
    succeeded: int | None = Field(default=None, description="Tasks that have ended well.")
    failed: int | None = Field(default=None, description="Tasks that have ended badly.")


class FailureGroup(ApiModel):
    """Failed tasks with the same cause."""

    exit_code: int | None = Field(default=None, description="Exit code, if a process ran.")
    category: str | None = Field(default=None, description="UserError or ServerError.")
    code: str | None = Field(default=None, description="Error code of the service.")
    message: ShortText | None = Field(default=None, description="Its text.")
    count: int = Field(description="How many tasks.")
    task_ids: list[str] = Field(description="Some of them.", json_schema_extra=schema(maxItems=5))
    stderr_tail: ShortText | None = Field(default=None, description="Last lines of stderr.txt of the first of them.")


class JobStatus(RemoteStatus):
    """What the service says of the job and its tasks; small whatever their number."""

    account: str | None = Field(
        default=None, description="namespace/name of the BatchAccount, kept in case the pool's object goes first."
    )
    pool_id: str | None = Field(default=None, description="Id of the pool that the job runs on.")
    state: str | None = Field(default=None, description="State of the job in Azure Batch.")
    start_time: str | None = Field(default=None, description="When the job was created in Azure Batch.")
    end_time: str | None = Field(default=None, description="When it was completed.")
    terminate_reason: str | None = Field(default=None, description="Why it ended, as the service says it.")
    task_counts: TaskCounts | None = Field(default=None, description="Tasks by state and result.")
    progress: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        default=None, description="Ended and all tasks, for the eye."
    )
    failures: list[FailureGroup] | None = Field(
        default=None, description="Failed tasks by cause, most frequent first.", json_schema_extra=schema(maxItems=5)
    )
