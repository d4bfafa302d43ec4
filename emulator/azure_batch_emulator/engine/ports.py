"""What managers ask of each other: they do not import each other (`lint-imports`).

Each protocol is named after the class that has its methods, where they are described. A manager knows only those above
it here; what it has to tell the others, it tells through `engine.events`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from azure_batch_emulator.clock import Timer
from azure_batch_emulator.engine.entities import Job, Node, Pool, Run, Task
from azure_batch_emulator.executors.base import RunRequest, RunResult
from azure_batch_emulator.wire.durations import INFINITE


class Limits(Protocol):
    """`engine.limits`."""

    def reading(self) -> float: ...

    def watch(self, limit: str, since: float, callback: Callable[..., None], *args: Any) -> Timer | None: ...


class RunOwner(Protocol):
    """The task, start task or job task that a run belongs to."""

    def run_started(self, run: Run) -> None:
        """The command itself runs now."""

    def run_finished(self, run: Run, result: RunResult) -> None:
        """Called once, just before the run's slots are free, and not for a detached run."""


class Runs(Protocol):
    """`engine.runs`."""

    def reserve(self, node: Node, kind: str, slots: int) -> Run: ...

    def launch(
        self,
        run: Run,
        request: RunRequest,
        owner: RunOwner,
        wall_clock: str = INFINITE,
        returned: Callable[[], None] | None = None,
    ) -> None: ...

    def limit(self, run: Run, wall_clock: str, callback: Callable[[Run], None]) -> None: ...

    def refuse(self, run: Run, request: RunRequest, owner: RunOwner, code: str, message: str) -> None: ...

    def kill(self, run: Run) -> None: ...

    def release(self, run: Run) -> None: ...


class JobTasks(Protocol):
    """`engine.job_tasks`."""

    def prepare(self, task: Task, node: Node) -> bool: ...

    def withdraw(self, task: Task, node: Node) -> None: ...

    def abandon(self, run: Run) -> None: ...

    def release(self, job: Job) -> int: ...


class TaskFiles(Protocol):
    """`engine.task_files`."""

    def remove(self, task: Task) -> None: ...

    def keep_for_retention(self, task: Task, node: Node | None) -> None: ...

    def call_off(self, task: Task) -> None: ...


class Tasks(Protocol):
    """`engine.tasks`."""

    def add(self, job: Job, spec: dict[str, Any], *, is_job_manager: bool = False) -> Task: ...

    def assign(self, task: Task, node: Node) -> None: ...

    def place(self, task: Task, node: Node) -> Run: ...

    def launch(self, task: Task, more_variables: dict[str, str] | None = None) -> None: ...

    def fail_launch(self, task: Task, code: str, message: str) -> None: ...

    def variables(self, task: Task, node: Node, root: str) -> dict[str, str]: ...

    def run_started(self, run: Run) -> None: ...

    def belongs(self, run: Run, task: Task) -> None: ...

    def let_go(self, run: Run) -> None: ...

    def coordination_failed(self, task: Task, result: RunResult) -> None: ...

    def return_to_queue(self, task: Task) -> None: ...

    def requeue(self, run: Run) -> None: ...

    def end_run(self, run: Run) -> None: ...

    def end(self, task: Task, failure: dict[str, Any]) -> None: ...


class MultiInstance(Protocol):
    """`engine.multi_instance`."""

    def possible(self, task: Task, pool: Pool) -> bool: ...

    def assign(self, task: Task, pool: Pool, nodes: list[Node]) -> bool: ...


class Scheduler(Protocol):
    """`engine.scheduler`."""

    def enter(self, job: Job) -> None: ...

    def leave(self, job: Job) -> None: ...


class Nodes(Protocol):
    """`engine.nodes`."""

    def create(self, pool: Pool, *, dedicated: bool) -> Node: ...

    def drain(self, node: Node, action: str, option: str) -> None: ...

    def can_stay(self, node: Node) -> bool: ...

    def stay(self, node: Node) -> None: ...


class AutoScale(Protocol):
    """`engine.auto_scale`."""

    def check_syntax(self, formula: str) -> None: ...

    def begin(self, pool: Pool, formula: str, interval: str) -> None: ...

    def forget(self, pool: Pool) -> None: ...


class Pools(Protocol):
    """`engine.pools`."""

    def create(self, pool_id: str, spec: dict[str, Any]) -> Pool: ...

    def delete(self, pool: Pool) -> None: ...


class AutoPools(Protocol):
    """`engine.auto_pools`."""

    def attach(self, job: Job) -> None: ...

    def leave(self, job: Job) -> None: ...

    def resume(self, job: Job) -> None: ...

    def job_ended(self, job: Job) -> None: ...

    def remove(self, pool_id: str) -> None: ...


class TaskAges(Protocol):
    """`engine.task_ages`."""

    def forget(self, job: Job) -> None: ...


class Jobs(Protocol):
    """`engine.jobs`."""

    def check(self, spec: dict[str, Any]) -> None: ...

    def create(self, job_id: str, spec: dict[str, Any], *, schedule_id: str | None = None) -> Job: ...

    def delete(self, job: Job) -> None: ...

    def end_by_service(self, job: Job, reason: str) -> None: ...
