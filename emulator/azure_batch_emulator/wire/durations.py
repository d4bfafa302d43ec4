"""ISO 8601 durations as the service reads and rewrites them (docs/azure-batch.md#json).

A year is 365 days and a month 30; on the way out everything is days, hours, minutes and seconds. "No limit" is the
largest .NET TimeSpan.
"""

from __future__ import annotations

import re
from functools import lru_cache

from azure_batch_emulator.wire.ticks import TICKS_PER_SECOND

INFINITE_TICKS = 2**63 - 1
INFINITE = "P10675199DT2H48M5.4775807S"
_DAY = 86_400 * TICKS_PER_SECOND
_DURATION = re.compile(
    r"P(?=\d|T\d)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.(\d{1,7})\d*)?S)?)?",
    re.ASCII,
)


def parse_duration(text: str) -> int:
    """Ticks of a duration such as ``PT5M``.

    Raises:
        ValueError: not a duration, or longer than the service can keep.
    """
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise ValueError(f"not an ISO 8601 duration: {text!r}")
    years, months, days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:6])
    fraction = int((match.group(7) or "0").ljust(7, "0"))
    whole = ((years * 365 + months * 30 + days) * 24 + hours) * 3600 + minutes * 60 + seconds
    ticks = whole * TICKS_PER_SECOND + fraction
    if ticks > INFINITE_TICKS:
        raise ValueError(f"the duration is too long: {text!r}")
    return ticks


def format_duration(ticks: int) -> str:
    """The service's spelling: ``PT06M00S`` goes out as ``PT6M``, three years and a half as days."""
    days, rest = divmod(ticks, _DAY)
    hours, rest = divmod(rest, 3600 * TICKS_PER_SECOND)
    minutes, rest = divmod(rest, 60 * TICKS_PER_SECOND)
    seconds, fraction = divmod(rest, TICKS_PER_SECOND)
    text = f"P{days}D" if days else "P"
    time = f"{hours}H" if hours else ""
    time += f"{minutes}M" if minutes else ""
    if fraction:
        time += f"{seconds}.{fraction:07d}".rstrip("0") + "S"
    elif seconds:
        time += f"{seconds}S"
    if not time and not days:
        return "PT0S"
    return f"{text}T{time}" if time else text


@lru_cache(maxsize=1024)
def duration_seconds(text: str) -> float:
    """Seconds of a duration the service has already accepted."""
    return parse_duration(text) / TICKS_PER_SECOND
