"""Comparing what is wanted with what the service returns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from azure_batch_operator.api.job import JobTemplate
from azure_batch_operator.api.pool import PoolSpec
from azure_batch_operator.reconcile.wire_equality import same


def words(schema: Any) -> Iterator[tuple[str, str]]:
    """Names of all properties that are enums or lists of enums, with a word of each."""
    if isinstance(schema, dict):
        for name, child in schema.get("properties", {}).items():
            pattern = next(patterns(child), "")
            if pattern.startswith("^(?i:"):
                yield name, pattern.removeprefix("^(?i:").partition("|")[0].partition(")")[0]
        for child in schema.values():
            yield from words(child)


def patterns(schema: dict[str, Any]) -> Iterator[str]:
    for form in (schema, *schema.get("anyOf", ())):
        for each in (form, form.get("items", {})):
            if "pattern" in each:
                yield each["pattern"]


ENUMS = sorted({*words(PoolSpec.model_json_schema()), *words(JobTemplate.model_json_schema())})


@pytest.mark.parametrize(("name", "word"), ENUMS)
def test_an_enum_is_the_same_in_any_casing(name: str, word: str) -> None:
    assert same(name, word.upper(), word.lower())
    assert same(name, [word.upper()], [word.lower()])


def test_lists_of_enums_are_among_them() -> None:
    assert {"targets", "access"} <= {name for name, _ in ENUMS}


MARKETPLACE = {"publisher": "p", "offer": "o", "sku": "s"}


@pytest.mark.parametrize("version", [{}, {"version": ""}, {"version": None}, {"version": "latest"}])
@pytest.mark.parametrize("shown", [{}, {"version": ""}, {"version": "latest"}])
@pytest.mark.parametrize("lenient", [False, True])
def test_an_empty_text_stands_for_the_default(version: dict[str, Any], shown: dict[str, Any], *, lenient: bool) -> None:
    assert same("imageReference", MARKETPLACE | version, MARKETPLACE | shown, lenient=lenient)
    assert not same("imageReference", MARKETPLACE | version, MARKETPLACE | {"version": "22.04"})
