"""BatchJob: a job with its tasks; one object can stand for a million of them (REST: Jobs - Create Job)."""

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
    """All of a BatchJob but who it is and where: also what a BatchJobSchedule makes jobs from."""

    pool_ref: NameRef | None = optional("The BatchPool of this namespace that the job runs on.")
    pool_info: PoolInfo | None = optional("The pool, where it is not a BatchPool.")
    tasks: list[Task] | None = many("Tasks of the job.", 2000, key="id")
    tasks_from: list[TaskSource] | None = many("More tasks, from ConfigMaps of this namespace.", 20)
    task_factory: TaskFactory | None = optional("Many tasks from a template.")
    on_dependency_failure: Annotated[str, Field(json_schema_extra={"enum": ["Fail", "Ignore"]})] | None = optional(
        "What becomes of tasks that depend on a failed one: with Fail they never run, and the job ends as soon as nothing else is "
        "left; with Ignore they run all the same (dependencyAction satisfy, where exitConditions say nothing else), and the job "
        "fails at its end unless failurePolicy allows it. Fail if left out."
    )
    task_prune_policy: Annotated[str, Field(json_schema_extra={"enum": ["Keep", "Delete"]})] | None = optional(
        "What becomes of tasks in Azure Batch that the spec no longer names: Keep leaves them, Delete deletes them (but "
        "not those of BatchTasks). Keep if left out."
    )
    task_update_policy: Annotated[str, Field(json_schema_extra={"enum": ["Refuse", "Replace"]})] | None = optional(
        "What becomes of tasks in Azure Batch that the spec now has otherwise: Refuse leaves them and says so in the condition "
        "TasksInSync, Replace deletes them and adds them again. Refuse if left out."
    )
    suspend: bool | None = optional(
        "Whether the job stands still: before it was created nothing is done in Azure Batch, afterwards it is disabled there."
    )
    suspend_policy: Annotated[str, one_of("requeue", "terminate", "wait")] | None = optional(
        "What becomes of running tasks when the job is suspended: they run again later, end as failed, or are waited for. "
        "requeue if left out."
    )
    failure_policy: FailurePolicy | None = optional("How many failed tasks the job may have.")
    active_deadline_seconds: Annotated[Seconds, Field(ge=1)] | None = optional(
        "How long the job may take from its creation in Azure Batch, or from its last resumption; it fails beyond. Kept by "
        "the service as constraints.maxWallClockTime."
    )
    pending_deadline_seconds: Annotated[Seconds, Field(ge=1)] | None = optional(
        "How long it may take until the first task starts, from the creation or resumption of the job; it fails beyond."
    )
    backoff: Backoff | None = optional("How often tasks are tried.")
    ttl_seconds_after_finished: Seconds | None = optional(
        "Deletes this object so long after its end, and with it the job and its tasks in Azure Batch."
    )
    ttl_policy: Annotated[str, Field(json_schema_extra={"enum": ["DeleteObject", "KeepObject"]})] | None = optional(
        "What happens after ttlSecondsAfterFinished: DeleteObject deletes this object and its job in Azure Batch, KeepObject only "
        "the job in Azure Batch, for objects that a GitOps tool would create again. DeleteObject if left out."
    )
    logs: Logs | None = optional("What becomes of the output of tasks.")
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
            "taskFactory.repeatTask.dependsOn.allOf names tasks, but the job has neither tasks nor tasksFrom: add the tasks, or "
            "remove allOf",
            ".taskFactory.repeatTask.dependsOn",
        ),
    )


class JobSpec(JobTemplate):
    """What the user wants."""

    id: RemoteId | None = optional("Id of the job in Azure Batch; metadata.name if left out.")
    account_ref: AccountRef | None = optional(
        "The BatchAccount that the job lives in; required with poolInfo, else that of the pool."
    )
    retry_of: NameRef | None = optional(
        "A BatchJob of this namespace that has ended: its tasks that failed or never ran are run, under the same ids. What this "
        "spec leaves out is taken from the spec of that job, except id, suspend, managedBy, ttlSecondsAfterFinished, ttlPolicy, "
        "taskPrunePolicy and taskUpdatePolicy."
    )
    managed_by: ManagedBy | None = optional(
        "The controller that looks after this job, as in batch/v1 Job; azurebatch.io/operator or nothing is the operator of "
        "this group, which leaves all others alone."
    )
    ours: ClassVar[frozenset[str]] = JobTemplate.ours | {"id", "accountRef", "retryOf", "managedBy"}
    refused: ClassVar[tuple[Refused, ...]] = (
        Refused(
            "jobSpecification",
            "jobSpecification belongs to job schedules: write what stands in it directly under spec",
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
        "accountRef is required with poolInfo: name the BatchAccount that the job lives in",
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
        "networkConfiguration cannot be taken away again: change it, or create a new BatchJob",
        ".networkConfiguration",
    ),
    *(immutable(name, "create a new BatchJob") for name in JobSpec.wire_names() if name not in _CHANGEABLE),
)
