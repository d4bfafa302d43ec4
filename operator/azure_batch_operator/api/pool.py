"""BatchPool: a pool of compute nodes (seed: Pools_CreatePool, Pools_ResizePool; batch-semantics §4.1, §6)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from azure_batch_operator.api.base import (
    AccountRef,
    ApiModel,
    BatchId,
    DisplayName,
    Duration,
    RemoteStatus,
    Rule,
    cel,
    immutable,
    one_of,
    schema,
)
from azure_batch_operator.api.rest import EnvironmentSetting, MetadataItem, ResourceFile, UserIdentity

Label = Annotated[str, StringConstraints(max_length=256)]


class ImageReference(ApiModel):
    """The image of the nodes: one from the Marketplace, or one of the user's own."""

    publisher: Label | None = Field(default=None, description="Publisher of a Marketplace image.")
    offer: Label | None = Field(default=None, description="Offer of a Marketplace image.")
    sku: Label | None = Field(default=None, description="SKU of a Marketplace image.")
    version: Label | None = Field(default=None, description="Version of a Marketplace image; latest if left out.")
    virtual_machine_image_id: Annotated[str, StringConstraints(max_length=2048)] | None = Field(
        default=None, description="ARM id of an Azure Compute Gallery image."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "has(self.virtualMachineImageId) != (has(self.publisher) && has(self.offer) && has(self.sku))",
            "give publisher, offer and sku of a Marketplace image, or virtualMachineImageId",
        ),
    )


class VirtualMachineConfiguration(ApiModel):
    """What the nodes run."""

    image_reference: ImageReference = Field(description="The image.")
    node_agent_sku_id: Label = Field(
        alias="nodeAgentSKUId", description="The node agent that fits the image, for example 'batch.node.ubuntu 22.04'."
    )


class TaskSchedulingPolicy(ApiModel):
    """How tasks are spread over nodes."""

    node_fill_type: Annotated[str, one_of("spread", "pack")] = Field(
        description="spread over all nodes, or pack one node after another; spread is the service's default."
    )


class StartTask(ApiModel):
    """A task that runs on each node when it joins the pool or restarts."""

    command_line: Annotated[str, StringConstraints(max_length=65536)] = Field(
        description="The command, not run in a shell."
    )
    resource_files: list[ResourceFile] | None = Field(
        default=None, description="Files to put on the node first.", json_schema_extra=schema(maxItems=500)
    )
    environment_settings: list[EnvironmentSetting] | None = Field(
        default=None,
        description="Environment variables.",
        json_schema_extra=schema(x_kubernetes_list_type="map", x_kubernetes_list_map_keys=["name"], maxItems=200),
    )
    user_identity: UserIdentity | None = Field(default=None, description="As whom it runs.")
    max_task_retry_count: Annotated[int, Field(ge=-1)] | None = Field(
        default=None, description="Further tries after a non-zero exit code; 0 if left out."
    )
    wait_for_success: bool | None = Field(
        default=None, description="Whether the node takes tasks only after success; true if left out."
    )


class PoolSpec(ApiModel):
    """What the user wants."""

    account_ref: AccountRef = Field(description="The BatchAccount that the pool lives in.")
    id: BatchId | None = Field(default=None, description="Id of the pool in Azure Batch; metadata.name if left out.")
    display_name: DisplayName | None = Field(default=None, description="Name for people; need not be unique.")
    vm_size: Annotated[str, StringConstraints(min_length=1, max_length=128)] = Field(
        description="Size of the nodes, for example Standard_D4ads_v6; casing does not matter."
    )
    virtual_machine_configuration: VirtualMachineConfiguration = Field(description="What the nodes run.")
    target_dedicated_nodes: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="How many dedicated nodes there should be; kubectl scale sets it. 0 if left out."
    )
    target_low_priority_nodes: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="How many Spot nodes there should be. 0 if left out."
    )
    resize_timeout: Duration | None = Field(
        default=None, description="How long the service tries to reach the targets, at least PT5M; PT15M if left out."
    )
    task_slots_per_node: Annotated[int, Field(ge=1, le=256)] | None = Field(
        default=None, description="Task slots of a node, at most 4 per core; 1 if left out."
    )
    task_scheduling_policy: TaskSchedulingPolicy | None = Field(
        default=None, description="How tasks are spread over nodes."
    )
    start_task: StartTask | None = Field(default=None, description="Runs on each node when it joins or restarts.")
    metadata: list[MetadataItem] | None = Field(
        default=None,
        description="Name-value pairs of the pool.",
        json_schema_extra=schema(x_kubernetes_list_type="map", x_kubernetes_list_map_keys=["name"], maxItems=100),
    )
    ours: ClassVar[frozenset[str]] = frozenset({"accountRef", "id"})
    rules: ClassVar[tuple[Rule, ...]] = (
        immutable("id", "create a new BatchPool"),
        immutable("accountRef", "create a new BatchPool"),
        immutable("vmSize", "create a BatchPool of the new size and move the jobs"),
        immutable("virtualMachineConfiguration", "create a BatchPool with the new image and move the jobs"),
        immutable("taskSlotsPerNode", "create a new BatchPool and move the jobs"),
        immutable("taskSchedulingPolicy", "create a new BatchPool and move the jobs"),
        immutable("startTask", "create a new BatchPool and move the jobs"),
        immutable("metadata", "create a new BatchPool"),
        immutable("displayName", "create a new BatchPool"),
    )


class NodeCounts(ApiModel):
    """Nodes by state; states without nodes are left out (batch-semantics §4.2)."""

    creating: int | None = None
    starting: int | None = None
    waiting_for_start_task: int | None = None
    idle: int | None = None
    running: int | None = None
    leaving_pool: int | None = None
    offline: int | None = None
    preempted: int | None = None
    rebooting: int | None = None
    reimaging: int | None = None
    start_task_failed: int | None = None
    unusable: int | None = None
    unknown: int | None = None
    upgrading_os: int | None = Field(default=None, alias="upgradingOS")
    deallocating: int | None = None
    deallocated: int | None = None
    total: int | None = None


class NodeCountsByTier(ApiModel):
    """Node counts of dedicated and of Spot nodes."""

    dedicated: NodeCounts | None = None
    low_priority: NodeCounts | None = None


class ResizeError(ApiModel):
    """Why the last resize fell short; sticky, so it may be old news (batch-semantics §4.1)."""

    code: str | None = None
    message: str | None = None


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
