"""Pages of tasks as text, for lists of very many: what `render.task` and the server's JSON give, several times as fast.

Most tasks of a job differ in their id, their times and perhaps their command only. The first of each kind is rendered as usual and
becomes a template; the others are filled in. `tests/conformance/test_task_pages.py` compares both ways for tasks in every state.

A page of 1,000 tasks has 1.7 MB. It is kept as blocks that fit into the processor's cache and are sent one by one: joining and
encoding the whole page costs more than writing it.
"""

from __future__ import annotations

import secrets
from typing import Any

import orjson

from azure_batch_emulator.engine.entities import Task
from azure_batch_emulator.schema.versions import Version
from azure_batch_emulator.web import render
from azure_batch_emulator.wire.ticks import format_timestamp

# These stand for values that are filled in, and for the id of the node; nothing that users write can be the same.
_BLANK = secrets.token_hex(16)
_NODE = secrets.token_hex(16)
# About 64 KiB of usual tasks.
_PIECES_PER_BLOCK = 1024


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
        self._texts: dict[tuple[Any, ...], str] = {}
        self._templates: dict[tuple[Any, ...], list[str]] = {}
        self._commands: dict[str, str] = {}
        self._blocks: list[bytes] = []
        self._pieces = [f'{{\r\n  "odata.metadata": "{_inside(metadata)}",\r\n  "value": [']

    def add(self, task: Task) -> None:
        """Write one more task, as an object of the list."""
        if len(self._pieces) > _PIECES_PER_BLOCK:
            self._end_block()
        created, modified, entered, end = task.created, task.last_modified, task.state_time, task.end_time
        before, start = task.previous_state_time, task.start_time
        # What is not filled in below.
        kind: tuple[Any, ...] = (
            task.node_id,
            id(task.spec),
            task.state,
            task.previous_state,
            task.node_pool_id,
            id(task.ended),
            before is None,
            start is None,
            end is None,
        )
        retry = requeue = None
        if task.seldom is not None:
            retry, requeue = task.last_retry, task.last_requeue
            kind += (task.retry_count, task.requeue_count, retry is None, requeue is None, task.windows)
        template = self._templates.get(kind)
        if template is None:
            template = self._templates[kind] = self._template(task, kind)
        command = self._commands.get(task.command_line)
        if command is None:
            command = self._commands[task.command_line] = _inside(task.command_line)
        # Ids have letters, digits, '-' and '_' only: nothing in them is escaped, in JSON or in a URL.
        name = task.id
        creation = format_timestamp(created)
        modification = creation if modified == created else format_timestamp(modified)
        entering = format_timestamp(entered)
        values = [name, name, f"0x{modified:X}", modification, creation, entering]
        beginning = format_timestamp(start) if start is not None else ""
        if before is not None:
            values.append(beginning if before == start else creation if before == created else format_timestamp(before))
        values.append(command)
        if start is not None:
            values.append(beginning)
        if end is not None:
            values.append(entering if end == entered else format_timestamp(end))
        if retry is not None:
            values.append(format_timestamp(retry))
        if requeue is not None:
            values.append(format_timestamp(requeue))
        if task.node_id is not None and task.node_pool_id is not None:
            values += (name, name)
        pieces = template.copy()
        pieces[1::2] = values
        self._pieces += pieces

    def blocks(self, next_link: str | None) -> list[bytes]:
        """The page of the tasks that were added, at least one."""
        # Every object ends with the comma before the next one.
        self._pieces[-1] = self._pieces[-1].removesuffix(",")
        link = f',\r\n  "odata.nextLink": "{_inside(next_link)}"' if next_link is not None else ""
        self._pieces.append(f"\r\n  ]{link}\r\n}}")
        self._end_block()
        return self._blocks

    def _end_block(self) -> None:
        self._blocks.append("".join(self._pieces).encode())
        self._pieces.clear()

    def _template(self, task: Task, kind: tuple[Any, ...]) -> list[str]:
        """The text of a task with a blank for each value of `add`: at every odd index."""
        # There may be many nodes. Tasks of the same kind on different nodes differ in the node's id only.
        anywhere = kind[1:]
        text = self._texts.get(anywhere)
        if text is None:
            text = self._texts[anywhere] = self._text(task)
        fixed = text.replace(_NODE, task.node_id or "").split(_BLANK)
        pieces = [""] * (2 * len(fixed) - 1)
        pieces[::2] = fixed
        return pieces

    def _text(self, task: Task) -> str:
        """The text of all tasks of a kind, without their values and nodes."""
        body = self._version.show(render.task(self._base, task))
        body["id"] = body["eTag"] = body["commandLine"] = _BLANK
        body["url"] = body["url"].removesuffix(task.id) + _BLANK
        for part in (body, body["executionInfo"]):
            for name in part:
                if name == "lastModified" or name.endswith("Time"):
                    part[name] = _BLANK
        place = body.get("nodeInfo")
        if place and task.node_id is not None:
            url = place["nodeUrl"].removesuffix(task.node_id) + _NODE
            directory = place["taskRootDirectoryUrl"].removeprefix(place["nodeUrl"]).removesuffix(task.id)
            place |= {
                "affinityId": place["affinityId"].removesuffix(task.node_id) + _NODE,
                "nodeUrl": url,
                "nodeId": _NODE,
                "taskRootDirectory": place["taskRootDirectory"].removesuffix(task.id) + _BLANK,
                "taskRootDirectoryUrl": f"{url}{directory}{_BLANK}",
            }
        text = orjson.dumps(body, option=orjson.OPT_INDENT_2).decode()
        return f"\n{text},".replace("\n", "\r\n    ")


def _inside(text: str) -> str:
    """Text as it stands between the quotes of a JSON string."""
    return orjson.dumps(text).decode()[1:-1]
