"""Formulas as trees: the grammar of docs/azure-batch.md#grammar-of-formulas."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lark import Lark, Token, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken
from lark.visitors import Transformer_NonRecursive

MAX_BYTES = 8 * 1024
MAX_STATEMENTS = 100

_GRAMMAR = r"""
start: [statement] (";" [statement])*
?statement: NAME "=" expression -> assign
          | expression -> bare
?expression: disjunction
           | disjunction "?" expression ":" expression -> choice
?disjunction: conjunction | disjunction OR conjunction -> binary
?conjunction: comparison | conjunction AND comparison -> binary
?comparison: sum | comparison COMPARE sum -> binary
?sum: product | sum PLUS product -> binary
?product: unary | product TIMES unary -> binary
?unary: postfix | SIGN unary -> negate
      | PLUS unary -> negate
?postfix: primary
        | postfix "." NAME -> member
        | postfix "." NAME "(" [arguments] ")" -> method
?primary: NUMBER -> number
        | STRING -> text
        | NAME -> name
        | NAME "(" [arguments] ")" -> call
        | "[" [arguments] "]" -> vector
        | "(" expression ")"
arguments: expression ("," expression)*
NAME: /\$?[A-Za-z][A-Za-z0-9_]*/
NUMBER: /(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?/
STRING: /"[^"\n]*"|'[^'\n]*'/
OR: "||"
AND: "&&"
COMPARE: "<=" | ">=" | "==" | "!=" | "<" | ">"
PLUS: "+" | "-"
TIMES: "*" | "/"
SIGN: "!"
%ignore /\s+/
%ignore /\/\/[^\n]*/
"""


class FormulaSyntaxError(ValueError):
    """The formula does not parse; the message begins with line and column."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A node of the tree: what kind, where it stands, and its parts.

    `kind` is one of assign, bare, choice, binary, negate, member, method, number, text, name, call, vector.
    """

    kind: str
    line: int
    column: int
    parts: tuple[Any, ...]


@v_args(meta=True)
class _Build(Transformer_NonRecursive[Token, Any]):
    """Makes expressions without recursion, so that no formula is too deep for it."""

    def start(self, meta: Any, children: list[Any]) -> list[Expression]:
        del meta
        return [child for child in children if child is not None]

    def arguments(self, meta: Any, children: list[Any]) -> tuple[Any, ...]:
        del meta
        return tuple(children)

    def __default__(self, data: Any, children: list[Any], meta: Any) -> Expression:
        line, column = getattr(meta, "line", 1), getattr(meta, "column", 1)
        return Expression(str(data), line, column, tuple(children))


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", propagate_positions=True, maybe_placeholders=True)


def parse(formula: str) -> list[Expression]:
    """The statements of a formula.

    Raises:
        FormulaSyntaxError: it does not follow the grammar, or has too many statements.
    """
    try:
        statements: list[Expression] = _Build().transform(_parser().parse(formula))
    except UnexpectedCharacters as error:
        raise FormulaSyntaxError(f"Line {error.line}, Col {error.column}: Unexpected character.") from None
    except UnexpectedToken as error:
        at = "the end" if error.token.type == "$END" else f"'{error.token}'"
        line, column = max(error.line or 1, 1), max(error.column or 1, 1)
        raise FormulaSyntaxError(f"Line {line}, Col {column}: Unexpected {at}.") from None
    except UnexpectedInput as error:
        raise FormulaSyntaxError(f"Line {error.line}, Col {error.column}: The formula cannot be read.") from None
    if len(statements) > MAX_STATEMENTS:
        raise FormulaSyntaxError(f"Line 1, Col 1: The formula has more than {MAX_STATEMENTS} statements.")
    return statements
