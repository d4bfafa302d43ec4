"""Figures of many histories: what users did, what went wrong, and which promises were not kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from histories.history import History
from histories.judged import Violation
from histories.kinds import counted
from histories.record import Record


@dataclass
class Tally:
    """Figures of all histories that were played.

    Attributes:
        users, faults: steps by kind (`kinds`).
        figures: objects, calls, writes and the like.
        violations: each with the name of its history.
    """

    histories: int = 0
    users: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    figures: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[str, Violation]] = field(default_factory=list)

    def add(self, name: str, history: History, record: Record, violations: tuple[Violation, ...]) -> None:
        """Count one."""
        self.histories += 1
        for by_user, kind in counted(history, record.steps):
            (self.users if by_user else self.faults)[kind] += 1
        self.figures["refused steps"] += sum(bool(step.refusal) for step in record.steps)
        self.figures["objects"] += len({each.uid for each in record.versions if each.plural.startswith("batch")})
        self.figures["calls"] += len(record.calls)
        self.figures["effects in Azure Batch"] += sum(each.ours and each.done for each in record.effects)
        self.figures["tasks replaced"] += replaced(record)
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
            "actions of users by kind: " + _listed(self.users),
            "faults injected by kind: " + _listed(self.faults),
            "figures: " + ", ".join(f"{name} {number}" for name, number in self.figures.items()),
            f"violations: {len(self.violations)} in {len({name for name, _ in self.violations})} histories",
        ]


def replaced(record: Record) -> int:
    """How many tasks the operator has added again after it had deleted them."""
    deleted, number = set[tuple[str, str]](), 0
    for each in record.effects:
        if not (each.ours and each.done):
            continue
        job = each.parameters.get("jobId", "").lower()
        if each.operation == "Tasks_DeleteTask":
            deleted.add((job, each.parameters["taskId"].lower()))
        again = deleted & {(job, task.lower()) for task in each.added}
        number += len(again)
        deleted -= again
    return number


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counted.most_common())
