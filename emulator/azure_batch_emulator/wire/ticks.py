"""Points in time as the service keeps them: .NET ticks, 100 ns since 0001-01-01 UTC.

Timestamps, ``Last-Modified`` and ETags are all views of one tick count, so ticks are the only
representation inside the emulator; text exists only on the wire.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache

TICKS_PER_SECOND = 10_000_000
_EPOCH = datetime(1, 1, 1, tzinfo=UTC)
# The digits of a fraction: the first four, and the last three without trailing zeros.
_THOUSANDS = [f"{number:04d}" for number in range(10_000)]
_ONES = [f"{number:03d}".rstrip("0") for number in range(1000)]
UNIX_EPOCH_TICKS = 621_355_968_000_000_000
# The last tick of the year 9999, where the calendar of .NET ends too.
MAX_TICKS = 3_155_378_975_999_999_999
_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII
)


def from_unix_ns(nanoseconds: int) -> int:
    """Ticks of a Unix time in nanoseconds."""
    return UNIX_EPOCH_TICKS + nanoseconds // 100


def to_datetime(ticks: int) -> datetime:
    """An aware UTC datetime, cut to microseconds; a sum that left the calendar stands at its edge."""
    ticks = min(max(ticks, 0), MAX_TICKS)
    return _EPOCH + timedelta(microseconds=ticks // 10)


def format_timestamp(ticks: int) -> str:
    """ISO 8601 in UTC with up to 7 fractional digits, trailing zeros dropped (docs/azure-batch.md#response-headers)."""
    if low := ticks % 1000:
        return f"{_format_second(ticks // TICKS_PER_SECOND)}.{_THOUSANDS[ticks // 1000 % 10_000]}{_ONES[low]}Z"
    return f"{_format_round(ticks)}Z"


def format_timestamps(column: Iterable[int | None]) -> list[str]:
    """As `format_timestamp` for many, without the ``Z``; nothing for None."""
    column = list(column)
    present = [ticks for ticks in column if ticks is not None]
    if present and len(present) == len(column):
        second = min(present) // TICKS_PER_SECOND
        if second == max(present) // TICKS_PER_SECOND:
            return _format_within(second, present)
    # Tables, because formatting a number of seven digits costs more than the rest of a timestamp.
    return [
        f"{_format_second(ticks // TICKS_PER_SECOND)}.{_THOUSANDS[ticks // 1000 % 10_000]}{_ONES[low]}"
        if ticks is not None and (low := ticks % 1000)
        else _format_round(ticks)
        for ticks in column
    ]


def _format_within(second: int, column: list[int]) -> list[str]:
    """Timestamps of one second: arithmetic with what is left of the ticks costs a third of that with all their digits."""
    begin, text = second * TICKS_PER_SECOND, _format_second(second)
    return [
        f"{text}.{_THOUSANDS[rest // 1000]}{_ONES[low]}"
        if (low := (rest := ticks - begin) % 1000)
        else _format_round(ticks)
        for ticks in column
    ]


def _format_round(ticks: int | None) -> str:
    """A timestamp whose last three digits are zeros."""
    if ticks is None:
        return ""
    fraction = _THOUSANDS[ticks // 1000 % 10_000].rstrip("0")
    second = _format_second(ticks // TICKS_PER_SECOND)
    return f"{second}.{fraction}" if fraction else second


def format_timestamp_full(ticks: int) -> str:
    """As `format_timestamp` but always with 7 digits: the ``Time:`` line of an error."""
    return f"{_format_second(ticks // TICKS_PER_SECOND)}.{ticks % TICKS_PER_SECOND:07d}Z"


# Timestamps of one page are mostly of few seconds, and the calendar costs more than the rest of a timestamp.
@lru_cache(4096)
def _format_second(second: int) -> str:
    return to_datetime(second * TICKS_PER_SECOND).replace(microsecond=0, tzinfo=None).isoformat()


def parse_timestamp(text: str) -> int:
    """Ticks of an ISO 8601 timestamp with up to 9 fractional digits, ``Z`` or an offset; without one it is UTC.

    Raises:
        ValueError: the text is not a timestamp.
    """
    match = _ISO.fullmatch(text.strip())
    if not match:
        raise ValueError(f"not an ISO 8601 timestamp: {text!r}")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    moment = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=UTC)
    ticks = (moment - _EPOCH) // timedelta(microseconds=1) * 10 + int((fraction or "0").ljust(9, "0")) // 100
    if zone and zone not in "Zz":
        offset = (int(zone[1:3]) * 60 + int(zone[4:6])) * 60 * TICKS_PER_SECOND
        ticks -= offset if zone[0] == "+" else -offset
    if not 0 <= ticks <= MAX_TICKS:
        raise ValueError(f"outside the years 1 to 9999: {text!r}")
    return ticks


def format_http_date(ticks: int) -> str:
    """RFC 1123, sub-seconds dropped: ``Last-Modified`` and ``Date``."""
    return _format_http_second(ticks // TICKS_PER_SECOND)


@lru_cache(4096)
def _format_http_second(second: int) -> str:
    return format_datetime(to_datetime(second * TICKS_PER_SECOND), usegmt=True)


def parse_http_date(text: str) -> int:
    """Ticks of an RFC 1123 date.

    Raises:
        ValueError: the text is not a date.
    """
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        ticks = (moment - _EPOCH) // timedelta(microseconds=1) * 10
    except (ValueError, TypeError, ArithmeticError, LookupError) as error:
        raise ValueError(f"not an RFC 1123 date: {text!r}") from error
    if not 0 <= ticks <= MAX_TICKS:
        raise ValueError(f"outside the years 1 to 9999: {text!r}")
    return ticks


def etag(ticks: int) -> str:
    """The ETag of a resource last modified then: ``0x`` + upper-case hex, unquoted (docs/azure-batch.md#response-headers)."""
    return f"0x{ticks:X}"
