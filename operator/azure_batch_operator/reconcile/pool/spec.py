"""What decisions read of the spec of a BatchPool and of its former status.

The whole body of the spec is compared with the pool (`reconcile.pool.changes`).
"""

from __future__ import annotations

from collections.abc import Sequence

from azure_batch_operator.batch import pool_wire
from azure_batch_operator.batch.account_wire import ImageReference
from azure_batch_operator.batch.wire import Body, Wire


class VirtualMachine(pool_wire.VirtualMachine, frozen=True, gc=False):
    """What the nodes are made of."""

    image_reference: ImageReference = ImageReference()


class PendingTasks(Wire, frozen=True, gc=False):
    """`spec.autoScaleProfile.pendingTasks`."""

    tasks_per_node: int | None = None
    lookback: str = "PT5M"


class WorkHours(Wire, frozen=True, gc=False):
    """`spec.autoScaleProfile.workHours`."""

    start: int = 0
    end: int = 0
    days: tuple[str, ...] = ()
    utc_offset_minutes: int = 0


class AutoScaleProfile(Wire, frozen=True, gc=False):
    """`spec.autoScaleProfile`."""

    maximum: int = 0
    minimum: int = 0
    spot_first: bool = False
    evaluation_interval: str | None = None
    pending_tasks: PendingTasks = PendingTasks()
    work_hours: WorkHours | None = None


class NodeRemediation(Wire, frozen=True, gc=False):
    """`spec.nodeRemediation`."""

    start_task_failed: str = "None"
    unusable: str = "None"
    max_per_hour: int | None = None


class Prices(Wire, frozen=True, gc=False):
    """`spec.pricesFrom`."""

    name: str = ""
    key: str = ""
    currency: str | None = None


class SlotsBefore(Wire, frozen=True, gc=False):
    """`status.slots`."""

    used: int | None = None


class RunBefore(Wire, frozen=True, gc=False):
    """`status.autoScaleRun`."""

    timestamp: str | None = None
    results: str | None = None
    error: str | None = None


class PoolBefore(Wire, frozen=True, gc=False):
    """What the status of a BatchPool says, besides what all kinds say (`reconcile.before`)."""

    slots: SlotsBefore = SlotsBefore()
    resize_errors: Sequence[Body] | None = None
    auto_scale_run: RunBefore | None = None
    remediations: Sequence[Body] | None = None
    nodes_in_trouble: Sequence[Body] | None = None
    nodes_with_old_start_task: int | None = None
    reached_generation: int | None = None
    replaces: tuple[str, ...] = ()


class PoolSpec(Wire, frozen=True, gc=False):
    """The spec of a BatchPool."""

    virtual_machine_configuration: VirtualMachine = VirtualMachine()
    task_slots_per_node: int = 1
    target_dedicated_nodes: int | None = None
    target_low_priority_nodes: int | None = None
    resize_timeout: str | None = None
    node_deallocation_option: str | None = None
    enable_auto_scale: bool = False
    auto_scale_formula: str = ""
    auto_scale_evaluation_interval: str | None = None
    auto_scale_profile: AutoScaleProfile | None = None
    max_idle: str | None = None
    update_strategy: str = "WhenEmpty"
    deletion_policy: str = "Delete"
    node_remediation: NodeRemediation = NodeRemediation()
    prices_from: Prices | None = None

    @property
    def resize_options(self) -> dict[str, str]:
        """Options of a resize, by their names in its body."""
        options = {"resizeTimeout": self.resize_timeout, "nodeDeallocationOption": self.node_deallocation_option}
        return {name: value for name, value in options.items() if value is not None}
