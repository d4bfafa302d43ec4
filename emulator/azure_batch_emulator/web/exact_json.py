"""JSON of requests: orjson, except for bodies with integers that orjson rounds.

orjson turns integers of more than 64 bits into doubles, and then an integer that cannot be stored looks like a valid double such as
1e20. The standard library's parser keeps them, but takes several times as long.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

# The shortest integer that orjson rounds is -(2**63) - 1.
_SHORTEST_ROUNDED = len("9223372036854775809")
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")


def parse_json(text: bytes) -> Any:
    """What a body says; whole numbers without fraction and exponent are exact, other numbers are doubles.

    Raises:
        ValueError: it is not JSON, or is nested much deeper than any schema.
    """
    parsed = orjson.loads(text)
    if b"0" * _SHORTEST_ROUNDED not in text.translate(_DIGITS_AS_ZEROS):
        return parsed
    try:
        return json.loads(text.decode())
    except RecursionError:
        raise ValueError("it is nested too deep") from None
