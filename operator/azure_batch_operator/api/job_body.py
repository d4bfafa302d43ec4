"""The body of a job under its REST names: its special tasks, its pool, its limits (REST: Jobs - Create Job)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from azure_batch_operator.api.base import (
    ApiModel,
    BatchId,
    CommandLine,
    DisplayName,
    Duration,
    Rule,
    cel,
    exactly_one_of,
    many,
    one_of,
    optional,
)
from azure_batch_operator.api.networks import SubnetId
from azure_batch_operator.api.pool_body import PoolBody
from azure_batch_operator.api.rest import (
    ApplicationPackageReference,
    AuthenticationTokenSettings,
    ContainerSettings,
    EnvironmentSetting,
    MetadataItem,
    OutputFile,
    ResourceFile,
    UserIdentity,
    environment,
    metadata,
    resource_files,
)
from azure_batch_operator.api.task_body import RetryCount, Slots, TaskConstraints


class JobConstraints(ApiModel):
    """Limits of a job, and defaults for its tasks."""

    max_wall_clock_time: Duration | None = optional(
        "Maximum lifetime of the job. Azure Batch terminates the job when it is exceeded. Unlimited by default."
    )
    max_task_retry_count: RetryCount | None = optional(
        "Default of maxTaskRetryCount for the tasks of the job. -1 means no limit. Defaults to 0."
    )


class JobManagerTask(ApiModel):
    """A task that controls its job, for example by adding tasks. It runs before all other tasks."""

    id: BatchId = Field(description="ID of the task in the job.")
    display_name: DisplayName | None = optional("Display name.")
    command_line: CommandLine = Field(description="Command line. It does not run in a shell.")
    container_settings: ContainerSettings | None = optional(
        "Container that the task runs in. By default, the task runs directly on the node."
    )
    resource_files: list[ResourceFile] | None = resource_files()
    output_files: list[OutputFile] | None = many("Files to upload when the task ends.", 100)
    environment_settings: list[EnvironmentSetting] | None = environment()
    constraints: TaskConstraints | None = optional("Time limit, retention and retries of the task.")
    required_slots: Slots | None = optional("Number of task slots that the task occupies on a node. Defaults to 1.")
    kill_job_on_completion: bool | None = optional("Whether the job ends when the task ends. Defaults to true.")
    user_identity: UserIdentity | None = optional(
        "User that the task runs as. Defaults to an auto-user with scope task."
    )
    run_exclusive: bool | None = optional("Whether the task runs alone on its node. Defaults to true.")
    application_package_references: list[ApplicationPackageReference] | None = many(
        "Application packages to install on the node before the command starts.", 10
    )
    authentication_token_settings: AuthenticationTokenSettings | None = optional(
        "Token for calls to the Batch service, passed to the task in the environment variable "
        "AZ_BATCH_AUTHENTICATION_TOKEN."
    )
    allow_low_priority_node: bool | None = optional("Whether the task may run on a Spot node. Defaults to true.")


class JobPreparationTask(ApiModel):
    """A task that runs on each node before the first task of the job on that node."""

    id: BatchId | None = optional("ID of the task. Defaults to jobpreparation.")
    command_line: CommandLine = Field(description="Command line. It does not run in a shell.")
    container_settings: ContainerSettings | None = optional(
        "Container that the task runs in. By default, the task runs directly on the node."
    )
    resource_files: list[ResourceFile] | None = resource_files()
    environment_settings: list[EnvironmentSetting] | None = environment()
    constraints: TaskConstraints | None = optional("Time limit, retention and retries of the task.")
    wait_for_success: bool | None = optional(
        "Whether tasks of the job wait until this task has succeeded. Defaults to true."
    )
    user_identity: UserIdentity | None = optional("User that the task runs as.")
    rerun_on_node_reboot_after_success: bool | None = optional(
        "Whether the task runs again after the node restarts. Defaults to true."
    )


class JobReleaseTask(ApiModel):
    """A task that runs, when the job ends, on each node where the job preparation task ran."""

    id: BatchId | None = optional("ID of the task. Defaults to jobrelease.")
    command_line: CommandLine = Field(description="Command line. It does not run in a shell.")
    container_settings: ContainerSettings | None = optional(
        "Container that the task runs in. By default, the task runs directly on the node."
    )
    resource_files: list[ResourceFile] | None = resource_files()
    environment_settings: list[EnvironmentSetting] | None = environment()
    max_wall_clock_time: Duration | None = optional("Time limit of the task, at most PT15M. Defaults to PT15M.")
    retention_time: Duration | None = optional(
        "Time for which the task directory is kept on the node. Defaults to P7D."
    )
    user_identity: UserIdentity | None = optional("User that the task runs as.")


class JobNetworkConfiguration(ApiModel):
    """A virtual network that nodes join for the job. The pool requires dynamicVNetAssignmentScope job."""

    subnet_id: SubnetId = Field(description="ARM ID of the subnet.")
    skip_withdraw_from_v_net: bool = Field(
        alias="skipWithdrawFromVNet", description="Whether nodes stay in the network after the job has ended."
    )


class PoolSpecification(PoolBody):
    """The pool that Azure Batch creates for the job."""

    resource_tags: Annotated[str, StringConstraints(max_length=4096)] | None = optional(
        "Tags of the Azure resources of the pool, as a single string."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        *PoolBody.rules,
        cel(
            "has(self.virtualMachineConfiguration.nodeAgentSKUId)",
            "nodeAgentSKUId is required in a pool that Azure Batch creates for a job",
            ".virtualMachineConfiguration.nodeAgentSKUId",
        ),
    )


class AutoPoolSpecification(ApiModel):
    """A pool that Azure Batch creates for the job and deletes together with it."""

    auto_pool_id_prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]*$", max_length=20)] | None = (
        optional("Prefix of the pool ID: up to 20 letters, digits, '-' and '_'.")
    )
    pool_lifetime_option: Annotated[str, one_of("jobschedule", "job")] = Field(
        description="Whether each job has its own pool, or all jobs of a schedule share one. Use job for a BatchJob."
    )
    keep_alive: bool | None = optional("Whether the pool is kept after its job has ended. Defaults to false.")
    pool: PoolSpecification | None = optional("Properties of the pool.")


class PoolInfo(ApiModel):
    """The pool of a job, as in the REST API. Exactly one of poolId and autoPoolSpecification is required."""

    pool_id: BatchId | None = optional(
        "ID of an existing pool in the account. For a BatchPool in the same namespace, use poolRef."
    )
    auto_pool_specification: AutoPoolSpecification | None = optional("Pool that Azure Batch creates for the job.")
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(("poolId", "autoPoolSpecification"), "give either poolId or autoPoolSpecification"),
    )


NOT_NO_TASKS = cel(
    "!has(self.maxParallelTasks) || self.maxParallelTasks != 0",
    "maxParallelTasks 0 would prevent all tasks from running: use a positive number, or -1 for no limit",
    ".maxParallelTasks",
)
"""Refuses a job that cannot run any task; also used for the defaults of an account."""


class JobBody(ApiModel):
    """Properties of a job except its pool and its tasks."""

    display_name: DisplayName | None = optional("Display name. It need not be unique.")
    priority: Annotated[int, Field(ge=-1000, le=1000)] | None = optional(
        "Priority of the job, from -1000 to 1000. Azure Batch schedules jobs with a higher priority first. "
        "Defaults to 0."
    )
    allow_task_preemption: bool | None = optional(
        "Whether jobs with a higher priority may preempt running tasks of this job. Defaults to false."
    )
    max_parallel_tasks: Annotated[int, Field(ge=-1)] | None = optional(
        "Maximum number of tasks that run at the same time. -1 means no limit. Defaults to -1."
    )
    constraints: JobConstraints | None = optional("Limits of the job, and defaults for its tasks.")
    job_manager_task: JobManagerTask | None = optional("Task that controls the job, for example by adding tasks.")
    job_preparation_task: JobPreparationTask | None = optional(
        "Task that runs on each node before the first task of the job on that node."
    )
    job_release_task: JobReleaseTask | None = optional(
        "Task that runs, when the job ends, on each node where the job preparation task ran. Requires "
        "jobPreparationTask."
    )
    uses_task_dependencies: bool | None = optional(
        "Whether tasks may depend on other tasks. If unset, it is true for jobs without their own tasks and for "
        "jobs in which a task of this object has dependencies."
    )
    common_environment_settings: list[EnvironmentSetting] | None = environment("Environment variables of all tasks.")
    network_configuration: JobNetworkConfiguration | None = optional("Virtual network that nodes join for the job.")
    on_all_tasks_complete: Annotated[str, one_of("noaction", "terminatejob")] | None = optional(
        "What happens when all tasks have ended. Applied after the last task is added. Defaults to terminatejob "
        "for jobs with their own tasks, otherwise to noaction."
    )
    on_task_failure: Annotated[str, one_of("noaction", "performexitoptionsjobaction")] | None = optional(
        "Whether the exit conditions of failed tasks act on the job. Defaults to noaction."
    )
    metadata: list[MetadataItem] | None = metadata("Metadata of the job.")
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "!has(self.jobReleaseTask) || has(self.jobPreparationTask)",
            "jobReleaseTask runs only on nodes where jobPreparationTask ran: add jobPreparationTask, or remove "
            "jobReleaseTask",
            ".jobPreparationTask",
        ),
        NOT_NO_TASKS,
    )
