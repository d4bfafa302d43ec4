"""Whether the loops of the operator make progress: the source of the liveness probe.

A loop is stuck when something of ours hangs, which only a restart mends. That Azure or the API server does not answer is no such
thing: all their calls have time limits, so the loops turn all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class _Loop:
    name: str
    age: Callable[[], float]
    limit: float


class Liveness:
    """Loops, and how long each may be silent."""

    def __init__(self) -> None:
        self._loops: list[_Loop] = []

    def watch(self, name: str, age: Callable[[], float], limit: float) -> None:
        """Have an eye on a loop.

        Args:
            age: seconds since it last got through its work; 0 if it has none.
            limit: seconds after which it is stuck.
        """
        self._loops.append(_Loop(name, age, limit))

    def problem(self) -> str | None:
        """What is stuck, and since when; None if nothing is."""
        stuck = [(loop, age) for loop in self._loops if (age := loop.age()) > loop.limit]
        return "; ".join(f"{loop.name} is stuck for {age:.0f} s" for loop, age in stuck) or None
