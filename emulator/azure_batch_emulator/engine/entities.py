"""The resources of an account while they live: plain records that know how to change state and nothing else.

Times are ticks. ``spec`` is the accepted request body as the service returns it; it is replaced, never changed in place.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from azure_batch_emulator.clock import Timer
from azure_batch_emulator.engine import transitions
from azure_batch_emulator.engine.compact import NOT_ENDED, Ended, Seldom
from azure_batch_emulator.engine.dependencies import Dependencies
from azure_batch_emulator.engine.lag import Lagging
from azure_batch_emulator.engine.ordered import Ordered
from azure_batch_emulator.engine.task_queue import TaskQueue
from azure_batch_emulator.executors.base import RunHandle
from azure_batch_emulator.schema.machines import is_windows

# Jobs pass through these on the way to a state that lasts; they never become a previousState (docs/azure-batch.md#jobs).
TRANSIENT_JOB_STATES = frozenset({"disabling", "enabling", "terminating"})
TASK_KINDS = frozenset({"task", "subtask"})
USABLE_NODE_STATES = frozenset({"idle", "running"})
# On their way to be usable, if nothing happens to them.
COMING_NODE_STATES = frozenset({"creating", "starting", "waitingforstarttask", "rebooting", "reimaging", "preempted"})
# How many nodes of a pool there are, by (dedicated, state).
NodeCounts = Counter[tuple[bool, str]]


@dataclass(slots=True, eq=False)
class Pool:
    """A pool: targets, allocation state, and its nodes by id. It has settled once it has been steady."""

    id: str
    spec: dict[str, Any]
    created: int
    last_modified: int
    state_time: int
    allocation_time: int
    target_dedicated: int = 0
    target_low_priority: int = 0
    state: str = "active"
    allocation_state: str = "resizing"
    resize_timeout: str = "PT15M"
    resize_errors: list[dict[str, Any]] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)
    communication_mode: str | None = None
    node_serial: int = 0
    enable_auto_scale: bool = False
    auto_scale_formula: str | None = None
    auto_scale_interval: str | None = None
    auto_scale_run: dict[str, Any] | None = None
    auto_scale_enabled_at: float | None = None
    auto_scale_timer: Timer | None = None
    allocation_timer: Timer | None = None
    resize_timer: Timer | None = None
    scheduling_pending: bool = False
    settled: bool = False
    when_settled: list[Callable[[], None]] = field(default_factory=list)
    past: Lagging[NodeCounts] | None = None

    @property
    def slots_per_node(self) -> int:
        slots: int = self.spec["taskSlotsPerNode"]
        return slots

    def enter(self, state: str, now: int) -> None:
        transitions.check(transitions.POOL, self.state, state)
        self.state, self.state_time = state, now

    def enter_allocation(self, state: str, now: int) -> None:
        transitions.check(transitions.ALLOCATION, self.allocation_state, state)
        self.allocation_state, self.allocation_time = state, now

    def count(self, *, dedicated: bool) -> int:
        """Current nodes of one kind; a node that is leaving still counts until it is gone."""
        return sum(1 for node in self.nodes.values() if node.dedicated is dedicated)

    def node_counts(self) -> NodeCounts:
        """Nodes by kind and state, as they are."""
        return Counter((node.dedicated, node.state) for node in self.nodes.values())

    def nodes_change(self) -> None:
        """Call before a node comes, goes or changes its state: what is counted now is shown a while longer."""
        if self.past is not None:
            self.past.changes(self.node_counts)


@dataclass(slots=True, eq=False)
class Node:
    """A compute node. `runs` is what occupies it at the moment."""

    id: str
    pool: Pool
    index: int
    dedicated: bool
    ip_address: str
    allocated: int
    state_time: int
    state: str = "creating"
    scheduling_enabled: bool = True
    boot_time: int | None = None
    runs: dict[int, Run] = field(default_factory=dict)
    slots_used: int = 0
    exclusive: bool = False
    tasks_run: int = 0
    tasks_succeeded: int = 0
    recent_tasks: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=10))
    # Both are the pool's as it was when the node booted.
    packages: list[dict[str, Any]] = field(default_factory=list)
    start_task: dict[str, Any] | None = None
    start_task_info: dict[str, Any] | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    job_tasks: dict[str, JobTaskRecord] = field(default_factory=dict)
    timer: Timer | None = None
    after_drain: str | None = None
    state_before_leaving: str = "idle"
    awaits_retention: bool = False
    retained_until: float = 0.0

    def enter(self, state: str, now: int) -> None:
        transitions.check(transitions.NODE, self.state, state)
        self.pool.nodes_change()
        self.state, self.state_time = state, now

    @property
    def windows(self) -> bool:
        """Whether it runs Windows."""
        return is_windows(self.pool.spec)

    @property
    def free_slots(self) -> int:
        """Slots that new tasks may take now."""
        if self.state not in USABLE_NODE_STATES or not self.scheduling_enabled or self.exclusive or self.after_drain:
            return 0
        return self.pool.slots_per_node - self.slots_used

    @property
    def serviceable(self) -> bool:
        """Whether it takes tasks, or will by itself: not if it has failed, is to go, or must be enabled or started first."""
        coming = self.state in USABLE_NODE_STATES or self.state in COMING_NODE_STATES
        return coming and self.scheduling_enabled and self.after_drain not in ("leave", "deallocate")

    @property
    def busy(self) -> bool:
        """Whether anything runs there."""
        return bool(self.runs)

    @property
    def working(self) -> bool:
        """Whether tasks of jobs have it, also while they wait for their preparation task; a start task may continue forever.

        Tasks and subtasks take slots; start tasks, coordination commands, preparation and release tasks take none.
        """
        return self.slots_used > 0


def _key(task: Task) -> str:
    """A task's place among those of its job, and its key in `Job.tasks`."""
    return task.id.lower()


