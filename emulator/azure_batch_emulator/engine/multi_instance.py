"""Multi-instance tasks: one task on several nodes at once (docs/azure-batch.md#tasks).

The coordination command runs on every node; when it has succeeded everywhere, the primary runs the task's own command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_batch_emulator.engine import task_rules
from azure_batch_emulator.engine.entities import Node, Pool, Run, Subtask, Task
from azure_batch_emulator.engine.pool_rules import cores_of
from azure_batch_emulator.engine.scheduler import can_run
from azure_batch_emulator.executors.base import RunRequest, RunResult

if TYPE_CHECKING:
    from azure_batch_emulator.engine.service import BatchService


class MultiInstance:
    """Places multi-instance tasks and runs their coordination commands."""

    def __init__(self, service: BatchService) -> None:
        self._service = service
        # By the serial of the primary's try, from its beginning to its end.
        self._coordinations: dict[int, _Coordination] = {}

    @staticmethod
    def possible(task: Task, pool: Pool) -> bool:
        """Whether a pool can ever run a multi-instance task; the documentation says that it stays active if not.

        Its nodes must be able to talk to each other and run one task at a time, and there must be enough of them that will take
        tasks of its job without anybody's help.
        """
        instances: int = task.spec["multiInstanceSettings"]["numberOfInstances"]
        talking: bool = pool.spec["enableInterNodeCommunication"]
        if not talking or pool.slots_per_node != 1 or len(pool.nodes) < instances:
            return False
        return sum(1 for node in pool.nodes.values() if node.serviceable and can_run(task.job, node)) >= instances

    def assign(self, task: Task, pool: Pool, nodes: list[Node]) -> bool:
        """Put a task on as many nodes as it has instances.

        Returns:
            False when there is not enough room now; the task stays in the queue.
        """
        service = self._service
        instances: int = task.spec["multiInstanceSettings"]["numberOfInstances"]
        chosen = [node for node in nodes if node.free_slots >= 1][:instances]
        if len(chosen) < instances:
            return False
        primary, *others = chosen
        now = service.clock.now()
        task.subtasks = [
            Subtask(number, node.id, pool.id, "preparing", now) for number, node in enumerate(others, start=1)
        ]
        coordination = _Coordination(service, task, primary, others)
        self._coordinations[coordination.run.serial] = coordination
        coordination.begin()
        return True

    def prepared(self, task: Task, node: Node) -> None:
        """The job preparation task has succeeded on one of a task's nodes."""
        if task.run is not None and (coordination := self._coordinations.get(task.run.serial)) is not None:
            coordination.launch(node)

    def nodes(self, run: Run) -> list[Node]:
        """All nodes of a task's try, the primary first."""
        coordination = self._coordinations.get(run.serial)
        return [run.node] if coordination is None else coordination.nodes

    def ended(self, run: Run) -> None:
        """A try of a task is over."""
        self._coordinations.pop(run.serial, None)

    def under_way(self) -> int:
        """How many tries there are."""
        return len(self._coordinations)


