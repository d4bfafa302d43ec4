"""Output of tasks is shown without values of Secrets, whatever was remembered of an object and of its namespace."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.reconcile.plan import Plan
from azure_batch_operator.reconcile.value_references import Reference, ResolutionError, Source
from azure_batch_operator.sync.hidden import Hidden
from unit.objects import resource

_FAILED = {"failures": [{"taskIds": ["a"], "stdoutTail": "here: first, second"}]}


def job(*secrets: str) -> Resource:
    """A job whose tasks name Secrets."""
    tasks = [
        {"id": f"t{number}", "commandLine": "true", "environmentSettings": [
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": name, "key": "key"}}}]}
        for number, name in enumerate(secrets)
    ]  # fmt: skip
    return resource(Kind.JOB, {"poolRef": {"name": "cpu"}, "tasks": tasks})


class Secrets:
    """Secrets by name; a name that is not there cannot be read."""

    def __init__(self, **values: str) -> None:
        self.values = values
        self.tasks: list[Resource] = []

    async def read(self, _: Resource, references: Iterable[Reference]) -> Mapping[Source, str]:
        found = {}
        for each in references:
            if each.source.name not in self.values:
                raise ResolutionError("SecretNotFound", f"{each.source.name} is not there")
            found[each.source] = self.values[each.source.name]
        return found

    def hidden(self) -> Hidden:
        return Hidden(self.read, lambda _: None, lambda _: self.tasks)


async def shown(hidden: Hidden, of: Resource, status: Any = _FAILED) -> str:
    plan = await hidden.cut(of, Plan(status=status))
    assert plan.status is not None
    return str(plan.status["failures"][0]["stdoutTail"])


async def test_tasks_that_name_another_secret_later_show_neither_value() -> None:
    """What an object named before is no proof of what it names now."""
    secrets = Secrets(one="first", two="second")
    hidden = secrets.hidden()
    text = await shown(hidden, job("one"))
    assert "first" not in text
    assert "second" in text
    text = await shown(hidden, job("two"))
    assert "first" not in text
    assert "second" not in text


async def test_a_rotated_value_stays_hidden() -> None:
    secrets = Secrets(one="first")
    hidden = secrets.hidden()
    await shown(hidden, job("one"))
    secrets.values["one"] = "second"
    text = await shown(hidden, job("one"))
    assert "first" not in text
    assert "second" not in text


async def test_output_is_withheld_while_a_secret_cannot_be_read() -> None:
    assert (await shown(Secrets().hidden(), job("one"))).startswith("withheld")


async def test_sent_values_stay_hidden_although_their_secret_is_gone() -> None:
    secrets = Secrets(one="first")
    hidden = secrets.hidden()
    await shown(hidden, job("one"))
    secrets.values.clear()
    text = await shown(hidden, job("one"))
    assert text.startswith("here")
    assert "first" not in text


async def test_values_in_use_are_remembered_longest_and_not_more_than_512_of_them() -> None:
    hidden = Secrets().hidden()

    async def used(number: int) -> None:
        await hidden.remember("default", {Source("Secret", f"s{number}", "key"): f"value-{number:04}"})

    for number in [*range(512), 0, *range(512, 600)]:
        await used(number)
    status = {"failures": [{"taskIds": [], "stdoutTail": "value-0000 value-0001 value-0599"}]}
    text = await shown(hidden, job(), status)
    assert "value-0000" not in text
    assert "value-0599" not in text
    assert "value-0001" in text, "memory is bounded"


async def test_many_new_values_hold_up_nobody() -> None:
    hidden, turns = Secrets().hidden(), 0
    values = {Source("Secret", f"s{number}", "key"): f"value-{number:04}" for number in range(100)}
    remembering = asyncio.create_task(hidden.remember("default", values))
    while not remembering.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 100
    assert len(hidden.sent("default")) == 100
    with pytest.raises(StopIteration):
        # Values that are known need no turn.
        hidden.remember("default", values).send(None)


async def test_a_config_map_is_no_secret() -> None:
    hidden = Secrets().hidden()
    await hidden.remember("default", {Source("ConfigMap", "c", "key"): "first"})
    assert "first" in await shown(hidden, job())


async def test_a_job_shows_no_value_of_the_batch_tasks_whose_output_it_shows() -> None:
    spec = {"jobRef": {"name": "one"}, "commandLine": "true", "environmentSettings": [
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "one", "key": "key"}}}]}  # fmt: skip
    secrets = Secrets(one="first")
    secrets.tasks = [resource(Kind.TASK, spec, name="a")]
    assert "first" not in await shown(secrets.hidden(), job())


@pytest.mark.parametrize("name", ["stdoutTail", "stderrTail"])
async def test_tails_are_cut_at_any_depth_and_nothing_else(name: str) -> None:
    hidden = Secrets(one="first").hidden()
    plan = await hidden.cut(job("one"), Plan(status={"phase": "first", "a": [{"b": {name: "first"}}]}))
    assert plan.status is not None
    assert plan.status["phase"] == "first"
    assert plan.status["a"][0]["b"][name] != "first"


async def test_nothing_is_kept_of_an_object_that_is_gone() -> None:
    hidden = Secrets(one="first").hidden()
    one = job("one")
    await shown(hidden, one)
    assert hidden._found
    hidden.forget(Key(Kind.JOB, "default", "one"))
    assert not hidden._found
