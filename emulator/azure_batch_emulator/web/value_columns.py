"""Values of many tasks as columns of characters, to be put into many records at once.

A page of 1,000 tasks has 15,000 values. To make a text of each and to join them costs ten times as much as this: all values of a
kind become one text whose rows have the same width, and each of its columns is copied over all records with one assignment.
What is shorter than the others ends in zero bytes, which JSON text does not have and which are removed at last.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Callable, Sequence
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

import orjson

from azure_batch_emulator.wire.ticks import TICKS_PER_SECOND, format_timestamp

# Ticks of the years 318 to 3169 have 18 decimal digits, of which 7 are the fraction; those of 229 to 3653 have 15 hexadecimal ones.
_FEWEST, _BEYOND = 10**17, 10**18
_ROW = 19
_FRACTION = slice(11, 18)
_NO_ZEROS = bytes.maketrans(b"0", b"\0")
# Of texts: in the mean, and of the longest.
_MAX_LENGTH, _MAX_PADDING = 256, 16
_MAX_DIFFERING = 64
_SECOND_WIDTH = len("2024-10-24T01:15:21")
_TIME_WIDTH = _SECOND_WIDTH + 8


class Columns(NamedTuple):
    """The characters of some values.

    Attributes:
        first: the first value, in the width of all. It is right wherever the values do not differ.
        differing: the places where they may differ, each with one character for each value. These are no `bytes`, because a
            `bytearray` copies such ones before it takes them.
    """

    first: bytes
    differing: list[tuple[int, bytearray]]


def of_ids(values: Sequence[str]) -> Columns:
    """Columns of ASCII texts, at least one."""
    width = max(map(len, values))
    text = "".join(values)
    if len(text) < width * len(values):
        text = "".join([value.ljust(width, "\0") for value in values])
    return _of_rows(bytearray(text.encode()), width, _same(min(values), max(values)))


def of_texts(values: Sequence[str]) -> Columns | None:
    """Columns of texts as they stand between the quotes of JSON strings; None if columns would be dear.

    They are if there is much text, if texts differ at many places, or if their lengths do.
    """
    if sum(map(len, values)) > _MAX_LENGTH * len(values):
        return None
    # Each text is in a line of its own; line feeds within texts are escaped.
    texts = orjson.dumps(values, option=orjson.OPT_INDENT_2)[len('[\n  "') : -len('"\n]')].split(b'",\n  "')
    width = max(map(len, texts))
    same = _same(min(texts), max(texts))
    if width - same > _MAX_DIFFERING or width * len(texts) - sum(map(len, texts)) > _MAX_PADDING * len(texts):
        return None
    return _of_rows(bytearray().join([text.ljust(width, b"\0") for text in texts]), width, same)


def of_etags(ticks: Sequence[int]) -> Columns:
    """Columns of what `wire.ticks.etag` says, without the ``0x``."""
    lowest, highest = min(ticks), max(ticks)
    if not _FEWEST <= lowest <= highest < _BEYOND:
        return of_ids([f"{value:X}" for value in ticks])
    rows = bytearray(hexlify(_big_endian(len(ticks))(*ticks)).upper())
    # Of sixteen digits the first is zero, and so many of the last ones differ.
    same = 16 - ((lowest ^ highest).bit_length() + 3) // 4
    first, differing = _of_rows(rows, 16, same)
    return Columns(first.replace(b"0", b"\0", 1), differing)


def of_timestamps(ticks: Sequence[int | None]) -> Columns | None:
    """Columns of what `format_timestamp` says, without the ``Z``; None if there is None among the ticks."""
    text = bytearray(orjson.dumps(ticks))
    if b"n" in text:
        return None
    present: Sequence[int] = ticks  # type: ignore[assignment]
    lowest, highest = min(present), max(present)
    if not _FEWEST <= lowest <= highest < _BEYOND:
        return of_ids([format_timestamp(value).removesuffix("Z") for value in present])
    # The text is a list: a bracket, then rows of 18 digits and a comma.
    del text[0]
    text[-1:] = b","
    points = _drop_zeros(text)
    differing = [(_SECOND_WIDTH - 10 + place, text[place::_ROW]) for place in range(11, 17)]
    differing.append((_TIME_WIDTH - 1, text[17::_ROW].translate(_NO_ZEROS)))
    if points is not None:
        differing.append((_SECOND_WIDTH, points))
    first = _second(lowest // TICKS_PER_SECOND)
    if lowest // TICKS_PER_SECOND != highest // TICKS_PER_SECOND:
        seconds = _seconds_of_rows(len(ticks))(text)
        known = {digits: _second(int(digits)) for digits in set(seconds)}
        same = _same(first, _second(highest // TICKS_PER_SECOND))
        differing += _of_rows(bytearray().join(map(known.__getitem__, seconds)), _SECOND_WIDTH, same).differing
    return Columns(first + b".0000000", differing)


def _drop_zeros(rows: bytearray) -> bytearray | None:
    """Put zero bytes for the zeros at the end of each fraction, apart from a single one.

    Returns:
        The points before the fractions, without those that have nothing left after them; None if that is all of them.
    """
    points = None
    found = rows.find(b"00,")
    while found >= 0:
        row = found // _ROW
        fraction = slice(row * _ROW + _FRACTION.start, row * _ROW + _FRACTION.stop)
        left = rows[fraction].rstrip(b"0")
        rows[fraction] = left.ljust(7, b"\0")
        if not left:
            points = bytearray(b"." * (len(rows) // _ROW)) if points is None else points
            points[row] = 0
        found = rows.find(b"00,", found + 2)
    return points


def _of_rows(rows: bytearray, width: int, same: int) -> Columns:
    """Columns of rows that begin with some characters that are the same."""
    return Columns(bytes(rows[:width]), [(place, rows[place::width]) for place in range(same, width)])


def _same(lowest: str | bytes, highest: str | bytes) -> int:
    """With how many characters all texts begin that are between two."""
    width = min(len(lowest), len(highest))
    return next((place for place in range(width) if lowest[place] != highest[place]), width)


# Timestamps of one page are mostly of few seconds.
@lru_cache(4096)
def _second(second: int) -> bytes:
    return format_timestamp(second * TICKS_PER_SECOND).removesuffix("Z").encode()


# Most pages are full and have tasks of one kind.
@lru_cache(8)
def _big_endian(count: int) -> Callable[..., bytes]:
    return Struct(f">{count}Q").pack


@lru_cache(8)
def _seconds_of_rows(count: int) -> Callable[[bytearray], tuple[bytes, ...]]:
    return Struct("11s8x" * count).unpack
