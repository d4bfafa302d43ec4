"""Multi-instance tasks: one task on several nodes at once (docs/azure-batch.md#tasks).

The coordination command runs on every node; when it has succeeded everywhere, the primary runs the task's own command. What a
coordination command has started continues, and the subtasks have their nodes, until the primary's command has ended.
"""

from __future__ import annotations

from azure_batch_emulator.engine import ports, recent_tasks, task_rules
from azure_batch_emulator.engine.entities import Node, Pool, Run, Subtask, Task
from azure_batch_emulator.engine.placement import can_run
from azure_batch_emulator.engine.pool_rules import cores_of
from azure_batch_emulator.engine.state import AccountState
from azure_batch_emulator.executors.base import RunRequest, RunResult
from azure_batch_emulator.isolation import for_each


class MultiInstance:
    """Places multi-instance tasks and runs their coordination commands."""

    def __init__(self, state: AccountState, runs: ports.Runs, tasks: ports.Tasks, job_tasks: ports.JobTasks) -> None:
        self._state = state
        self._runs = runs
        self._tasks = tasks
        self._job_tasks = job_tasks
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
        instances: int = task.spec["multiInstanceSettings"]["numberOfInstances"]
        chosen = [node for node in nodes if node.free_slots >= 1][:instances]
        if len(chosen) < instances:
            return False
        now = self._state.clock.now()
        task.subtasks = [
            Subtask(number, node.id, pool.id, "preparing", now) for number, node in enumerate(chosen[1:], start=1)
        ]
        coordination = _Coordination(self._state, self._runs, self._tasks, self._job_tasks, task, chosen)
        self._coordinations[coordination.run.serial] = coordination
        coordination.begin()
        return True

    def prepared(self, task: Task, node: Node) -> None:
        """The job preparation task has succeeded on one of a task's nodes."""
        if task.run is not None and (coordination := self._coordinations.get(task.run.serial)) is not None:
            coordination.launch(coordination.nodes.index(node))

    def preparation_failed(self, node: Node, waiting: list[Task]) -> None:
        """The job preparation task failed on one of the nodes of tasks: they are tried elsewhere."""
        for_each(self._state.clock, waiting, lambda task: self._preparation_failed(node, task))

    def _preparation_failed(self, node: Node, task: Task) -> None:
        coordination = self._coordinations.get(task.run.serial) if task.run is not None else None
        if coordination is not None and node in coordination.nodes:
            self._tasks.return_to_queue(task)

    def end(self, run: Run) -> None:
        """The primary's try is over: so are its coordination commands and what they have started, and the subtasks."""
        coordination = self._coordinations.pop(run.serial, None)
        if coordination is not None:
            coordination.end()

    def under_way(self) -> int:
        """How many tries there are."""
        return len(self._coordinations)


