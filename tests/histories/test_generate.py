"""The generator: a seed is one history, and what it makes has an effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from histories.generate import generate
from histories.history import History, Step
from histories.kinds import counted
from histories.more_steps import with_namespace_policies, with_operations
from histories.play import REST
from histories.quiet import seconds_of
from histories.rare_steps import with_cron, with_moving_lists, with_nulls, with_rare_operations
from histories.record import Done
from histories.task_steps import with_changed_tasks
from support.stage import schemas

USERS_DO = (
    "create", "change", "suspend", "scale", "delete", "re-create under the same name", "annotate", "adopt", "rotate a key",
    "rotate a Secret", "change a ConfigMap", "edit in Azure Batch", "delete in Azure Batch", "delete a namespace",
)  # fmt: skip
GOES_WRONG = (
    "429 with a long Retry-After", "5xx", "hang", "reset", "answer lost after the effect", "truncated", "partial",
    "call that lands late", "counts that lag", "lists that move", "preemption", "node loss", "quota",
    "operator killed", "operator killed at an effect", "operator stopped", "operator frozen", "operators with leader election",
    "operators sharing accounts", "API server 409", "API server 429", "API server 500", "API server 410", "API server down",
    "silent watch", "late events", "repeated events", "clock skew", "clocks that jump", "tokens that expire", "tokens revoked",
)  # fmt: skip


def test_a_seed_is_one_history_and_can_be_stored() -> None:
    assert generate(3) == generate(3)
    assert generate(3) != generate(4)
    assert History.from_json(generate(3).to_json()) == generate(3)


@pytest.mark.parametrize(
    "part",
    [
        with_operations, with_namespace_policies, with_rare_operations, with_cron, with_changed_tasks, with_moving_lists,
        with_nulls,
    ],
)  # fmt: skip
def test_some_seeds_get_more_steps_and_the_others_stay_as_they_were(
    part: Callable[[int, list[Step]], list[Step]],
) -> None:
    steps = [Step(5.0, "kill", {"seconds": 0.0}), Step(6.0, "apply", {"object": {"kind": "BatchJob", "spec": {}}})]
    grown = [seed for seed in range(1, 201) if part(seed, steps) != steps]
    assert 20 <= len(grown) <= 60
    assert all(part(seed, steps)[0] == steps[0] and part(seed, steps) == part(seed, steps) for seed in grown[:5])


def _dropped(given: Any, kept: Any, path: str) -> list[str]:
    """Members that pruning has taken away."""
    if isinstance(given, dict):
        inner = [_dropped(given[name], kept[name], f"{path}.{name}") for name in given.keys() & kept.keys()]
        return [f"{path}.{name}" for name in given.keys() - kept.keys()] + [each for found in inner for each in found]
    if isinstance(given, list):
        return [each for pair in zip(given, kept, strict=True) for each in _dropped(*pair, f"{path}[]")]
    return []


def test_the_api_server_prunes_nothing_that_a_history_applies() -> None:
    """A property in a wrong place has no effect, and no history plays it."""
    known = {each.kind: each.schema for each in schemas.definitions().values()}
    applied = [step.args["object"] for seed in range(1, 101) for step in generate(seed).steps if step.do == "apply"]
    ours = [body for body in applied if body["kind"] in known]
    assert {body["kind"] for body in ours} >= {
        "BatchJobSchedule",
        "BatchJob",
        "BatchPool",
        "BatchTask",
        "BatchOperation",
    }
    dropped = {path for body in ours for path in _dropped(body, schemas.prune(known[body["kind"]], body), body["kind"])}
    assert dropped == set()


def test_no_task_runs_longer_than_the_time_for_which_nothing_must_change() -> None:
    commands = {command for seed in range(1, 101) for command in _commands_in(generate(seed).steps)}
    assert len(commands) > 5
    assert 900.0 <= max(seconds_of([command]) for command in commands) < REST


def _commands_in(value: Any) -> list[str]:
    if isinstance(value, Step):
        return _commands_in(value.args)
    if isinstance(value, dict):
        own = [value["commandLine"]] if "commandLine" in value else []
        return own + [each for member in value.values() for each in _commands_in(member)]
    return [each for item in value for each in _commands_in(item)] if isinstance(value, list | tuple) else []


def test_users_change_tasks_of_jobs_that_have_them_replaced() -> None:
    changed = Counter[int]()
    for seed in range(1, 101):
        known: dict[str, Any] = {}
        for step in with_changed_tasks(seed, []):
            body = step.args.get("object", {})
            if body.get("kind") != "BatchJob" or body["spec"].get("taskUpdatePolicy") != "Replace":
                continue
            former = known.get(body["metadata"]["name"])
            changed[seed] += former not in (None, body["spec"])
            known[body["metadata"]["name"]] = body["spec"]
    assert sum(number > 0 for number in changed.values()) >= 15
    assert changed.total() >= 60


def test_histories_have_all_that_users_and_the_adversary_can_do() -> None:
    """`make chaos` counts each of these."""
    users, faults = Counter[str](), Counter[str]()
    for seed in range(1, 251):
        history = generate(seed)
        taken = [Done(step.at, step.do, step.args) for step in history.steps]
        for by_user, kind in counted(history, taken):
            (users if by_user else faults)[kind] += 1
    assert min(users.get(each, 0) for each in USERS_DO) >= 5
    assert min(faults.get(each, 0) for each in GOES_WRONG) >= 5
