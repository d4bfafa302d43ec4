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
    """Limits of a job."""

    max_wall_clock_time: Duration | None = optional(
        "How long the job may live; it is terminated beyond. Unlimited if left out."
    )
    max_task_retry_count: RetryCount | None = optional("Default of its tasks' maxTaskRetryCount; 0 if left out.")


class JobManagerTask(ApiModel):
    """A task that steers its job, for example by adding tasks; it runs before all others."""

    id: BatchId = Field(description="Id of the task within the job.")
    display_name: DisplayName | None = optional("Name for people.")
    command_line: CommandLine = Field(description="The command, not run in a shell.")
    container_settings: ContainerSettings | None = optional("The container that it runs in; none if left out.")
    resource_files: list[ResourceFile] | None = resource_files()
    output_files: list[OutputFile] | None = many("Files to upload afterwards.", 100)
    environment_settings: list[EnvironmentSetting] | None = environment()
    constraints: TaskConstraints | None = optional("Time, retention and retries.")
    required_slots: Slots | None = optional("Task slots that it occupies on a node; 1 if left out.")
    kill_job_on_completion: bool | None = optional("Whether the job ends with it; true if left out.")
    user_identity: UserIdentity | None = optional("As whom it runs; a task-wide auto user if left out.")
    run_exclusive: bool | None = optional("Whether it has its node for itself; true if left out.")
    application_package_references: list[ApplicationPackageReference] | None = many(
        "Application packages to put on the node first.", 10
    )
    authentication_token_settings: AuthenticationTokenSettings | None = optional(
        "A token for calls to the Batch service, in the variable AZ_BATCH_AUTHENTICATION_TOKEN."
    )
    allow_low_priority_node: bool | None = optional("Whether it may run on a Spot node; true if left out.")


class JobPreparationTask(ApiModel):
    """Runs on each node before the first task of the job there."""

    id: BatchId | None = optional("Id of the task; jobpreparation if left out.")
    command_line: CommandLine = Field(description="The command, not run in a shell.")
    container_settings: ContainerSettings | None = optional("The container that it runs in; none if left out.")
    resource_files: list[ResourceFile] | None = resource_files()
    environment_settings: list[EnvironmentSetting] | None = environment()
    constraints: TaskConstraints | None = optional("Time, retention and retries.")
    wait_for_success: bool | None = optional("Whether tasks of the job wait for its success; true if left out.")
    user_identity: UserIdentity | None = optional("As whom it runs.")
    rerun_on_node_reboot_after_success: bool | None = optional(
        "Whether it runs again after a restart of the node; true if left out."
    )


class JobReleaseTask(ApiModel):
    """Runs on each node that ran the preparation task, when the job ends; needs jobPreparationTask."""

    id: BatchId | None = optional("Id of the task; jobrelease if left out.")
    command_line: CommandLine = Field(description="The command, not run in a shell.")
    container_settings: ContainerSettings | None = optional("The container that it runs in; none if left out.")
    resource_files: list[ResourceFile] | None = resource_files()
    environment_settings: list[EnvironmentSetting] | None = environment()
    max_wall_clock_time: Duration | None = optional("How long it may run, at most PT15M; PT15M if left out.")
    retention_time: Duration | None = optional("How long its directory stays on the node; P7D if left out.")
    user_identity: UserIdentity | None = optional("As whom it runs.")


class JobNetworkConfiguration(ApiModel):
    """A virtual network that the nodes join for the job; the pool needs dynamicVNetAssignmentScope job."""

    subnet_id: SubnetId = Field(description="ARM id of the subnet.")
    skip_withdraw_from_v_net: bool = Field(
        alias="skipWithdrawFromVNet", description="Whether nodes stay in the network after the job."
    )


class PoolSpecification(PoolBody):
    """The pool that the service makes for the job."""

    resource_tags: Annotated[str, StringConstraints(max_length=4096)] | None = optional(
        "Tags of the Azure resources of the pool, as one text."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        *PoolBody.rules,
        cel(
            "has(self.virtualMachineConfiguration.nodeAgentSKUId)",
            "nodeAgentSKUId is required in a pool that the service makes for a job",
            ".virtualMachineConfiguration.nodeAgentSKUId",
        ),
    )


class AutoPoolSpecification(ApiModel):
    """A pool that the service makes for the job and deletes with it."""

    auto_pool_id_prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]*$", max_length=20)] | None = (
        optional("First part of the pool's id, up to 20 letters, digits, '-' and '_'.")
    )
    pool_lifetime_option: Annotated[str, one_of("jobschedule", "job")] = Field(
        description="Whether each job has a pool of its own, or all jobs of a schedule share one; job for a BatchJob."
    )
    keep_alive: bool | None = optional("Whether the pool stays after its end; false if left out.")
    pool: PoolSpecification | None = optional("The pool.")


class PoolInfo(ApiModel):
    """The pool of a job, as in the REST API."""

    pool_id: BatchId | None = optional("Id of a pool of the account; for a BatchPool of this namespace use poolRef.")
    auto_pool_specification: AutoPoolSpecification | None = optional("A pool that the service makes for the job.")
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(("poolId", "autoPoolSpecification"), "give either poolId or autoPoolSpecification"),
    )


NOT_NO_TASKS = cel(
    "!has(self.maxParallelTasks) || self.maxParallelTasks != 0",
    "maxParallelTasks 0 would let no task run: give a positive number, or -1 for no limit",
    ".maxParallelTasks",
)
"""Refuses a job that could run no task; also for the defaults of an account."""


class JobBody(ApiModel):
    """What a job is, apart from its pool and its tasks."""

    display_name: DisplayName | None = optional("Name for people; need not be unique.")
    priority: Annotated[int, Field(ge=-1000, le=1000)] | None = optional(
        "Jobs with a higher number go first; 0 if left out."
    )
    allow_task_preemption: bool | None = optional(
        "Whether jobs of higher priority may push out running tasks; false if left out."
    )
    max_parallel_tasks: Annotated[int, Field(ge=-1)] | None = optional(
        "Most tasks that run at once; -1 (no limit) if left out."
    )
    constraints: JobConstraints | None = optional("Limits of the job and defaults of its tasks.")
    job_manager_task: JobManagerTask | None = optional("A task that steers the job; none if left out.")
    job_preparation_task: JobPreparationTask | None = optional(
        "Runs on each node before the first task of the job there."
    )
    job_release_task: JobReleaseTask | None = optional("Runs on each node when the job ends; needs jobPreparationTask.")
    uses_task_dependencies: bool | None = optional(
        "Whether tasks may depend on others; if left out, they may where a task of this object does, and in jobs without own tasks."
    )
    common_environment_settings: list[EnvironmentSetting] | None = environment("Environment variables of all tasks.")
    network_configuration: JobNetworkConfiguration | None = optional("A virtual network that nodes join for the job.")
    on_all_tasks_complete: Annotated[str, one_of("noaction", "terminatejob")] | None = optional(
        "Whether the job ends when all tasks have; applied after the last task was added. terminatejob if left out and "
        "the job has tasks of its own, else noaction."
    )
    on_task_failure: Annotated[str, one_of("noaction", "performexitoptionsjobaction")] | None = optional(
        "Whether the exit conditions of tasks act on the job; noaction if left out."
    )
    metadata: list[MetadataItem] | None = metadata("Name-value pairs of the job.")
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "!has(self.jobReleaseTask) || has(self.jobPreparationTask)",
            "jobReleaseTask runs only on nodes that ran jobPreparationTask: add that one, or remove jobReleaseTask",
            ".jobPreparationTask",
        ),
        NOT_NO_TASKS,
    )
