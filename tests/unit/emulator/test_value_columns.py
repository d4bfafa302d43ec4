"""Columns of characters, put into records, are what each value says by itself."""

from __future__ import annotations

from functools import cache

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_batch_emulator.engine.entities import Task
from azure_batch_emulator.schema.versions import DEFAULT
from azure_batch_emulator.web import render, value_columns
from azure_batch_emulator.web.task_pages import TaskPage
from azure_batch_emulator.web.task_records import TaskRecords
from azure_batch_emulator.web.value_columns import Columns
from azure_batch_emulator.wire.ticks import MAX_TICKS, etag, format_timestamp
from support.still_service import BASE, StillService

SECOND = 10_000_000
TODAY = 638_655_057_210_000_000
# Fractions that end in zeros, and whole seconds, are shown shorter.
FRACTIONS = st.integers(0, SECOND - 1) | st.integers(0, 6).flatmap(
    lambda zeros: st.integers(0, 9).map(lambda digit: digit * 10**zeros)
)
OF_ONE_SECOND = FRACTIONS.map(lambda fraction: TODAY + fraction)
OF_SOME_DAYS = st.tuples(st.integers(0, 200_000), FRACTIONS).map(lambda parts: TODAY + parts[0] * SECOND + parts[1])
ANY = st.integers(1, MAX_TICKS)
TICKS = st.lists(OF_ONE_SECOND, min_size=1) | st.lists(OF_SOME_DAYS, min_size=1) | st.lists(ANY, min_size=1)


def rows(columns: Columns, count: int) -> list[str]:
    """The values of some records that have nothing but these columns."""
    width = len(columns.first)
    made = bytearray(columns.first * count)
    for place, characters in columns.differing:
        made[place::width] = characters
    return [made[start : start + width].replace(b"\0", b"").decode() for start in range(0, len(made), width)]


@given(TICKS)
def test_timestamps(ticks: list[int]) -> None:
    columns = value_columns.of_timestamps(ticks)
    assert columns is not None
    assert rows(columns, len(ticks)) == [format_timestamp(value).removesuffix("Z") for value in ticks]


@given(TICKS)
def test_etags(ticks: list[int]) -> None:
    assert rows(value_columns.of_etags(ticks), len(ticks)) == [etag(value).removeprefix("0x") for value in ticks]


@given(st.lists(st.text("abAB01-_", min_size=1, max_size=8), min_size=1))
def test_ids(ids: list[str]) -> None:
    assert rows(value_columns.of_ids(ids), len(ids)) == ids


@given(st.lists(st.text('ab",\\\\\n ü', min_size=1, max_size=20), min_size=1))
def test_texts_of_json(texts: list[str]) -> None:
    columns = value_columns.of_texts(texts)
    if columns is not None:
        assert rows(columns, len(texts)) == [orjson.dumps(text).decode()[1:-1] for text in texts]


def test_texts_that_differ_little_have_columns_and_others_have_none() -> None:
    assert value_columns.of_texts([f"render --frame {number}" for number in range(1000)]) is not None
    assert value_columns.of_texts(["a", *["b" * 30] * 9]) is not None
    assert value_columns.of_texts(["a" * 30, *["b"] * 9]) is None, "one is long"
    assert value_columns.of_texts([*["a"] * 9, "b" * 65]) is None, "at 65 places"
    assert value_columns.of_texts([*["a"] * 4, *["a" * 60] * 4]) is None, "much is left over"
    assert value_columns.of_texts(["a" * 257, "a" * 257]) is None, "long"


@pytest.mark.parametrize("ticks", [[None], [TODAY, None], [None, TODAY, TODAY]])
def test_a_column_with_a_gap_has_no_timestamps(ticks: list[int | None]) -> None:
    assert value_columns.of_timestamps(ticks) is None


@cache
def tasks_that_ended(count: int) -> list[Task]:
    stage = StillService()
    stage.steady_pool(2)
    stage.must("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "pool"}})
    value = [{"id": f"t{number}", "commandLine": "true"} for number in range(count)]
    stage.must("POST", "/jobs/job/addtaskcollection", {"value": value})
    job = stage.service.job("job")
    stage.clock.run_until(lambda: job.counts.completed == count)
    return list(job.tasks.values())


COUNT = 75
NO_OR = st.none() | OF_SOME_DAYS


@given(
    st.lists(st.tuples(OF_SOME_DAYS, OF_SOME_DAYS, NO_OR, NO_OR, st.booleans()), min_size=1, max_size=3).map(
        lambda some: [some[number % len(some)] for number in range(COUNT)]
    )
)
def test_a_page_shows_the_times_that_its_tasks_have_and_no_others(
    times: list[tuple[int, int, int | None, int | None, bool]],
) -> None:
    tasks = tasks_that_ended(COUNT)
    for task, (created, modified, started, ended, placed) in zip(tasks, times, strict=True):
        task.created, task.last_modified, task.state_time = created, modified, modified
        task.start_time, task.end_time, task.node_id = started, ended, "tvmps_1_d" if placed else None
    written = b"".join(TaskPage(BASE, DEFAULT, "m").blocks(tasks, None))
    page = {"odata.metadata": "m", "value": [render.task(BASE, task) for task in tasks]}
    assert written == orjson.dumps(page, option=orjson.OPT_INDENT_2).replace(b"\n", b"\r\n")


def test_blocks_are_no_longer_for_long_tasks() -> None:
    stage = StillService()
    stage.must("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "pool"}})
    value = [{"id": f"t{n}", "commandLine": f"echo {'x' * 9_000}"} for n in range(60)]
    stage.must("POST", "/jobs/job/addtaskcollection", {"value": value})
    tasks = list(stage.service.job("job").tasks.values())
    records = TaskRecords.of_one_kind(BASE, DEFAULT, tasks)
    assert records is not None
    blocks = list(records.blocks())
    assert (len(blocks), sum(map(len, blocks)) > 500_000) == (records.count, True)
    assert max(map(len, blocks)) < 100_000
