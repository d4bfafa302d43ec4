"""Values of formulas and the operators between them (docs/azure-batch.md#types-of-formulas).

A double is a float, a vector a list of floats, a string a str; timestamps, intervals and metrics have types here.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from azure_batch_emulator.wire.durations import INFINITE_TICKS, format_duration
from azure_batch_emulator.wire.ticks import TICKS_PER_SECOND, UNIX_EPOCH_TICKS, format_timestamp, to_datetime


class EvaluationError(Exception):
    """The formula cannot be evaluated; the message is for the user, without position."""


# The longest .NET TimeSpan, and the Unix times of the years 1 and 9999.
_LONGEST = INFINITE_TICKS / TICKS_PER_SECOND
_FIRST, _LAST = -62_135_596_800.0, 253_402_300_799.0


def double(number: float) -> float:
    """A number as a double of the language.

    Raises:
        EvaluationError: it is infinite or no number.
    """
    if not math.isfinite(number):
        raise EvaluationError("The result is out of the range of a double")
    return float(number)


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """A point in time, in seconds since 1970."""

    seconds: float

    def __post_init__(self) -> None:
        if not _FIRST <= self.seconds <= _LAST:
            raise EvaluationError("The timestamp is outside the years 1 to 9999")

    @property
    def ticks(self) -> int:
        return UNIX_EPOCH_TICKS + round(self.seconds * TICKS_PER_SECOND)

    def member(self, name: str) -> float:
        """year, month, day, weekday (1 is Monday), hour, minute, second."""
        moment = to_datetime(self.ticks)
        if name == "weekday":
            return float(moment.isoweekday())
        if name not in ("year", "month", "day", "hour", "minute", "second"):
            raise EvaluationError(f"A timestamp has no member {name}")
        return float(getattr(moment, name))


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """A span of time, in seconds."""

    seconds: float

    def __post_init__(self) -> None:
        if not abs(self.seconds) <= _LONGEST:
            raise EvaluationError("The timeinterval is too long")


class Metric(Protocol):
    """A read-only service variable: a series of samples."""

    def latest(self) -> float: ...

    def method(self, name: str, arguments: list[Any]) -> Any: ...


INTERVALS = {
    "TimeInterval_Zero": 0.0,
    "TimeInterval_100ns": 1e-7,
    "TimeInterval_Microsecond": 1e-6,
    "TimeInterval_Millisecond": 1e-3,
    "TimeInterval_Second": 1.0,
    "TimeInterval_Minute": 60.0,
    "TimeInterval_Hour": 3600.0,
    "TimeInterval_Day": 86_400.0,
    "TimeInterval_Week": 7 * 86_400.0,
    "TimeInterval_Year": 365 * 86_400.0,
}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
    "!=": operator.ne,
}


def plain(value: Any) -> Any:
    """A metric used as a number is its latest sample."""
    return value.latest() if hasattr(value, "latest") else value


def truth(value: Any) -> bool:
    """Non-zero is true; only doubles can be asked."""
    value = plain(value)
    if not isinstance(value, float):
        raise EvaluationError("A condition must be a double")
    return value != 0


def kind(value: Any) -> str:
    """The language's name for a value's type."""
    if isinstance(value, float):
        return "double"
    if isinstance(value, list):
        return "doubleVec"
    return {str: "string", Timestamp: "timestamp", Interval: "timeinterval"}.get(type(value), "variable")


def binary(symbol: str, left: Any, right: Any) -> Any:
    """Apply an operator other than the lazy ones.

    Raises:
        EvaluationError: the types do not go with the operator, or a division by zero.
    """
    left, right = plain(left), plain(right)
    if symbol in _COMPARISONS:
        if type(left) is not type(right) or isinstance(left, list):
            raise EvaluationError(f"Operator {symbol} cannot compare {kind(left)} with {kind(right)}")
        return float(_COMPARISONS[symbol](left, right))
    if isinstance(left, list) or isinstance(right, list):
        return _vectors(symbol, left, right)
    result = _scalars(symbol, left, right)
    if result is None:
        raise EvaluationError(f"Operator {symbol} is not defined for {kind(left)} and {kind(right)}")
    return result


def _vectors(symbol: str, left: Any, right: Any) -> list[float]:
    if isinstance(left, list) and isinstance(right, list):
        if len(left) != len(right):
            raise EvaluationError(f"Operator {symbol} needs vectors of the same length")
        return [_doubles(symbol, a, b) for a, b in zip(left, right, strict=True)]
    if isinstance(left, list) and isinstance(right, float):
        return [_doubles(symbol, a, right) for a in left]
    raise EvaluationError(f"Operator {symbol} is not defined for {kind(left)} and {kind(right)}")


def _doubles(symbol: str, left: float, right: float) -> float:
    if symbol == "/":
        if right == 0:
            raise EvaluationError("Division by zero")
        return double(left / right)
    return double(_ARITHMETIC[symbol](left, right))


def _scalars(symbol: str, left: Any, right: Any) -> Any:
    match (left, symbol, right):
        case (float(), _, float()):
            return _doubles(symbol, left, right)
        case (float(), "*", Interval()):
            return Interval(left * right.seconds)
        case (Interval(), "*" | "/", float()):
            return Interval(_doubles(symbol, left.seconds, right))
        case (Interval(), "+" | "-", Interval()):
            return Interval(_doubles(symbol, left.seconds, right.seconds))
        case (Interval(), "+", Timestamp()) | (Timestamp(), "+", Interval()):
            return Timestamp(left.seconds + right.seconds)
        case (Timestamp(), "-", Interval()):
            return Timestamp(left.seconds - right.seconds)
        case (Timestamp(), "-", Timestamp()):
            return Interval(left.seconds - right.seconds)
        case _:
            return None


def unary(symbol: str, value: Any) -> Any:
    """``-`` of doubles, vectors and intervals, ``!`` of doubles.

    Raises:
        EvaluationError: for other types.
    """
    value = plain(value)
    if symbol == "!":
        return float(not truth(value))
    if isinstance(value, float):
        return -value if symbol == "-" else value
    if isinstance(value, Interval):
        return Interval(-value.seconds if symbol == "-" else value.seconds)
    if isinstance(value, list):
        return [-item if symbol == "-" else item for item in value]
    raise EvaluationError(f"Operator {symbol} is not defined for {kind(value)}")


def show(value: Any) -> str:
    """A value as it is in the results of a run: doubles without trailing ``.0``, times in ISO form."""
    value = plain(value)
    if isinstance(value, float):
        return str(int(value)) if value == int(value) else repr(value)
    if isinstance(value, list):
        return "[" + ",".join(map(show, value)) + "]"
    if isinstance(value, Timestamp):
        return format_timestamp(value.ticks)
    if isinstance(value, Interval):
        sign = "-" if value.seconds < 0 else ""
        return sign + format_duration(min(round(abs(value.seconds) * TICKS_PER_SECOND), INFINITE_TICKS))
    return str(value)
