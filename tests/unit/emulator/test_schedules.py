"""Job schedules: disabled ones that are changed, what was withdrawn before the next job, and when they are over."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from azure_batch_emulator.clock import Timer
from azure_batch_emulator.engine import snapshot
from azure_batch_emulator.engine.entities import JobSchedule
from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.executors.simulated import SimulatedExecutor
from azure_batch_emulator.schema.jobs import JOB, JOB_SCHEDULE, JOB_SCHEDULE_UPDATE
from azure_batch_emulator.schema.tasks import TASK
from azure_batch_emulator.wire.errors import BatchError
from azure_batch_emulator.wire.ticks import TICKS_PER_SECOND, format_timestamp
from support.hand_executor import DONE, Bench

MINUTE = 60.0
PACKAGE = {"applicationPackageReferences": [{"applicationId": "tool", "version": "1"}]}


def scheduled(bench: Bench, times: dict[str, Any], **specification: Any) -> JobSchedule:
    body = {"id": "s", "schedule": times, "jobSpecification": {"poolInfo": {"poolId": "pool"}} | specification}
    return bench.service.schedules.create("s", JOB_SCHEDULE.accept("", body))


def changed(bench: Bench, schedule: JobSchedule, times: dict[str, Any], *, replace: bool) -> None:
    body: dict[str, Any] = {"schedule": times}
    if replace:
        body["jobSpecification"] = schedule.spec["jobSpecification"]
    bench.service.schedules.update(schedule, JOB_SCHEDULE_UPDATE.accept("", body), replace=replace)


def in_minutes(bench: Bench, minutes: float) -> str:
    return format_timestamp(bench.clock.now() + int(minutes * MINUTE * TICKS_PER_SECOND))


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("times", [{}, {"recurrenceInterval": "PT50M"}])
def test_a_disabled_schedule_that_is_changed_makes_no_job_until_it_is_enabled(
    times: dict[str, Any], *, replace: bool
) -> None:
    # REST API, nextRunTime: "if the schedule is disabled, no Job will be created at nextRunTime unless the Job is
    # enabled before then".
    bench = Bench()
    schedule = scheduled(bench, {"doNotRunUntil": in_minutes(bench, 60)})
    bench.service.schedules.disable(schedule)
    changed(bench, schedule, times, replace=replace)
    bench.clock.advance(200 * MINUTE)
    assert (schedule.state, schedule.job_serial, bench.service.job_table) == ("disabled", 0, {})
    bench.service.schedules.enable(schedule)
    assert list(bench.service.job_table) == ["s:job-1"]


def test_a_disabled_schedule_shows_its_next_run_and_does_not_wait_for_it() -> None:
    bench = Bench()
    schedule = scheduled(bench, {"recurrenceInterval": "PT50M"})
    bench.service.jobs.terminate(bench.service.job("s:job-1"), "r")
    bench.service.schedules.disable(schedule)
    changed(bench, schedule, {"recurrenceInterval": "PT20M"}, replace=False)
    assert schedule.next_run == schedule.created + int(20 * MINUTE * TICKS_PER_SECOND)
    assert schedule.timer is None
    bench.clock.advance(30 * MINUTE)
    assert schedule.job_serial == 1
    bench.service.schedules.enable(schedule)
    bench.clock.advance(11 * MINUTE)
    assert schedule.job_serial == 2


def test_a_schedule_makes_its_next_job_though_a_package_of_its_manager_was_withdrawn() -> None:
    # REST API, applicationPackageReferences: a package that "has been deleted" fails the task, and no request.
    bench = Bench()
    bench.service.applications["tool"] = {"id": "tool", "displayName": "", "versions": ["1"]}
    manager = {"id": "m", "commandLine": "manage", "constraints": {"maxTaskRetryCount": 0}} | PACKAGE
    schedule = scheduled(bench, {"recurrenceInterval": "PT50M"}, jobManagerTask=manager)
    bench.clock.advance(MINUTE)
    assert bench.end_all(DONE) == ["manage"]
    bench.service.applications.clear()
    bench.clock.advance(52 * MINUTE)
    assert schedule.job_serial == 2
    task = bench.service.task("s:job-2", "m")
    assert (task.state, task.failure and task.failure["code"]) == ("completed", "ApplicationPackageError")
    assert bench.service.job("s:job-2").state == "completed"
    bench.clock.advance(50 * MINUTE)
    assert schedule.job_serial == 3


def test_a_task_whose_package_is_withdrawn_before_it_runs_fails() -> None:
    bench = Bench()
    bench.service.applications["tool"] = {"id": "tool", "displayName": "", "versions": ["1"]}
    job = bench.service.jobs.create("job", JOB.accept("", {"id": "job", "poolInfo": {"poolId": "pool"}}))
    tasks = [
        bench.service.tasks.add(job, TASK.accept("", {"id": name, "commandLine": name} | more))
        for name, more in (("with", PACKAGE), ("without", {}))
    ]
    bench.service.applications["tool"] = {"id": "tool", "displayName": "", "versions": ["2"]}
    bench.clock.advance(1.0)
    assert bench.end_all(DONE) == ["without"]
    assert [task.failure and task.failure["code"] for task in tasks] == ["ApplicationPackageError", None]


@pytest.mark.parametrize("how", ["created", "changed", "restarted"])
def test_a_schedule_is_over_when_its_time_is_and_no_job_runs(how: str) -> None:
    # REST API, doNotRunAfter: it completes "as soon as this deadline is past and there is no active Job".
    bench = Bench()
    times = {"recurrenceInterval": "PT60M"}
    schedule = scheduled(bench, times | ({} if how == "changed" else {"doNotRunAfter": in_minutes(bench, 50)}))
    if how == "changed":
        changed(bench, schedule, times | {"doNotRunAfter": in_minutes(bench, 50)}, replace=False)
    assert schedule.next_run is None
    bench.service.jobs.terminate(bench.service.job("s:job-1"), "r")
    bench.clock.advance(5 * MINUTE)
    service = bench.service
    if how == "restarted":
        picture = json.loads(json.dumps(snapshot.dump(service)))
        service = BatchService("account", bench.clock, SimulatedExecutor(bench.clock, 1), seed=1)
        snapshot.load(service, picture)
        schedule = service.schedule("s")
    bench.clock.advance(44 * MINUTE)
    assert schedule.state == "active"
    bench.clock.advance(2 * MINUTE)
    assert (schedule.state, schedule.job_serial) == ("completed", 1)


def test_a_schedule_whose_time_is_over_waits_for_its_job() -> None:
    bench = Bench()
    schedule = scheduled(bench, {"recurrenceInterval": "PT20M", "doNotRunAfter": in_minutes(bench, 50)})
    bench.clock.advance(90 * MINUTE)
    assert (schedule.state, schedule.job_serial, schedule.due) == ("active", 1, False)
    bench.service.jobs.terminate(bench.service.job("s:job-1"), "r")
    bench.clock.advance(MINUTE)
    assert (schedule.state, schedule.job_serial) == ("completed", 1)


def test_a_schedule_of_one_job_is_over_with_it_whatever_its_time_is() -> None:
    bench = Bench()
    schedule = scheduled(bench, {"doNotRunAfter": in_minutes(bench, 50)})
    bench.service.jobs.terminate(bench.service.job("s:job-1"), "r")
    bench.clock.advance(MINUTE)
    assert schedule.state == "completed"


def test_a_disabled_schedule_is_not_over_before_it_is_enabled() -> None:
    bench = Bench()
    schedule = scheduled(bench, {"recurrenceInterval": "PT20M", "doNotRunAfter": in_minutes(bench, 50)})
    bench.service.jobs.terminate(bench.service.job("s:job-1"), "r")
    bench.service.schedules.disable(schedule)
    bench.clock.advance(90 * MINUTE)
    assert schedule.state == "disabled"
    bench.service.schedules.enable(schedule)
    bench.clock.advance(MINUTE)
    assert (schedule.state, schedule.job_serial) == ("completed", 1)


@pytest.mark.parametrize(
    ("changes", "code"), [({"metadata": []}, None), (PACKAGE, "InvalidApplicationPackageReferences")]
)
def test_a_pool_whose_package_was_withdrawn_can_be_changed(changes: dict[str, Any], code: str | None) -> None:
    bench = Bench()
    bench.service.applications["tool"] = {"id": "tool", "displayName": "", "versions": ["1"]}
    bench.service.pools.patch(bench.pool, PACKAGE)
    bench.service.applications.clear()
    found = None
    try:
        bench.service.pools.patch(bench.pool, changes)
    except BatchError as error:
        found = error.code
    assert found == code


@pytest.mark.parametrize("scale", [1.0, 1e12])
def test_the_next_run_of_an_old_schedule_is_found_at_once(scale: float) -> None:
    bench = Bench()
    schedule = scheduled(bench, {"recurrenceInterval": "PT1M"})
    bench.service.schedules.disable(schedule)
    bench.clock.advance(4000 * 365 * 86_400.0)
    bench.clock.scale = scale
    changed(bench, schedule, {"recurrenceInterval": "PT1M"}, replace=False)
    assert schedule.next_run is not None
    assert 0 <= schedule.next_run - bench.clock.now() <= MINUTE * TICKS_PER_SECOND


def due_times_planned(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which method of the clock plans each due time from now on."""
    plans: list[str] = []

    def watch(method: str) -> None:
        plan = getattr(bench.clock, method)

        def planned(seconds: float, callback: Callable[..., None], *args: Any) -> Timer:
            if callback.__name__ == "_due":
                plans.append(method)
            return plan(seconds, callback, *args)

        monkeypatch.setattr(bench.clock, method, planned)

    watch("call_later")
    watch("call_after_real")
    return plans


