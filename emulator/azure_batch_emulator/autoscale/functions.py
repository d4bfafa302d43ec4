"""The functions of formulas (docs/azure-batch.md#functions-of-formulas)."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

from azure_batch_emulator.autoscale.values import EvaluationError, Timestamp, double, kind, plain
from azure_batch_emulator.wire.ticks import (
    TICKS_PER_SECOND,
    UNIX_EPOCH_TICKS,
    parse_http_date,
    parse_timestamp,
)


class StopEvaluation(Exception):  # noqa: N818 - not an error: stop() ends the formula
    """``stop()`` was called."""


def flatten(name: str, arguments: list[Any]) -> list[float]:
    """Doubles and vectors as one list."""
    numbers: list[float] = []
    for argument in map(plain, arguments):
        if isinstance(argument, list):
            numbers += argument
        elif isinstance(argument, float):
            numbers.append(argument)
        else:
            raise EvaluationError(f"Function {name} does not take a {kind(argument)}")
        if len(numbers) > MAX_ITEMS:
            raise EvaluationError(f"A doubleVec has at most {MAX_ITEMS} values")
    return numbers


def _some(name: str, arguments: list[Any]) -> list[float]:
    numbers = flatten(name, arguments)
    if not numbers:
        raise EvaluationError(f"Function {name} needs at least one value")
    return numbers


def _deviation(numbers: list[float]) -> float:
    if len(numbers) < 2:
        return 0.0
    mean = sum(numbers) / len(numbers)
    return math.sqrt(sum((number - mean) ** 2 for number in numbers) / (len(numbers) - 1))


_SUMMARIES: dict[str, Callable[[list[float]], float]] = {
    "avg": lambda numbers: sum(numbers) / len(numbers),
    "max": max,
    "min": min,
    "norm": lambda numbers: math.sqrt(sum(number * number for number in numbers)),
    "range": lambda numbers: max(numbers) - min(numbers),
    "std": _deviation,
}
_LOGARITHMS: dict[str, Callable[[float], float]] = {"lg": math.log2, "ln": math.log, "log": math.log10}


def round_half_away(number: float) -> float:
    """Round as people do: a half goes away from zero."""
    return math.copysign(math.floor(abs(number) + 0.5), number)


_ROUNDINGS: dict[str, Callable[[float], float]] = {
    "ceil": lambda number: float(math.ceil(number)),
    "floor": lambda number: float(math.floor(number)),
    "round": round_half_away,
}


# Far more than all samples of all variables; a vector of vectors doubles with each line that repeats it.
MAX_ITEMS = 100_000


def call(name: str, arguments: list[Any], now: float, source: random.Random) -> Any:
    """Call a function.

    Args:
        now: seconds since 1970.
        source: for rand().

    Raises:
        EvaluationError: unknown name or wrong arguments.
        StopEvaluation: for stop().
    """
    if name in _SUMMARIES:
        return double(_SUMMARIES[name](_some(name, arguments)))
    if name == "len":
        return float(len(flatten(name, arguments)))
    if name == "sum":
        return double(sum(flatten(name, arguments)))
    if name in _LOGARITHMS:
        return _logarithm(name, _one(name, arguments))
    if name in _ROUNDINGS:
        return _ROUNDINGS[name](_double(name, _one(name, arguments)))
    if name == "percentile":
        return _percentile(arguments)
    if name == "val":
        return _value_at(arguments)
    if name == "rand" and not arguments:
        return source.random()
    if name == "time":
        return _time(arguments, now)
    if name == "stop" and not arguments:
        raise StopEvaluation
    raise EvaluationError(f"Undefined function: {name}")


def _one(name: str, arguments: list[Any]) -> Any:
    if len(arguments) != 1:
        raise EvaluationError(f"Function {name} takes one argument")
    return plain(arguments[0])


def _double(name: str, value: Any) -> float:
    if not isinstance(value, float):
        raise EvaluationError(f"Function {name} does not take a {kind(value)}")
    return value


def _logarithm(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_logarithm(name, item) for item in value]
    if _double(name, value) <= 0:
        raise EvaluationError(f"Function {name} needs a positive number")
    return _LOGARITHMS[name](value)


def _vector_and_number(name: str, arguments: list[Any]) -> tuple[list[float], float]:
    if len(arguments) != 2:
        raise EvaluationError(f"Function {name} takes two arguments")
    vector, number = map(plain, arguments)
    if not isinstance(vector, list) or not isinstance(number, float):
        raise EvaluationError(f"Function {name} takes a doubleVec and a double")
    return vector, number


def _percentile(arguments: list[Any]) -> float:
    vector, percent = _vector_and_number("percentile", arguments)
    if not vector or not 0 <= percent <= 100:
        raise EvaluationError("Function percentile needs values and a percentage from 0 to 100")
    ordered = sorted(vector)
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _value_at(arguments: list[Any]) -> float:
    vector, number = _vector_and_number("val", arguments)
    index = int(number)
    if not 0 <= index < len(vector):
        raise EvaluationError(f"Function val: there is no value at {index}")
    return vector[index]


def _time(arguments: list[Any], now: float) -> Timestamp:
    if not arguments:
        return Timestamp(now)
    text = plain(arguments[0])
    if len(arguments) != 1 or not isinstance(text, str):
        raise EvaluationError("Function time takes a string")
    try:
        ticks = parse_timestamp(text)
    except ValueError:
        try:
            ticks = parse_http_date(text)
        except ValueError:
            raise EvaluationError(f"Function time cannot read '{text}'") from None
    return Timestamp((ticks - UNIX_EPOCH_TICKS) / TICKS_PER_SECOND)
