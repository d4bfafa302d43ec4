"""Pools and numbers of nodes as typed values, beside those of tasks and nodes in `batch.wire`."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from msgspec import Meta, field
from msgspec.structs import fields

from azure_batch_operator.batch.wire import Moment, NameValue, Prose, Whole, Wire

NodeState = Literal[
    "creating", "starting", "waitingForStartTask", "idle", "running", "leavingPool", "offline", "preempted",
    "rebooting", "reimaging", "startTaskFailed", "unusable", "unknown", "upgradingOS", "deallocating", "deallocated",
]  # fmt: skip
"""States of nodes by their names in node counts."""


class NodesByState(Wire, frozen=True, gc=False):
    """Numbers of nodes by state."""

    creating: Whole = 0
    starting: Whole = 0
    waiting_for_start_task: Whole = 0
    idle: Whole = 0
    running: Whole = 0
    leaving_pool: Whole = 0
    offline: Whole = 0
    preempted: Whole = 0
    rebooting: Whole = 0
    reimaging: Whole = 0
    start_task_failed: Whole = 0
    unusable: Whole = 0
    unknown: Whole = 0
    upgrading_os: Whole = field(default=0, name="upgradingOS")
    deallocating: Whole = 0
    deallocated: Whole = 0
    total: Whole = 0

    def number(self, state: NodeState) -> int:
        """How many nodes are in a state."""
        found: int = getattr(self, _ATTRIBUTES[state])
        return found

    @property
    def present(self) -> dict[str, int]:
        """The states that nodes are in, by their names in node counts, and `total`."""
        return {
            name: number for name, attribute in _ALL_ATTRIBUTES.items() if (number := int(getattr(self, attribute)))
        }


_ALL_ATTRIBUTES = {member.encode_name: member.name for member in fields(NodesByState)}
_ATTRIBUTES: dict[NodeState, str] = {state: _ALL_ATTRIBUTES[state] for state in get_args(NodeState)}
NO_NODES = NodesByState()


class NodeCounts(Wire, frozen=True, gc=False):
    """Numbers of the nodes of one pool."""

    pool_id: Annotated[str, Meta(min_length=1)]
    dedicated: NodesByState = NO_NODES
    low_priority: NodesByState = NO_NODES

    def number(self, state: NodeState) -> int:
        """How many nodes are in a state, dedicated and Spot together."""
        return self.dedicated.number(state) + self.low_priority.number(state)


class PoolError(Wire, frozen=True, gc=False):
    """Why a resize did not reach its target, or a formula could not be evaluated."""

    code: str | None = None
    message: Prose | None = None
    values: tuple[NameValue, ...] = ()

    @property
    def text(self) -> str:
        """Code and message. One of which nothing can be read is an error all the same (`shapes.Presence`)."""
        said = ": ".join(text for text in (self.code, self.message) if text)
        return said or "Azure Batch returned an error without a code and a message"


class AutoScaleRun(Wire, frozen=True, gc=False):
    """An evaluation of a formula."""

    timestamp: Moment | None = None
    results: Prose | None = None
    error: PoolError | None = None


class MetadataItem(Wire, frozen=True, gc=False):
    """An item of the metadata of a pool, job or schedule."""

    name: str | None = None
    value: str | None = None


class VirtualMachine(Wire, frozen=True, gc=False):
    """What the nodes of a pool are made of."""

    node_agent_sku_id: str | None = field(default=None, name="nodeAgentSKUId")


class Pool(Wire, frozen=True, gc=False):
    """What is decided from of a pool; what is compared with the spec is read from the whole body (`reconcile.pool.changes`)."""

    id: Annotated[str, Meta(min_length=1)]
    etag: str | None = field(default=None, name="eTag")
    creation_time: Moment | None = None
    state: str | None = None
    allocation_state: str | None = None
    allocation_state_transition_time: Moment | None = None
    vm_size: str | None = None
    task_slots_per_node: Whole = 1
    target_dedicated_nodes: Whole = 0
    target_low_priority_nodes: Whole = 0
    current_dedicated_nodes: Whole = 0
    current_low_priority_nodes: Whole = 0
    resize_errors: tuple[PoolError, ...] = ()
    enable_auto_scale: bool = False
    auto_scale_formula: str | None = None
    auto_scale_evaluation_interval: str | None = None
    auto_scale_run: AutoScaleRun | None = None
    virtual_machine_configuration: VirtualMachine | None = None
    metadata: tuple[MetadataItem, ...] = ()

    @property
    def present(self) -> int:
        """How many nodes there are."""
        return self.current_dedicated_nodes + self.current_low_priority_nodes

    @property
    def targeted(self) -> int:
        """How many nodes Azure Batch works towards."""
        return self.target_dedicated_nodes + self.target_low_priority_nodes

    @property
    def is_steady(self) -> bool:
        """Whether the service is done with the last change of size."""
        return self.allocation_state == "steady"

    @property
    def is_empty(self) -> bool:
        """Whether the service would take a change that needs a pool without nodes."""
        return self.is_steady and not self.present and not self.targeted

    @property
    def is_deleting(self) -> bool:
        """Whether it is being deleted."""
        return self.state == "deleting"

    @property
    def last_run(self) -> AutoScaleRun | None:
        """The last evaluation of the formula, if the service says anything of one."""
        return None if self.auto_scale_run == _NO_RUN else self.auto_scale_run


_NO_RUN = AutoScaleRun()