def test_a_pause_of_service_time_holds_up_intervals_and_no_points_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    plans = due_times_planned(bench, monkeypatch)
    scheduled(bench, {"recurrenceInterval": "PT1M", "doNotRunUntil": in_minutes(bench, 1)})
    assert plans == ["call_after_real"]
    bench.clock.advance(1.5 * MINUTE)
    assert plans == ["call_after_real", "call_later"]


def test_due_times_that_have_passed_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    # The process was stopped or down for a day: 1,440 due times must not cost as many rounds of the event loop.
    bench = Bench()
    schedule = scheduled(bench, {"recurrenceInterval": "PT1M"})
    plans = due_times_planned(bench, monkeypatch)
    bench.clock.skew(1440.5 * MINUTE)
    bench.clock.advance(MINUTE)
    assert plans == ["call_later"]
    assert schedule.next_run is not None
    assert 0 < schedule.next_run - bench.clock.now() <= MINUTE * TICKS_PER_SECOND
    assert (schedule.due, schedule.job_serial) == (True, 1)


@pytest.mark.parametrize(
    ("late", "jobs"),
    [(5, 2), (20, 1), (65, 2), (80, 1)],
    ids=["within its window", "after it", "the second within its window", "the second after it"],
)
def test_a_run_that_was_missed_starts_only_within_its_window(late: float, jobs: int) -> None:
    bench = Bench()
    schedule = scheduled(bench, {"recurrenceInterval": "PT1H", "startWindow": "PT10M"})
    bench.service.jobs.terminate(bench.service.job("s:job-1"), "done")
    bench.clock.advance(30 * MINUTE)
    bench.clock.skew(late * MINUTE)
    bench.clock.advance(30 * MINUTE)
    assert (schedule.job_serial, schedule.due) == (jobs, False)
    if jobs == 1:
        # 20 and 80 minutes late are both 20 minutes after a due time.
        bench.clock.advance(39 * MINUTE)
        assert schedule.job_serial == 1
        bench.clock.advance(2 * MINUTE)
        assert schedule.job_serial == 2, "the opportunity comes again"


