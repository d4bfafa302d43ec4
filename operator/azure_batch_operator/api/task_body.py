"""The body of a task under its REST names, for BatchTask and for tasks and templates of jobs (REST: Tasks - Create Task)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from azure_batch_operator.api.base import (
    ApiModel,
    BatchId,
    CommandLine,
    DisplayName,
    Duration,
    Rule,
    cel,
    many,
    one_of,
    optional,
)
from azure_batch_operator.api.rest import (
    ApplicationPackageReference,
    AuthenticationTokenSettings,
    ContainerSettings,
    EnvironmentSetting,
    OutputFile,
    ResourceFile,
    UserIdentity,
    environment,
    resource_files,
)

RetryCount = Annotated[int, Field(ge=-1)]
Slots = Annotated[int, Field(ge=1, le=256)]


class TaskConstraints(ApiModel):
    """Limits of one task."""

    max_wall_clock_time: Duration | None = optional(
        "From start to end of one try; the task is ended beyond it. Unlimited if left out."
    )
    retention_time: Duration | None = optional(
        "How long its directory stays on the node after the end; P7D if left out."
    )
    max_task_retry_count: RetryCount | None = optional(
        "Further tries after a non-zero exit code; -1 without limit; the job's value if left out."
    )


class TaskIdRange(ApiModel):
    """Tasks with integer ids from start to end, both included."""

    start: int = Field(description="First id.")
    end: int = Field(description="Last id.")


class TaskDependencies(ApiModel):
    """Tasks that must have ended well before this one starts; usesTaskDependencies of the job is set by itself."""

    task_ids: list[BatchId] | None = many("Their ids, at most 64000 characters in all.", 1000)
    task_id_ranges: list[TaskIdRange] | None = many("Ranges of integer ids; leading zeros do not matter.", 100)


def _all_of(*lists: str) -> Any:
    """The member `allOf` for a place where only these lists can be named: a task cannot wait for the list that it is in."""
    return many(
        "Lists of this job whose tasks must all have ended well: "
        + " or ".join(f"{each} ({_LISTS[each]})" for each in lists)
        + ".",
        len(lists),
        items={"type": "string", "enum": list(lists)},
    )


_LISTS = {"tasks": "the tasks of tasks and tasksFrom", "taskFactory": "the tasks made from repeatTask"}


class ListedDependencies(TaskDependencies):
    """What a task of `tasks` or `tasksFrom` waits for."""

    all_of: list[str] | None = _all_of("taskFactory")
    ours: ClassVar[frozenset[str]] = frozenset({"allOf"})


TaskIdTemplate = Annotated[str, StringConstraints(min_length=1, max_length=256)]


def _id_templates() -> Any:
    return many(
        "Their ids, with placeholders, at most 64000 characters in all. An id that becomes empty is left out.", 1000
    )


class RowDependencies(ListedDependencies):
    """What the task of a row waits for."""

    task_ids: list[TaskIdTemplate] | None = _id_templates()


class FactoryDependencies(TaskDependencies):
    """What a task made from repeatTask waits for."""

    task_ids: list[TaskIdTemplate] | None = _id_templates()
    all_of: list[str] | None = _all_of("tasks")
    ours: ClassVar[frozenset[str]] = frozenset({"allOf"})


class MergeDependencies(TaskDependencies):
    """What the merge task waits for."""

    all_of: list[str] | None = _all_of("tasks", "taskFactory")
    ours: ClassVar[frozenset[str]] = frozenset({"allOf"})


class ExitOptions(ApiModel):
    """What follows from an exit."""

    job_action: Annotated[str, one_of("none", "disable", "terminate")] | None = optional(
        "What happens to the job; only with onTaskFailure performexitoptionsjobaction. terminate after a failure if left out."
    )
    dependency_action: Annotated[str, one_of("satisfy", "block")] | None = optional(
        "Whether tasks that depend on this one may run; block after a failure if left out."
    )


class ExitCodeMapping(ApiModel):
    """What follows from one exit code."""

    code: int = Field(description="The exit code.")
    exit_options: ExitOptions = Field(description="What follows.")


class ExitCodeRangeMapping(ApiModel):
    """What follows from a range of exit codes."""

    start: int = Field(description="First exit code.")
    end: int = Field(description="Last exit code.")
    exit_options: ExitOptions = Field(description="What follows.")


class ExitConditions(ApiModel):
    """How the service reacts to the task's end."""

    exit_codes: list[ExitCodeMapping] | None = many("By exit code.", 100)
    exit_code_ranges: list[ExitCodeRangeMapping] | None = many("By range of exit codes.", 100)
    pre_processing_error: ExitOptions | None = optional("If the task could not start.")
    file_upload_error: ExitOptions | None = optional(
        "If an output file was not uploaded; an exit code match goes first."
    )
    default: ExitOptions | None = optional("In all other cases of failure.")


class AffinityInfo(ApiModel):
    """Where a task would like to run."""

    affinity_id: Annotated[str, StringConstraints(max_length=1024)] = Field(
        description="affinityId of a node or of a task; a hint, not a demand."
    )


class MultiInstanceSettings(ApiModel):
    """Several nodes for one task, for example MPI; the pool needs enableInterNodeCommunication and one task slot per node."""

    number_of_instances: Annotated[int, Field(ge=1)] | None = optional("How many nodes; 1 if left out.")
    coordination_command_line: CommandLine = Field(
        description="Runs on every node before the command of the primary; typically starts a service such as smpd."
    )
    common_resource_files: list[ResourceFile] | None = resource_files("Files for all nodes of the task.")


class TaskTemplate(ApiModel):
    """The properties of a task other than its id (REST: Tasks - Create Task)."""

    display_name: DisplayName | None = optional("Name for people; need not be unique.")
    command_line: CommandLine = Field(
        description="The command, not run in a shell: wrap it in /bin/sh -c '…' for variables, pipes and redirection. "
        "Empty for a container's own entry point."
    )
    container_settings: ContainerSettings | None = optional("The container that it runs in; none if left out.")
    resource_files: list[ResourceFile] | None = resource_files()
    output_files: list[OutputFile] | None = many("Files to upload afterwards.", 100)
    environment_settings: list[EnvironmentSetting] | None = environment()
    affinity_info: AffinityInfo | None = optional("Where the task would like to run.")
    constraints: TaskConstraints | None = optional("Time, retention and retries.")
    required_slots: Slots | None = optional(
        "Task slots that it occupies on a node; 1 if left out, and for multi-instance tasks."
    )
    user_identity: UserIdentity | None = optional(
        "As whom it runs; a pool-wide auto user without admin rights if left out."
    )
    exit_conditions: ExitConditions | None = optional("How the service reacts to its end.")
    multi_instance_settings: MultiInstanceSettings | None = optional("Runs the task on several nodes at once.")
    application_package_references: list[ApplicationPackageReference] | None = many(
        "Application packages to put on the node first.", 10
    )
    authentication_token_settings: AuthenticationTokenSettings | None = optional(
        "A token for calls to the Batch service, in the variable AZ_BATCH_AUTHENTICATION_TOKEN."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "!has(self.multiInstanceSettings) || !has(self.requiredSlots) || self.requiredSlots == 1",
            "a multi-instance task takes one slot per node: leave requiredSlots out",
            ".requiredSlots",
        ),
    )


class Task(TaskTemplate):
    """One task with its id."""

    id: BatchId = Field(description="Id of the task within its job; not case-sensitive.")
    depends_on: ListedDependencies | None = optional("Tasks that must have ended well before this one starts.")
