"""How ``find`` and ``findstr`` look for text in lines. Pure.

It is imported by a script that runs without site packages, so it uses the standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# What is special in an expression of findstr unless a backslash stands before it.
_SPECIAL = frozenset(".*[]^$\\")
_TOKEN = re.compile(r"\\(.)|\[(\^?)((?:\\.|[^\]\\])+)\]|(.)", re.DOTALL)


def is_expression(text: str) -> bool:
    """Whether findstr takes a text as a regular expression when no switch says how to take it."""
    return bool(_SPECIAL.intersection(text))


def expression(text: str) -> str:
    """A regular expression of findstr as one of Python.

    It knows ``.``, ``*``, ``[class]``, ``[^class]``, ``[x-y]``, ``^`` first, ``$`` last, ``\\<``, ``\\>`` and ``\\x``,
    and no groups, alternatives or other repetitions.
    """
    found: list[str] = []
    for token in _TOKEN.finditer(text):
        escaped, negation, members, char = token.groups()
        if escaped is not None:
            found.append({"<": r"\b(?=\w)", ">": r"\b(?<=\w)"}.get(escaped, re.escape(escaped)))
        elif members is not None:
            inside = re.sub(r"\\(.)|([^-])", lambda part: re.escape(part[1] or part[2]), members, flags=re.DOTALL)
            found.append(f"[{negation}{inside}]")
        elif char == "*" and found:
            found.append("*")
        elif char == ".":
            found.append(".")
        elif (char == "^" and token.start() == 0) or (char == "$" and token.end() == len(text)):
            found.append(char)
        else:
            found.append(re.escape(char))
    return "".join(found)


def matcher(wanted: Sequence[str], switches: set[str], *, regular: bool = False) -> re.Pattern[str]:
    """What finds one of some texts in a line.

    Args:
        switches: ``/i`` for any case, ``/b`` and ``/e`` for texts at the beginning or the end, ``/x`` for whole lines.
        regular: the texts are regular expressions.

    Raises:
        re.error: one of them is none.
    """
    begin = "^" if switches & {"/b", "/x"} else ""
    end = "$" if switches & {"/e", "/x"} else ""
    texts = [f"{begin}(?:{expression(text) if regular else re.escape(text)}){end}" for text in wanted]
    return re.compile("|".join(texts), re.IGNORECASE if "/i" in switches else 0)


def hits(lines: Sequence[str], pattern: re.Pattern[str], switches: set[str]) -> list[tuple[int, str]]:
    """Lines that have a match, or with ``/v`` those without, and their numbers."""
    return [
        (number, line)
        for number, line in enumerate(lines, start=1)
        if (pattern.search(line) is not None) != ("/v" in switches)
    ]
