"""Judges a played history by what is promised, from outside: the emulator's calls and state, the API server's log, the history.

It imports nothing of the operator, and its rules are written from docs/ (each names its page), so that a mistake of the operator
cannot be one of the checker as well. Not judged here: memory, whose sizes cannot be reached from outside the operator.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from histories import completion, ends, operations, ownership, pace, schedules, wishes
from histories.history import History
from histories.judged import Judged, Violation
from histories.lives import lives
from histories.record import Record

Rule = Callable[[Judged], list[Violation]]
RULES: tuple[Rule, ...] = (
    ends.no_fault,
    ends.rest,
    ends.fulfilled,
    ends.pools_are_true,
    ends.jobs_are_true,
    completion.successes_are_complete,
    ends.tasks_are_true,
    ends.no_secret,
    schedules.active_is_true,
    schedules.history_is_kept,
    schedules.runs_start_as_asked,
    ownership.foreign,
    ownership.orphans,
    ownership.own_writes,
    wishes.no_task_twice,
    wishes.unwished_ends,
    wishes.unwished_changes,
    wishes.skipped,
    wishes.deleted_objects,
    operations.once,
    operations.asked_for,
    operations.ended_is_ended,
    operations.reach,
    operations.outcomes_are_true,
    operations.ends_are_true,
    pace.backoff,
    pace.at_rest,
    pace.calls_at_rest,
    pace.storms,
)


@dataclass(frozen=True)
class Verdict:
    """What the rules say."""

    violations: tuple[Violation, ...]

    @property
    def rules(self) -> frozenset[str]:
        """Which are broken."""
        return frozenset(each.rule for each in self.violations)


def judge(history: History, record: Record, left_out: Collection[Rule] = ()) -> Verdict:
    """Ask all rules but those that are left out."""
    judged = Judged(history, record, lives(record))
    return Verdict(tuple(found for rule in RULES if rule not in left_out for found in rule(judged)))
