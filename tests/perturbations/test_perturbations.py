"""Every scenario undisturbed, and a sample of the disturbed runs; `make perturbations` makes all of them."""

from __future__ import annotations

import pytest

from perturbations.cover import BY_NAME, baseline, jobs_of, run
from perturbations.disturbances import KINDS
from perturbations.end import differences
from perturbations.scenarios import READY

SAMPLED = ("job-life", "task-replace", "batch-tasks", "batch-tasks-with-finalizer")
STEP = 29
"""One of so many points is taken; no multiple of anything, so that all kinds are hit."""


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_an_undisturbed_scenario_ends_as_specified(name: str) -> None:
    known = baseline(name)
    assert known.problems == ()
    assert known.effects
    assert known.notifications


@pytest.mark.parametrize("name", SAMPLED)
def test_a_disturbed_run_ends_as_the_undisturbed_one(name: str) -> None:
    chosen = list(jobs_of(name, baseline(name)))[::STEP]
    assert len({job.kind for job in chosen}) > len(KINDS) // 2
    outcomes = [run(job) for job in chosen]
    assert [str(each.job) for each in outcomes if not each.reached] == []
    assert [f"{each.job}: {problem}" for each in outcomes for problem in each.problems] == []


def test_only_what_follows_the_beginning_is_disturbed_except_in_one_scenario() -> None:
    assert [each.name for each in BY_NAME.values() if each.since != READY] == ["pool-create"]


def test_two_ends_differ_by_what_is_missing_added_and_changed() -> None:
    wanted = {"pool a": {"state": "active", "slots": [1, 2]}, "job b": {}}
    found = {"pool a": {"state": "deleting", "slots": [1, 3]}, "job c": {}}
    assert differences(wanted, found) == [
        "/job b is missing: {}",
        "/job c is there: {}",
        "/pool a/slots/1: 3, not 2",
        "/pool a/state: 'deleting', not 'active'",
    ]
