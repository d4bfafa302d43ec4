"""Makes a random history from a seed: users who work with a few names, and a world in which things go wrong."""

from __future__ import annotations

from typing import Any

from histories.history import History, Step
from histories.more_steps import LENGTH, with_identity, with_namespace_policies, with_operations
from histories.objects import Body, Objects
from histories.rare_steps import with_cron, with_moving_lists, with_nulls, with_rare_operations
from histories.task_steps import with_changed_tasks
from histories.users import USERS_DO
from histories.world import WORLD_DOES


def generate(seed: int) -> History:
    """The history of a seed: the beginning that all have, then random steps."""
    of = Objects(seed)
    chance = of.chance
    steps = [Step(0.0, do, args) for do, args in _beginning(of)]
    times = sorted(round(chance.uniform(1.0, LENGTH), 3) for _ in range(chance.randint(30, 80)))
    at = 0.0
    for each in times:
        # People and machines do several things at a time.
        at = at if chance.random() < 0.25 else each
        table = USERS_DO if chance.random() < 0.62 else WORLD_DOES
        action = chance.choices(list(table), list(table.values()))[0]
        made = action(of)
        if made is not None:
            do, args = made
            steps.append(Step(max(at, 0.5), do, args))
    replicas = 2 if chance.random() < 0.1 else 1
    for more in (
        with_identity,
        with_operations,
        with_namespace_policies,
        with_rare_operations,
        with_cron,
        with_changed_tasks,
        with_moving_lists,
        with_nulls,
    ):
        steps = more(seed, steps)
    settings: dict[str, Any] = {}
    if replicas > 1 and seed % 2:
        # They share the accounts; without this, the others are on standby.
        settings, replicas = {"shards": 4}, 3
    at_creation = seed % 3 == 2
    return History(seed, (), settings, replicas, finalizer_at_creation=at_creation).having(steps)


def _beginning(of: Objects) -> list[tuple[str, Body]]:
    return [
        ("apply", {"object": {"kind": "Namespace", "metadata": {"name": "team"}}}),
        ("account", {"allowedNamespaces": {"all": True}}),
        ("apply", {"object": of.secret("default")}),
        ("apply", {"object": of.secret("team")}),
        ("apply", {"object": of.task_list("default")}),
        ("apply", {"object": of.task_list("team")}),
        ("apply", {"object": of.made("BatchPool", "cpu", "default")}),
        ("azure", {"method": "POST", "path": "/jobs", "body": {"id": "foreign", "poolInfo": {"poolId": "cpu"}}}),
    ]
