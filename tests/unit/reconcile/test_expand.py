"""From a spec to task bodies: unique ids in order, placeholders, and going on where a stream was interrupted."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_batch_operator.reconcile.expand import expand, needs_dependencies, problems, total
from azure_batch_operator.sync.submitter import FeedState, missing


def sweep(sets: list[dict[str, Any]], command: str = "run {0}", **more: Any) -> dict[str, Any]:
    return {"taskFactory": {"parametricSweep": {"parameterSets": sets}, "repeatTask": {"commandLine": command}} | more}


def commands(spec: dict[str, Any]) -> list[str]:
    return [task["commandLine"] for task in expand(spec)]


@pytest.mark.parametrize(
    ("sets", "command", "expected"),
    [
        ([{"start": 1, "end": 3}], "r {0}", ["r 1", "r 2", "r 3"]),
        ([{"start": 0, "end": 10, "step": 5}], "{0}", ["0", "5", "10"]),
        ([{"start": 3, "end": 1, "step": -1}], "{0}", ["3", "2", "1"]),
        ([{"start": -1, "end": 1}], "{0:3}", ["-01", "000", "001"]),
        ([{"values": ["a", 7]}], "{0} {0:3}", ["a a", "7 007"]),
        ([{"start": 1, "end": 2}, {"values": ["x", "y"]}], "{1}{0}", ["x1", "y1", "x2", "y2"]),
        ([{"start": 1, "end": 1}], "echo ${HOME} {{0}} {0} {x}", ["echo ${HOME} {0} 1 {x}"]),
    ],
)
def test_placeholders(sets: list[dict[str, Any]], command: str, expected: list[str]) -> None:
    assert commands(sweep(sets, command)) == expected


def test_placeholders_reach_every_string_and_leave_the_rest() -> None:
    spec = sweep([{"start": 5, "end": 5}])
    spec["taskFactory"]["repeatTask"] |= {
        "environmentSettings": [{"name": "N", "value": "{0:2}"}],
        "resourceFiles": [{"httpUrl": "https://x/{0}", "filePath": "in-{0}"}],
        "requiredSlots": 2,
    }
    (task,) = expand(spec)
    assert task["environmentSettings"] == [{"name": "N", "value": "05"}]
    assert task["resourceFiles"] == [{"httpUrl": "https://x/5", "filePath": "in-5"}]
    assert task["requiredSlots"] == 2


def test_the_merge_task_waits_for_all_others() -> None:
    spec = sweep([{"start": 1, "end": 12}], mergeTask={"commandLine": "merge"})
    spec["tasks"] = [{"id": "prepare", "commandLine": "true"}]
    tasks = {task["id"]: task for task in expand(spec)}
    assert tasks["merge"]["dependsOn"] == {"taskIdRanges": [{"start": 0, "end": 11}], "taskIds": ["prepare"]}
    assert needs_dependencies(spec)
    assert list(tasks)[:3] == ["00", "01", "02"]
    assert total(spec) == len(tasks) == 14


@given(
    st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 12), st.integers(1, 4)), min_size=1, max_size=3),
    st.sets(st.text("abcXYZ09", min_size=1, max_size=4), max_size=8),
)
def test_ids_are_unique_sorted_and_as_many_as_said(dimensions: list[tuple[int, int, int]], ids: set[str]) -> None:
    spec = sweep([{"start": start, "end": start + size, "step": step} for start, size, step in dimensions])
    spec["tasks"] = [{"id": id, "commandLine": "true"} for id in sorted(ids)]
    if problems(spec):
        return
    found = [task["id"] for task in expand(spec)]
    assert found == sorted(found)
    assert len({id.lower() for id in found}) == len(found) == total(spec)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (sweep([{"start": 1, "end": 3}], "{1}"), "repeatTask uses {1}"),
        (sweep([{"start": 1, "end": 20_000_000}]), "the most is 10000000"),
        (sweep([{"start": 0, "end": 9}]) | {"tasks": [{"id": "3", "commandLine": ""}]}, "'3' is taken"),
        ({"tasks": [{"id": "a", "commandLine": ""}, {"id": "A", "commandLine": ""}]}, "'A' is taken"),
        (
            sweep([{"start": 0, "end": 9}], mergeTask={"commandLine": ""})
            | {"tasks": [{"id": "Merge", "commandLine": ""}]},
            "'Merge' is taken",
        ),
    ],
)
def test_problems_name_field_and_remedy(spec: dict[str, Any], words: str) -> None:
    (problem,) = problems(spec)
    assert words in problem


async def listed(ids: list[str]) -> AsyncIterator[str]:
    for id in ids:
        yield id


@given(st.integers(1, 40), st.data())
def test_a_stream_goes_on_with_exactly_what_is_not_there(size: int, data: st.DataObject) -> None:
    import asyncio

    spec = sweep([{"start": 1, "end": size}])
    ids = [task["id"] for task in expand(spec)]
    there = data.draw(st.sets(st.sampled_from(ids)))
    strangers = data.draw(st.sets(st.sampled_from(["!", "00x", "zz"]), max_size=2))

    async def scenario() -> tuple[list[str], int]:
        state = FeedState()
        sent = [task["id"] async for task in missing(expand(spec), listed(sorted(there | strangers)), state)]
        return sent, state.submitted

    sent, submitted = asyncio.run(scenario())
    assert sent == sorted(set(ids) - there)
    assert submitted == len(there)


def test_a_million_tasks_are_a_stream() -> None:
    spec = sweep([{"start": 1, "end": 1000}, {"start": 1, "end": 1000}], "{0} {1}")
    assert total(spec) == 1_000_000
    assert [task["id"] for task in itertools.islice(expand(spec), 2)] == ["000000", "000001"]
