"""The only memory of backoff: when refused work may be retried, whatever triggers its object before.

Polls, watch events, resyncs and other objects wake a key at any time. A refused call is not sent again before its wait is over,
unless the user has changed the object (spec or annotations) or the call carries something that was not refused yet, such as a
corrected value from a Secret. How long a wait is depends on who must act: `reconcile.error_classes.RetryClass`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from azure_batch_operator.batch import BatchError
from azure_batch_operator.reconcile.error_classes import ClassifiedError, RetryClass

_REMEMBERED_CONTENTS = 8
"""Different contents of one action that may each be tried at once; more of them are no correction any more."""


@dataclass(slots=True)
class Refusal:
    """Refusals in a row of one action.

    Attributes:
        intent: version of the object's spec and annotations for which it was refused.
        error: the last refusal.
        patience: how long its kind waits; another kind of refusal is counted from the start.
        count: how many of that kind.
        until: time of the loop before which it is not retried.
        contents: digests of what was refused.
    """

    intent: Hashable
    error: BatchError
    retry_class: RetryClass = RetryClass.BUSY
    count: int = 0
    until: float = 0.0
    contents: set[str] = field(default_factory=set)


class Backoff:
    """Refusals by owner (an object, or a job for its tasks) and action (verb and target).

    Args:
        clock: time of the loop in seconds.
        spread: factor of a wait, at least 1, so that objects refused together are not tried together.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        spread: Callable[[], float] = lambda: random.uniform(1.0, 1.1),  # noqa: S311
    ) -> None:
        self._clock, self._spread = clock, spread
        self._refusals: dict[Hashable, dict[Hashable, Refusal]] = {}

    def held(
        self, owner: Hashable, action: Hashable, intent: Hashable, content: str = ""
    ) -> tuple[float, BatchError] | None:
        """Seconds until the action may be retried, and why; None if it may be tried now."""
        refusal = self._refusals.get(owner, {}).get(action)
        if refusal is None or refusal.intent != intent:
            return None
        if content not in refusal.contents and len(refusal.contents) < _REMEMBERED_CONTENTS:
            return None
        left = refusal.until - self._clock()
        return (left, refusal.error) if left > 0 else None

    def refusals(self, owner: Hashable, action: Hashable, intent: Hashable) -> int:
        """How often the action was refused in a row."""
        refusal = self._refusals.get(owner, {}).get(action)
        return refusal.count if refusal is not None and refusal.intent == intent else 0

    def is_repeated(self, owner: Hashable, action: Hashable, intent: Hashable) -> bool:
        """Whether the last refusal of the action was not its first in a row: it is no news, and no poll is requested for it."""
        return self.refusals(owner, action, intent) > 1

    def refused(
        self,
        owner: Hashable,
        action: Hashable,
        intent: Hashable,
        error: BatchError,
        problem: ClassifiedError,
        content: str = "",
    ) -> float:
        """Note a refusal; returns the seconds until the next try."""
        actions = self._refusals.setdefault(owner, {})
        refusal = actions.get(action)
        if refusal is None or refusal.intent != intent:
            refusal = actions[action] = Refusal(intent, error)
        if refusal.retry_class is not problem.retry_class:
            refusal.retry_class, refusal.count = problem.retry_class, 0
        refusal.error = error
        refusal.count += 1
        if len(refusal.contents) < _REMEMBERED_CONTENTS:
            refusal.contents.add(content)
        wait = max(problem.retry_after, problem.retry_class.seconds(refusal.count)) * self._spread()
        refusal.until = self._clock() + wait
        return wait

    def overtaken(self, owner: Hashable, action: Hashable, intent: Hashable, error: BatchError) -> None:
        """Note a refusal that a newer observation may explain: the next try is free, the one after it is not."""
        self._refusals.setdefault(owner, {})[action] = Refusal(intent, error, count=1)

    def succeeded(self, owner: Hashable, action: Hashable) -> None:
        """The action went well: its next refusal waits from the start."""
        actions = self._refusals.get(owner)
        if actions is not None and actions.pop(action, None) is not None and not actions:
            del self._refusals[owner]

    def settle(self, owner: Hashable, wanted: set[Hashable]) -> None:
        """Forget actions that nobody wants any more, once their wait is over: a wavering plan does not shorten it."""
        actions = self._refusals.get(owner)
        if actions is None:
            return
        now = self._clock()
        for action in [action for action, refusal in actions.items() if action not in wanted and refusal.until <= now]:
            del actions[action]
        if not actions:
            del self._refusals[owner]

    def forget(self, owner: Hashable) -> None:
        """The object is gone, or its user requested a reconcile."""
        self._refusals.pop(owner, None)
