"""Native schedules: what they cost at rest, and what their history says of jobs that have ended."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from support.stage import Stage, pool, schedule

MANAGER = {"id": "manager", "commandLine": "/bin/sh -c 'sleep 30'"}


async def ran_once(stage: Stage) -> None:
    """A schedule whose next job is far away, and whose first one has ended."""
    await stage.ready_pool()
    specification = {"poolRef": {"name": "cpu"}, "jobManagerTask": MANAGER}
    stage.apply(schedule("nightly", schedule={"recurrenceInterval": "PT24H"}, jobSpecification=specification))
    await stage.until(lambda: (stage.azure.get("/jobs/nightly:job-1") or {}).get("state") == "completed", 600)


async def test_statistics_that_change_with_each_request_cause_no_polls(stage: Stage) -> None:
    await ran_once(stage)
    await stage.run_for(1200)
    before = stage.azure.calls("JobSchedules_ListJobSchedules")
    assert before > 0
    await stage.run_for(3600)
    assert stage.azure.calls("JobSchedules_ListJobSchedules") - before < 100, "about one a minute"


async def test_the_history_says_what_has_become_of_a_job_although_counts_lag(stage: Stage) -> None:
    stage.azure.service.lag.seconds = 200
    await ran_once(stage)
    await stage.until(lambda: stage.status("bjs", "nightly")["history"][0]["state"] == "completed", 60)
    await stage.until(lambda: stage.status("bjs", "nightly")["history"][0]["succeeded"] == 1, 900)
    calls = stage.azure.calls("Jobs_GetJobTaskCounts")
    await stage.run_for(3600)
    assert stage.azure.calls("Jobs_GetJobTaskCounts") == calls, "what is settled is not counted again"


@pytest.mark.parametrize("version", ["", "latest", None])
async def test_an_image_without_a_version_is_not_a_permanent_change(stage: Stage, version: str | None) -> None:
    stage.apply(*stage.account_objects())
    own: dict[str, Any] = {**pool("own")["spec"], "targetDedicatedNodes": 0}
    del own["accountRef"]
    image = own["virtualMachineConfiguration"]["imageReference"] | {"version": version}
    own["virtualMachineConfiguration"] = own["virtualMachineConfiguration"] | {"imageReference": image}
    info = {"autoPoolSpecification": {"poolLifetimeOption": "jobschedule", "pool": own}}
    times, account = {"recurrenceInterval": "PT24H"}, {"name": "main"}
    stage.apply(schedule("nightly", accountRef=account, schedule=times, jobSpecification={"poolInfo": info}))
    await stage.until(lambda: stage.azure.get("/jobschedules/nightly"), 600)
    await stage.run_for(1200)
    assert stage.ready("bjs", "nightly"), stage.status("bjs", "nightly")
    assert (
        stage.azure.calls("JobSchedules_UpdateJobSchedule") + stage.azure.calls("JobSchedules_ReplaceJobSchedule") == 0
    )


# --- a schedule that has ended ---


async def is_over(stage: Stage, how: str, *, alone: bool = True) -> None:
    """Schedule `once` has ended with its first job, and another one has not, if there is one."""
    await stage.ready_pool()
    specification = {"poolRef": {"name": "cpu"}, "jobManagerTask": MANAGER}
    times = {"recurrenceInterval": "PT24H"}
    if not alone:
        stage.apply(schedule("other", schedule=times, jobSpecification=specification))
    if how == "by its time":
        times = times | {
            "doNotRunAfter": datetime.fromtimestamp(stage.clock.time() + 90, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        }
    stage.apply(schedule("once", schedule=times, jobSpecification=specification))
    await stage.until(lambda: stage.status("bjs", "once").get("active") == 1, 600)
    if how == "by its time":
        await stage.run_for(60)
    else:
        stage.annotate("bjs", "once", terminate="now")
    await stage.until(lambda: stage.phase("bjs", "once") == "Completed", 600)


@pytest.mark.parametrize("lag", [0, 200])
@pytest.mark.parametrize("how", ["by its time", "by a user"])
async def test_a_schedule_that_has_ended_shows_the_end_of_its_jobs(stage: Stage, how: str, lag: int) -> None:
    stage.azure.service.lag.seconds = lag
    await is_over(stage, how)
    await stage.run_for(900)
    status = stage.status("bjs", "once")
    assert status["active"] == 0
    assert [run["state"] for run in status["history"]] == ["completed"]
    assert [run["succeeded"] + run["failed"] for run in status["history"]] == [1]


@pytest.mark.parametrize(("restart", "alone"), [(False, True), (True, False)])
async def test_what_a_schedule_that_has_ended_shows_of_its_jobs_stays(stage: Stage, restart: bool, alone: bool) -> None:
    """Nothing of it is polled any more, and what was seen of its jobs is forgotten."""
    await is_over(stage, "by a user", alone=alone)
    await stage.run_for(900)
    before = stage.status("bjs", "once")
    assert before["active"] == 0
    if restart:
        await stage.kill()
        stage.start()
        await stage.run_for(120)
    stage.annotate("bjs", "once", note="1")
    await stage.run_for(900)
    assert stage.status("bjs", "once") == before


async def test_a_job_that_ends_after_its_schedule_is_followed_over_a_restart(stage: Stage) -> None:
    stage.azure.service.lag.seconds = 200
    await is_over(stage, "by a user")
    await stage.kill()
    stage.start()
    await stage.run_for(900)
    status = stage.status("bjs", "once")
    assert (status["active"], status["history"][0]["succeeded"] + status["history"][0]["failed"]) == (0, 1)
    since = stage.now
    await stage.run_for(240)
    asked = {each.operation for each in stage.azure.log if each.time >= since}
    assert not asked & {"JobSchedules_ListJobSchedules", "Jobs_ListJobs", "Jobs_GetJobTaskCounts"}


@pytest.mark.parametrize("waits", [0, 20])
async def test_a_schedule_that_has_ended_is_not_created_again_when_it_is_deleted_in_azure(
    stage: Stage, waits: int
) -> None:
    """It is followed until the counts of its jobs are settled, and no longer."""
    stage.azure.service.lag.seconds = 200
    await is_over(stage, "by its time")
    await stage.run_for(waits)
    stage.azure.delete("/jobschedules/once")
    await stage.run_for(1200)
    assert stage.azure.calls("JobSchedules_CreateJobSchedule") == 1
    assert stage.phase("bjs", "once") == "Completed"
    since = stage.now
    await stage.run_for(600)
    assert not stage.azure.calls("JobSchedules_ListJobSchedules", since)


async def test_a_restart_writes_nothing_about_the_jobs_of_a_schedule(stage: Stage) -> None:
    await ran_once(stage)
    await stage.run_for(1200)
    assert stage.status("bjs", "nightly")["active"] == 0
    writes = stage.writes("bjs", "nightly", "status")
    await stage.kill()
    stage.start()
    await stage.run_for(600)
    assert stage.writes("bjs", "nightly", "status") == writes
