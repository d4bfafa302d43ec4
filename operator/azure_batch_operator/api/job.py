"""BatchJob: a job with its tasks; one object can stand for a million of them (seed: Jobs_CreateJob; batch-semantics §4.3)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from azure_batch_operator.api.base import (
    AccountRef,
    ApiModel,
    BatchId,
    DisplayName,
    NameRef,
    RemoteStatus,
    Rule,
    ShortText,
    cel,
    exactly_one_of,
    immutable,
    one_of,
    schema,
)
from azure_batch_operator.api.factory import TaskFactory
from azure_batch_operator.api.rest import EnvironmentSetting, JobConstraints, MetadataItem, Task


class PoolInfo(ApiModel):
    """The pool of a job, as in the REST API."""

    pool_id: BatchId = Field(description="Id of a pool of the account; for a BatchPool of this namespace use poolRef.")


class JobSpec(ApiModel):
    """What the user wants."""

    id: BatchId | None = Field(default=None, description="Id of the job in Azure Batch; metadata.name if left out.")
    account_ref: AccountRef | None = Field(
        default=None,
        description="The BatchAccount that the job lives in; required with poolInfo, else that of the pool.",
    )
    pool_ref: NameRef | None = Field(default=None, description="The BatchPool of this namespace that the job runs on.")
    pool_info: PoolInfo | None = Field(default=None, description="The pool, where it is not a BatchPool.")
    display_name: DisplayName | None = Field(default=None, description="Name for people; need not be unique.")
    priority: Annotated[int, Field(ge=-1000, le=1000)] | None = Field(
        default=None, description="Jobs with a higher number go first; 0 if left out. Can be changed."
    )
    allow_task_preemption: bool | None = Field(
        default=None, description="Whether jobs of higher priority may push out running tasks; false if left out."
    )
    max_parallel_tasks: Annotated[int, Field(ge=-1)] | None = Field(
        default=None, description="Most tasks that run at once; -1 (no limit) if left out. Can be changed."
    )
    constraints: JobConstraints | None = Field(default=None, description="Limits. Can be changed.")
    uses_task_dependencies: bool | None = Field(
        default=None, description="Whether tasks may depend on others; set by itself where a task of this object does."
    )
    common_environment_settings: list[EnvironmentSetting] | None = Field(
        default=None,
        description="Environment variables of all tasks.",
        json_schema_extra=schema(x_kubernetes_list_type="map", x_kubernetes_list_map_keys=["name"], maxItems=200),
    )
    on_all_tasks_complete: Annotated[str, one_of("noaction", "terminatejob")] | None = Field(
        default=None,
        description="Whether the job ends when all tasks have; applied after the last task was added. terminatejob if "
        "left out and the job has tasks of its own, else noaction.",
    )
    on_task_failure: Annotated[str, one_of("noaction", "performexitoptionsjobaction")] | None = Field(
        default=None, description="Whether the exit conditions of tasks act on the job; noaction if left out."
    )
    metadata: list[MetadataItem] | None = Field(
        default=None,
        description="Name-value pairs of the job. Can be changed.",
        json_schema_extra=schema(x_kubernetes_list_type="map", x_kubernetes_list_map_keys=["name"], maxItems=100),
    )
    tasks: list[Task] | None = Field(
        default=None,
        description="Tasks of the job.",
        json_schema_extra=schema(x_kubernetes_list_type="map", x_kubernetes_list_map_keys=["id"], maxItems=2000),
    )
    task_factory: TaskFactory | None = Field(default=None, description="Many tasks from a template.")
    on_dependency_failure: Annotated[str, Field(json_schema_extra={"enum": ["Fail", "Ignore"]})] | None = Field(
        default=None,
        description="What happens when all that is left waits for failed tasks: Fail ends the job, Ignore lets it wait. "
        "Fail if left out.",
    )
    ours: ClassVar[frozenset[str]] = frozenset(
        {"id", "accountRef", "poolRef", "tasks", "taskFactory", "onDependencyFailure"}
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(("poolRef", "poolInfo"), "give either poolRef (a BatchPool of this namespace) or poolInfo.poolId"),
        cel("has(self.poolRef) || has(self.accountRef)", "accountRef is required with poolInfo", ".accountRef"),
        *(
            immutable(field, "create a new BatchJob")
            for field in (
                "id", "accountRef", "poolRef", "poolInfo", "displayName", "usesTaskDependencies",
                "commonEnvironmentSettings", "onTaskFailure", "tasks", "taskFactory",
            )
        ),
    )  # fmt: skip


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
