"""What tasks leave on their nodes, and for how long it stays there."""

from __future__ import annotations

import math

from azure_batch_emulator.clock import Timer
from azure_batch_emulator.engine import timings
from azure_batch_emulator.engine.entities import Job, Node, Task
from azure_batch_emulator.engine.events import Events
from azure_batch_emulator.engine.state import AccountState
from azure_batch_emulator.wire.durations import INFINITE, duration_seconds

_TASK_LIFE = timings.TASK_LIFE_DAYS * 86_400.0


class TaskFiles:
    """The directories of the tasks of an account."""

    def __init__(self, state: AccountState, events: Events) -> None:
        self._state = state
        self._events = events
        # When the directories of tasks that have ended go, in service seconds, and what will take them away. A directory is known
        # by its path, which another task may have later: so whatever ends a task's claim to it calls the removal off.
        self._due: dict[Task, tuple[float, Timer]] = {}

    def remove(self, task: Task) -> None:
        """The task's directory on its node is no longer wanted."""
        self.call_off(task)
        if task.node_id is None:
            return
        task.files_gone = True
        pool = self._state.pool_table.get((task.node_pool_id or "").lower())
        for node_id in task.node_ids:
            node = pool.nodes.get(node_id) if pool else None
            if node is not None:
                if self._state.executor.keeps_files:
                    self._state.executor.remove_directory(self._state.place(node), task.directory)
                self._events.data_removed(node)

    def remove_all(self, job: Job) -> None:
        """A job is gone: so are the directories of its tasks in its pool, and in those that it ran in before."""
        for task in job.tasks.values() if self._due else ():
            self.call_off(task)
        names = {job.pool_id.lower()}
        if self._state.executor.keeps_files:
            names.update((task.node_pool_id or "").lower() for task in job.tasks.values())
        for pool in filter(None, map(self._state.pool_table.get, sorted(names))):
            for node in list(pool.nodes.values()):
                if self._state.executor.keeps_files:
                    self._state.executor.remove_directory(self._state.place(node), job.directory)
                self._events.data_removed(node)

    def keep_for_retention(self, task: Task, node: Node | None) -> None:
        """A task has ended: its data stays on its node for its retention time."""
        retention = task.spec["constraints"]["retentionTime"]
        seconds = math.inf if retention == INFINITE else duration_seconds(retention)
        if node is not None:
            until = self._state.clock.service_seconds() + seconds
            node.retained_until = max(node.retained_until, until)
            for subtask in task.subtasks or ():
                if (other := node.pool.nodes.get(subtask.node_id)) is not None:
                    other.retained_until = max(other.retained_until, until)
        if task.node_id is not None and seconds < _TASK_LIFE:
            self.remove_later(task, seconds)

    def left(self, task: Task) -> float | None:
        """For how many more service seconds the directory of a task stays; None when nothing is planned."""
        due = self._due.get(task)
        return None if due is None else max(0.0, due[0] - self._state.clock.service_seconds())

    def remove_later(self, task: Task, seconds: float) -> None:
        """The directory of a task that has ended goes after so many service seconds, if there is one."""
        if self._state.executor.keeps_files:
            clock = self._state.clock
            self._due[task] = clock.service_seconds() + seconds, clock.call_later(seconds, self.remove, task)

    def call_off(self, task: Task) -> None:
        """The directory stays after all, or is gone: nothing is planned for it any more."""
        due = self._due.pop(task, None)
        if due is not None:
            due[1].cancel()
