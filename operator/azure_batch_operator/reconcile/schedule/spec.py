"""What decisions read of a BatchJobSchedule: of its spec, of its former status, and of the statuses of its BatchJobs.

What is sent to Azure Batch is made from the whole spec.
"""

from __future__ import annotations

from collections.abc import Sequence

from azure_batch_operator.batch.schedule_wire import JobResults, RecentJob
from azure_batch_operator.batch.wire import Body, Wire


class Cron(Wire, frozen=True, gc=False):
    """`spec.cron`, with its defaults."""

    expression: str = ""
    time_zone: str = "Etc/UTC"
    concurrency_policy: str = "Allow"
    starting_deadline_seconds: int | None = None
    successful_jobs_history_limit: int = 3
    failed_jobs_history_limit: int = 1


class ScheduleSpec(Wire, frozen=True, gc=False):
    """The spec of a BatchJobSchedule."""

    cron: Cron | None = None
    suspend: bool = False


class Before(Wire, frozen=True, gc=False):
    """What the status says; `history` is that of a schedule of the service."""

    active: int | None = None
    history: Sequence[Body] | None = None
    last_schedule_time: str | None = None
    recent_job: RecentJob = RecentJob()


class RunStatus(Wire, frozen=True, gc=False):
    """The status of a BatchJob that a cron schedule has created."""

    phase: str | None = None
    state: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    task_counts: JobResults = JobResults()
