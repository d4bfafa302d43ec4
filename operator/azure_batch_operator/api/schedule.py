"""BatchJobSchedule: jobs again and again, by a schedule of the service or by cron.

Source: docs/azure-batch.md#job-schedules. A cron schedule exists in Kubernetes alone, as a CronJob does.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from azure_batch_operator.api.base import (
    AccountRef,
    AdoptableStatus,
    ApiModel,
    DisplayName,
    Duration,
    Refused,
    RemoteId,
    Rule,
    cel,
    immutable,
    judged,
    misnamed,
    optional,
    schema,
)
from azure_batch_operator.api.job import JobTemplate
from azure_batch_operator.api.rest import MetadataItem, metadata
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
    """When the service makes jobs; it makes one at a time."""

    do_not_run_until: Moment | None = optional("No job before this time; at once if left out.")
    do_not_run_after: Moment | None = optional("No new job after this time; forever if left out.")
    start_window: Duration | None = optional(
        "How late a job may be started, at least PT1M; beyond, that run is left out. Unlimited if left out."
    )
    recurrence_interval: Duration | None = optional(
        "Time between two jobs, at least PT1M; the schedule makes a single job if left out."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "!has(self.doNotRunUntil) || !has(self.doNotRunAfter) || "
            "timestamp(self.doNotRunUntil) <= timestamp(self.doNotRunAfter)",
            "doNotRunAfter must not be before doNotRunUntil, or no job would ever run: give a later time",
            ".doNotRunAfter",
        ),
        at_least_a_minute("recurrenceInterval"),
        at_least_a_minute("startWindow"),
    )
    refused: ClassVar[tuple[Refused, ...]] = (misnamed("interval", "recurrenceInterval"),)


_FIELD = "[0-9A-Za-z*/,#LW?-]+"


def _numbers(number: str) -> str:
    """A field of cron that holds numbers: each a star, a number or a range, some with a step."""
    each = f"([*]|{number}(-{number})?)(/[0-9]+)?"
    return f"{each}(,{each})*"


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
    """When the operator makes BatchJobs, as a CronJob makes Jobs."""

    expression: Annotated[str, StringConstraints(min_length=1, max_length=256)] = Field(
        description="Five fields (minute, hour, day of month, month, day of week) or @hourly, @daily, @weekly, @monthly, @yearly."
    )
    time_zone: Annotated[str, _TIME_ZONE] | None = optional(
        "Name of a time zone such as Europe/Berlin, whose summer time counts; Etc/UTC if left out."
    )
    concurrency_policy: Annotated[str, Field(json_schema_extra={"enum": ["Allow", "Forbid", "Replace"]})] | None = (
        optional(
            "What happens when the last job still runs: Allow starts the next one beside it, Forbid waits until it has ended, then "
            "starts the youngest run that is due, Replace deletes it first. Allow if left out."
        )
    )
    starting_deadline_seconds: Annotated[int, Field(ge=10)] | None = optional(
        "Seconds by which a run may start late, for example because the operator was down, or Forbid has made it wait; a run that "
        "would start later is skipped. Unlimited if left out."
    )
    successful_jobs_history_limit: HistoryLimit | None = optional("Successful BatchJobs to keep; 3 if left out.")
    failed_jobs_history_limit: HistoryLimit | None = optional("Failed BatchJobs to keep; 1 if left out.")
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
"""What only a BatchJob can do; the service makes its jobs without us."""
_FIXED = {
    "id": "create a new BatchJobSchedule",
    "accountRef": "create a new BatchJobSchedule",
    "displayName": "create a new BatchJobSchedule",
}


class JobScheduleSpec(ApiModel):
    """What the user wants."""

    id: RemoteId | None = optional(
        "Id of the job schedule in Azure Batch; with cron, the first part of the ids of its jobs. metadata.name if left out."
    )
    account_ref: AccountRef | None = optional(
        "The BatchAccount that it lives in; required with poolInfo, else that of the pool."
    )
    display_name: DisplayName | None = optional("Name for people; need not be unique.")
    schedule: Schedule | None = optional("When the service makes jobs by itself; either this or cron.")
    cron: Cron | None = optional("When the operator makes BatchJobs, as a CronJob does; either this or schedule.")
    suspend: bool | None = optional("Whether no new job starts; a running one goes on. false if left out.")
    job_specification: JobTemplate = Field(
        description="The jobs: all that a job may have. Tasks of their own only with cron; otherwise a job manager task adds them."
    )
    metadata: list[MetadataItem] | None = metadata("Name-value pairs of the schedule; those of its jobs stand below.")
    ours: ClassVar[frozenset[str]] = frozenset({"id", "accountRef", "cron", "suspend"})
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "has(self.schedule) != has(self.cron)",
            "give either cron (BatchJobs made by the operator, with time zone and history) or schedule (jobs made by Azure Batch "
            "at an interval)",
            ".cron",
        ),
        cel(
            "has(self.jobSpecification.poolRef) || !has(self.jobSpecification.poolInfo) || has(self.accountRef)",
            "accountRef is required with poolInfo: name the BatchAccount that the schedule lives in",
            ".accountRef",
        ),
        cel(
            # Without schedule, too: what has neither way is told of that alone.
            "has(self.cron) || !has(self.schedule) || ("
            + " && ".join(f"!has(self.jobSpecification.{name})" for name in _ONLY_CRON)
            + ")",
            "Azure Batch makes the jobs of schedule by itself, so only a jobManagerTask can bring tasks: remove "
            f"{listed(_ONLY_CRON)}, or use cron instead of schedule",
            ".jobSpecification",
            says='"Azure Batch makes the jobs of schedule by itself, so only a jobManagerTask can bring tasks: remove "'
            + "".join(f" + (has(self.jobSpecification.{name}) ? '{name}, ' : '')" for name in _ONLY_CRON)
            + " + 'or use cron instead of schedule'",
        ),
        cel(
            "has(self.schedule) == has(oldSelf.schedule)",
            "schedule and cron cannot take each other's place: create a new BatchJobSchedule",
        ),
        *(immutable(name, remedy) for name, remedy in _FIXED.items()),
    )  # fmt: skip


class ScheduledJob(ApiModel):
    """One job of the schedule."""

    id: str = Field(description="Id of the job in Azure Batch.")
    name: str | None = Field(default=None, description="Name of the BatchJob, with cron.")
    state: str | None = Field(default=None, description="State of the job, or phase of the BatchJob.")
    start_time: str | None = Field(default=None, description="When it was created.")
    end_time: str | None = Field(default=None, description="When it was completed.")
    terminate_reason: str | None = Field(default=None, description="Why it ended, as the service says it.")
    succeeded: int | None = Field(default=None, description="Tasks that have ended well.")
    failed: int | None = Field(default=None, description="Tasks that have ended badly.")


class RecentJob(ApiModel):
    """The last job that the schedule made."""

    id: str = Field(description="Its id.")


class ScheduleStatistics(ApiModel):
    """What the service has added up over all jobs; it does so now and then."""

    num_succeeded_tasks: int | None = Field(default=None, description="Tasks that have ended well.")
    num_failed_tasks: int | None = Field(default=None, description="Tasks that have ended badly.")
    num_task_retries: int | None = Field(default=None, description="Tasks that were run again.")


class JobScheduleStatus(AdoptableStatus):
    """What is known of the schedule and its jobs."""

    account: str | None = Field(
        default=None, description="namespace/name of the BatchAccount, kept in case the pool's object goes first."
    )
    state: str | None = Field(default=None, description="State of the schedule in Azure Batch.")
    next_run_time: str | None = Field(default=None, description="When the next job is due.")
    last_schedule_time: str | None = Field(default=None, description="When the last BatchJob was due, with cron.")
    end_time: str | None = Field(default=None, description="When the schedule was completed.")
    recent_job: RecentJob | None = Field(default=None, description="The last job that it made.")
    active: int | None = Field(default=None, description="Jobs of it that have not ended.")
    history: list[ScheduledJob] | None = Field(
        default=None, description="Its last jobs, newest first.", json_schema_extra=schema(maxItems=10)
    )
    stats: ScheduleStatistics | None = Field(default=None, description="Statistics over all its jobs.")
