"""What decisions read of the spec and of the former status of a BatchOperation; the inputs of its verb are sent as they are."""

from __future__ import annotations

from azure_batch_operator.batch.wire import Wire


class OperationSpec(Wire, frozen=True, gc=False):
    """The spec of a BatchOperation."""

    pool_id: str = ""
    job_id: str = ""
    schedule_id: str = ""
    task_id: str = ""
    node_id: str = ""
    max_concurrent: int | None = None
    pause_policy: str | None = None
    max_failures: int = 0
    ttl_seconds_after_finished: int | None = None


class EndingBefore(Wire, frozen=True, gc=False):
    """`status.ending`."""

    reason: str = ""
    message: str = ""


class Before(Wire, frozen=True, gc=False):
    """What the status says, besides its results."""

    start_time: str | None = None
    ending: EndingBefore | None = None
    omitted_results: int = 0


class RecordedResult(Wire, frozen=True, gc=False):
    """An item of `status.results`."""

    target: str = ""
    outcome: str = ""
    time: str = ""
    message: str = ""
    before: str = ""
