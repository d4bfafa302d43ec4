"""What cannot be read is said by steps, until it can be read again."""

from __future__ import annotations

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import BatchError, NotFoundError
from azure_batch_operator.sync.polls.base import News
from azure_batch_operator.sync.polls.unread import Unread

ONE = frozenset({Key(Kind.POOL, "default", "one")})


def keys(id: str) -> frozenset[Key]:
    return ONE if id == "one" else frozenset()


async def failing(unread: Unread) -> list[str]:
    """The ids whose steps fail."""
    found = []
    for step in unread.steps("pool", keys):
        assert step.keys == ONE
        assert step.at_once == (step.scope.id not in unread._errors)
        try:
            await step.run(News())
        except BatchError:
            found.append(step.scope.id)
    return found


@pytest.mark.parametrize("again", ["read", "listed"])
async def test_a_step_ends_what_the_steps_before_have_said(again: str) -> None:
    unread = Unread()
    unread.failed("one", NotFoundError("", status=404))
    assert await failing(unread) == ["one"]
    unread.keep({"one"})
    assert await failing(unread) == ["one"]
    if again == "read":
        unread.read("one")
    else:
        unread.keep(())
    (step,) = unread.steps("pool", keys)
    assert step.at_once, "a backoff would keep the object saying what is no longer true"
    assert await failing(unread) == []
    assert unread.steps("pool", keys) == []


async def test_what_has_no_objects_is_told_to_nobody() -> None:
    unread = Unread()
    unread.failed("other", NotFoundError("", status=404))
    assert unread.steps("pool", keys) == []
