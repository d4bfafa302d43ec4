"""BatchJob: a job with its tasks. One object can represent a million tasks (REST: Jobs - Create Job)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from azure_batch_operator.api.base import (
    AccountRef,
    NameRef,
    Refused,
    RemoteId,
    Rule,
    cel,
    fixed_account,
    immutable,
    many,
    one_of,
    optional,
)
from azure_batch_operator.api.factory import TaskFactory, TaskSource
from azure_batch_operator.api.job_body import JobBody, PoolInfo
from azure_batch_operator.api.job_policy import Backoff, FailurePolicy, Logs, ManagedBy, Seconds
from azure_batch_operator.api.task_body import Task

_CHANGEABLE = frozenset(
    {
        "priority", "allowTaskPreemption", "maxParallelTasks", "constraints", "networkConfiguration", "metadata",
        "onAllTasksComplete", "onDependencyFailure", "poolRef", "poolInfo", "tasks", "tasksFrom", "taskFactory",
        "taskPrunePolicy", "taskUpdatePolicy", "suspend", "suspendPolicy", "failurePolicy", "activeDeadlineSeconds",
        "pendingDeadlineSeconds", "backoff", "ttlSecondsAfterFinished", "ttlPolicy", "logs",
    }
)  # fmt: skip


OPERATOR = "azurebatch.io/operator"
"""The value of `managedBy` that means this operator."""


_ONE_POOL = cel(
    "has(self.poolRef) != has(self.poolInfo)",
    "a job runs on one pool: give either poolRef (a BatchPool of this namespace) or poolInfo (any other pool)",
    ".poolRef",
)


class JobTemplate(JobBody):
    """Everything in a BatchJob except its identity and account. BatchJobSchedules create jobs from it."""

    pool_ref: NameRef | None = optional(
        "BatchPool in the same namespace that the job runs on. Exactly one of poolRef and poolInfo is required."
    )
    pool_info: PoolInfo | None = optional("Pool that the job runs on, if it is not a BatchPool in the same namespace.")
    tasks: list[Task] | None = many("Tasks of the job, at most 2000.", 2000, key="id")
    tasks_from: list[TaskSource] | None = many("Additional tasks from ConfigMaps in the same namespace.", 20)
    task_factory: TaskFactory | None = optional("Generates many tasks from a template.")
    on_dependency_failure: Annotated[str, Field(json_schema_extra={"enum": ["Fail", "Ignore"]})] | None = optional(
        "What happens to tasks that depend on a failed task. With Fail, they never run, and the job ends when no "
        "other tasks are left. With Ignore, they run anyway (dependencyAction satisfy, unless exitConditions set "
        "another value), and the job fails at its end unless failurePolicy allows it. Defaults to Fail."
    )
    task_prune_policy: Annotated[str, Field(json_schema_extra={"enum": ["Keep", "Delete"]})] | None = optional(
        "What happens to tasks in Azure Batch that are no longer in the spec: Keep leaves them, Delete deletes "
        "them, except tasks of BatchTasks. Defaults to Keep."
    )
    task_update_policy: Annotated[str, Field(json_schema_extra={"enum": ["Refuse", "Replace"]})] | None = optional(
        "What happens to tasks in Azure Batch that differ from the spec: Refuse leaves them and reports them in "
        "the condition TasksInSync, Replace deletes them and adds them again, unless the job already has "
        "onAllTasksComplete terminatejob in Azure Batch. Set Replace when you create the job. Defaults to Refuse."
    )
    suspend: bool | None = optional(
        "Whether the job is suspended. A suspended job is not created in Azure Batch; an existing job is "
        "disabled. Defaults to false."
    )
    suspend_policy: Annotated[str, one_of("requeue", "terminate", "wait")] | None = optional(
        "What happens to running tasks when the job is suspended: requeue runs them again later, terminate ends "
        "them as failed, wait lets them finish. Defaults to requeue."
    )
    failure_policy: FailurePolicy | None = optional(
        "Number of failed tasks that the job tolerates. By default, one failed task makes the job fail."
    )
    active_deadline_seconds: Annotated[Seconds, Field(ge=1)] | None = optional(
        "Time limit of the job in seconds, from its creation in Azure Batch or its last resumption. The job "
        "fails when the limit is exceeded. Azure Batch enforces it as constraints.maxWallClockTime."
    )
    pending_deadline_seconds: Annotated[Seconds, Field(ge=1)] | None = optional(
        "Time limit in seconds for the first task to start, from the creation or resumption of the job. The job "
        "fails when the limit is exceeded."
    )
    backoff: Backoff | None = optional("How often tasks are retried and requeued.")
    ttl_seconds_after_finished: Seconds | None = optional(
        "Time in seconds after the end of the job when this object is deleted, together with the job and its "
        "tasks in Azure Batch. By default, the object is kept."
    )
    ttl_policy: Annotated[str, Field(json_schema_extra={"enum": ["DeleteObject", "KeepObject"]})] | None = optional(
        "What happens after ttlSecondsAfterFinished: DeleteObject deletes this object and the job in Azure "
        "Batch. KeepObject deletes only the job in Azure Batch, for objects that a GitOps tool would create "
        "again. Defaults to DeleteObject."
    )
    logs: Logs | None = optional("How the output of tasks is shown and stored.")
    ours: ClassVar[frozenset[str]] = frozenset(
        {
            "poolRef", "tasks", "tasksFrom", "taskFactory", "onDependencyFailure", "taskPrunePolicy", "taskUpdatePolicy",
            "suspend", "suspendPolicy", "failurePolicy", "activeDeadlineSeconds", "pendingDeadlineSeconds", "backoff",
            "ttlSecondsAfterFinished", "ttlPolicy", "logs",
        }
    )  # fmt: skip
    rules: ClassVar[tuple[Rule, ...]] = (
        *JobBody.rules,
        _ONE_POOL,
        cel(
            "has(self.tasks) || has(self.tasksFrom) || !has(self.taskFactory) || "
            "!has(self.taskFactory.repeatTask.dependsOn) || !has(self.taskFactory.repeatTask.dependsOn.allOf)",
            "taskFactory.repeatTask.dependsOn.allOf refers to tasks, but the job has neither tasks nor tasksFrom: "
            "add tasks, or remove allOf",
            ".taskFactory.repeatTask.dependsOn",
        ),
    )


class JobSpec(JobTemplate):
    """Desired state of the BatchJob."""

    id: RemoteId | None = optional("ID of the job in Azure Batch. Defaults to metadata.name.")
    account_ref: AccountRef | None = optional(
        "BatchAccount that the job belongs to. Required with poolInfo. Defaults to the account of the BatchPool."
    )
    retry_of: NameRef | None = optional(
        "BatchJob in the same namespace that has ended. The tasks of that job that failed or never ran are run "
        "again in this one, under the same IDs. Fields that are unset here are taken from the spec of that job, "
        "except id, suspend, managedBy, ttlSecondsAfterFinished, ttlPolicy, taskPrunePolicy and taskUpdatePolicy."
    )
    managed_by: ManagedBy | None = optional(
        "Controller that reconciles this job, as in batch/v1 Job. The operator reconciles jobs without managedBy "
        "or with azurebatch.io/operator and ignores all others."
    )
    ours: ClassVar[frozenset[str]] = JobTemplate.ours | {"id", "accountRef", "retryOf", "managedBy"}
    refused: ClassVar[tuple[Refused, ...]] = (
        Refused(
            "jobSpecification",
            "jobSpecification belongs to job schedules: write its members directly under spec",
            {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        ),
    )


JobSpec.rules = (
    *(rule for rule in JobTemplate.rules if rule is not _ONE_POOL),
    cel(
        "has(self.retryOf) ? !(has(self.poolRef) && has(self.poolInfo)) : has(self.poolRef) != has(self.poolInfo)",
        _ONE_POOL.message,
        _ONE_POOL.field,
    ),
    cel(
        "!has(self.retryOf) || !(has(self.tasks) || has(self.tasksFrom) || has(self.taskFactory))",
        "retryOf takes its tasks from another BatchJob: remove tasks, tasksFrom and taskFactory, or remove retryOf",
        ".retryOf",
    ),
    # A job without any pool, or with two, is told of that alone.
    cel(
        "has(self.poolRef) || !has(self.poolInfo) || has(self.accountRef)",
        "accountRef is required with poolInfo: name the BatchAccount that the job belongs to, "
        "or use poolRef to name a BatchPool",
        ".accountRef",
    ),
    cel(
        "(!(has(self.poolInfo) && has(self.poolInfo.autoPoolSpecification)) && "
        "!(has(oldSelf.poolInfo) && has(oldSelf.poolInfo.autoPoolSpecification))) || "
        "(has(self.poolInfo) && has(oldSelf.poolInfo) && self.poolInfo == oldSelf.poolInfo)",
        "autoPoolSpecification cannot be changed: create a new BatchJob",
        ".poolInfo.autoPoolSpecification",
    ),
    cel(
        "!has(oldSelf.networkConfiguration) || has(self.networkConfiguration)",
        "networkConfiguration cannot be removed: change it, or create a new BatchJob",
        ".networkConfiguration",
    ),
    fixed_account("BatchJob"),
    *(
        immutable(name, "create a new BatchJob")
        for name in JobSpec.wire_names()
        if name not in {*_CHANGEABLE, "accountRef"}
    ),
)
