"""Figures of many histories: what users did, what went wrong, and which promises were not kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from histories.judged import Violation
from histories.play_words import USERS
from histories.record import Record


@dataclass
class Tally:
    """Figures of all histories that were played.

    Attributes:
        users, faults: steps by what they do.
        figures: objects, calls, writes and the like.
        violations: each with the name of its history.
    """

    histories: int = 0
    users: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    figures: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[str, Violation]] = field(default_factory=list)

    def add(self, name: str, record: Record, violations: tuple[Violation, ...]) -> None:
        """Count one."""
        self.histories += 1
        for step in record.steps:
            (self.users if step.do in USERS else self.faults)[step.do] += 1
            self.figures["refused steps"] += bool(step.refusal)
        self.figures["objects"] += len({each.uid for each in record.versions if each.plural.startswith("batch")})
        self.figures["calls"] += len(record.calls)
        self.figures["effects in Azure Batch"] += sum(each.ours and each.done for each in record.effects)
        self.figures["writes"] += len(record.writes)
        self.figures["operators started"] += len(record.starts)
        self.figures["virtual hours"] += round(record.rest[1] / 3600)
        self.figures["passed"] += not violations
        self.violations += [(name, each) for each in violations]

    def merge(self, other: Tally) -> None:
        """Add what another process has counted."""
        self.histories += other.histories
        self.users += other.users
        self.faults += other.faults
        self.figures += other.figures
        self.violations += other.violations

    def lines(self) -> list[str]:
        """What to print of it."""
        return [
            "users: " + _listed(self.users),
            "faults: " + _listed(self.faults),
            "figures: " + ", ".join(f"{name} {number}" for name, number in self.figures.items()),
            f"violations: {len(self.violations)} in {len({name for name, _ in self.violations})} histories",
        ]


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counted.most_common())
