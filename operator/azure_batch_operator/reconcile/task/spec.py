"""What decisions read of the spec of a BatchTask and of its former status; what is sent is made from the whole spec."""

from __future__ import annotations

from azure_batch_operator.batch.wire import EnvironmentSetting, TaskConstraints, Wire


class NameRef(Wire, frozen=True, gc=False):
    """An object of the same namespace."""

    name: str = ""


class ExitOptions(Wire, frozen=True, gc=False):
    """What an exit of the task does."""

    job_action: str | None = None


class ExitCode(Wire, frozen=True, gc=False):
    """What one exit code, or a range of them, does."""

    exit_options: ExitOptions = ExitOptions()


class ExitConditions(Wire, frozen=True, gc=False):
    """What the exits of the task do."""

    exit_codes: tuple[ExitCode, ...] = ()
    exit_code_ranges: tuple[ExitCode, ...] = ()
    pre_processing_error: ExitOptions | None = None
    file_upload_error: ExitOptions | None = None
    default: ExitOptions | None = None

    @property
    def acts_on_job(self) -> bool:
        """Whether any of them says what is to happen to the job."""
        others = (self.pre_processing_error, self.file_upload_error, self.default)
        options = [each.exit_options for each in (*self.exit_codes, *self.exit_code_ranges)]
        return any(each is not None and each.job_action is not None for each in (*options, *others))


class FailureBefore(Wire, frozen=True, gc=False):
    """`status.failureInfo`."""

    code: str | None = None


class TaskBefore(Wire, frozen=True, gc=False):
    """What the status of a BatchTask says, besides what all kinds say (`reconcile.before`)."""

    exit_code: int | None = None
    failure_info: FailureBefore = FailureBefore()


class TaskTerms(Wire, frozen=True, gc=False):
    """The spec of a BatchTask."""

    job_ref: NameRef = NameRef()
    job_id: str | None = None
    command_line: str = ""
    environment_settings: tuple[EnvironmentSetting, ...] = ()
    constraints: TaskConstraints = TaskConstraints()
    exit_conditions: ExitConditions = ExitConditions()

    @property
    def variables(self) -> frozenset[str]:
        """Names of the variables that it sets."""
        return frozenset(setting.name for setting in self.environment_settings if setting.name is not None)
