"""The wall-clock limit of a job counts from its creation.

REST API, Jobs - Create Job, ``maxWallClockTime``: the time that the job may run, "measured from the time the Job is created".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from azure_batch_emulator.clock import ManualClock, Timer
from azure_batch_emulator.engine import snapshot
from azure_batch_emulator.engine.entities import Job
from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.executors.simulated import SimulatedExecutor
from azure_batch_emulator.schema.jobs import JOB, JOB_UPDATE

MINUTE = 60.0


def account() -> tuple[ManualClock, BatchService]:
    clock = ManualClock()
    return clock, BatchService("account", clock, SimulatedExecutor(clock, 1), seed=1)


def one_hour(service: BatchService) -> Job:
    body = {"id": "job", "poolInfo": {"poolId": "nowhere"}, "constraints": {"maxWallClockTime": "PT1H"}}
    return service.jobs.create("job", JOB.accept("", body))


def ends_after(clock: ManualClock, job: Job, seconds: float) -> None:
    """The job goes on until then, and no longer."""
    clock.advance(seconds - 1.0)
    assert (job.state, job.terminate_reason) == ("active", None)
    clock.advance(2.0)
    assert (job.state, job.terminate_reason) == ("completed", "MaxWallClockTimeExpiry")


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"priority": 5}, 10 * MINUTE),
        ({"constraints": {"maxWallClockTime": "PT1H", "maxTaskRetryCount": 3}}, 10 * MINUTE),
        ({"constraints": {"maxWallClockTime": "PT55M"}}, 5 * MINUTE),
        ({"constraints": {"maxWallClockTime": "PT90M"}}, 40 * MINUTE),
    ],
)
def test_a_change_does_not_restart_the_limit(changes: dict[str, Any], left: float) -> None:
    clock, service = account()
    job = one_hour(service)
    clock.advance(50 * MINUTE)
    service.jobs.update(job, JOB_UPDATE.accept("", changes))
    ends_after(clock, job, left)


def test_a_limit_that_is_over_already_ends_the_job_at_once() -> None:
    clock, service = account()
    job = one_hour(service)
    clock.advance(50 * MINUTE)
    service.jobs.update(job, JOB_UPDATE.accept("", {"constraints": {"maxWallClockTime": "PT40M"}}))
    assert job.state == "active"
    clock.advance(1.0)
    assert (job.state, job.terminate_reason) == ("completed", "MaxWallClockTimeExpiry")


def test_a_disabled_job_that_is_enabled_has_no_more_time_than_before() -> None:
    clock, service = account()
    job = one_hour(service)
    service.jobs.disable(job, "wait")
    clock.advance(50 * MINUTE)
    service.jobs.enable(job)
    ends_after(clock, job, 10 * MINUTE)


def test_restarts_from_a_state_file_do_not_restart_the_limit() -> None:
    clock, service = account()
    one_hour(service)
    for minutes in (20, 30):
        clock.advance(minutes * MINUTE)
        picture = json.loads(json.dumps(snapshot.dump(service)))
        clock, service = account()
        snapshot.load(service, picture)
    ends_after(clock, service.job("job"), 10 * MINUTE)


class DoubleClock(ManualClock):
    """Moves in real seconds; service time runs ten times as fast."""

    scale = 10.0

    def service_seconds(self) -> float:
        return self.real_seconds() * self.scale

    def call_later(self, seconds: float, callback: Callable[..., None], *args: Any) -> Timer:
        return self.call_after_real(seconds / self.scale, callback, *args)


class RealTimeExecutor(SimulatedExecutor):
    """As if commands were processes."""

    real_time = True


@pytest.mark.parametrize(("executor", "left"), [(SimulatedExecutor, 1.0), (RealTimeExecutor, 28.0)])
@pytest.mark.parametrize("restart", [False, True])
def test_a_limit_counts_the_time_that_commands_take(
    executor: type[SimulatedExecutor], left: float, *, restart: bool
) -> None:
    # docs/emulator-differences.md#time: real seconds where commands are processes, else those of the service.
    clock = DoubleClock()
    clock.advance(100.0)
    service = BatchService("account", clock, executor(clock, 1), seed=1)
    body = {"id": "job", "poolInfo": {"poolId": "nowhere"}, "constraints": {"maxWallClockTime": "PT30S"}}
    service.jobs.create("job", JOB.accept("", body))
    clock.advance(2.0)
    if restart:
        picture = json.loads(json.dumps(snapshot.dump(service)))
        clock = DoubleClock()
        service = BatchService("account", clock, executor(clock, 1), seed=1)
        snapshot.load(service, picture)
    job = service.job("job")
    clock.advance(left - 0.1)
    assert job.state == "active"
    clock.advance(0.2)
    assert job.terminate_reason == "MaxWallClockTimeExpiry"


@pytest.mark.parametrize(
    ("executor", "limit", "watched"),
    [
        (SimulatedExecutor, "P100D", True),
        (SimulatedExecutor, "P199D", True),
        (SimulatedExecutor, "P201D", False),
        (RealTimeExecutor, "P19D", True),
        (RealTimeExecutor, "P21D", False),
        (RealTimeExecutor, "P100D", False),
    ],
)
def test_a_limit_is_none_only_if_this_machine_would_wait_for_weeks(
    executor: type[SimulatedExecutor], limit: str, *, watched: bool
) -> None:
    clock = DoubleClock()
    service = BatchService("account", clock, executor(clock, 1), seed=1)
    timer = service.limits.watch(limit, service.limits.reading(), lambda: None)
    assert (timer is not None) is watched
