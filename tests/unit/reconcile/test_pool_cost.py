"""Estimates of what a pool costs in an hour."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_operator.batch.pool_wire import Pool
from azure_batch_operator.reconcile.pool.cost import cost
from azure_batch_operator.reconcile.pool.spec import Prices
from azure_batch_operator.reconcile.value_references import ResolutionError
from support import typed

HERE = Prices(name="prices", key="p")
POOL = Pool(id="one", vm_size="standard_d4ads_v6", current_dedicated_nodes=2, current_low_priority_nodes=4)


@pytest.mark.parametrize(
    ("text", "counts", "expected"),
    [
        ("Standard_D4ads_v6: 0.5", None, "3.00 USD"),
        ("standard_d4ads_v6: {dedicated: 1, spot: 0.25}", None, "3.00 USD"),
        ('{"STANDARD_D4ADS_V6": {"dedicated": 1}}', None, "6.00 USD"),
        ("Standard_D4ads_v6: 0.5", {"lowPriority": {"preempted": 3, "idle": 1}}, "1.50 USD"),
        ("Standard_D4ads_v6: 0.5", {"dedicated": {"deallocated": 1, "unusable": 1}}, "2.50 USD"),
    ],
)
def test_nodes_that_are_billed_count(text: str, counts: dict[str, Any] | None, expected: str) -> None:
    assert cost(HERE, text, POOL, counts and typed.nodes(counts)).per_hour == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Standard_D2: 1", "has no price for standard_d4ads_v6: add it"),
        ("Standard_D4ads_v6: cheap", "must be a number"),
        ("Standard_D4ads_v6: {spot: 1}", "must be a number"),
        ("Standard_D4ads_v6: -1", "must be a number"),
        ("Standard_D4ads_v6: true", "must be a number"),
        ("Standard_D4ads_v6: .inf", "must be a number"),
        ("Standard_D4ads_v6: .nan", "must be a number"),
        (f"Standard_D4ads_v6: 1{'0' * 400}", "must be a number"),
        ("- 1", "must contain VM sizes and prices"),
        ("a: [", "neither JSON nor YAML"),
        ("[" * 500, "nested too deeply"),
        ("a: &a [x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b]", "has no price"),
    ],
)
def test_invalid_prices_are_reported(text: str, words: str) -> None:
    problem = cost(HERE, text, POOL, None).problem
    assert problem is not None
    assert problem[0] == "PricesInvalid"
    assert words in problem[1]


def test_prices_that_cannot_be_read_are_a_problem_of_their_own() -> None:
    missing = ResolutionError("ConfigMapNotFound", "no such ConfigMap")
    assert cost(HERE, missing, POOL, None).problem == ("ConfigMapNotFound", "no such ConfigMap")
