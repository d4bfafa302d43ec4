"""Retries and requeues of the tasks of a job, summed up from lists of what has changed its state (batch-semantics §4.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure_batch_operator.sync.polls.base import Since


class Tries:
    """What is known of one job."""

    def __init__(self) -> None:
        self.since = Since()
        self._by_task: dict[str, tuple[int, int]] = {}
        self.retries = self.requeues = self.most_requeues = 0

    def add(self, task: Mapping[str, Any]) -> None:
        """Take in a task as a list shows it."""
        self.since.saw(task)
        info = task.get("executionInfo") or {}
        now = (int(info.get("retryCount", 0)), int(info.get("requeueCount", 0)))
        before = self._by_task.get(task["id"], (0, 0))
        if now == before:
            return
        # A reactivated task counts from 0 again; what was before stays counted.
        self.retries += max(0, now[0] - before[0])
        self.requeues += max(0, now[1] - before[1])
        self.most_requeues = max(self.most_requeues, now[1])
        self._by_task[task["id"]] = now
