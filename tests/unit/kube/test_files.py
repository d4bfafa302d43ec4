"""Files in ConfigMaps: text as text, anything else as bytes, and nobody else's ConfigMap."""

from __future__ import annotations

import pytest

from azure_batch_operator.kube.files import as_text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", ""),
        (b"said\n", "said\n"),
        ("grün".encode(), "grün"),
        ("grün"[:3].encode()[:-1], "gr"),
        ("über".encode()[1:], "ber"),
        ("€uro".encode()[1:], "uro"),
        (b"\x7fELF\x00\x01", None),
        (b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8", None),
    ],
)
def test_what_was_cut_within_a_character_is_text_without_it(content: bytes, text: str | None) -> None:
    assert as_text(content) == text
