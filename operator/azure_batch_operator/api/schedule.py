"""BatchJobSchedule: creates jobs repeatedly, on a schedule of Azure Batch or by cron.

Source: docs/azure-batch.md#job-schedules. A cron schedule exists in Kubernetes alone, as a CronJob does.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from azure_batch_operator.api.base import (
    AccountRef,
    ApiModel,
    DisplayName,
    Duration,
    Refused,
    RemoteId,
    Rule,
    cel,
    fixed_account,
    immutable,
    judged,
    misnamed,
    optional,
    schema,
)
from azure_batch_operator.api.job import JobTemplate
from azure_batch_operator.api.rest import MetadataItem, metadata
from azure_batch_operator.api.status import AdoptableStatus
from azure_batch_operator.words import listed

Moment = Annotated[str, StringConstraints(max_length=64), Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339 time."""


_SHORT = "^PT(0M)?[0-5]?[0-9]([.][0-9]+)?S$|^PT?0[MHD]$"


def at_least_a_minute(name: str) -> Rule:
    """Refuse a duration below the service's least."""
    says = f'"\'" + self.{name} + "\' is too short: {name} must be at least PT1M, a minute"'
    return cel(
        f"!has(self.{name}) || !self.{name}.matches('{_SHORT}')", f"{name} must be at least PT1M", f".{name}", says=says
    )


class Schedule(ApiModel):
    """When Azure Batch creates jobs. It runs one job of the schedule at a time."""

    do_not_run_until: Moment | None = optional(
        "Time before which no job is created. By default, the first job is created at once."
    )
    do_not_run_after: Moment | None = optional(
        "Time after which no job is created. By default, the schedule has no end."
    )
    start_window: Duration | None = optional(
        "Maximum delay of the start of a job, at least PT1M. Later runs are skipped. Unlimited by default."
    )
    recurrence_interval: Duration | None = optional(
        "Interval between two jobs, at least PT1M. By default, the schedule creates a single job."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "!has(self.doNotRunUntil) || !has(self.doNotRunAfter) || "
            "timestamp(self.doNotRunUntil) <= timestamp(self.doNotRunAfter)",
            "doNotRunAfter must not be before doNotRunUntil, or no job would ever run: use a later time",
            ".doNotRunAfter",
        ),
        at_least_a_minute("recurrenceInterval"),
        at_least_a_minute("startWindow"),
    )
    refused: ClassVar[tuple[Refused, ...]] = (misnamed("interval", "recurrenceInterval"),)


_FIELD = "[0-9A-Za-z*/,#LW?-]+"


def _numbers(number: str) -> str:
    """A field of cron that holds numbers: each a star, a number or a range, some with a step."""
    field = f"([*]|{number}(-{number})?)(/[0-9]+)?"
    return f"{field}(,{field})*"


_TIME = f"{_numbers('[0-5]?[0-9]')}[ \\\\t]+{_numbers('([01]?[0-9]|2[0-3])')}"
_CRON = f"^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|{_TIME}([ \\\\t]+{_FIELD}){{3}})$"
HistoryLimit = Annotated[int, Field(ge=0, le=1000)]


_TIME_ZONE = judged(
    "self.matches('^[A-Za-z][A-Za-z0-9_+/-]*$') && self != 'Local' && timestamp('2000-01-01T00:00:00Z').getHours(self) >= 0",
    "must be a name such as Europe/Berlin or Etc/UTC",
    64,
)
"""A zone that the API server does not know is an error of the rule, which it puts before the message.

CEL takes more than names: nothing, `Local`, and offsets such as `+02:00`.
"""


class Cron(ApiModel):
    """When the operator creates BatchJobs, similar to a CronJob."""

    expression: Annotated[str, StringConstraints(min_length=1, max_length=256)] = Field(
        description="Cron expression with five fields (minute, hour, day of month, month, day of week), or one of @hourly, "
        "@daily, @weekly, @monthly, @yearly."
    )
    time_zone: Annotated[str, _TIME_ZONE] | None = optional(
        "Time zone name, such as Europe/Berlin. Daylight saving time is applied. Defaults to Etc/UTC."
    )
    concurrency_policy: Annotated[str, Field(json_schema_extra={"enum": ["Allow", "Forbid", "Replace"]})] | None = (
        optional(
            "What happens if the previous job has not ended: Allow starts the next job concurrently, Forbid waits "
            "until the previous job has ended, then starts the latest run that is due, Replace deletes the "
            "previous job first. Defaults to Allow."
        )
    )
    starting_deadline_seconds: Annotated[int, Field(ge=10)] | None = optional(
        "Maximum delay of the start of a run in seconds, at least 10, for example because the operator was down "
        "or because of Forbid. Later runs are skipped. Unlimited by default."
    )
    successful_jobs_history_limit: HistoryLimit | None = optional(
        "Number of successful BatchJobs to keep, from 0 to 1000. Defaults to 3."
    )
    failed_jobs_history_limit: HistoryLimit | None = optional(
        "Number of failed BatchJobs to keep, from 0 to 1000. Defaults to 1."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            f"self.expression.matches('{_CRON}')",
            "expression must have five fields (minute 0-59, hour 0-23, day of month, month, day of week), such as '0 2 * * *', or "
            "be one of @hourly, @daily, @weekly, @monthly, @yearly; a time zone goes into timeZone",
            ".expression",
            says='"\'" + self.expression + "\' is not a cron expression: give five fields (minute 0-59, hour 0-23, day of month, '
            "month, day of week), such as '0 2 * * *', or one of @hourly, @daily, @weekly, @monthly, @yearly; a time zone goes "
            'into timeZone"',
        ),
    )
    refused: ClassVar[tuple[Refused, ...]] = (misnamed("schedule", "expression"), misnamed("timezone", "timeZone"))


