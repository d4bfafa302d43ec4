"""The status of a BatchPool: size, nodes, errors, autoscale, and changes in progress (docs/azure-batch.md#pools)."""

from __future__ import annotations

from pydantic import Field

from azure_batch_operator.api.base import ApiModel, ShortText, many, optional
from azure_batch_operator.api.status import AdoptableStatus


class NodeCounts(ApiModel):
    """Number of nodes by state. States without nodes are omitted."""

    creating: int | None = optional("Nodes that are being allocated.")
    starting: int | None = optional("Nodes that are booting.")
    waiting_for_start_task: int | None = optional("Nodes that run the start task and do not accept tasks yet.")
    idle: int | None = optional("Nodes that are ready for tasks.")
    running: int | None = optional("Nodes that run tasks.")
    leaving_pool: int | None = optional("Nodes that are leaving the pool.")
    offline: int | None = optional("Nodes on which scheduling is disabled and no task runs.")
    preempted: int | None = optional(
        "Spot nodes that Azure preempted. Azure Batch restores them when capacity is available."
    )
    rebooting: int | None = optional("Nodes that are rebooting.")
    reimaging: int | None = optional("Nodes that are being reimaged.")
    start_task_failed: int | None = optional("Nodes whose start task failed. They do not accept tasks.")
    unusable: int | None = optional("Nodes that cannot be used because of errors.")
    unknown: int | None = optional("Nodes that Azure Batch has lost contact with.")
    upgrading_os: int | None = optional("Nodes whose operating system is being upgraded.", alias="upgradingOS")
    deallocating: int | None = optional("Nodes that are being deallocated.")
    deallocated: int | None = optional("Nodes that are deallocated and cost nothing.")
    total: int | None = optional("Total number of nodes.")


class NodeCountsByTier(ApiModel):
    """Node counts for dedicated and Spot nodes."""

    dedicated: NodeCounts | None = optional("Counts of dedicated nodes.")
    low_priority: NodeCounts | None = optional("Counts of Spot nodes.")


class ResizeError(ApiModel):
    """Cause of a resize that did not reach its target. Azure Batch reports it until the next resize, so it may be outdated."""

    code: str | None = optional("Error code from Azure Batch, such as AllocationTimedout or AccountCoreQuotaReached.")
    message: str | None = optional("Error message from Azure Batch.")


class AutoScaleRun(ApiModel):
    """Result of an evaluation of the formula. Updated only when the targets or the error change."""

    timestamp: str | None = optional("Time of the first evaluation with this result.")
    results: ShortText | None = optional("Variables that the formula set.")
    error: ShortText | None = optional("Error of the evaluation. The pool keeps its size.")


class TroubledNode(ApiModel):
    """A node that does not work."""

    id: str = Field(description="ID of the node.")
    state: str | None = optional("State of the node: starttaskfailed, unusable, unknown or preempted.")
    since: str | None = optional("Time at which the node entered the state.")
    dedicated: bool | None = optional("Whether the node is dedicated. False for Spot nodes.")
    exit_code: int | None = optional("Exit code of the start task.")
    errors: list[ShortText] | None = many("Errors of the node that Azure Batch reports.", 5)
    stderr_tail: ShortText | None = optional("Last lines of stderr.txt of the start task.")


class Remediation(ApiModel):
    """A repair of a node."""

    time: str = Field(description="Time of the action.")
    node: str = Field(description="ID of the node.")
    action: str = Field(description="Action: Reboot, Reimage or Remove.")
    reason: str | None = optional("Cause of the action: the state of the node, or StartTaskChanged.")
    since: str | None = optional("Time at which the node entered that state.")
    start_task: str | None = optional("Fingerprint of the start task that the node should run.")
    boot: str | None = optional("Time at which the node last booted.")
    refusal: str | None = optional(
        "Error code from Azure Batch if it refused the action. The operator tries again later."
    )


class Slots(ApiModel):
    """Task slots of the usable nodes."""

    total: int | None = optional("Total number of task slots.")
    used: int | None = optional("Number of task slots that running tasks of this cluster's BatchJobs occupy.")


class PoolStatus(AdoptableStatus):
    """Observed state of the BatchPool."""

    account: str | None = optional(
        "BatchAccount that the pool was created in, as namespace/name. It takes precedence over spec.accountRef."
    )
    state: str | None = optional("State of the pool: active or deleting.")
    allocation_state: str | None = optional("Allocation state: steady, resizing or stopping.")
    allocation_state_transition_time: str | None = optional("Time at which the pool entered its allocation state.")
    vm_size: str | None = optional("VM size of the nodes.")
    node_agent_sku_id: str | None = optional("Node agent SKU ID.", alias="nodeAgentSKUId")
    image_end_of_life: str | None = optional("Time at which Azure Batch ends support for the image, if announced.")
    target_dedicated_nodes: int | None = optional("Target number of dedicated nodes.")
    target_low_priority_nodes: int | None = optional("Target number of Spot nodes.")
    current_dedicated_nodes: int | None = optional("Current number of dedicated nodes.")
    current_low_priority_nodes: int | None = optional("Current number of Spot nodes.")
    nodes: str | None = optional("Usable nodes and target number of nodes, for display.")
    selector: str | None = optional(
        "Label selector that matches no Pods. HorizontalPodAutoscalers require a selector; scale by external or "
        "object metrics."
    )
    node_counts: NodeCountsByTier | None = optional("Number of nodes by state.")
    slots: Slots | None = optional("Task slots of the pool.")
    resize_errors: list[ResizeError] | None = many("Causes of a resize that did not reach its target.", 10)
    enable_auto_scale: bool | None = optional("Whether a formula sets the number of nodes.")
    auto_scale_formula: str | None = optional("Formula in Azure Batch, including one generated from autoScaleProfile.")
    auto_scale_evaluation_interval: str | None = optional("Interval between evaluations of the formula.")
    auto_scale_run: AutoScaleRun | None = optional("Result of the last evaluation of the formula.")
    nodes_in_trouble: list[TroubledNode] | None = many("Nodes that do not work. At most 20 are shown.", 20)
    remediations: list[Remediation] | None = many(
        "Actions of node remediation, in the hour before the most recent one.", 100
    )
    nodes_with_old_start_task: int | None = optional(
        "Number of nodes that ran an older start task, used for startTaskUpdate."
    )
    reached_generation: int | None = optional(
        "Generation of the spec that was last fully applied to the pool. Later differences are drift."
    )
    pending_changes: list[str] | None = many("Properties that are not yet applied in Azure Batch.", 32)
    replaces: list[str] | None = many("IDs of older pools of this object that are still finishing their tasks.", 10)
    estimated_cost_per_hour: str | None = optional(
        "Estimated cost per hour of the current nodes, computed from spec.pricesFrom."
    )
