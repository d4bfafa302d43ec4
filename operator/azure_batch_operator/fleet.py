"""Metrics of the fleet, computed at each scrape from `tally`, the accounts and the work queue.

A scrape walks over accounts, pools, jobs that are not over and objects that are being deleted, never over all objects. No task and
no node is a label: series grow with pools, namespaces and jobs that are not over, and with nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.kube.status import StatusWriter
from azure_batch_operator.reconcile.references import referenced
from azure_batch_operator.reconcile.status import seconds_since
from azure_batch_operator.sync.accounts import Accounts
from azure_batch_operator.sync.polls.tries import REQUEUES, RETRIES
from azure_batch_operator.sync.queue import WorkQueue
from azure_batch_operator.sync.shards import Shards
from azure_batch_operator.sync.store import Store
from azure_batch_operator.tally import DURATION, FINISHED, Tally, is_true

Family = GaugeMetricFamily | CounterMetricFamily

_TIERS = {"dedicated": "dedicated", "lowPriority": "spot"}
_TARGETS = {"targetDedicatedNodes": "dedicated", "targetLowPriorityNodes": "spot"}
_BY_NAMESPACE = (FINISHED, DURATION, RETRIES, REQUEUES)
"""What is counted by namespace, for good unless somebody takes it away."""
_TASK_STATES = ("active", "running", "succeeded", "failed")


class Fleet(Collector):
    """Collects from one running operator.

    Each replica tells of the accounts for which it acts. What all of them know is told by the one that leads, so sums are right.
    """

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        queue: WorkQueue[Key],
        writer: StatusWriter,
        shards: Shards | None = None,
    ) -> None:
        self._accounts, self._queue, self._writer = accounts, queue, writer
        self._shards = shards or Shards(store)
        # Of a shard that is left, the last statuses are still written here; its next holder only sees them.
        self._tally = Tally(counts=self._shards.finishes)
        store.observe(self._tally.changed)

    def describe(self) -> Iterable[Family]:
        """Nothing: the registry would otherwise collect once to learn the names."""
        return []

    def collect(self) -> Iterator[Family]:
        """All families, those without a sample included, so that every metric is there from the start."""
        for namespace in self._tally.left():
            for metric in _BY_NAMESPACE:
                metric.remove_by_labels({"namespace": namespace})
        tally = self._tally if self._shards.leads else Tally()
        yield from _objects(tally)
        yield from _pools(tally.pools.values())
        yield from _usage(tally)
        yield _jobs(tally.jobs.values())
        yield from self._sessions(key for key, account in self._tally.accounts.items() if self._shards.decides(account))
        yield from self._work()

    def _sessions(self, accounts: Iterable[Key]) -> Iterator[Family]:
        labels = ["namespace", "account"]
        up = GaugeMetricFamily("azurebatch_account_up", "1 if the account can be used", labels=labels)
        age = GaugeMetricFamily("azurebatch_poll_age_seconds", "Time since the last successful poll", labels=labels)
        paused = GaugeMetricFamily(
            "azurebatch_account_paused_seconds",
            "Seconds until the operator resumes calls after Azure Batch throttled one",
            labels=labels,
        )
        waiting = GaugeMetricFamily(
            "azurebatch_account_calls_waiting", "Calls that wait for the rate limit of the account", labels=labels
        )
        flying = GaugeMetricFamily("azurebatch_account_calls_in_flight", "Calls in progress", labels=labels)
        throttled = CounterMetricFamily(
            "azurebatch_account_throttled", "Requests that Azure Batch throttled", labels=labels
        )
        now = asyncio.get_running_loop().time()
        for key in accounts:
            where, health, session = [key.namespace, key.name], self._accounts.health(key), self._accounts.session(key)
            up.add_metric(where, float(health.checked and health.reason in {"", "Throttled"}))
            if session is None:
                continue
            limiter = session.client.limiter
            age.add_metric(where, now - (session.poller.last_success or session.poller.opened))
            paused.add_metric(where, max(0.0, (limiter.paused_until or now) - now))
            waiting.add_metric(where, limiter.waiting)
            flying.add_metric(where, limiter.in_flight)
            throttled.add_metric(where, limiter.throttled_total)
        yield from (up, age, paused, waiting, flying, throttled)

    def _work(self) -> Iterator[Family]:
        queue, now = self._queue, time.monotonic()
        ages = [now - since for since in queue.active_since()]
        values = {
            "azurebatch_workqueue_depth": ("Objects that wait to be reconciled", len(queue)),
            "azurebatch_workqueue_delayed": ("Objects that are requeued at a later time", queue.delayed),
            "azurebatch_workqueue_active": ("Objects that are being reconciled", len(ages)),
            "azurebatch_workqueue_longest_active_seconds": (
                "Seconds since the oldest pass in progress began",
                max(ages, default=0.0),
            ),
            "azurebatch_workqueue_unfinished_seconds": (
                "Sum of the seconds since each pass in progress began",
                sum(ages),
            ),
            "azurebatch_status_writes_waiting": ("Statuses that wait to be written", self._writer.waiting),
        }
        for name, (text, value) in values.items():
            yield GaugeMetricFamily(name, text, value=value)
        yield CounterMetricFamily("azurebatch_workqueue_adds", "Keys added to the work queue", value=queue.added_total)
        yield CounterMetricFamily("azurebatch_workqueue_retries", "Failed passes", value=queue.retries_total)


def _objects(tally: Tally) -> Iterator[Family]:
    where = ["kind", "namespace"]
    known = GaugeMetricFamily("azurebatch_objects", "Objects that the operator knows", labels=[*where, "phase"])
    for labels, number in tally.phases.items():
        known.add_metric(labels, number)
    yield known
    stalled = GaugeMetricFamily(
        "azurebatch_objects_stalled",
        "Objects that have not ended and need manual action",
        labels=[*where, "reason"],
    )
    for labels, number in tally.stalled.items():
        stalled.add_metric(labels, number)
    yield stalled
    leaving = GaugeMetricFamily("azurebatch_objects_deleting", "Objects that are being deleted", labels=where)
    longest = GaugeMetricFamily(
        "azurebatch_objects_deleting_longest_seconds", "Seconds since the oldest deletion was requested", labels=where
    )
    now = time.time()
    ages: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for key, asked in tally.leaving.items():
        ages[key.kind.value, key.namespace].append(seconds_since(asked, now))
    for place, seconds in ages.items():
        leaving.add_metric(place, len(seconds))
        longest.add_metric(place, max(seconds))
    yield from (leaving, longest)


def _usage(tally: Tally) -> Iterator[Family]:
    labels = ["namespace", "account", "pool"]
    hours = CounterMetricFamily(
        "azurebatch_pool_node_seconds", "Billed node time, as last counted", labels=[*labels, "tier"]
    )
    rate = GaugeMetricFamily(
        "azurebatch_pool_estimated_cost_per_hour",
        "Estimated cost of the nodes per hour, from spec.pricesFrom",
        labels=[*labels, "currency"],
    )
    spent = CounterMetricFamily(
        "azurebatch_pool_estimated_cost", "Estimated cost of the nodes since the operator started, from spec.pricesFrom",
        labels=[*labels, "currency"],
    )  # fmt: skip
    for key, usage in tally.used().items():
        where = _place(tally.pools[key])
        for tier, seconds in usage.seconds.items():
            hours.add_metric([*where, tier], seconds)
        for currency, amount in usage.spent.items():
            spent.add_metric([*where, currency], amount)
        if usage.cost is not None:
            rate.add_metric([*where, usage.cost[1]], usage.cost[0])
    yield from (hours, rate, spent)


def _place(pool: Resource) -> list[str]:
    account = referenced(pool.spec).account_ref
    return [pool.key.namespace, "" if account is None else account.name, pool.key.name]


def _pools(pools: Iterable[Resource]) -> Iterator[Family]:
    labels = ["namespace", "account", "pool"]
    nodes = GaugeMetricFamily("azurebatch_pool_nodes", "Nodes as last counted", labels=[*labels, "tier", "state"])
    target = GaugeMetricFamily(
        "azurebatch_pool_target_nodes", "Target number of nodes in Azure Batch", labels=[*labels, "tier"]
    )
    failed = GaugeMetricFamily(
        "azurebatch_pool_resize_failed", "1 if the last resize did not reach its target", labels=labels
    )
    for pool in pools:
        where = _place(pool)
        for name, tier in _TIERS.items():
            for state, number in (_part(pool.status, "nodeCounts").get(name) or {}).items():
                if state != "total":
                    nodes.add_metric([*where, tier, state], number)
        for name, tier in _TARGETS.items():
            if isinstance(number := pool.status.get(name), int):
                target.add_metric([*where, tier], number)
        failed.add_metric(where, float(is_true(pool, "ResizeFailed")))
    yield from (nodes, target, failed)


def _part(status: Mapping[str, object], name: str) -> Mapping[str, Any]:
    """A part of a status; empty if it is not there."""
    found = status.get(name)
    return found if isinstance(found, Mapping) else {}


def _jobs(jobs: Iterable[Resource]) -> Family:
    tasks = GaugeMetricFamily(
        "azurebatch_job_tasks", "Tasks of jobs that have not ended", labels=["namespace", "job", "state"]
    )
    for job in jobs:
        counts = _part(job.status, "taskCounts")
        for state in _TASK_STATES:
            tasks.add_metric([job.key.namespace, job.key.name, state], counts.get(state) or 0)
    return tasks
