"""Log lines carry the object, the pass over it and the request id, as text and as JSON."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from azure_batch_operator import logs

logger = logging.getLogger("azure_batch_operator.test")


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def written(form: str, level: str = "INFO") -> io.StringIO:
    """Configure logging and give what it writes to."""
    logs.configure(form, level)
    stream = io.StringIO()
    [handler] = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    return stream


@pytest.mark.usefixtures("restored")
async def test_lines_of_a_pass_name_its_object_also_from_tasks_that_it_starts() -> None:
    stream = written("json")

    async def deep() -> None:
        logger.info("within", extra={"request_id": "abc"})

    with logs.reconciling("BatchPool team/cpu") as id:
        await asyncio.create_task(deep())
    logger.info("without")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["object"], first["reconcile_id"], first["request_id"]) == ("BatchPool team/cpu", id, "abc")
    assert (first["level"], first["message"]) == ("INFO", "within")
    assert "object" not in second


@pytest.mark.usefixtures("restored")
async def test_passes_at_the_same_time_do_not_mix() -> None:
    stream = written("json")

    async def one(name: str, other: asyncio.Event, mine: asyncio.Event) -> None:
        with logs.reconciling(name):
            mine.set()
            await other.wait()
            logger.info(name)

    a, b = asyncio.Event(), asyncio.Event()
    await asyncio.gather(one("a", b, a), one("b", a, b))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all(line["object"] == line["message"] for line in lines)
    assert len({line["reconcile_id"] for line in lines}) == 2


@pytest.mark.usefixtures("restored")
def test_text_for_people_has_them_at_its_end_and_levels_count() -> None:
    stream = written("text", "WARNING")
    with logs.reconciling("BatchPool team/cpu") as id:
        logger.info("not shown")
        logger.warning("shown", extra={"request_id": "abc"})
    [line] = stream.getvalue().splitlines()
    assert line.endswith(f"shown [object=BatchPool team/cpu reconcile_id={id} request_id=abc]")
