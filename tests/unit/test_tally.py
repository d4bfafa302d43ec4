"""What is counted of objects with each change of one, and what a scrape would otherwise have to look for."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.sync.store import Store
from azure_batch_operator.tally import KEPT_FOR, Tally, result_of
from unit.objects import POOL_SPEC, resource

JOB_SPEC = {"poolRef": {"name": "cpu"}}


def condition(type_: str, reason: str = "Why") -> dict[str, Any]:
    return {
        "type": type_,
        "status": "True",
        "reason": reason,
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


def job(name: str = "one", version: int = 1, **status: Any) -> Resource:
    return replace(resource(Kind.JOB, JOB_SPEC, name=name, uid=name, status=status), version=version)


def pool(version: int, idle: int, spot: int = 0, cost: str | None = None) -> Resource:
    counts = {"dedicated": {"idle": idle, "total": idle}, "lowPriority": {"running": spot, "preempted": 9}}
    status = {"nodeCounts": counts} | ({"estimatedCostPerHour": cost} if cost else {})
    return replace(resource(Kind.POOL, POOL_SPEC, status=status), version=version)


def finished(result: str) -> float:
    labels = {"namespace": "default", "result": result}
    return REGISTRY.get_sample_value("azurebatch_jobs_finished_total", labels) or 0.0


def seconds(result: str) -> float:
    labels = {"namespace": "default", "result": result}
    return REGISTRY.get_sample_value("azurebatch_job_duration_seconds_sum", labels) or 0.0


def test_a_failed_job_that_has_ended_waits_for_nobody() -> None:
    store, tally = Store(), Tally()
    store.observe(tally.changed)
    store.put(job(conditions=[condition("Stalled", "JobGone")]))
    assert tally.stalled == {("BatchJob", "default", "JobGone"): 1}
    store.put(job(version=2, conditions=[condition("Stalled", "TasksFailed"), condition("Failed", "TasksFailed")]))
    assert not tally.stalled


@pytest.mark.parametrize(("type_", "result"), [("Complete", "succeeded"), ("Failed", "failed")])
def test_a_job_is_counted_once_when_it_ends(type_: str, result: str) -> None:
    store, tally = Store(), Tally()
    store.observe(tally.changed)
    times = {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T00:10:00.5Z"}
    before, took = finished(result), seconds(result)
    store.put(job())
    for version in (2, 3):
        store.put(job(version=version, conditions=[condition(type_)], **times))
    assert finished(result) == before + 1
    assert seconds(result) == pytest.approx(took + 600.5)


def test_a_restart_counts_nothing_again() -> None:
    store, tally = Store(), Tally()
    before = finished("failed")
    store.put(job(conditions=[condition("Failed")]))
    store.observe(tally.changed)
    store.put(job(version=2, conditions=[condition("Failed")]))
    assert finished("failed") == before


def test_time_of_nodes_and_money_add_up_at_the_numbers_that_held() -> None:
    now = [1000.0]
    store, tally = Store(), Tally(lambda: now[0])
    store.observe(tally.changed)
    store.put(pool(1, idle=2, spot=1, cost="3.60 EUR"))
    now[0] += 100
    store.put(pool(2, idle=4))
    now[0] += 10
    [usage] = tally.used().values()
    assert usage.seconds == {"dedicated": 2 * 100 + 4 * 10, "spot": 100}
    assert usage.spent == {"EUR": pytest.approx(0.10)}
    store.remove(pool(2, idle=4).key)
    assert not tally.used()


@pytest.mark.parametrize("seed", range(5))
def test_what_is_kept_is_what_a_walk_over_all_objects_finds(seed: int) -> None:
    chance, store, tally = random.Random(seed), Store(), Tally()  # noqa: S311
    store.observe(tally.changed)
    for version in range(1, 300):
        name = chance.choice("abcdef")
        if chance.random() < 0.2:
            store.remove(job(name).key)
            continue
        conditions = [condition(each) for each in ("Stalled", "Failed", "Complete") if chance.random() < 0.3]
        counts = {"taskCounts": {"active": 1}} if chance.random() < 0.5 else {}
        store.put(job(name, version, phase=chance.choice(["Running", "Failed"]), conditions=conditions, **counts))
    jobs = list(store.of_kind(Kind.JOB))
    assert tally.phases == Counter(("BatchJob", "default", each.status["phase"]) for each in jobs)
    stalled = [each for each in jobs if each.condition("Stalled") and result_of(each) is None]
    assert sum(tally.stalled.values()) == len(stalled)
    assert set(tally.jobs) == {each.key for each in jobs if each.status.get("taskCounts") and result_of(each) is None}


def test_time_is_not_that_of_a_clock_that_can_be_set() -> None:
    """It counted the hours by which the clock of a node was wrong."""
    assert Tally()._clock is time.monotonic


def test_a_namespace_is_given_up_an_hour_after_its_last_object() -> None:
    now = [1000.0]
    store, tally = Store(), Tally(lambda: now[0])
    store.observe(tally.changed)
    for name in ("one", "two"):
        store.put(job(name))
    store.remove(job("one").key)
    now[0] += 2 * KEPT_FOR
    assert tally.left() == []
    store.remove(job("two").key)
    now[0] += KEPT_FOR
    assert tally.left() == [], "what ended last must be scraped"
    store.put(job("three"))
    store.remove(job("three").key)
    now[0] += KEPT_FOR
    assert tally.left() == [], "the hour begins anew"
    now[0] += 1
    assert tally.left() == ["default"]
    assert tally.left() == []


def test_a_status_that_makes_no_sense_stops_nobody() -> None:
    """It would end the handling of the watch event; the CRD may be loosened, and its formats not be checked."""
    store, tally = Store(), Tally()
    store.observe(tally.changed)
    store.put(job())
    store.put(job(version=2, conditions=[condition("Complete")], startTime="yesterday", endTime="today"))
    assert store.get(job().key) is not None
