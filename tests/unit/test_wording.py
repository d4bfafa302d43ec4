"""The check of words: it reads the glossary, and finds a word wherever it stands."""

from __future__ import annotations

import pytest

from wording.__main__ import GLOSSARY, avoided, found

WORDS = {"for ever": "forever", "anew": "again"}


def test_the_glossary_has_the_list() -> None:
    words = avoided(GLOSSARY.read_text())
    assert words["for ever"] == "forever"
    assert "Avoid" not in words
    assert len(words) > 10


def test_a_page_without_the_list_is_an_error() -> None:
    with pytest.raises(ValueError, match="no table"):
        avoided("# Glossary\n\n| Word | Meaning |\n|---|---|\n| pool | nodes |\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("it waits for\tever.", [(1, "for ever")]),
        ("one\nit waits for\n    ever", [(2, "for ever")]),
        ("Anew it begins", [(1, "anew")]),
        ("created_anew, renew, for everybody, 'anew'", []),
    ],
)
def test_words_are_found(text: str, expected: list[tuple[int, str]]) -> None:
    assert list(found(text, WORDS)) == expected
