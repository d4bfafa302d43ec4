"""What the statuses of all kinds have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from azure_batch_operator.api.base import ApiModel, ShortText, schema


class Condition(ApiModel):
    """`metav1.Condition`."""

    type: str = Field(description="Type of the condition, such as Ready.")
    status: Annotated[str, Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})] = Field(
        description="Status of the condition."
    )
    reason: Annotated[str, StringConstraints(max_length=256)] = Field(
        description="Machine-readable cause of the last transition: a CamelCase word, or the error code that Azure Batch "
        "returned."
    )
    message: Annotated[str, StringConstraints(max_length=32768)] = Field(
        description="Human-readable details: the cause and what to do about it."
    )
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] = Field(
        description="Time at which the status last changed."
    )
    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that the condition was computed from."
    )


class Handled(ApiModel):
    """Values of the one-shot azurebatch.io annotations that were already handled. A new value triggers the action again."""

    reconcile_now: ShortText | None = Field(
        default=None, description="Last handled value of azurebatch.io/reconcile-now."
    )
    retry_failed: ShortText | None = Field(
        default=None, description="Last handled value of azurebatch.io/retry-failed."
    )
    retrying: ShortText | None = Field(
        default=None,
        description="Present while failed tasks are retried: the time of the last failure that the retry covers, and the "
        "value of azurebatch.io/retry-failed.",
    )
    recreate: ShortText | None = Field(default=None, description="Last handled value of azurebatch.io/recreate.")
    terminate: ShortText | None = Field(default=None, description="Last handled value of azurebatch.io/terminate.")


class Status(ApiModel):
    """Status that all kinds share."""

    observed_generation: int | None = Field(
        default=None,
        description="Generation of the spec that this status was computed from; -1 until the first reconcile.",
    )
    phase: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        default=None, description="Summary of the state in one word. Scripts should read conditions instead."
    )
    conditions: list[Condition] | None = Field(
        default=None,
        description="Conditions of the object: Ready, Reconciling and Stalled (as defined by kstatus), and others specific "
        "to the kind.",
        # Written as a whole, and cheaper so: as a map each member of each condition has an owner of its own (docs/performance.md).
        json_schema_extra=schema(x_kubernetes_list_type="atomic", maxItems=16),
    )
    handled: Handled | None = Field(
        default=None, description="Values of one-shot annotations that were already handled."
    )


class RemoteStatus(Status):
    """Status of a kind that represents a resource in Azure Batch."""

    id: str | None = Field(default=None, description="ID in Azure Batch.")
    url: str | None = Field(default=None, description="URL of the resource in Azure Batch.")


class AdoptableStatus(RemoteStatus):
    """Status of a kind that can adopt an existing resource."""

    adopted: bool | None = Field(
        default=None,
        description="True if the operator adopted a resource that already existed in Azure Batch. Deleting this object then "
        "keeps the resource, unless azurebatch.io/reconcile-policy is manage.",
    )
