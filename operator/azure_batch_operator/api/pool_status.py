"""What a BatchPool shows: size, nodes, errors, autoscale, and what the operator is about (docs/azure-batch.md#pools)."""

from __future__ import annotations

from pydantic import Field

from azure_batch_operator.api.base import AdoptableStatus, ApiModel, ShortText, many, optional


class NodeCounts(ApiModel):
    """Nodes by state; states without nodes are left out (docs/azure-batch.md#nodes)."""

    creating: int | None = optional("Being allocated.")
    starting: int | None = optional("Booting.")
    waiting_for_start_task: int | None = optional("Running the start task before they take tasks.")
    idle: int | None = optional("Ready for tasks.")
    running: int | None = optional("Running tasks.")
    leaving_pool: int | None = optional("Leaving the pool.")
    offline: int | None = optional("Closed for new tasks, and without any.")
    preempted: int | None = optional("Spot nodes that Azure took away; they come back.")
    rebooting: int | None = optional("Restarting.")
    reimaging: int | None = optional("Being installed again.")
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
    """Why the last resize fell short. It stays until the next resize, so it may be old."""

    code: str | None = optional("The service's error code, such as AllocationTimedout or AccountCoreQuotaReached.")
    message: str | None = optional("Its text.")


class AutoScaleRun(ApiModel):
    """What the formula came to; written when its targets or its error change, so the time is that of the first run with these."""

    timestamp: str | None = optional("When it was evaluated.")
    results: ShortText | None = optional("The variables that the formula had set at that time.")
    error: ShortText | None = optional("Why it could not be evaluated; the pool then keeps its size.")


class TroubledNode(ApiModel):
    """A node that does not work."""

    id: str = Field(description="Id of the node.")
    state: str | None = optional("State: starttaskfailed, unusable, unknown or preempted.")
    since: str | None = optional("Since when.")
    dedicated: bool | None = optional("Whether it is a dedicated node, and not a Spot node.")
    exit_code: int | None = optional("Exit code of the start task.")
    errors: list[ShortText] | None = many("What the service says is wrong with it.", 5)
    stderr_tail: ShortText | None = optional("Last lines of the start task's stderr.txt.")


class Remediation(ApiModel):
    """What was done about a node."""

    time: str = Field(description="When.")
    node: str = Field(description="Id of the node.")
    action: str = Field(description="Reboot, Reimage or Remove.")
    reason: str | None = optional("Why: the state of the node, or StartTaskChanged.")
    since: str | None = optional("Since when the node had been in that state.")
    start_task: str | None = optional("Fingerprint of the start task that the node was to run.")
    boot: str | None = optional("When the node had booted last.")
    refusal: str | None = optional(
        "The service's error code, if it refused. Then it was not done, and is asked again later."
    )


class Slots(ApiModel):
    """Task slots of the usable nodes."""

    total: int | None = optional("All of them.")
    used: int | None = optional(
        "Those that running tasks of the BatchJobs of this cluster occupy, as the service counts."
    )


class PoolStatus(AdoptableStatus):
    """What the service says of the pool."""

    account: str | None = optional(
        "namespace/name of the BatchAccount that the pool was created in; it wins over spec.accountRef from then on."
    )
    state: str | None = optional("State of the pool: active or deleting.")
    allocation_state: str | None = optional("steady, resizing or stopping.")
    allocation_state_transition_time: str | None = optional("Since when.")
    vm_size: str | None = optional("Size of the nodes.")
    node_agent_sku_id: str | None = optional("The node agent.", alias="nodeAgentSKUId")
    image_end_of_life: str | None = optional("When Azure Batch ends its support for the image, if it has said so.")
    target_dedicated_nodes: int | None = optional("Dedicated nodes that Batch works towards.")
    target_low_priority_nodes: int | None = optional("Spot nodes that Batch works towards.")
    current_dedicated_nodes: int | None = optional("Dedicated nodes that there are.")
    current_low_priority_nodes: int | None = optional("Spot nodes that there are.")
    nodes: str | None = optional("Usable and wanted nodes, for the eye.")
    selector: str | None = optional(
        "Selects no Pod: a HorizontalPodAutoscaler wants a label selector to be there, and scales by external or object metrics."
    )
    node_counts: NodeCountsByTier | None = optional("Nodes by state.")
    slots: Slots | None = optional("Task slots.")
    resize_errors: list[ResizeError] | None = many("Why the last resize fell short.", 10)
    enable_auto_scale: bool | None = optional("Whether a formula decides on the number of nodes.")
    auto_scale_formula: str | None = optional("The formula in Azure Batch, also the one that a profile became.")
    auto_scale_evaluation_interval: str | None = optional("How often it is evaluated.")
    auto_scale_run: AutoScaleRun | None = optional("What it came to last.")
    nodes_in_trouble: list[TroubledNode] | None = many("Nodes that do not work, some of them.", 20)
    remediations: list[Remediation] | None = many("What was done about nodes in the hour before the last of it.", 100)
    nodes_with_old_start_task: int | None = optional("Nodes that have run another start task; for startTaskUpdate.")
    reached_generation: int | None = optional(
        "The generation of the spec that the pool was brought to last; what is different since then was changed by others."
    )
    pending_changes: list[str] | None = many("Properties that are still to be changed in Azure Batch.", 32)
    replaces: list[str] | None = many("Ids of older pools of this object that run dry.", 10)
    estimated_cost_per_hour: str | None = optional("What the nodes that there are cost, by spec.pricesFrom.")
