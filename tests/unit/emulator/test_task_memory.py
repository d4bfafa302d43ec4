"""What a task that has completed costs: a million of them are kept in memory."""

from __future__ import annotations

import dataclasses
import gc
import sys
import tracemalloc

from azure_batch_emulator.engine import compact
from azure_batch_emulator.engine.compact import Ended, ended
from azure_batch_emulator.engine.entities import Task
from azure_batch_emulator.engine.timeline import Timeline
from support.still_service import StillService

NO_FAILURE = None


def completed(number: int) -> list[Task]:
    return list(stage_with_completed(number).service.job("job").tasks.values())


def stage_with_completed(number: int) -> StillService:
    stage = StillService()
    stage.steady_pool(1, taskSlotsPerNode=8)
    stage.must("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "pool"}})
    tasks = [{"id": f"t{n}", "commandLine": "exit 3" if n % 2 else "true"} for n in range(number)]
    for first in range(0, number, 100):
        stage.must("POST", "/jobs/job/addtaskcollection", {"value": tasks[first : first + 100]})
    stage.clock.advance(60)
    assert {task.state for task in stage.service.job("job").tasks.values()} == {"completed"}
    return stage


def test_a_task_has_no_dictionary_and_few_fields() -> None:
    tasks = completed(4)
    assert {task.seldom for task in tasks} == {None}
    assert not hasattr(tasks[0], "__dict__")
    # 18 references and the head of an object: the size class of 176 bytes with the collector's.
    assert len(dataclasses.fields(Task)) <= 18
    assert sys.getsizeof(tasks[0]) <= 176


def test_equal_tasks_share_all_but_their_id_and_times() -> None:
    one, three, two, four = completed(4)
    for first, second in ((one, two), (three, four)):
        assert first.spec is second.spec
        assert first.command_line is second.command_line
        assert first.ended is second.ended
        assert first.node_id is second.node_id
        assert first.node_pool_id is second.node_pool_id
    # A time that stands for two things is one object.
    assert one.created is one.last_modified
    assert one.start_time is one.previous_state_time
    assert one.end_time is one.state_time


def test_what_is_seldom_can_come_and_go() -> None:
    task = completed(1)[0]
    assert (task.retry_count, task.last_retry, task.waiting, task.subtasks) == (0, None, False, None)
    task.retry_count, task.last_retry = 2, 5
    assert (task.retry_count, task.last_retry, task.requeue_count) == (2, 5, 0)
    task.retry_count, task.last_retry = 0, None
    assert (task.retry_count, task.last_retry) == (0, None)


def test_ends_are_shared_and_bounded() -> None:
    failure = {"code": "FailureExitCode"}
    assert ended(3, failure) is ended(3, failure)
    assert ended(3, failure) == Ended(3, "failure", failure)
    assert ended(0, NO_FAILURE) == Ended(0, "success", None)
    for number in range(5000):
        assert ended(None, {"number": number}).failure == {"number": number}
    assert len(compact._ENDS) <= 1024


def test_a_completed_task_costs_so_many_bytes() -> None:
    few, many = _bytes_with(100), _bytes_with(900)
    # CPython 3.11 counts 376: the task 176, its id, three times of 32 each, a share of the tables. It was 414 with a place in a
    # queue that the task has left, and with times that keep room for a carry.
    assert (many - few) / 800 <= 390


def _bytes_with(number: int) -> int:
    """What is allocated once so many tasks have completed."""
    tracemalloc.start()
    try:
        stage = stage_with_completed(number)
        # The ring of the latest runs stops growing beyond 10,000.
        stage.service.timeline = Timeline()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
