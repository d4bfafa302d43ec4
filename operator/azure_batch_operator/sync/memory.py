"""The memory of effects: refusals, creates without a response, and the state that was logged last; and their clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.plan import Call
from azure_batch_operator.sync.backoff import Backoff
from azure_batch_operator.sync.landing import Landing
from azure_batch_operator.sync.transitions import Transitions


def intent_of(resource: Resource) -> Hashable:
    """What the user wants of an object: a refusal that was meant for something else does not count."""
    return resource.uid, resource.generation, resource.deleting, tuple(sorted(resource.annotations.items()))


@dataclass(frozen=True)
class Memory:
    """One for all objects.

    Attributes:
        landing: creates that may still take effect.
        backoff: the ledger of refusals.
        transitions: for the log.
        now: the clock of decisions and effects, in seconds since the epoch.
    """

    landing: Landing = field(default_factory=Landing)
    backoff: Backoff = field(default_factory=lambda: Backoff(lambda: asyncio.get_running_loop().time()))
    transitions: Transitions = field(default_factory=Transitions)
    now: Callable[[], float] = lambda: time.time()  # looked up at each call: the tests replace time.time

    def forget(self, resource: Resource) -> None:
        """The object is gone."""
        self.backoff.forget(resource.key)
        self.landing.forget(resource.uid)
        self.transitions.forget(resource.key)

    def is_held(self, resource: Resource, call: Call) -> bool:
        """Whether a call was refused and waits for its next try."""
        return self.backoff.held(resource.key, call.action, intent_of(resource), call.content) is not None
