"""Evaluation of a parsed formula: statements in order, variables in, assignments out."""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from azure_batch_emulator.autoscale import functions, values
from azure_batch_emulator.autoscale.parser import Expression
from azure_batch_emulator.autoscale.values import EvaluationError, Interval, Timestamp

DEDICATED = "$TargetDedicatedNodes"
LOW_PRIORITY = "$TargetLowPriorityNodes"
OPTION = "$NodeDeallocationOption"
_ALIASES = {"$TargetDedicated": DEDICATED, "$TargetLowPriority": LOW_PRIORITY}
OPTIONS = frozenset({"requeue", "terminate", "taskcompletion", "retaineddata"})
# In all vectors of all steps together: 8 KB of formula could add vectors for minutes, and fill megabytes of results.
MAX_ITEMS = 500_000


@dataclass(slots=True)
class Scope:
    """Variables while a formula runs.

    Attributes:
        metrics: read-only service variables by name.
        now: seconds since 1970.
        source: for rand().
        assigned: what the formula has set so far.
        defaults: targets as they stand, for reading before they are set.
        items: how many values the vectors of all steps have had so far.
    """

    metrics: Mapping[str, values.Metric]
    now: float
    source: random.Random
    defaults: Mapping[str, Any] = field(default_factory=dict)
    assigned: dict[str, Any] = field(default_factory=dict)
    items: int = 0


def run(statements: list[Expression], scope: Scope) -> dict[str, Any]:
    """Evaluate statements in order until the end or ``stop()``.

    Returns:
        What was assigned, service variables under their present names.

    Raises:
        EvaluationError: with line and column at the beginning of its message.
    """
    try:
        for statement in statements:
            if statement.kind == "assign":
                _assign(statement, scope)
            else:
                _value(statement.parts[0], scope)
    except functions.StopEvaluation:
        pass
    return scope.assigned


def _assign(statement: Expression, scope: Scope) -> None:
    name = str(statement.parts[0])
    name = _ALIASES.get(name, name)
    if name in scope.metrics:
        raise _at(statement, f"The variable {name} is read-only")
    value = values.plain(_value(statement.parts[1], scope))
    if name in (DEDICATED, LOW_PRIORITY) and not isinstance(value, float):
        raise _at(statement, f"The variable {name} must be a double")
    if name == OPTION and not (isinstance(value, str) and value in OPTIONS):
        raise _at(statement, f"The variable {name} must be one of {', '.join(sorted(OPTIONS))}")
    if name.startswith("$") and name[1:2].isupper() and name not in (DEDICATED, LOW_PRIORITY, OPTION):
        raise _at(statement, f"Undefined symbol: {name}")
    scope.assigned[name] = value


def _at(expression: Expression, message: str) -> EvaluationError:
    return EvaluationError(f"Line {expression.line}, Col {expression.column}: {message}")


# A step of an evaluation: it yields the expressions whose values it needs and returns its own.
Step = Generator[Expression, Any, Any]


def _value(expression: Expression, scope: Scope) -> Any:
    """The value of an expression, without recursion: a formula of 8 KB may be thousands of levels deep.

    Raises:
        EvaluationError: with the position of the innermost expression that failed.
        StopEvaluation: for stop().
    """
    open_steps: list[tuple[Expression, Step]] = [(expression, _evaluate(expression, scope))]
    value: Any = None
    while open_steps:
        current, step = open_steps[-1]
        try:
            needed = step.send(value)
        except StopIteration as end:
            value = end.value
            open_steps.pop()
            if isinstance(value, list):
                scope.items += len(value)
                if scope.items > MAX_ITEMS:
                    raise _at(current, f"The evaluation handles more than {MAX_ITEMS} values of doubleVecs") from None
        except EvaluationError as error:
            raise _at(current, str(error)) from None
        except (ArithmeticError, ValueError):
            raise _at(current, "The result is out of range") from None
        else:
            open_steps.append((needed, _evaluate(needed, scope)))
            value = None
    return value


def _evaluate(expression: Expression, scope: Scope) -> Step:
    parts = expression.parts
    match expression.kind:
        case "number":
            return values.double(float(parts[0]))
        case "text":
            return str(parts[0])[1:-1]
        case "name":
            return _name(str(parts[0]), scope)
        case "vector":
            return functions.flatten("[]", (yield from _arguments(parts[0])))
        case "negate":
            return values.unary(str(parts[0]), (yield parts[1]))
        case "binary":
            return (yield from _binary(*parts))
        case "choice":
            condition, yes, no = parts
            return (yield yes if values.truth((yield condition)) else no)
        case "call":
            return functions.call(str(parts[0]), (yield from _arguments(parts[1])), scope.now, scope.source)
        case "method":
            value = yield parts[0]
            return _method(value, str(parts[1]), (yield from _arguments(parts[2])))
        case _:
            return _member((yield parts[0]), str(parts[1]))


def _arguments(arguments: tuple[Expression, ...] | None) -> Step:
    found = []
    for argument in arguments or ():
        found.append((yield argument))  # noqa: PERF401 - a comprehension cannot yield
    return found


def _binary(left: Expression, symbol: str, right: Expression) -> Step:
    first = yield left
    if symbol == "&&":
        return float(values.truth(first) and values.truth((yield right)))
    if symbol == "||":
        return float(values.truth(first) or values.truth((yield right)))
    return values.binary(str(symbol), first, (yield right))


def _name(name: str, scope: Scope) -> Any:
    name = _ALIASES.get(name, name)
    if name in scope.assigned:
        return scope.assigned[name]
    if name in scope.metrics:
        return scope.metrics[name]
    if name in scope.defaults:
        return scope.defaults[name]
    if name in values.INTERVALS:
        return Interval(values.INTERVALS[name])
    if name in OPTIONS:
        return name
    other = name[1:] if name.startswith("$") else f"${name}"
    if other in scope.assigned:
        return scope.assigned[other]
    raise EvaluationError(f"Undefined symbol: {name}")


def _method(value: Any, name: str, arguments: list[Any]) -> Any:
    if hasattr(value, "method"):
        return value.method(name, arguments)
    raise EvaluationError(f"A {values.kind(value)} has no method {name}")


def _member(value: Any, name: str) -> Any:
    if isinstance(value, Timestamp):
        return value.member(name)
    raise EvaluationError(f"A {values.kind(values.plain(value))} has no member {name}")


def results(assigned: Mapping[str, Any], dedicated: float, low_priority: float) -> str:
    """The text of a run: targets, option, then the user's variables by name (docs/azure-batch.md#runs-of-formulas).

    Args:
        dedicated: the present target, for a formula that does not set it.
    """
    users = {
        name.removeprefix("$"): value
        for name, value in assigned.items()
        if name not in (DEDICATED, LOW_PRIORITY, OPTION)
    }
    shown = {
        "TargetDedicatedNodes": assigned.get(DEDICATED, dedicated),
        "TargetLowPriorityNodes": assigned.get(LOW_PRIORITY, low_priority),
        "NodeDeallocationOption": assigned.get(OPTION, "requeue"),
    } | {name: users[name] for name in sorted(users)}
    return ";".join(f"${name}={values.show(value)}" for name, value in shown.items())
