"""Tasks of a kind as records of the same size: copies of a template, into which values are put by columns of characters.

This is how pages of few kinds are written, which most pages are (`task_pages`). It costs half of making a text of each value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from azure_batch_emulator.engine.entities import Task
from azure_batch_emulator.schema.versions import Version
from azure_batch_emulator.web import task_templates as templates
from azure_batch_emulator.web import value_columns
from azure_batch_emulator.web.task_templates import Kind
from azure_batch_emulator.web.value_columns import Columns

# The system clears memory of more than 128 KiB for each block, and a slow caller holds as much of each kind.
_BYTES_AT_ONCE = 90_000
_MAX_AT_ONCE = 50
# A kind costs as much as some tasks do.
_MAX_KINDS = 6
_FEWEST_PER_KIND = 25


class TaskRecords:
    """Tasks of few kinds, as they were when this was made.

    Attributes:
        count: of blocks.

    Args:
        base: URL of the service as the caller wrote it.
        kinds: of the tasks, each with the tasks themselves, in their order.
        order: for each task the number of its kind.
    """

    def __init__(self, base: str, version: Version, kinds: Sequence[_Many], order: Sequence[int]) -> None:
        self._order = order
        self._kinds = [_Records(kind, templates.text_with_blanks(base, version, kind.some)) for kind in kinds]
        self._at_once = max(1, min(_MAX_AT_ONCE, _BYTES_AT_ONCE // max(kind.size for kind in self._kinds)))
        self.count = -(len(order) // -self._at_once)

    @classmethod
    def of_one_kind(cls, base: str, version: Version, tasks: Sequence[Task]) -> TaskRecords | None:
        """Some tasks, if they are of one kind and enough for this to be worth while."""
        if len(tasks) < _FEWEST_PER_KIND or not templates.may_be_one_kind(tasks):
            return None
        many = _Many.of(templates.still(tasks[0]), tasks)
        return cls(base, version, [many], [0] * len(tasks)) if many is not None else None

    @classmethod
    def of_few_kinds(
        cls, base: str, version: Version, tasks: Sequence[Task], column: Sequence[Kind]
    ) -> TaskRecords | None:
        """Some tasks with the kind of each, if these are few."""
        if len(set(column)) > min(_MAX_KINDS, len(tasks) // _FEWEST_PER_KIND):
            return None
        return cls.of_kinds(base, version, tasks, column)

    @classmethod
    def of_kinds(cls, base: str, version: Version, tasks: Sequence[Task], column: Sequence[Kind]) -> TaskRecords:
        """Some tasks, at least one, the kinds of which are known."""
        members: dict[Kind, list[Task]] = {}
        for task, kind in zip(tasks, column, strict=True):
            members.setdefault(kind, []).append(task)
        numbers = {kind: number for number, kind in enumerate(members)}
        kinds = [_Many.of(kind.task, found) for kind, found in members.items()]
        return cls(base, version, [kind for kind in kinds if kind is not None], list(map(numbers.__getitem__, column)))

    def blocks(self) -> Iterator[bytearray]:
        """The texts of all tasks in their order, with a comma after each, some at a time."""
        only = self._kinds[0]
        if len(self._kinds) == 1 and only.is_complete:
            for first in range(0, len(self._order), self._at_once):
                yield only.some(first, first + self._at_once).replace(b"\0", b"")
            return
        texts = [chain.from_iterable(kind.texts(self._at_once)) for kind in self._kinds]
        for first in range(0, len(self._order), self._at_once):
            part = self._order[first : first + self._at_once]
            yield bytearray().join([next(texts[number]) for number in part]).replace(b"\0", b"")


@dataclass(slots=True, eq=False)
class _Many:
    """Tasks of a kind as they were at one moment: one of them, and the values of all by the number of their blank."""

    some: Task
    nodes: list[str | None]
    commands: list[str]
    values: dict[int, Columns]

    @classmethod
    def of(cls, some: Task, tasks: Sequence[Task]) -> _Many | None:
        """Tasks that are of the kind of some task, in all but what they lack; None if one lacks what another one has."""
        nodes = [task.node_id for task in tasks]
        if None in (unique := set(nodes)) and len(unique) > 1:
            return None
        times: list[tuple[int, Sequence[int | None]]] = [
            (templates.MODIFIED, modified := [task.last_modified for task in tasks]),
            (templates.CREATED, [task.created for task in tasks]),
            (templates.ENTERED, [task.state_time for task in tasks]),
            (templates.ENTERED_BEFORE, [task.previous_state_time for task in tasks]),
            (templates.STARTED, [task.start_time for task in tasks]),
            (templates.ENDED, [task.end_time for task in tasks]),
        ]
        if some.seldom is not None:
            times.append((templates.RETRIED, [task.last_retry for task in tasks]))
            times.append((templates.REQUEUED, [task.last_requeue for task in tasks]))
        ids = value_columns.of_ids([task.id for task in tasks])
        values = dict.fromkeys((templates.ID, templates.URL, templates.DIRECTORY, templates.DIRECTORY_URL), ids)
        values[templates.ETAG] = value_columns.of_etags(modified)
        made: list[tuple[Sequence[int | None], Columns]] = []
        for blank, ticks in times:
            if ticks[0] is None and ticks.count(None) == len(ticks):
                continue
            # Most times are equal to another one.
            columns = next((columns for known, columns in made if known == ticks), None)
            columns = value_columns.of_timestamps(ticks) if columns is None else columns
            if columns is None:
                return None
            made.append((ticks, columns))
            values[blank] = columns
        commands = [task.command_line for task in tasks]
        differs = commands.count(commands[0]) < len(commands)
        if differs and (columns := value_columns.of_texts(commands)) is not None:
            values[templates.COMMAND] = columns
        return cls(some, nodes, commands, values)


class _Records:
    """Writes the tasks of a kind.

    Attributes:
        size: of a record.
        is_complete: whether records have the command; otherwise tasks differ much in it.
    """

    def __init__(self, tasks: _Many, text: str) -> None:
        self._tasks = tasks
        self._width = max(len(node or "") for node in set(tasks.nodes))
        self._one_command = tasks.commands.count(tasks.commands[0]) == len(tasks.commands)
        self.is_complete = self._one_command or templates.COMMAND in tasks.values
        self._place_of_command = 0
        self._nodes: list[int] = []
        self._on_nodes: dict[str | None, bytes] = {}
        # Times that are equal have the same columns.
        self._fills: dict[int, tuple[Columns, list[int]]] = {}
        texts, blanks = templates.cut(text)
        self._parts = [texts[0].encode()]
        self.size = len(self._parts[0])
        for blank, following in zip(blanks, texts[1:], strict=True):
            self._parts += [self._first_value(blank), following.encode()]
            self.size += len(self._parts[-2]) + len(self._parts[-1])

    def _first_value(self, blank: int) -> bytes:
        """What a record has in a blank at first; the blank begins where the record ends by now."""
        if blank in templates.NODES:
            self._nodes.append(len(self._parts))
            return bytes(self._width)
        if blank == templates.COMMAND and blank not in self._tasks.values:
            self._place_of_command = self.size
            return templates.inside(self._tasks.commands[0]).encode() if self._one_command else b""
        columns = self._tasks.values[blank]
        self._fills.setdefault(id(columns), (columns, []))[1].append(self.size)
        return columns.first

    def some(self, first: int, beyond: int) -> bytearray:
        """The records of some of the tasks; what is to be left out of them is zero."""
        nodes = self._tasks.nodes[first:beyond]
        for node in set(nodes).difference(self._on_nodes):
            self._on_nodes[node] = self._on(node)
        made = bytearray().join(map(self._on_nodes.__getitem__, nodes))
        if len(self._on_nodes) * self.size > _BYTES_AT_ONCE:
            self._on_nodes.clear()
        size = self.size
        for columns, places in self._fills.values():
            for offset, characters in columns.differing:
                part = characters[first:beyond]
                for place in places:
                    made[place + offset :: size] = part
        return made

    def _on(self, node: str | None) -> bytes:
        """A record of a task on a node."""
        padded = (node or "").encode().ljust(self._width, b"\0")
        for index in self._nodes:
            self._parts[index] = padded
        return b"".join(self._parts)

    def texts(self, at_once: int) -> Iterator[list[bytes]]:
        """The text of each task, with zeros in it, some at a time."""
        size = self.size
        for first in range(0, len(self._tasks.nodes), at_once):
            records = bytes(self.some(first, first + at_once))
            starts = range(0, len(records), size)
            if self.is_complete:
                yield [records[start : start + size] for start in starts]
            else:
                yield self._with_commands(records, starts, self._tasks.commands[first : first + at_once])

    def _with_commands(self, records: bytes, starts: range, commands: Sequence[str]) -> list[bytes]:
        # Those of some tasks only: a page of long ones may have 32 MB of them.
        known = {command: templates.inside(command).encode() for command in set(commands)}
        place = self._place_of_command
        return [
            b"".join((records[start : start + place], known[command], records[start + place : start + self.size]))
            for start, command in zip(starts, commands, strict=True)
        ]
