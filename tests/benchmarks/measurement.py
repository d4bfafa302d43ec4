"""One figure of a benchmark, and where some of them come from."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@dataclass(frozen=True)
class Measurement:
    """A figure with its unit, and the goal it is held against, if any.

    Attributes:
        counted: whether it hardly depends on the machine and on what else runs there, so that `make bench-check` can compare it
            with the figure of another day.
    """

    what: str
    value: float
    unit: str
    goal: float | None = None
    smaller_is_better: bool = False
    counted: bool = False

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.smaller_is_better else self.value >= self.goal