_ONLY_CRON = sorted(JobTemplate.ours - {"poolRef"})
"""What only a BatchJob supports; Azure Batch creates the jobs of `schedule` without the operator."""
_FIXED = {
    "id": "create a new BatchJobSchedule",
    "displayName": "create a new BatchJobSchedule",
}


class JobScheduleSpec(ApiModel):
    """Desired state of the BatchJobSchedule."""

    id: RemoteId | None = optional(
        "ID of the job schedule in Azure Batch. With cron, the prefix of the IDs of its jobs. Defaults to "
        "metadata.name."
    )
    account_ref: AccountRef | None = optional(
        "BatchAccount that the schedule belongs to. Required with poolInfo. Defaults to the account of the BatchPool."
    )
    display_name: DisplayName | None = optional("Display name. It need not be unique.")
    schedule: Schedule | None = optional(
        "Schedule on which Azure Batch creates jobs. Exactly one of schedule and cron is required."
    )
    cron: Cron | None = optional(
        "Schedule on which the operator creates BatchJobs, similar to a CronJob. Exactly one of schedule and "
        "cron is required."
    )
    suspend: bool | None = optional(
        "Whether the schedule is suspended. A suspended schedule creates no jobs; running jobs continue. "
        "Defaults to false."
    )
    job_specification: JobTemplate = Field(
        description="Template for the jobs. With cron, it supports the same fields as a BatchJob. With schedule, a job "
        "manager task must add the tasks."
    )
    metadata: list[MetadataItem] | None = metadata(
        "Metadata of the schedule. Metadata of its jobs belongs in jobSpecification."
    )
    ours: ClassVar[frozenset[str]] = frozenset({"id", "accountRef", "cron", "suspend"})
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "has(self.schedule) != has(self.cron)",
            "give either cron (the operator creates BatchJobs, with time zone and history) or schedule (Azure Batch "
"creates jobs at an interval)",
            ".cron",
        ),
        cel(
            "has(self.jobSpecification.poolRef) || !has(self.jobSpecification.poolInfo) || has(self.accountRef)",
            "accountRef is required with poolInfo: name the BatchAccount that the schedule belongs to, "
            "or use jobSpecification.poolRef to name a BatchPool",
            ".accountRef",
        ),
        cel(
            # Without schedule, too: what has neither way is told of that alone.
            "has(self.cron) || !has(self.schedule) || ("
            + " && ".join(f"!has(self.jobSpecification.{name})" for name in _ONLY_CRON)
            + ")",
            "with schedule, Azure Batch creates the jobs, so only a jobManagerTask can add tasks: remove "
            f"{listed(_ONLY_CRON)}, or use cron instead of schedule",
            ".jobSpecification",
            says='"with schedule, Azure Batch creates the jobs, so only a jobManagerTask can add tasks: remove "'
            + "".join(f" + (has(self.jobSpecification.{name}) ? '{name}, ' : '')" for name in _ONLY_CRON)
            + " + 'or use cron instead of schedule'",
        ),
        cel(
            "has(self.schedule) == has(oldSelf.schedule)",
            "schedule cannot be replaced by cron or the reverse: create a new BatchJobSchedule",
        ),
        fixed_account("BatchJobSchedule"),
        *(immutable(name, remedy) for name, remedy in _FIXED.items()),
    )  # fmt: skip


class ScheduledJob(ApiModel):
    """A job of the schedule."""

    id: str = Field(description="ID of the job in Azure Batch.")
    name: str | None = Field(default=None, description="Name of the BatchJob, with cron.")
    state: str | None = Field(default=None, description="State of the job in Azure Batch, or phase of the BatchJob.")
    start_time: str | None = Field(default=None, description="Time at which the job was created.")
    end_time: str | None = Field(default=None, description="Time at which the job completed.")
    terminate_reason: str | None = Field(
        default=None, description="Reason for the end of the job that Azure Batch reports."
    )
    succeeded: int | None = Field(default=None, description="Number of tasks that succeeded.")
    failed: int | None = Field(default=None, description="Number of tasks that failed.")


class RecentJob(ApiModel):
    """The most recent job of the schedule."""

    id: str = Field(description="ID of the job.")


class ScheduleStatistics(ApiModel):
    """Totals over all jobs of the schedule. Azure Batch updates them with a delay."""

    num_succeeded_tasks: int | None = Field(default=None, description="Number of tasks that succeeded.")
    num_failed_tasks: int | None = Field(default=None, description="Number of tasks that failed.")
    num_task_retries: int | None = Field(default=None, description="Number of task retries.")


class JobScheduleStatus(AdoptableStatus):
    """Observed state of the BatchJobSchedule."""

    account: str | None = Field(
        default=None,
        description="BatchAccount of the schedule, as namespace/name. Recorded in case the BatchPool is deleted first.",
    )
    state: str | None = Field(default=None, description="State of the schedule in Azure Batch.")
    next_run_time: str | None = Field(default=None, description="Time of the next job.")
    last_schedule_time: str | None = Field(
        default=None, description="Scheduled time of the last BatchJob, with spec.cron."
    )
    end_time: str | None = Field(default=None, description="Time at which the schedule completed.")
    recent_job: RecentJob | None = Field(default=None, description="Most recent job of the schedule.")
    active: int | None = Field(default=None, description="Number of jobs that have not ended.")
    history: list[ScheduledJob] | None = Field(
        default=None, description="Most recent jobs, newest first.", json_schema_extra=schema(maxItems=10)
    )
    stats: ScheduleStatistics | None = Field(default=None, description="Totals over all jobs of the schedule.")
