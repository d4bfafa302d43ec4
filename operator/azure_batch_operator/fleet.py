"""What the fleet looks like, read off the store, the accounts and the queue at each scrape: no counting beside the truth.

A scrape walks over all objects, about a tenth of a second for 50,000. No task and no node is a label: series grow with pools
and with jobs that are not over, and with nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.kube.status import StatusWriter
from azure_batch_operator.reconcile.status import seconds_since
from azure_batch_operator.sync.accounts import Accounts
from azure_batch_operator.sync.queue import WorkQueue
from azure_batch_operator.sync.store import Store

Family = GaugeMetricFamily | CounterMetricFamily

_TIERS = {"dedicated": "dedicated", "lowPriority": "spot"}
_TARGETS = {"targetDedicatedNodes": "dedicated", "targetLowPriorityNodes": "spot"}
_TASK_STATES = ("active", "running", "succeeded", "failed")


class Fleet(Collector):
    """Collects from one running operator."""

    def __init__(self, store: Store, accounts: Accounts, queue: WorkQueue[Key], writer: StatusWriter) -> None:
        self._store, self._accounts, self._queue, self._writer = store, accounts, queue, writer

    def describe(self) -> Iterable[Family]:
        """Nothing: the registry would otherwise collect once to learn the names."""
        return []

    def collect(self) -> Iterator[Family]:
        """All families, those without a sample included, so that every metric is there from the start."""
        objects = {kind: list(self._store.of_kind(kind)) for kind in Kind}
        yield from _objects(objects)
        yield from _pools(objects[Kind.POOL])
        yield _jobs(objects[Kind.JOB])
        yield from self._sessions(objects[Kind.ACCOUNT])
        yield from self._work()

    def _sessions(self, accounts: Sequence[Resource]) -> Iterator[Family]:
        labels = ["namespace", "account"]
        up = GaugeMetricFamily("azurebatch_account_up", "1 if the account can be used", labels=labels)
        age = GaugeMetricFamily("azurebatch_poll_age_seconds", "Time since the last good poll", labels=labels)
        paused = GaugeMetricFamily(
            "azurebatch_account_paused_seconds", "Time until throttling by the service is over", labels=labels
        )
        waiting = GaugeMetricFamily("azurebatch_account_calls_waiting", "Calls that wait for their turn", labels=labels)
        flying = GaugeMetricFamily("azurebatch_account_calls_in_flight", "Calls under way", labels=labels)
        throttled = CounterMetricFamily(
            "azurebatch_account_throttled", "Times that the service asked for patience", labels=labels
        )
        now = asyncio.get_running_loop().time()
        for key in [each.key for each in accounts]:
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
            "azurebatch_workqueue_delayed": ("Objects that wait for their time", queue.delayed),
            "azurebatch_workqueue_active": ("Objects that are being reconciled", len(ages)),
            "azurebatch_workqueue_longest_active_seconds": ("Longest of them", max(ages, default=0.0)),
            "azurebatch_workqueue_unfinished_seconds": ("Sum over them", sum(ages)),
            "azurebatch_status_writes_waiting": ("Statuses that wait to be written", self._writer.waiting),
        }
        for name, (text, value) in values.items():
            yield GaugeMetricFamily(name, text, value=value)
        yield CounterMetricFamily("azurebatch_workqueue_adds", "Times that a key was added", value=queue.added_total)
        yield CounterMetricFamily("azurebatch_workqueue_retries", "Times that a pass failed", value=queue.retries_total)


def _objects(objects: Mapping[Kind, Sequence[Resource]]) -> Iterator[Family]:
    phases: Counter[tuple[str, str]] = Counter()
    stalled: Counter[tuple[str, str]] = Counter()
    leaving_ages: dict[str, list[float]] = {kind.value: [] for kind in objects}
    now = time.time()
    for kind, listed in objects.items():
        for each in listed:
            phases[kind.value, str(each.status.get("phase") or "")] += 1
            if each.deleting:
                leaving_ages[kind.value].append(seconds_since(each.deletion_asked, now))
            condition = each.condition("Stalled")
            if condition and condition["status"] == "True":
                stalled[kind.value, condition["reason"]] += 1
    known = GaugeMetricFamily("azurebatch_objects", "Objects that the operator knows", labels=["kind", "phase"])
    for labels, number in phases.items():
        known.add_metric(labels, number)
    yield known
    troubled = GaugeMetricFamily(
        "azurebatch_objects_stalled", "Objects that wait for somebody to act", labels=["kind", "reason"]
    )
    for labels, number in stalled.items():
        troubled.add_metric(labels, number)
    yield troubled
    leaving = GaugeMetricFamily("azurebatch_objects_deleting", "Objects on their way out", labels=["kind"])
    longest = GaugeMetricFamily(
        "azurebatch_objects_deleting_longest_seconds", "How long the longest of them is on its way", labels=["kind"]
    )
    for name, ages in leaving_ages.items():
        leaving.add_metric([name], len(ages))
        longest.add_metric([name], max(ages, default=0.0))
    yield from (leaving, longest)


def _pools(pools: Sequence[Resource]) -> Iterator[Family]:
    labels = ["namespace", "account", "pool"]
    nodes = GaugeMetricFamily("azurebatch_pool_nodes", "Nodes as last counted", labels=[*labels, "tier", "state"])
    target = GaugeMetricFamily(
        "azurebatch_pool_target_nodes", "Nodes that Batch works towards", labels=[*labels, "tier"]
    )
    failed = GaugeMetricFamily("azurebatch_pool_resize_failed", "1 if the last resize fell short", labels=labels)
    for pool in pools:
        account = (pool.spec.get("accountRef") or {}).get("name", "")
        where = [pool.key.namespace, account, pool.key.name]
        for name, tier in _TIERS.items():
            for state, number in ((pool.status.get("nodeCounts") or {}).get(name) or {}).items():
                if state != "total":
                    nodes.add_metric([*where, tier, state], number)
        for name, tier in _TARGETS.items():
            if (number := pool.status.get(name)) is not None:
                target.add_metric([*where, tier], number)
        condition = pool.condition("ResizeFailed")
        failed.add_metric(where, float(condition is not None and condition["status"] == "True"))
    yield from (nodes, target, failed)


def _jobs(jobs: Sequence[Resource]) -> Family:
    tasks = GaugeMetricFamily(
        "azurebatch_job_tasks", "Tasks of jobs that are not over", labels=["namespace", "job", "state"]
    )
    for job in jobs:
        counts = job.status.get("taskCounts")
        if counts and not _over(job):
            for state in _TASK_STATES:
                tasks.add_metric([job.key.namespace, job.key.name, state], counts.get(state) or 0)
    return tasks


def _over(job: Resource) -> bool:
    return any(
        (condition := job.condition(type_)) and condition["status"] == "True" for type_ in ("Complete", "Failed")
    )
