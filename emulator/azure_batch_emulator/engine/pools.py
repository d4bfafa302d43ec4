"""Pools: creation, resizing, deletion, and changes of their properties (docs/azure-batch.md#pools)."""

from __future__ import annotations

from typing import Any

from azure_batch_emulator.engine import machine_rules, packages, pool_rules, ports, timings
from azure_batch_emulator.engine.entities import Node, Pool
from azure_batch_emulator.engine.events import Events
from azure_batch_emulator.engine.lag import Lagging
from azure_batch_emulator.engine.state import AccountState
from azure_batch_emulator.schema.machines import with_user_defaults
from azure_batch_emulator.schema.pools import EMPTY_POOL_ONLY
from azure_batch_emulator.wire.durations import duration_seconds
from azure_batch_emulator.wire.errors import BatchError, invalid_property

_SCALE = ("targetDedicatedNodes", "targetLowPriorityNodes", "enableAutoScale", "autoScaleFormula")
_SCALE_PROPERTIES = frozenset({*_SCALE, "autoScaleEvaluationInterval", "resizeTimeout"})
# What a deleted pool shows as its resizeTimeout, always (recorded).
_DELETED_RESIZE_TIMEOUT = "PT7M9.497S"


class Pools:
    """Acts on the pools of an account."""

    def __init__(self, state: AccountState, events: Events, nodes: ports.Nodes, auto_scale: ports.AutoScale) -> None:
        self._state = state
        self._events = events
        self._nodes = nodes
        self._auto_scale = auto_scale
        # Pool id to (most nodes the next allocations yield, error shown for it): set by the admin API.
        self.allocation_faults: dict[str, tuple[int, dict[str, Any]]] = {}

    def create(self, pool_id: str, spec: dict[str, Any]) -> Pool:
        """Create a pool from an accepted body; its nodes come later.

        Raises:
            BatchError: 409 for an existing id or a full quota, 400 for settings that do not fit together.
        """
        existing = self._state.pool_table.get(pool_id.lower())
        if existing is not None:
            raise BatchError("PoolBeingDeleted" if existing.state == "deleting" else "PoolExists")
        if len(self._state.pool_table) >= self._state.quotas.pools:
            raise BatchError("PoolQuotaReached")
        spec = with_user_defaults({"certificateReferences": [], **spec})
        self._check(spec)
        packages.check(self._state.applications, spec.get("applicationPackageReferences", ()))
        if spec["enableAutoScale"]:
            self._auto_scale.check_syntax(spec["autoScaleFormula"])
        now = self._state.clock.now()
        pool = Pool(
            id=pool_id,
            spec={name: value for name, value in spec.items() if name not in _SCALE_PROPERTIES and name != "id"},
            created=now,
            last_modified=now,
            state_time=now,
            allocation_time=now,
            target_dedicated=spec.get("targetDedicatedNodes", 0),
            target_low_priority=spec.get("targetLowPriorityNodes", 0),
            resize_timeout=spec["resizeTimeout"],
            past=Lagging(self._state.lag),
        )
        self._state.pool_table[pool_id.lower()] = pool
        self._begin(pool, "requeue")
        if spec["enableAutoScale"]:
            self._auto_scale.begin(pool, spec["autoScaleFormula"], spec["autoScaleEvaluationInterval"])
        return pool

    def _check(self, spec: dict[str, Any]) -> None:
        cores = pool_rules.cores_of(spec["vmSize"])
        slots = spec["taskSlotsPerNode"]
        most = min(4 * cores, 256)
        if slots > most:
            raise invalid_property(
                "taskSlotsPerNode", slots, f"The value must be between 1 and {most} for this vmSize."
            )
        machine_rules.check_image(spec, self._state.images)
        machine_rules.check_users(spec)
        machine_rules.check_subnet(spec.get("networkConfiguration"), self._state.subscription)

    # -- resizing --

    def resize(self, pool: Pool, body: dict[str, Any]) -> None:
        """Begin a resize.

        Raises:
            BatchError: 409 unless the pool is active, steady and not scaled by a formula.
        """
        self.check_steady(pool)
        if pool.enable_auto_scale:
            raise BatchError("OperationNotValidOnPool", {"Reason": "The pool has automatic scaling enabled."})
        self.set_targets(
            pool,
            body.get("targetDedicatedNodes", pool.target_dedicated),
            body.get("targetLowPriorityNodes", pool.target_low_priority),
            body["resizeTimeout"],
            body["nodeDeallocationOption"],
        )
        pool.last_modified = self._state.clock.now()

    def set_targets(self, pool: Pool, dedicated: int, low_priority: int, timeout: str, option: str) -> None:
        """Change targets and begin to follow them; the pool is steady."""
        pool.target_dedicated, pool.target_low_priority = dedicated, low_priority
        pool.resize_timeout = timeout
        pool.enter_allocation("resizing", self._state.clock.now())
        self._begin(pool, option)

    def follow_formula(self, pool: Pool, dedicated: int, low_priority: int, option: str) -> None:
        """A formula has new targets for a pool that is steady."""
        self.set_targets(pool, dedicated, low_priority, pool.resize_timeout, option)

    def check_steady(self, pool: Pool) -> None:
        """Raises BatchError 409 PoolBeingDeleted or PoolBeingResized."""
        pool_rules.check_active(pool.state)
        if pool.allocation_state != "steady":
            raise BatchError("PoolBeingResized")

    def _begin(self, pool: Pool, option: str) -> None:
        """Compare nodes with targets and start to add and remove."""
        self._cancel_allocation(pool)
        plan = self._plan(pool)
        for node_id in plan.remove:
            self._nodes.drain(pool.nodes[node_id], "leave", option)
        self._pursue(pool, plan)

    def _plan(self, pool: Pool) -> pool_rules.ResizePlan:
        cores = pool_rules.cores_of(pool.spec["vmSize"])
        plan = pool_rules.plan_resize(
            pool.nodes.values(),
            pool.target_dedicated,
            pool.target_low_priority,
            (self._state.quotas.dedicated_cores - self._state.cores_used(dedicated=True)) // cores,
            (self._state.quotas.low_priority_cores - self._state.cores_used(dedicated=False)) // cores,
        )
        if pool.id.lower() not in self.allocation_faults:
            return plan
        most, error = self.allocation_faults[pool.id.lower()]
        return pool_rules.limit(plan, most - pool.count(dedicated=True), most - pool.count(dedicated=False), error)

    def _pursue(self, pool: Pool, plan: pool_rules.ResizePlan) -> None:
        """Add what there is room for; seek the rest until the resize timeout is over (docs/azure-batch.md#pools)."""
        later = self._state.clock.call_later
        pool.resize_errors = list(plan.errors)
        if (plan.errors or plan.remove) and pool.resize_timer is None:
            self._limit(pool)
        if plan.add_dedicated + plan.add_low_priority:
            pool.allocation_timer = later(
                timings.NODE_ALLOCATION, self._allocate, pool, plan.add_dedicated, plan.add_low_priority
            )
        elif plan.errors:
            pool.allocation_timer = later(timings.NODE_ALLOCATION, self._seek, pool)
        elif not plan.remove:
            pool.allocation_timer = later(timings.EMPTY_POOL_STEADY, self._settle, pool)

    def _seek(self, pool: Pool) -> None:
        """Look again whether there is room for the nodes that are missing."""
        pool.allocation_timer = None
        self._pursue(pool, self._plan(pool))

    def _limit(self, pool: Pool) -> None:
        """Watch over resizeTimeout, which holds for the allocation of nodes as for their removal."""
        seconds = duration_seconds(pool.resize_timeout)
        pool.resize_timer = self._state.clock.call_later(seconds, self._time_out, pool)

    def _time_out(self, pool: Pool) -> None:
        """The target was not reached in time: the resize ends, the targets stay, and the errors tell why."""
        self._cancel_allocation(pool)
        self._keep_waiting_nodes(pool)
        staying = [node.dedicated for node in pool.nodes.values() if node.state != "leavingpool"]
        present = (staying.count(True), staying.count(False))
        causes = [error for error in pool.resize_errors if error["code"] != "AllocationTimedout"]
        pool.resize_errors = causes + pool_rules.timeout_errors(
            present, (pool.target_dedicated, pool.target_low_priority)
        )
        self._settle(pool)

    def _keep_waiting_nodes(self, pool: Pool) -> None:
        """Nodes that still wait for their tasks or data do not leave any more; what is being torn down does."""
        for node in pool.nodes.values():
            if node.state == "leavingpool" and node.after_drain and self._nodes.can_stay(node):
                self._nodes.stay(node)

    def resume(self, pool: Pool) -> None:
        """Go on with a pool that comes from a state file."""
        pool.settled = pool.allocation_state == "steady"
        if pool.allocation_state == "resizing":
            self._begin(pool, "requeue")
        elif pool.allocation_state == "stopping":
            pool.allocation_timer = self._state.clock.call_later(timings.STOP_RESIZE, self._stopped, pool)
        if pool.enable_auto_scale and pool.auto_scale_formula and pool.auto_scale_interval:
            self._auto_scale.begin(pool, pool.auto_scale_formula, pool.auto_scale_interval)

    def _cancel_allocation(self, pool: Pool) -> None:
        if pool.allocation_timer is not None:
            pool.allocation_timer.cancel()
            pool.allocation_timer = None
        if pool.resize_timer is not None:
            pool.resize_timer.cancel()
            pool.resize_timer = None

    def _allocate(self, pool: Pool, dedicated: int, low_priority: int) -> None:
        pool.allocation_timer = None
        for kind, number in ((True, dedicated), (False, low_priority)):
            for _ in range(number):
                self._nodes.create(pool, dedicated=kind)
        pool.communication_mode = "simplified"
        if pool.resize_errors:
            self._seek(pool)
        else:
            self._settle(pool)

    def _settle(self, pool: Pool) -> None:
        """Become steady once nothing is added or removed any more."""
        leaving = any(node.state == "leavingpool" for node in pool.nodes.values())
        if pool.allocation_state != "resizing" or leaving or pool.state == "deleting":
            return
        self._cancel_allocation(pool)
        if not pool.nodes:
            pool.communication_mode = None
        pool.enter_allocation("steady", self._state.clock.now())
        self.settled(pool)
        self._events.room_added(pool)

    def settled(self, pool: Pool) -> None:
        """The pool is past its creation, or gone: calls that were held until then go on."""
        pool.settled = True
        callers, pool.when_settled = pool.when_settled, []
        for go_on in callers:
            go_on()

    def node_gone(self, node: Node) -> None:
        """A node has left."""
        pool = node.pool
        if pool.state == "deleting":
            if not pool.nodes:
                self._gone(pool)
        elif pool.allocation_timer is None and pool.allocation_state == "stopping":
            self._stopped(pool)
        elif pool.allocation_timer is None:
            self._settle(pool)

    def stop_resize(self, pool: Pool) -> None:
        """Stop what the present resize still has to do; the ETag stays (recorded).

        Raises:
            BatchError: 409 when the pool is steady already.
        """
        pool_rules.check_active(pool.state)
        if pool.allocation_state == "steady":
            raise BatchError("OperationNotValidOnPool", {"Reason": "The pool is not being resized."})
        if pool.allocation_state == "stopping":
            return
        self._cancel_allocation(pool)
        pool.enter_allocation("stopping", self._state.clock.now())
        pool.allocation_timer = self._state.clock.call_later(timings.STOP_RESIZE, self._stopped, pool)

    def _stopped(self, pool: Pool) -> None:
        pool.allocation_timer = None
        self._keep_waiting_nodes(pool)
        if any(node.state == "leavingpool" for node in pool.nodes.values()):
            return
        current = (pool.count(dedicated=True), pool.count(dedicated=False))
        pool.resize_errors = pool_rules.stop_errors(current, (pool.target_dedicated, pool.target_low_priority))
        pool.enter_allocation("steady", self._state.clock.now())
        self.settled(pool)
        self._events.room_added(pool)

    def remove_nodes(self, pool: Pool, body: dict[str, Any]) -> None:
        """Remove chosen nodes; the targets drop at once (recorded).

        Raises:
            BatchError: 409 as for `resize`, 404 NodeNotFound for an id that is not in the pool.
        """
        self.check_steady(pool)
        if pool.enable_auto_scale:
            raise BatchError("OperationNotValidOnPool", {"Reason": "The pool has automatic scaling enabled."})
        ids = list(dict.fromkeys(node_id.lower() for node_id in body["nodeList"]))
        missing = [node_id for node_id in ids if node_id not in pool.nodes]
        if missing:
            raise BatchError("NodeNotFound")
        now = self._state.clock.now()
        pool.enter_allocation("resizing", now)
        pool.last_modified = now
        pool.resize_errors = []
        pool.resize_timeout = body["resizeTimeout"]
        self._limit(pool)
        for node_id in ids:
            node = pool.nodes[node_id]
            if node.dedicated:
                pool.target_dedicated = max(0, pool.target_dedicated - 1)
            else:
                pool.target_low_priority = max(0, pool.target_low_priority - 1)
            self._nodes.drain(node, "leave", body["nodeDeallocationOption"])

    # -- properties --

    def patch(self, pool: Pool, changes: dict[str, Any]) -> None:
        """PATCH: members that are sent are replaced whole (docs/azure-batch.md#patch-of-a-pool).

        Raises:
            BatchError: 409 for a change that needs a pool without nodes.
        """
        pool_rules.check_active(pool.state)
        needs_empty = sorted(EMPTY_POOL_ONLY & changes.keys())
        if needs_empty and (pool.nodes or pool.target_dedicated or pool.target_low_priority):
            reason = f"{', '.join(needs_empty)} can be changed only when the pool has no nodes."
            raise BatchError("OperationNotValidOnPool", {"Reason": reason})
        spec = with_user_defaults(pool.spec | changes)
        self._check(spec)
        # Those that the pool has may have been withdrawn since.
        packages.check(self._state.applications, changes.get("applicationPackageReferences") or ())
        pool.spec = {name: value for name, value in spec.items() if value != [] or name == "certificateReferences"}
        pool.last_modified = self._state.clock.now()

    def replace_properties(self, pool: Pool, body: dict[str, Any]) -> None:
        """updateproperties: what is left out is removed (docs/azure-batch.md#changes)."""
        pool_rules.check_active(pool.state)
        packages.check(self._state.applications, body["applicationPackageReferences"])
        spec = {name: value for name, value in pool.spec.items() if name != "startTask"} | body
        pool.spec = {name: value for name, value in spec.items() if value != [] or name == "certificateReferences"}
        pool.last_modified = self._state.clock.now()

    # -- deletion --

    def delete(self, pool: Pool) -> None:
        """Begin to delete: nodes leave, running tasks are requeued, then the pool is gone.

        Raises:
            BatchError: 409 PoolBeingDeleted the second time.
        """
        pool_rules.check_active(pool.state)
        now = self._state.clock.now()
        self._cancel_allocation(pool)
        self._auto_scale.forget(pool)
        pool.enter("deleting", now)
        pool.last_modified = now
        pool.target_dedicated = pool.target_low_priority = 0
        pool.resize_timeout = _DELETED_RESIZE_TIMEOUT
        pool.resize_errors = []
        self.settled(pool)
        if pool.nodes and pool.allocation_state != "resizing":
            pool.enter_allocation("resizing", now)
        pool.allocation_time = now
        for node in list(pool.nodes.values()):
            # Nodes that are leaving anyway wait no longer for their tasks and data.
            if node.state != "leavingpool" or node.after_drain:
                self._nodes.drain(node, "leave", "requeue")
        if not pool.nodes:
            pool.allocation_timer = self._state.clock.call_later(timings.EMPTY_POOL_DELETE, self._gone, pool)

    def _gone(self, pool: Pool) -> None:
        if self._state.pool_table.get(pool.id.lower()) is pool:
            del self._state.pool_table[pool.id.lower()]
        self.allocation_faults.pop(pool.id.lower(), None)
