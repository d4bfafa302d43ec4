"""Which filters are taken, and what they mean.

Microsoft, "Create queries to list Batch resources efficiently" and "OData filters in Batch": ``and``, ``or`` and parentheses join
comparisons and ``startswith``; values are compared without regard to case, names are not.
"""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_emulator.web.filters import Field, compile_filter
from azure_batch_emulator.wire.errors import BatchError

FIELDS = {
    "id": Field("text", lambda resource: resource["id"], startswith=True),
    "n": Field("number", lambda resource: resource["n"]),
}
ALL = [{"id": name, "n": number} for name in "ab" for number in (1, 2)]


def chosen(text: str) -> str:
    matches: Any = compile_filter(text, FIELDS)
    return " ".join(f"{each['id']}{each['n']}" for each in ALL if matches(each))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("(id eq 'a')", "a1 a2"),
        ("((id eq 'a'))", "a1 a2"),
        ("( id eq 'A' ) and ( n eq 1 )", "a1"),
        ("id eq 'b' or id eq 'a' and n eq 1", "a1 b1 b2"),
        ("id eq 'b' or (id eq 'a' and n eq 1)", "a1 b1 b2"),
        ("(id eq 'b' or id eq 'a') and n eq 1", "a1 b1"),
        ("n eq 1 and (id eq 'b' or id eq 'a')", "a1 b1"),
        ("n eq 1 and (id eq 'b' or (id eq 'a' and (n eq 2 or n eq 1)))", "a1 b1"),
        ("(startswith(id,'a'))", "a1 a2"),
        ("startswith( id , 'A' ) and (n ne 1)", "a2"),
        ("(id eq 'a')and(n eq 1)or(n eq 2)", "a1 a2 b2"),
        ("id eq '(a)' or id eq 'b'", "b1 b2"),
        ("(" * 2000 + "id eq 'a'" + ")" * 2000, "a1 a2"),
    ],
)
def test_parentheses(text: str, found: str) -> None:
    assert chosen(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "()",
        "(id eq 'a'",
        "id eq 'a')",
        "(id) eq 'a'",
        "id eq ('a')",
        "id eq 'a' (and n eq 1)",
        "(id eq 'a') (n eq 1)",
        "not (id eq 'a')",
        "startswith(id,('a'))",
        "startswith((id),'a')",
        "[id eq 'a']",
        "",
    ],
)
def test_an_invalid_filter_is_refused(text: str) -> None:
    with pytest.raises(BatchError) as caught:
        compile_filter(text, FIELDS)
    assert (caught.value.status, caught.value.code) == (400, "InvalidQueryParameterValue")
    assert caught.value.values["QueryParameterName"] == "$filter"


@pytest.mark.parametrize(("levels", "taken"), [(50, True), (51, False)])
@pytest.mark.parametrize("words", [("and", "or"), ("or", "and")])
def test_how_deep_a_filter_may_be(levels: int, taken: bool, words: tuple[str, str]) -> None:
    text = "id eq 'a'"
    for level in range(levels):
        text = f"n ne 3 {words[level % 2]} ({text})"
    if taken:
        assert compile_filter(text, FIELDS)
        return
    with pytest.raises(BatchError) as caught:
        compile_filter(text, FIELDS)
    assert caught.value.values["Reason"] == "The filter is nested more than 50 levels deep."
