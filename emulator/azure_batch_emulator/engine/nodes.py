"""Compute nodes: they start up, run their start task, work, drain, reboot and leave (docs/azure-batch.md#nodes)."""

from __future__ import annotations

import hashlib
import math
from typing import Any

from azure_batch_emulator.engine import ports, timings, transitions
from azure_batch_emulator.engine.entities import TASK_KINDS, Node, Pool, Run
from azure_batch_emulator.engine.events import Events
from azure_batch_emulator.engine.start_task import StartTask
from azure_batch_emulator.engine.state import AccountState
from azure_batch_emulator.isolation import for_each
from azure_batch_emulator.wire.errors import BatchError, resource_error

_BUSY_STATES = {
    "creating": "NodeBeingCreated",
    "starting": "NodeBeingStarted",
    "waitingforstarttask": "NodeBeingStarted",
    "rebooting": "NodeBeingRebooted",
    "reimaging": "NodeBeingReimaged",
    "unusable": "NodeStateUnusable",
}
_ACTIVITY = frozenset({"idle", "running", "offline"})
_ACTIONS = {"reboot": "rebooting", "reimage": "reimaging", "deallocate": "deallocating", "leave": "leavingpool"}
_DURATIONS = {
    "rebooting": timings.NODE_REBOOTING,
    "reimaging": timings.NODE_REIMAGING,
    "deallocating": timings.NODE_DEALLOCATING,
}


