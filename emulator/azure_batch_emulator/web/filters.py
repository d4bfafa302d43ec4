"""``$filter``: a parser for the documented grammar, and its evaluation on resources (batch-semantics §1.7).

Property names are case-sensitive, string values are not. Each list has its own properties and, per property, operators;
anything else is 400.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lark import Lark, Token, Transformer
from lark.exceptions import LarkError

from azure_batch_emulator.wire.errors import BatchError, invalid_query
from azure_batch_emulator.wire.ticks import parse_http_date, parse_timestamp

Predicate = Callable[[Any], bool]
ALL_OPERATORS = frozenset({"eq", "ne", "ge", "gt", "le", "lt"})
EQUALITY = frozenset({"eq", "ne"})

_GRAMMAR = r"""
?start: disjunction
?disjunction: conjunction ("or" conjunction)*
?conjunction: term ("and" term)*
?term: comparison | starts_with | "(" disjunction ")"
comparison: NAME OPERATOR literal
starts_with: "startswith" "(" NAME "," STRING ")"
?literal: STRING -> text | DATE -> date | NUMBER -> number | BOOLEAN -> boolean
OPERATOR.2: /(eq|ne|ge|gt|le|lt)(?![A-Za-z0-9_\/])/
BOOLEAN.3: /(true|false)(?![A-Za-z0-9_\/])/
DATE.4: /datetime'[^']*'/i
NAME: /[A-Za-z_][A-Za-z0-9_]*(\/[A-Za-z_][A-Za-z0-9_]*)*/
STRING: /'(''|[^'])*'/
NUMBER: /-?\d+(\.\d+)?/
%ignore /\s+/
"""
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "ge": operator.ge,
    "gt": operator.gt,
    "le": operator.le,
    "lt": operator.lt,
}


@dataclass(frozen=True, slots=True)
class Field:
    """A property that a list can be filtered by.

    Attributes:
        kind: ``text``, ``date``, ``number`` or ``boolean``.
        get: takes the value from a resource: str, ticks, int or bool; None when it is absent.
        operators: that the service allows.
        startswith: whether that function is allowed.
    """

    kind: str
    get: Callable[[Any], Any]
    operators: frozenset[str] = ALL_OPERATORS
    startswith: bool = False


Fields = Mapping[str, Field]


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", maybe_placeholders=False)


class _Build(Transformer[Token, Any]):
    def __init__(self, fields: Fields) -> None:
        super().__init__()
        self._fields = fields

    def text(self, children: list[Token]) -> tuple[str, Any]:
        return "text", _unquote(children[0]).lower()

    def date(self, children: list[Token]) -> tuple[str, Any]:
        value = children[0][len("datetime'") : -1]
        try:
            return "date", parse_timestamp(value)
        except ValueError:
            try:
                return "date", parse_http_date(value)
            except (ValueError, TypeError):
                raise FilterError(f"'{value}' is not a date.") from None

    def number(self, children: list[Token]) -> tuple[str, Any]:
        return "number", float(children[0])

    def boolean(self, children: list[Token]) -> tuple[str, Any]:
        return "boolean", children[0] == "true"

    def comparison(self, children: list[Any]) -> Predicate:
        name, word, (kind, value) = str(children[0]), str(children[1]), children[2]
        field = self._field(name)
        if kind != field.kind:
            raise FilterError(f"The property '{name}' cannot be compared with a {kind}.")
        if word not in field.operators:
            raise FilterError(f"The operator '{word}' is not supported for the property '{name}'.")
        get, compare = field.get, _OPERATORS[word]
        if kind == "text":

            def matches(resource: Any) -> bool:
                found = get(resource)
                return word == "ne" if found is None else compare(found.lower(), value)

        else:

            def matches(resource: Any) -> bool:
                found = get(resource)
                return word == "ne" if found is None else compare(found, value)

        return matches

    def starts_with(self, children: list[Token]) -> Predicate:
        name, prefix = str(children[0]), _unquote(children[1]).lower()
        field = self._field(name)
        if not field.startswith:
            raise FilterError(f"The function 'startswith' is not supported for the property '{name}'.")
        get = field.get
        return lambda resource: (get(resource) or "").lower().startswith(prefix)

    def conjunction(self, children: list[Predicate]) -> Predicate:
        return lambda resource: all(child(resource) for child in children)

    def disjunction(self, children: list[Predicate]) -> Predicate:
        return lambda resource: any(child(resource) for child in children)

    def _field(self, name: str) -> Field:
        field = self._fields.get(name)
        if field is None:
            raise FilterError(f"The property '{name}' does not exist or cannot be filtered by.")
        return field


class FilterError(ValueError):
    """Why a filter is refused."""


def _unquote(token: Token) -> str:
    return str(token)[1:-1].replace("''", "'")


def compile_filter(text: str, fields: Fields) -> Predicate:
    """Make a predicate of a filter.

    Args:
        text: value of ``$filter``.
        fields: what this list can be filtered by.

    Raises:
        BatchError: 400 InvalidQueryParameterValue.
    """
    try:
        tree = _parser().parse(text)
        predicate: Predicate = _Build(fields).transform(tree)
    except LarkError as error:
        cause = error.__context__ if isinstance(error.__context__, FilterError) else None
        reason = str(cause) if cause else "The filter does not follow the grammar of filters."
        raise _refusal(text, reason) from None
    return predicate


def _refusal(text: str, reason: str) -> BatchError:
    return invalid_query("$filter", text, reason)