def test_a_run_that_was_missed_has_what_is_left_of_its_window() -> None:
    bench = Bench()
    schedule = scheduled(bench, {"recurrenceInterval": "PT1H", "startWindow": "PT10M"})
    bench.clock.skew(7 * MINUTE)
    bench.clock.advance(60 * MINUTE)
    assert (schedule.job_serial, schedule.due) == (1, True)
    bench.clock.advance(2 * MINUTE)
    assert schedule.due
    bench.clock.advance(2 * MINUTE)
    assert not schedule.due


def test_the_window_of_an_earlier_job_does_not_close_that_of_a_later_one() -> None:
    bench = Bench()
    schedule = scheduled(bench, {"recurrenceInterval": "PT1H", "startWindow": "PT90M"})
    # Due after 60 and 120 minutes: the first window is over after 150, the second one after 210.
    bench.clock.advance(151 * MINUTE)
    assert schedule.due
    bench.service.jobs.terminate(bench.service.job("s:job-1"), "r")
    bench.clock.advance(MINUTE)
    assert schedule.job_serial == 2


def test_a_window_closes_after_a_restart_as_it_would_have_without_one() -> None:
    bench = Bench()
    scheduled(bench, {"recurrenceInterval": "PT1H", "startWindow": "PT10M"})
    bench.clock.advance(62 * MINUTE)
    picture = json.loads(json.dumps(snapshot.dump(bench.service)))
    service = BatchService("account", bench.clock, SimulatedExecutor(bench.clock, 1), seed=1)
    snapshot.load(service, picture)
    schedule = service.schedule("s")
    bench.clock.advance(7 * MINUTE)
    assert schedule.due
    bench.clock.advance(2 * MINUTE)
    assert not schedule.due


def test_a_schedule_whose_only_run_was_missed_is_over() -> None:
    bench = Bench()
    schedule = scheduled(bench, {"doNotRunUntil": in_minutes(bench, 30), "startWindow": "PT10M"})
    bench.clock.skew(20 * MINUTE)
    bench.clock.advance(31 * MINUTE)
    assert (schedule.state, schedule.job_serial) == ("completed", 0)


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("later", [None, 200])
def test_a_schedule_whose_end_is_postponed_or_removed_continues(later: int | None, *, replace: bool) -> None:
    bench = Bench()
    times = {"recurrenceInterval": "PT20M"}
    schedule = scheduled(bench, times | {"doNotRunAfter": in_minutes(bench, 50)})
    changed(bench, schedule, times | ({"doNotRunAfter": in_minutes(bench, later)} if later else {}), replace=replace)
    bench.clock.advance(90 * MINUTE)
    assert (schedule.state, schedule.due, schedule.next_run is not None) == ("active", True, True)


@pytest.mark.parametrize("times", [{}, {"recurrenceInterval": "PT50M"}])
def test_a_job_that_is_deleted_makes_room_for_what_its_schedule_does_next(times: dict[str, Any]) -> None:
    bench = Bench()
    schedule = scheduled(bench, times)
    bench.clock.advance(51 * MINUTE)
    assert (schedule.state, schedule.job_serial, schedule.due) == ("active", 1, bool(times))
    bench.service.jobs.delete(bench.service.job("s:job-1"))
    bench.clock.advance(MINUTE)
    assert (schedule.state, schedule.job_serial) == (("active", 2) if times else ("completed", 1))
