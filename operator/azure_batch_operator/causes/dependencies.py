"""How waiting tasks depend on others, from the tasks as Azure Batch lists them: is one ready, and if not, why can none ever run?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from azure_batch_operator.batch.task_wire import EndedTask
from azure_batch_operator.batch.wire import Body, build
from azure_batch_operator.causes.evidence import Circle, Failed, Lost, Unfinished, Unmet
from azure_batch_operator.causes.exits import how, satisfies


@dataclass(frozen=True)
class Waiting:
    """The tasks of a job that wait while none runs.

    Attributes:
        listed: all of them, with `dependsOn`.
        failed: all failed tasks of the job, with `executionInfo` and `exitConditions`.
        lost: lower-case IDs that they depend on and that the job does not have.
    """

    listed: Iterable[Body]
    failed: Iterable[Body]
    lost: Collection[str] = ()

    def without(self, lost: Collection[str]) -> Waiting:
        """The same, when it has been looked up which tasks the job does not have."""
        return replace(self, lost=lost)

    @classmethod
    def before(cls, task: Body, unfinished: Iterable[Body]) -> list[Body]:
        """A task that waits, and all unfinished ones that it depends on, directly or not.

        Args:
            unfinished: all tasks of the job that have not ended, with `state` and `dependsOn`.
        """
        others = {str(other["id"]).lower(): other for other in unfinished}
        found = {str(task["id"]).lower(): task}
        to_follow = [task]
        while to_follow:
            for id in _named(to_follow.pop(), others):
                if id not in found:
                    found[id] = others[id]
                    to_follow.append(others[id])
        return [*found.values()]

    def unmet_of(self, id: str) -> Unmet | None:
        """Why one of them does not run, if they are all that it depends on (`before`); None if it could."""
        if isinstance(self.unmet, Circle):
            return self.unmet
        for root in self._roots.values():
            if (found := self._hindrance(root)) is not None:
                return found
        first = next(_named(self._by_id[id.lower()], self._by_id), None)
        if first is None:
            return None
        state = str(self._by_id[first].get("state") or "active")
        return Unfinished(f"{str(self._by_id[first]['id'])!r}, {'waiting' if state == 'active' else state}")

    @cached_property
    def _by_id(self) -> Mapping[str, Body]:
        return {str(task["id"]).lower(): task for task in self.listed}

    @cached_property
    def _blocking(self) -> Mapping[str, Body]:
        """Failed tasks that those which depend on them wait for forever."""
        return {str(task["id"]).lower(): task for task in self.failed if not _is_satisfied(task)}

    @cached_property
    def _roots(self) -> Mapping[str, Body]:
        """Waiting tasks that depend on no waiting task."""
        waiting = self._by_id
        return {id: task for id, task in waiting.items() if next(_named(task, waiting), None) is None}

    @property
    def to_look_up(self) -> list[str]:
        """IDs that waiting tasks depend on and that may not exist.

        Those of tasks that wait for a failed one change nothing.
        """
        failed = {str(task["id"]).lower() for task in self.failed}
        ids = {
            str(id): None
            for task in self._roots.values()
            if self._hindrance(task) is None
            for id in (task.get("dependsOn") or {}).get("taskIds") or ()
        }
        return [id for id in ids if id.lower() not in failed]

    @property
    def ready(self) -> list[str]:
        """IDs of the tasks that could run now."""
        return [id for id, task in self._roots.items() if self._hindrance(task) is None]

    @property
    def unmet(self) -> Unmet | None:
        """Why none of them can ever run; None if one can."""
        if not self._roots:
            return Circle(tuple(str(self._by_id[id]["id"]) for id in self._circle()))
        found = [self._hindrance(task) for task in self._roots.values()]
        return None if None in found else found[0]

    def _hindrance(self, task: Body) -> Unmet | None:
        blocking = next(_named(task, self._blocking), None)
        if blocking is not None:
            failed = self._blocking[blocking]
            return Failed(
                ", ".join(part for part in (str(failed["id"]), how(failed.get("executionInfo") or {})) if part)
            )
        ids = (task.get("dependsOn") or {}).get("taskIds") or ()
        lost = next((str(id) for id in ids if str(id).lower() in self.lost), None)
        return None if lost is None else Lost(lost)

    def _circle(self) -> list[str]:
        """Each waiting task depends on a waiting one, so going on from any of them comes to a task for the second time."""
        path: dict[str, None] = {}
        id = next(iter(self._by_id))
        while id not in path:
            path[id] = None
            id = next(_named(self._by_id[id], self._by_id))
        ids = [*path]
        return ids[ids.index(id) :]


def _named(task: Body, among: Mapping[str, Body]) -> Iterator[str]:
    """Which of some tasks a task depends on."""
    depends = task.get("dependsOn") or {}
    yield from (id for named in depends.get("taskIds") or () if (id := str(named).lower()) in among)
    ranges = depends.get("taskIdRanges") or ()
    if ranges:
        numbers = {id: int(id) for id in among if id.isascii() and id.isdigit()}
        for span in ranges:
            yield from (id for id, number in numbers.items() if span["start"] <= number <= span["end"])


def _is_satisfied(task: Body) -> bool:
    ended = build(EndedTask, task)
    execution = ended.execution_info
    return satisfies(ended.exit_conditions, execution.exit_code, execution.failure.code)
