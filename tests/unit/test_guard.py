"""A fault is one item's: reported, counted, tried again with a growing wait; nothing else ends."""

from __future__ import annotations

import asyncio
import itertools
import logging

import pytest

from azure_batch_operator import guard
from azure_batch_operator.batch import NotFoundError
from azure_batch_operator.reconcile.error_classes import classify_error
from support.jumping_loop import run_jumping as run


def test_a_service_continues_after_faults_and_waits_longer_each_time(caplog: pytest.LogCaptureFixture) -> None:
    times: list[float] = []

    async def turn() -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) <= 9:
            raise KeyError("secret")
        await asyncio.sleep(1000)

    async def scenario() -> None:
        try:
            async with asyncio.timeout(500):
                await guard.keep("a service", turn)
        except TimeoutError:
            return

    before = guard.FAULTS.labels("a service")._value.get()
    with caplog.at_level(logging.ERROR):
        run(scenario())
    waits = [round(later - earlier) for earlier, later in itertools.pairwise(times)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert guard.FAULTS.labels("a service")._value.get() - before == 9
    assert "Traceback" in caplog.text


def test_an_expected_error_is_not_an_internal_error() -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        turns += 1
        if turns == 3:
            asyncio.current_task().cancel()
            await asyncio.sleep(0)
        raise OSError

    async def scenario() -> None:
        with pytest.raises(asyncio.CancelledError):
            await guard.keep("b", turn, expected=(OSError,))

    before = guard.FAULTS.labels("b")._value.get()
    run(scenario())
    assert (turns, guard.FAULTS.labels("b")._value.get()) == (3, before)


def test_that_something_else_was_cancelled_is_a_fault_of_the_turn() -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        turns += 1
        other = asyncio.create_task(asyncio.sleep(60))
        other.cancel()
        await other

    async def scenario() -> None:
        service = asyncio.create_task(guard.keep("c", turn))
        await asyncio.sleep(10)
        assert not service.done()
        service.cancel()
        with pytest.raises(asyncio.CancelledError):
            await service

    before = guard.FAULTS.labels("c")._value.get()
    run(scenario())
    assert (turns, guard.FAULTS.labels("c")._value.get() - before) == (4, 4)


def test_a_fault_becomes_an_error_that_names_its_place_and_no_data() -> None:
    known = NotFoundError("gone")
    assert guard.refusal("feeder", "x", known) is known
    try:
        {}["hush"]
    except KeyError as error:
        found = guard.refusal("feeder", "BatchJob a/b", error)
    said = classify_error(found)
    assert said.reason == "InternalError"
    assert "KeyError at test_guard.py:" in said.message
    assert "hush" not in said.message
    assert not said.of_account