class _Coordination:
    """The coordination commands of one try of one task."""

    def __init__(self, service: BatchService, task: Task, primary: Node, others: list[Node]) -> None:
        self._service = service
        self._task = task
        self.nodes = [primary, *others]
        self._runs: list[Run] = []
        self._waiting: set[int] = set()
        self.run = service.tasks.place(task, primary)

    def begin(self) -> None:
        """Take room on all nodes, and start on those that the job preparation task leaves no work on."""
        service, task = self._service, self._task
        for number, node in enumerate(self.nodes):
            run = service.runs.reserve(node, "subtask", 0 if number == 0 else 1)
            if number and task.subtasks is not None:
                task.subtasks[number - 1].run = run
            else:
                self.run.companion = run
            service.tasks.belongs(run, task)
            self._runs.append(run)
            self._waiting.add(run.serial)
        for node in self.nodes:
            if service.jobs.job_tasks.prepare(task, node):
                self.launch(node)

    def launch(self, node: Node) -> None:
        """Start the coordination command on one node."""
        number = self.nodes.index(node)
        self._launch(number, node, self._runs[number])

    def _launch(self, number: int, node: Node, run: Run) -> None:
        service, task = self._service, self._task
        settings = task.spec["multiInstanceSettings"]
        directory = task.directory if number == 0 else f"{task.directory}/{number}"

        def variables(root: str) -> dict[str, str]:
            own = {
                "AZ_BATCH_TASK_DIR": f"{root}/{directory}",
                "AZ_BATCH_TASK_WORKING_DIR": f"{root}/{directory}/wd",
                "AZ_BATCH_IS_CURRENT_NODE_MASTER": "true" if number == 0 else "false",
            }
            return service.tasks.variables(task, node, root) | host_variables(task, self.nodes, root) | own

        request = RunRequest(
            place=service.runs.place(node),
            directory=directory,
            command_line=settings["coordinationCommandLine"],
            environment=variables,
            run_id=f"{task.job.id}/{task.id}/{number}",
            attempt=task.retry_count,
            resource_files=settings.get("commonResourceFiles", ()),
            shared=task.directory,
            windows=node.windows,
        )
        service.runs.launch(run, request, _Member(self, number))

    def started(self, number: int) -> None:
        task = self._task
        if number and task.subtasks:
            subtask, now = task.subtasks[number - 1], self._service.clock.now() // 10 * 10
            subtask.previous_state, subtask.previous_state_time = subtask.state, subtask.state_time
            subtask.state, subtask.state_time, subtask.start_time = "running", now, now

    def finished(self, number: int, run: Run, result: RunResult) -> None:
        task, service = self._task, self._service
        if result.lost:
            if task.run is self.run:
                service.tasks.return_to_queue(task)
            return
        outcome = task_rules.judge(result, timed_out=run.timed_out)
        now = service.clock.now() // 10 * 10
        self._waiting.discard(run.serial)
        service.tasks.let_go(run)
        if self.run.companion is run:
            self.run.companion = None
        if number and task.subtasks:
            subtask = task.subtasks[number - 1]
            subtask.previous_state, subtask.previous_state_time = subtask.state, subtask.state_time
            subtask.state, subtask.state_time, subtask.end_time = "completed", now, now
            subtask.exit_code, subtask.result, subtask.failure = outcome.exit_code, outcome.result, outcome.failure
            subtask.run = None
        if task.run is not self.run:
            return
        if outcome.failure is not None:
            service.tasks.coordination_failed(task, result)
        elif not self._waiting:
            service.tasks.launch(task, host_variables(task, self.nodes, "{root}"))


class _Member:
    def __init__(self, coordination: _Coordination, number: int) -> None:
        self._coordination = coordination
        self._number = number

    def run_started(self, run: Run) -> None:
        del run
        self._coordination.started(self._number)

    def run_finished(self, run: Run, result: RunResult) -> None:
        self._coordination.finished(self._number, run, result)


def host_variables(task: Task, nodes: list[Node], root: str) -> dict[str, str]:
    """Variables that only multi-instance tasks have, as documented.

    Args:
        nodes: all of the task, the primary first.
    """
    addresses = [node.ip_address for node in nodes]
    cores = cores_of(nodes[0].pool.spec["vmSize"])
    return {
        "AZ_BATCH_HOST_LIST": ",".join(addresses),
        "AZ_BATCH_NODE_LIST": ";".join(addresses),
        "AZ_BATCH_MASTER_NODE": f"{addresses[0]}:6000",
        "AZ_BATCH_IS_CURRENT_NODE_MASTER": "true",
        "AZ_BATCH_TASK_SHARED_DIR": f"{root}/{task.directory}",
        "CCP_NODES": f"{len(addresses)} " + " ".join(f"{address} {cores}" for address in addresses),
    }
