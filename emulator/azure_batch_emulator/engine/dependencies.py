"""Which tasks wait for which, within one job (docs/azure-batch.md#tasks).

A dependency is met when its parent is satisfied, whether the parent was added before or after. Ranges mean integer ids,
leading zeros ignored, ends included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

# Ranges up to this size are spread over their ids, longer ones are counted as a whole: both ways stay cheap.
_SPREAD = 256
_Parent = TypeVar("_Parent")


class _Child:
    """One life of a task that waits: a task of the same id that is added later is another one."""

    __slots__ = ("id", "long", "numbers", "parents", "unmet")

    def __init__(self, task_id: str) -> None:
        self.id = task_id
        self.unmet = 0
        self.parents: list[str] = []
        self.numbers: list[int] = []
        self.long: list[_LongRange] = []


class _LongRange:
    __slots__ = ("child", "end", "missing", "start")

    def __init__(self, start: int, end: int, missing: int, child: _Child) -> None:
        self.start, self.end, self.missing, self.child = start, end, missing, child


class Dependencies:
    """The book of one job. Ids are given as written; they are compared without regard to case."""

    __slots__ = ("_by_id", "_by_number", "_long", "_numbers", "_satisfied", "_waiting")

    def __init__(self) -> None:
        self._satisfied: set[str] = set()
        self._numbers: set[int] = set()
        self._waiting: dict[str, _Child] = {}
        # Dictionaries without values: sets that keep the order in which tasks were added.
        self._by_id: dict[str, dict[_Child, None]] = {}
        self._by_number: dict[int, dict[_Child, None]] = {}
        self._long: dict[_LongRange, None] = {}

    def add(self, child: str, depends_on: Mapping[str, Any]) -> bool:
        """Note what a task depends on.

        Args:
            child: id of the task.
            depends_on: ``{"taskIds": [...], "taskIdRanges": [{"start", "end"}]}``.

        Returns:
            True if all of it is met already.
        """
        waiting = _Child(child.lower())
        for parent in {task_id.lower() for task_id in depends_on.get("taskIds", ())} - self._satisfied:
            self._by_id.setdefault(parent, {})[waiting] = None
            waiting.parents.append(parent)
        for span in depends_on.get("taskIdRanges", ()):
            start, end = span["start"], span["end"]
            if end - start < _SPREAD:
                for number in range(start, end + 1):
                    if number in self._numbers:
                        continue
                    children = self._by_number.setdefault(number, {})
                    if waiting not in children:
                        children[waiting] = None
                        waiting.numbers.append(number)
            else:
                missing = end - start + 1 - sum(1 for number in self._numbers if start <= number <= end)
                if missing:
                    long = _LongRange(start, end, missing, waiting)
                    self._long[long] = None
                    waiting.long.append(long)
        waiting.unmet = len(waiting.parents) + len(waiting.numbers) + len(waiting.long)
        if waiting.unmet:
            self._waiting[waiting.id] = waiting
        return not waiting.unmet

    def satisfy(self, parent: str) -> list[str]:
        """Note that a task satisfies those that depend on it.

        Returns:
            Lower-case ids of the tasks that now wait for nothing more, in the order in which they were added.
        """
        parent = parent.lower()
        if parent in self._satisfied:
            return []
        self._satisfied.add(parent)
        released: list[str] = []
        for child in self._by_id.pop(parent, ()):
            self._met(child, released)
        number = int(parent) if parent.isascii() and parent.isdigit() else None
        if number is not None and number not in self._numbers:
            self._numbers.add(number)
            for child in self._by_number.pop(number, ()):
                self._met(child, released)
            finished = []
            for span in self._long:
                if span.start <= number <= span.end:
                    span.missing -= 1
                    if not span.missing:
                        finished.append(span)
                        self._met(span.child, released)
            for span in finished:
                self._long.pop(span, None)
        return released

    def satisfied(self) -> list[str]:
        """Ids of all parents that have been satisfied, in order."""
        return sorted(self._satisfied)

    def forget(self, child: str) -> None:
        """A waiting task is gone or done with; nothing releases it any more."""
        gone = self._waiting.pop(child.lower(), None)
        if gone is None:
            return
        for parent in gone.parents:
            _leave(self._by_id, parent, gone)
        for number in gone.numbers:
            _leave(self._by_number, number, gone)
        for span in gone.long:
            self._long.pop(span, None)

    def size(self) -> int:
        """How much is noted of tasks that wait; 0 when none does."""
        return len(self._waiting) + len(self._by_id) + len(self._by_number) + len(self._long)

    def _met(self, child: _Child, released: list[str]) -> None:
        child.unmet -= 1
        if not child.unmet:
            del self._waiting[child.id]
            released.append(child.id)


def _leave(waiting: dict[_Parent, dict[_Child, None]], parent: _Parent, child: _Child) -> None:
    """Take a child out of those of a parent."""
    children = waiting.get(parent)
    if children is not None:
        children.pop(child, None)
        if not children:
            del waiting[parent]
