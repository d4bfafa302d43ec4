"""``$filter``: a parser for the documented grammar, and its evaluation on resources (docs/azure-batch.md#filters).

Property names are case-sensitive, string values are not. Each list has its own properties and, per property, operators;
anything else is 400.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from lark import Lark, Token, Transformer
from lark.exceptions import LarkError

from azure_batch_emulator.schema.versions import CURRENT
from azure_batch_emulator.wire.errors import BatchError, invalid_query
from azure_batch_emulator.wire.ticks import parse_http_date, parse_timestamp

Predicate = Callable[[Any], bool]
ALL_OPERATORS = frozenset({"eq", "ne", "ge", "gt", "le", "lt"})
EQUALITY = frozenset({"eq", "ne"})

# Far more than anybody writes, and few enough for a plain recursive evaluation.
_DEEPEST = 50
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
NUMBER: /-?[0-9]+(\.[0-9]+)?/
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


@dataclass(frozen=True, slots=True)
class _Node:
    """A part of a parsed filter: ``and``, ``or``, ``compare`` or ``startswith``, with how deep what is in it goes."""

    kind: str
    parts: tuple[Any, ...]
    depth: int = 0


class _Parse(Transformer[Token, Any]):
    """Makes nodes while the parser goes, without recursion, whatever the filter is."""

    def text(self, children: list[Token]) -> tuple[str, Any]:
        return "text", _unquote(children[0]).lower()

    def date(self, children: list[Token]) -> tuple[str, Any]:
        return "date", children[0][len("datetime'") : -1]

    def number(self, children: list[Token]) -> tuple[str, Any]:
        return "number", float(children[0])

    def boolean(self, children: list[Token]) -> tuple[str, Any]:
        return "boolean", children[0] == "true"

    def comparison(self, children: list[Any]) -> _Node:
        return _Node("compare", tuple(children))

    def starts_with(self, children: list[Token]) -> _Node:
        return _Node("startswith", tuple(children))

    def conjunction(self, children: list[_Node]) -> _Node:
        return self._combination("and", children)

    def disjunction(self, children: list[_Node]) -> _Node:
        return self._combination("or", children)

    def _combination(self, kind: str, children: list[_Node]) -> _Node:
        depth = 1 + max(child.depth for child in children)
        if depth > _DEEPEST:
            raise FilterError(f"The filter is nested more than {_DEEPEST} levels deep.")
        return _Node(kind, tuple(children), depth)


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", maybe_placeholders=False, transformer=_Parse())


# Callers poll with the same few filters. A node does not change, and a refusal is not kept.
@lru_cache(maxsize=256)
def _parsed(text: str) -> _Node:
    # The parser's transformer makes nodes where its type says trees.
    return cast("_Node", _parser().parse(text))


def _build(node: _Node, fields: Fields) -> Predicate:
    """The predicate of a node; a filter is never deeper than `_DEEPEST`."""
    if node.kind == "compare":
        return _comparison(fields, *node.parts)
    if node.kind == "startswith":
        return _starts_with(fields, *node.parts)
    children = [_build(child, fields) for child in node.parts]
    if node.kind == "and":
        return lambda resource: all(child(resource) for child in children)
    return lambda resource: any(child(resource) for child in children)


def _comparison(fields: Fields, name: str, word: str, literal: tuple[str, Any]) -> Predicate:
    kind, value = literal
    field = _field(name, fields)
    if kind != field.kind:
        raise FilterError(f"The property '{name}' cannot be compared with a {kind}.")
    if word not in field.operators:
        raise FilterError(f"The operator '{word}' is not supported for the property '{name}'.")
    get, compare = field.get, _OPERATORS[str(word)]
    if kind == "date":
        value = _date(value)
    if kind == "text":
        get = _shown(name, get)

        def matches(resource: Any) -> bool:
            found = get(resource)
            return word == "ne" if found is None else compare(found.lower(), value)

    else:

        def matches(resource: Any) -> bool:
            found = get(resource)
            return word == "ne" if found is None else compare(found, value)

    return matches


def _shown(name: str, get: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What the version of the request shows: a list that is filtered by a value holds what is shown with it."""
    version, last = CURRENT.get(), str(name).rpartition("/")[2]
    if last not in version.values:
        return get

    def shown(resource: Any) -> Any:
        found = get(resource)
        return None if found is None else version.show_value(last, found)

    return shown


def _starts_with(fields: Fields, name: str, literal: str) -> Predicate:
    prefix = _unquote(literal).lower()
    field = _field(name, fields)
    if not field.startswith:
        raise FilterError(f"The function 'startswith' is not supported for the property '{name}'.")
    get = field.get
    return lambda resource: (get(resource) or "").lower().startswith(prefix)


def _field(name: str, fields: Fields) -> Field:
    field = fields.get(str(name))
    if field is None:
        raise FilterError(f"The property '{name}' does not exist or cannot be filtered by.")
    return field


def _date(text: str) -> int:
    try:
        return parse_timestamp(text)
    except ValueError:
        try:
            return parse_http_date(text)
        except ValueError:
            raise FilterError(f"'{text}' is not a date.") from None


class FilterError(ValueError):
    """Why a filter is refused."""


def _unquote(token: str) -> str:
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
        return _build(_parsed(text), fields)
    except FilterError as error:
        reason = str(error)
    except LarkError as error:
        cause = error.__context__ if isinstance(error.__context__, FilterError) else None
        reason = str(cause) if cause else "The filter does not follow the grammar of filters."
    raise _refusal(text, reason)


def _refusal(text: str, reason: str) -> BatchError:
    return invalid_query("$filter", text, reason)
