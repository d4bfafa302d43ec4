"""Text and values as somebody sends them who means harm, for every test that attacks a parser or an output.

`SECRETS` hold `SECRET` in all the forms in which credentials travel. What comes out of the operator must not hold it, nor a
character that a terminal or a reader's eye acts upon: `leaks` says which it does.
"""

from __future__ import annotations

import base64
import unicodedata

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

ATTACK = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))

SECRET = base64.urlsafe_b64encode(bytes(range(66, 126))).decode()
"""Looks like the key of an account. Not a literal: hypothesis would find it, and draw it with nothing that says what it is."""
SECRETS = [
    f"https://a.blob.core.windows.net/c/f?sv=2024&sig={SECRET}&se=2030",
    f"sv=2024&SIG={SECRET}",
    f"https%3A%2F%2Fa%2Fc%3Fsv%3D1%26sig%3D{SECRET}",
    f"AccountName=a;AccountKey={SECRET}==;EndpointSuffix=x",
    f"SharedAccessSignature={SECRET}",
    f'{{"accountKey": "{SECRET}"}}',
    f'{{"body": "{{\\"password\\": \\"{SECRET}\\"}}"}}',
    f"{{'client_secret': '{SECRET}'}}",
    f"client_secret={SECRET}&grant_type=client_credentials",
    f"client_assertion={SECRET}",
    f"Authorization: SharedKey devaccount:{SECRET}=",
    f"Authorization: Bearer {SECRET}",
    f"Proxy-Authorization: Basic {SECRET}",
    f"eyJhbGciOiJub25lIn0.{SECRET}.{SECRET}",
    f"The MAC signature found in the HTTP request '{SECRET}' is not the same",
    f"amqp://user:{SECRET}@host/queue",
    f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n{SECRET}\n-----END RSA PRIVATE KEY-----",
    f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{SECRET}",
    f"s\u200big\u200d=\x1b[0m{SECRET}",
    f"\x1b[31mBearer\x1b[0m {SECRET}",
]
ACTING = [
    "\x1b[31m", "\x1b]0;title\x07", "\x1b]8;;https://evil\x1b\\", "\x9b2J", "\x1bc", "\r", "\b\b\b", "\x00", "\x7f", "\x85",
    "\u202e", "\u2066", "\u200b", "\u2028", "\u2029", "\ufeff", "\U000e0041", "\x1b" * 50,
]  # fmt: skip
"""Controls, escape sequences, bidirectional overrides, zero widths, tags."""
ODD = [
    "", " ", "\n", "\n\n2026-01-01 00:00:00,000 ERROR   any: forged", "\ud800", "\udcff", "²", "٣", "½", "Ⅷ", "ﬀ", "İ", "ẞ",
    "e\u0301" * 40, "😀" * 40, "9" * 5000, "-1", "1e999", "NaN", "null", "..", "../../etc/passwd", "%00", "%s%s%n", "{" * 90,
    "{0.__class__}", "[" * 2000, "a" * 70_000, "'; --", "<script>", "$(id)", "/", "//", "/" * 300, "=", "&", "?", "#", ":", "@",
]  # fmt: skip
_PARTS = [*(f" {each}" for each in SECRETS), *ACTING, *ODD]

# By number, since hypothesis writes out what it samples from.
TEXTS = st.lists(st.integers(0, len(_PARTS) - 1).map(lambda at: _PARTS[at]) | st.text(max_size=6), max_size=6).map(
    "".join
)
"""Any text."""
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
    | st.sampled_from([2**31, 2**63, -(2**63) - 1, 10**400, 1e308, -0.0])
)  # fmt: skip
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
"""Any JSON value."""


def leaks(text: str) -> list[str]:
    """What a text that the operator puts out must not hold; empty if all is well."""
    found = [unicodedata.name(each, repr(each)) for each in text if each not in "\n\t" and _acts(each)]
    # A signature may be cut; half of one is still too much.
    return found + ([SECRET] if SECRET[:24] in text else [])


def _acts(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
