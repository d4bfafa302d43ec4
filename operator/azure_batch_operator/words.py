"""Joins names and counts in messages, so that they read as sentences. Uses only the standard library.

After a colon and in parentheses names are only separated by commas: such lists are read as data, some by a program.
"""

from __future__ import annotations

from collections.abc import Iterable


def listed(names: Iterable[object], last: str = "and") -> str:
    """Names within a sentence.

    >>> listed(["vmSize", "taskSlotsPerNode"])
    'vmSize and taskSlotsPerNode'
    >>> listed(["ids", "failed", "states"], "or")
    'ids, failed or states'
    """
    *first, end = [str(name) for name in names] or [""]
    return f"{', '.join(first)} {last} {end}" if first else end


def counted(number: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "task")
    '1 task'
    >>> counted(0, "task")
    '0 tasks'
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
