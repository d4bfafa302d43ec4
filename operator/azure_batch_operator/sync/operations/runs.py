"""What this process knows of an operation and of each target of its batch: observations, calls, responses, lost responses.

It is remembered by the uid of the object, so nothing of it outlives the object, and a name that is used again begins with nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from prometheus_client import Counter

from azure_batch_operator.batch import BatchError
from azure_batch_operator.batch.redaction import SecretValues, without
from azure_batch_operator.reconcile.operation_order import SUCCEEDED, Chosen, Look, Request, Result
from azure_batch_operator.reconcile.operation_verbs import VERBS
from azure_batch_operator.sync.landing import LANDING_SECONDS

TARGETS = Counter(
    "azurebatch_operation_targets", "Targets of BatchOperations that have an outcome", ["verb", "outcome"]
)
LOST = "Azure Batch did not respond to the call"
_FRESH = 60.0
"""Seconds for which what was seen of targets counts: others may change them while the operation waits, such as for a Secret."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A call may have taken effect, although it failed.

    Attributes:
        error: what the call has failed with.
    """

    error: BatchError


@dataclass(slots=True)
class Try:
    """One target of a batch.

    Attributes:
        before: what was seen of it.
        doubt: time of the loop until which a call without a response may still take effect; None if there is none.
        lost: time of the loop at which the first call without a response was made; None if there was none.
        losses: calls of this process without a response.
        error: what the last of them has failed with; None if there was none.
        taken: what the service has answered, while the target is on its way.
        since: time of the loop of that answer.
        changed: whether the call was refused because the task is not as it was seen.
    """

    before: str
    doubt: float | None = None
    lost: float | None = None
    losses: int = 0
    error: BatchError | None = None
    taken: Result | None = None
    since: float = 0.0
    changed: bool = False

    @property
    def doubted(self) -> bool:
        """Whether a call had no response."""
        return self.lost is not None


@dataclass(slots=True)
class Run:
    """One operation, as this process knows it.

    Attributes:
        secrets: values that no text about it may show.
        chosen_at, looked_at: times of the loop of what was chosen, and of what was seen of targets.
        tries: the targets of the batch that is in progress, or was stopped.
        stopped: whether no further call is to be made for now. What is ordered with an `ending` makes none and is not stopped.
        acted: whether calls have, or may have, changed something that nobody was told of yet.
        job: ID of the job that it is about; empty if it is about something else.
        ending: what has ended it for good.
    """

    uid: str
    secrets: SecretValues = field(default_factory=SecretValues)
    chosen: Chosen | None = None
    chosen_at: float = 0.0
    looked_at: float = 0.0
    looks: dict[str, Look] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    refused: tuple[str, str] | None = None
    problem: BatchError | None = None
    tries: dict[str, Try] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None
    stopped: bool = False
    acted: bool = False
    job: str = ""
    ending: tuple[str, str] | None = None

    @property
    def untried(self) -> frozenset[str]:
        """Targets of the batch for which no call was made."""
        tries = self.tries.items()
        return frozenset(
            target
            for target, attempt in tries
            if target not in self.results and attempt.taken is None and attempt.doubt is None and not attempt.doubted
        )

    def waits_for(self, error: BatchError | None) -> None:
        """It does not get on for now, or does again."""
        if error is not None:
            error.hide(self.secrets)
        self.problem = error

    def settle(self, verb: str, target: str, result: Result) -> None:
        """The outcome of a target is known."""
        values = tuple((name, without(text, self.secrets)) for name, text in result.values)
        self.results[target] = replace(result, message=without(result.message, self.secrets), values=values)
        self.acted = self.acted or (result.outcome == SUCCEEDED and VERBS[verb].changes)
        TARGETS.labels(verb, result.outcome).inc()

    def answered(self, request: Request, target: str, answer: Result | Lost) -> None:
        """Take in what happened to a call."""
        now, attempt = asyncio.get_running_loop().time(), self.tries[target]
        if isinstance(answer, Lost):
            answer.error.hide(self.secrets)
            # Once per target: what a repetition has done is seen when the target is read.
            self.acted = self.acted or (attempt.lost is None and request.how.changes)
            attempt.doubt = now + LANDING_SECONDS
            attempt.lost = now if attempt.lost is None else attempt.lost
            attempt.losses, attempt.error = attempt.losses + 1, answer.error
        elif answer.outcome == SUCCEEDED and request.how.busy and request.how.tells(request.inputs):
            attempt.taken, attempt.since, self.acted = answer, now, True
        else:
            self.settle(request.verb, target, answer)

    @property
    def fresh(self) -> tuple[Chosen | None, Mapping[str, Look]]:
        """What was chosen and seen lately enough to count."""
        now = asyncio.get_running_loop().time()
        looks = dict(self.looks) if now - self.looked_at < _FRESH else {}
        return self.chosen if now - self.chosen_at < _FRESH else None, looks
