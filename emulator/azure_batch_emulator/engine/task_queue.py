"""A job's active tasks in their order, kept apart by the slots that they need: many that fit nowhere do not hide one that does."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar


class Queued(Protocol):
    """What the queue knows of a task: its body says how many slots it needs, and `place` is the queue's own."""

    spec: dict[str, Any]
    place: int


T = TypeVar("T", bound=Queued)


class TaskQueue(Generic[T]):
    """First in, first out, among the tasks that fit."""

    __slots__ = ("_first", "_last", "_lines")

    def __init__(self) -> None:
        self._lines: dict[int, deque[T]] = {}
        self._first = self._last = 0

    def append(self, task: T) -> None:
        """Put a task last."""
        self._last += 1
        task.place = self._last
        self._line(task).append(task)

    def append_first(self, task: T) -> None:
        """Put a task before all others."""
        self._first -= 1
        task.place = self._first
        self._line(task).appendleft(task)

    def take(self, slots: int) -> T | None:
        """The first task that needs no more slots than these; None if there is none."""
        lines = [line for needed, line in self._lines.items() if line and needed <= slots]
        return min(lines, key=lambda line: line[0].place).popleft() if lines else None

    def give_back(self, tasks: Sequence[T]) -> None:
        """Put tasks back where they were taken from, given in the order in which they were taken."""
        for task in reversed(tasks):
            self._line(task).appendleft(task)

    def discard(self, task: T) -> None:
        """Take a task out, if it is in."""
        line = self._line(task)
        if task in line:
            line.remove(task)

    def __iter__(self) -> Iterator[T]:
        return heapq.merge(*self._lines.values(), key=lambda task: task.place)

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __bool__(self) -> bool:
        return any(self._lines.values())

    def _line(self, task: T) -> deque[T]:
        return self._lines.setdefault(task.spec["requiredSlots"], deque())
