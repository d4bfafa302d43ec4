"""Which tasks wait for which, within one job (batch-semantics §4.4 dependsOn).

A dependency is met when its parent is satisfied, whether the parent was added before or after. Ranges mean integer ids,
leading zeros ignored, ends included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Ranges up to this size are spread over their ids, longer ones are counted as a whole: both ways stay cheap.
_SPREAD = 256


class _LongRange:
    __slots__ = ("child", "end", "missing", "start")

    def __init__(self, start: int, end: int, missing: int, child: str) -> None:
        self.start, self.end, self.missing, self.child = start, end, missing, child


class Dependencies:
    """The book of one job. Ids are given as written; they are compared without regard to case."""

    __slots__ = ("_by_id", "_by_number", "_long", "_numbers", "_satisfied", "_unmet")

    def __init__(self) -> None:
        self._satisfied: set[str] = set()
        self._numbers: set[int] = set()
        self._unmet: dict[str, int] = {}
        self._by_id: dict[str, list[str]] = {}
        self._by_number: dict[int, list[str]] = {}
        self._long: list[_LongRange] = []

    def add(self, child: str, depends_on: Mapping[str, Any]) -> bool:
        """Note what a task depends on.

        Args:
            child: id of the task.
            depends_on: ``{"taskIds": [...], "taskIdRanges": [{"start", "end"}]}``.

        Returns:
            True if all of it is met already.
        """
        child = child.lower()
        unmet = 0
        for parent in {task_id.lower() for task_id in depends_on.get("taskIds", ())} - self._satisfied:
            self._by_id.setdefault(parent, []).append(child)
            unmet += 1
        for span in depends_on.get("taskIdRanges", ()):
            start, end = span["start"], span["end"]
            if end - start < _SPREAD:
                for number in range(start, end + 1):
                    if number not in self._numbers:
                        self._by_number.setdefault(number, []).append(child)
                        unmet += 1
            else:
                missing = end - start + 1 - sum(1 for number in self._numbers if start <= number <= end)
                if missing:
                    self._long.append(_LongRange(start, end, missing, child))
                    unmet += 1
        if unmet:
            self._unmet[child] = unmet
        return not unmet

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
                self._long.remove(span)
        return released

    def satisfied(self) -> list[str]:
        """Ids of all parents that have been satisfied, in order."""
        return sorted(self._satisfied)

    def forget(self, child: str) -> None:
        """A waiting task is gone or done with; nothing releases it any more."""
        self._unmet.pop(child.lower(), None)

    def _met(self, child: str, released: list[str]) -> None:
        left = self._unmet.get(child)
        if left is None:
            return
        if left == 1:
            del self._unmet[child]
            released.append(child)
        else:
            self._unmet[child] = left - 1
