"""Kinds of tasks, and the text that all tasks of a kind have in common, with blanks for what is different."""

from __future__ import annotations

import copy
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from azure_batch_emulator.engine.entities import Task
from azure_batch_emulator.schema.versions import Version
from azure_batch_emulator.web import render

# Begins what stands for a value; nothing that users write can be the same.
_SECRET = secrets.token_hex(16)
# In the order of the text. Each is once in it, so that the id of the task and that of the node are several.
(
    ID,
    URL,
    ETAG,
    MODIFIED,
    CREATED,
    ENTERED,
    ENTERED_BEFORE,
    COMMAND,
    STARTED,
    ENDED,
    RETRIED,
    REQUEUED,
    NODE_AFFINITY,
    NODE_URL,
    NODE,
    DIRECTORY,
    DIRECTORY_NODE,
    DIRECTORY_URL,
) = range(1, 19)
BLANKS = range(ID, DIRECTORY_URL + 1)
NODES = (NODE_AFFINITY, NODE_URL, NODE, DIRECTORY_NODE)
_TIMES = {
    "lastModified": MODIFIED,
    "creationTime": CREATED,
    "stateTransitionTime": ENTERED,
    "previousStateTransitionTime": ENTERED_BEFORE,
    "startTime": STARTED,
    "endTime": ENDED,
    "lastRetryTime": RETRIED,
    "lastRequeueTime": REQUEUED,
}
_BLANK = re.compile(f"{_SECRET}(\\d\\d)")


@dataclass(slots=True, eq=False)
class Kind:
    """What tasks of a kind have in common is what this one has, apart from its node. A page has one object for each kind."""

    key: tuple[Any, ...]
    task: Task


def kinds_of(tasks: Sequence[Task]) -> list[Kind]:
    """For each task what is not filled in, one object for equal ones."""
    kinds: dict[tuple[Any, ...], Kind] = {}
    column = []
    for task in tasks:
        key: tuple[Any, ...] = (
            id(task.spec),
            task.state,
            task.previous_state,
            task.node_pool_id,
            id(task.ended),
            task.node_id is None,
            task.previous_state_time is None,
            task.start_time is None,
            task.end_time is None,
        )
        if task.seldom is not None:
            times = (task.last_retry is None, task.last_requeue is None)
            key += (task.retry_count, task.requeue_count, *times, task.windows)
        kind = kinds.get(key)
        if kind is None:
            kind = kinds[key] = Kind(key, still(task))
        column.append(kind)
    return column


def may_be_one_kind(tasks: Sequence[Task]) -> bool:
    """Whether tasks are of one kind if none of them lacks a value that another one has: at half the cost of `kinds_of`."""
    some, count = tasks[0], len(tasks)
    return (
        [task.seldom for task in tasks].count(None) == count
        and [task.state for task in tasks].count(some.state) == count
        and [task.previous_state for task in tasks].count(some.previous_state) == count
        and [task.node_pool_id for task in tasks].count(some.node_pool_id) == count
        and list(map(id, [task.spec for task in tasks])).count(id(some.spec)) == count
        and list(map(id, [task.ended for task in tasks])).count(id(some.ended)) == count
    )


def still(task: Task) -> Task:
    """A task as it is now; the ids of what it refers to stay theirs for as long as it is there."""
    kept = copy.copy(task)
    kept.run = None
    kept.seldom = dict(task.seldom) if task.seldom is not None else None
    return kept


def text_with_blanks(base: str, version: Version, task: Task) -> str:
    """The text of all tasks of a kind, a comma at its end, without their values and nodes."""
    body = version.show(render.task(base, task))
    body |= {"id": blank(ID), "eTag": f"0x{blank(ETAG)}", "commandLine": blank(COMMAND)}
    body["url"] = body["url"].removesuffix(task.id) + blank(URL)
    for part in (body, body["executionInfo"]):
        for name, index in _TIMES.items():
            if name in part:
                part[name] = f"{blank(index)}Z"
    place = body.get("nodeInfo")
    if place and task.node_id is not None:
        before = place["nodeUrl"].removesuffix(task.node_id)
        directory = place["taskRootDirectoryUrl"].removeprefix(place["nodeUrl"]).removesuffix(task.id)
        place |= {
            "affinityId": place["affinityId"].removesuffix(task.node_id) + blank(NODE_AFFINITY),
            "nodeUrl": before + blank(NODE_URL),
            "nodeId": blank(NODE),
            "taskRootDirectory": place["taskRootDirectory"].removesuffix(task.id) + blank(DIRECTORY),
            "taskRootDirectoryUrl": f"{before}{blank(DIRECTORY_NODE)}{directory}{blank(DIRECTORY_URL)}",
        }
    return _written(body)


def text_of_one(base: str, version: Version, task: Task) -> str:
    """The text of one task, a comma at its end."""
    return _written(version.show(render.task(base, task)))


def _written(body: dict[str, Any]) -> str:
    text = orjson.dumps(body, option=orjson.OPT_INDENT_2).decode()
    return f"\n{text},".replace("\n", "\r\n    ")


def blank(index: int) -> str:
    """Stands for a value."""
    return f"{_SECRET}{index:02d}"


def cut(text: str) -> tuple[list[str], list[int]]:
    """What is before, between and after the blanks of a text, and which blanks these are."""
    parts = _BLANK.split(text)
    return parts[::2], list(map(int, parts[1::2]))


def inside(text: str) -> str:
    """Text as it stands between the quotes of a JSON string."""
    return orjson.dumps(text).decode()[1:-1]
