"""What ``if`` compares and what ``for`` goes through, in a stand-in for cmd. Pure.

It is imported by a script that runs without site packages, so it uses the standard library only.
"""

from __future__ import annotations

import re

_MAX_STEPS = 1_000_000
# One for each letter.
_MAX_TOKENS = 26


def compare(kind: str, left: str, right: str, *, ignore_case: bool) -> bool:
    """A comparison of ``if``: by number if both sides are numbers and it is no ``==``."""
    if ignore_case:
        left, right = left.lower(), right.lower()
    if kind == "==":
        return left == right
    number = re.compile(r"[-+]?[0-9]{1,18}")
    numbers = number.fullmatch(left) and number.fullmatch(right)
    order = (int(left) > int(right)) - (int(left) < int(right)) if numbers else (left > right) - (left < right)
    return {
        "equ": order == 0,
        "neq": order != 0,
        "lss": order < 0,
        "leq": order <= 0,
        "gtr": order > 0,
        "geq": order >= 0,
    }[kind]


def items(text: str) -> list[str]:
    """The set of a ``for``."""
    return re.findall(r'"[^"]*"|[^\s,;="]+', text)


def steps(text: str) -> range:
    """The numbers of ``for /l``: start, step and end, at most a million."""
    found = [int(word) for word in items(text) if re.fullmatch(r"[-+]?[0-9]{1,18}", word)][:3]
    start, step, end = (*found, 0, 0, 0)[:3]
    return range(start, end + (1 if step >= 0 else -1), step)[:_MAX_STEPS] if step else range(0)


def skipped(options: str) -> int:
    """How many lines ``for /f`` leaves out."""
    found = re.search(r"\bskip=([0-9]{1,9})", options, re.IGNORECASE)
    return int(found[1]) if found else 0


def fields_of(line: str, options: str) -> list[str] | None:
    """What ``for /f`` takes from a line, for its variable and those that follow it; None for a line that it leaves out."""
    if not line.strip() or line.startswith(";"):
        return None
    delimiters = re.search(r"\bdelims=(\S*)", options, re.IGNORECASE)
    marks = (
        f"[{re.escape(delimiters[1])}]+" if delimiters and delimiters[1] else r"[ \t]+" if delimiters is None else None
    )
    wanted = re.search(r"\btokens=(\S+)", options, re.IGNORECASE)
    numbers, star = _numbers(wanted[1] if wanted else "1")
    text = line.lstrip(delimiters[1] if delimiters else " \t") if marks else line
    parts = [part for part in re.split(marks, text) if part] if marks else [text]
    found = [parts[number - 1] if number <= len(parts) else "" for number in numbers]
    if star:
        before = max(numbers, default=0)
        found.append("" if marks is None else (re.split(marks, text, maxsplit=before) + [""] * (before + 1))[before])
        if not numbers:
            found = [text]
    return found if found and found[0] else None


def _numbers(tokens: str) -> tuple[list[int], bool]:
    numbers: list[int] = []
    for part in tokens.replace("*", ",*").split(","):
        if match := re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", part):
            first = int(match[1])
            numbers += range(first, int(match[2] or first) + 1)[:_MAX_TOKENS]
    return numbers[:_MAX_TOKENS], "*" in tokens


def pieces(value: str, parts: str | None) -> str:
    """What ``%~nx1`` means: the parts of a path; with ``~`` alone, it without its quotes."""
    if parts is None:
        return value
    value = value.strip('"')
    folder, _, file = value.rpartition("\\")
    stem, dot, ending = file.rpartition(".")
    found = {"d": value[:2] if value[1:2] == ":" else "", "n": stem or file, "x": f"{dot}{ending}" if stem else ""}
    found["p"] = f"{folder[len(found['d']) :]}\\" if folder else ""
    return value if parts in ("", "f") else "".join(found.get(part, "") for part in parts)
