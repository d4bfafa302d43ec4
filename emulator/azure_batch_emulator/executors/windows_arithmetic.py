"""The arithmetic of ``set /a``: whole numbers of 32 bits, with the operators of C and assignments. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_TOKEN = re.compile(r"\s*(<<=|>>=|<<|>>|[-+*/%&|^]=|0[xX][0-9a-fA-F]+|\d+|[A-Za-z_][\w.$#@]*|[-+*/%&|^~!(),=])")
# By how tightly they bind, loosest first.
_LEVELS = (("|",), ("^",), ("&",), ("<<", ">>"), ("+", "-"), ("*", "/", "%"))


class ArithmeticProblemError(ValueError):
    """The expression has no value; the text is what cmd says."""


def _divide(left: int, right: int) -> int:
    if right == 0:
        raise ArithmeticProblemError("Divide by zero error.")
    found = abs(left) // abs(right)
    return found if (left < 0) == (right < 0) else -found


_OPERATORS: dict[str, Callable[[int, int], int]] = {
    "|": lambda left, right: left | right,
    "^": lambda left, right: left ^ right,
    "&": lambda left, right: left & right,
    "<<": lambda left, right: left << (right & 31),
    ">>": lambda left, right: left >> (right & 31),
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": _divide,
    "%": lambda left, right: left - right * _divide(left, right),
}


def evaluate(text: str, variables: Mapping[str, str]) -> tuple[int, dict[str, int]]:
    """The value of the last of some expressions, and what they assign.

    Args:
        text: expressions with commas between them.
        variables: by name in upper case; those that are no numbers count as 0.

    Raises:
        ArithmeticProblemError: the text is no such expression.
    """
    reader = _Reader(text, variables)
    value = reader.assignment()
    while reader.take(","):
        value = reader.assignment()
    if reader.left:
        raise ArithmeticProblemError("Missing operator.")
    return value, reader.assigned


class _Reader:
    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        self.left: list[str] = []
        place = 0
        while text[place:].strip():
            match = _TOKEN.match(text, place)
            if match is None:
                raise ArithmeticProblemError(
                    "Invalid number.  Numeric constants are either decimal (17), hexadecimal (0x11)."
                )
            self.left.append(match[1])
            place = match.end()
        self._variables = variables
        self.assigned: dict[str, int] = {}

    def take(self, *tokens: str) -> str:
        """The next token, if it is one of these, else nothing."""
        return self.left.pop(0) if self.left and self.left[0] in tokens else ""

    def assignment(self) -> int:
        """``NAME = …``, ``NAME += …`` or an expression."""
        following = self.left[1] if len(self.left) > 1 else ""
        if following == "=" or (following[-1:] == "=" and following[:-1] in _OPERATORS):
            name = self.left.pop(0)
            self.left.pop(0)
            value = self.assignment()
            if following != "=":
                value = _wrapped(_OPERATORS[following[:-1]](self._value(name), value))
            self.assigned[name.upper()] = value
            return value
        return self._level(0)

    def _level(self, level: int) -> int:
        if level == len(_LEVELS):
            return self._single()
        value = self._level(level + 1)
        while operator := self.take(*_LEVELS[level]):
            value = _wrapped(_OPERATORS[operator](value, self._level(level + 1)))
        return value

    def _single(self) -> int:
        if self.take("-"):
            return _wrapped(-self._single())
        if self.take("+"):
            return self._single()
        if self.take("~"):
            return ~self._single()
        if self.take("!"):
            return int(not self._single())
        if self.take("("):
            value = self._level(0)
            if not self.take(")"):
                raise ArithmeticProblemError("Unbalanced parenthesis.")
            return value
        if not self.left or not re.match(r"\w", self.left[0]):
            raise ArithmeticProblemError("Missing operand.")
        return self._value(self.left.pop(0))

    def _value(self, word: str) -> int:
        if word.upper() in self.assigned:
            return self.assigned[word.upper()]
        text = word if word[0].isdigit() else self._variables.get(word.upper(), "0").strip()
        try:
            # A leading zero means octal, and more than 32 bits are cut.
            return _wrapped(
                int(text, 16 if text[:2].lower() == "0x" else 8 if text[:1] == "0" and len(text) > 1 else 10)
            )
        except ValueError:
            return 0


def _wrapped(value: int) -> int:
    """As 32 bits hold it."""
    return (value + 2**31) % 2**32 - 2**31