class Nodes:
    """Acts on the nodes of all pools of an account."""

    def __init__(
        self, state: AccountState, events: Events, runs: ports.Runs, tasks: ports.Tasks, job_tasks: ports.JobTasks
    ) -> None:
        self._state = state
        self._events = events
        self._runs = runs
        self._tasks = tasks
        self._job_tasks = job_tasks

    def create(self, pool: Pool, *, dedicated: bool) -> Node:
        """Add a node in state ``creating``."""
        now = self._state.clock.now()
        serial = pool.node_serial
        pool.node_serial += 1
        name = hashlib.sha256(f"{self._state.random.random()}/{pool.id}/{serial}".encode()).hexdigest()
        node = Node(
            id=f"tvmps_{name}_{'d' if dedicated else 'p'}",
            pool=pool,
            index=serial,
            dedicated=dedicated,
            ip_address=f"10.0.{serial // 250 % 250}.{serial % 250 + 4}",
            allocated=now // 10 * 10,
            state_time=now,
        )
        pool.nodes_change()
        pool.nodes[node.id] = node
        self._state.executor.add_node(self._state.place(node))
        node.timer = self._state.clock.call_later(timings.NODE_CREATING, self._to_starting, node)
        return node

    def _to_starting(self, node: Node) -> None:
        node.enter("starting", self._state.clock.now())
        node.timer = self._state.clock.call_later(timings.NODE_STARTING, self._booted, node)

    def _booted(self, node: Node) -> None:
        node.timer = None
        node.boot_time = self._state.clock.now() // 10 * 10
        node.packages = node.pool.spec.get("applicationPackageReferences", [])
        node.start_task = node.pool.spec.get("startTask")
        node.start_task_info = None
        if node.start_task is None:
            self._to_work(node)
            return
        if node.start_task["waitForSuccess"]:
            node.enter("waitingforstarttask", self._state.clock.now())
        StartTask(self._state, self._runs, node, self._start_task_ended).launch()
        if not node.start_task["waitForSuccess"]:
            self._to_work(node)

    def _to_work(self, node: Node) -> None:
        """The node is ready for tasks."""
        now = self._state.clock.now()
        if node.state == "waitingforstarttask" or node.state == "starting":
            node.enter("idle" if node.scheduling_enabled else "offline", now)
        self.update_activity(node)
        self._events.node_ready(node)
        if node.after_drain and not node.working:
            self._drained(node)
        self._events.room_added(node.pool)

    def _start_task_ended(self, node: Node, failure: dict[str, Any] | None) -> None:
        if node.state != "waitingforstarttask":
            return
        if failure is None:
            self._to_work(node)
        else:
            node.enter("starttaskfailed", self._state.clock.now())

    def update_activity(self, node: Node) -> None:
        """Follow what runs: idle, running, or offline when nothing runs and scheduling is disabled."""
        if node.state not in _ACTIVITY:
            return
        wanted = "running" if node.working else "idle" if node.scheduling_enabled else "offline"
        if wanted != node.state:
            node.enter(wanted, self._state.clock.now())

    def run_ended(self, node: Node) -> None:
        """A run has given its slots back."""
        if node.exclusive and not node.working:
            node.exclusive = False
        self.update_activity(node)
        if node.after_drain and not node.working:
            self._drained(node)
        elif node.state == "leavingpool" and not node.busy:
            self._start_removal(node)
        self._events.room_added(node.pool)

    def come_up(self, node: Node) -> None:
        """Begin again with a node that was on its way when the emulator stopped."""
        node.state, node.state_time = "creating", self._state.clock.now()
        node.timer = self._state.clock.call_later(timings.NODE_CREATING, self._to_starting, node)

    def resume(self, node: Node) -> None:
        """Go on with what a node from a state file was to do as soon as its tasks or data let it: the tasks have been requeued."""
        if node.after_drain is not None:
            self._drained(node)

    # -- calls of users --

    def check_ready(self, node: Node) -> None:
        """Let only idle and running nodes (and offline ones, which are idle but for scheduling) pass.

        Raises:
            BatchError: 409 with the code of the state.
        """
        if node.state not in _ACTIVITY:
            raise BatchError(_BUSY_STATES.get(node.state, "OperationNotValidOnNode"))

    def act(self, node: Node, action: str, option: str) -> None:
        """Reboot, reimage or deallocate, with what is to become of running tasks.

        Args:
            action: ``reboot``, ``reimage`` or ``deallocate``.
            option: ``requeue``, ``terminate``, ``taskcompletion`` or ``retaineddata``.

        Raises:
            BatchError: 409 when the node's state does not allow it.
        """
        allowed_failed = node.state == "starttaskfailed" and action in ("reboot", "reimage")
        # Recorded: deallocate is accepted while a node starts, and done once it is idle (docs/azure-batch.md#nodes).
        postponed = action == "deallocate" and node.state in ("starting", "waitingforstarttask")
        if node.after_drain:
            raise BatchError(_BUSY_STATES.get(_ACTIONS[node.after_drain], "OperationNotValidOnNode"))
        if not allowed_failed and not postponed:
            self.check_ready(node)
        if action == "deallocate":
            node.scheduling_enabled = False
        if postponed:
            node.after_drain = action
            return
        self.drain(node, action, option)

    def start(self, node: Node) -> None:
        """Start a deallocated node.

        Raises:
            BatchError: 409 when it is not deallocated.
        """
        if node.state != "deallocated":
            raise BatchError(_BUSY_STATES.get(node.state, "OperationNotValidOnNode"))
        node.scheduling_enabled = True
        self._to_starting(node)

    def disable_scheduling(self, node: Node, option: str) -> None:
        """Raises BatchError 409 NodeAlreadyInTargetSchedulingState, or the code of a state that is not ready."""
        self.check_ready(node)
        if not node.scheduling_enabled:
            raise BatchError("NodeAlreadyInTargetSchedulingState")
        node.scheduling_enabled = False
        self._end_tasks(node, option)
        self.update_activity(node)

    def enable_scheduling(self, node: Node) -> None:
        """Raises BatchError 409 NodeAlreadyInTargetSchedulingState."""
        if node.scheduling_enabled:
            raise BatchError("NodeAlreadyInTargetSchedulingState")
        node.scheduling_enabled = True
        self.update_activity(node)
        self._events.room_added(node.pool)

    # -- draining: what reboot, deallocate and leaving have in common --

    def drain(self, node: Node, action: str, option: str) -> None:
        """Take no more tasks, deal with the running ones, then do the action.

        With ``retaineddata`` the action waits, besides, for the retention times of the data of all tasks that completed
        on the node, or until these are gone (docs/azure-batch.md#pools).
        """
        node.after_drain = action
        node.awaits_retention = option == "retaineddata"
        if action == "leave" and node.state != "leavingpool":
            if node.timer is not None:
                node.timer.cancel()
            node.state_before_leaving = node.state
            node.enter("leavingpool", self._state.clock.now())
        self._end_tasks(node, option)
        if not node.working:
            self._drained(node)

    @staticmethod
    def can_stay(node: Node) -> bool:
        """Whether a leaving node could go on as it was; one that was still coming up could not."""
        return node.state_before_leaving in transitions.NODE["leavingpool"]

    def stay(self, node: Node) -> None:
        """A node that was to leave, and waits for its tasks or data, stays: its pool no longer shrinks."""
        if node.timer is not None:
            node.timer.cancel()
            node.timer = None
        node.after_drain = None
        node.awaits_retention = False
        node.enter(node.state_before_leaving, self._state.clock.now())
        self.update_activity(node)

    def _end_tasks(self, node: Node, option: str) -> None:
        if option in ("requeue", "terminate"):
            end = self._tasks.requeue if option == "requeue" else self._tasks.end_run
            for_each(self._state.clock, [run for run in node.runs.values() if run.kind in TASK_KINDS], end)

    def _end_others(self, node: Node) -> None:
        """End what runs beside tasks: start, preparation and release tasks."""
        for_each(self._state.clock, [run for run in node.runs.values() if run.kind not in TASK_KINDS], self._end_other)

    def _end_other(self, run: Run) -> None:
        self._job_tasks.abandon(run)
        run.detached = True
        self._runs.kill(run)

    def _drained(self, node: Node) -> None:
        action = node.after_drain
        if action is None or node.state in ("starting", "waitingforstarttask", "creating"):
            return
        if node.awaits_retention and self._wait_for_retention(node):
            return
        if node.busy:
            # Tasks may have used until now what their start task runs. Its end leads back here.
            self._end_others(node)
            return
        node.after_drain = None
        node.awaits_retention = False
        if action == "leave":
            self._start_removal(node)
            return
        state = _ACTIONS[action]
        now = self._state.clock.now()
        node.enter(state, now)
        node.timer = self._state.clock.call_later(_DURATIONS[state], self._acted, node)

    def _wait_for_retention(self, node: Node) -> bool:
        """Whether there is data to wait for; if so, `_drained` is called again when its time is over."""
        if node.timer is not None:
            node.timer.cancel()
            node.timer = None
        left = node.retained_until - self._state.clock.service_seconds()
        if left <= 0 or not any(
            task.state == "completed" and not task.files_gone and node.id in task.node_ids
            for job in self._state.job_table.values()
            for task in job.tasks.values()
        ):
            return False
        if left < math.inf:
            node.timer = self._state.clock.call_later(left, self._drained, node)
        return True

    def data_gone(self, node: Node) -> None:
        """Data of tasks has been removed from a node: it may have waited for nothing else."""
        if node.awaits_retention and not node.working:
            self._drained(node)

    def _acted(self, node: Node) -> None:
        node.timer = None
        if node.state == "deallocating":
            # Recorded: the step to deallocated leaves stateTransitionTime as it was.
            node.enter("deallocated", node.state_time)
            return
        self._events.node_rebooted(node)
        if node.state == "reimaging":
            self.wipe(node)
        self._to_starting(node)

    def wipe(self, node: Node) -> None:
        """The node is as new: nothing is left on it, and nothing has been done there."""
        self._state.executor.remove_node(self._state.place(node))
        self._state.executor.add_node(self._state.place(node))
        node.users.clear()
        node.job_tasks.clear()
        node.retained_until = 0.0
        self._events.node_wiped(node)

    def _start_removal(self, node: Node) -> None:
        node.after_drain = None
        if node.timer is not None:
            node.timer.cancel()
        node.timer = self._state.clock.call_later(timings.NODE_REMOVAL, self._gone, node)

    def _gone(self, node: Node) -> None:
        node.timer = None
        node.pool.nodes_change()
        node.pool.nodes.pop(node.id, None)
        self._state.executor.remove_node(self._state.place(node))
        self._events.node_gone(node)

    # -- mishaps --

    def preempt(self, node: Node) -> None:
        """Take a node away and bring it back under the same id when capacity returns.

        Raises:
            IllegalTransitionError: it leaves or is preempted already; nothing has changed then.
        """
        self._interrupt(node, "preempted")
        node.enter("preempted", self._state.clock.now())
        self._lose_runs(node)
        node.timer = self._state.clock.call_later(timings.NODE_ALLOCATION * 2, self._recreated, node)

    def _recreated(self, node: Node) -> None:
        node.enter("creating", self._state.clock.now())
        node.boot_time = None
        self.wipe(node)
        node.timer = self._state.clock.call_later(timings.NODE_CREATING, self._to_starting, node)

    def _interrupt(self, node: Node, state: str) -> None:
        """Call off what a node is about to do, because a mishap comes between.

        Raises:
            IllegalTransitionError: it cannot be in that state next. Its plans stay, or it would stand still forever.
        """
        if node.state == "leavingpool":
            raise transitions.IllegalTransitionError(f"{node.state} -> {state}")
        transitions.check(transitions.NODE, node.state, state)
        if node.timer is not None:
            node.timer.cancel()
            node.timer = None
        node.after_drain = None
        node.awaits_retention = False

    def fail(self, node: Node, state: str, code: str, message: str) -> None:
        """Make a node ``unusable``, ``starttaskfailed`` or ``unknown`` with an error to show.

        Raises:
            IllegalTransitionError: it leaves or is not there; nothing has changed then.
        """
        # Where a node can become unusable, an order may make its start task fail as well.
        self._interrupt(node, "unusable" if state == "starttaskfailed" else state)
        now = self._state.clock.now()
        if state == "starttaskfailed":
            if node.state != "waitingforstarttask":
                self._lose_runs(node)
                node.state = "waitingforstarttask"
            node.start_task_info = {
                "state": "completed",
                "startTime": now,
                "endTime": now,
                "exitCode": 1,
                "result": "failure",
                "retryCount": 0,
                "failureInfo": resource_error("FailureExitCode", message, category="UserError"),
            }
            node.enter("starttaskfailed", now)
        else:
            node.enter(state, now)
            self._lose_runs(node)
        node.errors.append(resource_error(code, message, [("Message", message)], key="errorDetails"))

    def _lose_runs(self, node: Node) -> None:
        for_each(self._state.clock, list(node.runs.values()), self._lose_run)

    def _lose_run(self, run: Run) -> None:
        if run.kind in TASK_KINDS:
            self._tasks.requeue(run)
        else:
            self._end_other(run)
