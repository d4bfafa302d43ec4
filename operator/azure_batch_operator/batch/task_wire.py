"""The body of a task as typed values: what is decided from a task that a manifest, a template or a list describes.

The tasks of lists that only report a state are in `batch.wire`. A body is sent and compared as it is written (`wire.Body`).
"""

from __future__ import annotations

from msgspec.structs import replace

from azure_batch_operator.batch.wire import TaskExecution, Whole, Wire

_ENDED_BY_ITSELF = frozenset({"failureexitcode", "taskended"})
"""Codes of failures, in lower case, that are certainly not those of an upload, whose codes the service does not list."""


class IdRange(Wire, frozen=True, gc=False):
    """A range of numeric task IDs."""

    start: Whole = 0
    end: Whole = 0


class DependsOn(Wire, frozen=True, gc=False):
    """The tasks that a task waits for. None and an empty list differ: Azure Batch gets a list that a manifest has."""

    task_ids: tuple[str, ...] | None = None
    task_id_ranges: tuple[IdRange, ...] | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """The IDs that it names."""
        return self.task_ids or ()

    @property
    def ranges(self) -> tuple[IdRange, ...]:
        """The ranges that it names."""
        return self.task_id_ranges or ()


class ExitOptions(Wire, frozen=True, gc=False):
    """What an exit of the task does."""

    job_action: str | None = None
    dependency_action: str | None = None

    @property
    def satisfies(self) -> bool:
        """Whether dependents may run."""
        return (self.dependency_action or "").lower() == "satisfy"

    @property
    def disables_job(self) -> bool:
        """Whether it disables the job, if the job allows that."""
        return (self.job_action or "").lower() == "disable"


class ExitCode(Wire, frozen=True, gc=False):
    """What one exit code does."""

    code: Whole | None = None
    exit_options: ExitOptions = ExitOptions()


class ExitCodeRange(Wire, frozen=True, gc=False):
    """What a range of exit codes does."""

    start: Whole = 0
    end: Whole = 0
    exit_options: ExitOptions = ExitOptions()


class ExitConditions(Wire, frozen=True, gc=False):
    """What the exits of the task do."""

    exit_codes: tuple[ExitCode, ...] = ()
    exit_code_ranges: tuple[ExitCodeRange, ...] = ()
    pre_processing_error: ExitOptions | None = None
    file_upload_error: ExitOptions | None = None
    default: ExitOptions | None = None

    @property
    def acts_on_job(self) -> bool:
        """Whether any of them says what happens to the job."""
        others = (self.pre_processing_error, self.file_upload_error, self.default)
        codes = [code.exit_options for code in self.exit_codes]
        spans = [span.exit_options for span in self.exit_code_ranges]
        return any(options is not None and options.job_action is not None for options in (*codes, *spans, *others))

    @property
    def forgiving(self) -> ExitConditions:
        """The same with `satisfy` for ends of which they say nothing, so that dependents run."""
        default = self.default or NO_OPTIONS
        return replace(self, default=replace(default, dependency_action=default.dependency_action or "satisfy"))

    def options(self, code: int | None, reason: str | None) -> ExitOptions:
        """What a failure does (docs/azure-batch.md#tasks).

        Args:
            code: the exit code; None if the task could not start.
            reason: code of the failure.
        """
        found = self.pre_processing_error
        if code is not None:
            found = next((ended.exit_options for ended in self.exit_codes if ended.code == code), None)
            if found is None:
                spans = self.exit_code_ranges
                found = next((span.exit_options for span in spans if span.start <= code <= span.end), None)
            if found is None and str(reason).lower() not in _ENDED_BY_ITSELF:
                found = self.file_upload_error
        return found if found not in (None, NO_OPTIONS) else self.default or NO_OPTIONS


NO_OPTIONS = ExitOptions()
NO_CONDITIONS = ExitConditions()


class MultiInstance(Wire, frozen=True, gc=False):
    """How many nodes a task takes at the same time."""

    coordination_command_line: str | None = None
    number_of_instances: Whole | None = None


NO_INSTANCES = MultiInstance()


class TokenSettings(Wire, frozen=True, gc=False):
    """Which token the task gets."""

    access: tuple[str, ...] = ()


class TaskNeeds(Wire, frozen=True, gc=False):
    """What a task needs of its nodes and of its job."""

    required_slots: Whole | None = None
    multi_instance_settings: MultiInstance | None = None
    authentication_token_settings: TokenSettings = TokenSettings()

    @property
    def slots(self) -> int:
        """Task slots of a node."""
        return self.required_slots or 1

    @property
    def nodes(self) -> int:
        """Nodes at the same time; 0 for a task that is not a multi-instance task."""
        settings = self.multi_instance_settings
        return 0 if settings in (None, NO_INSTANCES) else settings.number_of_instances or 1

    @property
    def is_let_in(self) -> bool:
        """Whether it gets a token for its job, and so may add tasks."""
        return bool(self.authentication_token_settings.access)


class EndedTask(Wire, frozen=True, gc=False):
    """A task that has ended, and what its end does."""

    id: str = ""
    exit_conditions: ExitConditions = NO_CONDITIONS
    execution_info: TaskExecution = TaskExecution()
