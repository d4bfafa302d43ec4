"""One figure of a benchmark, and where some of them come from."""

import time
from dataclasses import dataclass

_CPUCLOCK_SCHED = 2
"""From Linux' `posix-timers_types.h`: the clock of what the scheduler has given to all threads of a process."""


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has taken so far, in steps of nanoseconds; those of `/proc/PID/stat` are 10 ms.

    Python has no `clock_getcpuclockid`, so the number of the clock is made here as the C library makes it.
    """
    return time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)


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
