"""BatchPool: a pool of compute nodes (seed: Pools_CreatePool, Pools_ResizePool; batch-semantics §4.1, §6)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from azure_batch_operator.api.base import (
    AccountRef,
    ApiModel,
    BatchId,
    Refused,
    RemoteStatus,
    immutable,
    one_of,
    optional,
    schema,
)
from azure_batch_operator.api.pool_body import PoolBody
from azure_batch_operator.api.rest import tags

_CHANGEABLE = frozenset({"targetDedicatedNodes", "targetLowPriorityNodes", "resizeTimeout", "nodeDeallocationOption"})
_REMEDIES = {
    "id": "create a new BatchPool",
    "accountRef": "create a new BatchPool",
    "displayName": "create a new BatchPool",
    "metadata": "create a new BatchPool",
    "vmSize": "create a BatchPool of the new size and move the jobs",
    "virtualMachineConfiguration": "create a BatchPool with the new image and move the jobs",
}
_WRAPPED = "write what stands in it directly under spec"


class PoolSpec(PoolBody):
    """What the user wants."""

    account_ref: AccountRef = Field(description="The BatchAccount that the pool lives in.")
    id: BatchId | None = optional("Id of the pool in Azure Batch; metadata.name if left out.")
    resource_tags: dict[str, str] | None = tags(
        "Tags of the Azure resources of the pool, by name; only for accounts that allocate in your own subscription."
    )
    node_deallocation_option: (
        Annotated[str, one_of("requeue", "terminate", "taskcompletion", "retaineddata")] | None
    ) = optional("What becomes of the tasks on nodes that a resize takes away; requeue if left out.")
    ours: ClassVar[frozenset[str]] = frozenset({"accountRef", "id", "nodeDeallocationOption"})
    refused: ClassVar[tuple[Refused, ...]] = (
        *PoolBody.refused,
        Refused(
            "properties",
            f"properties belongs to templates of Azure Resource Manager: {_WRAPPED}",
            {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        ),
        Refused(
            "pool",
            f"pool is a wrapper of template files: {_WRAPPED}",
            {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        ),
    )


PoolSpec.rules = (
    *PoolBody.rules,
    *(
        immutable(name, _REMEDIES.get(name, "create a new BatchPool and move the jobs"))
        for name in PoolSpec.wire_names()
        if name not in _CHANGEABLE
    ),
)


class NodeCounts(ApiModel):
    """Nodes by state; states without nodes are left out (batch-semantics §4.2)."""

    creating: int | None = optional("Being allocated.")
    starting: int | None = optional("Booting.")
    waiting_for_start_task: int | None = optional("Running the start task before they take tasks.")
    idle: int | None = optional("Ready for tasks.")
    running: int | None = optional("Running tasks.")
    leaving_pool: int | None = optional("Leaving the pool.")
    offline: int | None = optional("Closed for new tasks, and without any.")
    preempted: int | None = optional("Spot nodes that Azure took away; they come back.")
    rebooting: int | None = optional("Restarting.")
    reimaging: int | None = optional("Being installed anew.")
    start_task_failed: int | None = optional("Whose start task failed; they take no tasks.")
    unusable: int | None = optional("That cannot be used; see their errors.")
    unknown: int | None = optional("That the service has lost contact with.")
    upgrading_os: int | None = optional("Upgrading the operating system.", alias="upgradingOS")
    deallocating: int | None = optional("Being switched off to save cost.")
    deallocated: int | None = optional("Switched off to save cost.")
    total: int | None = optional("All of them.")


class NodeCountsByTier(ApiModel):
    """Node counts of dedicated and of Spot nodes."""

    dedicated: NodeCounts | None = optional("Dedicated nodes.")
    low_priority: NodeCounts | None = optional("Spot nodes.")


class ResizeError(ApiModel):
    """Why the last resize fell short; sticky, so it may be old news (batch-semantics §4.1)."""

    code: str | None = optional("The service's error code, such as AllocationTimedout or AccountCoreQuotaReached.")
    message: str | None = optional("Its text.")


class PoolStatus(RemoteStatus):
    """What the service says of the pool."""

    state: str | None = Field(default=None, description="State of the pool: active or deleting.")
    allocation_state: str | None = Field(default=None, description="steady, resizing or stopping.")
    allocation_state_transition_time: str | None = Field(default=None, description="Since when.")
    vm_size: str | None = Field(default=None, description="Size of the nodes.")
    target_dedicated_nodes: int | None = Field(default=None, description="Dedicated nodes that Batch works towards.")
    target_low_priority_nodes: int | None = Field(default=None, description="Spot nodes that Batch works towards.")
    current_dedicated_nodes: int | None = Field(default=None, description="Dedicated nodes that there are.")
    current_low_priority_nodes: int | None = Field(default=None, description="Spot nodes that there are.")
    nodes: str | None = Field(default=None, description="Usable and wanted nodes, for the eye.")
    node_counts: NodeCountsByTier | None = Field(default=None, description="Nodes by state.")
    resize_errors: list[ResizeError] | None = Field(
        default=None, description="Why the last resize fell short.", json_schema_extra=schema(maxItems=10)
    )
