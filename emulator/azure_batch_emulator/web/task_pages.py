"""Pages of tasks as text, for lists of very many: what `render.task` and the server's JSON give, several times as fast.

Most tasks of a job differ in their id, their times, their node and perhaps their command only. One task of each kind is rendered as
usual and becomes a template. Pages of few kinds are written as records (`task_records`). On pages of more kinds all templates have
the same blanks, so that the blanks of many tasks are filled column by column. Tasks that are nearly all of different kinds are
rendered as usual. `tests/conformance/test_task_pages.py` compares all ways with the usual one, for tasks in every state.

A page of 1,000 tasks has 1.7 MB. It is made in blocks that fit into the processor's cache, each while it is sent: memory for the
whole page, taken again and written once, costs a sixth of the page's time, and a caller that reads slowly holds one block and a few
templates. What the blocks are made of is kept beforehand, so that all of them show the same moment; the properties of tasks are not
copied for that, as they are never changed in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from azure_batch_emulator.engine.entities import Task
from azure_batch_emulator.schema.versions import Version
from azure_batch_emulator.web import task_templates as templates
from azure_batch_emulator.web.task_records import TaskRecords
from azure_batch_emulator.web.task_templates import Kind
from azure_batch_emulator.wire.ticks import format_timestamps

# A template has text at even indexes and blanks at odd ones.
_PIECES = 2 * len(templates.BLANKS) + 1
# About 64 KiB of usual tasks.
_TASKS_PER_BLOCK = 40
# A template costs as much as some tasks that are rendered as usual.
_FEWEST_PER_KIND = 3
# Characters of templates that are kept for the next block: those of several hundred usual tasks on as many nodes.
_MAX_KEPT = 524_288


class _Columns(NamedTuple):
    """What differs from task to task, as it was at one moment; texts and numbers are those of the tasks themselves."""

    ids: list[str]
    nodes: list[str | None]
    commands: list[str]
    modified: list[int]
    created: list[int]
    entered: list[int]
    entered_before: list[int | None]
    started: list[int | None]
    ended: list[int | None]
    placed: list[bool]
    retried: list[int | None]
    requeued: list[int | None]

    @classmethod
    def of(cls, tasks: Sequence[Task]) -> _Columns:
        seldom = any(task.seldom is not None for task in tasks)
        return cls(
            [task.id for task in tasks],
            [task.node_id for task in tasks],
            [task.command_line for task in tasks],
            [task.last_modified for task in tasks],
            [task.created for task in tasks],
            [task.state_time for task in tasks],
            [task.previous_state_time for task in tasks],
            [task.start_time for task in tasks],
            [task.end_time for task in tasks],
            [task.node_id is not None and task.node_pool_id is not None for task in tasks],
            [task.last_retry for task in tasks] if seldom else [],
            [task.last_requeue for task in tasks] if seldom else [],
        )

    def part(self, first: int, beyond: int) -> _Columns:
        parts: list[Any] = [column[first:beyond] for column in self]
        return _Columns(*parts)


class TaskPage:
    """Writes the tasks of a page.

    Args:
        base: URL of the service as the caller wrote it.
        version: of the request; what it does not have is left out.
        metadata: the list's ``odata.metadata``.
    """

    def __init__(self, base: str, version: Version, metadata: str) -> None:
        self._base = base
        self._version = version
        self._metadata = metadata
        self._templates: dict[Kind, list[str]] = {}
        self._kept = 0

    def blocks(self, tasks: Sequence[Task], next_link: str | None) -> list[bytearray] | Iterator[bytearray]:
        """The page of some tasks, at least one; blocks of a page that has several are made as they are asked for."""
        records = TaskRecords.of_one_kind(self._base, self._version, tasks)
        if records is not None:
            blocks = self._framed(records.blocks(), records.count, next_link)
        else:
            blocks = self._of_kinds(tasks, templates.kinds_of(tasks), next_link)
        return blocks if len(tasks) > _TASKS_PER_BLOCK else list(blocks)

    def _of_kinds(self, tasks: Sequence[Task], kinds: Sequence[Kind], next_link: str | None) -> Iterator[bytearray]:
        records = TaskRecords.of_few_kinds(self._base, self._version, tasks, kinds)
        if records is not None:
            return self._framed(records.blocks(), records.count, next_link)
        if len(set(kinds)) * _FEWEST_PER_KIND > len(tasks):
            texts = self._one_by_one([templates.still(task) for task in tasks])
        else:
            texts = self._filled(_Columns.of(tasks), kinds)
        return self._framed(texts, -(len(tasks) // -_TASKS_PER_BLOCK), next_link)

    def _one_by_one(self, tasks: Sequence[Task]) -> Iterator[bytearray]:
        for first in range(0, len(tasks), _TASKS_PER_BLOCK):
            some = tasks[first : first + _TASKS_PER_BLOCK]
            yield bytearray("".join([templates.text_of_one(self._base, self._version, task) for task in some]), "utf-8")

    def _framed(self, texts: Iterator[bytearray], count: int, next_link: str | None) -> Iterator[bytearray]:
        """Some texts of tasks, with what comes before and after them instead of the last comma."""
        before = f'{{\r\n  "odata.metadata": "{templates.inside(self._metadata)}",\r\n  "value": ['.encode()
        link = f',\r\n  "odata.nextLink": "{templates.inside(next_link)}"' if next_link is not None else ""
        end = f"\r\n  ]{link}\r\n}}".encode()
        for number in range(count):
            # Nothing here holds the block: the caller may be slow to come back for more.
            yield _between(before if number == 0 else b"", next(texts), end if number == count - 1 else None)

    def _filled(self, columns: _Columns, kinds: Sequence[Kind]) -> Iterator[bytearray]:
        for first in range(0, len(kinds), _TASKS_PER_BLOCK):
            beyond = first + _TASKS_PER_BLOCK
            yield self._block(kinds[first:beyond], columns.part(first, beyond))

    def _block(self, kinds: Sequence[Kind], columns: _Columns) -> bytearray:
        for kind in set(kinds).difference(self._templates):
            self._templates[kind] = self._template(kind)
        pieces = list(chain.from_iterable(map(self._templates.__getitem__, kinds)))
        _fill(pieces, columns)
        if self._kept > _MAX_KEPT:
            self._templates.clear()
            self._kept = 0
        return bytearray("".join(pieces), "utf-8")

    def _template(self, kind: Kind) -> list[str]:
        """The text of a task of a kind with a blank for each value, at every odd index."""
        rest = templates.text_with_blanks(self._base, self._version, kind.task)
        self._kept += len(rest)
        pieces = [""] * _PIECES
        for number, blank in enumerate(templates.BLANKS):
            before, found, after = rest.partition(templates.blank(blank))
            # What a task does not have has no place in the text: it is filled with nothing.
            if found:
                pieces[2 * number], rest = before, after
        pieces[-1] = rest
        return pieces


def _between(before: bytes, block: bytearray, end: bytes | None) -> bytearray:
    block[:0] = before
    if end is not None:
        block[-1:] = end
    return block


def _fill(pieces: list[str], columns: _Columns) -> None:
    """Put the values of some tasks into the blanks of their templates."""
    ids, nodes, commands, modified, created, entered, entered_before, started, ended, placed, retried, requeued = (
        columns
    )
    # Most columns are equal to another one.
    modification = format_timestamps(modified)
    creation = modification if created == modified else format_timestamps(created)
    entering = modification if entered == modified else format_timestamps(entered)
    start = format_timestamps(started)
    if entered_before == started:
        entering_before = start
    else:
        entering_before = creation if entered_before == created else format_timestamps(entered_before)
    # Those of a block only: a page of long ones may have 32 MB of them.
    known = {command: templates.inside(command) for command in set(commands)}
    node_ids = [node if there and node is not None else "" for node, there in zip(nodes, placed, strict=True)]
    directories = ids if all(placed) else [name if there else "" for name, there in zip(ids, placed, strict=True)]
    # Ids have letters, digits, '-' and '_' only: nothing in them is escaped, in JSON or in a URL.
    values = {
        templates.ID: ids,
        templates.URL: ids,
        templates.ETAG: ",".join(map(hex, modified)).upper().replace("0X", "").split(","),
        templates.MODIFIED: modification,
        templates.CREATED: creation,
        templates.ENTERED: entering,
        templates.ENTERED_BEFORE: entering_before,
        templates.COMMAND: list(map(known.__getitem__, commands)),
        templates.STARTED: start,
        templates.ENDED: entering if ended == entered else format_timestamps(ended),
        templates.DIRECTORY: directories,
        templates.DIRECTORY_URL: directories,
    }
    if retried:
        values |= {templates.RETRIED: format_timestamps(retried), templates.REQUEUED: format_timestamps(requeued)}
    values |= dict.fromkeys(templates.NODES, node_ids)
    for blank, column in values.items():
        pieces[2 * (blank - templates.ID) + 1 :: _PIECES] = column
