"""A small part of all properties; `make properties` covers them all."""

from __future__ import annotations

import pytest

from properties.cases import STEPS, Case, batches, run
from properties.judge import Violation, told, without_effect
from properties.paths import KINDS, paths, text
from properties.picture import Picture
from properties.sequences import Walk, run_sequences
from properties.visits import Visit

EVERY = {"BatchPool": 13, "BatchTask": 13, "BatchJobSchedule": 61, "BatchJob": 61, "BatchAccount": 61}
"""One of so many properties is taken."""


@pytest.mark.parametrize("kind", EVERY)
def test_a_property_may_be_set_changed_and_unset(kind: str) -> None:
    cases = [Case(kind, path) for path in paths(kind)][:: EVERY[kind]]
    outcomes = [outcome for batch in batches(cases) for outcome in run(batch)]
    assert [f"{each.case} {wrong}; {each.case.again}" for each in outcomes for wrong in each.violations] == []
    assert all(set(STEPS) <= each.covered.keys() for each in outcomes)


@pytest.mark.parametrize("kind", EVERY)
def test_a_random_sequence_ends_as_a_new_object_with_its_last_spec(kind: str) -> None:
    # There is one account on a stage, so each of its sequences costs a stage.
    outcomes = run_sequences([Walk(kind, seed) for seed in range(1, 2 if kind == "BatchAccount" else 7)])
    assert [f"{each.case} {wrong}; {each.case.again}" for each in outcomes for wrong in each.violations] == []


def test_a_seed_gives_one_sequence() -> None:
    assert list(Walk("BatchJob", 3).specs()) == list(Walk("BatchJob", 3).specs())
    assert list(Walk("BatchJob", 3).specs()) != list(Walk("BatchJob", 4).specs())


def test_the_properties_are_those_of_the_definitions() -> None:
    found = {text(kind, path) for kind in KINDS.values() for path in paths(kind)}
    assert {
        "spec.startTask",
        "spec.startTask.environmentSettings[].valueFrom.secretKeyRef.key",
        "spec.cron.timeZone",
    } <= found


def test_a_condition_shows_properties_that_are_not_applied() -> None:
    ready = {"type": "Ready", "status": "True", "reason": "Steady", "message": "all is well"}
    pending = {"type": "UpdatePending", "status": "True", "reason": "WaitingForEmptyPool", "message": "vmSize waits"}
    refused = {"type": "Ready", "status": "False", "reason": "SecretNotFound", "message": "spec.x: no such Secret"}
    assert told({"conditions": [ready]}) == ""
    assert told({"conditions": [ready, pending]}) == "vmSize waits"
    assert (
        told({"conditions": [refused, {"type": "Reconciling", "status": "True"}]})
        == "SecretNotFound: spec.x: no such Secret"
    )


@pytest.mark.parametrize(
    ("conditions", "what"),
    [
        ([], "both values give the same"),
        (
            [{"type": "Ready", "status": "False", "reason": "InvalidRequestBody", "message": "newSize is unknown"}],
            "no value reached Azure Batch; the status says InvalidRequestBody: newSize is unknown",
        ),
    ],
)
def test_values_without_effect_are_told_with_what_the_status_says(conditions: list[dict[str, str]], what: str) -> None:
    body = {"status": {"conditions": conditions}}
    first, second = (
        Visit("fresh", {"newSize": value}, picture=Picture({}, {}, {}), body=body) for value in ("small", "large")
    )
    assert list(without_effect(first, second, ("spec", "newSize"), forbidden=False)) == [
        Violation("change", "effect", what)
    ]


def test_a_violation_tells_step_and_oracle() -> None:
    assert str(Violation("unset", "differential", "/pool own/vmSize: 'a', not 'b'")) == (
        "[unset] differential: /pool own/vmSize: 'a', not 'b'"
    )