@dataclass(slots=True, eq=False)
class Counts:
    """Tasks of a job by state and result, kept up to date by `Job.count`."""

    active: int = 0
    running: int = 0
    completed: int = 0
    succeeded: int = 0
    failed: int = 0

    def copied(self) -> Counts:
        """As they are now."""
        return Counts(self.active, self.running, self.completed, self.succeeded, self.failed)


@dataclass(slots=True, eq=False)
class Job:
    """A job with its tasks by lower-case id. Its wall-clock limit counts from `limit_since` (`limits.Limits.reading`).

    `left_pool` is its auto pool if it runs in another pool by now. `reaction` is what a failed task
    has ordered for it and is still to come.
    """

    id: str
    spec: dict[str, Any]
    created: int
    last_modified: int
    state_time: int
    start_time: int
    pool_id: str
    state: str = "active"
    previous_state: str | None = None
    previous_state_time: int | None = None
    end_time: int | None = None
    terminate_reason: str | None = None
    scheduling_error: dict[str, Any] | None = None
    tasks: dict[str, Task] = field(default_factory=dict)
    tasks_in_order: Ordered[Task] = field(default_factory=lambda: Ordered(_key))
    ready: TaskQueue[Task] = field(default_factory=TaskQueue)
    dependencies: Dependencies = field(default_factory=Dependencies)
    counts: Counts = field(default_factory=Counts)
    slot_counts: Counts = field(default_factory=Counts)
    past: Lagging[tuple[Counts, Counts]] | None = None
    disable_option: str | None = None
    schedule_id: str | None = None
    auto_pool: bool = False
    left_pool: str | None = None
    reaction: str | None = None
    limit_since: float = 0.0
    wall_clock_timer: Timer | None = None
    step_timer: Timer | None = None
    completion_timer: Timer | None = None
    age_timer: Timer | None = None
    age_marks: deque[tuple[float, int]] = field(default_factory=deque)
    job_task_records: list[JobTaskRecord] = field(default_factory=list)
    releasing: int = 0
    after_release: str | None = None

    def enter(self, state: str, now: int) -> None:
        transitions.check(transitions.JOB, self.state, state)
        if self.state not in TRANSIENT_JOB_STATES:
            self.previous_state, self.previous_state_time = self.state, self.state_time
        self.state, self.state_time = state, now

    def counts_of_tasks(self) -> tuple[Counts, Counts]:
        """Tasks and slots by state, as they are."""
        return self.counts.copied(), self.slot_counts.copied()

    def tasks_change(self) -> None:
        """Call before a task comes, goes or changes its state: what is counted now is shown a while longer."""
        if self.past is not None:
            self.past.changes(self.counts_of_tasks)

    def count(self, task: Task, sign: int) -> None:
        """Add (+1) or take away (-1) a task as it now stands."""
        tasks, slots, amount = self.counts, self.slot_counts, sign * task.spec["requiredSlots"]
        if task.state == "active":
            tasks.active += sign
            slots.active += amount
        elif task.state != "completed":
            tasks.running += sign
            slots.running += amount
        else:
            tasks.completed += sign
            slots.completed += amount
            if task.ended.result == "success":
                tasks.succeeded += sign
                slots.succeeded += amount
            else:
                tasks.failed += sign
                slots.failed += amount

    def label(self) -> str:
        """What the log calls it."""
        return f"the job {self.id}"

    @property
    def directory(self) -> str:
        """Where the job's tasks have their directories, below a node's root (docs/azure-batch.md#job-schedules)."""
        if self.schedule_id is not None:
            return f"workitems/{self.schedule_id}/{self.id.rpartition(':')[2]}"
        return f"workitems/{self.id}/job-1"


