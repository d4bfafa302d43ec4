"""Bodies are parsed without rounding integers, at the cost of the fast parser alone for nearly all of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from azure_batch_emulator.web import exact_json
from azure_batch_emulator.web.exact_json import parse_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18446744073709551616", 2**64),
        ("-9223372036854775809", -(2**63) - 1),
        ("[1e20, 18446744073709551617]", [1e20, 2**64 + 1]),
        ('{"a": "18446744073709551616"}', {"a": "18446744073709551616"}),
        (
            '{"\u00fc": 1234567890123456789012, "b": [1.5, true, null]}',
            {"\u00fc": 1234567890123456789012, "b": [1.5, True, None]},
        ),
    ],
)
def test_integers_are_exact(text: str, value: Any) -> None:
    parsed = parse_json(text.encode())
    assert parsed == value
    assert json.dumps(parsed) == json.dumps(value)


def test_only_bodies_with_long_rows_of_digits_are_parsed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_json, "json", None)
    assert parse_json(b'{"a": 123456789012345678, "b": "12345678 12345678 12345678"}')["a"] == 123456789012345678
    with pytest.raises(AttributeError):
        parse_json(b"1234567890123456789")


@pytest.mark.parametrize(
    "text", ["", "{", "NaN", "[1e999]", "1" + "0" * 400, "18446744073709551616 x", "[" * 2000 + "1" * 20 + "]" * 2000]
)
def test_what_is_no_json_or_nested_too_deep_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"line|nested"):
        parse_json(text.encode())


def test_what_the_exact_parser_finds_too_deep_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """How deep that is depends on the depth of the stack and on the limit of this process."""

    def refuse(_: str) -> None:
        raise RecursionError

    monkeypatch.setattr(json, "loads", refuse)
    with pytest.raises(ValueError, match="nested"):
        parse_json(b"[12345678901234567890]")
