"""The list of a node's latest tasks, which `Node.recent_tasks` holds."""

from __future__ import annotations

from typing import Any

from azure_batch_emulator.engine.entities import Node, Task


def started(task: Task, node: Node, subtask: int | None, now: int) -> None:
    """A task, or one of the instances of a multi-instance task, runs: it is the latest in its node's list."""
    entry = {"job": task.job.id, "task": task.id, "state": "running", "startTime": now}
    if subtask is not None:
        entry["subtask"] = subtask
    node.recent_tasks.appendleft(entry)


def ended(task: Task, node: Node, subtask: int | None, end: dict[str, Any]) -> None:
    """What happened to it, in its node's list."""
    for entry in node.recent_tasks:
        if (
            entry["task"] == task.id
            and entry["state"] == "running"
            and entry["job"] == task.job.id
            and entry.get("subtask") == subtask
        ):
            entry |= end
            return
