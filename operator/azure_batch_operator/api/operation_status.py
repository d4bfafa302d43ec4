"""What the status of a BatchOperation says: its targets, and how each of them has ended."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from azure_batch_operator.api.base import ApiModel, ShortText, schema
from azure_batch_operator.api.operation_inputs import MAX_TARGETS
from azure_batch_operator.api.status import RemoteStatus

MAX_RESULTS = 500
MAX_VALUES = 100
Outcome = Annotated[str, Field(json_schema_extra={"enum": ["Attempted", "Succeeded", "Failed", "Unknown", "Skipped"]})]


class OperationResult(ApiModel):
    """Result of one target."""

    target: str = Field(description="ID of the node, task, pool, job or schedule, or name of the account.")
    outcome: Outcome = Field(
        description="Outcome of the call: Attempted while it is not known yet, Unknown if the call was not answered and its "
        "effect cannot be determined."
    )
    message: ShortText | None = Field(default=None, description="Details, if the call did not simply succeed.")
    request_id: str | None = Field(default=None, description="Request ID from Azure, for support requests.")
    time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = Field(
        default=None, description="Time at which the outcome became known; for Attempted, the time before the call."
    )
    values: dict[str, str] | None = Field(
        default=None,
        description="Values that the call returned.",
        json_schema_extra=schema(maxProperties=MAX_VALUES, additionalProperties={"type": "string", "maxLength": 4096}),
    )
    omitted_values: int | None = Field(
        default=None, description="Number of returned values that are not shown because of the size limit."
    )
    before: str | None = Field(
        default=None,
        description="State of the target before the attempt, used to determine whether the call had an effect.",
    )


class OperationCounts(ApiModel):
    """Number of targets by outcome."""

    targets: int = Field(description="Total number of targets.")
    succeeded: int = Field(description="Targets for which the call succeeded.")
    failed: int = Field(description="Targets for which Azure Batch refused the call.")
    unknown: int = Field(description="Targets whose call got no response and whose result cannot be determined.")
    skipped: int = Field(
        description="Targets that were skipped, because there was nothing to do or the operation stopped before."
    )


class OperationEnding(ApiModel):
    """Why an operation ended before all targets were attempted."""

    reason: str = Field(description="Machine-readable reason.")
    message: str = Field(description="Human-readable message.")


class OperationStatus(RemoteStatus):
    """Observed state of the BatchOperation."""

    account: str | None = Field(
        default=None, description="BatchAccount of the target, as namespace/name. Set before the first call."
    )
    created: str | None = Field(
        default=None,
        description="creationTime of the target in Azure Batch, which identifies it among resources with the same ID.",
    )
    start_time: str | None = Field(default=None, description="Time before the first call.")
    ending: OperationEnding | None = Field(
        default=None,
        description="Why no more targets are attempted. Final, even if the cause is removed later.",
    )
    completion_time: str | None = Field(default=None, description="Time at which the last outcome became known.")
    progress: str | None = Field(default=None, description="Finished targets and all targets, for display.")
    counts: OperationCounts | None = Field(default=None, description="Number of targets by outcome.")
    targets: list[str] | None = Field(
        default=None,
        description="IDs of all targets in order, fixed before the first call.",
        json_schema_extra=schema(maxItems=MAX_TARGETS, x_kubernetes_list_type="atomic"),
    )
    results: list[OperationResult] | None = Field(
        default=None,
        description="Results of targets. If there are too many, failed targets are kept.",
        json_schema_extra=schema(maxItems=MAX_RESULTS, x_kubernetes_list_type="atomic"),
    )
    omitted_results: int | None = Field(
        default=None, description="Number of targets whose results are not shown because of the size limit."
    )
