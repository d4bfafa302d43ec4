"""Observed tasks: the values of a task that decisions and statuses use, and no others."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from azure_batch_operator.batch.wire import (
    NO_EXECUTION,
    Node,
    TaskConstraints,
    TaskExecution,
    TaskNode,
)


class TaskOutput(Struct, frozen=True, gc=False):
    """The last lines of what an ended task has written.

    Attributes:
        problem: why there is none.
    """

    stdout_tail: str | None = None
    stderr_tail: str | None = None
    problem: str | None = None

    @property
    def shown(self) -> Mapping[str, str]:
        """The members of a status that show it; none that is empty."""
        members = {"stdoutTail": self.stdout_tail, "stderrTail": self.stderr_tail, "outputProblem": self.problem}
        return {name: text for name, text in members.items() if text}


NO_OUTPUT = TaskOutput()


class ObservedTask(Struct, frozen=True, kw_only=True, gc=False):
    """The task of a BatchTask.

    Attributes:
        owner: its ownership marker; lists that show it are rare, so it is kept from one to the next.
        output: None while nobody has tried to read it.
    """

    id: str
    etag: str | None = None
    creation_time: str | None = None
    state: str | None = None
    execution: TaskExecution = NO_EXECUTION
    node: TaskNode | None = None
    constraints: TaskConstraints | None = None
    owner: str | None = None
    output: TaskOutput | None = None


class ObservedNode(Struct, frozen=True, gc=False):
    """A node of a pool that something is to be done or said about.

    Attributes:
        stderr_tail: last lines that its start task wrote to stderr; None while nobody has tried to read them.
    """

    node: Node
    stderr_tail: str | None = None


class FailedNode(Struct, frozen=True, gc=False):
    """A node on which the preparation or release task of a job has failed.

    Attributes:
        task: `preparation` or `release`.
    """

    task: str
    node_id: str
    exit_code: int | None = None
    code: str | None = None
    message: str | None = None


class FailedTask(Struct, frozen=True, gc=False):
    """A failed task of a job.

    Attributes:
        stderr_tail: last lines of stderr.txt; None while nobody has tried to read it, which is done for one of a kind.
        stderr_problem: why there are none.
    """

    id: str
    execution: TaskExecution = NO_EXECUTION
    stderr_tail: str | None = None
    stderr_problem: str | None = None
