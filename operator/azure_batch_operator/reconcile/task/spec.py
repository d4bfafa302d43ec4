"""What decisions read of the spec of a BatchTask and of its former status; what is sent is made from the whole spec."""

from __future__ import annotations

from azure_batch_operator.batch.task_wire import NO_CONDITIONS, ExitConditions
from azure_batch_operator.batch.wire import EnvironmentSetting, TaskConstraints, Wire
from azure_batch_operator.reconcile.references import NameRef


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
    tail_lines: int | None = None
    environment_settings: tuple[EnvironmentSetting, ...] = ()
    constraints: TaskConstraints = TaskConstraints()
    exit_conditions: ExitConditions = NO_CONDITIONS

    @property
    def variables(self) -> frozenset[str]:
        """Names of the variables that it sets."""
        return frozenset(setting.name for setting in self.environment_settings if setting.name is not None)
