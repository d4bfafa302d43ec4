"""Output of BatchTasks that is read by later polls, because too many tasks ended in one poll.

A status that says how a task has ended does not wait for that; the output is added to it when it is there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from azure_batch_operator.api.resource import Key
from azure_batch_operator.reconcile.observed import NO_OUTPUT, TaskOutput

_MAX_OWED = 2000
"""Of what is owed at a time; whatever is more is left out."""


@dataclass(frozen=True)
class Owed:
    """A task whose output is still to be read.

    Attributes:
        job_id, task_id: where it is.
        lines: how many last lines of both files its object wants; None for the usual of stderr.txt.
    """

    job_id: str
    task_id: str
    lines: int | None


class Outputs:
    """What is owed to which object, and what has come."""

    def __init__(self) -> None:
        self._owed: dict[Key, Owed] = {}
        self._late: dict[Key, TaskOutput] = {}

    def __bool__(self) -> bool:
        return bool(self._owed)

    def owe(self, keys: Iterable[Key], owed: Owed) -> None:
        """Read the output of a task for these objects later."""
        for key in keys:
            self._late.pop(key, None)
            if key in self._owed or len(self._owed) < _MAX_OWED:
                self._owed[key] = owed

    def owed(self, number: int) -> list[tuple[Key, Owed]]:
        """At most so many of those that have waited longest."""
        return list(islice(self._owed.items(), number))

    def postpone(self, key: Key) -> None:
        """It could not be read now: the others come first."""
        if (owed := self._owed.pop(key, None)) is not None:
            self._owed[key] = owed

    def bring(self, key: Key, output: TaskOutput) -> None:
        """The output has come; nothing if nobody wants it any more."""
        if self._owed.pop(key, None) is not None:
            self._late[key] = output

    def late(self, key: Key) -> TaskOutput:
        """What has come for an object; empty if nothing has."""
        return self._late.get(key, NO_OUTPUT)

    def forget(self, key: Key) -> None:
        """The object is gone, or has got what was for it."""
        self._owed.pop(key, None)
        self._late.pop(key, None)
