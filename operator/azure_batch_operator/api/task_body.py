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
    """Limits of a task."""

    max_wall_clock_time: Duration | None = optional(
        "Time limit of one attempt. Azure Batch terminates the task when it is exceeded. Unlimited by default."
    )
    retention_time: Duration | None = optional(
        "Time for which the task directory is kept on the node after the task has ended. Defaults to P7D."
    )
    max_task_retry_count: RetryCount | None = optional(
        "Maximum number of retries after a non-zero exit code. -1 means no limit. Defaults to the value of the job."
    )


class TaskIdRange(ApiModel):
    """A range of integer task IDs."""

    start: int = Field(description="First ID of the range.")
    end: int = Field(description="Last ID of the range, inclusive.")


class TaskDependencies(ApiModel):
    """Tasks that must succeed before this task starts. usesTaskDependencies of the job is set automatically."""

    task_ids: list[BatchId] | None = many("IDs of the tasks, at most 64000 characters in total.", 1000)
    task_id_ranges: list[TaskIdRange] | None = many("Ranges of integer IDs. Leading zeros are ignored.", 100)


def _all_of(*lists: str) -> Any:
    """The member `allOf` for a place where only these lists can be named: a task cannot wait for the list that it is in."""
    return many(
        "Lists of this job whose tasks must all succeed first: "
        + " or ".join(f"{name} ({_LISTS[name]})" for name in lists)
        + ".",
        len(lists),
        items={"type": "string", "enum": list(lists)},
    )


_LISTS = {"tasks": "the tasks of tasks and tasksFrom", "taskFactory": "the tasks generated from repeatTask"}


class ListedDependencies(TaskDependencies):
    """Dependencies of a task of `tasks` or `tasksFrom`."""

    all_of: list[str] | None = _all_of("taskFactory")
    ours: ClassVar[frozenset[str]] = frozenset({"allOf"})


TaskIdTemplate = Annotated[str, StringConstraints(min_length=1, max_length=256)]


def _id_templates() -> Any:
    return many(
        "IDs of the tasks, with placeholders, at most 64000 characters in total. IDs that become empty are ignored.",
        1000,
    )


class RowDependencies(ListedDependencies):
    """Dependencies of the task of a row."""

    task_ids: list[TaskIdTemplate] | None = _id_templates()


class FactoryDependencies(TaskDependencies):
    """Dependencies of a task generated from repeatTask."""

    task_ids: list[TaskIdTemplate] | None = _id_templates()
    all_of: list[str] | None = _all_of("tasks")
    ours: ClassVar[frozenset[str]] = frozenset({"allOf"})


class MergeDependencies(TaskDependencies):
    """Dependencies of the merge task."""

    all_of: list[str] | None = _all_of("tasks", "taskFactory")
    ours: ClassVar[frozenset[str]] = frozenset({"allOf"})


class ExitOptions(ApiModel):
    """Reactions to the exit of a task."""

    job_action: Annotated[str, one_of("none", "disable", "terminate")] | None = optional(
        "What happens to the job. Requires onTaskFailure performexitoptionsjobaction. Defaults to terminate "
        "after a failure."
    )
    dependency_action: Annotated[str, one_of("satisfy", "block")] | None = optional(
        "Whether tasks that depend on this task may run. Defaults to block after a failure."
    )


class ExitCodeMapping(ApiModel):
    """Reaction to one exit code."""

    code: int = Field(description="Exit code.")
    exit_options: ExitOptions = Field(description="Reaction to the exit code.")


class ExitCodeRangeMapping(ApiModel):
    """Reaction to a range of exit codes."""

    start: int = Field(description="First exit code of the range.")
    end: int = Field(description="Last exit code of the range.")
    exit_options: ExitOptions = Field(description="Reaction to the exit codes.")


class ExitConditions(ApiModel):
    """Reactions to the exit of the task."""

    exit_codes: list[ExitCodeMapping] | None = many("Reactions to individual exit codes.", 100)
    exit_code_ranges: list[ExitCodeRangeMapping] | None = many("Reactions to ranges of exit codes.", 100)
    pre_processing_error: ExitOptions | None = optional("Reaction if the task could not start.")
    file_upload_error: ExitOptions | None = optional(
        "Reaction if an output file could not be uploaded. A matching exit code takes precedence."
    )
    default: ExitOptions | None = optional("Reaction to all other failures.")


class AffinityInfo(ApiModel):
    """Preferred node of a task."""

    affinity_id: Annotated[str, StringConstraints(max_length=1024)] = Field(
        description="affinityId of a node or of a task. Azure Batch treats it as a preference."
    )


class MultiInstanceSettings(ApiModel):
    """Runs a task on several nodes, as for MPI. The pool requires enableInterNodeCommunication and one task slot per node."""

    number_of_instances: Annotated[int, Field(ge=1)] | None = optional("Number of nodes. Defaults to 1.")
    coordination_command_line: CommandLine = Field(
        description="Command that runs on all nodes before the command of the primary task. It typically starts a background "
        "service such as smpd."
    )
    common_resource_files: list[ResourceFile] | None = resource_files("Files to download to all nodes of the task.")


class TaskTemplate(ApiModel):
    """The properties of a task other than its ID (REST: Tasks - Create Task)."""

    display_name: DisplayName | None = optional("Display name. It need not be unique.")
    command_line: CommandLine = Field(
        description="Command line. It does not run in a shell: use /bin/sh -c '…' for variables, pipes and redirection. An "
        "empty string runs the entry point of the container."
    )
    container_settings: ContainerSettings | None = optional(
        "Container that the task runs in. By default, the task runs directly on the node."
    )
    resource_files: list[ResourceFile] | None = resource_files()
    output_files: list[OutputFile] | None = many("Files to upload when the task ends.", 100)
    environment_settings: list[EnvironmentSetting] | None = environment()
    affinity_info: AffinityInfo | None = optional("Preferred node of the task.")
    constraints: TaskConstraints | None = optional("Time limit, retention and retries of the task.")
    required_slots: Slots | None = optional(
        "Number of task slots that the task occupies on a node, from 1 to 256. Defaults to 1. Multi-instance "
        "tasks must use 1."
    )
    user_identity: UserIdentity | None = optional(
        "User that the task runs as. Defaults to an auto-user with scope pool and elevation level nonadmin."
    )
    exit_conditions: ExitConditions | None = optional("Reactions to the exit of the task.")
    multi_instance_settings: MultiInstanceSettings | None = optional("Runs the task on several nodes at once.")
    application_package_references: list[ApplicationPackageReference] | None = many(
        "Application packages to install on the node before the command starts.", 10
    )
    authentication_token_settings: AuthenticationTokenSettings | None = optional(
        "Token for calls to the Batch service, passed to the task in the environment variable "
        "AZ_BATCH_AUTHENTICATION_TOKEN."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "!has(self.multiInstanceSettings) || !has(self.requiredSlots) || self.requiredSlots == 1",
            "a multi-instance task uses one slot per node: remove requiredSlots",
            ".requiredSlots",
        ),
    )


class Task(TaskTemplate):
    """A task with its ID."""

    id: BatchId = Field(description="ID of the task in its job. Case-insensitive.")
    depends_on: ListedDependencies | None = optional("Tasks that must succeed before this task starts.")
