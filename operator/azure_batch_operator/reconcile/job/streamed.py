"""Tasks of a spec that are generated each time they are needed and never stored, so a job may have any number of them.

What passes over a job ask of its tasks is found once, when the tasks are first made, and stored here: a pass runs in the event loop
and must not make them (tests/quick/test_retry_of.py, `test_passes_make_no_tasks`).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import overload

from azure_batch_operator.api.task_body import Task
from azure_batch_operator.batch.wire import Body
from azure_batch_operator.reconcile.job.spec import TaskLinks
from azure_batch_operator.reconcile.value_references import Reference, Source, filled


@dataclass(frozen=True, eq=False)
class Streamed(Sequence[Body]):
    """Takes the place of a list of tasks; in the order of ids.

    Attributes:
        source: spec that the tasks are made from.
        only: lower-case ids of those of its tasks that are meant.
        make: makes the tasks of a source.
        size: how many there are.
        depending: how many of them depend on others.
        followed: those with dependencies or exit conditions, by lower-case id; None if they are too many.
        acting: ids of tasks whose exit conditions act on the job, at most a few, and how many there are.
        least_slots: the fewest slots that one of them takes.
        let_in: whether one of them is given a token for the job.
        needed: the values of Secrets and ConfigMaps that these tasks take, one reference for each.
        values: these values, if the tasks are to have them. They are put into the tasks and not into the source, whose other tasks
            may need what is gone.
    """

    source: Body = field(repr=False)
    only: Container[str] = field(repr=False)
    make: Callable[[Body], Iterator[Body]] = field(repr=False)
    size: int = 0
    depending: int = 0
    followed: Mapping[str, TaskLinks] | None = field(default_factory=dict, repr=False)
    acting: tuple[tuple[str, ...], int] = ((), 0)
    least_slots: int = 1
    let_in: bool = False
    needed: tuple[Reference, ...] = ()
    values: Mapping[Source, str] | None = field(default=None, repr=False)

    def with_values(self, values: Mapping[Source, str]) -> Streamed:
        """The same tasks with values instead of references."""
        return replace(self, values=values)

    def __iter__(self) -> Iterator[Body]:
        bodies, values = self.make(self.source), self.values
        if values is None or not self.needed:
            return bodies
        return (filled(Task, body, values) for body in bodies)

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, at: int) -> Body: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Body]: ...
    def __getitem__(self, at: int | slice) -> Body | Sequence[Body]:
        if isinstance(at, slice):
            return [*self][at]
        found = next(islice(self, range(self.size)[at], None), None)
        if found is None:
            raise IndexError(at)
        return found


def counted(number: int) -> Streamed:
    """As many tasks of which nothing is known."""
    return Streamed(
        {},
        (),
        lambda _: ({"id": f"unknown-{each}", "commandLine": ""} for each in range(number)),
        number,
        followed=None,
    )
