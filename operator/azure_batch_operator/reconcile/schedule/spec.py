"""What decisions read of the spec of a BatchJobSchedule; what is sent to Azure Batch is made from the whole spec."""

from __future__ import annotations

from azure_batch_operator.batch.wire import Wire


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