class _Coordination:
    """The coordination commands of one try of one task; number 0 is the primary's, the others are those of its subtasks."""

    def __init__(
        self,
        state: AccountState,
        runs: ports.Runs,
        tasks: ports.Tasks,
        job_tasks: ports.JobTasks,
        task: Task,
        nodes: list[Node],
    ) -> None:
        self._state = state
        self._runs = runs
        self._tasks = tasks
        self._job_tasks = job_tasks
        self._task = task
        self.nodes = nodes
        self._subtasks = task.subtasks or []
        self._commands: list[Run] = []
        self._waiting = set(range(len(nodes)))
        self.run = self._tasks.place(task, nodes[0])

    def begin(self) -> None:
        """Take room on all nodes, and start on those that the job preparation task leaves no work on."""
        task = self._task
        for number, node in enumerate(self.nodes):
            run = self._runs.reserve(node, "subtask" if number else "coordination", 1 if number else 0)
            self._tasks.belongs(run, task)
            self._commands.append(run)
            node.tasks_run += 1 if number else 0
        for number, node in enumerate(self.nodes):
            if self._job_tasks.prepare(task, node):
                self.launch(number)

    def launch(self, number: int) -> None:
        """Start the coordination command on one node."""
        task, node = self._task, self.nodes[number]
        settings = task.spec["multiInstanceSettings"]
        directory = task.directory if number == 0 else f"{task.directory}/{number}"

        def variables(root: str) -> dict[str, str]:
            own = {
                "AZ_BATCH_TASK_DIR": f"{root}/{directory}",
                "AZ_BATCH_TASK_WORKING_DIR": f"{root}/{directory}/wd",
                "AZ_BATCH_IS_CURRENT_NODE_MASTER": "true" if number == 0 else "false",
            }
            return self._tasks.variables(task, node, root) | host_variables(task, self.nodes, root) | own

        request = RunRequest(
            place=self._state.place(node),
            directory=directory,
            command_line=settings["coordinationCommandLine"],
            environment=variables,
            run_id=f"{task.job.id}/{task.id}/{number}",
            attempt=task.retry_count,
            resource_files=settings.get("commonResourceFiles", ()),
            shared=task.directory,
            windows=node.windows,
            leaves_services=True,
        )
        if number == 0:
            # The limit of a try holds for all that it does, and this is where it begins.
            self._runs.limit(self.run, task.spec["constraints"]["maxWallClockTime"], self._time_out)
        member = _Member(self, number)
        self._runs.launch(self._commands[number], request, member, returned=member.returned)

    def _time_out(self, run: Run) -> None:
        run.timed_out = True
        if run.handle is not None:
            run.handle.kill()
        else:
            self._tasks.coordination_failed(self._task, RunResult(None))

    def started(self, number: int) -> None:
        """A coordination command runs: the primary's is where its task begins to run."""
        if number == 0:
            self._tasks.run_started(self.run)
            return
        subtask = self._subtasks[number - 1]
        self._enter(subtask, "running")
        recent_tasks.started(self._task, self.nodes[number], number, subtask.state_time)

    def returned(self, number: int) -> None:
        """A coordination command has succeeded."""
        self._waiting.discard(number)
        if number:
            self._subtasks[number - 1].returned = True
        if not self._waiting:
            self._tasks.launch(self._task, host_variables(self._task, self.nodes, "{root}"))

    def finished(self, number: int, run: Run, result: RunResult) -> None:
        """A coordination command has failed, or what it had started was lost with the node agent."""
        if result.lost:
            self._tasks.return_to_queue(self._task)
            return
        if number:
            self._complete(number, task_rules.judge(result, timed_out=run.timed_out))
        self._tasks.coordination_failed(self._task, result)

    def end(self) -> None:
        """End what still runs on all nodes, and the subtasks with it."""
        task = self._task
        for node in self.nodes:
            self._job_tasks.withdraw(task, node)
        for number, subtask in enumerate(self._subtasks, start=1):
            if subtask.state != "completed":
                failure = None if subtask.returned else task_rules.PRIMARY_ENDED
                code = 0 if subtask.returned else None
                self._complete(number, task_rules.Outcome(code, failure, None, retryable=False))
        for run in self._commands:
            self._tasks.let_go(run)
            run.detached = True
            self._runs.kill(run)

    def _complete(self, number: int, outcome: task_rules.Outcome) -> None:
        subtask, node = self._subtasks[number - 1], self.nodes[number]
        subtask.exit_code, subtask.result, subtask.failure = outcome.exit_code, outcome.result, outcome.failure
        self._enter(subtask, "completed")
        if outcome.failure is None:
            node.tasks_succeeded += 1
        end = {"state": "completed", "endTime": subtask.end_time, "result": outcome.result}
        recent_tasks.ended(self._task, node, number, end | {"exitCode": outcome.exit_code})

    def _enter(self, subtask: Subtask, state: str) -> None:
        now = self._state.clock.now() // 10 * 10
        subtask.previous_state, subtask.previous_state_time = subtask.state, subtask.state_time
        subtask.state, subtask.state_time = state, now
        if state == "running":
            subtask.start_time = now
        else:
            subtask.end_time = now


class _Member:
    def __init__(self, coordination: _Coordination, number: int) -> None:
        self._coordination = coordination
        self._number = number

    def run_started(self, run: Run) -> None:
        del run
        self._coordination.started(self._number)

    def returned(self) -> None:
        self._coordination.returned(self._number)

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
