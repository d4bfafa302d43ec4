"""Per-object values for metrics, updated with each change of an object, so a scrape does not iterate over the fleet.

The store tells each change (`Store.observe`). What ends while the operator runs is counted; what had ended before its start is not,
so that a restart repeats nothing. `fleet` shows all this.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from prometheus_client import Counter as Metric
from prometheus_client import Histogram

from azure_batch_operator import guard
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource

FINISHED = Metric("azurebatch_jobs_finished_total", "BatchJobs that have ended", ["namespace", "result"])
DURATION = Histogram(
    "azurebatch_job_duration_seconds",
    "Time from the creation of jobs in Azure Batch to their end",
    ["namespace", "result"],
    buckets=(60, 300, 900, 1800, 3600, 2 * 3600, 4 * 3600, 8 * 3600, 24 * 3600, 72 * 3600),
)
_RESULTS = {"Complete": "succeeded", "Failed": "failed"}
_TIERS = {"dedicated": "dedicated", "lowPriority": "spot"}
KEPT_FOR = 3600.0
"""Seconds for which counters of a namespace stay when its last object is gone: long enough that what ended last is scraped."""
_NOT_BILLED = frozenset({"total", "preempted", "deallocated"})


def is_true(resource: Resource, condition: str) -> bool:
    """Whether a condition is True."""
    return (resource.condition(condition) or {}).get("status") == "True"


def result_of(resource: Resource) -> str | None:
    """How the object has ended; None if it has not."""
    return next((result for type_, result in _RESULTS.items() if is_true(resource, type_)), None)


def billed(status: Mapping[str, Any]) -> dict[str, int]:
    """Nodes that are paid for, by tier."""
    counts = status.get("nodeCounts") or {}
    return {
        tier: sum(number for state, number in (counts.get(name) or {}).items() if state not in _NOT_BILLED)
        for name, tier in _TIERS.items()
    }


def cost_of(status: Mapping[str, Any]) -> tuple[float, str] | None:
    """The estimated cost per hour and its currency; None if there is no estimate."""
    amount, _, currency = str(status.get("estimatedCostPerHour") or "").partition(" ")
    try:
        return float(amount), currency
    except ValueError:
        return None


@dataclass
class Usage:
    """Time of nodes and money of one pool, since the operator has known of it."""

    uid: str
    since: float
    nodes: Mapping[str, int]
    cost: tuple[float, str] | None
    seconds: dict[str, float] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)

    def advance(self, now: float) -> None:
        """Add the time since the last change, at the numbers that held."""
        passed = max(0.0, now - self.since)
        self.since = now
        for tier, number in self.nodes.items():
            self.seconds[tier] = self.seconds.get(tier, 0.0) + number * passed
        if self.cost is not None:
            per_hour, currency = self.cost
            self.spent[currency] = self.spent.get(currency, 0.0) + per_hour * passed / 3600


class Tally:
    """Counts over all objects of a store.

    Attributes:
        phases: by kind, namespace and phase.
        stalled: objects that have not ended and wait for somebody to act, by kind, namespace and reason.
        leaving: objects that are being deleted, and when that was asked for.
        accounts, pools, jobs: all accounts and pools, and jobs that are not over and have tasks.
        usage: of pools.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, counts: Callable[[Resource], bool] = lambda _: True
    ) -> None:
        """Count from now on.

        Args:
            counts: whether this replica counts the end of an object.
        """
        self._counts = counts
        # A wall clock that is set right would count hours that nobody has paid for.
        self._clock = clock
        self._objects: Counter[str] = Counter()
        self._left: dict[str, float] = {}
        self.phases: Counter[tuple[str, str, str]] = Counter()
        self.stalled: Counter[tuple[str, str, str]] = Counter()
        self.leaving: dict[Key, str] = {}
        self.accounts: dict[Key, Resource] = {}
        self.pools: dict[Key, Resource] = {}
        self.jobs: dict[Key, Resource] = {}
        self.usage: dict[Key, Usage] = {}

    def changed(self, before: Resource | None, after: Resource | None) -> None:
        """Take in that an object has changed; None stands for one that is not there. It never raises: metrics stop nobody."""
        try:
            self._take_in(before, after)
        except Exception as error:
            one = after or before
            guard.report("tally", one.key if one else "", error)

    def _take_in(self, before: Resource | None, after: Resource | None) -> None:
        if before is not None:
            self._count(before, -1)
        if after is not None:
            self._count(after, 1)
        one = after or before
        if one is None:
            return
        self._list(one.key, after)
        if one.key.kind is Kind.POOL:
            self._use(one.key, after)
        if before is not None and after is not None and one.key.kind is Kind.JOB and before.uid == after.uid:
            _finished(before, after, self._counts)

    def _count(self, resource: Resource, by: int) -> None:
        where = (resource.key.kind.value, resource.key.namespace)
        _add(self.phases, (*where, str(resource.status.get("phase") or "")), by)
        condition = resource.condition("Stalled")
        # A job or task that has failed is stalled for kstatus; nobody can do anything about it but look.
        if condition and condition["status"] == "True" and result_of(resource) is None:
            _add(self.stalled, (*where, str(condition["reason"])), by)
        self._inhabited(resource.key.namespace, by)

    def _inhabited(self, namespace: str, by: int) -> None:
        self._objects[namespace] += by
        if self._objects[namespace]:
            self._left.pop(namespace, None)
        else:
            del self._objects[namespace]
            self._left[namespace] = self._clock()

    def left(self) -> list[str]:
        """Namespaces whose last object has been gone for long, each once: whoever makes one per run does not fill the memory."""
        now = self._clock()
        found = [namespace for namespace, since in self._left.items() if now - since > KEPT_FOR]
        for namespace in found:
            del self._left[namespace]
        return found

    def _list(self, key: Key, after: Resource | None) -> None:
        if after is not None and after.deleting:
            self.leaving[key] = after.deletion_asked
        else:
            self.leaving.pop(key, None)
        listed = {Kind.ACCOUNT: self.accounts, Kind.POOL: self.pools, Kind.JOB: self.jobs}.get(key.kind)
        if listed is None:
            return
        over = after is None or (key.kind is Kind.JOB and (not after.status.get("taskCounts") or result_of(after)))
        if after is None or over:
            listed.pop(key, None)
        else:
            listed[key] = after

    def _use(self, key: Key, after: Resource | None) -> None:
        if after is None:
            self.usage.pop(key, None)
            return
        now, known = self._clock(), self.usage.get(key)
        nodes, cost = billed(after.status), cost_of(after.status)
        if known is None or known.uid != after.uid:
            self.usage[key] = Usage(after.uid, now, nodes, cost)
        elif (known.nodes, known.cost) != (nodes, cost):
            known.advance(now)
            known.nodes, known.cost = nodes, cost

    def used(self) -> dict[Key, Usage]:
        """The usage of pools up to now."""
        now = self._clock()
        for usage in self.usage.values():
            usage.advance(now)
        return self.usage


def _add(counts: Counter[tuple[str, str, str]], labels: tuple[str, str, str], by: int) -> None:
    counts[labels] += by
    if not counts[labels]:
        del counts[labels]


def _finished(before: Resource, after: Resource, counts: Callable[[Resource], bool]) -> None:
    result = result_of(after)
    if result is None or result_of(before) is not None or not counts(after):
        return
    labels = (after.key.namespace, result)
    FINISHED.labels(*labels).inc()
    began, ended = (str(after.status.get(name) or "") for name in ("startTime", "endTime"))
    if began and ended:
        passed = datetime.fromisoformat(ended) - datetime.fromisoformat(began)
        DURATION.labels(*labels).observe(max(0.0, passed.total_seconds()))
