"""What managers tell each other: each event is named after what has happened, and who tells it does not know who listens.

Handlers are called at once, in the order in which they were added (`engine.service` adds them all, so that it shows what leads to
what). A manager asks for what it needs through `engine.ports`; what nobody has asked for, it tells here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, ParamSpec

from azure_batch_emulator.engine.entities import Job, Node, Pool, Run, Task

P = ParamSpec("P")


class Event(Generic[P]):
    """One event and its handlers."""

    __slots__ = ("handlers",)

    def __init__(self) -> None:
        self.handlers: tuple[Callable[P, None], ...] = ()

    def subscribe(self, *handlers: Callable[P, None]) -> None:
        """Call these after those that are called already."""
        self.handlers += handlers

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> None:
        for handler in self.handlers:
            handler(*args, **kwargs)


class Events:
    """The events of one account."""

    def __init__(self) -> None:
        # A pool, known by its id, has more work; a pool has more room.
        self.work_added: Event[[str]] = Event()
        self.room_added: Event[[Pool]] = Event()
        # A run has taken slots of a node, or has given them back.
        self.run_reserved: Event[[Node]] = Event()
        self.run_released: Event[[Node]] = Event()
        # A job has a new task, since a tick; one of its tasks runs no more, has completed with an action for it, or was deleted.
        self.task_added: Event[[Job, int]] = Event()
        self.task_stopped: Event[[Job]] = Event()
        self.task_completed: Event[[Task, str]] = Event()
        self.task_deleted: Event[[Job]] = Event()
        # The try of a task is over, whatever becomes of the task.
        self.try_ended: Event[[Run]] = Event()
        # Data of tasks is gone from a node.
        self.data_removed: Event[[Node]] = Event()
        # The preparation task of a job has succeeded for a task that waited on a node, or failed for all that did.
        self.preparation_succeeded: Event[[Task, Node]] = Event()
        self.preparation_failed: Event[[Node, list[Task]]] = Event()
        # One release task of a job is over.
        self.release_ended: Event[[Job]] = Event()
        # A node takes work, has booted again after an action, is as new, or has left its pool.
        self.node_ready: Event[[Node]] = Event()
        self.node_rebooted: Event[[Node]] = Event()
        self.node_wiped: Event[[Node]] = Event()
        self.node_gone: Event[[Node]] = Event()
        # A formula has new targets for a pool: dedicated nodes, low-priority nodes, and what happens to tasks.
        self.targets_computed: Event[[Pool, int, int, str]] = Event()
        # The auto pool of a job cannot be made.
        self.auto_pool_refused: Event[[Job, dict[str, Any]]] = Event()
        # A job is completed, or is not there any more.
        self.job_completed: Event[[Job]] = Event()
        self.job_gone: Event[[Job]] = Event()
