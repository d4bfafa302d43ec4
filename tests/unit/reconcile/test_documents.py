"""JSON and YAML of users never end anything, and never stand for more than they hold."""

from __future__ import annotations

import json
from unittest.mock import patch

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from yaml.constructor import SafeConstructor

from azure_batch_operator.reconcile.documents import loaded
from support.hostile import ATTACK, TEXTS, VALUES

TAGS = ["!!bool", "!!int", "!!float", "!!timestamp", "!!binary", "!!null", "!!str", "!!set", "!!omap", "!!pairs", "!!map", "!!seq",
        "!!merge", "!!value", "!!python/name:os.system", "!x", "!"]  # fmt: skip
NODES = st.sampled_from(
    [
        "x",
        "''",
        "[a]",
        "{a: b}",
        "{<<: x}",
        "{<<: [{a: b}]}",
        "0x",
        "1:2:3",
        "2026-13-45",
        "é",
        "{? [a] : b}",
        "*a",
        "&a b",
    ]
)
YAML = st.lists(st.tuples(st.sampled_from(TAGS), NODES).map(" ".join), max_size=3).map(
    lambda nodes: "\n".join(f"- {node}" for node in nodes)
)


def merged(levels: int, width: int) -> str:
    """Mappings that merge `width` times the one before: `width**levels` members in a text of a few lines."""
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * width)}]}}" for n in range(1, levels)]
    return "\n".join(lines)


@ATTACK
@given(YAML | TEXTS | VALUES.map(json.dumps))
@example("- !!bool x")
@example("- !!int ''")
@example("- !!timestamp x")
@example("[" * 40 + "]" * 40)
def test_any_text_is_a_value_or_a_value_error_in_words(text: str) -> None:
    said = "a value"
    try:
        loaded(text)
    except ValueError as error:
        said = str(error)
    assert 0 < len(said) < 300


@pytest.mark.parametrize("text", ["- !!bool x", "- !!int ''", "- !!float ''", "- !!timestamp x"])
def test_a_value_that_is_not_what_its_tag_says_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="does not match its YAML tag"):
        loaded(text)


def test_merge_keys_are_welcome() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [*a, {z: 4}]}"
    assert loaded(text) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 2, "z": 4}}


def test_merge_keys_that_stand_for_too_much_are_refused_before_they_are_merged() -> None:
    with (
        patch.object(SafeConstructor, "flatten_mapping") as merging,
        pytest.raises(ValueError, match="too large with its YAML aliases written out"),
    ):
        loaded(merged(12, 10))
    assert not merging.called


@pytest.mark.parametrize("text", ["&a {<<: *a}", "&a [*a]", "&a {x: *a}", "a: &a {<<: [*a]}"])
def test_a_recursive_value_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="too large"):
        loaded(text)


@pytest.mark.parametrize("deep", ["[" * 60 + "]" * 60, '{"a":' * 60 + "1" + "}" * 60, "- " * 60 + "x"])
def test_depth_is_bounded_for_json_as_for_yaml(deep: str) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        loaded(deep)


@pytest.mark.parametrize("text", ["a: " + "1:" * 40 + "1", "a: " + "1:" * 40 + "1.5", "- !!int " + "1:" * 40 + "1"])
def test_a_number_whose_making_could_take_forever_is_refused(text: str) -> None:
    """PyYAML makes `1:1:1:…`, a base-60 YAML number, in a time that grows with the square of its length."""
    with pytest.raises(ValueError, match="base-60 YAML number"):
        loaded(text)


def test_an_alias_weighs_what_its_text_does() -> None:
    """64 KB that 35,000 aliases repeat are 2 GB once they are written out."""
    with pytest.raises(ValueError, match="too large with its YAML aliases written out"):
        loaded("a: &a " + "x" * 64_000 + "\nb: [" + ", ".join(["*a"] * 35_000) + "]")


def test_a_large_text_without_aliases_is_welcome() -> None:
    assert len(loaded("a: " + "x" * 1_000_000)["a"]) == 1_000_000


@pytest.mark.parametrize("text", ["a: !!binary aGk=", "a: !!set {b, c}", "a: !!omap [b: c]", "a: !!pairs [b: c]"])
def test_values_that_json_lacks_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not exist in JSON"):
        loaded(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" + "a," * 300_000 + "]",
        "a: &a [" + "a," * 1000 + "]\nb: [" + ", ".join(["*a"] * 300) + "]",
        "a: &a " + "x" * 5_000 + "\nb: [" + ", ".join(["*a"] * 1000) + "]",
    ],
    ids=["values", "aliases", "text"],
)
def test_an_oversized_expansion_is_refused_before_it_is_composed(text: str) -> None:
    with patch.object(yaml, "compose") as composing, pytest.raises(ValueError, match="too large"):
        loaded(text)
    assert not composing.called


def test_a_megabyte_of_tasks_is_welcome() -> None:
    text = "".join(f"- {{id: t{number}, commandLine: run {number}}}\n" for number in range(25_000))
    assert len(text) > 900_000
    assert len(loaded(text)) == 25_000