@dataclass(slots=True, eq=False)
class Task:
    """A task. `run` is its present try, if it has one; `place` orders it among those that wait for a node.

    `spec` is the accepted body without the two properties that differ from task to task, so that equal tasks share it. There
    may be a million of these: what most do not have is no field (`tests/unit/emulator/test_task_memory.py`).
    """

    id: str
    job: Job
    command_line: str
    spec: dict[str, Any]
    created: int
    last_modified: int
    state_time: int
    state: str = "active"
    previous_state: str | None = None
    previous_state_time: int | None = None
    start_time: int | None = None
    end_time: int | None = None
    ended: Ended = NOT_ENDED
    node_id: str | None = None
    node_pool_id: str | None = None
    run: Run | None = None
    place: int = 0
    seldom: dict[str, Any] | None = None

    retry_count = Seldom[int](0)
    requeue_count = Seldom[int](0)
    last_retry = Seldom["int | None"](None)
    last_requeue = Seldom["int | None"](None)
    windows = Seldom[bool](False)
    files_gone = Seldom[bool](False)
    waiting = Seldom[bool](False)
    subtasks = Seldom["list[Subtask] | None"](None)
    is_job_manager = Seldom[bool](False)

    @property
    def exit_code(self) -> int | None:
        """Of the try that ended the task."""
        return self.ended.exit_code

    @property
    def result(self) -> str | None:
        """``success`` or ``failure``, of a task that has ended."""
        return self.ended.result or None

    @property
    def failure(self) -> dict[str, Any] | None:
        """Why the task failed."""
        return self.ended.failure

    def begin_anew(self) -> None:
        """Forget how the task ended, and where it ran."""
        self.ended = NOT_ENDED
        self.start_time = self.end_time = self.node_id = self.node_pool_id = self.subtasks = None
        self.files_gone = False

    def enter(self, state: str, now: int) -> None:
        """Change state and the job's counts with it. Set result and exit code before completing."""
        transitions.check(transitions.TASK, self.state, state)
        self.job.tasks_change()
        self.job.count(self, -1)
        self.previous_state, self.previous_state_time = self.state, self.state_time
        self.state, self.state_time = state, now
        self.job.count(self, 1)

    @property
    def body(self) -> dict[str, Any]:
        """The accepted body as the service returns it."""
        return self.spec | {"id": self.id, "commandLine": self.command_line}

    def label(self) -> str:
        """What the log calls it."""
        return f"the task {self.job.id}/{self.id}"

    @property
    def directory(self) -> str:
        return f"{self.job.directory}/{self.id}"

    @property
    def node_ids(self) -> list[str]:
        """Where its try has run, the node of the primary first."""
        subtasks = self.subtasks
        nodes = [self.node_id] if self.node_id is not None else []
        return nodes if subtasks is None else nodes + [subtask.node_id for subtask in subtasks]


@dataclass(slots=True, eq=False)
class Subtask:
    """One of the further instances of a multi-instance task; the primary is the task itself.

    `returned` says that its coordination command has succeeded. It runs on until the primary ends.
    """

    id: int
    node_id: str
    pool_id: str
    state: str
    state_time: int
    start_time: int | None = None
    end_time: int | None = None
    exit_code: int | None = None
    result: str | None = None
    failure: dict[str, Any] | None = None
    previous_state: str | None = None
    previous_state_time: int | None = None
    returned: bool = False


@dataclass(slots=True, eq=False)
class JobTaskRecord:
    """What a job's preparation and release tasks did on one node; outlives the node (docs/azure-batch.md#jobs).

    `tries` are those of a preparation task that continues when its job is enabled again.
    """

    job_id: str
    pool_id: str
    node_id: str
    preparation: dict[str, Any] | None = None
    release: dict[str, Any] | None = None
    prepared: bool = False
    failed: bool = False
    tries: int = 0
    waiting_tasks: list[Task] = field(default_factory=list)
    run: Run | None = None


@dataclass(slots=True, eq=False)
class Run:
    """One try of one command on one node: a task, a subtask, the coordination command of a primary, a start task, a job
    preparation or release task.

    `name` is that of the request, such as ``job/task``; `started` is when its command was started, in ticks.
    `detached` says that its owner has been dealt with already: when it ends, only the node's slots are freed.
    """

    serial: int
    kind: str
    node: Node
    slots: int
    handle: RunHandle | None = None
    detached: bool = False
    timed_out: bool = False
    wall_clock: Timer | None = None
    done: bool = False
    name: str = ""
    started: int | None = None

    def label(self) -> str:
        """What the log calls it."""
        return f"the run {self.name}"


@dataclass(slots=True, eq=False)
class JobSchedule:
    """A job schedule, the number of the job it made last, and the pool that its jobs share, if it has made one."""

    id: str
    spec: dict[str, Any]
    created: int
    last_modified: int
    state_time: int
    state: str = "active"
    previous_state: str | None = None
    previous_state_time: int | None = None
    job_serial: int = 0
    recent_job_id: str | None = None
    next_run: int | None = None
    end_time: int | None = None
    timer: Timer | None = None
    end_timer: Timer | None = None
    due: bool = False
    due_at: int | None = None
    auto_pool_id: str | None = None
    auto_pool_kept: bool = False

    def enter(self, state: str, now: int) -> None:
        transitions.check(transitions.SCHEDULE, self.state, state)
        if self.state != "terminating":
            self.previous_state, self.previous_state_time = self.state, self.state_time
        self.state, self.state_time = state, now
