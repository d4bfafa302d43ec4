"""Steps of a poll: the requests about one job, pool or schedule, and what happens if they fail.

An error of such a call is the trouble of that one thing. It neither ends the poll nor judges the account: the call is made again
after a backoff of its own, beside the polls instead of within them, and what cannot be read for a while is shown on the objects
that it concerns. `judges_account` says which errors are evidence about the account nevertheless.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import Counter

from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import BatchError
from azure_batch_operator.sync.polls.base import News

logger = logging.getLogger(__name__)

FAILURES = Counter(
    "azurebatch_observation_failures", "Calls about one job, pool or schedule that failed in a poll", ["what"]
)
_FIRST, _LONGEST = 2.0, 300.0
SHOWN_AFTER = 30.0
"""Seconds for which something cannot be read before its objects say so."""


@dataclass(frozen=True)
class Scope:
    """What a step is about.

    Attributes:
        what: what it reads, in words, such as "the task counts of job"; also the label of the metric.
        id: of the job, pool or schedule; empty for the account as a whole.
    """

    what: str
    id: str

    def __str__(self) -> str:
        # What is of the account as a whole has no ID.
        return f"{self.what} {self.id!r}" if self.id else self.what


@dataclass(frozen=True)
class Step:
    """One thing to ask.

    Attributes:
        run: asks, and adds what is new to the news.
        keys: objects that must know if it cannot be read.
        at_once: whether it makes no call and will succeed, so that no backoff of a former failure delays it.
    """

    scope: Scope
    run: Callable[[News], Awaitable[None]]
    keys: frozenset[Key] = frozenset()
    at_once: bool = False


@dataclass
class _Trouble:
    since: float
    text: str
    keys: frozenset[Key]
    shown: bool = False
    failures: int = 0
    again_at: float = 0.0


@dataclass
class Troubles:
    """What could not be read lately.

    Attributes:
        problems: texts by object, of what has not been readable for `SHOWN_AFTER` seconds; of several things, the first.
    """

    problems: dict[Key, str] = field(default_factory=dict)
    _by_scope: dict[Scope, _Trouble] = field(default_factory=dict)
    _read: dict[Scope, frozenset[Key]] = field(default_factory=dict)
    """What was read by the last try, with the objects that it concerns."""

    def has(self, scope: Scope) -> bool:
        """Whether the last try has failed."""
        return scope in self._by_scope

    def due(self, scope: Scope, now: float) -> bool:
        """Whether its time has come; always, if nothing is wrong with it."""
        trouble = self._by_scope.get(scope)
        return trouble is None or now >= trouble.again_at

    def is_read(self, key: Key) -> bool:
        """Whether something that concerns an object was read by this process, and nothing of it has failed since."""
        failed = any(key in trouble.keys for trouble in self._by_scope.values())
        return not failed and any(key in keys for keys in self._read.values())

    def failed(self, step: Step, error: Exception, now: float) -> set[Key]:
        """Take note of a failure at `now` (the loop's time); objects that have something new to say."""
        trouble = self._by_scope.setdefault(step.scope, _Trouble(now, "", step.keys))
        trouble.failures += 1
        self._read.pop(step.scope, None)
        span = min(_LONGEST, _FIRST * 2.0 ** min(trouble.failures - 1, 30))
        asked = error.retry_after if isinstance(error, BatchError) else None
        trouble.again_at = now + max(asked or 0.0, random.uniform(span / 2, span))  # noqa: S311
        FAILURES.labels(step.scope.what).inc()
        log = logger.warning if trouble.failures == 1 else logger.info
        if isinstance(error, BatchError):
            log("Could not read %s: %s", step.scope, error)
        else:
            logger.error("Could not read %s", step.scope, exc_info=error)
        # Of the first failure of its kind, without request id: a status says the same thing in the same words.
        text = f"{step.scope} cannot be read: {_cause(error)}. The operator retries this automatically"
        if _kind(trouble.text) != _kind(text):
            trouble.text = text
        former, trouble.keys = trouble.keys, step.keys
        trouble.shown = now - trouble.since >= SHOWN_AFTER
        return self._say(former | trouble.keys) if trouble.shown else set()

    def ended(self, step: Step) -> set[Key]:
        """It was read; objects that need no longer say that it could not be."""
        if step.keys:
            self._read[step.scope] = step.keys
        return self._over(step.scope)

    def _over(self, scope: Scope) -> set[Key]:
        trouble = self._by_scope.pop(scope, None)
        return self._say(trouble.keys) if trouble is not None and trouble.shown else set()

    def keep(self, wanted: Callable[[Scope], bool]) -> set[Key]:
        """Forget what nobody wants to know any more; objects that need no longer say that it could not be read."""
        self._read = {scope: keys for scope, keys in self._read.items() if wanted(scope)}
        told = set[Key]()
        for scope in [scope for scope in self._by_scope if not wanted(scope)]:
            told |= self._over(scope)
        return told

    def _say(self, keys: Iterable[Key]) -> set[Key]:
        """Set what these objects have to say; an object has it from all that is wrong, not from what was asked last."""
        told = set()
        for key in keys:
            text = next(
                (problem.text for problem in self._by_scope.values() if problem.shown and key in problem.keys), None
            )
            if text == self.problems.get(key):
                continue
            told.add(key)
            if text is None:
                del self.problems[key]
            else:
                self.problems[key] = text
        return told


def _cause(error: Exception) -> str:
    if not isinstance(error, BatchError):
        return f"InternalError: fault in the operator ({type(error).__name__}); report it with the operator's log"
    return f"{error.code or type(error).__name__.removesuffix('Error')}: {error.message}"


def _kind(text: str) -> str:
    """Up to the code: the service's text may hold times and ids that differ each time."""
    return ": ".join(text.split(": ")[:2])


def keys_of(table: Mapping[str, Iterable[Key]], id: str) -> frozenset[Key]:
    """The objects that want to know of an id."""
    return frozenset(table.get(id, ()))
