"""Pools that belong to a job or a schedule: they come, they stay while these change, and they go with them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from azure_batch_emulator.engine import snapshot
from azure_batch_emulator.engine.entities import Job, JobSchedule
from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.executors.simulated import SimulatedExecutor
from azure_batch_emulator.schema.jobs import JOB, JOB_SCHEDULE, JOB_SCHEDULE_UPDATE
from azure_batch_emulator.wire.errors import BatchError
from support.hand_executor import MACHINE, Bench


def auto_pool_job(**properties: object) -> dict[str, object]:
    pool = {"vmSize": "standard_d2s_v3", "virtualMachineConfiguration": MACHINE, "targetDedicatedNodes": 1}
    specification = {"poolLifetimeOption": "job", "pool": pool} | properties
    return JOB.accept("", {"id": "auto", "poolInfo": {"autoPoolSpecification": specification}})


def test_the_pool_of_a_job_that_is_disabled_at_once_comes() -> None:
    bench = Bench()
    job = bench.service.jobs.create("auto", auto_pool_job())
    bench.service.jobs.disable(job, "requeue")
    bench.clock.advance(60.0)
    bench.service.jobs.enable(job)
    bench.clock.advance(60.0)
    assert job.pool_id.lower() in bench.service.pool_table


@pytest.mark.parametrize("verb", ["terminate", "delete"])
def test_the_pool_of_a_job_that_was_ending_at_the_stop_goes(verb: str) -> None:
    bench = Bench()
    job = bench.service.jobs.create("auto", auto_pool_job())
    bench.clock.advance(120.0)
    assert len(bench.service.pool_table) == 2
    if verb == "terminate":
        bench.service.jobs.terminate(job, "r")
    else:
        bench.service.jobs.delete(job)
    picture = json.loads(json.dumps(snapshot.dump(bench.service)))
    again = BatchService("account", bench.clock, SimulatedExecutor(bench.clock, 1), seed=1)
    snapshot.load(again, picture)
    bench.clock.advance(600.0)
    assert list(again.pool_table) == ["pool"]


def test_a_pool_that_was_about_to_be_made_at_the_stop_is_made() -> None:
    bench = Bench()
    job = bench.service.jobs.create("auto", auto_pool_job())
    picture = json.loads(json.dumps(snapshot.dump(bench.service)))
    again = BatchService("account", bench.clock, SimulatedExecutor(bench.clock, 1), seed=1)
    snapshot.load(again, picture)
    bench.clock.advance(60.0)
    assert job.pool_id.lower() in again.pool_table


def disabled(bench: Bench, **properties: object) -> Job:
    """A job in its own pool that is disabled."""
    job = bench.service.jobs.create("auto", auto_pool_job(**properties))
    bench.clock.advance(120.0)
    bench.service.jobs.disable(job, "requeue")
    bench.clock.advance(10.0)
    return job


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(("keep", "left"), [(False, []), (True, ["auto pool"])])
def test_the_pool_of_a_job_that_has_moved_to_another_goes_with_the_job(
    keep: bool, left: list[str], restart: bool
) -> None:
    # REST API, autoPoolSpecification: a pool with the lifetime "job" exists for the lifetime of its job.
    bench = Bench()
    job = disabled(bench, keepAlive=keep)
    own = job.pool_id.lower()
    service = bench.service
    service.jobs.update(job, {"poolInfo": {"poolId": "pool"}})
    service.jobs.enable(job)
    bench.clock.advance(600.0)
    assert set(service.pool_table) == {"pool", own}
    if restart:
        picture = json.loads(json.dumps(snapshot.dump(service)))
        service = BatchService("account", bench.clock, SimulatedExecutor(bench.clock, 1), seed=1)
        snapshot.load(service, picture)
    service.jobs.terminate(service.job("auto"), "r")
    bench.clock.advance(600.0)
    assert set(service.pool_table) == {"pool", *(own for _ in left)}


def test_a_job_that_moves_before_its_pool_is_made_makes_none() -> None:
    bench = Bench()
    job = bench.service.jobs.create("auto", auto_pool_job())
    job.state = "disabled"
    bench.service.jobs.update(job, {"poolInfo": {"poolId": "elsewhere"}})
    bench.clock.advance(60.0)
    assert set(bench.service.pool_table) == {"pool"}


def test_whether_the_pool_outlives_its_job_can_be_changed() -> None:
    # REST API, Jobs - Update Job: of an autoPoolSpecification only keepAlive can be updated.
    bench = Bench()
    job = disabled(bench)
    own = job.pool_id
    bench.service.jobs.update(job, {"poolInfo": auto_pool_job(keepAlive=True)["poolInfo"]})
    bench.service.jobs.terminate(job, "r")
    bench.clock.advance(600.0)
    assert (job.pool_id, set(bench.service.pool_table)) == (own, {"pool", own.lower()})


@pytest.mark.parametrize("name", ["autoPoolIdPrefix", "poolLifetimeOption", "pool"])
def test_nothing_else_of_an_auto_pool_can_be_changed(name: str) -> None:
    bench = Bench()
    job = disabled(bench)
    other = {"autoPoolIdPrefix": "x", "poolLifetimeOption": "jobschedule", "pool": {"vmSize": "standard_d4s_v3"}}
    before = job.spec
    changed = {"poolInfo": {"autoPoolSpecification": before["poolInfo"]["autoPoolSpecification"] | {name: other[name]}}}
    with pytest.raises(BatchError) as caught:
        bench.service.jobs.update(job, changed)
    assert (caught.value.code, caught.value.values["PropertyName"]) == ("InvalidPropertyValue", name)
    assert job.spec is before


def test_a_job_cannot_move_to_an_auto_pool_and_a_shared_one_is_not_its_own() -> None:
    bench = Bench()
    body = {"id": "job", "poolInfo": {"poolId": "pool"}}
    job = bench.service.jobs.create("job", JOB.accept("", body))
    of_schedule = disabled(bench, poolLifetimeOption="jobschedule")
    bench.service.jobs.disable(job, "requeue")
    bench.clock.advance(10.0)
    for each, info in ((job, auto_pool_job()["poolInfo"]), (of_schedule, auto_pool_job(keepAlive=True)["poolInfo"])):
        with pytest.raises(BatchError) as caught:
            bench.service.jobs.update(each, {"poolInfo": info})
        assert caught.value.code == "InvalidPropertyValue"


@pytest.mark.parametrize(("keep", "pools"), [(False, 1), (True, 2)])
def test_the_pool_of_a_schedule_whose_next_jobs_run_elsewhere_goes_with_the_schedule(keep: bool, pools: int) -> None:
    bench = Bench()
    info = auto_pool_job(poolLifetimeOption="jobschedule", keepAlive=keep)["poolInfo"]
    body = {"id": "s", "schedule": {"recurrenceInterval": "PT50M"}, "jobSpecification": {"poolInfo": info}}
    schedule = bench.service.schedules.create("s", JOB_SCHEDULE.accept("", body))
    bench.clock.advance(120.0)
    assert len(bench.service.pool_table) == 2
    changes = JOB_SCHEDULE_UPDATE.accept("", {"jobSpecification": {"poolInfo": {"poolId": "pool"}}})
    bench.service.schedules.update(schedule, changes, replace=False)
    bench.service.schedules.terminate(schedule)
    bench.clock.advance(600.0)
    assert len(bench.service.pool_table) == pools


def shared(bench: Bench, **properties: Any) -> JobSchedule:
    """A schedule whose jobs share a pool."""
    info = auto_pool_job(poolLifetimeOption="jobschedule", **properties)["poolInfo"]
    body = {"id": "s", "schedule": {"recurrenceInterval": "PT50M"}, "jobSpecification": {"poolInfo": info}}
    return bench.service.schedules.create("s", JOB_SCHEDULE.accept("", body))


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(("first", "then"), [(False, True), (True, False)])
def test_whether_a_shared_pool_stays_is_settled_by_the_specification_that_made_it(
    first: bool, then: bool, restart: bool
) -> None:
    # REST API, Job Schedules - Update: a change of the job specification affects "only new Jobs".
    bench = Bench()
    schedule = shared(bench, keepAlive=first)
    bench.clock.advance(120.0)
    service, own = bench.service, str(schedule.auto_pool_id).lower()
    info = auto_pool_job(poolLifetimeOption="jobschedule", keepAlive=then)["poolInfo"]
    changes = JOB_SCHEDULE_UPDATE.accept("", {"jobSpecification": {"poolInfo": info}})
    service.schedules.update(schedule, changes, replace=False)
    if restart:
        picture = json.loads(json.dumps(snapshot.dump(service)))
        service = BatchService("account", bench.clock, SimulatedExecutor(bench.clock, 1), seed=1)
        snapshot.load(service, picture)
    service.schedules.terminate(service.schedule("s"))
    bench.clock.advance(600.0)
    assert set(service.pool_table) == {"pool"} | ({own} if first else set())


@pytest.mark.parametrize("verb", ["terminate", "delete"])
def test_a_shared_pool_is_made_though_the_first_job_ends_at_once(verb: str) -> None:
    bench = Bench()
    schedule = shared(bench)
    job = bench.service.job("s:job-1")
    bench.service.jobs.terminate(job, "r") if verb == "terminate" else bench.service.jobs.delete(job)
    bench.clock.advance(51 * 60.0)
    second = bench.service.job("s:job-2")
    assert (second.state, second.pool_id) == ("active", schedule.auto_pool_id)
    assert second.pool_id.lower() in bench.service.pool_table
    bench.service.schedules.terminate(schedule)
    bench.clock.advance(600.0)
    assert set(bench.service.pool_table) == {"pool"}


def test_a_shared_pool_that_the_quota_forbade_is_made_for_the_next_job() -> None:
    bench = Bench()
    bench.service.quotas.pools = 1
    schedule = shared(bench)
    bench.clock.advance(60.0)
    assert bench.service.job("s:job-1").scheduling_error is not None
    bench.service.quotas.pools = 2
    bench.clock.advance(51 * 60.0)
    assert bench.service.job("s:job-2").state == "active"
    assert str(schedule.auto_pool_id).lower() in bench.service.pool_table


def test_a_shared_pool_that_is_being_deleted_is_recreated_for_the_next_job() -> None:
    bench = Bench()
    schedule = shared(bench)
    bench.clock.advance(120.0)
    service, old = bench.service, str(schedule.auto_pool_id)
    # The pool is still being deleted when the next job starts.
    service.jobs.terminate(service.job("s:job-1"), "r")
    bench.clock.advance(50 * 60.0 - 130.0)
    service.pools.delete(service.pool(old))
    bench.clock.run_until(lambda: schedule.job_serial == 2)
    assert service.pool(old).state == "deleting"
    second = service.job("s:job-2")
    assert second.pool_id == schedule.auto_pool_id != old
    bench.clock.advance(120.0)
    assert set(service.pool_table) == {"pool", second.pool_id.lower()}
    service.schedules.terminate(schedule)
    bench.clock.advance(600.0)
    assert set(service.pool_table) == {"pool"}


def test_a_shared_pool_that_was_deleted_is_made_again_for_the_next_job() -> None:
    bench = Bench()
    schedule = shared(bench)
    bench.clock.advance(120.0)
    service, old = bench.service, str(schedule.auto_pool_id)
    service.jobs.terminate(service.job("s:job-1"), "r")
    service.pools.delete(service.pool(old))
    bench.clock.advance(51 * 60.0)
    assert service.job("s:job-2").state == "active"
    assert service.pool(str(schedule.auto_pool_id)).state == "active"
