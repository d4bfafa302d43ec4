"""One figure of a benchmark."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """A figure with its unit, and the goal it is held against, if any."""

    what: str
    value: float
    unit: str
    goal: float | None = None
    smaller_is_better: bool = False

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.smaller_is_better else self.value >= self.goal
