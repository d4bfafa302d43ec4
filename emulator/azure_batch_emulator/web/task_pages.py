"""Pages of tasks as text, for lists of very many: what `render.task` and the server's JSON give, several times as fast.

Most tasks of a job differ in their id, their times and perhaps their command only. One task of each kind is rendered as usual and
becomes a template. All templates have the same blanks, so that the blanks of many tasks are filled column by column.
`tests/conformance/test_task_pages.py` compares both ways for tasks in every state.

A page of 1,000 tasks has 1.7 MB. It is made in blocks that fit into the processor's cache, each while it is sent: memory for the
whole page, taken again and written once, costs a sixth of the page's time, and a caller that reads slowly holds one block and a few
templates. What the blocks are made of is kept beforehand, so that all of them show the same moment; the properties of tasks are not
copied for that, as they are never changed in place.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import orjson

from azure_batch_emulator.engine.entities import Task
from azure_batch_emulator.schema.versions import Version
from azure_batch_emulator.web import render
from azure_batch_emulator.wire.ticks import format_timestamps

# These stand for values that are filled in, and for the id of the node; nothing that users write can be the same.
_SECRET = secrets.token_hex(16)
_NODE = secrets.token_hex(16)
_ID, _URL, _ETAG, _MODIFIED, _CREATED, _ENTERED, _ENTERED_BEFORE, _COMMAND, _STARTED, _ENDED, _RETRIED, _REQUEUED = (
    range(1, 25, 2)
)
_DIRECTORY, _DIRECTORY_URL = 25, 27
# A template has text at even indexes and blanks at odd ones.
_PIECES = 29
_TIMES = {
    "lastModified": _MODIFIED,
    "creationTime": _CREATED,
    "stateTransitionTime": _ENTERED,
    "previousStateTransitionTime": _ENTERED_BEFORE,
    "startTime": _STARTED,
    "endTime": _ENDED,
    "lastRetryTime": _RETRIED,
    "lastRequeueTime": _REQUEUED,
}
# About 64 KiB of usual tasks.
_TASKS_PER_BLOCK = 40
# Characters of templates that are kept for the next block: those of several hundred usual tasks on as many nodes.
_MAX_KEPT = 524_288


class _Columns(NamedTuple):
    """What differs from task to task, as it was at one moment; texts and numbers are those of the tasks themselves."""

    ids: list[str]
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


@dataclass(slots=True, eq=False)
class _Kind:
    """What tasks of a kind have in common is what this one has. A page has one object for each kind."""

    key: tuple[Any, ...]
    task: Task


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
        self._texts: dict[tuple[Any, ...], str] = {}
        self._templates: dict[_Kind, list[str]] = {}
        self._kept = 0

    def blocks(self, tasks: Sequence[Task], next_link: str | None) -> list[bytes] | Iterator[bytes]:
        """The page of some tasks, at least one; blocks of a page that has several are made as they are asked for."""
        blocks = self._filled(_Columns.of(tasks), _kinds_of(tasks), next_link)
        return blocks if len(tasks) > _TASKS_PER_BLOCK else list(blocks)

    def _filled(self, columns: _Columns, kinds: Sequence[_Kind], next_link: str | None) -> Iterator[bytes]:
        before = f'{{\r\n  "odata.metadata": "{_inside(self._metadata)}",\r\n  "value": ['
        # Every object ends with the comma before the next one.
        link = f',\r\n  "odata.nextLink": "{_inside(next_link)}"' if next_link is not None else ""
        end = f"\r\n  ]{link}\r\n}}"
        for first in range(0, len(kinds), _TASKS_PER_BLOCK):
            beyond = first + _TASKS_PER_BLOCK
            # Nothing here holds the block: the caller may be slow to come back for more.
            yield self._block(
                kinds[first:beyond], columns.part(first, beyond), before, end if beyond >= len(kinds) else None
            )
            before = ""

    def _block(self, kinds: Sequence[_Kind], columns: _Columns, before: str, end: str | None) -> bytes:
        for kind in set(kinds).difference(self._templates):
            self._templates[kind] = self._template(kind)
        pieces = list(chain.from_iterable(map(self._templates.__getitem__, kinds)))
        _fill(pieces, columns)
        pieces[0] = f"{before}{pieces[0]}"
        if end is not None:
            pieces[-1] = f"{pieces[-1].removesuffix(',')}{end}"
        if self._kept > _MAX_KEPT:
            self._templates.clear()
            self._texts.clear()
            self._kept = 0
        return "".join(pieces).encode()

    def _template(self, kind: _Kind) -> list[str]:
        """The text of a task of a kind with a blank for each value, at every odd index."""
        # There may be many nodes. Tasks of the same kind on different nodes differ in the node's id only.
        anywhere = kind.key[1:]
        text = self._texts.get(anywhere)
        if text is None:
            text = self._texts[anywhere] = self._text(kind.task)
            self._kept += len(text)
        rest = text.replace(_NODE, kind.task.node_id or "")
        self._kept += len(rest)
        pieces = [""] * _PIECES
        for index in range(1, _PIECES, 2):
            before, blank, after = rest.partition(_blank(index))
            # What a task does not have has no place in the text: it is filled with nothing.
            if blank:
                pieces[index - 1], rest = before, after
        pieces[-1] = rest
        return pieces

    def _text(self, task: Task) -> str:
        """The text of all tasks of a kind, without their values and nodes."""
        body = self._version.show(render.task(self._base, task))
        body |= {"id": _blank(_ID), "eTag": f"0x{_blank(_ETAG)}", "commandLine": _blank(_COMMAND)}
        body["url"] = body["url"].removesuffix(task.id) + _blank(_URL)
        for part in (body, body["executionInfo"]):
            for name, index in _TIMES.items():
                if name in part:
                    part[name] = f"{_blank(index)}Z"
        place = body.get("nodeInfo")
        if place and task.node_id is not None:
            url = place["nodeUrl"].removesuffix(task.node_id) + _NODE
            directory = place["taskRootDirectoryUrl"].removeprefix(place["nodeUrl"]).removesuffix(task.id)
            place |= {
                "affinityId": place["affinityId"].removesuffix(task.node_id) + _NODE,
                "nodeUrl": url,
                "nodeId": _NODE,
                "taskRootDirectory": place["taskRootDirectory"].removesuffix(task.id) + _blank(_DIRECTORY),
                "taskRootDirectoryUrl": f"{url}{directory}{_blank(_DIRECTORY_URL)}",
            }
        text = orjson.dumps(body, option=orjson.OPT_INDENT_2).decode()
        return f"\n{text},".replace("\n", "\r\n    ")


def _kinds_of(tasks: Sequence[Task]) -> list[_Kind]:
    """For each task what is not filled in, one object for equal ones."""
    kinds: dict[tuple[Any, ...], _Kind] = {}
    column = []
    for task in tasks:
        key: tuple[Any, ...] = (
            task.node_id,
            id(task.spec),
            task.state,
            task.previous_state,
            task.node_pool_id,
            id(task.ended),
            task.previous_state_time is None,
            task.start_time is None,
            task.end_time is None,
        )
        if task.seldom is not None:
            times = (task.last_retry is None, task.last_requeue is None)
            key += (task.retry_count, task.requeue_count, *times, task.windows)
        kind = kinds.get(key)
        if kind is None:
            kind = kinds[key] = _Kind(key, _still(task))
        column.append(kind)
    return column


def _still(task: Task) -> Task:
    """A task as it is now; the ids of what it refers to stay theirs for as long as it is there."""
    still = copy.copy(task)
    still.run = None
    still.seldom = dict(task.seldom) if task.seldom is not None else None
    return still


def _fill(pieces: list[str], columns: _Columns) -> None:
    """Put the values of some tasks into the blanks of their templates."""
    ids, commands, modified, created, entered, entered_before, started, ended, placed, retried, requeued = columns
    # Ids have letters, digits, '-' and '_' only: nothing in them is escaped, in JSON or in a URL.
    pieces[_ID::_PIECES] = pieces[_URL::_PIECES] = ids
    # Most columns are equal to another one.
    modification = format_timestamps(modified)
    creation = modification if created == modified else format_timestamps(created)
    entering = modification if entered == modified else format_timestamps(entered)
    start = format_timestamps(started)
    pieces[_ETAG::_PIECES] = ",".join(map(hex, modified)).upper().replace("0X", "").split(",")
    pieces[_MODIFIED::_PIECES] = modification
    pieces[_CREATED::_PIECES] = creation
    pieces[_ENTERED::_PIECES] = entering
    pieces[_ENTERED_BEFORE::_PIECES] = (
        start
        if entered_before == started
        else creation
        if entered_before == created
        else format_timestamps(entered_before)
    )
    # Those of a block only: a page of long ones may have 32 MB of them.
    known = {command: _inside(command) for command in set(commands)}
    pieces[_COMMAND::_PIECES] = list(map(known.__getitem__, commands))
    pieces[_STARTED::_PIECES] = start
    pieces[_ENDED::_PIECES] = entering if ended == entered else format_timestamps(ended)
    if retried:
        pieces[_RETRIED::_PIECES] = format_timestamps(retried)
        pieces[_REQUEUED::_PIECES] = format_timestamps(requeued)
    pieces[_DIRECTORY::_PIECES] = pieces[_DIRECTORY_URL::_PIECES] = (
        ids if all(placed) else [name if there else "" for name, there in zip(ids, placed, strict=True)]
    )


def _blank(index: int) -> str:
    """Stands for the value at an index of a template."""
    return f"{_SECRET}{index:02d}"


def _inside(text: str) -> str:
    """Text as it stands between the quotes of a JSON string."""
    return orjson.dumps(text).decode()[1:-1]
